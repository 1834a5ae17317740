"""How the bound grows with the number of samples L."""

from __future__ import annotations

import math

import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.report.figures._kinds import OfBoard
from bench.report.figures._looks import Looks
from bench.report.figures._marks import beyond, bounded, stroke
from bench.report.figures._panels import head, layout, log_ticks, setting, spread
from bench.report.figures._svg import styled, tip
from bench.report.numbers import count, measured, number
from bench.statistics.boards import Board
from bench.statistics.rows import Row, by_family, median
from bench.store import RunTables

REACH = 2.5  # times the median panel's largest gain at which the scale of all panels ends
BELOW = 0.2  # of the largest gain, how far below zero it begins at the lowest: refined proposals are wide


@styled
def draw(board: Board, tables: RunTables, looks: Looks) -> Figure | None:
    """What the bound gains as L grows over the encoder's own bound at the first L, a panel per family, on one scale.

    Where proposals were refined, the encoder's own curve is dashed. None where there is only one L.
    """
    gains, encoders = _gains(board, tables.bounds)
    if gains.shape[1] < 2:
        return None
    families = by_family(row for row in board.everything if row.config in gains.index)
    low, high = _window([gains.loc[[row.config for row in rows]] for rows in families.values()])
    figure, panels = layout(len(families), height=165, columns=3, left=64, right=136, top=30, gap=190)
    for axes, (family, rows) in zip(panels, families.items(), strict=True):
        hue = looks.hue(family)
        axes.set_ylim(low, high)
        ends = []
        for row in rows:
            curve = gains.loc[row.config].dropna()
            (line,) = axes.plot(curve.index, curve, color=hue, linewidth=1.6)
            last = float(curve.iloc[-1])
            said = f"{row.label}: {number(last, 2)} nats gained at L = {count(curve.index[-1])}"
            tip(line, said)
            if low <= last <= high:
                _end(axes, row, looks, (float(curve.index[-1]), last), said)
                ends.append((last, setting(row) if len(rows) > 1 else ""))
            else:
                edge = high if last > high else low
                (mark,) = axes.plot(curve.index[-1], edge, marker=beyond("up" if last > high else "down"),
                                    clip_on=False, **stroke(hue, 6))  # fmt: skip
                tip(mark, said)
                ends.append((edge, f"{setting(row) if len(rows) > 1 else ''} {number(last, 1)}".strip()))
            if row.refined:
                encoder = encoders.loc[row.config].dropna()
                axes.plot(encoder.index, encoder, color=hue, linewidth=1.2, linestyle=(0, (3, 2)), alpha=0.75)
        axes.set_xscale("log")
        axes.set_ylim(low, high)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        spread(axes, ends, 124)
        head(axes, family, looks, rows[0], 124)
        axes.set(xlabel="L, samples of z per image", ylabel="")
        log_ticks(axes, gains.columns, lambda value: f"{value:,.0f}")
    for axes in panels[::3]:
        axes.set_ylabel("nats gained")
    return figure


def _end(axes: Axes, row: Row, looks: Looks, place: tuple[float, float], said: str) -> None:
    """The family's marker where a curve ends; an arrow upwards where the true value is higher, how far is not known."""
    if row.trusted:
        (mark,) = axes.plot(*place, marker=looks.marker(row.family), color=looks.hue(row.family), markersize=5,
                            markerfacecolor=looks.face(row.family, row.recipe), linestyle="")  # fmt: skip
    else:
        (mark,) = axes.plot(*place, marker=bounded("up"), clip_on=False, **stroke(looks.hue(row.family)))
        said += ", left out of the ranking"
    tip(mark, said)


def _window(panels: list[pd.DataFrame]) -> tuple[float, float]:
    """The scale of all panels: what the lowest and the highest of them need, but for panels far above the others."""
    tops = [max(0.0, float(curves.max(axis=None))) for curves in panels]
    most = REACH * median(tops)
    top = max([top for top in tops if top <= most] or tops) if most > 0 else max(tops)
    low = min(0.0, *(float(curves.min(axis=None)) for curves in panels))
    low = max(low, -BELOW * top) if top > 0 else low
    margin = 0.1 * (top - low) or 1.0
    return low - margin, top + margin


def _gains(board: Board, bounds: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """[configuration, L] of the final bounds and of the encoder's own, in nats over the encoder's at the first L; at
    the L that all seeds of a configuration have, so that a curve never goes from one set of seeds to another.

    Of a cell whose encoder's are not known the final bounds stand for them.
    """
    configs = {cell: config for config, sample in board.samples.items() for cell in sample.cells}
    long = bounds[bounds["cell"].isin(configs)].dropna(subset=["bound_nats"])
    unknown = long["encoder_bound_nats"].groupby(long["cell"]).transform("count") == 0
    encoder_nats = long["encoder_bound_nats"].mask(unknown, long["bound_nats"])
    long = long.assign(encoder_bound_nats=encoder_nats, config=long["cell"].map(configs))
    seeds = long.groupby("config")["cell"].transform("nunique")
    shared = long.groupby(["config", "samples"])["cell"].transform("nunique") == seeds
    columns = ["bound_nats", "encoder_bound_nats"]
    means = long[shared].groupby(["config", "samples"])[columns].mean()
    final, encoder = (means[column].unstack("samples") for column in columns)
    start = encoder.bfill(axis=1).iloc[:, 0] if encoder.shape[1] else pd.Series(dtype=float)
    return final.sub(start, axis=0), encoder.sub(start, axis=0)


def title(board: Board) -> Markup:
    """How many bounds can be trusted at the L that they went to, and what refinement lifted them by."""
    whole, lost = board.everything, len(board.left_out)
    least, most = (count(end(row.results.iw_samples for row in whole)) for end in (min, max))
    at = most if least == most else f"{least} to {most}"
    if len(whole) == 1:
        text = Markup("The bound can{} be trusted at L = {}").format("not" if lost else "", at)
    elif lost == 0:
        text = Markup("All {} bounds can be trusted at L = {}").format(len(whole), at)
    else:
        text = Markup("{} of {} bounds cannot be trusted at L = {}").format(lost, len(whole), at)
    lifts = [row.lift / board.scale for row in whole if row.refined and not math.isnan(row.lift)]
    if not lifts or median(lifts) <= 0:
        return text
    which = f"{len(lifts)} of the {len(whole)}" if len(whole) > 1 else "it"
    lifted = Markup("; fitting the proposal to the image lifted {}").format(which)
    by = measured(median(lifts), "nats")
    return text + lifted + (f" by {by} nats" if len(lifts) == 1 else f", by {by} nats in the median")


FIGURE = OfBoard(
    section="samples",
    order=1,
    draw=draw,
    title=title,
    note=(
        "Every curve is a lower bound on the log-likelihood, in nats over the encoder's bound at the first L, and "
        "rises with L. Solid: the bound that is reported. Dashed: the encoder's own, where a proposal was fitted to "
        "each image; what lies between the two is what importance sampling from the encoder misses at that L. Curves "
        "end at the L that was needed, the encoder's earlier where it was a pilot; of seeds that needed different L "
        "at the largest that all have. An arrow at the end: left out of the ranking, the true value is higher. Refined "
        "proposals are wide: their curves may begin below the panel. All panels have one scale; a chevron with a "
        "number: the curve ends beyond it."
    ),
)
