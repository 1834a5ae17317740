"""Whether the noise that decoders predict is the noise there is."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from bench.report.figures._kinds import OfBoard
from bench.report.figures._looks import INK, MUTED, Looks
from bench.report.figures._panels import LABEL, by_config, layout
from bench.report.figures._svg import POINTS, styled, tip
from bench.report.figures._text import fit
from bench.report.numbers import number, percent, times
from bench.statistics.boards import Board
from bench.statistics.rows import Row, first_of_each
from bench.store import RunTables

EXTRA = 2  # histograms beyond the first of each family: of so many whose noise is too wide, and as many too narrow
HIGHEST = 4.0  # times the uniform share at which a histogram's bars are cut


@styled
def draw(board: Board, tables: RunTables, looks: Looks) -> Figure | None:
    """PIT histograms, a panel per configuration: the first of each family, and EXTRA others on either side.

    A bar's height is its share over the uniform one. None where no configuration has a histogram.
    """
    histograms = by_config(board, tables.calibration, "bin", "share")
    telling = most_telling(board, histograms)
    if not telling:
        return None
    most = float(histograms.loc[[row.config for row in telling]].max(axis=None)) * histograms.shape[1]
    top = min(max(1.5, 1.08 * most), HIGHEST)
    figure, panels = layout(len(telling), height=92, columns=4, left=40, right=10, top=50, gap=34, bottom=30)
    for axes, row in zip(panels, telling, strict=True):
        shares = histograms.loc[row.config].dropna().to_numpy()
        hue, count = looks.hue(row.family), len(shares)
        bars = axes.bar((np.arange(count) + 0.5) / count, np.minimum(shares * count, top), 0.86 / count,
                        color="none" if row.recipe else hue, edgecolor=hue, linewidth=1, alpha=0.75)  # fmt: skip
        for place, (bar, share) in enumerate(zip(bars, shares, strict=True)):
            tip(bar, f"{place / count:.2f}–{(place + 1) / count:.2f}: {number(share * count, 2)} × uniform")
        axes.axhline(1, color=INK, linewidth=1, linestyle=(0, (4, 2)))
        axes.set(xlim=(0, 1), ylim=(0, top))
        axes.xaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
        axes.yaxis.set_major_locator(FixedLocator(list(range(1, int(top) + 1))))
        axes.grid(visible=False, axis="x")
        _titled(axes, row.label, _in_words(row), hue)
    for axes in panels[::4]:
        axes.set_ylabel("× uniform")
    return figure


def most_telling(board: Board, histograms: pd.DataFrame) -> list[Row]:
    """The first configuration of each family, and of the others those whose noise is farthest off; in board's order."""
    drawable = [row for row in board.everything if row.config in histograms.index]
    first = {row.config for row in first_of_each(drawable, lambda row: row.family)}
    others = [row for row in drawable if row.config not in first and not math.isnan(row.noise_ratio)]
    others.sort(key=lambda row: row.noise_ratio)
    narrow = [row.config for row in others if row.noise_ratio < 1][:EXTRA]
    wide = [row.config for row in reversed(others) if row.noise_ratio > 1][:EXTRA]
    return [row for row in drawable if row.config in {*first, *narrow, *wide}]


def _in_words(row: Row) -> str:
    """What a histogram is labelled with."""
    covered = f"50 %: {percent(row.results.coverage_50)}, 95 %: {percent(row.results.coverage_95)}"
    return covered + (f", noise × {times(row.noise_ratio)}" if math.isfinite(row.noise_ratio) else "")


def _titled(axes: Axes, title: str, text: str, hue: str) -> None:
    room = axes.bbox.width / axes.figure.dpi * POINTS + 6
    for height, line, colour, bold in ((22, title, hue, True), (7, text, MUTED, False)):
        shown = fit(line, room, LABEL, bold=bold)
        note = axes.annotate(shown, (0, 1), xycoords="axes fraction", xytext=(0, height), textcoords="offset points",
                             ha="left", va="bottom", fontsize=LABEL, color=colour,
                             weight="bold" if bold else "normal")  # fmt: skip
        if shown != line:
            tip(note, line)


def title(board: Board) -> Markup:
    """Whose predicted noise is nearest to the noise there is, and whose is farthest from it."""
    judged = [row for row in board.everything if not math.isnan(row.results.pit_deviation)]
    if not judged:
        return Markup("Where the values fall in the distributions that the decoders predict")
    near, far = (end(judged, key=lambda row: row.results.pit_deviation) for end in (min, max))
    least, most = near.results.pit_deviation, far.results.pit_deviation
    if most - least < 0.005:
        who = Markup("<b>{}</b> predicts").format(near.label) if len(judged) == 1 else "the decoders predict"
        return Markup("{} of the values lie elsewhere than {}").format(percent(least), who)
    return Markup(
        "The noise that <b>{0}</b> predicts is nearest to what is there: {1} of the values lie elsewhere; "
        "of <b>{3}</b>, {2}"
    ).format(near.label, percent(least), percent(most), far.label)


FIGURE = OfBoard(
    section="diagnostics",
    order=1,
    draw=draw,
    title=title,
    note=(
        "PIT histograms: where each test value falls in the distribution that the decoder predicts for it, from 0, "
        "below all of it, to 1. Dashed: calibrated. A hill in the middle: the noise is predicted too wide; full ends: "
        f"too narrow. Bars are cut at {HIGHEST:g}. Above each: the share of the values in the central 50 % and 95 % of "
        "what is predicted, and the predicted noise as a multiple of the noise there is. Shown: the first "
        f"configuration of each family, and of the others the {EXTRA} with the widest and the {EXTRA} with the "
        "narrowest noise for what is there."
    ),
)
