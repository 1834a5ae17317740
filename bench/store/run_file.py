"""The run file as a run writes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench.grid.cell import Described
from bench.grid.errors import Say
from bench.grid.references import ReferenceSpec
from bench.store import database
from bench.store.columns import FORMAT, RESULT_COLUMNS
from bench.store.database import (
    cannot_write,
    changing_cells,
    create_table,
    digest_cell,
    digest_tables,
    insert,
    open_to_write,
    transaction,
)
from bench.store.guard import content, places
from bench.store.guard.connection import Connection
from bench.store.guard.values import check_meta
from bench.store.plain import Value, as_json, cleaned, meta_rows, spec_row, tuples
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
    """An open run file. Every method that writes is one transaction: it happens wholly or not at all.

    `damaged`: what was not as it had been written when the file was opened, and is gone from it, a sentence each.
    """

    def __init__(self, path: Path, connection: Connection, damaged: Sequence[str] = ()) -> None:
        self.path = path
        self.damaged = tuple(damaged)
        self._connection = connection

    @classmethod
    def create(cls, path: Path, meta: Mapping[str, Any], say: Say) -> RunFile:
        """Make a new run file at `path`, in place of whatever is there, in one atomic step.

        It is written beside its place and moved there when it is whole, so a full disk leaves no stump and an older run
        is kept until then. Raises StoreError, also where it would write over what is no run's.
        """
        path = places.run_file(path)
        part = path.with_name(f".{path.name}.new")
        try:
            for stump in (part, part.with_name(part.name + "-journal")):
                stump.unlink(missing_ok=True)
            connection = database.connect(part, create=True, say=say)
            try:
                with transaction(connection, path):
                    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    connection.execute(f"PRAGMA user_version = {FORMAT}")
                    for table in TABLES:
                        create_table(connection, table)
                    for table in INDEXED:
                        connection.execute(f"CREATE INDEX {table}_cell ON {table} (cell)")
                    rows = {"created": datetime.now(UTC).isoformat(timespec="seconds"), **meta}
                    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta_rows(rows))
                    digest_tables(connection, "meta")
            finally:
                connection.close()
            # What a killed run left beside the old file belongs to that, and would be played back into the new one.
            for companion in places.stale_companions(path):
                companion.unlink()
            part.replace(path)
        except OSError as error:
            raise cannot_write(path, error) from error
        finally:
            for stump in (part, part.with_name(part.name + "-journal")):
                stump.unlink(missing_ok=True)
        return cls.open(path, say)

    @classmethod
    def open(cls, path: Path, say: Say) -> RunFile:
        """Open a run file to read and write it; one of an older format is brought along, and cells that are damaged are
        taken out. Raises StoreError if it is damaged as a whole, or no run file of a format that can be brought along.
        `say` tells a person for whom it is waited, then and whenever it is written to.
        """
        return cls(path, *open_to_write(path, say))

    def close(self) -> None:
        self._connection.close()

    def meta(self) -> dict[str, Any]:
        rows = content.read(self._connection, ["meta"])["meta"]
        return {key: check_meta(key, text) for key, text in zip(*rows.columns.values(), strict=True)}

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
            with changing_cells(self._connection):
                self._connection.execute("UPDATE cells SET current = 0")
                self._connection.executemany("UPDATE cells SET current = 1, label = ? WHERE cell = ?", rows)
                self._connection.executemany("UPDATE cells SET current = 1 WHERE cell = ?", zip(references))
            self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta_rows(meta))
            for key in meta:
                digest_tables(self._connection, "meta", of=key)

    def add_provenance(self, facts: Mapping[str, Any]) -> int:
        """Store how this invocation came about; gives the id that its cells carry."""
        with transaction(self._connection, self.path):
            cursor = self._connection.execute("INSERT INTO provenance (json) VALUES (?)", (as_json(facts),))
            number = int(cursor.lastrowid or 0)
            digest_tables(self._connection, "provenance", of=str(number))
        return number

    def write(self, results: Iterable[tuple[Described, CellResult]], provenance: int) -> None:
        """Store how the cells of one bundle ended, in one transaction; an older row of the same cell is replaced."""
        with transaction(self._connection, self.path):
            for described, result in results:
                self._write_cell(described, result, provenance)

    def write_reference(self, spec: ReferenceSpec, result: ReferenceResult, provenance: int) -> None:
        """Store how a reference ended; an older row of it is replaced."""
        numbers = {key: cleaned(value) for key, value in result.values.items()}
        with transaction(self._connection, self.path):
            self._connection.execute("DELETE FROM per_image WHERE cell = ?", (spec.id,))
            insert(self._connection, "cells", {**row_of(spec, result), **numbers, "provenance": provenance})
            if result.iw_nats is not None:
                self._write_images(spec.id, {"iw_nats": result.iw_nats})
            digest_cell(self._connection, spec.id)

    def write_searches(self, results: Iterable[SearchResult], provenance: int) -> None:
        """Store what tuning gave, in one transaction; older candidates of the same searches are replaced."""
        with transaction(self._connection, self.path):
            for result in results:
                for table in ("candidates", "candidate_history"):
                    self._connection.execute(f"DELETE FROM {table} WHERE search = ?", (result.search,))  # noqa: S608
                for given in result.candidates:
                    facts = {**given, "search": result.search, "seconds": result.seconds, "provenance": provenance}
                    name = as_json(given["values"])
                    facts |= {"candidate": name, "edges": as_json(result.edges) if given["chosen"] else ""}
                    row = {column: cleaned(facts[column]) for column in CANDIDATE_COLUMNS}
                    insert(self._connection, "candidates", row)
                    for epoch, train, valid in given["history"]:
                        numbers = (result.search, name, epoch, cleaned(train), cleaned(valid))
                        self._connection.execute("INSERT INTO candidate_history VALUES (?, ?, ?, ?, ?)", numbers)
                digest_tables(self._connection, "candidates", "candidate_history", of=result.search)

    def choices(self) -> dict[str, SearchResult]:
        """What was chosen before, by search, without the candidates."""
        rows = self._connection.execute(
            "SELECT search, candidate, edges, seconds, epochs_run FROM candidates WHERE chosen = 1"
        )
        return {
            search: SearchResult(search, tuples(values), tuples(edges or "{}"), seconds, (), epochs=epochs)
            for search, values, edges, seconds, epochs in rows
        }

    def write_throughput(self, measured: Iterable[Mapping[str, Any]], provenance: int) -> None:
        """Store the speed of each kind of cell, and copy it to the cells of that kind."""
        columns = set(THROUGHPUT_COLUMNS) - {"extra"}
        with transaction(self._connection, self.path):
            for given in measured:
                facts = {**given, "provenance": provenance}
                row = {key: cleaned(facts.get(key)) for key in columns}
                row["extra"] = as_json({key: value for key, value in facts.items() if key not in columns})
                insert(self._connection, "throughput", row)
                digest_tables(self._connection, "throughput", of=str(row["kind"]))
        self.share_throughput()

    def write_scaling(self, points: Iterable[Mapping[str, Any]], provenance: int) -> None:
        """Store the curves of speed over sizes in place of those of before."""
        with transaction(self._connection, self.path):
            self._connection.execute("DELETE FROM scaling")
            for point in points:
                facts = {**point, "provenance": provenance}
                insert(self._connection, "scaling", {key: cleaned(facts.get(key)) for key in SCALING_COLUMNS})
            digest_tables(self._connection, "scaling")

    def share_throughput(self) -> None:
        """Copy the speed of each kind to its cells (also to cells that ended after their kind was measured)."""
        with transaction(self._connection, self.path), changing_cells(self._connection):
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
        values = {key: cleaned(value) for key, value in result.values.items()}
        tuned = {"kind": described.cell.settled(json.loads(str(values.get("tuned") or "null"))).kind}
        insert(self._connection, "cells", {**spec_row(described), **tuned, **end, **values})
        rows = {
            "bounds": result.bounds,
            "latents": [(dimension, *numbers) for dimension, numbers in enumerate(result.latents)],
            "calibration": list(enumerate(result.calibration)),
            "history": result.history,
        }
        for table, listed in rows.items():
            columns = list(TABLES[table])
            for numbers in listed:
                row = map(cleaned, (result.cell, *numbers))
                insert(self._connection, table, dict(zip(columns, row, strict=True)))
        if result.per_image:
            self._write_images(result.cell, result.per_image)
        for kind, picture in result.pictures.items():
            pixels = np.ascontiguousarray(picture, dtype=np.uint8)
            entry = (result.cell, kind, json.dumps(pixels.shape), pixels.tobytes())
            self._connection.execute("INSERT INTO pictures VALUES (?, ?, ?, ?)", entry)
        digest_cell(self._connection, result.cell)

    def _write_images(self, cell: str, per_image: Mapping[str, np.ndarray]) -> None:
        arrays = {name: np.ascontiguousarray(array, dtype="<f8").tobytes() for name, array in per_image.items()}
        insert(self._connection, "per_image", {"cell": cell, **arrays})
