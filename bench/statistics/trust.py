"""Which bounds may be ranked: those that nothing speaks against in any seed.

A bound that importance sampling has not reached says only "at least this good", by an unknown amount. It is told by
the tail of its weights (Pareto k̂), by how few of them count (ESS), and by what it still gains as L grows.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.report.numbers import measured
from bench.store import BAD_SHARE

ESS_FLOOR = 10.0  # effective samples in the median image below which an importance-weighted bound is not believed
RISE_FLOOR = {"bits/dim": 0.005, "nats": 0.1}  # gain per doubling of L: half or one unit of the last digit people quote
LONGEST_STEP = 10  # from one L to the next, over which a rise per doubling says how it goes on
KHAT_NEEDS = 25  # samples with which a Pareto shape is fitted at all


def rise_per_doubling(bounds: pd.DataFrame) -> float:
    """Nats a doubling of L that the last step in L brought, from rows (samples, bound_nats) of one cell.

    NaN of one L, and where the last step is longer than LONGEST_STEP: what it brought was brought at its beginning.
    """
    means = bounds.groupby("samples")["bound_nats"].mean().dropna().sort_index()
    if len(means) < 2:
        return float("nan")
    before, last = means.index[-2:]
    if last > LONGEST_STEP * before:
        return float("nan")
    return float((means[last] - means[before]) / np.log2(last / before))


def doubts(bad_share: float, ess: float, rise: float, samples: int, unit: str) -> list[str]:
    """Why a bound is not to be believed; nothing where nothing speaks against it.

    bad_share: of images with a bad k̂ (NaN: unknown); ess: of the median image; rise: per doubling of L, in `unit`.
    Each is that of the worst seed.
    """
    found = []
    if np.isnan(bad_share):
        few = f"too few samples to judge (L = {samples}; k̂ needs {KHAT_NEEDS})"
        found.append(few if samples < KHAT_NEEDS else "its weights have no k̂ to judge them by")
    elif bad_share > BAD_SHARE:
        found.append(f"k̂ bad in {100 * bad_share:.0f} % of images")
    if ess < ESS_FLOOR:
        found.append(f"{ess:.1f} effective samples")
    if rise > RISE_FLOOR[unit]:
        found.append(f"gains {measured(rise, unit)} {unit} per doubling of L")
    return found
