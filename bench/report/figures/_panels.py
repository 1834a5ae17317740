"""Panels of a figure laid out in CSS pixels, and what is written in and beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.report.figures._looks import MUTED, Looks
from bench.report.figures._svg import POINTS, tip
from bench.report.figures._text import fit, wide
from bench.statistics.boards import Board
from bench.statistics.rows import Row

WIDTH = 1160  # CSS pixels of a full-width figure
LABEL = 10.5  # the size of what is written beside a plot
UNDER = 5  # CSS pixels that it stays below the top of the plot, for a long name over that reaches there
HEAD = 13  # and of the name over one
MARKED = 15  # CSS pixels that the marker before that name takes


def layout(
    count: int,
    *,
    height: int,
    columns: int,
    left: int,
    right: int,
    top: int,
    gap: int = 0,
    bottom: int = 48,
    width: int = WIDTH,
) -> tuple[Figure, list[Axes]]:
    """`count` panels in rows of `columns`, in CSS pixels: `height` of one plot, the rest around it, `width` of a row.

    A figure of fewer panels than columns is narrower.
    """
    lines = -(-count // columns)
    pitch = top + height + bottom
    panel = (width - left - right - (columns - 1) * gap) / columns
    used = min(count, columns)
    whole = (left + right + used * panel + (used - 1) * gap, lines * pitch)
    figure = Figure(figsize=(whole[0] / POINTS, whole[1] / POINTS))
    panels = []
    for place in range(count):
        line, column = divmod(place, columns)
        corner = (left + column * (panel + gap), (lines - line - 1) * pitch + bottom)
        box = (corner[0] / whole[0], corner[1] / whole[1], panel / whole[0], height / whole[1])
        panels.append(figure.add_axes(box))
    return figure, panels


def by_config(board: Board, table: pd.DataFrame, key: str, value: str) -> pd.DataFrame:
    """[configuration, key] of a table of cells: means over seeds, for the configurations of the board that have any."""
    configs = {cell: config for config, sample in board.samples.items() for cell in sample.cells}
    own = table[table["cell"].isin(configs)]
    return own.groupby([own["cell"].map(configs), key])[value].mean().unstack(key)


def setting(row: Row) -> str:
    """A configuration's label without its family's name."""
    return row.label.removeprefix(row.family).replace("(", "").replace(")", "").strip()


def head(axes: Axes, name: str, looks: Looks, row: Row, room: float = 0) -> None:
    """The name over a panel, behind the marker of the row's family; as much of it as fits over the plot, and beside it
    as far as `room` goes."""
    pixels = axes.bbox.width / axes.figure.dpi * POINTS
    hue = looks.hue(row.family)
    shown = fit(name, pixels + room - MARKED, HEAD, bold=True)
    title = axes.set_title(shown, color=hue, x=MARKED / pixels)
    if shown != name:
        tip(title, name)
    height = axes.bbox.height / axes.figure.dpi * POINTS
    place = ([5 / pixels], [1 + 10.5 / height])
    axes.figure.add_artist(
        Line2D(*place, transform=axes.transAxes, linestyle="", marker=looks.marker(row.family), markersize=8, color=hue,
               markerfacecolor=looks.face(row.family, row.recipe), markeredgewidth=1.4)
    )  # fmt: skip


def stem(row: Row) -> str:
    """A configuration's label without its σ."""
    return row.label.replace(f" σ={row.sigma}", "")


def spread(axes: Axes, labels: Sequence[tuple[float, str]], room: float, pitch: float = 12.5) -> None:
    """Labels right of the plot at their heights, in `room` CSS pixels; those that would touch share one line of text,
    and what does not fit of it is counted and has a tooltip."""
    low, high = axes.get_ylim()
    pixels = axes.bbox.height / axes.figure.dpi * POINTS
    places = sorted((pixels * (value - low) / (high - low), text) for value, text in labels)
    clusters = [[place] for place in places if -1 <= place[0] <= pixels + 1]
    for _ in range(len(clusters)):  # each pass joins neighbours; joined ones may then touch the next
        joined: list[list[tuple[float, str]]] = []
        for cluster in clusters:
            if joined and _middle(cluster) - _middle(joined[-1]) < pitch:
                joined[-1] = joined[-1] + cluster
            else:
                joined.append(cluster)
        if len(joined) == len(clusters):
            break
        clusters = joined
    for cluster in clusters:
        texts = list(dict.fromkeys(text for _, text in reversed(cluster) if text))
        if not texts:
            continue
        shown = _several(texts, room)
        height = min(_middle(cluster), pixels - UNDER)
        note = axes.annotate(shown, (1, height / pixels), xycoords="axes fraction", xytext=(7, 0),
                             textcoords="offset points", ha="left", va="center", fontsize=LABEL,
                             color=MUTED)  # fmt: skip
        if shown != ", ".join(texts):
            tip(note, ", ".join(texts))


def _several(texts: list[str], room: float) -> str:
    """As many as fit, and how many more there are."""
    best = ""
    for count in range(1, len(texts) + 1):
        named = ", ".join(texts[:count])
        shown = named + (f" +{len(texts) - count}" if count < len(texts) else "")
        if wide(shown, LABEL) <= room:
            best = shown
        elif wide(named, LABEL) > room:
            break
    more = f" +{len(texts) - 1}" if len(texts) > 1 else ""
    return best or fit(texts[0], room - wide(more, LABEL), LABEL) + more


def _middle(cluster: Sequence[tuple[float, str]]) -> float:
    return float(np.mean([place for place, _ in cluster]))


def log_ticks(axes: Axes, values: Iterable[float], text: Callable[[float], str]) -> None:
    """Ticks of a log axis at the values themselves, thinned where they would touch."""
    places = np.unique(np.asarray(list(values), dtype=float))
    span = np.log(places[-1] / places[0]) or 1.0
    pixels = axes.bbox.width / axes.figure.dpi * POINTS
    kept = [places[0]]
    for place in places[1:]:
        if pixels * np.log(place / kept[-1]) / span >= 40:
            kept.append(place)
    axes.xaxis.set_major_locator(FixedLocator(kept))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
