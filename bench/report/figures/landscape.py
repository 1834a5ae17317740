"""Every configuration of a board at one glance, a line for each family."""

from __future__ import annotations

from markupsafe import Markup
from matplotlib.figure import Figure

from bench.report.figures._kinds import OfBoard
from bench.report.figures._panels import cut, layout, setting
from bench.report.figures._scores import limits, plain_lines, quantity, uniform_line
from bench.report.figures._svg import INK, MUTED, PAPER, Looks, styled
from bench.report.numbers import bound, measured
from bench.statistics.boards import Board
from bench.statistics.rows import by_family, grouped
from bench.store import RunTables

WIDTH = 724
MOST_LINES = 40


@styled
def draw(board: Board, tables: RunTables, looks: Looks) -> Figure | None:
    """Every configuration as a dot with its 95 % interval: a line per family, best on top.

    What is left out of the ranking is an arrowhead that points to where its true value lies. Where there is one family
    only, a line per configuration; None where there is one configuration only.
    """
    if len(board.everything) < 2:
        return None
    lines = by_family(board.everything)
    if len(lines) == 1:
        lines = grouped(board.everything, lambda row: row.label)
    names, groups = list(lines)[:MOST_LINES], list(lines.values())[:MOST_LINES]
    window = limits(board)
    figure, (axes,) = layout(1, height=20 + 25 * len(groups), columns=1, left=145, right=185, top=6, width=WIDTH)
    axes.set_xlim(*sorted(window))
    axes.set_ylim(len(groups) - 0.4, -0.6)
    if board.ranked:
        axes.axvline(board.ranked[0].value.mean, color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
    uniform_line(axes, board, window, vertical=True)
    plain_lines(axes, board, window)
    for height, rows in enumerate(groups):
        first = rows[0]
        hue = looks.hue(first.family)
        inside = [row for row in rows if min(window) <= row.value.mean <= max(window)]
        for row in reversed(inside):  # the best lies on top
            if not row.trusted:
                axes.plot(row.value.mean, height, "<" if board.better == "lower" else ">", color=hue, markersize=7,
                          markerfacecolor=PAPER, alpha=0.8)  # fmt: skip
                continue
            alpha = 1.0 if row is first else 0.5
            axes.plot([row.value.low, row.value.high], [height, height], color=hue, linewidth=2, alpha=alpha)
            axes.plot(row.value.mean, height, looks.marker(row.family), color=hue, alpha=alpha, markersize=7,
                      markerfacecolor=looks.face(row.family, row.recipe), markeredgewidth=1.5)  # fmt: skip
        text = f"{bound(first, board.unit)}  {setting(first) if len(rows) > 1 else ''}"
        beyond = len(rows) - len(inside)
        far = f"{'▸' if board.better == 'lower' else '◂'}{beyond}" if beyond else ""
        for offset, said, colour in ((4, far, MUTED), (30, text.strip(), INK if first.trusted else MUTED)):
            axes.annotate(said, (1, height), xycoords=("axes fraction", "data"), xytext=(offset, 0), color=colour,
                          textcoords="offset points", ha="left", va="center", fontsize=10.5)  # fmt: skip
    axes.set_yticks(range(len(groups)), [cut(name) for name in names], color=INK, fontsize=12)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"{quantity(board)}, {'left' if board.better == 'lower' else 'right'} is better")
    return figure


def title(board: Board) -> Markup:
    """How much the choice of family moves the score, and how much a choice within one family does."""
    if not board.ranked:
        return Markup("Nothing is ranked: every arrowhead says “at least this good”")
    losses = {
        family: [-board.sign * row.value.mean for row in rows] for family, rows in by_family(board.ranked).items()
    }
    within = {family: max(some) - min(some) for family, some in sorted(losses.items())}
    widest = max(within, key=within.__getitem__)
    inside = Markup("settings of <b>{}</b> alone move the score by {} {}").format(
        widest, measured(within[widest], board.unit), board.unit
    )
    if len(within) == 1:
        return Markup("The {}").format(inside)
    bests = [min(some) for some in losses.values()]
    families = Markup("The best of each family lie up to {} {} apart").format(
        measured(max(bests) - min(bests), board.unit), board.unit
    )
    return families + (Markup("; the {}").format(inside) if within[widest] > 0 else "")


FIGURE = OfBoard(
    section="verdict",
    order=1,
    ids="all",
    draw=draw,
    title=title,
    note=(
        "A dot is one configuration, its bar the 95 % interval over images and seeds; the first of each line is drawn "
        "in full and named on the right. Dashed: the first of all; grey: a histogram of each dimension and a mixture "
        "of products, which need no network. Hollow: folk recipes. Hollow arrowheads: left out of the ranking, at "
        "least this good. Numbers at the edge: how many lie beyond the axis."
    ),
)
