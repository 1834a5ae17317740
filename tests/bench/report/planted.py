"""Small runs with scores of one's own choosing: what tests of single sentences are planted with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bench.statistics.boards import Board, boards
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.fake_run import Setting

DENSITIES = {"gaussian": "real", "laplace": "real", "logistic": "real", "student_t": "real"}
VIEWS = {"categorical": "levels", "beta_binomial": "levels", "continuous_bernoulli": "unit", "beta": "unit"}


def of(family: str, score: float, sigma: float | str | None = None, objective: str = "", **more: Any) -> Setting:
    """One configuration, a density on dequantised data unless it is said to be binned."""
    view = {**DENSITIES, **VIEWS}[family]
    return Setting(family, score, sigma, view=view, objective=objective, **more)


def twins(family: str, dequantised: float, binned: float, sigma: float | str | None = None) -> list[Setting]:
    """A density on dequantised data and on its bins, each with its score in bits/dim."""
    return [of(family, dequantised, sigma), of(family, binned, sigma, "binned")]


def planted(settings: Iterable[Setting], *, images: int = 40, seeds: Sequence[int] = (0, 1, 2)) -> RunTables:
    """A run of which everything is scored, its trainings ended."""
    tables = fake_run.tables(
        list(settings), images=images, seeds=seeds, pictures=False, throughput=False, failures=False
    )
    tables.cells[["converged", "last_gain_bits_per_dim", "ended_by"]] = 1, 0.0, "patience"
    return tables


def grey(tables: RunTables) -> Board:
    return boards(tables)[0]
