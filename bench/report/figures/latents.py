"""What the latent carries, dimension by dimension."""

from __future__ import annotations

import math

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.report.figures._kinds import OfBoard
from bench.report.figures._panels import by_config, layout
from bench.report.figures._svg import RULE, Looks, styled
from bench.report.numbers import count
from bench.statistics.boards import Board
from bench.statistics.rows import first_of_each
from bench.store import RunTables

WIDTH = 724


@styled
def draw(board: Board, tables: RunTables, looks: Looks) -> Figure | None:
    """KL of every latent dimension, sorted: the first configuration of each family in its colour, all others in grey.

    None where no configuration has them. Seeds are averaged after sorting: dimensions have no identity across them.
    """
    ordered = tables.latents.sort_values(["cell", "kl_nats"], ascending=[True, False])
    ordered = ordered.assign(rank=ordered.groupby("cell").cumcount() + 1)
    curves = by_config(board, ordered, "rank", "kl_nats")
    rows = [row for row in board.everything if row.config in curves.index]
    if not rows:
        return None
    first = first_of_each(rows, lambda row: row.family)
    in_colour = {row.config for row in first}
    figure, (axes,) = layout(1, height=250, columns=1, left=64, right=200, top=10, width=WIDTH)
    for row in rows:
        if row.config not in in_colour:
            axes.plot(curves.columns, curves.loc[row.config], color=RULE, linewidth=1.2, zorder=1)
    handles = []
    for row in first:
        (line,) = axes.plot(curves.columns, curves.loc[row.config], color=looks.hue(row.family), linewidth=1.5,
                            marker=looks.marker(row.family), markersize=5, alpha=0.9,
                            markerfacecolor=looks.face(row.family, row.recipe), label=row.family)  # fmt: skip
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


def title(board: Board) -> Markup:
    """How many latent dimensions are used."""
    judged = [row for row in board.everything if not math.isnan(row.results.active_units + row.results.kl_nats)]
    if not judged:
        return Markup("What each latent dimension carries")
    first, used = judged[0], [row.results.active_units for row in judged]
    text = Markup("<b>{}</b> uses {:.3g} of {} latent dimensions for {:.1f} nats").format(
        first.label, first.results.active_units, count(max(row.latent for row in judged)), first.results.kl_nats
    )
    if max(used) == min(used):
        return text
    return text + Markup("; over all configurations {:.3g} to {:.3g} are used").format(min(used), max(used))


FIGURE = OfBoard(
    section="diagnostics",
    order=2,
    draw=draw,
    title=title,
    note=(
        "KL(q(z|x) ‖ p(z)) of each latent dimension, mean over test images, sorted in each model and then averaged "
        "over seeds. In colour: the first configuration of each family."
    ),
)
