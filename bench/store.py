"""The run file: one SQLite database per run, written one transaction a bundle, read as pandas tables.

SQLite's rollback journal is kept (not WAL), so that a finished run is one file that can be copied.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.cell import Described

if TYPE_CHECKING:
    import pandas as pd

APPLICATION_ID = 0x56414562  # "VAEb", at byte 68 of every run file
SCHEMA_VERSION = 1

Value = str | int | float | None

SPEC_COLUMNS = {
    "cell": "TEXT PRIMARY KEY",
    "config": "TEXT",
    "label": "TEXT",
    "kind": "TEXT",
    "dataset": "TEXT",
    "levels": "INTEGER",
    "view": "TEXT",
    "family": "TEXT",
    "sigma": "TEXT",
    "options": "TEXT",
    "scored_as": "TEXT",
    "recipe": "INTEGER",
    "train_samples": "INTEGER",
    "objective": "TEXT",
    "hidden": "TEXT",
    "activation": "TEXT",
    "latent": "INTEGER",
    "epochs": "INTEGER",
    "batch_size": "INTEGER",
    "learning_rate": "REAL",
    "seed": "INTEGER",
    "test_images": "INTEGER",
    "binarisation": "TEXT",
    "spec": "TEXT",
    "current": "INTEGER",
}
RESULT_COLUMNS = {
    "measure": "TEXT",
    "currency": "TEXT",
    "elbo_nats": "REAL",
    "elbo_se": "REAL",
    "iw_nats": "REAL",
    "iw_se": "REAL",
    "iw_samples": "INTEGER",
    "iw_mc_se": "REAL",
    "bits_per_dim": "REAL",
    "bits_per_dim_se": "REAL",
    "dequantised_nats": "REAL",
    "dequantised_bits_per_dim": "REAL",
    "density_nats": "REAL",
    "training_objective_nats": "REAL",
    "kl_nats": "REAL",
    "reconstruction_nats": "REAL",
    "active_units": "INTEGER",
    "ess_median": "REAL",
    "sigma_fitted": "REAL",
    "best_epoch": "INTEGER",
    "train_seconds": "REAL",
    "eval_seconds": "REAL",
    "train_images_per_s": "REAL",
    "eval_decodes_per_s": "REAL",
    "matmul_share": "REAL",
    "bundle_train_images_per_s": "REAL",
    "bundle_models": "INTEGER",
    "peak_memory_bytes": "INTEGER",
    "device": "TEXT",
}
END_COLUMNS = {"status": "TEXT", "reason": "TEXT", "provenance": "INTEGER"}
CELL_COLUMNS = SPEC_COLUMNS | END_COLUMNS | RESULT_COLUMNS

THROUGHPUT_COLUMNS = {
    "kind": "TEXT PRIMARY KEY",
    "family": "TEXT",
    "sigma_mode": "TEXT",
    "train_samples": "INTEGER",
    "objective": "TEXT",
    "train_images_per_s": "REAL",
    "eval_decodes_per_s": "REAL",
    "train_flops_share": "REAL",
    "eval_flops_share": "REAL",
    "matmul_gflops": "REAL",
    "device": "TEXT",
    "provenance": "INTEGER",
    "extra": "TEXT",
}
TABLES = {
    "meta": {"key": "TEXT PRIMARY KEY", "value": "TEXT"},
    "provenance": {"id": "INTEGER PRIMARY KEY", "json": "TEXT"},
    "cells": CELL_COLUMNS,
    "bounds": {"cell": "TEXT", "samples": "INTEGER", "bound_nats": "REAL", "standard_error": "REAL"},
    "per_image": {"cell": "TEXT PRIMARY KEY", "iw_nats": "BLOB"},  # little-endian float64, one number a test image
    "pictures": {"cell": "TEXT", "kind": "TEXT", "shape": "TEXT", "data": "BLOB"},  # uint8, row-major, shape as JSON
    "throughput": THROUGHPUT_COLUMNS,
}
RESULT_TABLES = ("cells", "bounds", "per_image", "pictures")


class StoreError(Exception):
    """A run file that cannot be read or written; the message is one sentence with the remedy."""


@dataclass(frozen=True)
class CellResult:
    """How one cell ended.

    values: columns of RESULT_COLUMNS. bounds: (samples, bound_nats, standard_error), means over the test images.
    per_image: float64 [N], iw_nats of every test image at the largest number of samples.
    pictures: "original" | "reconstruction" | "sample" -> uint8 [n, H, W] or [n, H, W, C], grey values 0..255.
    """

    cell: str
    status: str
    reason: str | None = None
    values: Mapping[str, Value] = field(default_factory=dict)
    bounds: Sequence[tuple[int, float, float]] = ()
    per_image: np.ndarray | None = None
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class RunTables:
    """A run file in memory, restricted to the cells of the present grid.

    per_image is long (cell, image, iw_nats); pictures maps (cell, kind) to uint8 [n, H, W] or [n, H, W, C].
    """

    cells: pd.DataFrame
    bounds: pd.DataFrame
    per_image: pd.DataFrame
    pictures: dict[tuple[str, str], np.ndarray]
    throughput: pd.DataFrame
    meta: dict[str, Any]
    provenance: list[dict[str, Any]]


class RunFile:
    """An open run file. Every method that writes is one transaction: it happens wholly or not at all."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def create(cls, path: Path, meta: Mapping[str, Any]) -> RunFile:
        """Make a new run file at `path`, in place of whatever is there, in one atomic step.

        It is written beside its place and moved there when it is whole, so a full disk leaves no stump and an older run
        is kept until then. Raises StoreError.
        """
        part = path.with_name(f".{path.name}.new")
        try:
            part.unlink(missing_ok=True)
            connection = _connect(part, create=True)
            try:
                with _transaction(connection, path):
                    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                    for table, columns in TABLES.items():
                        definitions = ", ".join(f"{name} {kind}" for name, kind in columns.items())
                        connection.execute(f"CREATE TABLE {table} ({definitions})")
                    for table in ("bounds", "pictures"):
                        connection.execute(f"CREATE INDEX {table}_cell ON {table} (cell)")
                    rows = {"created": datetime.now(UTC).isoformat(timespec="seconds"), **meta}
                    connection.executemany("INSERT INTO meta VALUES (?, ?)", _meta_rows(rows))
            finally:
                connection.close()
            # A journal left by a killed run belongs to the old file and would be played back into the new one.
            path.with_name(path.name + "-journal").unlink(missing_ok=True)
            part.replace(path)
        except OSError as error:
            raise cannot_write(path, error) from error
        finally:
            for stump in (part, part.with_name(part.name + "-journal")):
                stump.unlink(missing_ok=True)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> RunFile:
        """Open a run file to read and write it. Raises StoreError if it is damaged or no run file of this version."""
        return cls(path, _open_checked(path))

    def close(self) -> None:
        self._connection.close()

    def meta(self) -> dict[str, Any]:
        return _read_meta(self._connection)

    def statuses(self) -> dict[str, str]:
        """The status of every cell that has ended, in the present grid or not."""
        return dict(self._connection.execute("SELECT cell, status FROM cells"))

    def measured_kinds(self) -> set[str]:
        return {kind for (kind,) in self._connection.execute("SELECT kind FROM throughput")}

    def begin(self, cells: Iterable[Described], meta: Mapping[str, Any]) -> None:
        """Say what the present grid is: which of the stored cells belong to it, and how they are called in it."""
        rows = [(described.label, described.cell.id) for described in cells]
        with _transaction(self._connection, self.path):
            self._connection.execute("UPDATE cells SET current = 0")
            self._connection.executemany("UPDATE cells SET current = 1, label = ? WHERE cell = ?", rows)
            self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", _meta_rows(meta))

    def add_provenance(self, facts: Mapping[str, Any]) -> int:
        """Store how this invocation came about; gives the id that its cells carry."""
        with _transaction(self._connection, self.path):
            cursor = self._connection.execute("INSERT INTO provenance (json) VALUES (?)", (_json(facts),))
        return int(cursor.lastrowid or 0)

    def write(self, results: Iterable[tuple[Described, CellResult]], provenance: int) -> None:
        """Store how the cells of one bundle ended, in one transaction; an older row of the same cell is replaced."""
        with _transaction(self._connection, self.path):
            for described, result in results:
                self._write_cell(described, result, provenance)

    def write_throughput(self, measured: Iterable[Mapping[str, Any]], provenance: int) -> None:
        """Store the speed of each kind of cell, and copy it to the cells of that kind."""
        own = set(THROUGHPUT_COLUMNS) - {"extra"}
        with _transaction(self._connection, self.path):
            for given in measured:
                facts = {**given, "provenance": provenance}
                row = {key: _cleaned(facts.get(key)) for key in own}
                row["extra"] = _json({key: value for key, value in facts.items() if key not in own})
                _insert(self._connection, "throughput", row)
        self.share_throughput()

    def share_throughput(self) -> None:
        """Copy the speed of each kind to its cells (also to cells that ended after their kind was measured)."""
        with _transaction(self._connection, self.path):
            self._connection.execute(
                "UPDATE cells SET (train_images_per_s, eval_decodes_per_s, matmul_share) = "
                "(SELECT train_images_per_s, eval_decodes_per_s, train_flops_share"
                " FROM throughput WHERE throughput.kind = cells.kind) "
                "WHERE status = 'done' AND kind IN (SELECT kind FROM throughput)"
            )

    def _write_cell(self, described: Described, result: CellResult, provenance: int) -> None:
        unknown = set(result.values) - set(RESULT_COLUMNS)
        if unknown:
            raise ValueError(f"cell {result.cell} has values that the run file has no column for: {sorted(unknown)}")
        for table in RESULT_TABLES:
            self._connection.execute(f"DELETE FROM {table} WHERE cell = ?", (result.cell,))  # noqa: S608  own names
        end = {"status": result.status, "reason": result.reason, "provenance": provenance, "current": 1}
        values = {key: _cleaned(value) for key, value in result.values.items()}
        _insert(self._connection, "cells", {**_spec_row(described), **end, **values})
        for samples, bound, error in result.bounds:
            row = {"samples": int(samples), "bound_nats": _cleaned(bound), "standard_error": _cleaned(error)}
            _insert(self._connection, "bounds", {"cell": result.cell, **row})
        if result.per_image is not None:
            blob = np.ascontiguousarray(result.per_image, dtype="<f8").tobytes()
            self._connection.execute("INSERT INTO per_image VALUES (?, ?)", (result.cell, blob))
        for kind, picture in result.pictures.items():
            pixels = np.ascontiguousarray(picture, dtype=np.uint8)
            entry = (result.cell, kind, json.dumps(pixels.shape), pixels.tobytes())
            self._connection.execute("INSERT INTO pictures VALUES (?, ?, ?, ?)", entry)


def read_run(path: Path) -> RunTables:
    """Read a whole run file. Raises StoreError (one sentence) if it is missing, damaged or another version's."""
    import pandas as pd

    connection = _open_checked(path)
    try:
        with _reading(path):
            connection.execute("BEGIN")  # one snapshot, though a run may be writing
            cells = pd.read_sql_query("SELECT * FROM cells ORDER BY rowid", connection)
            bounds = pd.read_sql_query("SELECT * FROM bounds ORDER BY rowid", connection)
            speed = pd.read_sql_query("SELECT * FROM throughput ORDER BY rowid", connection)
            images = connection.execute("SELECT cell, iw_nats FROM per_image ORDER BY rowid").fetchall()
            pictures = connection.execute("SELECT cell, kind, shape, data FROM pictures ORDER BY rowid").fetchall()
            meta = _read_meta(connection)
            provenance = connection.execute("SELECT id, json FROM provenance ORDER BY id").fetchall()
    finally:
        connection.close()
    cells = cells[cells["current"] == 1].reset_index(drop=True)
    numeric = [name for name, kind in CELL_COLUMNS.items() if kind in ("REAL", "INTEGER")]
    cells[numeric] = cells[numeric].apply(pd.to_numeric)  # a column of NULLs only would be one of objects
    known = set(cells["cell"])
    long = [
        pd.DataFrame({"cell": cell, "image": np.arange(len(blob) // 8), "iw_nats": np.frombuffer(blob, dtype="<f8")})
        for cell, blob in images
        if cell in known
    ]
    none = pd.DataFrame(
        {"cell": pd.Series(dtype=str), "image": pd.Series(dtype=int), "iw_nats": pd.Series(dtype=float)}
    )
    extra = pd.DataFrame([json.loads(text or "{}") for text in speed.pop("extra")], index=speed.index)
    return RunTables(
        cells=cells,
        bounds=bounds[bounds["cell"].isin(known)].reset_index(drop=True),
        per_image=pd.concat(long, ignore_index=True) if long else none,
        pictures={
            (cell, kind): np.frombuffer(data, dtype=np.uint8).reshape(json.loads(shape))
            for cell, kind, shape, data in pictures
            if cell in known
        },
        throughput=speed.join(extra),
        meta=meta,
        provenance=[{"id": number, **json.loads(text)} for number, text in provenance],
    )


def _spec_row(described: Described) -> dict[str, Value]:
    cell = described.cell
    row: dict[str, Value] = {name: value for name, value in cell.spec.items() if name in SPEC_COLUMNS}
    return row | {
        "cell": cell.id,
        "config": cell.config,
        "label": described.label,
        "kind": cell.kind,
        "sigma": cell.sigma,
        "options": json.dumps({key: value for key, value in sorted(cell.options.items()) if key != "sigma"}),
        "recipe": int(described.recipe),
        "hidden": ",".join(map(str, cell.hidden)),
        "spec": json.dumps(cell.spec, sort_keys=True),
    }


def _open_checked(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise StoreError(f"there is no run file {path}; vae-bench run makes one.")
    if path.stat().st_size == 0:
        raise StoreError(f"{path} is empty, not a run file; run with --fresh or another --out.")
    connection = _connect(path, create=False)
    try:
        with _reading(path):
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if application != APPLICATION_ID:
                raise StoreError(f"{path} is another program's database, not a run file; give another --out.")
            if version != SCHEMA_VERSION:
                raise StoreError(
                    f"{path} was written by another version (its format is {version}, this one's {SCHEMA_VERSION}); "
                    "run with --fresh or another --out."
                )
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
    except BaseException:
        connection.close()
        raise
    return connection


def replaceable(path: Path) -> bool:
    """Whether --fresh may write over this file: nothing there, an empty file, or a run file of any version or state."""
    try:
        with path.open("rb") as file:
            head = file.read(72)
    except FileNotFoundError:
        return True
    return not head or (head.startswith(b"SQLite format 3\0") and head[68:72] == APPLICATION_ID.to_bytes(4, "big"))


def _connect(path: Path, *, create: bool) -> sqlite3.Connection:
    # Read-write even for readers: only so can SQLite undo what a killed run left half-written in its journal.
    writable = create or os.access(path, os.W_OK)
    mode = "rwc" if create else "rw" if writable else "ro"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        return sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None)
    except sqlite3.Error as error:
        raise cannot_write(path, error) from error


@contextmanager
def _transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
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
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        what = " ".join(str(error).split())
        remedy = "run with --fresh, or give another --out" if replaceable(path) else "give another --out"
        raise StoreError(f"{path} is damaged or not a run file ({what}); {remedy}.") from error


def cannot_write(path: Path, error: Exception) -> StoreError:
    text = str(error)
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in (28, 122):
        return StoreError(f"the disk is full: {path} could not be written; free some space and run again.")
    return StoreError(f"{path} could not be written ({text}); give another --out.")


def _insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> None:
    marks = ", ".join("?" * len(row))
    statement = f"INSERT OR REPLACE INTO {table} ({', '.join(row)}) VALUES ({marks})"  # noqa: S608  own names
    connection.execute(statement, tuple(row.values()))


def _cleaned(value: Any) -> Value:
    """A plain value for SQLite: NumPy scalars unwrapped, NaN as NULL."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        return None
    return int(value) if isinstance(value, bool) else value


def _json(value: Any) -> str:
    def plain(item: Any) -> Any:
        if isinstance(item, np.generic):
            return item.item()
        if is_dataclass(item) and not isinstance(item, type):
            return asdict(item)
        return str(item)

    return json.dumps(value, default=plain, sort_keys=True)


def _meta_rows(meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key, _json(value)) for key, value in meta.items()]


def _read_meta(connection: sqlite3.Connection) -> dict[str, Any]:
    return {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM meta")}
