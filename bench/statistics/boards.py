"""From a run's tables to ranked configurations: one board for each kind of number that may be ranked together.

Nothing is ranked across boards; densities and the unnormalised objectives of recipes are carried along in the rows and
take no part. Nor is a bound ranked that cannot be trusted (bench.statistics.trust): it is left out, a lower bound with
the reasons why it is no more than that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.statistics.claims.scope import Scope, scope
from bench.statistics.contests import LN2, UNITS, Contest, contests, generator
from bench.statistics.endings import endings
from bench.statistics.failed import Failed, failed, lost
from bench.statistics.readings import chosen
from bench.statistics.references import TABLE, compared, found, in_short, is_beaten, missing
from bench.statistics.rows import MATCHED, Estimate, Row, joined, means
from bench.statistics.scored import Sample, places, sample, scored
from bench.statistics.trust import doubts, rises_per_doubling
from bench.statistics.tuning import Tuned
from bench.store import RunTables
from vae_core.statistics import intervals as compare
from vae_core.statistics.blocks import FEWEST_IMAGES, Floats
from vae_core.statistics.significance import SeedNoise, holm, of_pairs, of_values


@dataclass(frozen=True)
class Board(Contest):
    """A contest with its configurations, best first: those that are ranked, and those whose bounds cannot be trusted.

    Of a recipe's readings one is a configuration, and the others stand apart (bench.statistics.readings). References
    are no configurations and stand apart too.
    """

    samples: dict[str, Sample]  # by configuration
    ranked: tuple[Row, ...]
    left_out: tuple[Row, ...]
    references: tuple[Row, ...]
    readings: tuple[Row, ...] = ()  # of recipes, those that were not chosen, best first
    failed: tuple[Failed, ...] = ()  # what is not there at all, in the order of the grid
    unreferred: tuple[tuple[str, str], ...] = ()  # references that could not be had, with the reasons
    scope: Scope = field(default_factory=Scope)
    held: Mapping[str, Floats] = field(default_factory=dict)  # ln P of every image, nats [N], of references by name

    @property
    def judged(self) -> bool:
        """Whether images, or blocks of them, are enough for intervals and verdicts."""
        return self.draws >= FEWEST_IMAGES

    @cached_property
    def most_seeds(self) -> int:
        """Those of the configuration that has most."""
        return max((row.seeds for row in self.everything), default=0)

    @cached_property
    def everything(self) -> tuple[Row, ...]:
        """The ranked configurations, then those that are left out."""
        return self.ranked + self.left_out

    @property
    def standing(self) -> tuple[Row, ...]:
        """The ranked configurations with the references among them, each at its place by value; of references for
        single families the best alone."""
        return tuple(sorted(self.ranked + in_short(self.references), key=lambda row: -self.sign * row.value.mean))

    @property
    def unbeaten(self) -> tuple[Row, ...]:
        """The references that the best ranked configuration is not shown to be better than, best first."""
        return tuple(row for row in self.references if self.ranked and not is_beaten(row))

    @property
    def histogram(self) -> Row | None:
        """The histogram of each dimension, where the run has it."""
        return next((row for row in self.references if row.family == TABLE), None)

    def says_less(self, row: Row) -> bool:
        """Whether a configuration's mean is worse than the histogram's: it has learned less than a table of
        frequencies. Of one that is left out it is that of its bound."""
        table = self.histogram
        return table is not None and not row.reference and self.sign * (row.value.mean - table.value.mean) < 0

    def below_uniform(self, row: Row) -> bool:
        """Whether a configuration's mean is worse than a uniform guess."""
        return not row.reference and self.sign * (row.value.mean - self.uniform) < 0

    def shown_below_uniform(self, row: Row) -> bool:
        """Whether it is worse than a uniform guess beyond noise: its interval leaves that out."""
        ends = row.value.low, row.value.high
        return self.below_uniform(row) and max(self.sign * (end - self.uniform) for end in ends) < 0

    def beats_uniform(self, row: Row) -> bool:
        """Whether a row is better than a uniform guess: beyond noise; by its mean, where it has no interval."""
        if row.reference or math.isnan(row.value.low):
            return not self.below_uniform(row)
        return min(self.sign * (end - self.uniform) for end in (row.value.low, row.value.high)) > 0

    def gain_over(self, row: Row, reference: Row) -> Estimate:
        """By how much a configuration is better than a reference with scores of its own, in the board's unit; the noise
        between seeds moderated over the configurations of the board."""
        difference = self.drawn(self.samples[row.config].nats - self.held[reference.family])
        noise = of_values([one.nats for one in self.samples.values()]).of([list(self.samples).index(row.config)])
        return Estimate.of(compare.intervals([difference], generator(), noise=noise), 0).times(self.scale)

    @property
    def unpaired(self) -> tuple[Row, ...]:
        """The ranked configurations that share no seed with the first, with which it cannot be compared, best first."""
        return tuple(row for row in self.ranked if row.verdict == compare.Verdict.UNPAIRED)

    @property
    def unended(self) -> tuple[Row, ...]:
        """The ranked configurations that were still improving in some seed, best first."""
        return tuple(row for row in self.ranked if row.ending.improving)

    @property
    def within_reach(self) -> tuple[Row, ...]:
        """Those of them, but for the first, that are behind by no more than what they gained last."""
        return tuple(row for row in self.unended if row.rank != 1 and row.behind.mean <= row.ending.gain)

    @property
    def better_unranked(self) -> tuple[Row, ...]:
        """What is left out although its bound alone beats the best ranked one: then the best is not known."""
        if not self.ranked:
            return self.left_out
        best = self.sign * self.ranked[0].value.mean
        return tuple(row for row in self.left_out if self.sign * row.value.mean > best)

    def leads(self, pairs: Sequence[tuple[str, str]]) -> list[Estimate | None]:
        """By how much the first configuration of each pair is better, in the board's unit (negative: it is worse),
        paired by seed and image; None where the two share no seed."""
        differences = [self.difference(*pair) for pair in pairs]
        paired = [nats for nats in differences if nats is not None]
        if not paired:
            return [None for _ in pairs]
        noise = self._noise(pairs, paired, differences)
        leads = compare.intervals([*map(self.drawn, paired)], generator(), noise=noise)
        estimates = (Estimate.of(leads, index).times(self.scale) for index in range(len(paired)))
        return [None if nats is None else next(estimates) for nats in differences]

    def apart(self, pairs: Sequence[tuple[str, str]]) -> list[bool | None]:
        """Whether the two of each pair can be told apart, corrected for all these pairs (Holm): p below 0.05, and an
        interval that leaves zero out. None where the two share no seed, or the images are too few to judge."""
        differences = [self.difference(*pair) for pair in pairs]
        paired = [nats for nats in differences if nats is not None]
        if not paired or not self.judged:
            return [None for _ in pairs]
        noise = self._noise(pairs, paired, differences)
        found = compare.changes([*map(self.drawn, paired)], generator(), noise=noise)
        told = iter((found.clear & (holm(found.p) < 1 - compare.LEVEL)).tolist())
        return [None if nats is None else next(told) for nats in differences]

    def _noise(
        self, pairs: Sequence[tuple[str, str]], paired: Sequence[Floats], differences: Sequence[Floats | None]
    ) -> SeedNoise:
        """The seed noise of the differences that there are, moderated over the configurations of the board."""
        place = {config: index for index, config in enumerate(self.samples)}
        places = [
            (place[one], place[other])
            for (one, other), nats in zip(pairs, differences, strict=True)
            if nats is not None
        ]
        samples = self.samples.values()
        return of_pairs([sample.nats for sample in samples], [sample.seeds for sample in samples], places, paired)

    def difference(self, config: str, other: str) -> Floats | None:
        """Nats [S, N] by which a configuration is better than another, over the seeds that both have."""
        one, two = self.samples[config], self.samples[other]
        shared = [seed for seed in one.seeds if seed in two.seeds]
        if not shared:
            return None
        a, b = (sample.nats[[sample.seeds.index(seed) for seed in shared]] for sample in (one, two))
        return a - b


def boards(tables: RunTables) -> list[Board]:
    """The boards of a run, grey levels first; empty where no cell has usable numbers."""
    cells, nats = scored(tables)
    images = {cell: len(per_image) for cell, per_image in nats.items()}
    parts = sorted(contests(cells, images, tables.meta), key=lambda part: list(UNITS).index(part[0].currency))
    found = [_board(contest, group, nats, tables) for contest, group in parts]
    without = lost(tables, cells)
    return [replace(board, failed=failed(board, without, found)) for board in found]


def _board(contest: Contest, cells: pd.DataFrame, nats: Mapping[str, Floats], tables: RunTables) -> Board:
    own = places(cells["config"], cells["seed"].to_numpy())  # the cells of each configuration
    samples = {config: sample(cells, place, nats) for config, place in own.items()}
    unscored = tables.cells[~tables.cells["cell"].isin(nats)]
    rows = list(_rows(contest, cells, own, samples, unscored, tables.bounds))
    apart = [row for row in rows if row.set_aside]
    rows = [row for row in rows if not row.set_aside]
    ranked = tuple(_ranked(contest, [row for row in rows if row.trusted], samples))
    scores = {row.config: (samples[row.config].nats, samples[row.config].seeds) for row in ranked}
    references = found(contest, tables)
    of_data = scope(contest, tables)
    return Board(
        **asdict(contest),
        samples=samples,
        ranked=ranked,
        left_out=tuple(_unranked(contest, [row for row in rows if not row.trusted], samples)),
        readings=tuple(_unranked(contest, apart, samples)),
        references=compared(contest, references, ranked, scores),
        unreferred=missing(contest, of_data.levels, tables),
        held={held.row.family: held.nats for held in references if held.nats is not None},
        scope=of_data,
    )


def _rows(
    contest: Contest,
    cells: pd.DataFrame,
    own: Mapping[str, NDArray[np.intp]],
    samples: Mapping[str, Sample],
    unscored: pd.DataFrame,
    bounds: pd.DataFrame,
) -> Iterator[Row]:
    """What is known of each configuration, given where its own cells are among those with a score, and the cells
    without; compared with nothing."""
    rises = rises_per_doubling(bounds[bounds["cell"].isin(cells["cell"])])
    ends = {str(config): list(group) for config, group in unscored.groupby("config", sort=False)["ended_by"]}
    lost = [ends.get(config, []) for config in own]
    bits = contest.scale * contest.dims * LN2
    lift = (cells["iw_nats"] - cells["encoder_iw_nats"]).to_numpy(dtype=float)
    refined = (cells["estimator"] == "refined").to_numpy(dtype=bool)
    readings = chosen({config: cells.iloc[place] for config, place in own.items() if cells["recipe"].iloc[place[0]]})
    asked = _records(cells, [place[0] for place in own.values()])
    came_out = zip(joined(cells, own.values()), endings(cells, own.values(), lost, bits), strict=True)
    for (config, place), asked_for, ((results, deviations), ending) in zip(own.items(), asked, came_out, strict=True):
        tuned, nats = Tuned.of(asked_for), samples[config].nats
        known = [contest.scale * rises.get(cell, float("nan")) for cell in samples[config].cells]
        rise = float(np.fmax.reduce(known))
        yield Row(
            label=str(asked_for["label"]),
            value=Estimate(contest.sign * contest.scale * float(nats.mean())),
            config=config,
            kind=str(asked_for["kind"]),
            family=str(asked_for["family"]),
            sigma=str(asked_for["sigma"]),
            options=str(asked_for["options"]),
            scored_as=str(asked_for["scored_as"]),
            view=str(asked_for["view"]),
            recipe=bool(asked_for["recipe"]),
            reading_of=readings.get(config, ""),
            settings={name: tuned.setting(name, asked_for[name]) for name in MATCHED},
            tuned=tuned,
            seeds=len(place),
            seed_deviation=contest.scale * compare.seed_deviation(nats),
            results=results,
            deviations=deviations,
            refined=int(refined[place].sum()),
            lift=contest.scale * float(means(lift[place][None])[0]),
            rise=rise,
            ending=ending,
            doubts=doubts(results.khat_bad_fraction, results.ess_median, rise, results.iw_samples, contest.unit),
        )


def _records(cells: pd.DataFrame, places: Sequence[np.intp]) -> Iterator[dict[str, Any]]:
    """Some cells as dictionaries; a frame's own way makes a table of each."""
    some = cells.iloc[places]
    columns = [some[name].to_numpy() for name in some.columns]
    return (dict(zip(some.columns, values, strict=True)) for values in zip(*columns, strict=True))


def _ranked(contest: Contest, rows: list[Row], samples: Mapping[str, Sample]) -> Iterator[Row]:
    """The rows with how they stand, best first."""
    if not rows:
        return
    compared = [samples[row.config] for row in rows]
    ranking = compare.rank([contest.drawn(one.nats) for one in compared], [one.seeds for one in compared], generator())
    for rank, index in enumerate(ranking.order, start=1):
        yield replace(
            rows[index],
            rank=rank,
            value=Estimate.of(ranking.mean, index).possible().times(contest.sign * contest.scale),
            behind=Estimate.of(ranking.deficit, index).times(contest.scale),
            p=float(ranking.p_adjusted[index]),
            verdict=ranking.verdicts[index],
        )


def _unranked(contest: Contest, rows: list[Row], samples: Mapping[str, Sample]) -> Iterator[Row]:
    """The rows of bounds that are compared with nothing, best first."""
    if not rows:
        return
    nats = [sample.nats for sample in samples.values()]
    places = [list(samples).index(row.config) for row in rows]
    noise = of_values(nats).of(places)  # the whole board tells what is typical
    values = compare.intervals([contest.drawn(nats[place]) for place in places], generator(), noise=noise)
    for index in np.argsort(-values.mean, kind="stable"):
        value = Estimate.of(values, index).possible()
        yield replace(rows[index], value=value.times(contest.sign * contest.scale))
