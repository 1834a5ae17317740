"""Whether log-probabilities could be any: ln P of one image out of finitely many is never above 0.

An estimate of ln P may be, by its Monte-Carlo error. How far, for L importance weights w of one image whose mean is
P ≤ 1, whatever their law:

* P(ln w̄ > t) ≤ e^-t (Markov), and for the product over images, whose noise is independent, the same: the sum of ln w̄
  exceeds t with at most that chance. This needs no standard error, which heavy-tailed weights make too small;
* where the weights are tame (a standard error s up to TAME, some ten effective samples), ln w̄ exceeds DEVIATIONS · s
  hardly ever. But small weights that were not drawn leave no trace in s: where they have the probability p, none is
  among L with chance (1 - p)^L, below CHANCE from p = ln(1/CHANCE) / L on, and the mean is too high by 1/(1 - p); so
  much, ln(1/CHANCE) / L, is allowed besides.

Simulated for weights of mean 1 (log-normal, Pareto, gamma, two-point, with rare zeros; L from 2 to 400; 100,000 to
two million images of each, and sums of 20): nothing beyond these limits, where 6 s alone is exceeded in up to 99 %. A
model that is right has ln P far below 0 but in degenerate cases, so what is beyond them is an error of the masses and
not of chance. Densities may be above 0, and are not judged.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

CHANCE = 1e-6  #: that a right model exceeds a limit, at most, where its ln P is 0
DEVIATIONS = 6.0  #: standard errors that tame weights are given
TAME = 1 / 3  #: nats of standard error up to which it is believed
ROUNDING = (1e-3, 1e-5)  #: nats, and nats for each dimension, that sums of float32 may be off by

CAUSES = (
    "the masses do not sum to one over the levels, they were told another number of levels than the data have, or a "
    "density is scored as a mass"
)


class ImpossibleScore(ValueError):
    """A log-probability above 0 by more than its Monte-Carlo error; the message is one sentence."""


def require_possible(
    log_likelihood: ArrayLike, standard_error: ArrayLike, samples: int, dims: int, levels: int | None = None
) -> None:
    """Raises ImpossibleScore where `impossible` finds something."""
    if found := impossible(log_likelihood, standard_error, samples, dims, levels):
        raise ImpossibleScore(found)


def impossible(
    log_likelihood: ArrayLike, standard_error: ArrayLike, samples: int, dims: int, levels: int | None = None
) -> str:
    """What is wrong with estimates of ln P [N] of N images, in one sentence; '' where nothing is.

    Args:
        log_likelihood: nats, [N]; NaN is not judged.
        standard_error: the Monte-Carlo error of each, [N]; NaN where it is not known.
        samples: L of the estimates.
        dims: D.
        levels: K, for the sentence.
    """
    each = np.asarray(log_likelihood, dtype=np.float64)
    error = np.asarray(standard_error, dtype=np.float64)
    known = ~np.isnan(each)
    each, error, places = each[known], error[known], np.flatnonzero(known)
    if not len(each) or each.max() <= 0:
        return ""
    rounding = ROUNDING[0] + ROUNDING[1] * dims
    unseen = -math.log(CHANCE)
    tame = error <= TAME
    markov = unseen + math.log(len(each))
    excess = each - rounding - np.where(tame, np.minimum(DEVIATIONS * error + unseen / samples, markov), markov)
    of_sum = float(np.sqrt((error**2).sum()))
    of_all = min(DEVIATIONS * of_sum + unseen / samples, unseen) if tame.all() else unseen
    total = float(each.sum())
    causes = CAUSES if levels is None else CAUSES.replace("the levels", f"{levels} levels")
    if total > of_all + rounding * len(each):
        return (
            f"the mean ln P of {len(each):,} images is {total / len(each):.3g} nats (Monte-Carlo error "
            f"{of_sum / len(each):.2g}), but no probability is above 1: {causes}"
        )
    if excess.max() > 0:
        worst = int(excess.argmax())
        beyond = int((excess > 0).sum())
        return (
            f"ln P of {beyond:,} of {len(each):,} images is above 0, of image {places[worst]} by {each[worst]:.3g} "
            f"nats (Monte-Carlo error {error[worst]:.2g}), but no probability is above 1: {causes}"
        )
    return ""
