"""All that a run file holds, read once and held to its types; what is not of them is left out and named.

A part is what is left out together: a cell (or reference) with all its rows, a search with its candidates, a fact of
the run, an invocation, the speed of a kind, the curves of speed.
"""

from __future__ import annotations

import gc
import sqlite3
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from bench.store.guard.connection import LONGEST_ARRAYS, LONGEST_ROW
from bench.store.guard.values import (
    CANDIDATES,
    CELLS,
    KINDS,
    MOST,
    TYPES,
    Wrong,
    alike,
    check_extra,
    check_images,
    check_meta,
    check_provenance,
    shape_of,
)
from bench.store.schema import RESULT_TABLES

MOST_ROWS = 20_000_000
LONG = ("bounds", "latents", "calibration", "history")  # many rows of numbers a cell
#: of every table but that of digests, the column that says which part a row is of
PARTS = {
    **dict.fromkeys(RESULT_TABLES, ("cell", "cell")),
    "candidates": ("search", "search"),
    "candidate_history": ("search", "search"),
    "throughput": ("speed of the kind", "kind"),
    "scaling": ("curves of speed", ""),
    "meta": ("fact", "key"),
    "provenance": ("invocation", "id"),
}
#: columns of which every row has something
FULL = {"pictures": ("kind", "shape", "data"), "meta": ("value",), "provenance": ("json",), "cells": ("spec",)}
CHECKS: dict[str, Mapping[str, Callable[[Any], Any]]] = {
    "cells": CELLS,
    "candidates": CANDIDATES,
    "throughput": {"extra": check_extra},
    "provenance": {"json": check_provenance},
}

CALLED = {str: "a text", bytes: "bytes", int: "a whole number", float: "a fraction"}
Part = tuple[str, str]  # what it is, and its name


@dataclass
class Rows:
    """Rows of one table in the order of the file, by column; `numbers` has the columns of numbers, NaN where there is
    none, and is float64."""

    table: str
    columns: dict[str, Sequence[Any]]
    numbers: dict[str, np.ndarray]
    count: int

    @property
    def names(self) -> Sequence[Any]:
        """The name of the part that each row is of."""
        return self.columns[PARTS[self.table][1]]

    @cached_property
    def runs(self) -> list[tuple[str, int, int]]:
        """Neighbouring rows of one part: its name, the first row, the one behind the last."""
        names = np.array(self.names, dtype=object)
        starts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist()][: self.count]
        return list(zip(names[starts], starts, [*starts[1:], self.count], strict=True)) if starts else []


@dataclass
class Content:
    """What a file holds. `wrong` names the parts that are left out, and what is wrong with each."""

    tables: dict[str, Rows] = field(default_factory=dict)
    shapes: dict[tuple[str, int], tuple[int, ...]] = field(default_factory=dict)  # of pictures, by shape and size
    wrong: dict[Part, str] = field(default_factory=dict)

    def __getitem__(self, table: str) -> Rows:
        return self.tables[table]

    def leave_out(self, parts: Iterable[Part]) -> None:
        """Take the rows of these parts out of every table."""
        parts = set(parts)
        for table, rows in self.tables.items():
            what, column = PARTS[table]
            gone = {name for of, name in parts if of == what}
            if gone and (not column or not gone.isdisjoint(map(str, rows.columns[column]))):
                kept = [index for index in range(rows.count) if str(rows.columns[column or "kind"][index]) not in gone]
                self.tables[table] = _taken(rows, kept if column else [])


def read(connection: sqlite3.Connection, tables: Iterable[str] = tuple(PARTS), of: str | None = None) -> Content:
    """The content of some tables; `of` restricts them to one part of this name. Raises sqlite3.Error."""
    content = Content()
    for table in tables:
        content.tables[table] = _rows(connection, table, of, content.wrong)
    if "pictures" in content.tables:
        _check_pictures(content)
    if content.wrong:
        content.leave_out(content.wrong)
    return content


@contextmanager
def no_collection() -> Iterator[None]:
    """Garbage is not looked for among many new rows, of which none is: that would be a quarter of all reading."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _rows(connection: sqlite3.Connection, table: str, of: str | None, wrong: dict[Part, str]) -> Rows:
    what, column = PARTS[table]
    longest = LONGEST_ARRAYS if table in ("per_image", "pictures") else LONGEST_ROW
    before = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest)
    which, given = (f"WHERE {column} = ?", (of,)) if of is not None else ("", ())
    order = "id" if table == "provenance" else "rowid"
    cursor = connection.execute(
        f"SELECT * FROM {table} {which} ORDER BY {order} LIMIT {MOST_ROWS + 1}",  # noqa: S608  own names
        given,
    )
    names = [name for name, *_ in cursor.description]
    listed = cursor.fetchall()
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, before)
    if len(listed) > MOST_ROWS:
        raise sqlite3.DataError(f"the table {table} has more rows than any of a run")
    kinds = _kinds(connection, table, names)
    rows = _of_listed(table, names, kinds, listed)
    if not listed:
        return rows
    rows.numbers = {
        name: _numbers(values, kinds[name]) for name, values in rows.columns.items() if name in rows.numbers
    }
    bad = _wrong_types(rows, kinds) or _wrong_values(rows, kinds)
    while bad:
        keys = rows.columns[column] if column else [""] * rows.count
        for index, why in bad.items():
            wrong.setdefault((what, str(keys[index])), why if table == what + "s" else f"{table}: {why}")
        listed = [row for index, row in enumerate(listed) if index not in bad]
        rows = _of_listed(table, names, kinds, listed)
        if listed:
            rows.numbers = {name: np.array(rows.columns[name], dtype=np.float64) for name in rows.numbers}
        bad = _wrong_values(rows, kinds)
    return rows


def _numbers(values: Sequence[Any], kind: str) -> np.ndarray:
    """A column of numbers; of no length where one is none of its kind. An array of Python's own takes nothing else."""
    try:
        held = array("d" if kind == "REAL" else "q", values)
    except TypeError:  # one is missing, which is NaN, or is no number of this kind
        if set(map(type, values)) <= {*TYPES[kind], type(None)}:
            return np.array(values, dtype=np.float64)
        return np.empty(0)
    return np.frombuffer(held, dtype="f8" if kind == "REAL" else "i8").astype(np.float64, copy=False)


def _of_listed(table: str, names: Sequence[str], kinds: Mapping[str, str], listed: Sequence[tuple[Any, ...]]) -> Rows:
    columns: dict[str, Sequence[Any]] = dict.fromkeys(names, ())
    if listed:
        columns = dict(zip(names, zip(*listed, strict=True), strict=True))
    numeric = (name for name, kind in kinds.items() if kind in ("REAL", "INTEGER"))
    return Rows(table, columns, {name: np.empty(0) for name in numeric}, len(listed))


def _kinds(connection: sqlite3.Connection, table: str, names: Sequence[str]) -> dict[str, str]:
    """The kind of each column: as it is declared, and of those of another version as the file declares it."""
    known = KINDS[table]
    if set(names) <= known.keys():
        return {name: known[name] for name in names}
    said = {name: str(kind) for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})")}
    return {name: known.get(name) or (said[name] if said[name] in TYPES else "TEXT") for name in names}


def _taken(rows: Rows, kept: list[int]) -> Rows:
    return Rows(
        rows.table,
        {name: [values[index] for index in kept] for name, values in rows.columns.items()},
        {name: values[kept] for name, values in rows.numbers.items()},
        len(kept),
    )


# -- what is wrong -----------------------------------------------------------------------------------------------------


def _wrong_types(rows: Rows, kinds: Mapping[str, str]) -> dict[int, str]:
    """The rows with a value that its column does not take. Whole columns are looked at first: almost always all of
    them are as they should be."""
    found: dict[int, str] = {}
    for name, values in rows.columns.items():
        types = TYPES[kinds[name]]
        if len(rows.numbers.get(name, ())) == rows.count:
            continue
        if not set(map(type, values)) <= {*types, type(None)}:
            for index, value in enumerate(values):
                if value is not None and type(value) not in types:
                    found.setdefault(index, f"its {name} is {CALLED[type(value)]}")
    for name in (PARTS[rows.table][1], *FULL.get(rows.table, ())):
        if name and None in rows.columns[name]:
            found |= {index: f"it has no {name}" for index, value in enumerate(rows.columns[name]) if value is None}
    return found


def _wrong_values(rows: Rows, kinds: Mapping[str, str]) -> dict[int, str]:
    """The rows with a value that no version wrote, their types being right."""
    table, columns, key = rows.table, rows.columns, PARTS[rows.table][1]
    found: dict[int, str] = {}
    for name, numbers in rows.numbers.items():
        if kinds[name] == "INTEGER":
            for index in np.flatnonzero((numbers < 0) | (numbers >= MOST)).tolist():
                found.setdefault(index, f"its {name} is no count: {columns[name][index]}")
    if table in ("cells", "per_image", "throughput") and len(set(columns[key])) < rows.count:
        _check_once(columns[key], found)
    for name, check in CHECKS.get(table, {}).items():
        if name in columns:
            values = columns[name] if name != "spec" else [alike(text) for text in columns[name]]
            _check_each(values, check, found)
    if table == "per_image":
        arrays = [values for name, values in columns.items() if name != "cell"]
        _check_all(zip(*arrays, strict=True), check_images, found)
    if table == "meta":
        _check_all(zip(columns["key"], columns["value"], strict=True), lambda given: check_meta(*given), found)
    return found


def _check_once(keys: Sequence[Any], found: dict[int, str]) -> None:
    seen = set()
    for index, key in enumerate(keys):
        if key in seen:
            found.setdefault(index, "it is there twice")
        seen.add(key)


def _check_each(values: Sequence[Any], check: Callable[[Any], Any], found: dict[int, str]) -> None:
    """Equal values are looked at once."""
    wrong: dict[Any, str] = {}
    for value in set(values):
        try:
            check(value)
        except Wrong as error:
            wrong[value] = str(error)
    if wrong:
        for index, value in enumerate(values):
            if value in wrong:
                found.setdefault(index, wrong[value])


def _check_all(values: Iterable[Any], check: Callable[[Any], Any], found: dict[int, str]) -> None:
    for index, value in enumerate(values):
        try:
            check(value)
        except Wrong as error:
            found.setdefault(index, str(error))


def _check_pictures(content: Content) -> None:
    rows = content["pictures"]
    columns = rows.columns
    for index, (shape, data) in enumerate(zip(columns["shape"], columns["data"], strict=True)):
        given = (shape, len(data or b""))
        if given in content.shapes:
            continue
        try:
            content.shapes[given] = shape_of(*given)
        except Wrong as error:
            content.wrong.setdefault(("cell", str(columns["cell"][index])), f"pictures: {error}")
