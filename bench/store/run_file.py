"""The run file as a run writes it."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench.grid.cell import Described
from bench.grid.references import ReferenceSpec
from bench.store import database
from bench.store.columns import FORMAT, RESULT_COLUMNS
from bench.store.database import cannot_write, create_table, insert, open_to_write, read_meta, transaction
from bench.store.migrate import key_values
from bench.store.reference_rows import ReferenceResult, row_of
from bench.store.schema import (
    APPLICATION_ID,
    CANDIDATE_COLUMNS,
    INDEXED,
    RESULT_TABLES,
    SCALING_COLUMNS,
    TABLES,
    THROUGHPUT_COLUMNS,
)

Value = str | int | float | None


@dataclass(frozen=True)
class CellResult:
    """How one cell ended.

    values: columns of RESULT_COLUMNS. bounds: (samples, bound_nats, standard_error, encoder_bound_nats), means over the
    test images. per_image: name of IMAGE_ARRAYS -> float64 [N], at the largest number of samples; iw_nats at least.
    latents: (kl_nats, mean_variance) of each latent dimension. calibration: shares of the PIT histogram's bins.
    history: (epoch, mean training objective since the one before, validation objective), nats.
    pictures: "original" | "reconstruction" | "sample" | "draw" -> uint8 [n, H, W] or [n, H, W, C], grey values 0..255.
    """

    cell: str
    status: str
    reason: str | None = None
    values: Mapping[str, Value] = field(default_factory=dict)
    bounds: Sequence[tuple[int, float, float, float]] = ()
    per_image: Mapping[str, np.ndarray] = field(default_factory=dict)
    latents: Sequence[tuple[float, float]] = ()
    calibration: Sequence[float] = ()
    history: Sequence[tuple[int, float, float]] = ()
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchResult:
    """What tuning gave for one configuration: `values` of what is tuned (None where no candidate could be trained, with
    the `reason`), the `edges`, and the candidates: columns of CANDIDATE_COLUMNS each, `history` as in CellResult."""

    search: str
    values: Mapping[str, Any] | None
    edges: Mapping[str, Any]
    seconds: float
    candidates: Sequence[Mapping[str, Any]]
    reason: str = ""
    epochs: int = 0  #: that the chosen one was trained for


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
            connection = database.connect(part, create=True)
            try:
                with transaction(connection, path):
                    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    connection.execute(f"PRAGMA user_version = {FORMAT}")
                    for table in TABLES:
                        create_table(connection, table)
                    for table in INDEXED:
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
        """Open a run file to read and write it; one of an older format is brought along. Raises StoreError if it is
        damaged, or no run file of a format that can be."""
        return cls(path, open_to_write(path))

    def close(self) -> None:
        self._connection.close()

    def meta(self) -> dict[str, Any]:
        return read_meta(self._connection)

    def statuses(self, *, reference: bool = False, column: str = "status") -> dict[str, str]:
        """The status (or "reason") of every cell (or reference) that has ended, in the present grid or not."""
        return dict(self._connection.execute(f"SELECT cell, {column} FROM cells WHERE reference = ?", (reference,)))  # noqa: S608

    def weights(self) -> dict[str, str]:
        """The file of the trained weights of every cell that has one."""
        return dict(self._connection.execute("SELECT cell, weights FROM cells WHERE weights IS NOT NULL"))

    def measured_kinds(self) -> set[str]:
        return {kind for (kind,) in self._connection.execute("SELECT kind FROM throughput")}

    def begin(self, cells: Iterable[Described], meta: Mapping[str, Any], references: Iterable[str] = ()) -> None:
        """Say which of the stored cells are of the present grid, what they are called in it, and which references."""
        rows = [(described.label, described.cell.id) for described in cells]
        with transaction(self._connection, self.path):
            self._connection.execute("UPDATE cells SET current = 0")
            self._connection.executemany("UPDATE cells SET current = 1, label = ? WHERE cell = ?", rows)
            self._connection.executemany("UPDATE cells SET current = 1 WHERE cell = ?", zip(references))
            self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", _meta_rows(meta))

    def add_provenance(self, facts: Mapping[str, Any]) -> int:
        """Store how this invocation came about; gives the id that its cells carry."""
        with transaction(self._connection, self.path):
            cursor = self._connection.execute("INSERT INTO provenance (json) VALUES (?)", (_json(facts),))
        return int(cursor.lastrowid or 0)

    def write(self, results: Iterable[tuple[Described, CellResult]], provenance: int) -> None:
        """Store how the cells of one bundle ended, in one transaction; an older row of the same cell is replaced."""
        with transaction(self._connection, self.path):
            for described, result in results:
                self._write_cell(described, result, provenance)

    def write_reference(self, spec: ReferenceSpec, result: ReferenceResult, provenance: int) -> None:
        """Store how a reference ended; an older row of it is replaced."""
        numbers = {key: _cleaned(value) for key, value in result.values.items()}
        with transaction(self._connection, self.path):
            self._connection.execute("DELETE FROM per_image WHERE cell = ?", (spec.id,))
            insert(self._connection, "cells", {**row_of(spec, result), **numbers, "provenance": provenance})
            if result.iw_nats is not None:
                self._write_images(spec.id, {"iw_nats": result.iw_nats})

    def write_searches(self, results: Iterable[SearchResult], provenance: int) -> None:
        """Store what tuning gave, in one transaction; older candidates of the same searches are replaced."""
        with transaction(self._connection, self.path):
            for result in results:
                for table in ("candidates", "candidate_history"):
                    self._connection.execute(f"DELETE FROM {table} WHERE search = ?", (result.search,))  # noqa: S608
                for given in result.candidates:
                    facts = {**given, "search": result.search, "seconds": result.seconds, "provenance": provenance}
                    name = _json(given["values"])
                    facts |= {"candidate": name, "edges": _json(result.edges) if given["chosen"] else ""}
                    row = {column: _cleaned(facts[column]) for column in CANDIDATE_COLUMNS}
                    insert(self._connection, "candidates", row)
                    for epoch, train, valid in given["history"]:
                        numbers = (result.search, name, epoch, _cleaned(train), _cleaned(valid))
                        self._connection.execute("INSERT INTO candidate_history VALUES (?, ?, ?, ?, ?)", numbers)

    def choices(self) -> dict[str, SearchResult]:
        """What was chosen before, by search, without the candidates."""
        rows = self._connection.execute(
            "SELECT search, candidate, edges, seconds, epochs_run FROM candidates WHERE chosen = 1"
        )
        return {
            search: SearchResult(search, _tuples(values), _tuples(edges or "{}"), seconds, (), epochs=epochs)
            for search, values, edges, seconds, epochs in rows
        }

    def write_throughput(self, measured: Iterable[Mapping[str, Any]], provenance: int) -> None:
        """Store the speed of each kind of cell, and copy it to the cells of that kind."""
        columns = set(THROUGHPUT_COLUMNS) - {"extra"}
        with transaction(self._connection, self.path):
            for given in measured:
                facts = {**given, "provenance": provenance}
                row = {key: _cleaned(facts.get(key)) for key in columns}
                row["extra"] = _json({key: value for key, value in facts.items() if key not in columns})
                insert(self._connection, "throughput", row)
        self.share_throughput()

    def write_scaling(self, points: Iterable[Mapping[str, Any]], provenance: int) -> None:
        """Store the curves of speed over sizes in place of those of before."""
        with transaction(self._connection, self.path):
            self._connection.execute("DELETE FROM scaling")
            for point in points:
                facts = {**point, "provenance": provenance}
                insert(self._connection, "scaling", {key: _cleaned(facts.get(key)) for key in SCALING_COLUMNS})

    def share_throughput(self) -> None:
        """Copy the speed of each kind to its cells (also to cells that ended after their kind was measured)."""
        with transaction(self._connection, self.path):
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
        tuned = {"kind": described.cell.settled(json.loads(str(values.get("tuned") or "null"))).kind}
        insert(self._connection, "cells", {**_spec_row(described), **tuned, **end, **values})
        rows = {
            "bounds": result.bounds,
            "latents": [(dimension, *numbers) for dimension, numbers in enumerate(result.latents)],
            "calibration": list(enumerate(result.calibration)),
            "history": result.history,
        }
        for table, listed in rows.items():
            columns = list(TABLES[table])
            for numbers in listed:
                row = map(_cleaned, (result.cell, *numbers))
                insert(self._connection, table, dict(zip(columns, row, strict=True)))
        if result.per_image:
            self._write_images(result.cell, result.per_image)
        for kind, picture in result.pictures.items():
            pixels = np.ascontiguousarray(picture, dtype=np.uint8)
            entry = (result.cell, kind, json.dumps(pixels.shape), pixels.tobytes())
            self._connection.execute("INSERT INTO pictures VALUES (?, ?, ?, ?)", entry)

    def _write_images(self, cell: str, per_image: Mapping[str, np.ndarray]) -> None:
        arrays = {name: np.ascontiguousarray(array, dtype="<f8").tobytes() for name, array in per_image.items()}
        insert(self._connection, "per_image", {"cell": cell, **arrays})


def _spec_row(described: Described) -> dict[str, Value]:
    cell = described.cell
    return {
        **key_values(cell),
        "view": cell.view,
        "scored_as": cell.scored_as,
        "cell": cell.id,
        "config": cell.config,
        "label": described.label,
        "kind": cell.kind,
        "sigma": cell.sigma,
        "options": json.dumps({key: value for key, value in sorted(cell.options.items()) if key != "sigma"}),
        "recipe": int(described.recipe),
        "reference": 0,
        "tune": _json(cell.spec["tune"]) if cell.tune else "",
        "search": cell.search,
        "spec": json.dumps(cell.spec, sort_keys=True),
    }


def _tuples(text: str) -> dict[str, Any]:
    """A JSON object as a grid's values are: lists as tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in json.loads(text).items()}


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
