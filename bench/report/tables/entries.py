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
NUMBER = re.compile(r"(-?[\d,]+(?:\.(\d+))?)(?: ([%MG]))?")
UNITS = {"": 1.0, "%": 0.01, "M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class Column(Generic[T]):
    """A column of a table, and what it shows of a row."""

    head: str
    unit: str
    show: Callable[[T], Entry]
    numeric: bool = True
    apart: bool = False  # begins a group of another quantity
    of_references: bool = False  # which have it too
    id: str = ""  # by which a script finds it
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
    """The same cell in fewer letters: sorted by its text, where sort.js reads in it what was rounded to it (what looks
    alike stays as it was), else by a shorter key."""
    key = entry.key if isinstance(entry.key, str) or entry.key is None else f"{entry.key:.{DIGITS}g}"
    known = _read(entry.key)[0] if isinstance(entry.key, str) else entry.key
    read, rounding = _read(entry.text)
    alike = known == read or (isinstance(known, float) and isinstance(read, float) and abs(known - read) <= rounding)
    return replace(entry, key=None if alike else key, rest=True)


def shown(row: Row, columns: Iterable[Column[Row]], *, whole: bool) -> list[Entry]:
    """The cells of a row, in fewer letters where it is one of many; of a reference there is what columns have of it."""
    cells = [NONE if row.reference and not column.of_references else column.show(row) for column in columns]
    return cells if whole else [lean(cell) for cell in cells]


def _read(text: str) -> tuple[float | str, float]:
    """What sort.js sorts a text by, and how far from it a number may be that was rounded to it."""
    found = NUMBER.fullmatch(text.replace("−", "-").replace("\u00a0", " "))
    if text == NOTHING or found is None:
        return ("" if text == NOTHING else text), 0.0
    unit = UNITS[found[3] or ""]
    digits = found[1].replace(",", "")
    whole = digits.lstrip("-")
    zeros = max(0, min(len(whole) - len(whole.rstrip("0")), len(whole) - 3))  # of a rate: 61,200 may be 61,234
    return float(digits) * unit, 0.51 * 10.0 ** (zeros if found[2] is None else -len(found[2])) * unit


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
