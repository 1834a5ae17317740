"""A run's tables as files that other programs read."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.store.guard import places
from bench.store.schema import CELL_COLUMNS
from bench.store.tables import RunTables

if TYPE_CHECKING:
    import pandas as pd

FORMULA = re.compile(r"['\s]*[=+\-@\uff1d\uff0b\uff0d\uff20]|'*[\t\r\n]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
ORIGIN = "provenance.json"
PARQUET = ("cells", "bounds", "per_image", "latents", "calibration", "history", "candidates", "candidate_history")
#: how every file of an export begins
BEGINNINGS = {
    "cells.csv": (b'"cell",', b"cell,"),
    **{f"{name}.parquet": (b"PAR1",) for name in PARQUET},
    ORIGIN: (b'{\n "meta"',),
}


def export(tables: RunTables, folder: Path) -> list[Path]:
    """Write cells.csv (the references among them, marked in its column `reference`), every table as Parquet,
    and provenance.json (where the numbers come from: the grid, the data, the code) into a folder, which is made.

    Gives the files. Each is whole or not there: it is written beside its place and moved. The last, provenance.json,
    has a digest of every one, so that it is noticed where one was changed or damaged since. Raises OSError; StoreError
    where something in the folder is no such file, before anything is written.
    """
    places.folder(folder, "--to")
    for name, beginnings in BEGINNINGS.items():
        places.written_over(folder / name, "--to", partial(_begins, beginnings), "exported table")
    folder.mkdir(parents=True, exist_ok=True)
    tables = dataclasses.replace(tables, cells=_with_references(tables))
    writers: dict[str, Callable[[Path], object]] = {
        "cells.csv": partial(_write_csv, tables.cells),
        **{f"{name}.parquet": partial(getattr(tables, name).to_parquet, index=False) for name in PARQUET},
    }
    written = [_whole(folder / name, write) for name, write in writers.items()]
    return [*written, _whole(folder / ORIGIN, partial(_write_origin, tables, written))]


def _begins(beginnings: tuple[bytes, ...], path: Path) -> bool:
    return places.begins(path, *beginnings)


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


def _write_origin(tables: RunTables, written: Sequence[Path], path: Path) -> None:
    origin: dict[str, Any] = {"meta": tables.meta, "provenance": tables.provenance}
    files = {file.name: file_digest(file) for file in written} | {ORIGIN: origin_digest(origin)}
    stored = {**origin, "sha256": files}
    path.write_text(json.dumps(stored, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as sha256sum gives it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def origin_digest(origin: Mapping[str, Any]) -> str:
    """SHA-256 of what provenance.json says of the run, its own line and white space apart."""
    said = {key: value for key, value in origin.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _whole(path: Path, write: Callable[[Path], object]) -> Path:
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)  # of a killed export; never written through, if it should be a link
    try:
        write(part)
        return part.replace(path)
    finally:
        part.unlink(missing_ok=True)
