"""Whether configurations stand in one order in two places: Kendall's rank correlation, and the pairs that turn round.

Of C configurations every pair has an order in each place; τ is the share of the pairs that have the same order in both
less the share of those that have not (Kendall 1938, Biometrika 30:81; a tie in either counts for neither). Only orders
are compared, never a score of one place with a score of another.

The interval of τ comes from the pairs. An order is sure where its p-value, corrected for all pairs (`pairs.all_pairs`)
and for all places that are looked at (Bonferroni), is below 0.05, and the interval of the difference, bootstrapped over
what was drawn to test on, leaves zero out. The chance that any sure order is wrong is at most 0.05, so that τ lies
between what it is if all other pairs agree and if none does, in all pairs of places at once. It is wide where
configurations are few or close: then little is known. Percentiles of τ over resamples are narrower and do not hold it,
for a resample disturbs close orders twice: with six configurations whose neighbours differ by half, one and two
standard errors of a score and one order in both places they held τ = 1 in 1, 33 and 96 % of 400 draws (Xie, Singh and
Zhang 2009, J. Am. Stat. Assoc. 104:775, show why near ties do that), the interval here in all
(tests/vae_core/statistics/test_ranks.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vae_core.statistics.intervals import LEVEL
from vae_core.statistics.pairs import Pairs

Booleans = NDArray[np.bool_]


class Agreement(NamedTuple):
    """Of two places. τ with its interval is NaN where no pair is compared in both; arrays are [C, C], symmetric, and
    false where a pair is not compared."""

    tau: float
    low: float
    high: float
    kept: Booleans  # surely in one order in both
    turned: Booleans  # surely in opposite orders
    open: Booleans  # not sure in one of them, or in both

    def count(self, which: Booleans) -> int:
        """How many pairs an array marks."""
        return int(which.sum()) // 2


def agreement(one: Pairs, other: Pairs, places: int = 2) -> Agreement:
    """How the orders of the same C configurations agree in two places, given their pairs in each; `places`: among how
    many places these two are looked at. Raises ValueError where they are not as many configurations."""
    if one.lead.shape != other.lead.shape:
        raise ValueError(f"{len(one.lead)} and {len(other.lead)} configurations: give the same ones of both places")
    compared = np.isfinite(one.lead) & np.isfinite(other.lead)
    same = np.where(compared, np.sign(one.lead) * np.sign(other.lead), 0)
    both = compared & sure(one, places) & sure(other, places)
    kept, turned = both & (same > 0), both & (same < 0)
    count = int(compared.sum())
    if not count:
        return Agreement(np.nan, np.nan, np.nan, kept, turned, compared)
    unsure = compared & ~both
    surely = int(kept.sum()) - int(turned.sum())
    low, high = ((surely + sign * int(unsure.sum())) / count for sign in (-1, 1))
    return Agreement(float(same.sum() / count), low, high, kept, turned, unsure)


def sure(pairs: Pairs, places: int) -> Booleans:
    """Which orders [C, C] of one place are known, corrected for all its pairs and for so many places."""
    with np.errstate(invalid="ignore"):
        known: Booleans = (pairs.p * places < 1 - LEVEL) & ((pairs.low > 0) | (pairs.high < 0))
    return known
