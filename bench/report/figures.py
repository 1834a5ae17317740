"""The figures of the report: each a function from a board to a figure, or to None where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from bench.report.boards import Board
from bench.report.numbers import measured, rate
from bench.report.svg import INK, MUTED, PAPER, POINTS, Looks, styled

WIDTH = 1160  # CSS pixels of a full-width figure
LANDSCAPE_WIDTH = 724
MOST_LETTERS = 22  # of a label beside a plot
MOST_LINES = 40  # of the landscape
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
SPEEDS = {
    "train_images_per_s": ("Training", "training images/s, one model alone"),
    "eval_decodes_per_s": ("Evaluation", "decodes/s in evaluation, one model alone"),
}


@styled
def landscape(board: Board, looks: Looks) -> Figure | None:
    """Every configuration of a board as a dot with its 95 % interval: a line per family, best on top.

    Where there is one family only, a line per configuration; None where there is one configuration only.
    """
    rows = board.rows
    if len(rows) < 2:
        return None
    alone = rows["family"].nunique() == 1
    groups = [group for _, group in rows.groupby("label" if alone else "family", sort=False)][:MOST_LINES]
    window = limits(board)
    figure, (axes,) = _panels(
        1, height=20 + 25 * len(groups), columns=1, left=145, right=185, top=6, width=LANDSCAPE_WIDTH
    )
    axes.set_xlim(*sorted(window))
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.axvline(rows.iloc[0]["value"], color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
    _uniform_line(axes, board, window, vertical=True)
    for place, own in enumerate(groups):
        first = own.iloc[0]
        hue = looks.hue(first["family"])
        inside = own[own["value"].between(*sorted(window))]
        for _, row in inside[::-1].iterrows():
            alpha = 1.0 if row["config"] == first["config"] else 0.5
            axes.plot([row["low"], row["high"]], [place, place], color=hue, linewidth=2, alpha=alpha)
            axes.plot(row["value"], place, looks.marker(row["family"]), color=hue, alpha=alpha, markersize=7,
                      markerfacecolor=looks.face(row["family"], bool(row["recipe"])), markeredgewidth=1.5)  # fmt: skip
        note = f"{measured(first['value'], board.unit)}  {_setting(first) if len(own) > 1 else ''}"
        beyond = len(own) - len(inside)
        far = f"{'▸' if board.better == 'lower' else '◂'}{beyond}" if beyond else ""
        for offset, text, colour in ((4, far, MUTED), (30, note.strip(), INK)):
            axes.annotate(text, (1, place), xycoords=("axes fraction", "data"), xytext=(offset, 0), color=colour,
                          textcoords="offset points", ha="left", va="center", fontsize=10.5)  # fmt: skip
    names = [group.iloc[0]["label" if alone else "family"] for group in groups]
    axes.set_yticks(range(len(groups)), [_cut(name) for name in names], color=INK, fontsize=12)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"{quantity(board)}, {'left' if board.better == 'lower' else 'right'} is better")
    return figure


@styled
def sigma_curves(board: Board, looks: Looks) -> Figure | None:
    """The score against a fixed σ, a panel per family, its learned modes as marked lines; None without two fixed σ."""
    rows = board.rows.assign(
        number=pd.to_numeric(board.rows["sigma"], errors="coerce"),
        stem=[_stem(row) for _, row in board.rows.iterrows()],
    )
    families = [
        family
        for family, own in rows[rows["number"].notna()].groupby("family", sort=False)
        if own["number"].nunique() > 1
    ]
    if not families:
        return None
    low, high = sorted(limits(board, rows[rows["family"].isin(families)], reach=np.inf))
    edge, arrow = (high, "^") if board.better == "lower" else (low, "v")
    figure, panels = _panels(len(families), height=270, columns=3, left=64, right=136, top=30, gap=170)
    for axes, family in zip(panels, families, strict=True):
        hue, marker = looks.hue(family), looks.marker(family)
        own = rows[(rows["family"] == family) & rows["number"].notna()]
        for count, (stem, line) in enumerate(own.groupby("stem", sort=False)):
            line = line.sort_values("number")
            inside = line[["value", "low", "high"]].clip(low, high)
            sns.lineplot(x=line["number"], y=inside["value"], ax=axes, color=hue, errorbar=None, linewidth=1.8,
                         linestyle=DASHES[count % len(DASHES)], label=stem)  # fmt: skip
            axes.fill_between(line["number"], inside["low"], inside["high"], color=hue, alpha=0.2, linewidth=0)
            within = line["value"].between(low, high)
            axes.plot(line["number"][within], line["value"][within], marker, color=hue, markersize=5)
            axes.plot(line["number"][~within], np.full((~within).sum(), edge), arrow, color=hue, markersize=7,
                      markerfacecolor=PAPER, clip_on=False)  # fmt: skip
        if own["stem"].nunique() > 1:
            axes.legend(frameon=False, fontsize=10)
        elif legend := axes.get_legend():
            legend.remove()
        modes = rows[(rows["family"] == family) & rows["number"].isna() & (rows["sigma"] != "")]
        modes = modes.drop_duplicates("sigma")  # the best of each mode
        for value in modes["value"]:
            axes.axhline(value, color=INK, linewidth=1, linestyle=(0, (4, 2)), alpha=0.7)
        axes.set_xscale("log")
        axes.set_ylim(low, high)
        _uniform_line(axes, board, (low, high), vertical=False)
        _spread(axes, [(row["value"], row["sigma"]) for _, row in modes.iterrows()])
        axes.set_title(family, color=hue)
        axes.set_xlabel("fixed σ, pixels scaled to [0, 1]")
        axes.set_ylabel("")
        _log_ticks(axes, own["number"], lambda value: f"{value:.3g}")
    panels[0].set_ylabel(quantity(board))
    return figure


@styled
def sample_curves(board: Board, bounds: pd.DataFrame, looks: Looks) -> Figure | None:
    """What the bound gains over its first L as L grows, a panel per family; None where there is only one L."""
    configs = {cell: config for config, sample in board.samples.items() for cell in sample.cells}
    long = bounds[bounds["cell"].isin(configs)].dropna(subset=["bound_nats"])
    means = long.groupby([long["cell"].map(configs), "samples"])["bound_nats"].mean().unstack("samples")
    if means.shape[1] < 2:
        return None
    gains = means.sub(means.bfill(axis=1).iloc[:, 0], axis=0)
    families = [
        family for family, own in board.rows.groupby("family", sort=False) if own["config"].isin(gains.index).any()
    ]
    figure, panels = _panels(len(families), height=165, columns=3, left=64, right=136, top=30, gap=190)
    for axes, family in zip(panels, families, strict=True):
        hue = looks.hue(family)
        own = board.rows[(board.rows["family"] == family) & board.rows["config"].isin(gains.index)]
        curves = gains.loc[own["config"]].rename_axis("config").reset_index().melt("config", value_name="gain").dropna()
        curves = curves.merge(own[["config", "trusted"]], on="config")
        sns.lineplot(curves, x="samples", y="gain", units="config", estimator=None, ax=axes, color=hue, linewidth=1.6,
                     style="trusted", dashes={True: "", False: (3, 2)}, legend=False)  # fmt: skip
        ends = []
        for _, row in own.iterrows():
            last = curves[curves["config"] == row["config"]].iloc[-1]
            axes.plot(last["samples"], last["gain"], "o", color=hue, markersize=4.5,
                      markerfacecolor=hue if row["trusted"] else PAPER)  # fmt: skip
            ends.append((float(last["gain"]), _setting(row) if len(own) > 1 else ""))
        axes.set_xscale("log")
        axes.margins(y=0.1)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        _spread(axes, ends)
        axes.set_title(family, color=hue)
        axes.set(xlabel="L, samples of z per image", ylabel="")
        _log_ticks(axes, gains.columns, lambda value: f"{value:,.0f}")
    for axes in panels[::3]:
        axes.set_ylabel(f"nats gained since L = {gains.columns[0]}")
    return figure


@styled
def speed(board: Board, looks: Looks) -> Figure | None:
    """The score against single-model speed in training and in evaluation; None without two measured configurations."""
    rows = board.rows
    columns = [name for name in SPEEDS if rows[name].notna().sum() > 1]
    if not columns:
        return None
    window = limits(board)
    figure, panels = _panels(len(columns), height=300, columns=2, left=64, right=170, top=30, gap=56)
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
    rows = board.rows if rows is None else rows
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


def _panels(
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


def _setting(row: pd.Series) -> str:
    """A configuration's label without its family's name, shortened to what fits beside a plot."""
    rest = str(row["label"]).removeprefix(str(row["family"])).replace("(", "").replace(")", "").strip()
    return _cut(rest)


def _cut(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"


def _stem(row: pd.Series) -> str:
    """A configuration's label without its σ."""
    return str(row["label"]).replace(f" σ={row['sigma']}", "")


def _spread(axes: Axes, labels: Sequence[tuple[float, str]], pitch: float = 12.5) -> None:
    """Labels right of the plot at their heights; those that would touch share one line of text."""
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
        texts = list(dict.fromkeys(text for _, text in reversed(cluster)))
        fit = max(n for n in range(1, len(texts) + 1) if n == 1 or len(", ".join(texts[:n])) <= MOST_LETTERS)
        shown = ", ".join(texts[:fit]) + (f" +{len(texts) - fit}" if len(texts) > fit else "")
        axes.annotate(shown, (1, _middle(cluster) / pixels), xycoords="axes fraction", xytext=(7, 0),
                      textcoords="offset points", ha="left", va="center", fontsize=10.5, color=MUTED)  # fmt: skip


def _middle(cluster: Sequence[tuple[float, str]]) -> float:
    return float(np.mean([place for place, _ in cluster]))


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


def _log_ticks(axes: Axes, values: Iterable[float], text: Callable[[float], str]) -> None:
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
