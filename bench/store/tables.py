"""The run file as everybody else reads it: pandas tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.store.database import open_to_read, read_meta, reading
from bench.store.schema import CELL_COLUMNS, IMAGE_ARRAYS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RunTables:
    """A run file in memory, restricted to the cells of the present grid. `references` are the rows of what scores are
    held against, in the columns of `cells`; their images are in `per_image` too.

    Long: per_image (cell, image, then IMAGE_ARRAYS), latents (cell, dimension, kl_nats, mean_variance), calibration
    (cell, bin, share), history (cell, epoch, train_nats, valid_nats). pictures maps (cell, kind) to uint8 [n, H, W] or
    [n, H, W, C]. candidates and candidate_history: of what is tuned, by `search` (a column of cells too). scaling:
    points of curves of speed, empty without a survey.
    """

    cells: pd.DataFrame
    bounds: pd.DataFrame
    per_image: pd.DataFrame
    latents: pd.DataFrame
    calibration: pd.DataFrame
    history: pd.DataFrame
    candidates: pd.DataFrame
    candidate_history: pd.DataFrame
    pictures: dict[tuple[str, str], np.ndarray]
    throughput: pd.DataFrame
    scaling: pd.DataFrame
    meta: dict[str, Any]
    provenance: list[dict[str, Any]]
    references: pd.DataFrame = field(default_factory=lambda: no_references())


def no_references() -> pd.DataFrame:
    """The table of references of a run that has none."""
    import pandas as pd

    kinds = {"TEXT": "object", "REAL": "float64", "INTEGER": "float64"}
    return pd.DataFrame({name: pd.Series(dtype=kinds[kind.split()[0]]) for name, kind in CELL_COLUMNS.items()})


def read_run(path: Path) -> RunTables:
    """Read a whole run file. Raises StoreError (one sentence) if it is missing, damaged or another version's."""
    import pandas as pd

    connection = open_to_read(path)
    try:
        with reading(path):
            connection.execute("BEGIN")  # one snapshot, though a run may be writing
            whole = "SELECT * FROM cells WHERE reference = ? ORDER BY rowid"
            cells = pd.read_sql_query(whole, connection, params=(0,))
            references = pd.read_sql_query(whole, connection, params=(1,))
            bounds = pd.read_sql_query("SELECT * FROM bounds ORDER BY rowid", connection)
            speed = pd.read_sql_query("SELECT * FROM throughput ORDER BY rowid", connection)
            latents = pd.read_sql_query("SELECT * FROM latents ORDER BY rowid", connection)
            history = pd.read_sql_query("SELECT * FROM history ORDER BY rowid", connection)
            candidates = pd.read_sql_query("SELECT * FROM candidates ORDER BY rowid", connection)
            courses = pd.read_sql_query("SELECT * FROM candidate_history ORDER BY rowid", connection)
            calibration = pd.read_sql_query("SELECT * FROM calibration ORDER BY rowid", connection)
            scaling = pd.read_sql_query("SELECT * FROM scaling ORDER BY rowid", connection)
            images = [  # an empty blob is what was not stored
                (cell, *(np.frombuffer(blob or b"", dtype="<f8") for blob in blobs))
                for cell, *blobs in connection.execute("SELECT * FROM per_image ORDER BY rowid")
            ]
            pictures = connection.execute("SELECT cell, kind, shape, data FROM pictures ORDER BY rowid").fetchall()
            meta = read_meta(connection)
            provenance = connection.execute("SELECT id, json FROM provenance ORDER BY id").fetchall()
    finally:
        connection.close()
    cells, references = (_present(table) for table in (cells, references))
    current = set(cells["cell"])
    scored = current | set(references["cell"])
    extra = pd.DataFrame([json.loads(text or "{}") for text in speed.pop("extra")], index=speed.index)
    return RunTables(
        cells=cells,
        bounds=_of(current, bounds),
        per_image=_long([row for row in images if row[0] in scored]),
        latents=_of(current, latents),
        calibration=_of(current, calibration),
        history=_of(current, history),
        candidates=_of(set(cells["search"]), candidates, "search"),
        candidate_history=_of(set(cells["search"]), courses, "search"),
        pictures={
            (cell, kind): np.frombuffer(data, dtype=np.uint8).reshape(json.loads(shape))
            for cell, kind, shape, data in pictures
            if cell in current
        },
        throughput=speed.join(extra),
        scaling=scaling,
        meta=meta,
        provenance=[{"id": number, **json.loads(text)} for number, text in provenance],
        references=references if len(references) else no_references(),
    )


def _present(rows: pd.DataFrame) -> pd.DataFrame:
    """Those of the present grid."""
    import pandas as pd

    rows = rows[rows["current"] == 1].reset_index(drop=True)
    numeric = [name for name, kind in CELL_COLUMNS.items() if kind in ("REAL", "INTEGER")]
    rows[numeric] = rows[numeric].apply(pd.to_numeric)  # a column of NULLs only would be one of objects
    return rows


def _of(names: set[str], table: pd.DataFrame, column: str = "cell") -> pd.DataFrame:
    return table[table[column].isin(names)].reset_index(drop=True)


def _long(images: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """The arrays of every cell, one below the other; what was not stored is NaN. In one piece for all cells: a frame of
    each would be the most of what reading takes, and a name written out in every row the most of what is held."""
    import pandas as pd

    counts = [len(first) for _, first, *_ in images]
    columns = {
        name: np.concatenate(
            [array if len(array) else np.full(count, np.nan) for array, count in zip(arrays, counts, strict=True)]
        )
        for name, arrays in zip(IMAGE_ARRAYS, zip(*(row[1:] for row in images), strict=True), strict=True)
    } if images else dict.fromkeys(IMAGE_ARRAYS, np.empty(0))  # fmt: skip
    shared = np.repeat(np.array([cell for cell, *_ in images], dtype=object), counts)
    cells = pd.array(shared, dtype=shared_names())
    order = np.concatenate([np.arange(count) for count in counts]) if images else np.empty(0, dtype=int)
    return pd.DataFrame({"cell": cells, "image": order, **columns}, copy=False)


def shared_names() -> pd.StringDtype:
    """Of a column that repeats a few names: each row points to its name."""
    import pandas as pd

    return pd.StringDtype("python", na_value=np.nan)
