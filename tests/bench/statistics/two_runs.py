"""A run and what may have become of it in another one; and how a comparison of the two reads."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bench.cli.text.differences import differences_text
from bench.grid.cell import Cell
from bench.report.two_runs.words import origin
from bench.statistics.contests import LN2
from bench.statistics.two_runs.differences import Comparison
from bench.store import RunTables
from tests.bench.report.fake_run import Setting

BITS = 1 / (64 * LN2)
CHOSEN = [
    Setting("gaussian", 2.1, 0.1),
    Setting("gaussian", 2.0, "shared"),
    Setting("laplace", 2.2, 0.1),
    Setting("logistic", 2.05, 0.1),
    Setting("logistic", 2.0, "pixel"),
    Setting("categorical", 1.7, view="levels"),
    Setting("bernoulli", -21.0, view="binary"),
]


def shifted(tables: RunTables, keep: str, nats: float, noise: float = 0.0, seed: int = 0) -> RunTables:
    """The tables with ln P of the cells whose id has `keep` in it raised by `nats`, give or take the noise of each
    cell's training and of each image."""
    rng = np.random.default_rng(seed)
    cells, images = tables.cells.copy(), tables.per_image.copy()
    for cell in cells.loc[cells["cell"].str.contains(keep), "cell"]:
        rows = images["cell"] == cell
        change = nats + noise * rng.normal() + noise * rng.normal(size=int(rows.sum()))
        images.loc[rows, "iw_nats"] += change
        here = cells["cell"] == cell
        cells.loc[here, "iw_nats"] += change.mean()
        cells.loc[here, "bits_per_dim"] -= change.mean() * BITS
    return replace(tables, cells=cells, per_image=images)


def changed(tables: RunTables, keep: str, **values: object) -> RunTables:
    """The tables with columns of the cells whose id has `keep` in it set to something else."""
    cells = tables.cells.copy()
    for name, value in values.items():
        if name not in cells:
            cells[name] = None
        cells.loc[cells["cell"].str.contains(keep), name] = value
    return replace(tables, cells=cells)


def asked(tables: RunTables, keep: str = "", **settings: Any) -> RunTables:
    """The tables as if a grid had asked for other settings of the cells whose id has `keep` in it; no number moves."""
    cells = tables.cells.copy()
    names = {}
    for index, row in tables.cells[tables.cells["cell"].str.contains(keep)].iterrows():
        cell = Cell.of_spec(json.loads(row["spec"])).but(**settings)
        names[row["cell"]] = cell.id
        cells.loc[index, ["cell", "config", "spec"]] = [cell.id, cell.config, json.dumps(cell.spec)]
    long = {name: getattr(tables, name) for name in ("bounds", "per_image")}
    renamed = {name: table.assign(cell=table["cell"].replace(names)) for name, table in long.items()}
    return replace(tables, cells=cells, **renamed)


def together(one: RunTables, other: RunTables) -> RunTables:
    """One run with the cells of both."""
    tables = {name: pd.concat([getattr(one, name), getattr(other, name)]) for name in ("cells", "bounds", "per_image")}
    return replace(one, **{name: table.reset_index(drop=True) for name, table in tables.items()})


def read(found: Comparison, before: RunTables, after: RunTables, width: int = 80, **more: Any) -> str:
    text = differences_text(found, origin("before", before), origin("after", after), width, **more)
    assert max(map(len, text.splitlines())) <= width
    return text


def flat(text: str) -> str:
    return " ".join(text.split())
