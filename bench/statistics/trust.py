"""Which bounds may be ranked: those that nothing speaks against in any seed.

A bound that importance sampling has not reached says only "at least this good", by an unknown amount. It is told by
the tail of its weights (Pareto k̂), by how few of them count (ESS), and by what it still gains as L grows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
import pandas as pd

from bench.store import BAD_SHARE

ESS_FLOOR = 10.0  # effective samples in the median image below which an importance-weighted bound is not believed
RISE_FLOOR = {"bits/dim": 0.005, "nats": 0.1}  # gain per doubling of L: half or one unit of the last digit people quote
LONGEST_STEP = 10  # from one L to the next, over which a rise per doubling says how it goes on
KHAT_NEEDS = 25  # samples with which a Pareto shape is fitted at all


class Against(Enum):
    """What speaks against a bound, and what the amount of it is."""

    TOO_FEW_SAMPLES = auto()  # to fit a k̂: L
    NO_KHAT = auto()  # though L would do: L
    BAD_KHAT = auto()  # the share of images
    FEW_EFFECTIVE = auto()  # the effective samples
    STILL_RISING = auto()  # the gain per doubling of L, in the board's unit


@dataclass(frozen=True)
class Doubt:
    """One reason why a bound is not to be believed."""

    against: Against
    amount: float


def rises_per_doubling(bounds: pd.DataFrame) -> dict[str, float]:
    """Nats a doubling of L that the last step in L brought, by cell, from rows (cell, samples, bound_nats).

    NaN of one L, and where the last step is longer than LONGEST_STEP: what it brought was brought at its beginning.
    """
    means = bounds.groupby(["cell", "samples"])["bound_nats"].mean().dropna().sort_index()
    known: dict[str, list[tuple[float, float]]] = {str(cell): [] for cell in bounds["cell"].unique()}
    for (cell, samples), mean in zip(means.index, means.to_numpy(), strict=True):
        known[cell].append((samples, mean))
    return {cell: _rise(*steps[-2:]) if len(steps) > 1 else float("nan") for cell, steps in known.items()}


def _rise(before: tuple[float, float], last: tuple[float, float]) -> float:
    """Of two bounds (L, nats), per doubling of L."""
    if last[0] > LONGEST_STEP * before[0]:
        return float("nan")
    return float((last[1] - before[1]) / np.log2(last[0] / before[0]))


def doubts(bad_share: float, ess: float, rise: float, samples: int, unit: str) -> tuple[Doubt, ...]:
    """Why a bound is not to be believed; nothing where nothing speaks against it.

    bad_share: of images with a bad k̂ (NaN: unknown); ess: of the median image; rise: per doubling of L, in `unit`.
    Each is that of the worst seed.
    """

    def found() -> Iterator[Doubt]:
        if np.isnan(bad_share):
            yield Doubt(Against.TOO_FEW_SAMPLES if samples < KHAT_NEEDS else Against.NO_KHAT, samples)
        elif bad_share > BAD_SHARE:
            yield Doubt(Against.BAD_KHAT, bad_share)
        if ess < ESS_FLOOR:
            yield Doubt(Against.FEW_EFFECTIVE, ess)
        if rise > RISE_FLOOR[unit]:
            yield Doubt(Against.STILL_RISING, rise)

    return tuple(found())
