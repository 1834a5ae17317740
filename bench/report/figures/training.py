"""How the trainings went: bounds on validation and on training images, epoch by epoch."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.report.figures._kinds import OfBoard
from bench.report.figures._looks import Looks
from bench.report.figures._panels import by_config, head, layout
from bench.report.figures._svg import styled, tip
from bench.report.numbers import several
from bench.statistics.boards import Board
from bench.statistics.rows import by_family
from bench.store import RunTables

MOST_OTHERS = 8  # configurations of a family, drawn faintly
DEEPEST = 4.0  # times the range of nine tenths of the points that a panel shows at the most
BEGINNING = 0.1  # of the epochs, whose steep rise is cut off below the panel


@styled
def draw(board: Board, tables: RunTables, looks: Looks) -> Figure | None:
    """A panel per family: its first configuration in colour, solid on validation images and dashed on training images,
    others faintly, on validation images. None where no history was recorded.

    The bound is the training objective, which is another number in each family: panels have scales of their own.
    """
    valid = by_config(board, tables.history, "epoch", "valid_nats")
    train = by_config(board, tables.history, "epoch", "train_nats")
    families = by_family(row for row in board.everything if row.config in valid.index)
    if not families or valid.shape[1] < 2:
        return None
    figure, panels = layout(len(families), height=150, columns=4, left=64, right=20, top=30, gap=64)
    for axes, (family, rows) in zip(panels, families.items(), strict=True):
        first, *others = (valid.loc[row.config].dropna() for row in rows)
        trained = train.loc[rows[0].config].dropna()
        low, high = _window(first, trained)
        for row, curve in list(zip(rows[1:], others, strict=True))[:MOST_OTHERS]:
            if _late(curve).between(low, high).any():
                (line,) = axes.plot(curve.index, curve, color=looks.hue(family), linewidth=1, alpha=0.35, zorder=1)
                tip(line, f"{row.label}, validation images")
        for curve, style, images in ((first, "-", "validation"), (trained, (0, (3, 2)), "training")):
            (line,) = axes.plot(curve.index, curve, color=looks.hue(family), linewidth=1.6, linestyle=style)
            tip(line, f"{rows[0].label}, {images} images")
        axes.set_ylim(low, high)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        head(axes, family, looks, rows[0], 20)
        axes.set(xlabel="epoch", ylabel="")
    for axes in panels[::4]:
        axes.set_ylabel("objective, nats")
    return figure


def _late(curve: pd.Series) -> pd.Series:
    """What comes after the steep beginning."""
    return curve[curve.index >= BEGINNING * curve.index[-1]]


def _window(*curves: pd.Series) -> tuple[float, float]:
    """What holds the curves after their beginnings, but for a fall so deep that nothing else could be told apart."""
    late = pd.concat([_late(curve) for curve in curves])
    high, usual = float(late.max()), float(late.quantile(0.1))
    low = max(float(late.min()), high - DEEPEST * (high - usual)) if high > usual else float(late.min())
    room = 0.08 * (high - low) or 1.0
    return low - room, high + room


def title(board: Board) -> Markup:
    """How many trainings had not ended."""
    rows = board.unended
    if not rows:
        return Markup("No ranked configuration was still improving when its training ended")
    return Markup("{} of {} still improving when training reached its limit of epochs").format(
        len(rows), several(len(board.ranked), "ranked configuration") + (" was" if len(board.ranked) == 1 else " were")
    )


FIGURE = OfBoard(
    section="diagnostics",
    order=3,
    draw=draw,
    title=title,
    note=(
        "What was trained on, higher is better, mean over seeds. Solid: on validation images; dashed: on training "
        "images, the mean over the steps since the point before; both of the first configuration of each family. "
        f"Faint: the next {MOST_OTHERS} configurations of the family, on validation images. The objectives of families "
        "are different numbers, so every panel has a scale of its own; the steep beginning is cut off, and so is what "
        "falls far below the rest."
    ),
)
