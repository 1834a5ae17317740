"""How trainings ended: whose validation bound had stopped rising, and who was stopped by the limit of its grid.

A score of a model that was still improving is partly about the schedule (docs/RULES.md, rule 10).
"""

from __future__ import annotations

import math

from bench.statistics.boards import Board
from bench.statistics.contests import LN2
from bench.statistics.rows import Row

#: bits/dim that a bound gained in the second half of a training, from which on it says that more was to come: half of
#: the last digit that people quote
GAIN_FLOOR = 0.005
NOISE = 2.0  #: standard errors over validation images that a gain must exceed besides
#: of the epochs run, after which the best one must lie: a model that had its best long before was done
LATE = 0.9


def still_improving(row: Row) -> bool:
    """Whether some seed reached the limit of epochs while its validation bound was rising: it had gained something in
    the second half of them, and had its best at their end. False where nothing is known of it, as of runs before it was
    recorded."""
    results = row.results
    gained = results.last_gain_bits_per_dim > max(GAIN_FLOOR, NOISE * results.last_gain_se)
    return results.converged < 1 and gained and results.best_epoch > LATE * results.epochs_run


def last_gain(row: Row, board: Board) -> float:
    """What the bound gained in the second half of the epochs run, in the unit of the board; NaN where not known."""
    bits = row.results.last_gain_bits_per_dim
    return bits if board.unit == "bits/dim" else bits * board.dims * LN2


def unended(board: Board) -> list[Row]:
    """The ranked configurations whose training had not ended, best first."""
    return [row for row in board.ranked if still_improving(row)]


def within_reach(board: Board) -> list[Row]:
    """Those of them that would come first, gained they once more what they gained last: the first, if it has not ended
    itself, is not among them."""
    return [row for row in unended(board) if row.rank != 1 and _lag(row) <= last_gain(row, board)]


def _lag(row: Row) -> float:
    return math.inf if math.isnan(row.behind.mean) else row.behind.mean
