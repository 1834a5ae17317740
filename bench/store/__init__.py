"""The run file: one SQLite database per run, written one transaction a bundle, read as pandas tables.

SQLite's rollback journal is kept (not WAL), so that a finished run is one file that can be copied.
"""

from __future__ import annotations

from bench.store.columns import RESULT_COLUMNS, Results
from bench.store.database import StoreError, cannot_write, replaceable
from bench.store.plain import Value
from bench.store.reference_rows import ReferenceResult
from bench.store.run_file import CellResult, RunFile, SearchResult
from bench.store.schema import BAD_SHARE, IMAGE_ARRAYS
from bench.store.tables import RunTables, read_run

__all__ = [
    "BAD_SHARE",
    "IMAGE_ARRAYS",
    "RESULT_COLUMNS",
    "CellResult",
    "ReferenceResult",
    "Results",
    "RunFile",
    "RunTables",
    "SearchResult",
    "StoreError",
    "Value",
    "cannot_write",
    "read_run",
    "replaceable",
]
