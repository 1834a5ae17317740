"""The differences of two runs as tables, one a board: numbers, a drawn interval and a word for every configuration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.report.numbers import NOTHING, measured, several
from bench.report.tables.entries import Entry, key
from bench.report.two_runs.words import BETTER, p_text, signed, signed_bracket
from bench.statistics.rows import Withheld
from bench.statistics.two_runs.differences import Change, Comparison
from bench.statistics.two_runs.retrained import End, Retrained

DRAWN = 180  # width of a row's drawing in CSS pixels
MARGIN = 7  # of it, where no interval is drawn
REACH = 8.0  # typical intervals that a drawing is wide at most: one far row does not flatten all others
#: what is said of a row, and how it looks
LOOKS = {
    Change.WORSE: ("worse", "lost"),
    Change.SLIGHT: ("slightly worse", "slight"),
    Change.BETTER: ("better", "gained"),
    Change.NONE: ("within noise", "same"),
    Change.UNJUDGED: ("not judged", "same"),
    Change.IDENTICAL: ("identical", "same"),
}


@dataclass(frozen=True)
class Drawn:
    """A difference with its interval in CSS pixels; `beyond` where the drawing ends before it."""

    dot: float
    low: float
    high: float
    beyond: str = ""  # "left" or "right"


@dataclass(frozen=True)
class Line:
    """A configuration of both runs."""

    label: str
    doubtful: bool
    seeds: int
    before: Entry
    after: Entry
    difference: Entry  # the interval is its small text
    drawn: Drawn
    p: Entry
    said: str
    look: str
    ends: str  # how its trainings ended, "" where nobody asked


@dataclass(frozen=True)
class Differences:
    """The configurations of a board, regressions first."""

    title: str
    about: str
    unit: str
    lines: list[Line]
    axis: tuple[str, str]  # what lies to the left and to the right of zero
    zero: float
    threshold: float | None  # where a loss begins to count; None where that is beyond the drawing


def tables(found: Comparison, thresholds: Mapping[str, float], changed: Retrained | None) -> Iterator[Differences]:
    """A table for every board that both runs have."""
    for (board, unit, images), rows in found.configurations.groupby(["board", "unit", "images"], sort=False):
        edge = _edge(rows, thresholds[unit])
        lower = BETTER[unit] == "lower"
        cut = thresholds[unit] if lower else -thresholds[unit]
        better, worse = (f"{signed(by, unit)} {word}" for by, word in _sides(edge, lower))
        identical = int((rows["change"] == Change.IDENTICAL).sum())
        yield Differences(
            title=str(board),
            about=" · ".join(
                [
                    f"{unit}, {BETTER[unit]} is better",
                    several(len(rows), "configuration") + _identical(identical, len(rows)),
                    several(int(images), "test image"),
                ]
            ),
            unit=unit,
            lines=[_line(row, edge, changed) for row in rows.itertuples(index=False)],
            axis=(better, worse) if lower else (worse, better),
            zero=_place(0.0, edge),
            threshold=_place(cut, edge) if abs(cut) < edge else None,
        )


def _identical(identical: int, whole: int) -> str:
    if not identical:
        return ""
    return (
        f", {identical} of them identical" if identical < whole else ", identical" if whole == 1 else ", all identical"
    )


def _sides(edge: float, lower: bool) -> tuple[tuple[float, str], tuple[float, str]]:
    """The ends of an axis, the better one first."""
    return (-edge if lower else edge, "better"), (edge if lower else -edge, "worse")


def _edge(rows: pd.DataFrame, threshold: float) -> float:
    """How far a drawing reaches to either side of zero."""
    changed = rows[rows["change"] != Change.IDENTICAL]
    if changed.empty:
        return 2 * threshold or 1.0
    ends = changed[["difference", "low", "high"]].abs().max(axis=1).to_numpy(dtype=float)
    return max(min(float(ends.max()), REACH * float(np.median(ends))), 2 * threshold) * 1.02


def _line(row: Any, edge: float, changed: Retrained | None) -> Line:
    said, look = LOOKS[row.change]
    ends = changed.configurations.loc[row.config] if changed else None
    return Line(
        label=row.label,
        doubtful=bool(row.doubtful),
        seeds=int(row.seeds),
        before=Entry(measured(row.before, row.unit), key(row.before)),
        after=Entry(measured(row.after, row.unit), key(row.after)),
        difference=Entry(
            signed(row.difference, row.unit), key(row.difference), signed_bracket(row.low, row.high, row.unit)
        ),
        drawn=_drawn(row, edge),
        p=Entry(NOTHING if row.change in (Change.IDENTICAL, Change.UNJUDGED) else p_text(row.p), key(row.p)),
        said=said + (f": {Withheld.FEW_IMAGES}" if row.change == Change.UNJUDGED else ""),
        look=look,
        ends="" if ends is None else _ends(ends["before"], ends["after"]),
    )


def _ends(before: End, after: End) -> str:
    """How the trainings of a configuration ended."""
    return f"{before} in both" if before == after else f"{before} → {after}"


def _drawn(row: Any, edge: float) -> Drawn:
    dot = _place(row.difference, edge)
    if abs(row.difference) > edge:
        return Drawn(dot, dot, dot, "right" if row.difference > 0 else "left")
    if math.isnan(row.low):
        return Drawn(dot, dot, dot)
    return Drawn(dot, _place(row.low, edge), _place(row.high, edge))


def _place(value: float, edge: float) -> float:
    """Where a difference lies in a drawing, in CSS pixels."""
    share = (value + edge) / (2 * edge)
    return round(MARGIN + (DRAWN - 2 * MARGIN) * float(np.clip(share, 0, 1)), 1)
