"""A folder of exported tables read back as a run: what `vae-bench export` wrote, or results/reference/NAME."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.grid.errors import brief
from bench.store.database import StoreError
from bench.store.export import ORIGIN, PARQUET, file_digest, origin_digest
from bench.store.guard.errors import detail, shown
from bench.store.guard.values import check_meta, check_provenance, parse
from bench.store.migrate import bring_along_exported
from bench.store.schema import CELL_COLUMNS, TABLES
from bench.store.tables import RunTables, no_references

if TYPE_CHECKING:
    import pandas as pd


NEEDED = {
    "cells": {
        *("cell", "config", "label", "kind", "dataset", "binarisation", "seed", "status", "reason", "device"),
        *("measure", "currency", "bits_per_dim", "iw_nats", "train_images_per_s", "eval_decodes_per_s"),
    },
    "per_image": {"cell", "image", "iw_nats"},
}


def read_exported(folder: Path) -> RunTables:
    """The tables of a folder with cells.parquet and per_image.parquet; provenance.json is read where there is one.

    Tables that are not there are empty. Raises StoreError (one sentence) if the two are missing or damaged, or one is
    not the file that was exported.
    """
    tables = {name: _table(folder / f"{name}.parquet", needed=name in NEEDED) for name in PARQUET}
    origin = _origin(folder / ORIGIN)
    _refuse_changed(folder, origin.pop("sha256"))
    try:
        cells, references = parted(tables["cells"])
        tables = bring_along_exported(tables | {"cells": cells})
    except ValueError as error:
        cells = shown(folder / "cells.parquet")
        raise StoreError(f"{cells} is damaged ({detail(error)}); export the run again.") from error
    return RunTables(
        **tables,
        pictures={},
        throughput=_empty(),
        scaling=_empty(),
        **origin,
        references=references,
    )


def parted(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells and references, each with the types that they have without the other."""
    if "reference" not in rows.columns or not (rows["reference"] == 1).any():
        return rows, no_references()
    return _alone(rows[rows["reference"] != 1]), _alone(rows[rows["reference"] == 1])


def _alone(rows: pd.DataFrame) -> pd.DataFrame:
    whole = [name for name, kind in CELL_COLUMNS.items() if kind == "INTEGER" and name in rows.columns]
    kinds = {name: "float64" if rows[name].isna().any() else "int64" for name in whole}
    rows = rows.reset_index(drop=True).astype(kinds)
    nothing = [name for name, kind in CELL_COLUMNS.items() if kind.startswith("TEXT") and name in rows.columns]
    return rows.assign(**{name: None for name in nothing if rows[name].isna().all()})


def _table(path: Path, *, needed: bool = True) -> pd.DataFrame:
    import pandas as pd

    if not path.is_file():
        if not needed:
            return _empty()
        raise StoreError(f"there is no {shown(path)}; vae-bench export RUN --to FOLDER writes it.")
    import pyarrow

    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException) as error:  # whatever pyarrow says of it
        raise StoreError(f"{shown(path)} is damaged or not a Parquet file; export the run again.") from error
    if lacking := sorted(NEEDED.get(path.stem, set()) - set(table.columns)):
        raise StoreError(f"{shown(path)} is not a run's table: it has no column {lacking[0]!r}; export the run again.")
    _refuse_other_types(path, table)
    return table


def _refuse_other_types(path: Path, table: pd.DataFrame) -> None:
    """Raises StoreError for a column of numbers that holds none, or one of texts that are not."""
    from pandas.api.types import is_numeric_dtype

    for name, kind in {**TABLES[path.stem], **({"image": "INTEGER"} if path.stem == "per_image" else {})}.items():
        if name not in table.columns or table[name].isna().all():
            continue
        numeric = is_numeric_dtype(table[name])
        if numeric != (kind.split()[0] != "TEXT") or not (numeric or table[name].dropna().map(type).eq(str).all()):
            raise StoreError(f"{shown(path)} is not a run's table: {name!r} is of another type; export the run again.")


def _origin(path: Path) -> dict[str, Any]:
    """Of a folder: what is known of the run, and the digests of its files."""
    if not path.is_file():
        return {"meta": {}, "provenance": [], "sha256": {}}
    wrong = StoreError(f"{shown(path)} is damaged; remove it, and the tables are read without their provenance.")
    try:
        stored = parse(path.read_text(encoding="utf-8"))
        meta = {str(key): check_meta(key, json.dumps(value)) for key, value in stored["meta"].items()}
        provenance, files = stored["provenance"], stored.get("sha256", {})
        for entry in provenance:
            check_provenance(json.dumps({key: value for key, value in entry.items() if key != "id"}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise wrong from error
    known = stored.keys() <= {"meta", "provenance", "sha256"}
    if not known or not isinstance(provenance, list) or not isinstance(files, dict):
        raise wrong
    if files.pop(ORIGIN, origin_digest(stored)) != origin_digest(stored):
        raise wrong
    return {"meta": meta, "provenance": provenance, "sha256": files}


def _refuse_changed(folder: Path, digests: Mapping[str, str]) -> None:
    """Raises StoreError for a table that is not the file that was exported."""
    for name, digest in digests.items():
        path = folder / Path(name).name
        if path.is_file() and file_digest(path) != digest:
            raise StoreError(
                f"{shown(path)} is not as it was exported; export the run again, or, if it was changed on purpose, "
                f"take {brief(name)} out of sha256 in {ORIGIN}."
            )


def _empty() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame()
