"""Whether a file holds the tables of a run and nothing else, before anything of them is read.

What stands for a table must be one: a view, a virtual table or a generated column is a program that would be carried
out instead, and a trigger or an index of somebody else's could change rows as a run writes its own.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from bench.store.columns import FORMAT, RESULT_COLUMNS
from bench.store.guard.errors import ELSEWHERE, StoreError, damaged, shown
from bench.store.schema import APPLICATION_ID, DIGESTED, INDEXED, KEY_COLUMNS, TABLES

OLDEST = 3  #: formats from here on can be brought along
MOST_ENTRIES = 200
ANALYZED = ("sqlite_stat1", "sqlite_stat4")  # SQLite's own notes, which its users may have had it make
KEYED = {table for table, columns in TABLES.items() if "TEXT PRIMARY KEY" in columns.values()}  # by an index
#: what a file of any format has
ALWAYS = {
    "cells": {"cell", "config", "label", "kind", "family", "dataset", "seed", "spec", "current", "status", "reason"},
    "bounds": {"cell", "samples", "bound_nats"},
    "per_image": {"cell", "iw_nats"},
    "latents": {"cell", "dimension"},
    "pictures": {"cell", "kind", "shape", "data"},
    "meta": {"key", "value"},
    "provenance": {"id", "json"},
    "throughput": {"kind", "extra"},
}
FREE = {*KEY_COLUMNS, *RESULT_COLUMNS}  # those of cells that another version of the same format may have or lack


def check(connection: sqlite3.Connection, path: Path) -> int:
    """The format of a run file that can be brought along and whose tables are tables. Raises StoreError."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise StoreError(f"{shown(path)} is another program's database, not a run file; {ELSEWHERE}.")
    if version > FORMAT:
        raise StoreError(
            f"{shown(path)} was written by a newer version (its format is {version}, this one's {FORMAT}); read it "
            f"with that version, or {ELSEWHERE}."
        )
    if version < OLDEST:
        raise StoreError(
            f"{shown(path)} was written by an older version (its format is {version}, and from {OLDEST} on they can "
            f"be brought along); read it with that version, or {ELSEWHERE}."
        )
    tables = _tables(connection, path)
    if ("digests" in tables) != (version >= DIGESTED):
        raise damaged(path, f"its format would be {version}, and its tables are of another")
    if absent := sorted(ALWAYS.keys() - set(tables)):
        raise damaged(path, f"the table {absent[0]!r} is not there")
    for table in tables:
        _check_columns(connection, path, table, version)
    return int(version)


def _tables(connection: sqlite3.Connection, path: Path) -> list[str]:
    entries = connection.execute(
        f"SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT {MOST_ENTRIES + 1}"  # noqa: S608  own number
    ).fetchall()
    if len(entries) > MOST_ENTRIES:
        raise StoreError(f"{shown(path)} is no run file: it has more tables than any; {ELSEWHERE}.")
    tables = []
    for kind, name, table, sql in entries:
        virtual = isinstance(sql, str) and sql.lstrip()[:14].upper().startswith("CREATE VIRTUAL")
        own_index = (table in INDEXED and sql == f"CREATE INDEX {table}_cell ON {table} (cell)") or (
            name == f"sqlite_autoindex_{table}_1" and table in KEYED and sql is None
        )
        if kind == "table" and table == name and not virtual and name in (*TABLES, *ANALYZED):
            if name in TABLES:
                tables.append(name)
        elif kind != "index" or not own_index:
            what = "virtual table" if virtual else kind
            raise StoreError(
                f"{shown(path)} is no run file: it holds the {shown(what, 20)} '{shown(name, 40)}', and a run file has "
                f"its own tables only; {ELSEWHERE}."
            )
    return tables


def _check_columns(connection: sqlite3.Connection, path: Path, table: str, version: int) -> None:
    """Every column is stored as it is, and of a present file the fixed ones are all there."""
    facts = connection.execute(f"PRAGMA table_xinfo({table})").fetchall()
    names = {name for _, name, *_ in facts}
    if any(hidden for *_, hidden in facts):
        raise StoreError(f"{shown(path)} is no run file: its table {table!r} computes a column; {ELSEWHERE}.")
    declared = set(TABLES[table])
    lacking, unknown = declared - names, names - declared
    fixed = {name for name in lacking if table != "cells" or name not in FREE}
    if absent := sorted(ALWAYS.get(table, set()) - names):
        raise damaged(path, f"the table {table!r} lacks the column {absent[0]!r}")
    if version >= DIGESTED and (fixed or (unknown and (lacking or table != "cells"))):
        raise damaged(path, f"the table {table!r} lacks the column {min(fixed or lacking or unknown)!r}")


def has(connection: sqlite3.Connection, table: str) -> bool:
    """Whether a file has this table."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is not None
