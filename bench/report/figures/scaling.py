"""How speed grows with the size of bundles, batches, L and the latent: curves of one kind of cell, and limits."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.report.figures._kinds import Numbers, OfRun
from bench.report.figures._looks import INK, MUTED
from bench.report.figures._marks import ENDED
from bench.report.figures._panels import layout, log_ticks, spread
from bench.report.figures._svg import styled, tip
from bench.report.numbers import count, percent, rate, several, times
from bench.report.tables.entries import Entry, key
from bench.store import RunTables

CURVES = {
    "bundle": ("Bundle", "models in training together"),
    "batch": ("Batch", "images of a step, one model"),
    "samples": ("L in evaluation", "samples of z per image"),
    "latent": ("Latent size", "dimensions, one model"),
}
LIMITS = {"flops_share": "matrix products", "bytes_share": "copying"}
LINES: dict[str, dict[str, Any]] = {
    "flops_share": {"color": INK, "linewidth": 1.8, "marker": ENDED, "markersize": 7},
    "bytes_share": {"color": MUTED, "linewidth": 1.4, "marker": ENDED, "markersize": 7, "linestyle": (0, (4, 2))},
}  # fmt: skip


@styled
def draw(tables: RunTables) -> Figure | None:
    """The shares of both limits over each size, a panel per curve, all on one scale; above them the rates at the ends.

    None without a survey, and without a curve of two points or more.
    """
    points = tables.scaling
    if points.empty:
        return None
    shown = [curve for curve in CURVES if (points["curve"] == curve).sum() > 1]
    if not shown:
        return None
    top = 125 * float(points[list(LIMITS)].max(axis=None))
    figure, panels = layout(len(shown), height=190, columns=4, left=50, right=100, top=30, gap=36)
    for axes, curve in zip(panels, shown, strict=True):
        own = points[points["curve"] == curve].sort_values("size")
        for name, line in LINES.items():
            (curve_line,) = axes.plot(own["size"], 100 * own[name], **line)
            tip(curve_line, f"share of the machine’s rate of {LIMITS[name]}")
        axes.set_xscale("log")
        axes.set_xlim(own["size"].iloc[0] / 1.25, own["size"].iloc[-1] * 1.25)
        axes.set_ylim(0, top)
        for place, where, side in ((0, 0.02, "left"), (-1, 0.98, "right")):
            axes.annotate(rate(own["rate"].iloc[place]), (where, 1), xycoords="axes fraction", ha=side, va="top",
                          fontsize=10.5, color=INK)  # fmt: skip
        title, label = CURVES[curve]
        axes.set_title(f"{title}, {own['unit'].iloc[0]}")
        axes.set_xlabel(label)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
        log_ticks(axes, own["size"], lambda value: f"{value:,.0f}")
    spread(panels[-1], [(100 * own[name].iloc[-1], limit) for name, limit in LIMITS.items()], 90)
    panels[0].set_ylabel("share of the machine’s rate")
    return figure


def title(tables: RunTables) -> Markup:
    """What bundling gives, and the bundle beyond which it gives no more."""
    points = tables.scaling
    label = str(points["label"].iloc[0])
    own = points[points["curve"] == "bundle"].sort_values("size")
    if len(own) < 2:
        return Markup("How the speed of <b>{}</b> depends on sizes").format(label)
    best = own.loc[own["rate"].idxmax()]
    gain = best["rate"] / own["rate"].iloc[0]
    text = Markup("Bundles of {} train <b>{}</b> {} times as fast as one model alone").format(
        count(best["size"]), label, times(gain)
    )
    if gain < 1.05 or best["size"] == own["size"].iloc[0]:
        text = Markup("Bundling does not train <b>{}</b> faster").format(label)
    suggested = _suggested(tables.throughput, str(points["kind"].iloc[0]))
    reached = own.loc[own["size"] == suggested, "rate"]
    if suggested == best["size"] or reached.empty or reached.iloc[0] < 0.95 * best["rate"]:
        return text
    return text + Markup("; {} already reach 95 % of that").format(several(int(suggested), "model"))


def note(tables: RunTables) -> str:
    """How to read the curves, and where they were measured."""
    points = tables.scaling
    first = points.iloc[0]
    where = f"{first['device']}, {several(int(first['threads']), 'thread')}"
    products, copies = (float(points[name].median()) for name in ("matmul_gflops", "copy_gbytes_per_s"))
    return (
        "Solid: operations of the network’s matrix products, as a share of the machine’s rate of large float32 "
        "products; dashed: bytes that a step moves at the least, as a share of its rate of copying; both "
        "measured in the same rounds as the work. The higher of the two is the share of what the machine could do; "
        "over 100 % of copying is possible where caches hold the work. Above: the rates themselves, at the smallest "
        "and the largest size. "
        f"Measured on {where}: {rate(products)} GFLOP/s, {rate(copies)} GB/s."
    )


def numbers(tables: RunTables) -> Numbers:
    """The points as a table."""
    points = tables.scaling
    return Numbers(
        summary="The curves as numbers",
        label="Curves of speed",
        heads=(
            *(("What grows", ""), ("Size", ""), ("Speed", "")),
            *(("Of matrix products", ""), ("Of copying", ""), ("Memory", "MB")),
        ),
        rows=[
            [
                Entry(CURVES[point["curve"]][0], point["curve"]),
                Entry(count(point["size"]), point["size"]),
                Entry(rate(point["rate"]), point["rate"], str(point["unit"])),
                *(Entry(percent(point[name]), point[name]) for name in LIMITS),
                Entry(rate(point["peak_bytes"] / 1e6), key(point["peak_bytes"])),
            ]
            for _, point in points[points["curve"].isin(CURVES)].iterrows()
        ],
    )


def _suggested(throughput: pd.DataFrame, kind: str) -> float:
    if "suggested_bundle" not in throughput.columns:
        return float("nan")
    suggested = pd.to_numeric(throughput.loc[throughput["kind"] == kind, "suggested_bundle"], errors="coerce").dropna()
    return float(suggested.iloc[0]) if len(suggested) else float("nan")


FIGURE = OfRun(
    section="speed",
    order=1,
    heading="What sizes do to speed",
    draw=draw,
    title=title,
    note=note,
    numbers=numbers,
)
