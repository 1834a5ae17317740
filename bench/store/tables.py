"""The run file as everybody else reads it: pandas tables."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.store.database import Opened, open_to_read
from bench.store.guard.content import Content, Rows, no_collection
from bench.store.guard.values import KINDS, check_extra, check_meta, check_provenance
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
    points of curves of speed, empty without a survey. `damaged`: what is not in the tables because it is not as it was
    written, a sentence each.
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
    damaged: tuple[str, ...] = ()


def no_references() -> pd.DataFrame:
    """The table of references of a run that has none."""
    import pandas as pd

    kinds = {"TEXT": "object", "REAL": "float64", "INTEGER": "float64"}
    return pd.DataFrame({name: pd.Series(dtype=kinds[kind.split()[0]]) for name, kind in CELL_COLUMNS.items()})


def read_run(path: Path) -> RunTables:
    """Read a whole run file. What in it is damaged is left out and named in `damaged`. Raises StoreError (one sentence)
    if the file is missing, is no run file or another version's, or is damaged as a whole."""
    with no_collection(), open_to_read(path) as opened:
        return _tables(opened)


def _tables(opened: Opened) -> RunTables:
    import pandas as pd

    content = opened.content
    rows = content["cells"]
    shown = [index for index, current in enumerate(rows.columns["current"]) if current == 1]
    is_reference = rows.columns["reference"]
    cells = _cells(rows, [index for index in shown if is_reference[index] == 0])
    references = _cells(rows, [index for index in shown if is_reference[index] == 1])
    current, searches = set(cells["cell"]), set(cells["search"])
    scored = current | set(references["cell"])
    speed = _frame(content["throughput"])
    extra = pd.DataFrame([check_extra(text) for text in speed.pop("extra")], index=speed.index)
    pictures = content["pictures"].columns
    return RunTables(
        cells=cells,
        bounds=_long(content["bounds"], current),
        per_image=_images(content["per_image"], scored),
        latents=_long(content["latents"], current),
        calibration=_long(content["calibration"], current),
        history=_long(content["history"], current),
        candidates=_of(searches, _frame(content["candidates"])),
        candidate_history=_of(searches, _frame(content["candidate_history"])),
        pictures={
            (cell, kind): np.frombuffer(data, dtype=np.uint8).reshape(content.shapes[shape, len(data)])
            for cell, kind, shape, data in zip(
                *(pictures[name] for name in ("cell", "kind", "shape", "data")), strict=True
            )
            if cell in current
        },
        throughput=speed.join(extra),
        scaling=_frame(content["scaling"]),
        meta=meta_of(content),
        provenance=[
            {"id": number, **check_provenance(text)}
            for number, text in zip(*content["provenance"].columns.values(), strict=True)
        ],
        references=references if len(references) else no_references(),
        damaged=tuple(opened.sentences),
    )


def meta_of(content: Content) -> dict[str, Any]:
    """What a file says of its run."""
    return {key: check_meta(key, text) for key, text in zip(*content["meta"].columns.values(), strict=True)}


def _cells(rows: Rows, chosen: Sequence[int]) -> pd.DataFrame:
    """Some rows of cells; every column of numbers is one, though nothing be in it."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, values in rows.columns.items():
        if name in rows.numbers:
            columns[name] = _counts(rows.numbers[name][chosen], CELL_COLUMNS.get(name, ""))
        else:
            columns[name] = _texts([values[index] for index in chosen])
    return pd.DataFrame(columns, copy=False)


def _counts(numbers: np.ndarray, kind: str) -> np.ndarray:
    """Whole numbers as such, where there is one in every row."""
    return numbers.astype(np.int64) if kind == "INTEGER" and not np.isnan(numbers).any() else numbers


def _texts(values: Sequence[Any]) -> Any:
    import pandas as pd

    if all(value is None for value in values):
        return np.full(len(values), None, dtype=object)
    return pd.array(list(values), dtype="str")


def _frame(rows: Rows) -> pd.DataFrame:
    """All rows of a table, as pandas reads them: a column with nothing in it has no type."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, values in rows.columns.items():
        if name not in rows.numbers or np.isnan(rows.numbers[name]).all():
            columns[name] = _texts(values)
        else:
            columns[name] = _counts(rows.numbers[name], KINDS[rows.table].get(name, ""))
    return pd.DataFrame(columns, copy=False)


def _of(names: set[str], table: pd.DataFrame) -> pd.DataFrame:
    return table[table["search"].isin(names)].reset_index(drop=True)


def _long(rows: Rows, names: Collection[str]) -> pd.DataFrame:
    """The rows of some cells of a table of many rows a cell. The names are made of one for each cell: a text for each
    row would be the most of what reading takes."""
    import pandas as pd

    runs = [(name, start, end) for name, start, end in rows.runs if name in names]
    if not runs:
        return pd.DataFrame({name: np.empty(0, dtype=object) for name in rows.columns})
    whole = len(runs) and sum(end - start for _, start, end in runs) == rows.count
    columns: dict[str, Any] = {
        "cell": pd.array([name for name, *_ in runs], dtype="str").take(
            np.repeat(np.arange(len(runs)), [end - start for _, start, end in runs])
        )
    }
    for name, numbers in rows.numbers.items():
        taken = numbers if whole else np.concatenate([numbers[start:end] for _, start, end in runs])
        columns[name] = _counts(taken, KINDS[rows.table][name])
    return pd.DataFrame(columns, copy=False)


def _images(rows: Rows, names: Collection[str]) -> pd.DataFrame:
    """The arrays of some cells, one below the other; what was not stored is NaN. In one piece for all cells."""
    import pandas as pd

    chosen = [index for index, cell in enumerate(rows.names) if cell in names]
    counts = [len(rows.columns["iw_nats"][index] or b"") // 8 for index in chosen]
    columns: dict[str, np.ndarray] = {}
    for name in IMAGE_ARRAYS:
        blobs = rows.columns[name]
        given = (blobs[index] or _nothing(count) for index, count in zip(chosen, counts, strict=True))
        columns[name] = np.frombuffer(bytearray().join(given), dtype="<f8")
    cells = pd.array([rows.names[index] for index in chosen], dtype="str").take(
        np.repeat(np.arange(len(chosen)), counts)
    )
    order = np.concatenate([np.arange(count) for count in counts]) if chosen else np.empty(0, dtype=int)
    return pd.DataFrame({"cell": cells, "image": order, **columns}, copy=False)


def _nothing(count: int) -> bytes:
    """So many numbers that are not known."""
    return np.full(count, np.nan, dtype="<f8").tobytes()
