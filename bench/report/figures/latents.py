"""What the latent carries, dimension by dimension."""

from __future__ import annotations

import math

from markupsafe import Markup
from matplotlib.figure import Figure

from bench.report.figures._kinds import OfBoard
from bench.report.figures._looks import INK, MUTED, Looks
from bench.report.figures._panels import LABEL, by_config, layout
from bench.report.figures._rows import named
from bench.report.figures._svg import styled, tip
from bench.report.numbers import count, number
from bench.statistics.boards import Board
from bench.statistics.rows import Row, first_of_each
from bench.store import RunTables

WIDTH = 724
MOST_LINES = 40


@styled
def draw(board: Board, tables: RunTables, looks: Looks) -> Figure | None:
    """KL of every latent dimension as a mark on a line: a line for the first configuration of each family, or for every
    configuration where there is one family only; all on one scale.

    None where no configuration has them. Seeds are averaged after sorting: dimensions have no identity across them.
    """
    ordered = tables.latents.sort_values(["cell", "kl_nats"], ascending=[True, False])
    ordered = ordered.assign(rank=ordered.groupby("cell").cumcount() + 1)
    curves = by_config(board, ordered, "rank", "kl_nats")
    rows = [row for row in board.everything if row.config in curves.index]
    if not rows:
        return None
    first = first_of_each(rows, lambda row: row.family)
    alone = len(first) == 1
    shown = (rows if alone else first)[:MOST_LINES]
    figure, (axes,) = layout(1, height=20 + 25 * len(shown), columns=1, left=160, right=180, top=6, width=WIDTH)
    most = float(curves.loc[[row.config for row in shown]].max(axis=None)) or 1.0
    axes.set_xlim(-0.02 * most, 1.03 * most)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    for height, row in enumerate(shown):
        values = curves.loc[row.config].dropna()
        hue = looks.hue(row.family)
        axes.plot([0, values.iloc[0]], [height, height], color=hue, linewidth=1, alpha=0.45, zorder=1)
        marks = axes.plot(values, [height] * len(values), linestyle="", marker=looks.marker(row.family), color=hue,
                          markersize=7, alpha=0.8, markerfacecolor=looks.face(row.family, row.recipe),
                          markeredgewidth=1.3, label=row.label, clip_on=False)  # fmt: skip
        tip(marks[0], f"{row.label}: " + ", ".join(number(value, 2) for value in values) + " nats")
        for offset, said, colour in ((8, _used(row), INK), (104, f"{number(row.results.kl_nats, 1)} nats", MUTED)):
            axes.annotate(said, (1, height), xycoords=("axes fraction", "data"), xytext=(offset, 0), color=colour,
                          textcoords="offset points", ha="left", va="center", fontsize=LABEL)  # fmt: skip
    named(axes, [(row.label if alone else row.family, row) for row in shown], looks, 160)
    axes.set_xlabel("KL of a latent dimension, nats")
    return figure


def _used(row: Row) -> str:
    active = row.results.active_units
    return f"{active:.3g} of {count(row.latent)} used" if math.isfinite(active) else ""


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
        "A mark is one latent dimension, at its KL(q(z|x) ‖ p(z)): mean over test images, sorted in each model and "
        "then averaged over seeds. Marks at zero: dimensions that say nothing. A line for the first configuration of "
        "each family (of all, where there is one family only), with the dimensions that it uses and the sum of their "
        "KL. Hollow: folk recipes."
    ),
)
