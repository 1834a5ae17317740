"""How the candidates of tuning trained: bounds on validation images, epoch by epoch, a line a candidate."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.report.figures._kinds import OfBoard
from bench.report.figures._looks import MUTED, Looks
from bench.report.figures._marks import ENDED, LEFT, beyond, stroke
from bench.report.figures._panels import LABEL, head, layout, spread
from bench.report.figures._svg import styled, tip
from bench.report.figures._text import wide
from bench.report.numbers import listed, several
from bench.report.text.tuning import how_candidate_ended, value_text, words
from bench.statistics.boards import Board
from bench.statistics.rows import Row
from bench.statistics.tuning import BEHIND, DIVERGED, Candidate, Search, searches
from bench.store import RunTables

MOST_PANELS = 12
COLUMNS = 3
MOST_LINES = 8  # of a panel, the chosen one and those that came nearest
MOST_POINTS = 80  # of a line
ROOM = 106  # CSS pixels for names beside a panel
BEGINNING = 0.1  # of the chosen one's epochs, whose steep rise is cut off below the panel


@styled
def draw(board: Board, tables: RunTables, looks: Looks) -> Figure | None:
    """A panel for the first configuration of each family, then for the next ones, up to MOST_PANELS. The chosen
    candidate in colour, the others in grey up to where they ended; None where nothing was tuned."""
    shown = _shown(board, tables)
    if not shown:
        return None
    figure, panels = layout(len(shown), height=150, columns=COLUMNS, left=64, right=130, top=30, gap=166)
    of = {row.config: row for row in board.everything}
    for axes, search in zip(panels, shown, strict=True):
        row = next(of[config] for config in search.configs if config in of)
        _panel(axes, search, row, looks)
    for axes in panels[::COLUMNS]:
        axes.set_ylabel("objective, nats")
    return figure


def _shown(board: Board, tables: RunTables) -> list[Search]:
    """The searches that have a panel: those of the first configurations of each family come first."""
    by_config = {config: search for search in searches(tables) for config in search.configs}
    ranked = [by_config[row.config] for row in board.everything if row.config in by_config]
    unique = {search.name: search for search in ranked}.values()
    found = [search for search in unique if search.chosen is not None and _drawn(search)]
    first = {search.family: search for search in reversed(found)}
    found.sort(key=lambda search: first[search.family] is not search)  # stable: ranks keep their order
    return found[:MOST_PANELS]


def _drawn(search: Search) -> list[int]:
    """The places of the candidates that have a line, best last: the chosen one, and those that came nearest."""
    known = [place for place, curve in search.history.items() if curve["valid_nats"].notna().any()]
    if search.chosen not in known:
        return []

    def distance(place: int) -> float:
        behind = search.candidates[place].behind
        return -1.0 if place == search.chosen else math.inf if math.isnan(behind) else behind

    return sorted(known, key=distance)[:MOST_LINES][::-1]


def _panel(axes: Axes, search: Search, row: Row, looks: Looks) -> None:
    chosen, hue = search.chosen, looks.hue(search.family)
    curves = {place: search.history[place].set_index("epoch")["valid_nats"].dropna() for place in _drawn(search)}
    low, high = _window(curves, chosen)
    last = max(curve.index[-1] for curve in curves.values())
    beside, inside = [], []
    for place, curve in curves.items():
        candidate, own = search.candidates[place], place == chosen
        colour, width = (hue, 2.0) if own else (MUTED, 1.0)
        line = _thin(curve)
        (drawn,) = axes.plot(line.index, line, color=colour, linewidth=width, zorder=3 if own else 2)
        end = float(np.clip(curve.iloc[-1], low, high))
        text = f"{_name(candidate)}{' ✓' if own else ''}"
        left = candidate.ended_by in (BEHIND, DIVERGED)
        look = stroke(colour, 6)
        if float(curve.iloc[-1]) < low:
            look["marker"] = beyond("down")
        elif own:
            look |= {"marker": looks.marker(row.family), "markerfacecolor": looks.face(row.family, row.recipe)}
        else:
            look["marker"] = LEFT if left else ENDED
        (mark,) = axes.plot([curve.index[-1]], [end], clip_on=False, zorder=4, **look)
        for artist in (drawn, mark):
            tip(artist, f"{_name(candidate)}: {how_candidate_ended(candidate)}".rstrip(": "))
        if left:
            inside.append((float(curve.index[-1]), end, text))
        else:
            beside.append((float(curve.iloc[-1]), text))
    axes.set_ylim(low, high)
    axes.set_xlim(0, last)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    head(axes, search.label, looks, row, ROOM)
    axes.set_xlabel("epoch")
    spread(axes, beside, ROOM)
    _name_inside(axes, inside, last, high - low)


def _name_inside(axes: Axes, ends: list[tuple[float, float, str]], width: float, height: float) -> None:
    """Names at the ends of lines inside the panel; those that would touch share one."""
    clusters: list[list[tuple[float, float, str]]] = []
    for end in sorted(ends):
        first = clusters[-1][0] if clusters else (-width, 0.0, "")
        if end[0] - first[0] < width / 3 and abs(end[1] - first[1]) < height / 10:
            clusters[-1].append(end)
        else:
            clusters.append([end])
    for cluster in clusters:
        names = ", ".join(text for _, _, text in cluster)
        text = names if wide(names, LABEL) <= ROOM else f"{len(cluster)} candidates"
        place = (cluster[-1][0], cluster[-1][1])
        tip(axes.annotate(text, place, xytext=(7, 2), textcoords="offset points", fontsize=LABEL, color=MUTED), names)


def _name(candidate: Candidate) -> str:
    return " · ".join(value_text(value) for value in candidate.values.values())


def _thin(curve: pd.Series) -> pd.Series:
    """At most MOST_POINTS of a curve, its ends among them."""
    places = np.unique(np.linspace(0, len(curve) - 1, min(len(curve), MOST_POINTS)).round().astype(int))
    return curve.iloc[places]


def _window(curves: dict[int, pd.Series], chosen: int | None) -> tuple[float, float]:
    """What holds the chosen curve after its beginning, and the ends of the others as far as they are not far below."""
    assert chosen is not None
    own = curves[chosen]
    late = own[own.index >= BEGINNING * own.index[-1]]
    high = max(float(late.max()), *(float(curve.max()) for curve in curves.values()))
    low = float(late.min())
    height = max(high - low, 1e-9)
    ends = [float(curve.iloc[-1]) for curve in curves.values()]
    low = min([low, *(end for end in ends if end > low - 0.5 * height)])
    room = 0.08 * (high - low) or 1.0
    return low - room, high + room


def title(board: Board) -> Markup:
    """What was chosen how often."""
    rows = [row for row in board.everything if row.tuned]
    if not rows:
        return Markup("Candidates of tuning")
    keys = list(rows[0].tuned.candidates)
    edged = sum(bool(row.tuned.edges) for row in rows)
    lie = "lies at the edge of its range" if edged == 1 else "lie at the edge of their range"
    where = f"{edged} of {several(len(rows), 'choice')} {lie}" if edged else "no choice lies at the edge of its range"
    return Markup("{}: {}").format(listed([words(key) for key in keys]).capitalize(), where)


FIGURE = OfBoard(
    section="tuning",
    order=1,
    draw=draw,
    title=title,
    note=(
        "The bound that is trained on, of validation images, higher is better. In colour and marked ✓: the candidate "
        "that was chosen; grey: the others, named at the height of their end. A bar: it ended or reached its limit; "
        "a cross: it left as beyond reach of a rival, or diverged; a chevron: it ended below the panel. The steep "
        "beginning is cut off; every panel has scales of its own. Shown are the first configuration of each family and "
        f"then the next ones, {MOST_PANELS} panels and {MOST_LINES} candidates a panel at most; all are in the table "
        "below."
    ),
)
