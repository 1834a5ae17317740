"""A run's tables as files that other programs read."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.store.schema import CELL_COLUMNS
from bench.store.tables import RunTables

if TYPE_CHECKING:
    import pandas as pd

FORMULA = re.compile(r"['\s]*[=+\-@\uff1d\uff0b\uff0d\uff20]|'*[\t\r\n]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
PARQUET = ("cells", "bounds", "per_image", "latents", "calibration", "history", "candidates", "candidate_history")


def export(tables: RunTables, folder: Path) -> list[Path]:
    """Write cells.csv (the references among them, marked in its column `reference`), every table as Parquet,
    and provenance.json (where the numbers come from: the grid, the data, the code) into a folder, which is made.

    Gives the files. Each is whole or not there: it is written beside its place and moved. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = dataclasses.replace(tables, cells=_with_references(tables))
    writers: dict[str, Callable[[Path], object]] = {
        "cells.csv": partial(_write_csv, tables.cells),
        **{f"{name}.parquet": partial(getattr(tables, name).to_parquet, index=False) for name in PARQUET},
        "provenance.json": partial(_write_origin, tables),
    }
    return [_whole(folder / name, write) for name, write in writers.items()]


def read_csv(path: Path) -> pd.DataFrame:
    """A cells.csv with its texts as they were before they were made safe for spreadsheets."""
    import pandas as pd

    held = pd.read_csv(path, keep_default_na=False, na_values=[""])
    return _of_texts(held, lambda text: text[1:] if text[:1] == "'" and _is_formula(text[1:]) else text)


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    """Texts that a spreadsheet would carry out get an apostrophe, which it takes for "this is text" (OWASP, "CSV
    injection"): what begins with = + - or @, wide forms too, with a tab or a line's end. Numbers stay numbers. All
    texts are in quotes, for some spreadsheets part cells at a semicolon too, and at a carriage return."""
    safe = _of_texts(table, lambda text: f"'{text}" if _is_formula(text) else text)
    safe.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)


def _of_texts(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """The table with its texts changed; what is no text, and no other column, is as it was."""
    texts = [name for name in table.columns if table[name].dtype == object or str(table[name].dtype).startswith("str")]
    changed = {name: table[name].map(lambda item: change(item) if isinstance(item, str) else item) for name in texts}
    return table.assign(**changed)


def _is_formula(text: str) -> bool:
    """Apostrophes in front of one are counted in, so that every text comes back."""
    return bool(FORMULA.match(text)) and not NUMBER.fullmatch(text)


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
