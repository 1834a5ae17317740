"""Figures of what lies behind a score: whether the predicted noise is the noise there is, and what the latent carries.

Each is a function from a board and a table of the run to a figure, or to None where there is nothing to draw.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from bench.report.figures._panels import layout
from bench.report.figures._svg import INK, MUTED, RULE, Looks, styled
from bench.report.numbers import percent, times
from bench.statistics.boards import Board

EXTRA = 2  # histograms beyond the first of each family: of so many whose noise is too wide, and as many too narrow
HIGHEST = 4.0  # times the uniform share at which a histogram's bars are cut
LETTERS = 34  # of a title over a small panel
LATENT_WIDTH = 724


@styled
def calibration(board: Board, shares: pd.DataFrame, looks: Looks) -> Figure | None:
    """PIT histograms, a panel per configuration: the first of each family, and EXTRA others on either side.

    A bar's height is its share over the uniform one. None where no configuration has a histogram.
    """
    histograms = by_config(board, shares, "bin", "share")
    shown = telling(board, histograms)
    if shown.empty:
        return None
    most = float(histograms.loc[shown["config"]].max(axis=None)) * histograms.shape[1]
    top = min(max(1.5, 1.08 * most), HIGHEST)
    figure, panels = layout(len(shown), height=92, columns=4, left=40, right=10, top=50, gap=34, bottom=30)
    for axes, (_, row) in zip(panels, shown.iterrows(), strict=True):
        heights = histograms.loc[row["config"]].dropna().to_numpy()
        hue, count = looks.hue(row["family"]), len(heights)
        face = "none" if row["recipe"] else hue
        axes.bar((np.arange(count) + 0.5) / count, np.minimum(heights * count, top), 0.86 / count, color=face,
                 edgecolor=hue, linewidth=1, alpha=0.75)  # fmt: skip
        axes.axhline(1, color=INK, linewidth=1, linestyle=(0, (4, 2)))
        axes.set(xlim=(0, 1), ylim=(0, top))
        axes.xaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
        axes.yaxis.set_major_locator(FixedLocator(list(range(int(top) + 1))))
        axes.grid(visible=False, axis="x")
        _titled(axes, str(row["label"]), _in_words(row), hue)
    for axes in panels[::4]:
        axes.set_ylabel("× uniform")
    return figure


@styled
def latents(board: Board, dimensions: pd.DataFrame, looks: Looks) -> Figure | None:
    """KL of every latent dimension, sorted: the first configuration of each family in its colour, all others in grey.

    None where no configuration has them. Seeds are averaged after sorting: dimensions have no identity across them.
    """
    ordered = dimensions.sort_values(["cell", "kl_nats"], ascending=[True, False])
    ordered = ordered.assign(place=ordered.groupby("cell").cumcount() + 1)
    curves = by_config(board, ordered, "place", "kl_nats")
    whole = board.everything
    rows = whole[whole["config"].isin(curves.index)]
    if rows.empty:
        return None
    first = rows.drop_duplicates("family")
    figure, (axes,) = layout(1, height=250, columns=1, left=64, right=200, top=10, width=LATENT_WIDTH)
    for config in rows.loc[~rows["config"].isin(first["config"]), "config"]:
        axes.plot(curves.columns, curves.loc[config], color=RULE, linewidth=1.2, zorder=1)
    handles = []
    for _, row in first.iterrows():
        hue, family = looks.hue(row["family"]), row["family"]
        (line,) = axes.plot(curves.columns, curves.loc[row["config"]], color=hue, linewidth=1.5,
                            marker=looks.marker(family), markersize=5, alpha=0.9,
                            markerfacecolor=looks.face(family, bool(row["recipe"])), label=family)  # fmt: skip
        handles.append(line)
    if len(rows) > len(first):
        handles.append(Line2D([], [], color=RULE, linewidth=1.2, label="all others"))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.set(xlabel="latent dimension, the most informative first", ylabel="KL, nats")
    columns = 1 + (len(handles) - 1) // 16
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.03, 0.5), frameon=False, fontsize=10.5,
                ncols=columns)  # fmt: skip
    return figure


def by_config(board: Board, table: pd.DataFrame, key: str, value: str) -> pd.DataFrame:
    """[configuration, key] of a table of cells: means over seeds, for the configurations of the board that have any."""
    configs = {cell: config for config, sample in board.samples.items() for cell in sample.cells}
    own = table[table["cell"].isin(configs)]
    return own.groupby([own["cell"].map(configs), key])[value].mean().unstack(key)


def telling(board: Board, histograms: pd.DataFrame) -> pd.DataFrame:
    """The first configuration of each family, and of the others those whose noise is farthest off; in board's order."""
    whole = board.everything
    known = whole[whole["config"].isin(histograms.index)]
    first = known.drop_duplicates("family").index
    ratio = (known["noise_predicted"] / known["noise_realised"]).drop(first).sort_values()
    narrow, wide = ratio[ratio < 1].index[:EXTRA], ratio[ratio > 1].index[::-1][:EXTRA]
    return known.loc[sorted([*first, *narrow, *wide])]


def _in_words(row: pd.Series) -> str:
    """What a histogram is labelled with."""
    covered = f"50 %: {percent(row['coverage_50'])}, 95 %: {percent(row['coverage_95'])}"
    ratio = row["noise_predicted"] / row["noise_realised"] if row["noise_realised"] > 0 else float("nan")
    return covered + (f", noise × {times(ratio)}" if np.isfinite(ratio) else "")


def _titled(axes: Axes, title: str, text: str, hue: str) -> None:
    shown = title if len(title) <= LETTERS else title[: LETTERS - 1] + "…"
    for height, line, colour, weight in ((22, shown, hue, "bold"), (7, text, MUTED, "normal")):
        axes.annotate(line, (0, 1), xycoords="axes fraction", xytext=(0, height), textcoords="offset points",
                      ha="left", va="bottom", fontsize=10.5, color=colour, weight=weight)  # fmt: skip
