"""Rate against distortion over the weight of the KL in training, and their sum."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.grid.cell import number_text
from bench.report.figures._kinds import OfBoard
from bench.report.figures._looks import INK, MUTED, RULE, Looks
from bench.report.figures._panels import LABEL, layout, spread
from bench.report.figures._svg import POINTS, styled, tip
from bench.report.numbers import measured, number
from bench.report.text.findings import first_of
from bench.statistics.boards import Board
from bench.statistics.rows import Row, by_family, grouped
from bench.store import RunTables

MOST_LINES = 4  # of a family
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
ROOM = 150  # CSS pixels for names beside the right panel
LEVELS_OF_SUM = 6  # lines of one sum behind the left panel, about
APART = 44  # CSS pixels between ticks of weights, at least


@dataclass(frozen=True)
class Point:
    """A configuration: the weight that its training gave the KL, and both parts of its bound, in the board's unit."""

    row: Row
    weight: float
    rate: float
    distortion: float

    @property
    def sum(self) -> float:
        return self.rate + self.distortion


def sweep(row: Row) -> str:
    """What configurations of one line agree in: all but the KL's weight, and of a recipe the reading, which is chosen
    anew at each weight."""
    settings = {key: value for key, value in row.settings.items() if key != "kl_weight"}
    asked = [row.family, row.sigma, row.options, "" if row.recipe else row.scored_as, settings]
    return json.dumps(asked, sort_keys=True, default=str)


def sweeps(board: Board) -> list[list[Point]]:
    """The lines, each in the order of its weights: where a family was trained with several, all else alike; of each
    family the first MOST_LINES."""
    lines = []
    for rows in by_family(row for row in board.everything if "kl_weight" not in row.tuned.candidates).values():
        points = [point for point in (_point(row, board) for row in rows) if math.isfinite(point.sum)]
        of_family = []
        for own in grouped(points, lambda point: sweep(point.row)).values():
            first = [same[0] for same in grouped(own, lambda point: point.weight).values()]
            if len(first) > 1:
                of_family.append(sorted(first, key=lambda point: point.weight))
        lines += of_family[:MOST_LINES]
    return lines


def _point(row: Row, board: Board) -> Point:
    results = row.results
    rate, distortion = board.scale * results.kl_nats, -board.scale * results.reconstruction_nats
    return Point(row, float(row.in_use("kl_weight")), rate, distortion)


@styled
def draw(board: Board, tables: RunTables, looks: Looks) -> Figure | None:
    """Left the plane of rate and distortion, right their sum over the weight; None where no family has two weights."""
    lines = sweeps(board)
    if not lines:
        return None
    figure, (plane, sums) = layout(2, height=330, columns=2, left=64, right=ROOM + 10, top=16, gap=96)
    best = min(point.sum for line in lines for point in line)
    places = _places(sorted({point.weight for line in lines for point in line}))
    nth: dict[str, int] = {}
    for line in lines:
        family = line[0].row.family
        dashes = DASHES[nth.setdefault(family, 0) % len(DASHES)]
        nth[family] += 1
        _line(plane, line, [point.rate for point in line], [point.distortion for point in line], dashes, board, looks)
        _line(sums, line, [places[p.weight] for p in line], [p.sum for p in line], dashes, board, looks)
        _seeds(plane, sums, line, places, board, tables, looks)
        for point in (line[0], line[-1]):
            plane.annotate(f"×{number_text(point.weight)}", (point.rate, point.distortion), xytext=(6, 5),
                           textcoords="offset points", fontsize=LABEL, color=MUTED)  # fmt: skip
    _of_one_sum(plane, best, board)
    _weights(sums, places)
    sums.axhline(best, color=INK, linewidth=1, linestyle=(0, (4, 2)), alpha=0.7, zorder=1)
    if board.ranked:
        top = board.ranked[0]
        refined = -board.sign * top.value.mean if board.unit == "nats" else top.value.mean
        dotted = sums.axhline(refined, color=MUTED, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
        tip(dotted, f"{top.label}: −ln P(x), importance-weighted, {measured(refined, board.unit)} {board.unit}")
    sums.margins(y=0.06)
    spread(sums, [(line[-1].sum, _name(line)) for line in lines], ROOM)
    plane.set(xlabel=f"rate: KL(q(z|x) ‖ p(z)), {board.unit}", ylabel=f"distortion: −E ln P(x|z), {board.unit}")
    sums.set(xlabel="weight of the KL in training", ylabel=f"their sum: −ELBO, {board.unit}")
    return figure


def _line(
    axes: Axes,
    line: Sequence[Point],
    across: Sequence[float],
    up: Sequence[float],
    dashes: object,
    board: Board,
    looks: Looks,
) -> None:
    family = line[0].row.family
    hue = looks.hue(family)
    axes.plot(across, up, color=hue, linewidth=1.8, linestyle=dashes, label=_name(line), zorder=3)
    for point, x, y in zip(line, across, up, strict=True):
        face = looks.face(family, point.row.recipe)
        (mark,) = axes.plot([x], [y], marker=looks.marker(family), color=hue, markersize=6, linestyle="",
                            markerfacecolor=face, zorder=4, clip_on=False)  # fmt: skip
        tip(mark, _said(point, board))


def _said(point: Point, board: Board) -> str:
    nats = f" ({number(point.rate / board.scale, 1)} nats an image)" if board.unit != "nats" else ""
    parts = [
        f"rate {measured(point.rate, board.unit)}{nats}",
        f"distortion {measured(point.distortion, board.unit)}",
        f"sum {measured(point.sum, board.unit)} {board.unit}",
    ]
    weight = f"KL × {number_text(point.weight)}"
    return f"{point.row.label}, {weight}: {', '.join(parts)}"


def _seeds(
    plane: Axes,
    sums: Axes,
    line: Sequence[Point],
    places: dict[float, float],
    board: Board,
    tables: RunTables,
    looks: Looks,
) -> None:
    """Single seeds, faint, where there are several."""
    cells = tables.cells.set_index("cell")[["kl_nats", "reconstruction_nats"]]
    for point in line:
        own = cells.loc[list(board.samples[point.row.config].cells)].to_numpy(dtype=float) * board.scale
        if len(own) > 1:
            faint: dict[str, Any] = {
                "color": looks.hue(point.row.family),
                "marker": ".",
                "linestyle": "",
                "alpha": 0.4,
                "zorder": 2,
            }
            plane.plot(own[:, 0], -own[:, 1], **faint)
            sums.plot([places[point.weight]] * len(own), own[:, 0] - own[:, 1], **faint)


def _of_one_sum(plane: Axes, best: float, board: Board) -> None:
    """Lines on which the ELBO is one number, and that of the best of all; they go down by as much as across."""
    (left, right), (low, high) = plane.get_xlim(), plane.get_ylim()
    left, right, low, high = min(left, 0.0), right + 0.04 * (right - left), min(low, best - right), high
    low = max(low, best - right)
    step = _round((right + high - best) / LEVELS_OF_SUM)
    for count in range(1, 4 * LEVELS_OF_SUM):
        if best + count * step > right + high:
            break
        plane.plot([left, right], [best + count * step - left, best + count * step - right], color=RULE, linewidth=0.8,
                   zorder=0)  # fmt: skip
    (line,) = plane.plot([left, right], [best - left, best - right], color=INK, linewidth=1, linestyle=(0, (4, 2)),
                         alpha=0.7, zorder=1)  # fmt: skip
    said = f"best ELBO: sum {measured(best, board.unit)}"
    tip(line, f"{said} {board.unit}; grey: {measured(step, board.unit)} more each")
    plane.set_xlim(left, right)
    plane.set_ylim(low, high)
    plane.grid(visible=False)
    x = left + 0.6 * (right - left)
    inside = min(max(best - x, low), high)
    plane.annotate(said, (best - inside, inside), xytext=(-6, -4), textcoords="offset points", ha="right", va="top",
                   fontsize=LABEL, color=MUTED)  # fmt: skip


def _round(step: float) -> float:
    """1, 2 or 5 times a power of ten, near a step > 0."""
    power = 10.0 ** math.floor(math.log10(step)) if step > 0 else 1.0
    return power * min((1, 2, 5, 10), key=lambda times: abs(times * power - step))


def _places(weights: Sequence[float]) -> dict[float, float]:
    """Where each weight stands: at its logarithm, and 0 one step before the least."""
    positive = [weight for weight in weights if weight > 0]
    logs = {weight: math.log10(weight) for weight in positive}
    first = min(logs.values(), default=0.0)
    steps = np.diff(sorted(logs.values()))
    return {weight: logs.get(weight, first - (float(np.median(steps)) if len(steps) else 1.0)) for weight in weights}


def _weights(sums: Axes, places: dict[float, float]) -> None:
    """Ticks at the weights themselves, those left out that would touch."""
    whole = max(places.values()) - min(places.values()) or 1.0
    pixels = sums.bbox.width / sums.figure.dpi * POINTS
    names: dict[float, str] = {}
    for weight, place in places.items():
        if not names or pixels * (place - max(names)) / whole >= APART:
            names[place] = number_text(weight)
    sums.xaxis.set_major_locator(FixedLocator(list(names)))
    sums.xaxis.set_minor_locator(NullLocator())
    sums.xaxis.set_major_formatter(FuncFormatter(lambda place, _: names.get(place, "")))


def _name(line: Sequence[Point]) -> str:
    """What the configurations of a line are called, but for the weight; of a recipe without its reading."""
    row = line[0].row
    label = row.label.replace(f" kl_weight={number_text(line[0].weight)}", "")
    return label.replace(f" ({row.scored_as.replace('_', ' ')})", "") if row.recipe else label


def title(board: Board) -> Markup:
    """At which weight the sum is lowest, and how far the weight moves the rate."""
    lines = sweeps(board)
    if not lines:
        return Markup("Rate and distortion over the weight of the KL")
    at = grouped(lines, lambda line: min(line, key=lambda point: point.sum).weight)
    whole = len(lines)
    parts = []
    for weight, own in sorted(at.items()):
        names = first_of([Markup("<b>{}</b>").format(_name(line)) for line in own])
        which = Markup("all {}").format(whole) if len(own) == whole > 1 else names
        parts.append(Markup("{} ({})").format(number_text(weight), which))
    text = Markup("Rate plus distortion is lowest at a KL weight of {}").format(first_of(parts))
    rates = {id(line): max(p.rate for p in line) - min(p.rate for p in line) for line in lines}
    widest = max(lines, key=lambda line: rates[id(line)])
    low, high = (pick(point.rate for point in widest) for pick in (min, max))
    return text + Markup("; the weight moves the rate of <b>{}</b> from {} to {} {}").format(
        _name(widest), measured(low, board.unit), measured(high, board.unit), board.unit
    )


FIGURE = OfBoard(
    section="diagnostics",
    order=0,
    ids="rate",
    whole=True,
    draw=draw,
    title=title,
    note=(
        "The two parts of the bound of test images, with the KL as it is, whatever training gave it for a weight: rate "
        "is the KL of the trained encoder's q, distortion −E ln P of the exact masses under it, before proposals are "
        "fitted. A line is one setting over its weights, the first and the last of which stand beside it; faint dots "
        f"are single seeds; {MOST_LINES} lines of a family are drawn at most. Where rate plus distortion is one number "
        "the ELBO is, on the slanted lines (dashed: the best here; Alemi et al. 2018); it bounds what the images take, "
        "and a better q for the same decoder would bring it down (Huang et al. 2020). Dotted: the best score of all, "
        "importance-weighted. Epochs were chosen, and trainings ended, by what each training raised, its own weight "
        "in force. Hollow: folk recipes."
    ),
)
