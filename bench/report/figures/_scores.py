"""The axis of scores: what it is called, which part of it is shown, and where references lie on it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from bench.report.figures._looks import MUTED
from bench.statistics.boards import Board
from bench.statistics.rows import Estimate, Row

#: references that figures draw, but for the uniform guess, and what stands beside their line
DRAWN = {"histogram": "histogram", "product_mixture": "mixture"}


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


def uniform_line(axes: Axes, board: Board, window: tuple[float, float], *, vertical: bool) -> None:
    """The score of a uniform guess, where it lies in the window."""
    if not min(window) <= board.uniform <= max(window):
        return
    (axes.axvline if vertical else axes.axhline)(board.uniform, color=MUTED, linewidth=1)
    where = (board.uniform, 1) if vertical else (0, board.uniform)
    axes.annotate(
        "uniform guess",
        where,
        xycoords=("data", "axes fraction") if vertical else ("axes fraction", "data"),
        xytext=(-4, -3) if vertical else (3, -3),
        textcoords="offset points",
        ha="right" if vertical else "left",
        va="top",
        fontsize=10,
        color=MUTED,
    )


def plain_lines(axes: Axes, board: Board, window: tuple[float, float]) -> None:
    """Upright lines at what needs no network, a histogram and a mixture of products, where they lie in the window."""
    for row in board.references:
        if row.family not in DRAWN or not min(window) <= row.value.mean <= max(window):
            continue
        axes.axvline(row.value.mean, color=MUTED, linewidth=1, zorder=0)
        axes.annotate(
            DRAWN[row.family],
            (row.value.mean, 0),
            xycoords=("data", "axes fraction"),
            xytext=(-2, 3),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="bottom",
            fontsize=9,
            color=MUTED,
        )
