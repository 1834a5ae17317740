"""Two runs of one grid, compared cell by cell: what has become worse or better, what is new, missing or fails now.

A is the run before, B the run after. Cells are paired by their id, which hashes their whole spec; the seeds of one
configuration are joined. Only probabilities of levels are compared (`pmf-2` in nats, `pmf-K` in bits/dim), never
densities or unnormalised objectives. Numbers of different images are not paired: that is an error, not a result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from bench.grid.errors import UserError
from bench.statistics.contests import UNITS, Contest, contests, generator, specs
from bench.statistics.rows import Estimate, Withheld
from bench.statistics.scored import impossible_scores
from bench.store import BAD_SHARE, RunTables
from vae_core.statistics import intervals as compare
from vae_core.statistics.intervals import Floats
from vae_core.statistics.significance import holm

# What is worth failing a check for: half or one unit of the last digit that people quote of such numbers.
THRESHOLDS = {"bits/dim": 0.005, "nats": 0.1}
SPEEDS = ("train_images_per_s", "eval_decodes_per_s")


class DifferencesError(UserError):
    """Two runs that cannot be compared; the message is one sentence."""


class Change(StrEnum):
    """What became of a configuration from A to B; in the order in which they are shown."""

    WORSE = "worse"
    SLIGHT = "slightly worse"  # significant, below the threshold
    BETTER = "better"
    NONE = "no difference"  # beyond what images and seeds explain
    UNJUDGED = f"not judged: {Withheld.FEW_IMAGES}"
    IDENTICAL = "identical"


@dataclass(frozen=True)
class Comparison:
    """What two runs say about one another.

    configurations: one row each, regressions first: board, unit, images, label, config, seeds, before, after,
    difference, low, high (B - A in the unit), loss (positive is worse), p (corrected for all rows that could differ),
    change, doubtful. The others have a row a cell (cell, label, seed, reason): new and missing ones, newly failed and
    newly done ones, those that failed in both, and those left out although both are done.
    speeds: kind, and the ratio B/A of each of SPEEDS; None where the devices differ.
    """

    configurations: pd.DataFrame
    new: pd.DataFrame
    missing: pd.DataFrame
    newly_failed: pd.DataFrame
    newly_done: pd.DataFrame
    failed: pd.DataFrame
    left_out: pd.DataFrame
    speeds: pd.DataFrame | None
    unchecked: list[str]  # data sets whose checksum one of the runs does not tell

    def count(self, change: Change) -> int:
        return int((self.configurations["change"] == change).sum())

    @property
    def regressed(self) -> bool:
        """Whether a configuration is worse beyond the threshold, or a cell that was done fails now."""
        return self.count(Change.WORSE) > 0 or not self.newly_failed.empty


def differences(before: RunTables, after: RunTables, thresholds: Mapping[str, float] = THRESHOLDS) -> Comparison:
    """Compare the run `after` (B) with the run `before` (A). Raises DifferencesError where data or images differ."""
    _refuse_other_data(before, after)
    a, b = (tables.cells.set_index("cell", drop=False).rename_axis(None) for tables in (before, after))
    both = a.index.intersection(b.index, sort=False)
    was, now = a.loc[both, "status"] == "done", b.loc[both, "status"] == "done"
    paired = both[was & now]
    pairs = {cell: pair for cell, pair in _per_image(before, after, set(paired)).items() if np.isfinite(pair).all()}
    beyond = {
        cell: f"in {run}, {reason}"
        for run, tables in (("B", after), ("A", before))
        for cell, reason in impossible_scores(tables).items()
    }
    reasons = {
        cell: reason
        for cell in paired
        if (reason := _unfit(a.loc[cell], b.loc[cell], cell in pairs) or beyond.get(cell))
    }
    usable = b.loc[[cell for cell in paired if cell not in reasons]]
    return Comparison(
        configurations=_configurations(usable, a, pairs, thresholds, after.meta or before.meta),
        new=_listed(b.drop(index=both)),
        missing=_listed(a.drop(index=both)),
        newly_failed=_listed(b.loc[both[was & ~now]]),
        newly_done=_listed(b.loc[both[~was & now]]),
        failed=_listed(b.loc[both[~was & ~now]]),
        left_out=_listed(b.loc[list(reasons)].assign(reason=list(reasons.values()))),
        speeds=_speeds(a, b) if devices(before) == devices(after) else None,
        unchecked=sorted({spec.key for spec in specs(usable)} - (_checksums(before).keys() & _checksums(after).keys())),
    )


def devices(tables: RunTables) -> set[str]:
    """The devices that a run was computed on: what its cells say and, where it is known, the processor's name."""
    named = {str(facts["device"]["name"]) for facts in tables.provenance if facts.get("device", {}).get("name")}
    return named or set(tables.cells["device"].dropna().astype(str))


def _refuse_other_data(before: RunTables, after: RunTables) -> None:
    old, new = _checksums(before), _checksums(after)
    for name in old.keys() & new.keys():
        if old[name] != new[name]:
            raise DifferencesError(
                f"the data set {name} is not the same in both runs (checksum {old[name][:8]} in A, {new[name][:8]} "
                "in B); only runs on the same data can be compared."
            )


def _checksums(tables: RunTables) -> dict[str, str]:
    data: dict[str, dict[str, Any]] = tables.meta.get("data", {})
    return {key: str(facts["checksum"]) for key, facts in data.items() if "checksum" in facts}


def _per_image(before: RunTables, after: RunTables, cells: set[str]) -> dict[str, Floats]:
    """ln P of every test image of the cells, in A and in B: [2, N] nats. Raises where the images are not the same."""
    sides = []
    for tables in (before, after):
        rows = tables.per_image[tables.per_image["cell"].isin(cells)].sort_values("image", kind="stable")
        sides.append({str(cell): group for cell, group in rows.groupby("cell", sort=False)})
    pairs = {}
    for cell in sides[0].keys() & sides[1].keys():
        a, b = (side[cell] for side in sides)
        if not np.array_equal(a["image"], b["image"]):
            raise DifferencesError(
                f"{cell} was scored on {len(a):,} test images in A and on {len(b):,} in B that are not the same; "
                "only runs on the same images can be compared."
            )
        pairs[cell] = np.stack([a["iw_nats"].to_numpy(dtype=float), b["iw_nats"].to_numpy(dtype=float)])
    return pairs


def _unfit(a: pd.Series, b: pd.Series, scored: bool) -> str | None:
    """Why a cell that is done in both runs cannot be compared, None if it can."""
    if not scored or not np.isfinite([a["bits_per_dim"], b["bits_per_dim"]]).all():
        return "one of the runs has no finite log-likelihood of every test image"
    if a["measure"] != b["measure"] or b["currency"] not in UNITS:
        return f"its numbers are not of one measure: {a['measure']} in A, {b['measure']} in B"
    return None


def _doubtful(cells: pd.DataFrame) -> bool:
    """Whether a bound is not to be believed by its k̂; an unknown one is not, nor that of a run which knew no k̂."""
    column = cells.get("khat_bad_fraction")
    return column is None or not bool((pd.to_numeric(column) <= BAD_SHARE).all())


@dataclass(frozen=True)
class _Line:
    """One configuration of both runs: a row of Comparison.configurations, and what its change follows from."""

    board: str
    unit: str
    images: int
    label: str
    config: str
    seeds: int
    before: float
    after: float
    difference: float
    low: float
    high: float
    loss: float
    doubtful: bool
    p: float  # not yet corrected; NaN where nothing is judged
    same: bool = False  # every number of every image
    clear: bool = False  # the interval leaves zero out


def _configurations(
    cells: pd.DataFrame,
    before: pd.DataFrame,
    pairs: Mapping[str, Floats],
    thresholds: Mapping[str, float],
    meta: Mapping[str, Any],
) -> pd.DataFrame:
    """One row per configuration of `cells` (of B, indexed by cell); noise is judged within a contest, p over all."""
    images = {cell: pairs[cell].shape[1] for cell in cells["cell"]}
    lines = [line for contest, group in contests(cells, images, meta) for line in _lines(contest, group, before, pairs)]
    table = pd.DataFrame(lines, columns=[field.name for field in fields(_Line)])
    tested = ~table["same"].astype(bool) & table["p"].notna()
    table.loc[tested, "p"] = holm(table.loc[tested, "p"].to_numpy(dtype=float))
    table["change"] = [
        _change(line, line.clear and line.p < 1 - compare.LEVEL, thresholds[line.unit])
        for line in table.itertuples(index=False)
    ]
    table["order"] = table["change"].map(list(Change).index)
    table = table.sort_values(["order", "loss"], ascending=[True, False], kind="stable")
    return table.drop(columns=["same", "clear", "order"]).reset_index(drop=True)


def _lines(contest: Contest, cells: pd.DataFrame, before: pd.DataFrame, pairs: Mapping[str, Floats]) -> Iterator[_Line]:
    """The configurations of one contest; those that could differ carry an uncorrected p."""
    factor = contest.sign * contest.scale
    groups = dict(list(cells.groupby("config", sort=False)))
    both = {config: np.stack([pairs[cell] for cell in group["cell"]]) for config, group in groups.items()}  # [S, 2, N]
    gains = {config: pair[:, 1] - pair[:, 0] for config, pair in both.items()}
    changed = [config for config, gain in gains.items() if gain.any()]
    drawn = [contest.drawn(gains[config]) for config in changed]
    changes = compare.changes(drawn, generator()) if changed else None
    for config, group in groups.items():
        was, now = factor * both[config].mean(axis=(0, 2))
        line = _Line(
            board=f"{contest.dataset}{f' ({contest.made})' if contest.made else ''} {contest.measure}",
            unit=contest.unit,
            images=contest.images,
            label=group["label"].iloc[0],
            config=config,
            seeds=len(group),
            before=was,
            after=now,
            difference=0.0,
            low=0.0,
            high=0.0,
            loss=0.0,
            doubtful=_doubtful(group) or _doubtful(before.loc[group.index]),
            p=1.0,
            same=True,
        )
        if changes is None or config not in changed:
            yield line
            continue
        index = changed.index(config)
        gain = Estimate.of(changes.interval, index).times(factor)
        yield replace(
            line,
            difference=gain.mean,
            low=gain.low,
            high=gain.high,
            loss=-contest.sign * gain.mean,
            p=float(changes.p[index]),
            same=False,
            clear=bool(changes.clear[index]),
        )


def _change(line: Any, significant: bool, threshold: float) -> Change:
    if line.same:
        return Change.IDENTICAL
    if np.isnan(line.p):
        return Change.UNJUDGED
    if not significant:
        return Change.NONE
    if line.loss < 0:
        return Change.BETTER
    return Change.WORSE if line.loss > threshold else Change.SLIGHT


def _listed(cells: pd.DataFrame) -> pd.DataFrame:
    reason = cells["reason"].where(cells["reason"].notna(), "").astype(str)
    listed = cells.assign(reason=reason).reset_index(drop=True)
    return listed[["cell", "label", "seed", "status", "reason"]]


def _speeds(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """The ratios B/A of each kind of cell that both runs have timed."""
    old, new = (cells.groupby("kind", sort=False)[list(SPEEDS)].median() for cells in (a, b))
    kinds = old.index.intersection(new.index, sort=False)
    return (new.loc[kinds] / old.loc[kinds]).dropna(how="all").reset_index()
