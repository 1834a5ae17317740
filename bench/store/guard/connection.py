"""A connection to a file that nobody vouches for: what SQLite is told, how long it may take, and what its errors mean.

A run file may come from anybody. Its schema is then a program that SQLite carries out (views, triggers, generated
columns), and its pages are input of a parser in C. So nothing of the schema is trusted or carried out, pages are
checked, and time and sizes have limits ("Defense Against The Dark Arts", https://sqlite.org/security.html).
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.grid.errors import Say
from bench.store.guard import places
from bench.store.guard.errors import ELSEWHERE, StoreError, damaged, detail, shown
from bench.store.guard.header import regular

FULL = (errno.ENOSPC, errno.EDQUOT)
#: seconds that another program may hold the file while it is opened, and while a run that has begun writes to it
WAIT_TO_OPEN, WAIT_TO_WRITE = 30.0, 600.0
FIRST_WAIT = 3.0  # before the waiting is said; whoever reads a large run takes as long
MEGABYTE = 1 << 20
LONGEST_ROW = 16 * MEGABYTE  # bytes of a row of words and numbers
LONGEST_ARRAYS = 512 * MEGABYTE  # of one of pixels, or of numbers of images
SECONDS_TO_READ, BYTES_A_SECOND = 60.0, 4e6  # a slow disk's
PROGRESS_STEPS = 500_000  # of SQLite's machine, between two looks at the clock
CACHE_KILOBYTES = 262_144  # at most: what is written stays in memory until it is committed

LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: LONGEST_ARRAYS,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: MEGABYTE,
    sqlite3.SQLITE_LIMIT_COLUMN: 1000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 20,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 100,
}
PRAGMAS = ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "recursive_triggers = OFF")
#: what reading a run file needs; all else is refused while the statement is made
ALLOWED = (
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_PRAGMA,
    sqlite3.SQLITE_TRANSACTION,
)


class Connection(sqlite3.Connection):
    """A connection that knows where a person is told that another program is waited for."""

    say: Say


def connect(path: Path, *, create: bool, say: Say) -> Connection:
    """A connection in autocommit mode that trusts nothing of the file, of which nothing is looked at yet. `say` tells a
    person whom it waits for: a run keeps its standard error for a log, and gives its terminal.

    Raises StoreError.
    """
    # Read-write even for readers: only so can SQLite undo what a killed run left half-written in its journal.
    writable = create or os.access(path, os.W_OK)
    mode = "rwc" if create else "rw" if writable else "ro"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=FIRST_WAIT, isolation_level=None, factory=Connection)
        connection.say = say
        distrust(connection)
    except sqlite3.Error as error:
        raise (cannot_write if create else _cannot_read)(path, error) from error
    return connection


def distrust(connection: sqlite3.Connection) -> None:
    """Tell SQLite that neither schema nor pages of this database are to be trusted."""
    for limit, most in LIMITS.items():
        connection.setlimit(limit, most)
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
        for one in (
            sqlite3.SQLITE_DBCONFIG_TRUSTED_SCHEMA,
            sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER,
            sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW,
            sqlite3.SQLITE_DBCONFIG_DQS_DDL,
            sqlite3.SQLITE_DBCONFIG_DQS_DML,
        ):
            connection.setconfig(one, False)
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


@contextmanager
def only_reading(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Inside, nothing but reading of tables is carried out, and not for ever; errors are StoreErrors."""
    until = time.monotonic() + SECONDS_TO_READ + path.stat().st_size / BYTES_A_SECOND

    def judge(action: int, first: str | None, second: str | None, base: str | None, inside: str | None) -> int:
        return sqlite3.SQLITE_OK if action in ALLOWED and inside is None else sqlite3.SQLITE_DENY

    with reading(path):
        connection.set_progress_handler(lambda: time.monotonic() > until, PROGRESS_STEPS)
        connection.set_authorizer(judge)
        try:
            yield
        finally:
            connection.set_authorizer(None)
            connection.set_progress_handler(None, 0)


def patiently(connection: Connection, statement: str, path: Path, seconds: float) -> None:
    """Carry out a statement that takes a lock; where another program has it, wait for so long, and say so once.

    Raises StoreError where it is still held then, sqlite3.Error for all else.
    """
    until, said = time.monotonic() + seconds, False
    while True:
        try:
            connection.execute(statement).fetchall()
            return
        except sqlite3.OperationalError as error:
            if not _is_busy(error):
                raise
            if time.monotonic() >= until:
                raise held(path) from error
        if not said:
            said = True
            connection.say(f"{shown(path)} is held by another program; waiting for it, {seconds:g} s at most")
        time.sleep(0.1)


def begin_to_read(connection: Connection, path: Path) -> None:
    """One snapshot from here on, though a run may be writing. Raises StoreError, sqlite3.Error."""
    connection.execute("BEGIN")
    patiently(connection, "SELECT 1 FROM sqlite_master LIMIT 1", path, WAIT_TO_OPEN)  # the first look takes the lock


@contextmanager
def transaction(connection: Connection, path: Path, seconds: float | None = None) -> Iterator[None]:
    """All that is written inside, or nothing; another program that holds the file is waited for. Raises StoreError."""
    seconds = WAIT_TO_WRITE if seconds is None else seconds
    try:
        patiently(connection, "BEGIN IMMEDIATE", path, seconds)
        try:
            yield
            patiently(connection, "COMMIT", path, seconds)
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise cannot_write(path, error) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into StoreErrors that say what is the matter."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the second where the words of an error have broken ones
        raise _cannot_read(path, error) from error


def _cannot_read(path: Path, error: Exception) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    name = shown(path)
    if _is_busy(error):
        return held(path)
    if code == sqlite3.SQLITE_INTERRUPT:
        return StoreError(f"{name} takes longer to read than any run file of its size does; {ELSEWHERE}.")
    if code == sqlite3.SQLITE_TOOBIG:
        return StoreError(f"{name} is no run file: it holds a value that is larger than any of a run; {ELSEWHERE}.")
    if code in (sqlite3.SQLITE_AUTH, sqlite3.SQLITE_PERM):
        return StoreError(f"{name} is no run file: its tables ask for more than to be read; {ELSEWHERE}.")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR):
        return StoreError(
            f"{name} cannot be read as it is ({detail(error)}): see to its permissions, its folder's and the disk, and "
            "try again."
        )
    return damaged(path, detail(error), "damaged or not a run file")


def held(path: Path) -> StoreError:
    """Another program has the file for itself; nothing is wrong with it."""
    return StoreError(
        f"{shown(path)} is held by another program (a backup, or a browser of databases); nothing is wrong with the "
        "file: close it there, or wait until it is done, and try again."
    )


def cannot_write(path: Path, error: Exception) -> StoreError:
    """What a failed write means to a person."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in FULL:
        return StoreError(f"the disk is full: {shown(path)} could not be written; free some space and run again.")
    if _is_busy(error):
        return held(path)
    return StoreError(f"{shown(path)} could not be written ({detail(error)}); give another --out.")


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def refuse_foreign_journal(path: Path) -> None:
    """Raises StoreError where the journal beside a file speaks of other files: SQLite would look at them, and may
    remove one. A run's own never does (https://sqlite.org/fileformat2.html#the_rollback_journal)."""
    journal = path.with_name(path.name + "-journal")
    with suppress(FileNotFoundError), regular(journal) as file:
        if file and file.seek(0, os.SEEK_END) > 16:
            file.seek(-8, os.SEEK_END)
            if file.read(8) == places.COMPANIONS["-journal"][0]:
                raise StoreError(
                    f"{shown(journal)} is no journal of a run file, for it speaks of other files; move it away, or "
                    f"{ELSEWHERE}."
                )
