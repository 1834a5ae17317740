"""What all tables are made of: columns, each of which says what a row has in it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from bench.report.numbers import NOTHING, number, percent, rate
from bench.statistics.rows import Row

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One cell of a table: what is shown, and what it is sorted by."""

    text: str
    key: float | str | None  # None: by its text
    small: str = ""  # shown after the text, smaller
    marked: bool = False
    rest: bool = False  # of one of many rows, in as few letters as will do


NONE = Entry(NOTHING, "")

MOST = 100  # rows of a table that have all there is; of the rest what it says, for there may be thousands
DIGITS = 6  # of the keys of the rest
NUMBER = re.compile(r"-?[\d,]+(\.\d+)?")


@dataclass(frozen=True)
class Column(Generic[T]):
    """A column of a table, and what it shows of a row."""

    head: str
    unit: str
    show: Callable[[T], Entry]
    numeric: bool = True
    apart: bool = False  # begins a group of another quantity
    of_references: bool = False  # which have it too
    wide: int = 0  # CSS pixels at least, of words that may take several lines


@dataclass(frozen=True)
class Named:
    """A configuration in a table that does not rank."""

    label: str
    recipe: bool
    failed: str  # seeds
    hue: str
    caution: str  # why it is left out of the ranking, '' where it is ranked
    entries: list[Entry]
    rest: bool = False  # whether it is one of many
    mark: str = ""  # that it is worse than the plainest references


def lean(entry: Entry) -> Entry:
    """The same cell in fewer letters: sorted by its text, where sort.js reads the same in it, else by a shorter key."""
    key = entry.key if isinstance(entry.key, str) or entry.key is None else f"{entry.key:.{DIGITS}g}"
    said = _read(entry.key) if isinstance(entry.key, str) else entry.key
    alike = not entry.marked and _read(entry.text) == said
    return replace(entry, key=None if alike else key, rest=True)


def shown(row: Row, columns: Iterable[Column[Row]], *, whole: bool) -> list[Entry]:
    """The cells of a row, in fewer letters where it is one of many; of a reference there is what columns have of it."""
    cells = [NONE if row.reference and not column.of_references else column.show(row) for column in columns]
    return cells if whole else [lean(cell) for cell in cells]


def _read(text: str) -> float | str:
    """What sort.js sorts a text by."""
    plain = text.replace("−", "-")
    if text == NOTHING:
        return ""
    return float(plain.replace(",", "")) if NUMBER.fullmatch(plain) else text


def key(value: float) -> float | str:
    """What a column is sorted by; what is missing has no key and goes last."""
    return "" if math.isnan(value) else float(value)


def plain(read: Callable[[T], float], digits: int) -> Callable[[T], Entry]:
    """A number as it is."""
    return lambda row: Entry(number(read(row), digits), key(read(row)))


def share(read: Callable[[T], float]) -> Callable[[T], Entry]:
    """A share in percent."""
    return lambda row: Entry(percent(read(row)), key(read(row)))


def speed(read: Callable[[T], float]) -> Callable[[T], Entry]:
    """A rate to three digits."""
    return lambda row: Entry(rate(read(row)), key(read(row)))


def some_seeds(count: int, row: Row) -> str:
    """'2 of 3 seeds' where it is some of them and not all."""
    return f"{count} of {row.seeds} seeds" if 0 < count < row.seeds else ""


def known(rows: Iterable[Row], read: Callable[[Row], float]) -> bool:
    """Whether a number is known of any row: a column without one is not shown."""
    return any(not math.isnan(read(row)) for row in rows)
