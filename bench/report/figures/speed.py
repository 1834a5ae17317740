"""What a score costs in speed."""

from __future__ import annotations

import math

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.report.figures._kinds import OfBoard
from bench.report.figures._panels import layout
from bench.report.figures._scores import limits, quantity
from bench.report.figures._svg import MUTED, Looks, styled
from bench.report.numbers import rate
from bench.statistics.boards import Board
from bench.statistics.rows import by_family, grouped
from bench.store import RunTables

SPEEDS = {
    "train_images_per_s": ("Training", "training images/s, one model alone"),
    "eval_decodes_per_s": ("Evaluation", "decodes/s in evaluation, one model alone"),
}


@styled
def draw(board: Board, tables: RunTables, looks: Looks) -> Figure | None:
    """The score against single-model speed in training and in evaluation; None without two measured configurations."""
    measured = {name: [row for row in board.ranked if not math.isnan(getattr(row.results, name))] for name in SPEEDS}
    drawn = [name for name, rows in measured.items() if len(rows) > 1]
    if not drawn:
        return None
    window = limits(board)
    figure, panels = layout(len(drawn), height=300, columns=2, left=64, right=170, top=30, gap=56)
    for axes, name in zip(panels, drawn, strict=True):
        inside = [row for row in measured[name] if min(window) <= row.value.mean <= max(window)]
        title, label = SPEEDS[name]
        for (family, recipe), rows in grouped(inside, lambda row: (row.family, row.recipe)).items():
            speeds, scores = [getattr(row.results, name) for row in rows], [row.value.mean for row in rows]
            axes.scatter(speeds, scores, marker=looks.marker(family), s=48, linewidth=1.4,
                         facecolor=looks.face(family, recipe), edgecolor=looks.hue(family), alpha=0.85)  # fmt: skip
        axes.set_ylim(*sorted(window))
        _front(axes, [(getattr(row.results, name), row.value.mean) for row in inside])
        axes.set_title(title)
        axes.set(xlabel=f"{label} (right is faster)", ylabel="")
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: rate(value)))
    panels[0].set_ylabel(quantity(board))
    handles = [
        Line2D([], [], linestyle="", marker=looks.marker(family), color=looks.hue(family), markersize=7,
               markerfacecolor=looks.face(family, any(row.recipe for row in rows)), label=family)
        for family, rows in by_family(board.ranked).items()
    ]  # fmt: skip
    figure.legend(handles=handles, loc="center right", frameon=False, fontsize=11, ncols=1 + len(handles) // 17)
    return figure


def _front(axes: Axes, points: list[tuple[float, float]]) -> None:
    """A line through what nothing else beats in both speed and score; points (speed, score) are best first."""
    front: list[tuple[float, float]] = []
    for speed, score in points:
        if not front or speed > front[-1][0]:
            front.append((speed, score))
    if len(front) > 1:
        axes.step(*zip(*front, strict=True), where="pre", color=MUTED, linewidth=1, linestyle=(0, (4, 2)), zorder=0)


def title(board: Board) -> Markup:
    """What the best score costs in training speed, against the fastest."""
    timed = [row for row in board.ranked if not math.isnan(row.results.train_images_per_s)]
    if not timed:
        return Markup("Score against evaluation speed")
    best, fastest = timed[0], max(timed, key=lambda row: row.results.train_images_per_s)
    share = best.results.train_images_per_s / fastest.results.train_images_per_s
    if share > 0.95:
        return Markup("The best score costs no speed: <b>{}</b> trains as fast as any").format(best.label)
    return Markup("The first-ranked, <b>{}</b>, trains at {:.0f} % of the speed of the fastest, <b>{}</b>").format(
        best.label, 100 * share, fastest.label
    )


FIGURE = OfBoard(
    section="speed",
    order=1,
    draw=draw,
    title=title,
    note=(
        "Speed of a single model, measured alone after the training, against the score; what is left out of the "
        "ranking is not shown. Dashed: what nothing else beats in both. σ's value does not change the speed, its mode "
        "does: settings of one kind stand above each other."
    ),
)
