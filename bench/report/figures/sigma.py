"""The score over a fixed σ, and where learned ones stand."""

from __future__ import annotations

import math

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.figures._kinds import OfBoard
from bench.report.figures._looks import INK, Looks
from bench.report.figures._marks import beyond, bounded, stroke
from bench.report.figures._panels import head, layout, log_ticks, spread, stem
from bench.report.figures._scores import limits, quantity, uniform_line
from bench.report.figures._svg import styled, tip
from bench.report.figures._text import fit
from bench.report.numbers import all_of, bound, bracket, listed, measured
from bench.statistics.boards import Board
from bench.statistics.claims.scales import Outcome, learned_scales
from bench.statistics.rows import Row, by_family, first_of_each, grouped
from bench.store import RunTables

DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))


@styled
def draw(board: Board, tables: RunTables, looks: Looks) -> Figure | None:
    """The score against a fixed σ, a panel per family, its learned modes as marked lines; None without two fixed σ.

    What is left out of the ranking is an arrow beside the line.
    """
    families = _families(board)
    if not families:
        return None
    low, high = sorted(limits(board, [row for row in board.everything if row.family in families], reach=np.inf))
    figure, panels = layout(len(families), height=270, columns=3, left=64, right=136, top=30, gap=170)
    for axes, (family, fixed) in zip(panels, families.items(), strict=True):
        bounds = [row for row in board.left_out if row.family == family and not math.isnan(row.fixed_sigma)]
        _curves(axes, fixed, bounds, board, looks, (low, high))
        modes = first_of_each(_learned(board, family), lambda row: row.sigma)  # the best of each
        for row in modes:
            line = axes.axhline(row.value.mean, color=INK, linewidth=1, linestyle=(0, (4, 2)), alpha=0.7)
            tip(line, f"{row.label}: {measured(row.value.mean, board.unit)} {bracket(row.value, board.unit)}".rstrip())
        axes.set_xscale("log")
        axes.set_ylim(low, high)
        uniform_line(axes, board, (low, high))
        spread(axes, [(row.value.mean, row.sigma) for row in modes], 106)
        head(axes, family, looks, fixed[0], 106)
        axes.set_xlabel("fixed σ, pixels scaled to [0, 1]")
        axes.set_ylabel("")
        log_ticks(axes, [row.fixed_sigma for row in (*fixed, *bounds)], lambda value: f"{value:.3g}")
    panels[0].set_ylabel(quantity(board))
    return figure


def _curves(
    axes: Axes, fixed: list[Row], bounds: list[Row], board: Board, looks: Looks, window: tuple[float, float]
) -> None:
    """The ranked configurations of a family with a fixed σ as lines, those that are left out as arrows."""
    hue, marker = looks.hue(fixed[0].family), looks.marker(fixed[0].family)
    edge, off = (window[1], beyond("up")) if board.better == "lower" else (window[0], beyond("down"))
    lines = grouped(fixed, stem)
    for dashes, (name, line) in enumerate(lines.items()):
        line = sorted(line, key=lambda row: row.fixed_sigma)
        sigmas = np.array([row.fixed_sigma for row in line])
        means = np.array([row.value.mean for row in line])
        lows, highs = (np.clip([getattr(row.value, end) for row in line], *window) for end in ("low", "high"))
        axes.plot(sigmas, np.clip(means, *window), color=hue, linewidth=1.8,
                  linestyle=DASHES[dashes % len(DASHES)], label=fit(name, 190, 10))  # fmt: skip
        axes.fill_between(sigmas, lows, highs, color=hue, alpha=0.2, linewidth=0)
        for row in line:
            if window[0] <= row.value.mean <= window[1]:
                (mark,) = axes.plot(row.fixed_sigma, row.value.mean, marker=marker, color=hue, markersize=6,
                                    linestyle="", markerfacecolor=looks.face(row.family, row.recipe))  # fmt: skip
            else:
                (mark,) = axes.plot(row.fixed_sigma, edge, marker=off, clip_on=False, **stroke(hue, 6))
            tip(mark, f"{row.label}: {measured(row.value.mean, board.unit)} {bracket(row.value, board.unit)}".rstrip())
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize=10)
    better = bounded("down" if board.better == "lower" else "up")
    for row in bounds:
        (mark,) = axes.plot(row.fixed_sigma, np.clip(row.value.mean, *window), marker=better, clip_on=False,
                            label=f"_{row.label}", **stroke(hue, 9))  # fmt: skip
        tip(mark, f"{row.label}: {bound(row, board.unit)}, left out of the ranking")


def title(board: Board) -> Markup:
    """Which fixed σ is best in each family, and how often a learned one, of the same training, is better still."""
    families = _families(board)
    bests = [str(Markup("{:g} (<b>{}</b>)").format(fixed[0].fixed_sigma, name)) for name, fixed in families.items()]
    text = Markup("The best fixed σ of the grid is {}").format(Markup(listed(bests)))
    compared = [one for one in learned_scales(board) if one.learned.family in families]
    if not compared:
        return text
    better = sum(one.outcome is Outcome.BETTER for one in compared)
    if not better:
        return text + "; no learned σ is clearly better"
    if len(compared) == 1:
        return text + "; the learned σ is better still"
    return text + f"; a learned σ is better still in {all_of(better, len(compared))} comparisons"


def _families(board: Board) -> dict[str, list[Row]]:
    """The ranked configurations with a fixed σ, of each family that was ranked at two or more."""
    fixed = by_family(row for row in board.ranked if not math.isnan(row.fixed_sigma))
    return {family: rows for family, rows in fixed.items() if len({row.fixed_sigma for row in rows}) > 1}


def _learned(board: Board, family: str) -> list[Row]:
    """The ranked configurations of a family that learn σ."""
    return [row for row in board.ranked if row.family == family and row.learns_sigma]


FIGURE = OfBoard(
    section="sigma",
    order=1,
    lines=True,
    draw=draw,
    title=title,
    note=(
        "Bands are 95 % intervals. Dashed lines are the family's learned scales: shared, one number for all; image, "
        "one for each image; pixel, one for each pixel; optimal, the maximum-likelihood number from training "
        "data. Chevrons: off the scale. Arrows: left out of the ranking, at least this good."
    ),
)
