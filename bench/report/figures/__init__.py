"""The figures of the page: each public module of this folder is one, and its file name is its name.

A figure's file holds what it draws, the title that says what it shows, what to know when reading it, and where it
stands, as one `FIGURE`. The page shows whatever is found here, and `write` makes files of it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from markupsafe import Markup
from matplotlib.figure import Figure

from bench.report.figures._kinds import SECTIONS, Numbers, OfBoard, OfRun
from bench.report.figures._looks import Looks
from bench.report.figures._names import file_name, origin
from bench.report.figures._panels import stem
from bench.report.figures._svg import signed, to_file, to_print, to_svg
from bench.statistics.boards import Board, boards
from bench.statistics.rows import by_family, first_of_each, grouped
from bench.store import RunTables
from bench.store.guard import places

__all__ = ["FORMATS", "Looks", "Numbers", "OfBoard", "OfRun", "Shown", "found", "of_board", "of_run", "write"]

FORMATS = ("svg", "png", "pdf")

K = TypeVar("K", OfBoard, OfRun)

MOST = 100  # configurations of a board that figures draw, and the first of each family besides
MOST_LINES = 4  # over σ, of a family of such a board


@dataclass(frozen=True)
class Shown:
    """A drawn figure with the title that states what it shows, and what to know when reading it."""

    title: Markup
    svg: Markup
    note: str
    file: str  # what it is called where it is saved, without an ending
    heading: str = ""
    numbers: Numbers | None = None


def found() -> dict[str, OfBoard | OfRun]:
    """Every figure by its name. Raises ImportError for a module of this folder that is none."""
    figures = {}
    for info in pkgutil.iter_modules(__path__):
        if not info.name.startswith("_"):
            figure = getattr(importlib.import_module(f"{__name__}.{info.name}"), "FIGURE", None)
            if not isinstance(figure, OfBoard | OfRun) or figure.section not in SECTIONS:
                raise ImportError(f"{__name__}.{info.name} needs a FIGURE, in one of {', '.join(SECTIONS)}")
            figures[info.name] = figure
    return figures


def of_board(board: Board, tables: RunTables, looks: Looks, anchor: str) -> dict[str, list[Shown]]:
    """What there is to draw of a board, by section; ids inside begin with the anchor."""
    return {
        section: [
            _shown(drawing, f"{anchor}-{figure.ids or name}", figure.title(board), figure.note + left,
                   origin(tables, figure.title(board), board), file_name(tables, name, board))
            for name, figure in _standing(section, OfBoard)
            for few, left in [(board, "") if figure.whole else _lines(board) if figure.lines else _heads(board)]
            if (drawing := figure.draw(few, tables, looks)) is not None
        ]
        for section in SECTIONS
    }  # fmt: skip


def _heads(board: Board) -> tuple[Board, str]:
    """A board with what can be drawn of it legibly, and in a page of a few megabytes, and a sentence on what that is;
    itself where it is small."""
    if len(board.everything) <= MOST:
        return board, ""
    first = board.everything[:MOST]
    kept = {row.config for row in (*first, *first_of_each(board.everything, lambda row: row.family))}
    return _only(board, kept, f"the first {MOST} and the first of each family")


def _lines(board: Board) -> tuple[Board, str]:
    """The same where lines are drawn: of each family the first ones, whole."""
    if len(board.everything) <= MOST:
        return board, ""
    kept = set()
    for rows in by_family(board.everything).values():
        kept |= {row.config for line in list(grouped(rows, stem).values())[:MOST_LINES] for row in line}
    return _only(board, kept, f"of each family those that agree but for σ with one of its first {MOST_LINES}")


def _only(board: Board, kept: set[str], which: str) -> tuple[Board, str]:
    """A board with some of its configurations alone."""
    few = replace(
        board,
        ranked=tuple(row for row in board.ranked if row.config in kept),
        left_out=tuple(row for row in board.left_out if row.config in kept),
        samples={config: sample for config, sample in board.samples.items() if config in kept},
        readings=(),
    )
    return few, f" Drawn are {len(few.everything):,} of {len(board.everything):,} configurations: {which}."


def of_run(tables: RunTables) -> dict[str, list[Shown]]:
    """What there is to draw of the run as a whole, by section."""
    return {
        section: [
            _shown(drawing, name, figure.title(tables), figure.note(tables), origin(tables, figure.title(tables)),
                   file_name(tables, name), figure.heading, figure.numbers(tables))
            for name, figure in _standing(section, OfRun)
            if (drawing := figure.draw(tables)) is not None
        ]
        for section in SECTIONS
    }  # fmt: skip


def write(tables: RunTables, folder: Path) -> list[Path]:
    """Write every figure of a run into a folder, in each of FORMATS; gives the files. A figure's name stays the same
    when the run is done again, and says what is drawn of what. Raises OSError where a file cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for drawing, title, name, said in _all(tables):
        stem, count = name, 1
        while folder / f"{stem}.{FORMATS[0]}" in written:  # two boards whose names differ in what no file name can hold
            count += 1
            stem = f"{name}-{count}"
        whole = signed(drawing, said)
        svg = to_file(drawing, stem, title, said, whole).encode()
        for kind in FORMATS:
            path = folder / f"{stem}.{kind}"
            places.written_over(path, "--figures", places.is_figure, "figure")
            path.write_bytes(svg if kind == "svg" else to_print(drawing, kind, title, said, whole))
            written.append(path)
    return written


def _all(tables: RunTables) -> Iterator[tuple[Figure, str, str, str]]:
    """Every figure with its title, the name of its file, and where it is from."""
    ranked = boards(tables)
    looks = Looks.of(tables.cells["family"])
    for name, figure in found().items():
        for board in ranked if isinstance(figure, OfBoard) else [None]:
            drawing, title = None, Markup("")
            if board is None and isinstance(figure, OfRun) and (drawing := figure.draw(tables)) is not None:
                title = figure.title(tables)
            elif board and isinstance(figure, OfBoard) and (drawing := figure.draw(board, tables, looks)) is not None:
                title = figure.title(board)
            if drawing is not None:
                said = origin(tables, title, board)
                yield drawing, title.striptags(), file_name(tables, name, board), said


def _standing(section: str, kind: type[K]) -> list[tuple[str, K]]:
    """The figures of one kind in a section, in their order."""
    figures = [(name, figure) for name, figure in found().items() if isinstance(figure, kind)]
    return sorted((item for item in figures if item[1].section == section), key=lambda item: item[1].order)


def _shown(
    drawing: Figure,
    ids: str,
    title: Markup,
    note: str,
    said: str,
    file: str,
    heading: str = "",
    numbers: Numbers | None = None,
) -> Shown:
    svg = to_svg(drawing, ids, f"{title.striptags()}. {note}", signed(drawing, said))
    return Shown(title, svg, note, file, heading, numbers)
