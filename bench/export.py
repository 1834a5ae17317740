"""A run's tables as files that other programs read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.store import RunTables


def export(tables: RunTables, folder: Path) -> list[Path]:
    """Write cells.csv, cells.parquet, bounds.parquet and per_image.parquet into a folder, which is made.

    Gives the files. Each is whole or not there: it is written beside its place and moved. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    writers: dict[str, Callable[[Path], object]] = {
        "cells.csv": partial(tables.cells.to_csv, index=False),
        "cells.parquet": partial(tables.cells.to_parquet, index=False),
        "bounds.parquet": partial(tables.bounds.to_parquet, index=False),
        "per_image.parquet": partial(tables.per_image.to_parquet, index=False),
    }
    return [_whole(folder / name, write) for name, write in writers.items()]


def _whole(path: Path, write: Callable[[Path], object]) -> Path:
    part = path.with_name(f".{path.name}.part")
    try:
        write(part)
        return part.replace(path)
    finally:
        part.unlink(missing_ok=True)
