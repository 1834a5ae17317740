"""References that stand in a ranking, unranked: numbers that no trained model gave, which winners are held against
(docs/RULES.md, rule 13).

Those of a run are rows of its table `references`. One that gives each image a score is compared with the best ranked
configuration, image by image; one of a single number, such as a codec's, stands beside it without interval or verdict.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.grid.cell import DataSpec
from bench.statistics.contests import Contest, generator
from bench.statistics.rows import Estimate, Row
from bench.store import RunTables
from vae_core.statistics import intervals as compare
from vae_core.statistics.intervals import Floats, Verdict
from vae_core.statistics.references import versus_reference

TABLE = "histogram"  # the one that says what a table of frequencies says
PER_FAMILY = "no_latent:"  # what the name of a reference begins with that there is for every family


@dataclass(frozen=True)
class Held:
    """A reference as it was found: its row with the value alone, and ln P of every image, nats [N], where it has."""

    row: Row
    nats: Floats | None = None


def reference(label: str, value: float) -> Row:
    """The row of one number, in the unit of the contest."""
    return Row(label=label, value=Estimate(value), reference=True)


def stored(contest: Contest, tables: RunTables) -> Iterator[Held]:
    """The references of a run that are of a contest; the first of each family, for 0/1 data are of two views."""
    rows, seen = tables.references, set()
    for found in rows[rows["status"] == "done"].itertuples(index=False):
        facts = found._asdict()
        binarisation = facts["binarisation"] if facts["currency"] == "pmf-2" else ""
        asked = (facts["dataset"], facts["measure"], binarisation, DataSpec.of(facts).made)
        if asked != (contest.dataset, contest.measure, contest.binarisation, contest.made) or facts["family"] in seen:
            continue
        nats = _images(tables, facts["cell"])
        if _images_of(facts, nats, contest) != contest.images:
            continue
        seen.add(facts["family"])
        value = facts["iw_nats"] if contest.unit == "nats" else facts["bits_per_dim"]
        row = replace(
            reference(str(facts["label"]), float(value)),
            config=str(facts["config"]),
            family=str(facts["family"]),
            sigma=str(facts["sigma"] or ""),
            options=str(facts["options"] or ""),
            view=str(facts["view"]),
        )
        yield Held(row, nats)


def _images_of(facts: Mapping[str, Any], nats: Floats | None, contest: Contest) -> int:
    """How many test images a reference was computed on; those of the contest where nothing says so."""
    if nats is not None:
        return len(nats)
    details = json.loads(facts["details"]) if isinstance(facts["details"], str) else {}
    return int(details.get("test images", contest.images))


def families_without_a_latent(tables: RunTables) -> list[str]:
    """The families of which a run has a reference without a latent, also where it has nothing else of them."""
    names = (str(name) for name in tables.references["family"])
    return [name.removeprefix(PER_FAMILY) for name in names if name.startswith(PER_FAMILY)]


def missing(contest: Contest, levels: int, tables: RunTables) -> tuple[tuple[str, str], ...]:
    """The references of a contest that could not be had, with the reasons; levels: the data's own K, or 0."""
    rows = tables.references
    lost = {}
    for gone in rows[rows["status"] != "done"].itertuples(index=False):
        facts = gone._asdict()
        if (facts["dataset"], DataSpec.of(facts).made) != (contest.dataset, contest.made):
            continue
        if facts["view"] == "binary":
            its_own = contest.currency == "pmf-2" and facts["binarisation"] == contest.binarisation
        else:
            its_own = contest.currency == ("pmf-2" if levels == 2 else "pmf-K")
        if its_own:
            lost[str(facts["label"])] = str(facts["reason"])
    return tuple(lost.items())


def _images(tables: RunTables, cell: str) -> Floats | None:
    images = tables.per_image[tables.per_image["cell"] == cell].sort_values("image", kind="stable")
    return images["iw_nats"].to_numpy(dtype=float) if len(images) else None


KINDS: tuple[Callable[[Contest, RunTables], Iterable[Held]], ...] = (stored,)


def found(contest: Contest, tables: RunTables) -> list[Held]:
    """All references of a contest."""
    return [held for kind in KINDS for held in kind(contest, tables)]


def compared(
    contest: Contest,
    references: Sequence[Held],
    ranked: Sequence[Row],
    samples: Mapping[str, tuple[Floats, tuple[int, ...]]],
) -> tuple[Row, ...]:
    """The rows of references, best first, held against the first of the ranked configurations, whose scores [S, N] and
    seeds are in `samples`."""
    alone = [held.row for held in references if held.nats is None]
    judged = [(held.row, held.nats) for held in references if held.nats is not None]
    if ranked:
        best = ranked[0].value.mean
        alone = [replace(row, behind=Estimate(-contest.sign * (row.value.mean - best))) for row in alone]
    rows = [*alone, *_judged(contest, judged, ranked, samples)]
    return tuple(sorted(rows, key=lambda row: -contest.sign * row.value.mean))


def _judged(
    contest: Contest,
    judged: Sequence[tuple[Row, Floats]],
    ranked: Sequence[Row],
    samples: Mapping[str, tuple[Floats, tuple[int, ...]]],
) -> Iterator[Row]:
    """Rows with their intervals over images, and how they stand to the best configuration."""
    if not judged:
        return
    scores = [contest.drawn(nats) for _, nats in judged]
    values = compare.intervals([nats[None] for nats in scores], generator())
    rows = [
        replace(row, value=Estimate.of(values, index).times(contest.sign * contest.scale))
        if np.ptp(nats) > 0  # a uniform guess has no interval: it gives all images the same
        else row
        for index, (row, nats) in enumerate(judged)
    ]
    if not ranked:
        yield from rows
        return
    nats, seeds = zip(*(samples[row.config] for row in ranked), strict=True)
    drawn = [contest.drawn(one) for one in nats]
    for row, against in zip(rows, versus_reference(drawn, seeds, 0, scores, generator()), strict=True):
        deficit = Estimate.of(compare.Interval(*map(np.atleast_1d, against.interval)), 0).times(-contest.scale)
        yield replace(row, behind=deficit, p=against.p, verdict=against.verdict)


def is_beaten(row: Row) -> bool:
    """Whether the best configuration is shown to be better than a reference: beyond noise; by its mean, where noise
    cannot be judged."""
    if row.verdict in (None, Verdict.UNJUDGED):
        return row.behind.mean > 0
    return row.verdict == Verdict.WORSE


def in_short(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Without those of single families but for the best: what a ranking shows."""
    of_families = [row for row in rows if row.family.startswith(PER_FAMILY)]
    return tuple(row for row in rows if row not in of_families[1:])
