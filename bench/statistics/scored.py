"""Which cells of a run have numbers that can be compared, and those numbers, by cell and by configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.statistics.contests import LN2
from bench.store import RunTables
from vae_core.statistics.intervals import Floats
from vae_core.statistics.possible import impossible


@dataclass(frozen=True)
class Sample:
    """ln P(x) of one configuration: nats [S, N], with the seed of each row and the cell that it came from."""

    nats: Floats
    seeds: tuple[int, ...]
    cells: tuple[str, ...]


def scored(tables: RunTables) -> tuple[pd.DataFrame, dict[str, Floats]]:
    """The cells that can be ranked, and of each ln P of every test image, nats [N] in the images' order."""
    usable = set(tables.cells["cell"]) - set(unusable(tables)["cell"])
    images = tables.per_image
    nats = images["iw_nats"].to_numpy(dtype=float)
    own = {
        str(cell): nats[place]
        for cell, place in places(images["cell"], images["image"].to_numpy()).items()
        if cell in usable
    }
    return tables.cells[tables.cells["cell"].isin(usable)], own


def places(names: pd.Series, order: NDArray[np.generic]) -> dict[str, NDArray[np.intp]]:
    """Which rows of a table have each name, in their `order`; the names in the order in which they come."""
    codes, found = pd.factorize(names)
    rows = np.lexsort((order, codes))
    ends = np.cumsum(np.bincount(codes, minlength=len(found)))
    return {
        str(name): rows[end - count : end]
        for name, end, count in zip(found, ends, np.diff(ends, prepend=0), strict=True)
    }


def sample(cells: pd.DataFrame, place: NDArray[np.intp], nats: Mapping[str, Floats]) -> Sample:
    """That of one configuration, whose cells are at `place`."""
    names, seeds = (cells[name].to_numpy()[place].tolist() for name in ("cell", "seed"))
    return Sample(np.stack([nats[cell] for cell in names]), tuple(map(int, seeds)), tuple(names))


def unusable(tables: RunTables) -> pd.DataFrame:
    """The cells that cannot be ranked: failed ones, and finished ones without finite numbers for every test image, or
    with log-probabilities above 0.

    Columns: cell, label, seed, status, reason.
    """
    images = tables.per_image
    with_images = set(images["cell"].unique())
    with_gaps = set(images.loc[~np.isfinite(images["iw_nats"]), "cell"].unique())
    beyond = impossible_scores(tables)
    wanted = ["cell", "label", "seed", "status", "reason", "measure", "bits_per_dim"]
    rows = []
    for cell in tables.cells[wanted].itertuples(index=False):
        reason = cell.reason if isinstance(cell.reason, str) else None
        if cell.status == "done":
            if cell.cell not in with_images or not isinstance(cell.measure, str) or not np.isfinite(cell.bits_per_dim):
                reason = "it ended without a log-likelihood of the test images"
            elif cell.cell in with_gaps:
                reason = "a test image has no finite log-likelihood"
            elif cell.cell in beyond:
                reason = beyond[cell.cell]
            else:
                continue
        rows.append((cell.cell, cell.label, cell.seed, cell.status, reason or "no reason was recorded"))
    return pd.DataFrame(rows, columns=["cell", "label", "seed", "status", "reason"])


def impossible_scores(tables: RunTables) -> dict[str, str]:
    """Why the scores of finished cells are no log-probabilities, by cell; of run files and exports that were written
    before anything looked for it, too."""
    cells, found = tables.cells.set_index("cell"), {}
    above = tables.per_image.loc[tables.per_image["iw_nats"] > 0, "cell"].unique()
    beyond = tables.per_image[tables.per_image["cell"].isin(set(above) & set(cells.index))]
    for name, own in beyond.groupby("cell", sort=False):
        cell, rows = cells.loc[name], own.sort_values("image", kind="stable")
        if cell["status"] != "done" or not str(cell["measure"]).startswith("pmf-"):
            continue
        errors = rows["standard_error"] if "standard_error" in rows else np.full(len(rows), np.nan)
        dims = abs(cell["iw_nats"] / (cell["bits_per_dim"] * LN2)) if cell["bits_per_dim"] else 0.0
        levels = int(str(cell["measure"]).removeprefix("pmf-"))
        samples = int(cell["iw_samples"]) if cell["iw_samples"] >= 1 else 1
        if reason := impossible(rows["iw_nats"], errors, samples, round(dims), levels):
            found[str(name)] = reason
    return found
