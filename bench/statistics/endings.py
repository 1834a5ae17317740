"""How trainings ended: whose validation bound had stopped rising, and who was stopped by the limit of its grid.

A score of a model that was still improving is partly about the schedule (docs/RULES.md, rule 10).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from bench.statistics.tuning import DIVERGED

#: bits/dim that a bound gained in the second half of a training, from which on it says that more was to come: half of
#: the last digit that people quote
GAIN_FLOOR = 0.005
NOISE = 2.0  #: standard errors over validation images that a gain must exceed besides
#: of the epochs run, after which the best one must lie: a model that had its best long before was done
LATE = 0.9


@dataclass(frozen=True)
class Ending:
    """Of the trainings of one configuration; NaN and 0 where it was not recorded."""

    fewest: float = math.nan  # epochs of a seed
    most: float = math.nan
    ended: int = 0  # seeds whose bound had stopped rising
    improving: int = 0  # seeds that reached the limit while it rose
    gain: float = math.nan  # of these seeds at most, in the second half of their epochs, in the unit of the board
    failed: int = 0  # seeds that gave no score, and are not among the others
    diverged: int = 0  # of these, seeds whose training diverged


def ending(cells: pd.DataFrame, lost: pd.DataFrame, factor: float) -> Ending:
    """From the cells of a configuration, one a seed: those with a score, and those that gave none. `factor`: units of
    the board in a bit/dim.

    A seed was still improving where it had gained something in the second half of its epochs, and had its best at their
    end.
    """
    gain = cells["last_gain_bits_per_dim"]
    gained = (gain > GAIN_FLOOR) & (gain > NOISE * cells["last_gain_se"])
    rising = (cells["converged"] == 0) & gained & (cells["best_epoch"] > LATE * cells["epochs_run"])
    return Ending(
        fewest=float(cells["epochs_run"].min()),
        most=float(cells["epochs_run"].max()),
        ended=int((cells["converged"] == 1).sum()),
        improving=int(rising.sum()),
        gain=factor * float(gain[rising].max()),
        failed=len(lost),
        diverged=int((lost["ended_by"] == DIVERGED).sum()),
    )
