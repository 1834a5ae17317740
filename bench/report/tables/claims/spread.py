"""The table of what a spread is made of: a line for each thing in which configurations differ alone, and tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.numbers import NOTHING, bracket, measured, number, several
from bench.report.text.claims.spread import name
from bench.statistics.boards import Board
from bench.statistics.claims.spread import Axis, Effect, spread, tuning
from bench.statistics.tuning import Search

NO_PAIRS = "no two configurations differ in this alone"
DIGITS = 3  # of tuning, in bits/dim


@dataclass(frozen=True)
class Part:
    """One line."""

    name: str
    compared: str  # or that there is nothing to compare
    typical: str
    span: str
    clear: str
    example: str
    unended: str  # how many comparisons have a training that had not ended


@dataclass(frozen=True)
class Pair:
    """One comparison, of the list below the table."""

    name: str
    better: str
    worse: str
    gain: str
    interval: str
    unended: bool


@dataclass(frozen=True)
class Spread:
    """The table of a board, all comparisons that it was made from, and what is said of tuning ('' without)."""

    unit: str
    parts: list[Part]
    pairs: list[Pair]
    tuning: Part | None
    unjudged: str


def spread_table(board: Board, searches: Sequence[Search]) -> Spread | None:
    """What the spread of a board is made of; None where fewer than two configurations are ranked."""
    if len(board.ranked) < 2:
        return None
    axes = spread(board)
    tuned, unjudged = _tuning(board, searches)
    return Spread(
        unit=board.unit,
        parts=[_part(axis, board.unit) for axis in axes],
        pairs=[_pair(axis, effect, board.unit) for axis in axes for effect in axis.effects],
        tuning=tuned,
        unjudged=unjudged,
    )


def _part(axis: Axis, unit: str) -> Part:
    title = name(axis)
    largest = axis.largest
    if largest is None:
        why = NO_PAIRS if not axis.unpaired else "those that differ in this alone share no seed"
        return Part(title[:1].upper() + title[1:], why, NOTHING, "", NOTHING, NOTHING, "")
    count = len(axis.effects)
    sizes = sorted({effect.size for effect in axis.effects})
    of = "" if axis.directed else f" of {sizes[0]}" if len(sizes) == 1 else f" of {sizes[0]} to {sizes[-1]}"
    unended = sum(effect.unended for effect in axis.effects)
    return Part(
        name=title[:1].upper() + title[1:] + (": bins instead of dequantised data" if axis.directed else ""),
        compared=several(count, "pair" if axis.directed else "set") + of,
        typical=measured(axis.typical, unit),
        span=f"{measured(axis.low, unit)} to {measured(axis.high, unit)}" if count > 1 else "",
        clear=f"{sum(effect.clear for effect in axis.effects)} of {count}",
        example=f"{largest.better.label} over {largest.worse.label}: {_gain(largest, unit)}",
        unended=f"{unended} not ended" if unended else "",
    )


def _pair(axis: Axis, effect: Effect, unit: str) -> Pair:
    gain = effect.gain
    interval = bracket(gain, unit)
    title = name(axis)
    return Pair(title, effect.better.label, effect.worse.label, measured(gain.mean, unit), interval, effect.unended)


def _gain(effect: Effect, unit: str) -> str:
    return f"{measured(effect.gain.mean, unit)} {bracket(effect.gain, unit)}".strip()


def _tuning(board: Board, searches: Sequence[Search]) -> tuple[Part | None, str]:
    """The line of tuning, whose numbers are bounds of validation images; and what it says nothing of."""
    found = tuning(searches, [row.config for row in board.ranked])
    if found is None:
        return None, ""
    part = Part(
        name="Tuning: the chosen candidate over another",
        compared=f"{found.searches} {'search' if found.searches == 1 else 'searches'}",
        typical=number(found.median, DIGITS),
        span=f"worst candidate: {number(found.low, DIGITS)} to {number(found.high, DIGITS)}, median "
        f"{number(found.worst, DIGITS)}",
        clear=NOTHING,
        example=f"{found.most}: {number(found.high, DIGITS)} ± {number(found.most_se, DIGITS)} over its worst",
        unended="",
    )
    let_go = several(found.unjudged, "candidate")
    return part, f"{let_go} let go early or failed, so that what tuning gains over the worst is more." if (
        found.unjudged
    ) else ""
