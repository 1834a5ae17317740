"""The figures of the report: each a function from a board to a figure, or to None where there is nothing to draw."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.report.figures._panels import cut, layout, log_ticks, setting, spread, stem
from bench.report.figures._svg import INK, MUTED, PAPER, Looks, styled
from bench.report.numbers import bound, rate
from bench.statistics.boards import Board

LANDSCAPE_WIDTH = 724
MOST_LINES = 40  # of the landscape
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
SPEEDS = {
    "train_images_per_s": ("Training", "training images/s, one model alone"),
    "eval_decodes_per_s": ("Evaluation", "decodes/s in evaluation, one model alone"),
}


@styled
def landscape(board: Board, looks: Looks) -> Figure | None:
    """Every configuration of a board as a dot with its 95 % interval: a line per family, best on top.

    What is left out of the ranking is an arrowhead that points to where its true value lies. Where there is one family
    only, a line per configuration; None where there is one configuration only.
    """
    rows = board.everything
    if len(rows) < 2:
        return None
    alone = rows["family"].nunique() == 1
    groups = [group for _, group in rows.groupby("label" if alone else "family", sort=False)][:MOST_LINES]
    window = limits(board)
    figure, (axes,) = layout(
        1, height=20 + 25 * len(groups), columns=1, left=145, right=185, top=6, width=LANDSCAPE_WIDTH
    )
    axes.set_xlim(*sorted(window))
    axes.set_ylim(len(groups) - 0.4, -0.6)
    if len(board.rows):
        axes.axvline(board.rows.iloc[0]["value"], color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
    _uniform_line(axes, board, window, vertical=True)
    for place, own in enumerate(groups):
        first = own.iloc[0]
        hue = looks.hue(first["family"])
        inside = own[own["value"].between(*sorted(window))]
        for _, row in inside[::-1].iterrows():
            if not row["trusted"]:
                axes.plot(row["value"], place, "<" if board.better == "lower" else ">", color=hue, markersize=7,
                          markerfacecolor=PAPER, alpha=0.8)  # fmt: skip
                continue
            alpha = 1.0 if row["config"] == first["config"] else 0.5
            axes.plot([row["low"], row["high"]], [place, place], color=hue, linewidth=2, alpha=alpha)
            axes.plot(row["value"], place, looks.marker(row["family"]), color=hue, alpha=alpha, markersize=7,
                      markerfacecolor=looks.face(row["family"], bool(row["recipe"])), markeredgewidth=1.5)  # fmt: skip
        note = f"{bound(first, board.unit)}  {setting(first) if len(own) > 1 else ''}"
        beyond = len(own) - len(inside)
        far = f"{'▸' if board.better == 'lower' else '◂'}{beyond}" if beyond else ""
        for offset, text, colour in ((4, far, MUTED), (30, note.strip(), INK if first["trusted"] else MUTED)):
            axes.annotate(text, (1, place), xycoords=("axes fraction", "data"), xytext=(offset, 0), color=colour,
                          textcoords="offset points", ha="left", va="center", fontsize=10.5)  # fmt: skip
    names = [group.iloc[0]["label" if alone else "family"] for group in groups]
    axes.set_yticks(range(len(groups)), [cut(name) for name in names], color=INK, fontsize=12)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"{quantity(board)}, {'left' if board.better == 'lower' else 'right'} is better")
    return figure


@styled
def sigma_curves(board: Board, looks: Looks) -> Figure | None:
    """The score against a fixed σ, a panel per family, its learned modes as marked lines; None without two fixed σ.

    What is left out of the ranking is an arrowhead beside the line.
    """
    whole = board.everything
    whole = whole.assign(
        number=pd.to_numeric(whole["sigma"], errors="coerce"), stem=[stem(row) for _, row in whole.iterrows()]
    )
    rows = whole[whole["trusted"]]
    families = [
        family
        for family, own in rows[rows["number"].notna()].groupby("family", sort=False)
        if own["number"].nunique() > 1
    ]
    if not families:
        return None
    low, high = sorted(limits(board, whole[whole["family"].isin(families)], reach=np.inf))
    edge, arrow = (high, "^") if board.better == "lower" else (low, "v")
    figure, panels = layout(len(families), height=270, columns=3, left=64, right=136, top=30, gap=170)
    for axes, family in zip(panels, families, strict=True):
        hue, marker = looks.hue(family), looks.marker(family)
        own = rows[(rows["family"] == family) & rows["number"].notna()]
        for count, (name, line) in enumerate(own.groupby("stem", sort=False)):
            line = line.sort_values("number")
            inside = line[["value", "low", "high"]].clip(low, high)
            sns.lineplot(x=line["number"], y=inside["value"], ax=axes, color=hue, errorbar=None, linewidth=1.8,
                         linestyle=DASHES[count % len(DASHES)], label=name)  # fmt: skip
            axes.fill_between(line["number"], inside["low"], inside["high"], color=hue, alpha=0.2, linewidth=0)
            within = line["value"].between(low, high)
            axes.plot(line["number"][within], line["value"][within], marker, color=hue, markersize=5)
            axes.plot(line["number"][~within], np.full((~within).sum(), edge), arrow, color=hue, markersize=7,
                      markerfacecolor=PAPER, clip_on=False)  # fmt: skip
        if own["stem"].nunique() > 1:
            axes.legend(frameon=False, fontsize=10)
        elif legend := axes.get_legend():
            legend.remove()
        bounds = whole[(whole["family"] == family) & whole["number"].notna() & ~whole["trusted"]]
        axes.plot(bounds["number"], bounds["value"].clip(low, high), "v" if board.better == "lower" else "^",
                  linestyle="", color=hue, markersize=7, markerfacecolor=PAPER, alpha=0.8, clip_on=False)  # fmt: skip
        modes = rows[(rows["family"] == family) & rows["number"].isna() & (rows["sigma"] != "")]
        modes = modes.drop_duplicates("sigma")  # the best of each mode
        for value in modes["value"]:
            axes.axhline(value, color=INK, linewidth=1, linestyle=(0, (4, 2)), alpha=0.7)
        axes.set_xscale("log")
        axes.set_ylim(low, high)
        _uniform_line(axes, board, (low, high), vertical=False)
        spread(axes, [(row["value"], row["sigma"]) for _, row in modes.iterrows()])
        axes.set_title(family, color=hue)
        axes.set_xlabel("fixed σ, pixels scaled to [0, 1]")
        axes.set_ylabel("")
        log_ticks(axes, [*own["number"], *bounds["number"]], lambda value: f"{value:.3g}")
    panels[0].set_ylabel(quantity(board))
    return figure


@styled
def sample_curves(board: Board, bounds: pd.DataFrame, looks: Looks) -> Figure | None:
    """What the bound gains as L grows over the encoder's own bound at the first L, a panel per family.

    Where proposals were refined, the encoder's own curve is dashed. None where there is only one L.
    """
    whole = board.everything
    gains, encoders = _gains(board, bounds)
    if gains.shape[1] < 2:
        return None
    families = [family for family, own in whole.groupby("family", sort=False) if own["config"].isin(gains.index).any()]
    figure, panels = layout(len(families), height=165, columns=3, left=64, right=136, top=30, gap=190)
    for axes, family in zip(panels, families, strict=True):
        hue = looks.hue(family)
        own = whole[(whole["family"] == family) & whole["config"].isin(gains.index)]
        ends = []
        for _, row in own.iterrows():
            curve = gains.loc[row["config"]].dropna()
            axes.plot(curve.index, curve, color=hue, linewidth=1.6)
            axes.plot(curve.index[-1], curve.iloc[-1], "o", color=hue, markersize=4.5,
                      markerfacecolor=hue if row["trusted"] else PAPER)  # fmt: skip
            ends.append((float(curve.iloc[-1]), setting(row) if len(own) > 1 else ""))
            if row["refined"]:
                own_bound = encoders.loc[row["config"]].dropna()
                axes.plot(own_bound.index, own_bound, color=hue, linewidth=1.2, linestyle=(0, (3, 2)), alpha=0.75)
        axes.set_xscale("log")
        top, low = max(0.0, axes.dataLim.y1), min(0.0, axes.dataLim.y0)
        low = max(low, -0.2 * top) if top > 0 else low  # refined proposals are wide: low at L = 1
        margin = 0.1 * (top - low) or 1.0
        axes.set_ylim(low - margin, top + margin)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        spread(axes, ends)
        axes.set_title(family, color=hue)
        axes.set(xlabel="L, samples of z per image", ylabel="")
        log_ticks(axes, gains.columns, lambda value: f"{value:,.0f}")
    for axes in panels[::3]:
        axes.set_ylabel("nats gained")
    return figure


def _gains(board: Board, bounds: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """[configuration, L] of the final bounds and of the encoder's own, in nats over the encoder's at the first L.

    Where the encoder's is not known, the final bound stands for it.
    """
    configs = {cell: config for config, sample in board.samples.items() for cell in sample.cells}
    long = bounds[bounds["cell"].isin(configs)].dropna(subset=["bound_nats"])
    long = long.assign(encoder_bound_nats=long["encoder_bound_nats"].fillna(long["bound_nats"]))
    columns = ["bound_nats", "encoder_bound_nats"]
    means = long.groupby([long["cell"].map(configs), "samples"])[columns].mean()
    final, encoder = (means[column].unstack("samples") for column in columns)
    start = encoder.bfill(axis=1).iloc[:, 0] if encoder.shape[1] else pd.Series(dtype=float)
    return final.sub(start, axis=0), encoder.sub(start, axis=0)


@styled
def speed(board: Board, looks: Looks) -> Figure | None:
    """The score against single-model speed in training and in evaluation; None without two measured configurations."""
    rows = board.rows
    columns = [name for name in SPEEDS if rows[name].notna().sum() > 1]
    if not columns:
        return None
    window = limits(board)
    figure, panels = layout(len(columns), height=300, columns=2, left=64, right=170, top=30, gap=56)
    for axes, name in zip(panels, columns, strict=True):
        known = rows[rows[name].notna() & rows["value"].between(*sorted(window))]
        title, label = SPEEDS[name]
        for (family, recipe), own in known.groupby(["family", "recipe"], sort=False):
            hue = looks.hue(family)
            sns.scatterplot(x=own[name], y=own["value"], ax=axes, marker=looks.marker(family), s=48, linewidth=1.4,
                            facecolor=looks.face(family, bool(recipe)), edgecolor=hue, alpha=0.85)  # fmt: skip
        axes.set_ylim(*sorted(window))
        _front(axes, known, name)
        axes.set_title(title)
        axes.set(xlabel=f"{label} (right is faster)", ylabel="")
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: rate(value)))
    panels[0].set_ylabel(quantity(board))
    recipes = set(rows.loc[rows["recipe"] == 1, "family"])
    handles = [
        Line2D([], [], linestyle="", marker=looks.marker(family), color=looks.hue(family), markersize=7,
               markerfacecolor=looks.face(family, family in recipes), label=family)
        for family in rows["family"].drop_duplicates()
    ]  # fmt: skip
    figure.legend(handles=handles, loc="center right", frameon=False, fontsize=11, ncols=1 + len(handles) // 17)
    return figure


def quantity(board: Board) -> str:
    """What a board's axis shows, with its unit and measure."""
    return f"ln P(x), nats ({board.measure})" if board.unit == "nats" else f"bits/dim ({board.measure})"


def limits(board: Board, rows: pd.DataFrame | None = None, reach: float = 4.0) -> tuple[float, float]:
    """The best and the worst value that an axis shows, with a margin.

    What is farther from the best than `reach` times the median's distance is cut off, and so is what is worse than a
    uniform guess over the levels, unless that is where most of them lie.
    """
    if rows is None:
        rows = pd.concat([board.rows, board.better_unranked])
    sign = 1 if board.better == "lower" else -1
    losses = sign * rows["value"]
    best, median, worst = (float(f) for f in (losses.min(), losses.median(), losses.max()))
    cut = best + reach * (median - best) if median > best else worst
    if sign * board.uniform > median:
        cut = min(cut, sign * board.uniform)
    widest = float((rows["high"] - rows["low"]).iloc[:3].max())
    end = max(min(worst, cut), best + widest)
    shown = rows[losses <= end]
    end = max(end, float((sign * shown["high" if sign > 0 else "low"]).max()))
    margin = 0.04 * (end - best) or 0.01 * abs(best) or 1.0
    best_end = float((sign * rows["low" if sign > 0 else "high"]).min())
    return sign * (min(best, best_end) - margin), sign * (end + margin)


def _uniform_line(axes: Axes, board: Board, window: tuple[float, float], *, vertical: bool) -> None:
    """The score of a uniform guess, where it lies in the window."""
    if not min(window) <= board.uniform <= max(window):
        return
    (axes.axvline if vertical else axes.axhline)(board.uniform, color=MUTED, linewidth=1)
    where = (board.uniform, 1) if vertical else (0, board.uniform)
    axes.annotate(
        "uniform guess",
        where,
        xycoords=("data", "axes fraction") if vertical else ("axes fraction", "data"),
        xytext=(-4, -3) if vertical else (3, -3),
        textcoords="offset points",
        ha="right" if vertical else "left",
        va="top",
        fontsize=10,
        color=MUTED,
    )


def _front(axes: Axes, rows: pd.DataFrame, name: str) -> None:
    """A line through what nothing else beats in both speed and score; `rows` are in the order of their ranks."""
    fastest = rows[name].cummax()
    front = rows[rows[name] >= fastest].drop_duplicates(name)
    if len(front) > 1:
        axes.step(front[name], front["value"], where="pre", color=MUTED, linewidth=1, linestyle=(0, (4, 2)), zorder=0)
