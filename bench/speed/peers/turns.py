"""Speeds of several programs on a machine that others use too: taken in turn, compared within a round.

A round runs every program once in order and once in reverse, so that a drift of the machine meets all of them; its
ratios are of speeds measured within seconds of each other, and the median over rounds is reported
(docs/RULES.md, Speed).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

#: one block of work; returns its speed, in whatever a second
Block = Callable[[], float]


@dataclass(frozen=True)
class Ratio:
    """Median of paired ratios, and a bootstrap interval of it: of no width where there is one round only."""

    median: float
    low: float
    high: float

    def scaled(self, factor: float) -> Ratio:
        return Ratio(factor * self.median, factor * self.low, factor * self.high)

    def __format__(self, spec: str) -> str:
        interval = f" [{self.low:{spec}}, {self.high:{spec}}]" if self.low < self.high else ""
        return f"{self.median:{spec}}{interval}"


def take_turns(blocks: Mapping[str, Block], rounds: int) -> dict[str, list[float]]:
    """Each program's speed in each round, after a block of each to warm up."""
    for block in blocks.values():
        block()
    speeds: dict[str, list[float]] = {name: [] for name in blocks}
    order = list(blocks)
    for _ in range(rounds):
        seen: dict[str, list[float]] = {name: [] for name in blocks}
        for name in (*order, *reversed(order)):
            seen[name].append(blocks[name]())
        for name, pair in seen.items():
            speeds[name].append(statistics.harmonic_mean(pair))
    return speeds


def ratio(speeds: Sequence[float], others: Sequence[float], confidence: float = 0.95) -> Ratio:
    """speeds over others, round by round."""
    ratios = np.array(speeds) / np.array(others)
    drawn = np.random.default_rng(0).choice(ratios, size=(2000, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Ratio(float(np.median(ratios)), float(low), float(high))
