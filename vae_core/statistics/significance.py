"""How surely differences of means are not chance, for many configurations at once and with few seeds.

A difference between two configurations, S seeds by N images, has a mean D and two independent errors (`intervals`):
of images, with variance v = var_n(mean over seeds)/N and N - 1 degrees of freedom, and of training, with w = s²/S.

Moderated seed variances. With three seeds w has two degrees of freedom, and Student's t at 0.05/40/2 with two of them
is 28: no correction for many comparisons would leave anything to be seen. But the configurations of a board are alike
in kind. Their seed variances are taken as draws from one scaled inverse chi-square law, whose scale s0² and weight d0
(in degrees of freedom) are fitted to all of them, and each is drawn towards the typical one (Smyth 2004, Stat. Appl.
Genet. Mol. Biol. 3:3, sections 4 and 6.2, known as limma):

    s̃² = (d0 s0² + d s²) / (d0 + d)    with d0 + d degrees of freedom (never more than all have together), d = S - 1

The law is fitted to logarithms, where one wild configuration moves little, and d0 is the lower end of what the
logarithms' spread allows (one standard error), for d0 too large is the error that costs. That the configurations share
a law is an assumption. Intervals that are shown rest on it as verdicts do: with two seeds and their variance alone, t
has one degree of freedom and an interval of scores reached from -1.4 to 19.7 bits/dim.

A configuration with fewer seeds than another never looks surer for that: its variance is at least the typical one,
and with one seed it is the typical one, s0² or, where no law could be fitted, the pooled one.

The p-value of D is the level at which the interval of `intervals`, with s̃² for s² and without the bootstrap's
asymmetry, would touch zero: the p at which D² = (z_p)² v + (t_p)² w (Howe 1974), z_p and t_p upper quantiles.

Both corrections, `not_the_best` and `holm`, rest on Bonferroni's bound alone, so it does not matter how the
differences depend on one another: they share images, seeds and the best configuration. What is left to doubt is the
single p-value. Simulated (test_significance.py; seeds matter more than images, 2 to 40 equal configurations, 2 to 5
seeds, noise alike, by the assumed law, log-normal or one in ten wild; and from real scores, test_promises.py): any
false verdict in 0 to 7 % of boards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import digamma, polygamma, stdtrit

Floats = NDArray[np.float64]

FEWEST = 5  # variances from which a common law is fitted: of fewer, the spread of their logarithms is not known
_SMALLEST = 1e-16  # p-values end here


class SeedNoise(NamedTuple):
    """Moderated variances between seeds [K] and their degrees of freedom [K]; 0 of them where nothing is known."""

    variance: Floats
    freedom: Floats
    weight: float  # d0; 0 where no common law could be fitted and the variances are as they were

    def then(self, other: SeedNoise) -> SeedNoise:
        """These, and after them those of another."""
        variance = np.concatenate([self.variance, other.variance])
        return SeedNoise(variance, np.concatenate([self.freedom, other.freedom]), self.weight)

    def of(self, places: Sequence[int]) -> SeedNoise:
        """Those of some."""
        return SeedNoise(self.variance[list(places)], self.freedom[list(places)], self.weight)


def moderated(variances: Floats, freedoms: Floats) -> SeedNoise:
    """Each variance [K] drawn towards the typical one, by how alike they all are; of too few they stay as they are.

    A variance without degrees of freedom (one seed) becomes the typical one; without a law that is the pooled one,
    with the freedoms of the best known alone. One with fewer than others is at least the typical one. Where none has
    any, nothing is known: variances of 0 with 0 freedoms. Zeros (identical runs) take no part in the law.
    """
    scale, weight = _common_law(variances, freedoms)
    observed = np.where(freedoms > 0, variances, 0.0)
    freedom = weight + freedoms
    variance = (weight * scale + freedoms * observed) / np.where(freedom > 0, freedom, 1)
    freedom = np.minimum(freedom, freedoms.sum())
    if freedoms.any():
        typical = scale if weight > 0 else float((freedoms * observed).sum() / freedoms.sum())
        variance = np.where(freedoms < freedoms.max(), np.maximum(variance, typical), variance)
        freedom = np.where(freedom > 0, freedom, freedoms.max())
    return SeedNoise(variance, freedom, weight)


def of_values(samples: Sequence[Floats]) -> SeedNoise:
    """The seed noise of the means of configurations [S_c, N], each by itself: moderated over all of them."""
    variances = np.array([seed_variance(sample.mean(axis=1)) for sample in samples])
    return moderated(variances, np.array([len(sample) - 1.0 for sample in samples]))


def of_pairs(
    samples: Sequence[Floats],
    seeds: Sequence[Sequence[int]],
    pairs: Sequence[tuple[int, int]],
    differences: Sequence[Floats],
) -> SeedNoise:
    """The seed noise of the differences [S, N] between pairs of configurations, over the seeds that both have.

    What both have in common cancels (`seed_variances`). Of too few configurations to learn from one another it is the
    difference's own variance; at least the typical one where it rests on fewer seeds than others do.
    """
    freedoms = np.array([len(sample) - 1.0 for sample in samples])
    rows = moderated(seed_variances(seed_means(samples, seeds)), freedoms)
    if not pairs or not freedoms.any():
        return SeedNoise(np.zeros(len(pairs)), np.zeros(len(pairs)), 0.0)
    itself = np.array([one == other for one, other in pairs])
    found = of_differences(rows, [one for one, _ in pairs], [other for _, other in pairs])
    borrowed = found._replace(variance=np.where(itself, 0, found.variance))
    if rows.weight > 0:
        return borrowed
    own = np.array([seed_variance(difference.mean(axis=1)) for difference in differences])
    of_own = np.array([len(difference) - 1.0 for difference in differences])
    variance = np.where(of_own < freedoms.max(), np.fmax(own, borrowed.variance), own)
    return SeedNoise(variance, np.where(of_own > 0, of_own, borrowed.freedom), 0.0)


def seed_variances(table: Floats) -> Floats:
    """Variance between seeds of each configuration [C], without what a seed does to all of them alike.

    table: per-seed means [C, seeds], NaN where a seed is missing. The part that is common to all (the median over
    configurations of their deviations) cancels in every difference. A configuration with one seed gets 0.
    """
    count = len(table)
    deviations = table - np.nanmean(table, axis=1, keepdims=True)
    deviations -= np.nanmedian(deviations, axis=0)
    freedoms = np.isfinite(table).sum(axis=1) - 1
    # The common part is estimated from the same numbers, hence C/(C - 1), as in any variance about an estimated centre.
    variances: Floats = np.nansum(deviations**2, axis=1) / np.maximum(freedoms, 1) * count / max(count - 1, 1)
    return np.where(freedoms > 0, variances, 0.0)


def of_differences(noise: SeedNoise, ones: list[int], others: list[int]) -> SeedNoise:
    """The seed noise of the differences between configurations, pair by pair: the sum of both variances.

    Degrees of freedom by Satterthwaite, (a + b)² / (a²/f_a + b²/f_b + 2 r² ab/√(f_a f_b)); r = 1/(C - 1) is the
    correlation that the common part, taken out of both, leaves behind.
    """
    a, b = noise.variance[ones], noise.variance[others]
    f_a, f_b = noise.freedom[ones], noise.freedom[others]
    r = 1 / max(len(noise.variance) - 1, 1)
    spread = a**2 / f_a + b**2 / f_b + 2 * r**2 * a * b / np.sqrt(f_a * f_b)
    freedom = np.where(spread > 0, (a + b) ** 2 / np.where(spread > 0, spread, 1), np.minimum(f_a, f_b))
    return SeedNoise(a + b, freedom, noise.weight)


def upper_tail(mean: Floats, image_variance: Floats, images: int, seed_variance: Floats, freedom: Floats) -> Floats:
    """One-sided p-values [K] of the differences `mean` [K] against "zero or less"; one half where it is zero or less.

    Both variances are of the mean: v and w. Where `freedom` is 0 the training noise is unknown: the images alone speak.
    """
    noise_known = freedom > 0
    some = np.where(noise_known, freedom, 1)
    low, high = np.full(mean.shape, np.log(_SMALLEST)), np.full(mean.shape, np.log(0.5))
    for _ in range(40):  # the reach falls as p rises: halve the bracket of ln p
        middle = (low + high) / 2
        p = np.exp(middle)
        by_images = stdtrit(images - 1, p) ** 2 * image_variance
        by_seeds = np.where(noise_known, stdtrit(some, p) ** 2 * seed_variance, 0)
        beyond = by_images + by_seeds >= mean**2
        low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
    return np.where(mean > 0, np.exp(high), 0.5)


def not_the_best(tails: Floats, count: int) -> Floats:
    """Adjusted p-values [K] of "this one is among the best" of `count` configurations.

    tails: one-sided p-values of each one's deficit to the observed best; K <= count - 1, some may not be comparable.

    Sorted upwards, the k-th is multiplied by the configurations not yet excluded, count - k + 1, times the rivals that
    each may lose to, count - 1, and never falls: Holm (1979, Scand. J. Stat. 6:65) over the hypotheses of multiple
    comparisons with the best (Hsu 1984, Ann. Stat. 12:1136). Of two configurations it is the two-sided p-value.

    Guarantee: whatever the truth, the chance that any of the b truly best is excluded at 0.05 is at most 0.05. When
    the first of them is, all b are still there, so it has lost to some rival with a p-value below
    0.05 / (b (count - 1)); there are b (count - 1) such pairs, and in each the rival is no better.
    """
    order = np.argsort(tails, kind="stable")
    left = count - np.arange(len(tails))
    adjusted = np.empty_like(tails)
    adjusted[order] = np.maximum.accumulate(tails[order] * left) * (count - 1)
    return np.minimum(adjusted, 1)


def holm(p: Floats) -> Floats:
    """Adjusted p-values [K]: the chance of any false rejection at 0.05 is at most 0.05 (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    return np.minimum(adjusted, 1)


def among_the_best(
    samples: Sequence[Floats], seeds: Sequence[Sequence[int]], best: int, deficits: dict[int, Floats]
) -> Floats:
    """The corrected p-value [C] of each configuration being among the best, from its deficit to the observed best."""
    adjusted = np.full(len(samples), np.nan)
    adjusted[best] = 1.0
    rivals = [index for index in deficits if index != best]
    if not rivals:
        return adjusted
    of_rivals = [deficits[index] for index in rivals]
    shared = np.array([float(len(deficit)) for deficit in of_rivals])
    pair = of_pairs(samples, seeds, [(best, rival) for rival in rivals], of_rivals)
    mean = np.array([deficit.mean() for deficit in of_rivals])
    of_images = np.array([image_variance(deficit) for deficit in of_rivals])
    tails = upper_tail(mean, of_images, samples[0].shape[1], pair.variance / shared, pair.freedom)
    adjusted[rivals] = not_the_best(tails, len(samples))
    return adjusted


def seed_means(samples: Sequence[Floats], seeds: Sequence[Sequence[int]]) -> Floats:
    """Per-seed means [C, seeds of any], NaN where a configuration lacks a seed."""
    named = sorted({seed for names in seeds for seed in names})
    table = np.full((len(samples), len(named)), np.nan)
    for row, sample, names in zip(table, samples, seeds, strict=True):
        row[[named.index(seed) for seed in names]] = sample.mean(axis=1)
    return table


def seed_variance(means: Floats) -> float:
    """Variance of per-seed means [S]; 0 with one seed."""
    return float(means.var(ddof=1)) if len(means) > 1 else 0.0


def image_variance(sample: Floats) -> float:
    """Variance of the mean of a sample [S, N] over images."""
    return float(sample.mean(axis=0).var(ddof=1) / sample.shape[1])


def _common_law(variances: Floats, freedoms: Floats) -> tuple[float, float]:
    """s0² and d0 by the first two moments of ln s²; (0, 0) where they cannot be known.

    ln s² - ψ(d/2) + ln(d/2) has the mean ln s0² + ln(d0/2) - ψ(d0/2), the variance ψ'(d/2) + ψ'(d0/2).
    """
    usable = (freedoms > 0) & (variances > 0)
    count = int(usable.sum())
    if count < FEWEST:
        return 0.0, 0.0
    half = freedoms[usable] / 2
    logs = np.log(variances[usable]) - digamma(half) + np.log(half)
    chance = float(polygamma(1, half).mean())
    excess = float((polygamma(3, half) / polygamma(1, half) ** 2).mean())  # kurtosis
    total = float(logs.var(ddof=1))
    error = max(total, chance) * np.sqrt((2 + excess) / (count - 1))
    half_weight = _inverse_trigamma(max(total - chance, 0) + error)
    scale = np.exp(logs.mean() + digamma(half_weight) - np.log(half_weight))
    return float(scale), 2 * half_weight


def _inverse_trigamma(value: float) -> float:
    """x with ψ'(x) = value > 0."""
    return float(np.exp(brentq(lambda x: float(np.log(polygamma(1, np.exp(x)))) - np.log(value), -20, 20)))
