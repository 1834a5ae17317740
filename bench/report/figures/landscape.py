"""Every configuration of a board at one glance, a line for each family."""

from __future__ import annotations

from markupsafe import Markup
from matplotlib.figure import Figure

from bench.report.figures._kinds import OfBoard
from bench.report.figures._looks import INK, MUTED, Looks
from bench.report.figures._marks import Direction, beyond, bounded, stroke
from bench.report.figures._panels import LABEL, layout, setting
from bench.report.figures._rows import named
from bench.report.figures._scores import LEVEL, limits, quantity, upright, upright_lines
from bench.report.figures._svg import styled, tip
from bench.report.figures._text import fit
from bench.report.numbers import bound, bracket, measured
from bench.statistics.boards import Board
from bench.statistics.rows import by_family, grouped
from bench.store import RunTables

WIDTH = 724
ENDS: tuple[Direction, Direction] = ("left", "right")  # of an axis of scores where lower is better: better, worse
LEFT, RIGHT = 165, 185  # CSS pixels beside the plot
MOST_LINES = 40


@styled
def draw(board: Board, tables: RunTables, looks: Looks) -> Figure | None:
    """Every configuration as a dot with its 95 % interval: a line per family, best on top.

    What is left out of the ranking is an arrow to where its true value lies. Where there is one family
    only, a line per configuration; None where there is one configuration only.
    """
    if len(board.everything) < 2:
        return None
    lines = by_family(board.everything)
    if len(lines) == 1:
        lines = grouped(board.everything, lambda row: row.label)
    names, groups = list(lines)[:MOST_LINES], list(lines.values())[:MOST_LINES]
    window = limits(board)
    plain = upright(board, window, WIDTH - LEFT - RIGHT)
    above = LEVEL * (1 + max((level for *_, level in plain), default=-1))
    figure, (axes,) = layout(
        1, height=20 + 25 * len(groups), columns=1, left=LEFT, right=RIGHT, top=6 + above, width=WIDTH
    )
    axes.set_xlim(*sorted(window))
    axes.set_ylim(len(groups) - 0.4, -0.6)
    if board.ranked:
        axes.axvline(board.ranked[0].value.mean, color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
    upright_lines(axes, plain)
    better, worse = ENDS if board.better == "lower" else ENDS[::-1]
    for height, rows in enumerate(groups):
        first = rows[0]
        hue = looks.hue(first.family)
        inside = [row for row in rows if min(window) <= row.value.mean <= max(window)]
        for row in reversed(inside):  # the best lies on top
            if not row.trusted:
                (mark,) = axes.plot(row.value.mean, height, marker=bounded(better), **stroke(hue, 9))
                tip(mark, f"{row.label}: {bound(row, board.unit)} {board.unit}, left out of the ranking")
                continue
            alpha = 1.0 if row is first else 0.5
            axes.plot([row.value.low, row.value.high], [height, height], color=hue, linewidth=2, alpha=alpha)
            (mark,) = axes.plot(row.value.mean, height, marker=looks.marker(row.family), color=hue, alpha=alpha,
                                markersize=7, markerfacecolor=looks.face(row.family, row.recipe), linestyle="",
                                markeredgewidth=1.5)  # fmt: skip
            tip(mark, f"{row.label}: {measured(row.value.mean, board.unit)} {board.unit} "
                      f"{bracket(row.value, board.unit)}".rstrip())  # fmt: skip
        far = [row for row in rows if row not in inside]
        said = [(30, f"{bound(first, board.unit)} {setting(first) if len(rows) > 1 else ''}".strip())]
        if far:
            (mark,) = axes.plot([1 + 9 / (WIDTH - LEFT - RIGHT)], [height], marker=beyond(worse), clip_on=False,
                                transform=axes.get_yaxis_transform(), **stroke(MUTED, 6))  # fmt: skip
            tip(mark, "; ".join(f"{row.label}: {bound(row, board.unit)}" for row in far))
            said.append((15, str(len(far))))
        for offset, text in said:
            shown = fit(text, RIGHT - offset - 4, LABEL)
            note = axes.annotate(shown, (1, height), xycoords=("axes fraction", "data"), xytext=(offset, 0),
                                 color=INK if first.trusted and offset == 30 else MUTED, fontsize=LABEL,
                                 textcoords="offset points", ha="left", va="center")  # fmt: skip
            if shown != text:
                tip(note, text)
    named(axes, [(name, rows[0]) for name, rows in zip(names, groups, strict=True)], looks, LEFT)
    axes.set_xlabel(f"{quantity(board)}, {'left' if board.better == 'lower' else 'right'} is better")
    return figure


def title(board: Board) -> Markup:
    """How much the choice of family moves the score, and how much a choice within one family does."""
    if not board.ranked:
        return Markup("Nothing is ranked: every arrow says “at least this good”")
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
        "of products, which need no network. Hollow: folk recipes. Arrows: left out of the ranking, at least this "
        "good. Chevrons with a number: how many lie beyond the axis."
    ),
)
