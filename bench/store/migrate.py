"""Run files and exported tables of before, brought along to this format.

Format 3 had other names of cells: they hashed every key, so that each new key would have changed them all. From format
4 on names hash what differs from what cells had before a key existed (bench.grid.cell), and columns are added as they
are declared. Up to format 4 `objective` also said which bound is trained, which is `bound` from format 5 on
(bench.grid.old). Up to format 5 there were no references; from format 6 on they are rows of `cells` with `reference` 1.
From format 7 on everything has a digest (bench.store.guard.digests), which what was brought along gets as it is.
A cell is told by its `spec`, from which its names follow; a reference by its own, which has the key `reference` and
stays as it is.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bench.grid.cell import Cell
from bench.store.columns import FORMAT, RESULT_COLUMNS
from bench.store.guard import content, digests
from bench.store.schema import INDEXED, KEY_COLUMNS, RESULT_TABLES, TABLES

if TYPE_CHECKING:
    import pandas as pd

#: which tables hold which of the names
NAMED = {
    "cell": RESULT_TABLES,
    "kind": ("cells", "throughput", "scaling"),
    "search": ("cells", "candidates", "candidate_history"),
}


ASKED = ("cell", "config", "kind", "search", "tuned", "spec")  #: columns of cells from which names are made


@dataclass(frozen=True)
class Names:
    """What the cells of a run are called now: from the name before to the name of today, where the two differ."""

    cell: dict[str, str]
    config: dict[str, str]
    kind: dict[str, str]
    search: dict[str, str]

    @classmethod
    def of(cls, rows: Iterable[tuple[str | None, ...]]) -> Names:
        """From `ASKED` of every stored cell. Raises ValueError for a spec that is none."""
        names = cls({}, {}, {}, {})
        for cell, config, kind, search, tuned, spec in rows:
            if is_reference(str(spec)):
                continue
            today = _cell(str(spec))
            trained = _settled(today, json.loads(tuned or "null"))
            for before, now, renamed in (
                (cell, today.id, names.cell),
                (config, today.config, names.config),
                (kind, trained.kind, names.kind),
                (search or "", today.search, names.search),
            ):
                if before and before != now:
                    renamed[before] = now
        return names


def is_reference(spec: str) -> bool:
    """Whether a stored spec is of a reference (bench.grid.references), and of no cell."""
    try:
        return "reference" in json.loads(spec)
    except TypeError as error:
        raise ValueError(f"a stored cell cannot be read: {error}") from error


def key_values(cell: Cell) -> dict[str, Any]:
    """The values of the grid's keys as the columns of a run file hold them; none for what is tuned."""
    values = {name: None if name in cell.tune else getattr(cell, name) for name in KEY_COLUMNS}
    return {name: ",".join(map(str, v)) if isinstance(v, tuple) else v for name, v in values.items()}


def is_current(connection: sqlite3.Connection) -> bool:
    """Whether a run file has this format and every column that is declared."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return version == FORMAT and not any(_lacking(connection, table) for table in TABLES)


def bring_along(connection: sqlite3.Connection) -> None:
    """Change an older run file into one of this format, inside the caller's transaction.

    Kinds of a survey that no cell is of keep the names that they have, and are measured anew when they are asked for.
    Raises ValueError where a stored cell is none.
    """
    for table in TABLES:
        for column, kind in _lacking(connection, table).items():
            connection.execute(
                f"ALTER TABLE {table} ADD COLUMN {column} {kind}"
                if _columns(connection, table)
                else f"CREATE TABLE {table} ({column} {kind})"
            )
    for table in INDEXED:
        connection.execute(f"CREATE INDEX IF NOT EXISTS {table}_cell ON {table} (cell)")
    stored = connection.execute(f"SELECT {', '.join(ASKED)} FROM cells").fetchall()  # noqa: S608  own names
    names = Names.of(stored)
    connection.execute("UPDATE cells SET reference = 0 WHERE reference IS NULL")
    for cell, *_, spec in stored:
        if is_reference(spec):
            continue
        today = _cell(spec)
        row = {**key_values(today), "config": today.config, "spec": json.dumps(today.spec, sort_keys=True)}
        row |= {} if today.tune else {"tune": "", "search": ""}
        values = ", ".join(f"{name} = ?" for name in row)
        connection.execute(f"UPDATE cells SET {values} WHERE cell = ?", (*row.values(), cell))  # noqa: S608  own names
    for column, tables in NAMED.items():
        renamed = [(now, before) for before, now in getattr(names, column).items()]
        for table in tables:
            connection.executemany(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", renamed)  # noqa: S608
    _part_objectives(connection)
    connection.execute("UPDATE cells SET encoder_samples = iw_samples WHERE encoder_samples IS NULL")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("DELETE FROM digests")
    found = content.read(connection)
    for (what, name), why in found.wrong.items():
        raise ValueError(f"{what} {name}: {why}")
    digests.store(connection, digests.of(found))


def _part_objectives(connection: sqlite3.Connection) -> None:
    """In the table of speeds; on what a kind is trained that no cell is of is not known, but where it is its bins."""
    connection.execute(
        "UPDATE throughput SET bound = CASE objective WHEN 'iwae' THEN 'iwae' ELSE 'elbo' END WHERE bound IS NULL"
    )
    connection.execute(
        "UPDATE throughput SET objective = (SELECT objective FROM cells WHERE cells.kind = throughput.kind LIMIT 1) "
        "WHERE objective IN ('elbo', 'iwae')"
    )


def bring_along_exported(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The same for tables that were exported, by name, references left aside; those without the specs of their cells
    stay as they are."""
    import pandas as pd

    cells = tables["cells"]
    if "spec" not in cells.columns:
        return tables
    asked = cells.reindex(columns=list(ASKED)).astype(object)
    names = Names.of(asked.where(asked.notna(), None).itertuples(index=False, name=None))
    today = [_cell(spec) for spec in cells["spec"]]
    keys = pd.DataFrame([key_values(cell) for cell in today], columns=list(KEY_COLUMNS), index=cells.index)
    nothing = {name: None if kind == "TEXT" else math.nan for name, kind in RESULT_COLUMNS.items()}
    lacking: dict[str, object] = {name: value for name, value in nothing.items() if name not in cells.columns}
    lacking |= {column: "" for column in ("tune", "search") if column not in cells.columns}
    lacking |= {name: value for name, value in (("reference", 0), ("details", None)) if name not in cells.columns}
    if "encoder_samples" in lacking and "iw_samples" in cells.columns:
        lacking["encoder_samples"] = cells["iw_samples"]  # one pass served both
    lacking |= {column: keys[column] for column in KEY_COLUMNS if column not in cells.columns}
    lacking["objective"] = keys["objective"]  # in the words of today
    specs = [json.dumps(cell.spec, sort_keys=True) for cell in today]
    tables = tables | {"cells": cells.assign(**lacking, spec=specs)}
    for column in ("cell", "config", "kind", "search"):
        renamed: dict[str, str] = getattr(names, column)
        for table, frame in tables.items():
            if column in frame.columns:
                tables[table] = frame.assign(**{column: frame[column].replace(renamed)})
    return tables


def _cell(spec: str) -> Cell:
    try:
        return Cell.of_spec(json.loads(spec))
    except (ValidationError, TypeError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ValueError(f"a stored cell cannot be read: {first}") from error


def _settled(cell: Cell, tuned: dict[str, Any] | None) -> Cell:
    try:
        return cell.settled(tuned)
    except (ValidationError, TypeError) as error:
        raise ValueError("what was chosen for a stored cell cannot be read") from error


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}


def _lacking(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """Declared columns that a table of the file has not got."""
    there = _columns(connection, table)
    return {name: kind for name, kind in TABLES[table].items() if name not in there}
