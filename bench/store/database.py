"""A run file opened: to read it, with what it holds checked, or to write it, with what is damaged taken out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.grid.errors import Say, on_stderr, some
from bench.store.guard import connection as guarded
from bench.store.guard import content, digests, places, schema
from bench.store.guard.connection import (
    Connection,
    cannot_write,
    connect,
    distrust,
    only_reading,
    reading,
    transaction,
)
from bench.store.guard.content import Content, Part
from bench.store.guard.errors import ELSEWHERE, StoreError, damaged, shown
from bench.store.guard.header import begins_as_run
from bench.store.migrate import bring_along, is_current
from bench.store.schema import DIGESTED, RESULT_TABLES, TABLES

__all__ = ["StoreError", "cannot_write", "connect", "reading", "transaction"]


@dataclass
class Opened:
    """A run file that is in order: what it holds, but for what is damaged, and a sentence for each kind of that."""

    connection: sqlite3.Connection
    content: Content
    damaged: Mapping[Part, str]
    sentences: Sequence[str]


@contextmanager
def open_to_read(path: Path, tables: Sequence[str] = tuple(content.PARTS)) -> Iterator[Opened]:
    """Some tables of a run file; an older one is brought along in memory, for who only reads changes no file, and keeps
    its standard error, where it is told for whom it is waited. Raises StoreError."""
    _look_at(path)
    connection = connect(path, create=False, say=on_stderr)
    try:
        with only_reading(connection, path):
            guarded.begin_to_read(connection, path)
            version = _check(connection, path)
            current = is_current(connection)
            found, wrong = _content(connection, path, version, tables if current else tuple(content.PARTS))
            if current:
                yield Opened(connection, found, wrong, _sentences(path, wrong))
                return
            connection.execute("COMMIT")
        with reading(path):
            copy = sqlite3.connect(":memory:", isolation_level=None)
            connection.backup(copy)
            distrust(copy)
            with _legible(path):
                _leave_out(copy, wrong)
                bring_along(copy)
            yield Opened(copy, content.read(copy, tables), wrong, _sentences(path, wrong))
            copy.close()
    finally:
        connection.close()


def open_to_write(path: Path, say: Say) -> tuple[Connection, list[str]]:
    """A run file to be gone on with, and what in it was damaged, a sentence each: that is gone from it, so that it is
    computed again. An older one is changed into one of this format, wholly or not at all. `say` tells a person for
    whom it is waited, now and in every transaction. Raises StoreError."""
    _look_at(path)
    connection = connect(path, create=False, say=say)
    try:
        with only_reading(connection, path):
            guarded.begin_to_read(connection, path)
            version = _check(connection, path)
            _, wrong = _content(connection, path, version, tuple(content.PARTS))
            sound = connection.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
            current = is_current(connection)
            connection.execute("COMMIT")
        connection.execute(f"PRAGMA cache_size = -{guarded.CACHE_KILOBYTES}")
        if wrong or not sound or not current:
            with transaction(connection, path, guarded.WAIT_TO_OPEN), _legible(path):
                if not sound:
                    connection.execute("REINDEX")  # the tables are in order: what is not are the ways into them
                _leave_out(connection, wrong)
                if not current:
                    bring_along(connection)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, guarded.LONGEST_ARRAYS)
    except BaseException:
        connection.close()
        raise
    return connection, _sentences(path, wrong)


def replaceable(path: Path) -> bool:
    """Whether --fresh may write over this file: nothing there, an empty file, or a run file of any version or state."""
    return not path.exists() or not path.stat().st_size or begins_as_run(path)


def _look_at(path: Path) -> None:
    """Raises StoreError for what SQLite is not to touch."""
    found = places.run_file(path, "")
    if not found.exists():
        raise StoreError(f"there is no run file {shown(path)}; vae-bench run makes one.")
    if found.stat().st_size == 0:
        raise StoreError(f"{shown(path)} is empty, not a run file; {ELSEWHERE}, or --fresh.")
    guarded.refuse_foreign_journal(found)


def _check(connection: sqlite3.Connection, path: Path) -> int:
    """The format of a file of which every table, and every page, is in order. Raises StoreError, sqlite3.Error."""
    version = schema.check(connection, path)
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise damaged(path, str(verdict), "damaged or not a run file")
    return version


def _content(
    connection: sqlite3.Connection, path: Path, version: int, tables: Sequence[str]
) -> tuple[Content, dict[Part, str]]:
    """What a file holds, and the parts that are left out of it because they are damaged. A file of before there were
    digests is to hold nothing else than what was written then. Raises StoreError, sqlite3.Error."""
    there = [table for table in tables if schema.has(connection, table)]
    found = content.read(connection, there)
    if version < DIGESTED:
        for (what, name), why in found.wrong.items():
            raise damaged(path, f"{why}, in {what} {shown(name, 60)}")
        return found, {}
    kept = digests.stored(connection)
    if set(there) != set(content.PARTS):
        kept = {part: digest for part, digest in kept.items() if digests.is_of(part, there)}
    wrong = found.wrong | digests.changed(digests.of(found), kept)
    found.leave_out(wrong)
    return found, wrong


@contextmanager
def _legible(path: Path) -> Iterator[None]:
    """Turns a stored cell that is none into a StoreError."""
    try:
        yield
    except ValueError as error:
        raise damaged(path, str(error)) from error


def _leave_out(connection: sqlite3.Connection, wrong: Mapping[Part, str]) -> None:
    """Take damaged parts out of a file, inside the caller's transaction. An invocation leaves its number behind, so
    that no later one gets it and the cells that came with it."""
    for table, (what, column) in content.PARTS.items():
        gone = {name for of, name in wrong if of == what}
        if not gone or not schema.has(connection, table):
            continue
        listed = connection.execute(f"SELECT rowid, {column or 'NULL'} FROM {table}").fetchall()  # noqa: S608  own names
        rows = [(number,) for number, name in listed if not column or str(name) in gone]
        connection.executemany(f"DELETE FROM {table} WHERE rowid = ?", rows)  # noqa: S608  own names
    if schema.has(connection, "digests"):
        digests.forget(connection, digests.all_of(wrong))
        lost = [int(name) for what, name in wrong if what == "invocation" and name.isdecimal() and len(name) < 9]
        connection.executemany("INSERT INTO provenance VALUES (?, '{}')", [(number,) for number in lost])
        digests.store(connection, digests.of(content.read(connection, ["provenance"])))


#: of a kind of part: one and many of it, and what running the grid again does about it
SAID = {
    "cell": ("cell", "cells", "computes {it} anew"),
    "search": ("search", "searches", "goes on without the candidates of {it}"),
    "fact": ("fact of the run", "facts of the run", "writes {it} anew"),
    "invocation": ("invocation", "invocations", "goes on without what is known of {it}"),
    "speed of the kind": ("speed of the kind", "speeds of the kinds", "measures {it} again"),
    "curves of speed": ("the curves of speed", "the curves of speed", "goes on without {it}"),
}


def _sentences(path: Path, wrong: Mapping[Part, str]) -> list[str]:
    """What is damaged, a sentence for each kind of part."""
    sentences = []
    for kind, (one, many, then) in SAID.items():
        names = sorted(name for what, name in wrong if what == kind)
        if not names:
            continue
        it, listed = "it" if len(names) == 1 else "them", some(shown(name, 60) for name in names)
        what = f"the {one} {listed} is" if len(names) == 1 else f"{len(names):,} {many} ({listed}) are"
        if kind == "curves of speed":
            what, it = f"{one} are", "them"
        sentences.append(
            f"{shown(path, 60)}: {what} damaged and left out; running the grid again {then.format(it=it)}."
        )
    return sentences


def create_table(connection: sqlite3.Connection, table: str) -> None:
    """Make a table of the schema where it is not there yet."""
    definitions = ", ".join(f"{name} {kind}" for name, kind in TABLES[table].items())
    connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({definitions})")


def insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> None:
    """One row into a table; one with the same key is replaced."""
    marks = ", ".join("?" * len(row))
    statement = f"INSERT OR REPLACE INTO {table} ({', '.join(row)}) VALUES ({marks})"  # noqa: S608  own names
    connection.execute(statement, tuple(row.values()))


def digest_cell(connection: sqlite3.Connection, cell: str) -> None:
    """Store the digests of a cell as it stands, inside the caller's transaction. Raises ValueError for values that no
    reader would take: those are a fault of whoever gives them."""
    digests.store(connection, digests.of(_lawful(content.read(connection, RESULT_TABLES, of=cell))))


def digest_tables(connection: sqlite3.Connection, *tables: str, of: str | None = None) -> None:
    """Store the digests of the parts of tables, or of one part, as they stand, inside the caller's transaction; that of
    a part of which nothing is left goes. Raises ValueError likewise."""
    what, column = content.PARTS[tables[0]]
    if of is not None or not column:
        digests.forget(connection, [(what, of or "")])
    digests.store(connection, digests.of(_lawful(content.read(connection, tables, of=of))))


def _lawful(found: Content) -> Content:
    for (what, name), why in found.wrong.items():
        raise ValueError(f"{what} {name} has values that no reader of run files takes: {why}")
    return found


@contextmanager
def changing_cells(connection: sqlite3.Connection) -> Iterator[None]:
    """Inside the caller's transaction: rows of cells change, and their digests with them, but for those of cells that
    were not as they had been written: these stay as they are found out by."""
    stored = digests.stored(connection)
    before = digests.of(content.read(connection, ["cells"]))
    yield
    now = digests.of(content.read(connection, ["cells"]))
    sound = {part for part, digest in before.items() if stored.get(part) == digest}
    digests.store(
        connection, {part: digest for part, digest in now.items() if part in sound and digest != before[part]}
    )
