"""How trainings ended: whose validation bound had stopped rising, and who was stopped by the limit of its grid.

A score of a model that was still improving is partly about the schedule (docs/RULES.md, rule 10).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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


def endings(
    cells: pd.DataFrame, places: Iterable[NDArray[np.intp]], lost: Iterable[Sequence[object]], factor: float
) -> Iterator[Ending]:
    """Of each configuration: places has the rows of `cells` that are its own, those with a score, one a seed; lost how
    the trainings of its other cells ended. `factor`: units of the board in a bit/dim.

    A seed was still improving where it had gained something in the second half of its epochs, and had its best at their
    end.
    """
    names = ("last_gain_bits_per_dim", "last_gain_se", "converged", "best_epoch", "epochs_run")
    gain, error, converged, best, epochs = (cells[name].to_numpy(dtype=float) for name in names)
    rising = (converged == 0) & (gain > GAIN_FLOOR) & (gain > NOISE * error) & (best > LATE * epochs)
    for place, others in zip(places, lost, strict=True):
        gains = gain[place][rising[place]]
        yield Ending(
            fewest=float(np.fmin.reduce(epochs[place])),
            most=float(np.fmax.reduce(epochs[place])),
            ended=int((converged[place] == 1).sum()),
            improving=len(gains),
            gain=factor * float(gains.max()) if len(gains) else math.nan,
            failed=len(others),
            diverged=sum(end == DIVERGED for end in others),
        )
