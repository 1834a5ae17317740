"""A run's tables as files that other programs read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.store.schema import CELL_COLUMNS
from bench.store.tables import RunTables

if TYPE_CHECKING:
    import pandas as pd

PARQUET = ("cells", "bounds", "per_image", "latents", "calibration", "history", "candidates", "candidate_history")


def export(tables: RunTables, folder: Path) -> list[Path]:
    """Write cells.csv (the references among them, marked in its column `reference`), every table as Parquet,
    and provenance.json (where the numbers come from: the grid, the data, the code) into a folder, which is made.

    Gives the files. Each is whole or not there: it is written beside its place and moved. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = dataclasses.replace(tables, cells=_with_references(tables))
    writers: dict[str, Callable[[Path], object]] = {
        "cells.csv": partial(tables.cells.to_csv, index=False),
        **{f"{name}.parquet": partial(getattr(tables, name).to_parquet, index=False) for name in PARQUET},
        "provenance.json": partial(_write_origin, tables),
    }
    return [_whole(folder / name, write) for name, write in writers.items()]


def _with_references(tables: RunTables) -> pd.DataFrame:
    """Cells, then references; whole numbers stay whole where a reference has none."""
    import pandas as pd

    if tables.references.empty:
        return tables.cells
    whole = pd.concat(
        [part.astype(object).where(part.notna(), None) for part in (tables.cells, tables.references)], ignore_index=True
    )
    kinds = {"REAL": "float64", "INTEGER": "Int64"}
    numbers = {name: kinds[kind] for name, kind in CELL_COLUMNS.items() if kind in kinds and name in whole.columns}
    return whole.astype(numbers)


def _write_origin(tables: RunTables, path: Path) -> None:
    origin = {"meta": tables.meta, "provenance": tables.provenance}
    path.write_text(json.dumps(origin, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _whole(path: Path, write: Callable[[Path], object]) -> Path:
    part = path.with_name(f".{path.name}.part")
    try:
        write(part)
        return part.replace(path)
    finally:
        part.unlink(missing_ok=True)
