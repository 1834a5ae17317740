"""A drawer a configuration: everything that the run file holds of it, beneath the ranking of its board.

What is not held has no part in it: an older run has no curves, an export no pictures, one image no histogram.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from markupsafe import Markup

from bench.report.figures import Looks
from bench.report.numbers import DIGITS, bound, bracket, measured, percent, several
from bench.report.provenance import origin
from bench.report.tables.drawers import drawings
from bench.report.tables.drawers.command import Again, Source
from bench.report.tables.drawers.images import Ends, Pictures, Shown, Store, ends, heaviest, shown, with_pictures
from bench.report.text.doubts import caution
from bench.report.text.tuning import values_text
from bench.statistics.boards import Board
from bench.statistics.contests import generator
from bench.statistics.rows import Estimate, Row
from bench.statistics.scored import unusable
from bench.store import RunTables
from vae_core.statistics import intervals as compare
from vae_core.statistics.intervals import Floats

MOST = 100  # drawers of a page; a run of thousands keeps it light
#: of a cell's row
OF_CELLS = [
    *("config", "cell", "seed", "status", "reason", "epochs_run", "best_epoch", "ended_by", "khat_bad_fraction"),
    *("device", "weights", "weights_reason", "provenance"),
]
NAMES = re.compile(r"[^A-Za-z0-9_.]+")


@dataclass(frozen=True)
class Seed:
    """One training: what it scored, how it ended, where it came from."""

    seed: int
    cell: str
    score: str  # '' of one that gave none
    interval: str
    worse: str  # than the best at the same seed, '' where that is not known
    ended: str  # or why there is no score
    tail: str  # the share of bad k̂
    device: str
    weights: str  # their file, or why there is none
    invocation: str


@dataclass(frozen=True)
class Drawing:
    svg: Markup
    title: str
    note: str


@dataclass(frozen=True)
class Drawer:
    anchor: str
    label: str
    recipe: bool
    hue: str
    standing: str
    score: str
    caution: str
    again: Again | None
    tuned: str  # what was chosen, and the command chooses again
    seeds: list[Seed]
    drawings: list[Drawing]
    ends: list[Ends]
    ends_note: str
    pictures: Shown | None


@dataclass(frozen=True)
class Drawers:
    """Of a board. `originals`: strips that several drawers show, by key: PNG, width, height. `beyond`: configurations
    that have none."""

    lines: list[Drawer] = field(default_factory=list)
    originals: Mapping[str, tuple[str, int, int]] = field(default_factory=dict)
    beyond: int = 0

    @cached_property
    def links(self) -> Mapping[str, str]:
        """Where a row's name leads, by its label; where two configurations are called alike, nowhere."""
        labels = [line.label for line in self.lines]
        return {line.label: line.anchor for line in self.lines if labels.count(line.label) == 1}


def shares(sizes: Sequence[int]) -> list[int]:
    """How many of each board have a drawer: `MOST` in all, what a small board needs not for the others."""
    left, found = MOST, [0] * len(sizes)
    for done, place in enumerate(sorted(range(len(sizes)), key=lambda place: sizes[place])):
        found[place] = min(sizes[place], left // (len(sizes) - done))
        left -= found[place]
    return found


def drawers(board: Board, tables: RunTables, looks: Looks, prefix: str, most: int = MOST) -> Drawers:
    """Of the first `most` configurations, in the order of the board; `prefix` begins the ids of what they share."""
    rows = board.everything[:most]
    store = Store(prefix)
    held = _Held(board, tables, rows)
    lines = [_drawer(row, board, looks, held, store) for row in rows]
    return Drawers(lines, store.kept, len(board.everything) - len(rows))


def anchor(config: str) -> str:
    """The id of a configuration's drawer: made of its own id alone, so that a link survives a re-run and a new rank."""
    return f"config-{NAMES.sub('-', config)}"


class _Held:
    """What the run holds of the rows, looked up once for all of them."""

    def __init__(self, board: Board, tables: RunTables, rows: Sequence[Row]) -> None:
        configs = [row.config for row in rows]
        self.source = Source.of(tables)
        own = tables.cells[tables.cells["config"].isin(configs)].sort_values("seed")
        self.cells: dict[str, list[dict[str, object]]] = {config: [] for config in configs}
        for cell in own.reindex(columns=OF_CELLS).to_dict("records"):  # older exports lack some of them
            self.cells[str(cell["config"])].append({str(name): value for name, value in cell.items()})
        self._known = set(own["cell"])
        self.reasons = dict(unusable(tables)[["cell", "reason"]].itertuples(index=False))
        self.pictures: Pictures = tables.pictures
        self.history = self._by_cell(tables.history)
        self.calibration = self._by_cell(tables.calibration)
        doubted = {cell for row in rows if not row.trusted for cell in board.samples[row.config].cells}
        self.khat = self._by_cell(tables.per_image[tables.per_image["cell"].isin(doubted)])
        self.invocations = {entry["id"]: origin(entry) for entry in tables.provenance if "id" in entry}
        self.means = {row.config: board.samples[row.config].nats.mean(axis=0) for row in board.ranked}
        # compared with the average configuration; a board of one has none but itself
        self.average: Floats | None = np.mean(list(self.means.values()), axis=0) if len(self.means) > 1 else None
        scores = [(seed, board.drawn(sample.nats[[at]])) for config in configs for sample in [board.samples[config]]
                  for at, seed in enumerate(sample.cells)]  # fmt: skip
        found = compare.intervals([nats for _, nats in scores], generator()) if scores else None
        self.scores = {
            cell: Estimate.of(found, place).possible().times(board.sign * board.scale)
            for place, (cell, _) in enumerate(scores)
            if found is not None
        }

    def _by_cell(self, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
        if table.empty:
            return {}
        own = table[table["cell"].isin(self._known)]
        return {str(cell): group for cell, group in own.groupby("cell", sort=False)}


def _drawer(row: Row, board: Board, looks: Looks, held: _Held, store: Store) -> Drawer:
    sample = board.samples[row.config]
    seen = with_pictures(sample.cells, held.pictures)
    originals = None if seen is None else held.pictures[seen, "original"]
    at_ends, note = _ends(row, board, held, originals)
    return Drawer(
        anchor=anchor(row.config),
        label=row.label,
        recipe=row.recipe,
        hue=looks.variable(row.family),
        standing=f"{row.rank} of {len(board.ranked)}" if row.rank else "left out",
        score=f"{bound(row, board.unit)} {board.unit} {bracket(row.value, board.unit)}".rstrip(),
        caution=caution(row.doubts, board.unit),
        again=held.source.again(row.config, row.tuned.values),
        tuned=values_text(row.tuned.values) if row.tuned else "",
        seeds=_seeds(row, board, held),
        drawings=_drawings(row, board, held),
        ends=at_ends,
        ends_note=note,
        pictures=None if seen is None else shown(seen, sample.seeds[sample.cells.index(seen)], held.pictures, store),
    )


def _seeds(row: Row, board: Board, held: _Held) -> list[Seed]:
    best = board.ranked[0].config if board.ranked else row.config
    shared = board.samples[best].seeds
    pairs = board.difference(best, row.config) if row.trusted and row.config != best else None
    # the rows of `difference` are in the order of the seeds of its first, the best
    both = [seed for seed in shared if seed in board.samples[row.config].seeds]
    worse = {} if pairs is None else dict(zip(both, map(float, pairs.mean(axis=1) * board.scale), strict=True))
    return [_seed(cell, board, held, worse) for cell in held.cells[row.config]]


def _seed(cell: Mapping[str, object], board: Board, held: _Held, worse: Mapping[int, float]) -> Seed:
    name, seed = str(cell["cell"]), int(str(cell["seed"]))
    estimate = held.scores.get(name)
    return Seed(
        seed=seed,
        cell=name,
        score=measured(estimate.mean, board.unit) if estimate else "",
        interval=bracket(estimate, board.unit) if estimate else "",
        worse=measured(worse[seed], board.unit) if seed in worse and estimate else "",
        ended=_ended(cell) if estimate else f"{cell['status']}: {held.reasons.get(name, cell['reason'])}",
        tail=percent(_known(cell.get("khat_bad_fraction"))) if estimate else "",
        device=_word(cell.get("device")),
        weights=_word(cell.get("weights")) or _word(cell.get("weights_reason")),
        invocation=held.invocations.get(_known(cell.get("provenance")), ""),
    )


def _ended(cell: Mapping[str, object]) -> str:
    epochs, best = _known(cell.get("epochs_run")), _known(cell.get("best_epoch"))
    if epochs is None:
        return ""
    kept = f", best in {best:,.0f}" if best is not None else ""
    how = {"patience": ", ended", "limit": ", at its limit"}.get(_word(cell.get("ended_by")), "")
    return f"{several(int(epochs), 'epoch')}{how}{kept}"


def _drawings(row: Row, board: Board, held: _Held) -> list[Drawing]:
    found = []
    worse = _worse(row, board)
    if worse is not None and board.images > 1:
        better, seeds = int((worse < 0).sum()), several(_shared(row, board), "seed")
        found.append(
            Drawing(
                drawings.differences(worse, DIGITS[board.unit]),
                "Paired differences to the best",
                f"By how much each image is worse than under {board.ranked[0].label}, {board.unit}, mean over {seeds}; "
                f"the dashed line is 0, and {better:,} of {several(len(worse), 'image')} "
                f"{'lies' if better == 1 else 'lie'} left of it, better. The outermost bars hold what lies beyond.",
            )
        )
    sample = board.samples[row.config]
    courses = {seed: held.history[cell] for seed, cell in zip(sample.seeds, sample.cells, strict=True)
               if cell in held.history}  # fmt: skip
    if (svg := drawings.curves(courses)) is not None:
        found.append(
            Drawing(
                svg,
                "Training",
                "The objective, a line a seed. Solid: validation images; dashed: training images. "
                "The steep beginning is cut off.",
            )
        )
    histograms = [held.calibration[cell].sort_values("bin")["share"].to_numpy(dtype=float) for cell in sample.cells
                  if cell in held.calibration]  # fmt: skip
    if histograms and len({len(shares) for shares in histograms}) == 1:
        inside = f"{percent(row.results.coverage_50)} and {percent(row.results.coverage_95)}"
        found.append(
            Drawing(
                drawings.pit(np.mean(histograms, axis=0)),
                "PIT histogram",
                f"Dashed: calibrated. In the central 50 % and 95 % of what is predicted lie {inside} of the values.",
            )
        )
    return found


def _worse(row: Row, board: Board) -> Floats | None:
    """By what each image is worse than under the best, in the board's unit, mean over the seeds that both have; None of
    the best, of bounds that are compared with nothing, and where there is no such seed."""
    if not row.trusted or row.rank == 1 or not board.ranked:
        return None
    pairs = board.difference(board.ranked[0].config, row.config)
    return None if pairs is None else pairs.mean(axis=0) * board.scale


def _shared(row: Row, board: Board) -> int:
    return len(set(board.samples[row.config].seeds) & set(board.samples[board.ranked[0].config].seeds))


def _ends(row: Row, board: Board, held: _Held, originals: np.ndarray | None) -> tuple[list[Ends], str]:
    """The images where it does worst and best, and against what."""
    digits = DIGITS[board.unit]
    if not row.trusted:
        tables = [held.khat[cell] for cell in board.samples[row.config].cells if cell in held.khat]
        khat = [table.sort_values("image", kind="stable")["khat"].to_numpy(dtype=float) for table in tables]
        if not khat or not np.isfinite(khat).any():
            return [], ""
        return [heaviest(np.max(khat, axis=0), originals)], (
            "By the k̂ of their importance weights, of the worst seed: where the bound is least to be believed. "
            "It is compared with nothing."
        )
    worse, against = _worse(row, board), f"{board.ranked[0].label}, the best"
    if worse is None:
        if held.average is None:
            return [], ""
        worse = (held.average - held.means[row.config]) * board.scale
        against = f"the mean of all {len(board.ranked)} that are ranked"
    found = ends(worse, digits, originals)
    return (found, f"By how much they are worse than under {against}, {board.unit}.") if found else ([], "")


def _known(value: object) -> float | None:
    return None if value is None or value != value else float(str(value))


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""
