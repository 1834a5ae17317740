"""The axis of scores: what it is called, which part of it is shown, and where references lie on it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from bench.report.figures._looks import MUTED
from bench.report.figures._text import wide
from bench.statistics.boards import Board
from bench.statistics.rows import Estimate, Row

#: references that figures draw, but for the uniform guess, and what stands beside their line
DRAWN = {"histogram": "histogram", "product_mixture": "mixture"}
SMALL, LEVEL = 9, 13  # the size of their names, and what a line of them takes, CSS pixels


def quantity(board: Board) -> str:
    """What a board's axis shows, with its unit and measure."""
    return f"ln P(x), nats ({board.measure})" if board.unit == "nats" else f"bits/dim ({board.measure})"


def limits(board: Board, rows: Sequence[Row] = (), reach: float = 4.0) -> tuple[float, float]:
    """The best and the worst value that an axis shows, with a margin; of all that may be best, where no rows are given.

    What is farther from the best than `reach` times the median's distance is cut off, and so is what is worse than a
    uniform guess over the levels, unless that is where most of them lie.
    """
    values = [row.value for row in rows or (*board.ranked, *board.better_unranked)]
    sign = -board.sign
    losses = np.array([sign * value.mean for value in values])
    best, median, worst = float(losses.min()), float(np.median(losses)), float(losses.max())
    cut = best + reach * (median - best) if median > best else worst
    if sign * board.uniform > median:
        cut = min(cut, sign * board.uniform)
    near, far = zip(*(_reach(value, sign) for value in values), strict=True)
    widest = max(far[place] - near[place] for place in range(min(3, len(values))))
    end = max(min(worst, cut), best + widest)
    end = max(end, *(far[shown] for shown in np.flatnonzero(losses <= end)))
    margin = 0.04 * (end - best) or 0.01 * abs(best) or 1.0
    return sign * (min(best, *near) - margin), sign * (end + margin)


def _reach(value: Estimate, sign: int) -> tuple[float, float]:
    """The ends of an interval as losses, the better one first; of one that is withheld, the value."""
    ends = [sign * value.low, sign * value.high]
    low, high = [sign * value.mean] * 2 if any(map(math.isnan, ends)) else sorted(ends)
    return low, high


def uniform_line(axes: Axes, board: Board, window: tuple[float, float]) -> None:
    """A level line at the score of a uniform guess, where it lies in the window."""
    if not min(window) <= board.uniform <= max(window):
        return
    axes.axhline(board.uniform, color=MUTED, linewidth=1)
    axes.annotate("uniform guess", (0, board.uniform), xycoords=("axes fraction", "data"), xytext=(3, -3),
                  textcoords="offset points", ha="left", va="top", fontsize=10, color=MUTED)  # fmt: skip


def upright(board: Board, window: tuple[float, float], width: float) -> list[tuple[float, str, int]]:
    """What needs no network and lies in the window: a value, a name and the level above the plot, from 0, at which the
    name stands beside no other; `width` of the plot in CSS pixels."""
    low, high = sorted(window)
    lines = [(row.value.mean, DRAWN[row.family]) for row in board.references if row.family in DRAWN]
    ends: list[float] = []  # of the names on each level
    found = []
    for value, name in sorted([*lines, (board.uniform, "uniform guess")]):
        if not low <= value <= high:
            continue
        middle, half = width * (value - low) / (high - low), wide(name, SMALL) / 2
        level = next((place for place, end in enumerate(ends) if end + SMALL < middle - half), len(ends))
        ends[level : level + 1] = [middle + half]
        found.append((value, name, level))
    return found


def upright_lines(axes: Axes, lines: Sequence[tuple[float, str, int]]) -> None:
    """The lines, each with its name above the plot, where no mark is."""
    for value, name, level in lines:
        axes.axvline(value, color=MUTED, linewidth=1, zorder=0)
        axes.annotate(name, (value, 1), xycoords=("data", "axes fraction"), xytext=(0, 3 + level * LEVEL),
                      textcoords="offset points", ha="center", va="bottom", fontsize=SMALL, color=MUTED)  # fmt: skip
