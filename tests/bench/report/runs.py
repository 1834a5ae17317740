"""What tests of the report do to a fake run, and how they read what is made of it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from bench.report import build
from bench.report.text.verdict import Sentences, sentences
from bench.statistics.boards import boards
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.page_reader import Element, read

LN2 = float(np.log(2))
DIMS = 64


@functools.cache
def few() -> RunTables:
    """A small run: a dozen configurations, 60 images, nothing failed."""
    return fake_run.tables(fake_run.few(), failures=False, images=60, pictures=False)


def section(shown: Element, name: str) -> Element:
    return next(element for element in shown.all("section") if element.attributes["id"] == name)


def built(tables: RunTables, folder: Path) -> Element:
    return read(build(tables, folder / "index.html"))


def moved(tables: RunTables, chosen: Callable[[pd.DataFrame], pd.Series], nats: float) -> RunTables:
    """The tables with the log-likelihood of some cells moved by so many nats, in every table that knows it."""
    cells, images = tables.cells.copy(), tables.per_image.copy()
    which = chosen(cells)
    cells.loc[which, ["iw_nats", "encoder_iw_nats", "jackknife_nats"]] += nats
    cells.loc[which, "bits_per_dim"] -= nats / (DIMS * LN2)
    images.loc[images["cell"].isin(cells.loc[which, "cell"]), "iw_nats"] += nats
    return dataclasses.replace(tables, cells=cells, per_image=images)


def doubted(tables: RunTables, chosen: Callable[[pd.DataFrame], pd.Series], **facts: float) -> RunTables:
    """The tables with other facts about the bounds of some cells; without any, most of their k̂ are bad."""
    cells = tables.cells.copy()
    which = chosen(cells)
    for name, value in (facts or {"khat_bad_fraction": 0.8}).items():
        cells.loc[which, name] = value
    return dataclasses.replace(tables, cells=cells)


def said(tables: RunTables, currency: str = "pmf-K") -> Sentences:
    return sentences(next(board for board in boards(tables) if board.currency == currency))


def findings(spoken: Sentences) -> dict[str, str]:
    return {finding.topic: " ".join(text.striptags() for text in finding.texts) for finding in spoken.findings}
