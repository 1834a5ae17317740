"""Runs with several networks and data sets, made up: what each likelihood scores in each context is given."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.store import RunTables, read_run
from tests.bench.report import fake_run
from tests.bench.report.fake_run import Setting

LIKELIHOODS: dict[str, Setting] = {
    "gaussian σ=pixel": Setting("gaussian", 0, "pixel"),
    "gaussian σ=shared": Setting("gaussian", 0, "shared"),
    "laplace σ=shared": Setting("laplace", 0, "shared"),
    "categorical": Setting("categorical", 0, view="levels"),
    "beta_binomial": Setting("beta_binomial", 0, view="levels"),
    "logistic_mixture": Setting("logistic_mixture", 0, view="levels"),
}
ORDER = tuple(LIKELIHOODS)
Scores = Mapping[str, float]  # bits/dim, by the names of LIKELIHOODS


def scores(order: Sequence[str] = ORDER, first: float = 1.6, step: float = 0.1) -> dict[str, float]:
    """Likelihoods from the best to the worst."""
    return {name: first + step * place for place, name in enumerate(order)}


def run(
    given: Mapping[tuple[str, str], Scores],
    *,
    images: int | Mapping[str, int] = 40,
    seeds: Sequence[int] = (0, 1, 2),
    noise: float | None = None,
    draw: int = 0,
    **settings: Any,
) -> RunTables:
    """The tables of a run whose contexts (data set, network) score what is given. With `noise` (nats) every score of
    every image is that of its likelihood and noise of this size, of images and of seeds, and no more, by `draw`."""
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        for number, dataset in enumerate(dict.fromkeys(dataset for dataset, _ in given)):
            chosen = [
                dataclasses.replace(LIKELIHOODS[name], score=score, kl={"network": network, **settings})
                for (data, network), own in given.items()
                if data == dataset
                for name, score in own.items()
            ]
            count = images if isinstance(images, int) else images[dataset]
            path = fake_run.write(
                Path(folder) / f"{number}.sqlite",
                chosen,
                seeds=seeds,
                images=count,
                dataset=dataset,
                failures=False,
                pictures=False,
                throughput=False,
            )
            parts.append(read_run(path))
    tables = joined(parts)
    return tables if noise is None else noisy(tables, noise, draw)


def joined(parts: Sequence[RunTables]) -> RunTables:
    """The tables of several data sets as those of one run."""
    frames = {
        field.name: pd.concat([getattr(part, field.name) for part in parts], ignore_index=True)
        for field in dataclasses.fields(RunTables)
        if isinstance(getattr(parts[0], field.name), pd.DataFrame)
    }
    data = {key: facts for part in parts for key, facts in part.meta["data"].items()}
    cards = {key: card for part in parts for key, card in part.meta["cards"].items()}
    cells = sum(part.meta["cells"] for part in parts)
    meta = parts[0].meta | {"data": data, "cards": cards, "cells": cells}
    return dataclasses.replace(parts[0], **frames, meta=meta)


def noisy(tables: RunTables, noise: float, draw: int) -> RunTables:
    """The run with what images and seeds do to every score drawn anew, alike in kind for all configurations."""
    rng = np.random.default_rng(draw)
    level = -tables.cells["valid_bits_per_dim"].to_numpy() * 64 * fake_run.LN2  # what the fake was told to score
    rows = tables.per_image.groupby("cell", sort=False).indices
    scored, means = tables.per_image["iw_nats"].to_numpy(copy=True), []
    own: dict[str, np.ndarray] = {}
    for nats, cell, config in zip(level, tables.cells["cell"], tables.cells["config"], strict=True):
        count = len(rows[cell])
        taste = own.setdefault(config, noise * rng.standard_normal(count))
        mine = nats + taste + 0.1 * noise * rng.standard_normal() + 0.3 * noise * rng.standard_normal(count)
        scored[rows[cell]] = mine
        means.append(mine.mean())
    known = dict.fromkeys(("iw_nats", "encoder_iw_nats", "jackknife_nats"), means)
    cells = tables.cells.assign(**known, bits_per_dim=-np.array(means) / (64 * fake_run.LN2))
    return dataclasses.replace(tables, cells=cells, per_image=tables.per_image.assign(iw_nats=scored))


def shuffled(tables: RunTables, draw: int = 0) -> RunTables:
    """The same run with the rows of its tables in another order."""
    rng = np.random.default_rng(draw)
    frames = {
        name: table.iloc[rng.permutation(len(table))].reset_index(drop=True)
        for name in ("cells", "bounds", "per_image")
        for table in [getattr(tables, name)]
    }
    return dataclasses.replace(tables, **frames)
