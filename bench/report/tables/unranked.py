"""The tables of numbers that are not ranked: the readings of recipes with what these were trained on, and densities."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from bench.report.numbers import bound, bracket, number, percent
from bench.statistics.boards import Board
from bench.statistics.rows import Row, grouped
from bench.store import BAD_SHARE


@dataclass(frozen=True)
class RecipeLine:
    """A folk recipe read as one true distribution; a recipe's readings stand together, the chosen one first."""

    label: str
    scored: str  # as which distribution
    sigma: str
    validation: str  # by which one is chosen
    score: str  # of test images, with its interval
    standing: str  # "ranked", "not ranked", or "" where none was chosen
    objective: str  # what it was trained on


@dataclass(frozen=True)
class DensityLine:
    """A density of dequantised data, the probability that it implies, and the exact one."""

    label: str
    density: str
    dequantised: str
    bad: str  # share of images with a bad k̂
    doubtful: str
    mass: str


def recipe_lines(boards: Iterable[Board]) -> list[RecipeLine]:
    return [
        RecipeLine(
            label=row.label,
            scored=row.scored_as.replace("_", " "),
            sigma=number(row.results.sigma_fitted, 3),
            validation=number(row.results.reading_bits_per_dim, 3),
            score=f"{bound(row, board.unit)} {board.unit} {bracket(row.value, board.unit)}".rstrip(),
            standing="" if not row.reading_of else "not ranked" if row.set_aside else "ranked",
            objective=_with_deviation(row.results.training_objective_nats, row.deviations.training_objective_nats),
        )
        for board in boards
        for rows in grouped(_recipes(board), lambda row: row.reading_of or row.config).values()
        for row in sorted(rows, key=lambda row: (row.set_aside, row.results.reading_bits_per_dim))
    ]


def _recipes(board: Board) -> list[Row]:
    return [row for row in (*board.everything, *board.readings) if row.recipe]


def density_lines(boards: Iterable[Board]) -> list[DensityLine]:
    return [
        DensityLine(
            label=row.label,
            density=_with_deviation(row.results.density_nats, row.deviations.density_nats),
            dequantised=number(row.results.dequantised_bits_per_dim, 3),
            bad=percent(row.results.density_khat_bad_fraction),
            doubtful="" if row.results.density_khat_bad_fraction <= BAD_SHARE else "not converged",
            mass=bound(row, board.unit),
        )
        for board in boards
        for row in sorted(board.everything, key=lambda row: row.label)
        if math.isfinite(row.results.density_nats)
    ]


def _with_deviation(mean: float, deviation: float) -> str:
    """A mean over seeds, with the standard deviation between them where there are several."""
    return number(mean, 2) + ("" if math.isnan(deviation) else f" ± {number(deviation, 2)}")
