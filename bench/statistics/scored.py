"""Which cells of a run have numbers that can be compared, and those numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.store import RunTables
from vae_core.statistics.intervals import Floats


def scored(tables: RunTables) -> tuple[pd.DataFrame, dict[str, Floats]]:
    """The cells that can be ranked, and of each ln P of every test image, nats [N] in the images' order."""
    usable = set(tables.cells["cell"]) - set(unusable(tables)["cell"])
    return tables.cells[tables.cells["cell"].isin(usable)], {
        str(cell): group.sort_values("image", kind="stable")["iw_nats"].to_numpy(dtype=float)
        for cell, group in tables.per_image.groupby("cell", sort=False)
        if cell in usable
    }


def unusable(tables: RunTables) -> pd.DataFrame:
    """The cells that cannot be ranked: failed ones, and finished ones without finite numbers for every test image.

    Columns: cell, label, seed, status, reason.
    """
    images = tables.per_image
    with_images = set(images["cell"].unique())
    with_gaps = set(images.loc[~np.isfinite(images["iw_nats"]), "cell"].unique())
    wanted = ["cell", "label", "seed", "status", "reason", "measure", "bits_per_dim"]
    rows = []
    for cell in tables.cells[wanted].itertuples(index=False):
        reason = cell.reason if isinstance(cell.reason, str) else None
        if cell.status == "done":
            if cell.cell not in with_images or not isinstance(cell.measure, str) or not np.isfinite(cell.bits_per_dim):
                reason = "it ended without a log-likelihood of the test images"
            elif cell.cell in with_gaps:
                reason = "a test image has no finite log-likelihood"
            else:
                continue
        rows.append((cell.cell, cell.label, cell.seed, cell.status, reason or "no reason was recorded"))
    return pd.DataFrame(rows, columns=["cell", "label", "seed", "status", "reason"])
