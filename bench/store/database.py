"""Opening, checking and writing an SQLite file, with its troubles put into one sentence."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.grid.errors import UserError
from bench.store.columns import FORMAT
from bench.store.migrate import OLDEST, bring_along, is_current
from bench.store.schema import APPLICATION_ID, TABLES

FULL = (errno.ENOSPC, errno.EDQUOT)


class StoreError(UserError):
    """A run file that cannot be read or written; the message is one sentence with the remedy."""


def open_checked(path: Path) -> sqlite3.Connection:
    """A connection to a run file that is in order, of a format that can be brought along. Raises StoreError."""
    if not path.is_file():
        raise StoreError(f"there is no run file {path}; vae-bench run makes one.")
    if path.stat().st_size == 0:
        raise StoreError(f"{path} is empty, not a run file; run with --fresh or another --out.")
    connection = connect(path, create=False)
    try:
        with reading(path):
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if application != APPLICATION_ID:
                raise StoreError(f"{path} is another program's database, not a run file; give another --out.")
            if version > FORMAT:
                raise StoreError(
                    f"{path} was written by a newer version (its format is {version}, this one's {FORMAT}); read it "
                    "with that version, or give another --out."
                )
            if version < OLDEST:
                raise StoreError(
                    f"{path} was written by an older version (its format is {version}, and from {OLDEST} on they can "
                    "be brought along); read it with that version, or give another --out."
                )
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_write(path: Path) -> sqlite3.Connection:
    """`open_checked`, and an older file is changed into one of this format, wholly or not at all. Raises StoreError."""
    connection = open_checked(path)
    try:
        with reading(path):
            current = is_current(connection)
        if not current:
            with transaction(connection, path), _legible(path):
                bring_along(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """`open_checked`; of an older file a copy in memory, brought along to this format: who only reads changes no file.
    Raises StoreError."""
    connection = open_checked(path)
    try:
        with reading(path):
            if is_current(connection):
                return connection
            copy = sqlite3.connect(":memory:", isolation_level=None)
            connection.backup(copy)
            with _legible(path):
                bring_along(copy)
        connection.close()
        return copy
    except BaseException:
        connection.close()
        raise


@contextmanager
def _legible(path: Path) -> Iterator[None]:
    """Turns a stored cell that is none into a StoreError."""
    try:
        yield
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}); run with --fresh, or give another --out.") from error


def replaceable(path: Path) -> bool:
    """Whether --fresh may write over this file: nothing there, an empty file, or a run file of any version or state."""
    try:
        with path.open("rb") as file:
            head = file.read(72)
    except FileNotFoundError:
        return True
    return not head or (head.startswith(b"SQLite format 3\0") and head[68:72] == APPLICATION_ID.to_bytes(4, "big"))


def connect(path: Path, *, create: bool) -> sqlite3.Connection:
    """A connection without any check, in autocommit mode. Raises StoreError."""
    # Read-write even for readers: only so can SQLite undo what a killed run left half-written in its journal.
    writable = create or os.access(path, os.W_OK)
    mode = "rwc" if create else "rw" if writable else "ro"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        return sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None)
    except sqlite3.Error as error:
        raise cannot_write(path, error) from error


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """All that is written inside, or nothing. Raises StoreError."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise cannot_write(path, error) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns SQLite's errors on a damaged file into a StoreError."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        what = " ".join(str(error).split())
        remedy = "run with --fresh, or give another --out" if replaceable(path) else "give another --out"
        raise StoreError(f"{path} is damaged or not a run file ({what}); {remedy}.") from error


def cannot_write(path: Path, error: Exception) -> StoreError:
    """What a failed write means to a person."""
    text = str(error)
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in FULL:
        return StoreError(f"the disk is full: {path} could not be written; free some space and run again.")
    return StoreError(f"{path} could not be written ({text}); give another --out.")


def create_table(connection: sqlite3.Connection, table: str) -> None:
    """Make a table of the schema where it is not there yet."""
    definitions = ", ".join(f"{name} {kind}" for name, kind in TABLES[table].items())
    connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({definitions})")


def insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> None:
    """One row into a table; one with the same key is replaced."""
    marks = ", ".join("?" * len(row))
    statement = f"INSERT OR REPLACE INTO {table} ({', '.join(row)}) VALUES ({marks})"  # noqa: S608  own names
    connection.execute(statement, tuple(row.values()))


def read_meta(connection: sqlite3.Connection) -> dict[str, Any]:
    """The table of keys and values, whose values are JSON."""
    return {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM meta")}
