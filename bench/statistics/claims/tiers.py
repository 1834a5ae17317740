"""Any ranked configuration as the one that others are held against, and letters that say who cannot be told apart.

The best MOST configurations of a board against each other, corrected for all their pairs together: so it holds
whichever is picked, at the price that fewer differences are called than against the best alone (`Board.ranked`).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from bench.statistics.boards import Board
from bench.statistics.contests import BOOTSTRAP_SEED
from bench.statistics.rows import Row
from vae_core.statistics.pairs import Pairs, all_pairs, letters

#: configurations that are compared with each other
MOST = 100


@dataclass(frozen=True)
class Tiers:
    """The first ranked configurations of a board and how they stand against each other."""

    rows: tuple[Row, ...]
    letters: tuple[str, ...]  # of each; two share one if and only if they cannot be told apart
    pairs: Pairs  # in the board's unit: by how much the column is behind the row, positive is worse

    @property
    def inseparable_neighbours(self) -> int:
        """How many of two that follow one another cannot be told apart."""
        return sum(not self.pairs.apart[place, place + 1] for place in range(len(self.rows) - 1))


def tiers(board: Board) -> Tiers | None:
    """The tiers of a board; None where it ranks fewer than two configurations or has too few images to judge."""
    rows = board.ranked[:MOST]
    if len(rows) < 2 or not board.judged:
        return None
    samples = [board.samples[row.config] for row in rows]
    found = all_pairs(
        [board.drawn(sample.nats) for sample in samples], [sample.seeds for sample in samples], BOOTSTRAP_SEED
    )
    scale = board.scale
    pairs = found._replace(lead=scale * found.lead, low=scale * found.low, high=scale * found.high)
    return Tiers(rows, tuple(letters(found.apart)), pairs)


def neighbours(board: Board) -> list[bool | None]:
    """Of each ranked configuration beyond the first MOST whether it can be told apart from the one above it, corrected
    for these pairs together (`Board.apart`); empty where there is none beyond."""
    rows = [row.config for row in board.ranked[MOST - 1 :]]
    return board.apart(list(itertools.pairwise(rows))) if len(rows) > 1 else []
