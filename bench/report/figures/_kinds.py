"""The two kinds of figures: of a board, and of the run as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure

from bench.report.figures._looks import Looks
from bench.report.tables.entries import Entry
from bench.statistics.boards import Board
from bench.store import RunTables

SECTIONS = ("verdict", "sigma", "samples", "tuning", "diagnostics", "speed")  # of the page, those that have figures


@dataclass(frozen=True, kw_only=True)
class OfBoard:
    """A figure that stands once for every board."""

    section: str  # one of SECTIONS
    order: int  # within it
    draw: Callable[[Board, RunTables, Looks], Figure | None]  # None where there is nothing to draw
    title: Callable[[Board], Markup]  # states what the figure shows, from the same numbers
    note: str  # what to know when reading it
    ids: str = ""  # what the ids inside begin with, after the board's; the figure's name where it is not given
    lines: bool = False  # whether it draws lines over σ, of which each needs all of its configurations
    whole: bool = (
        False  # whether it takes a board however large, and itself sees to it that it draws no more than is read
    )


@dataclass(frozen=True, kw_only=True)
class OfRun:
    """A figure that stands once, under a heading of its own and over its numbers."""

    section: str
    order: int
    heading: str
    draw: Callable[[RunTables], Figure | None]
    title: Callable[[RunTables], Markup]
    note: Callable[[RunTables], str]
    numbers: Callable[[RunTables], Numbers | None] = lambda tables: None


@dataclass(frozen=True)
class Numbers:
    """What a figure is drawn from, as a table beneath it."""

    summary: str
    label: str
    heads: tuple[tuple[str, str], ...]  # of the columns, each with its unit or ''
    rows: list[list[Entry]]
