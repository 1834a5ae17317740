"""Figures that have a line a family: the names left of the lines, each behind its family's marker."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench.report.figures._looks import INK, Looks
from bench.report.figures._panels import MARKED
from bench.report.figures._svg import POINTS, tip
from bench.report.figures._text import fit
from bench.statistics.rows import Row

SIZE = 12


def named(axes: Axes, lines: Sequence[tuple[str, Row]], looks: Looks, room: float) -> None:
    """Names at heights 0, 1, …, in `room` CSS pixels left of the plot; each with the marker of its row's family."""
    axes.set_yticks(range(len(lines)), [""] * len(lines))
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    pixels = axes.bbox.width / axes.figure.dpi * POINTS
    for height, (name, row) in enumerate(lines):
        shown = fit(name, room - MARKED - 14, SIZE)
        note = axes.annotate(shown, (0, height), xycoords=("axes fraction", "data"), xytext=(-MARKED - 8, 0), color=INK,
                             textcoords="offset points", ha="right", va="center", fontsize=SIZE)  # fmt: skip
        if shown != name:
            tip(note, name)
        axes.figure.add_artist(
            Line2D([-12 / pixels], [height], transform=axes.get_yaxis_transform(), linestyle="", markersize=7,
                   marker=looks.marker(row.family), color=looks.hue(row.family), markeredgewidth=1.3,
                   markerfacecolor=looks.face(row.family, row.recipe))
        )  # fmt: skip
