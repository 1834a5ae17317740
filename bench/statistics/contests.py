"""What may be ranked together: one data set in one measure (binary pixels: and one binarisation), the same images.
A data set whose levels were joined is another one, and so is a part of its training images.

Everything that compares scores, within a run or between two, groups its cells by this and takes its units from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd

from bench.grid.cell import DataSpec
from vae_core.statistics.blocks import by_block, of_some
from vae_core.statistics.intervals import Floats

LN2 = float(np.log(2))
UNITS = {"pmf-K": "bits/dim", "pmf-2": "nats"}  # of each currency, in the order in which they are shown
BOOTSTRAP_SEED = 0  # the same tables give the same page, the same two runs the same answer


@dataclass(frozen=True)
class Contest:
    """One kind of number over one set of images."""

    dataset: str
    measure: str
    currency: str  # one of UNITS
    binarisation: str  # '' but for binary pixels
    dims: int  # values of an image
    images: int
    made: str  # of the data set before it was used, in words: `DataSpec.made`
    blocks: tuple[int, ...] = field(default=(), kw_only=True)  # how many images in a row are alike, block by block

    @property
    def data(self) -> str:
        """The data set's name, of a path its last part; and what was made of it."""
        return said(self.dataset, self.made)

    @property
    def name(self) -> str:
        return f"{self.data} {self.measure}" + (f" {self.binarisation}" if self.binarisation else "")

    @property
    def draws(self) -> int:
        """How many things were drawn to be tested on: blocks where images of one are alike, else images."""
        return len(self.blocks) or self.images

    def drawn(self, nats: Floats) -> Floats:
        """Numbers of images [..., N] as those of what was drawn, with the same mean: what intervals are over."""
        return by_block(nats, self.blocks)

    @property
    def unit(self) -> str:
        return UNITS[self.currency]

    @property
    def better(self) -> str:
        return "higher" if self.unit == "nats" else "lower"

    @property
    def sign(self) -> int:
        """1 where a higher number is better, else -1."""
        return 1 if self.better == "higher" else -1

    @property
    def scale(self) -> float:
        """Units per nat of difference, whichever way is better."""
        return 1.0 if self.unit == "nats" else 1 / (self.dims * LN2)

    @property
    def levels(self) -> int:
        return int(self.measure.rpartition("-")[2])

    @property
    def uniform(self) -> float:
        """What a uniform guess over the levels scores, in the unit: a floor for anything that has learned."""
        nats = -self.dims * float(np.log(self.levels))
        return nats if self.unit == "nats" else -nats / (self.dims * LN2)


def contests(
    cells: pd.DataFrame, images: Mapping[str, int], meta: Mapping[str, Any]
) -> Iterator[tuple[Contest, pd.DataFrame]]:
    """The contests that scored cells take part in, with their cells, in the order in which they come.

    images: how many test images each cell was scored on; meta: of the run, whose facts of its data hold D.
    """
    binarisation = cells["binarisation"].where(cells["currency"] == "pmf-2", "").fillna("")
    made = [spec.made for spec in specs(cells)]
    keys = ["currency", "dataset", "measure", binarisation, pd.Series(made, cells.index, dtype=str)]
    keys.append(cells["cell"].map(images).astype(int))
    for (currency, dataset, measure, drawn, of_data, count), group in cells.groupby(keys, sort=False, observed=True):
        facts = _facts(meta, group)
        dims, blocks = _dims(meta, dataset, group, facts), of_some(facts.get("test_blocks") or (), count)
        yield Contest(dataset, measure, currency, drawn, dims, count, of_data, blocks=blocks), group


def specs(cells: pd.DataFrame) -> list[DataSpec]:
    """What each cell was trained and scored on."""
    asked = [item.name for item in fields(DataSpec) if item.name in cells.columns]
    return [DataSpec.of(dict(zip(asked, row, strict=True))) for row in cells[asked].itertuples(index=False, name=None)]


def generator() -> np.random.Generator:
    """What every bootstrap begins with."""
    return np.random.default_rng(BOOTSTRAP_SEED)


def short(dataset: str) -> str:
    """A data set's name, without the folders of one that is given as a path."""
    return PurePath(dataset).name or dataset


def said(dataset: str, made: str) -> str:
    """A data set's name for people, with what was made of it."""
    return f"{short(dataset)} ({made})" if made else short(dataset)


def _facts(meta: Mapping[str, Any], cells: pd.DataFrame) -> Mapping[str, Any]:
    """What a run recorded of the data of some cells, which are of one data set and what was made of it."""
    known = meta.get("data") or {}
    return next((known[spec.key] for spec in specs(cells) if spec.key in known), {})


def _dims(meta: Mapping[str, Any], dataset: str, cells: pd.DataFrame, own: Mapping[str, Any]) -> int:
    """D of a data set, as the run recorded it; of exports that tell nothing of their run, as its scores in two units
    imply. own: the facts of just these data, where there are any."""
    if "dims" in own:
        return int(own["dims"])
    for key, facts in (meta.get("data") or {}).items():
        if facts.get("name", key) == dataset and "dims" in facts:
            return int(facts["dims"])
    return round(float(np.median(-cells["iw_nats"] / (cells["bits_per_dim"] * LN2))))
