"""A folder of exported tables read back as a run: what `vae-bench export` wrote, or results/reference/NAME."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.store.database import StoreError
from bench.store.export import PARQUET
from bench.store.migrate import bring_along_exported
from bench.store.schema import CELL_COLUMNS
from bench.store.tables import RunTables, no_references, shared_names

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

    Tables that are not there are empty. Raises StoreError (one sentence) if the two are missing or damaged.
    """
    tables = {name: _table(folder / f"{name}.parquet", needed=name in NEEDED) for name in PARQUET}
    try:
        cells, references = parted(tables["cells"])
        images = tables["per_image"].astype({"cell": shared_names()})
        tables = bring_along_exported(tables | {"cells": cells, "per_image": images})
    except ValueError as error:
        raise StoreError(f"{folder / 'cells.parquet'} is damaged ({error}); export the run again.") from error
    return RunTables(
        **tables,
        pictures={},
        throughput=_empty(),
        scaling=_empty(),
        **_origin(folder / "provenance.json"),
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
        raise StoreError(f"there is no {path}; vae-bench export RUN --to {path.parent} writes it.")
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise StoreError(f"{path} is damaged or not a Parquet file; export the run again.") from error
    if lacking := sorted(NEEDED.get(path.stem, set()) - set(table.columns)):
        raise StoreError(f"{path} is not a run's table: it has no column {lacking[0]!r}; export the run again.")
    return table


def _origin(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {"meta": {}, "provenance": []}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {"meta": dict(stored["meta"]), "provenance": list(stored["provenance"])}
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is damaged; remove it, and the tables are read without their provenance.") from error


def _empty() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame()
