"""From a run's tables to ranked configurations: one board for each kind of number that may be ranked together.

Nothing is ranked across boards; densities and the unnormalised objectives of recipes are carried along in the rows and
take no part. Nor is a bound ranked that cannot be trusted (bench.statistics.trust): it is left out, a lower bound with
the reasons why it is no more than that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pandas as pd

from bench.statistics.claims.scope import Scope, scope
from bench.statistics.contests import LN2, UNITS, Contest, contests, generator
from bench.statistics.endings import ending
from bench.statistics.failed import Failed, failed, lost
from bench.statistics.readings import chosen
from bench.statistics.references import TABLE, compared, found, in_short, is_beaten, missing
from bench.statistics.rows import MATCHED, Estimate, Row, joined
from bench.statistics.scored import scored
from bench.statistics.trust import doubts, rise_per_doubling
from bench.statistics.tuning import Tuned
from bench.store import RunTables
from vae_core.statistics import intervals as compare
from vae_core.statistics.intervals import FEWEST_IMAGES, Floats
from vae_core.statistics.significance import SeedNoise, of_pairs, of_values


@dataclass(frozen=True)
class Sample:
    """ln P(x) of one configuration: nats [S, N], with the seed of each row and the cell that it came from."""

    nats: Floats
    seeds: tuple[int, ...]
    cells: tuple[str, ...]


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
        """Whether there are images enough for intervals and verdicts."""
        return self.images >= FEWEST_IMAGES

    @property
    def most_seeds(self) -> int:
        """Those of the configuration that has most."""
        return max((row.seeds for row in self.everything), default=0)

    @property
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
        samples = list(self.samples.values())
        place = list(self.samples).index(row.config)
        difference = samples[place].nats - self.held[reference.family]
        noise = of_values([sample.nats for sample in samples]).of([place])
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
        """By how much the first configuration of each pair is better, in the board's unit (negative: it is worse).

        Paired by seed and image; None where the two share no seed.
        """
        differences = [self.difference(*pair) for pair in pairs]
        paired = [nats for nats in differences if nats is not None]
        if not paired:
            return [None for _ in pairs]
        leads = compare.intervals(paired, generator(), noise=self._noise(pairs, paired, differences))
        estimates = (Estimate.of(leads, index).times(self.scale) for index in range(len(paired)))
        return [None if nats is None else next(estimates) for nats in differences]

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
    groups = {config: group.sort_values("seed") for config, group in cells.groupby("config", sort=False)}
    samples = {
        config: Sample(
            nats=np.stack([nats[cell] for cell in group["cell"]]),
            seeds=tuple(int(seed) for seed in group["seed"]),
            cells=tuple(group["cell"]),
        )
        for config, group in groups.items()
    }
    bounds = tables.bounds[tables.bounds["cell"].isin(cells["cell"])]
    rises = {cell: contest.scale * rise_per_doubling(rows) for cell, rows in bounds.groupby("cell")}
    unscored = tables.cells[~tables.cells["cell"].isin(nats)]
    gone = {config: unscored[unscored["config"] == config] for config in groups}
    rows = [_row(contest, group, gone[config], samples[config], rises) for config, group in groups.items()]
    readings = chosen(groups)
    rows = [replace(row, reading_of=readings.get(row.config, "")) for row in rows]
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


def _row(contest: Contest, cells: pd.DataFrame, gone: pd.DataFrame, sample: Sample, rises: Mapping[str, float]) -> Row:
    """What is known of one configuration, given its cells and those without a score; compared with nothing."""
    asked = cells.iloc[0]
    tuned = Tuned.of(asked)
    results, deviations = joined(cells)
    rise = float(np.fmax.reduce([rises.get(cell, float("nan")) for cell in sample.cells]))
    return Row(
        label=str(asked["label"]),
        value=Estimate(contest.sign * contest.scale * float(sample.nats.mean())),
        config=str(asked["config"]),
        kind=str(asked["kind"]),
        family=str(asked["family"]),
        sigma=str(asked["sigma"]),
        options=str(asked["options"]),
        scored_as=str(asked["scored_as"]),
        view=str(asked["view"]),
        recipe=bool(asked["recipe"]),
        settings={name: tuned.setting(name, asked[name]) for name in MATCHED},
        tuned=tuned,
        seeds=len(sample.seeds),
        seed_deviation=contest.scale * compare.seed_deviation(sample.nats),
        results=results,
        deviations=deviations,
        refined=int((cells["estimator"] == "refined").sum()),
        lift=contest.scale * float((cells["iw_nats"] - cells["encoder_iw_nats"]).mean()),
        rise=rise,
        ending=ending(cells, gone, contest.scale * contest.dims * LN2),
        doubts=doubts(results.khat_bad_fraction, results.ess_median, rise, results.iw_samples, contest.unit),
    )


def _ranked(contest: Contest, rows: list[Row], samples: Mapping[str, Sample]) -> Iterator[Row]:
    """The rows with how they stand, best first."""
    if not rows:
        return
    compared = [samples[row.config] for row in rows]
    ranking = compare.rank([sample.nats for sample in compared], [sample.seeds for sample in compared], generator())
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
    values = compare.intervals([nats[place] for place in places], generator(), noise=noise)
    for index in np.argsort(-values.mean, kind="stable"):
        value = Estimate.of(values, index).possible()
        yield replace(rows[index], value=value.times(contest.sign * contest.scale))
