"""Intervals and verdicts from per-image log-likelihoods, paired by seed and image.

Input everywhere: ln P(x_n) of one configuration as float64 [S, N], S training seeds by N test images, in nats; the
images stand in one order in every configuration. Output: means with intervals, in the same unit.

Two things could have come out otherwise: which images are in the test set, and how the training went. They are
crossed (every seed is scored on every image), so they are kept apart and joined at the end:

* image part: percentile bootstrap over images. One resample of images serves all seeds and all configurations, so
  differences stay paired (Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 13). Its ends are moved out
  by t/z √(N/(N - 1)), Student's quantile for N images over the normal one, without which it is too narrow for few
  (Hesterberg 2015, Am. Stat. 69:371, section 4): simulated from scores of digits it then holds the mean in 93 to 95 %
  from 20 images on. For fewer there is no interval (FEWEST_IMAGES);
* seed part: Student's t interval on the S per-seed means. Its variance and degrees of freedom are moderated where
  there are other configurations to learn from (`significance`), else those of the S means, S - 1. With one seed and
  nobody to learn from it does not exist: the training noise is unknown, and the interval covers the images alone;
* both joined: with m the mean and [l_i, u_i], [l_s, u_s] the two intervals around it,

      low = m - sqrt((m - l_i)^2 + (m - l_s)^2)        high = m + sqrt((u_i - m)^2 + (u_s - m)^2)

  the interval for a sum of two independent errors recovered from the interval of each (Howe 1974, J. Am. Stat.
  Assoc. 69:789; Zou & Donner 2008, Stat. Med. 27:1693). The seed-by-image interaction is in both parts, as in the sum
  of row and column variances of Owen (2007, Ann. Appl. Stat. 1:386), so the joined interval errs on the wide side.

Each interval is of one comparison, alone. Verdicts are corrected for how many configurations are compared, and for the
best being picked by the same numbers: `rank` and `changes` add p-values that are (`significance`), and call nothing
a difference unless both the interval and the corrected p-value do.

What none of this holds: the gap between a bound and the log-likelihood that it bounds (a bias, not noise).

It is one file, for the intervals and the verdicts are one argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from vae_core.statistics.blocks import FEWEST_IMAGES
from vae_core.statistics.significance import (
    SeedNoise,
    among_the_best,
    image_variance,
    of_pairs,
    of_values,
    seed_variance,
    upper_tail,
)

Floats = NDArray[np.float64]

LEVEL = 0.95
REPLICATES = 2000
_CHUNK_BYTES = 16 * 2**20  # bootstrap weights held at one time


class Interval(NamedTuple):
    """Means of C samples with their intervals; every field is an array [C], in the unit of the input. With fewer than
    FEWEST_IMAGES images every end is NaN."""

    mean: Floats
    low: Floats  # both parts joined
    high: Floats
    image_low: Floats
    image_high: Floats
    seed_low: Floats  # NaN where the training noise is unknown
    seed_high: Floats
    seeds: Floats  # how many

    def at(self, index: int) -> Interval:
        """The interval of one sample, as scalars."""
        return Interval(*(field[index] for field in self))


class Verdict(StrEnum):
    """What the difference to the best configuration says."""

    BEST = "best"
    INDISTINGUISHABLE = "indistinguishable from the best"
    WORSE = "worse"
    UNPAIRED = "not comparable with the best: no seed in common"
    UNJUDGED = f"not judged: fewer than {FEWEST_IMAGES} test images, or blocks of them"
    BETTER = "better"  # of a reference alone, for no configuration is better than the best


class Ranking(NamedTuple):
    """C configurations in the order they were given; `order` sorts them, best (highest mean) first."""

    order: NDArray[np.int64]
    mean: Interval
    deficit: Interval  # best minus this one over the seeds that both have: positive is worse; NaN where unpaired
    verdicts: list[Verdict]
    p_adjusted: Floats  # of "among the best", corrected for all C; 1 for the best, NaN where unpaired


class Changes(NamedTuple):
    """C differences with their intervals, and p-values of "no change" (two-sided, not yet corrected)."""

    interval: Interval
    p: Floats

    @property
    def clear(self) -> NDArray[np.bool_]:
        """Which intervals leave zero out: a change needs that too, not only a small corrected p."""
        return (self.interval.low > 0) | (self.interval.high < 0)


def bootstrap_means(columns: Floats, generator: np.random.Generator, replicates: int = REPLICATES) -> Floats:
    """Means of each column [N, C] over `replicates` resamples of its rows, the same resample for all columns: [R, C].

    A resample is a row of counts [N], so that the means are a matrix product; the counts are drawn in blocks and
    never held whole.
    """
    count = len(columns)
    means = np.empty((replicates, columns.shape[1]))
    block = max(1, _CHUNK_BYTES // (16 * count))  # indices and counts, eight bytes each
    for start in range(0, replicates, block):
        rows = min(block, replicates - start)
        drawn = generator.integers(0, count, size=(rows, count))
        drawn += np.arange(rows)[:, None] * count
        weights = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        np.matmul(weights / count, columns, out=means[start : start + rows])  # without a copy of them
    return means


def _quantiles(columns: Floats, generator: np.random.Generator, replicates: int, at: Sequence[float]) -> Floats:
    """Quantiles of each column's resampled means: [Q, C]. In blocks of columns, for what is resampled of thousands of
    them would be the most of what a report holds; every block sees the same resamples."""
    block, began = max(1, 2 * _CHUNK_BYTES // (8 * replicates)), generator.bit_generator.state
    parts = []
    for start in range(0, columns.shape[1], block):
        generator.bit_generator.state = began
        means = bootstrap_means(columns[:, start : start + block], generator, replicates)
        parts.append(np.quantile(means, at, axis=0, overwrite_input=True))
    return np.concatenate(parts, axis=1)


def intervals(
    samples: Sequence[Floats],
    generator: np.random.Generator,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    noise: SeedNoise | None = None,
) -> Interval:
    """The mean of each sample [S_c, N] with its interval; S may differ between samples, N may not.

    noise: the variance of per-seed means of each sample, moderated; by default each sample's own.

    ValueError: nothing given, no images, different numbers of images, or a number that is not finite.
    """
    _check(samples)
    noise = noise or of_each(samples)
    images, seeds = samples[0].shape[1], np.array([float(len(sample)) for sample in samples])
    mean = np.array([sample.mean(axis=1).mean() for sample in samples])
    if images < FEWEST_IMAGES:
        nothing = np.full(len(mean), np.nan)
        return Interval(mean, nothing, nothing, nothing, nothing, nothing, nothing, seeds)
    # Shifting by the mean changes no interval and keeps small differences of large numbers exact.
    columns = np.stack([sample.mean(axis=0) for sample in samples], axis=1) - mean
    tail = (1 - level) / 2
    wider = stdtrit(images - 1, 1 - tail) / ndtri(1 - tail) * np.sqrt(images / (images - 1))
    image_low, image_high = wider * _quantiles(columns, generator, replicates, [tail, 1 - tail])
    known = noise.freedom > 0
    quantile = stdtrit(np.where(known, noise.freedom, 1), 1 - tail)
    reach = np.where(known, quantile * np.sqrt(noise.variance / seeds), np.nan)
    by_seeds = np.nan_to_num(reach, nan=0.0)
    return Interval(
        mean=mean,
        low=mean - np.hypot(image_low, by_seeds),
        high=mean + np.hypot(image_high, by_seeds),
        image_low=mean + image_low,
        image_high=mean + image_high,
        seed_low=mean - reach,
        seed_high=mean + reach,
        seeds=seeds,
    )


def of_each(samples: Sequence[Floats]) -> SeedNoise:
    """The variance between seeds of each sample alone, S - 1 degrees of freedom."""
    variances = np.array([seed_variance(sample.mean(axis=1)) for sample in samples])
    return SeedNoise(variances, np.array([len(sample) - 1.0 for sample in samples]), 0.0)


def mean_interval(
    sample: Floats, generator: np.random.Generator, level: float = LEVEL, replicates: int = REPLICATES
) -> Interval:
    """The mean of one configuration [S, N] with its interval (fields are scalars)."""
    return intervals([sample], generator, level, replicates).at(0)


def paired_difference(
    a: Floats, b: Floats, generator: np.random.Generator, level: float = LEVEL, replicates: int = REPLICATES
) -> Interval:
    """The mean of a - b with its interval, both [S, N] and paired by seed and image (fields are scalars)."""
    if a.shape != b.shape:
        raise ValueError(f"paired samples have one shape [seeds, images], got {a.shape} and {b.shape}")
    return intervals([a - b], generator, level, replicates).at(0)


def seed_deviation(sample: Floats) -> float:
    """Standard deviation (not error) of the mean between seeds, of a sample [S, N]; NaN with one seed."""
    return float(sample.mean(axis=1).std(ddof=1)) if len(sample) > 1 else float("nan")


def changes(
    differences: Sequence[Floats],
    generator: np.random.Generator,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    noise: SeedNoise | None = None,
) -> Changes:
    """C differences [S_c, N], each of a configuration with itself in another run, paired by seed and image.

    noise: the variance of per-seed means of each, moderated; by default over these differences alone. Correct the
    p-values with `significance.holm`, together with those of other boards; with fewer than FEWEST_IMAGES images they
    are NaN. Raises as `intervals` does.
    """
    noise = noise or of_values(differences)
    interval = intervals(differences, generator, level, replicates, noise)
    images = differences[0].shape[1]
    if images < FEWEST_IMAGES:
        return Changes(interval, np.full(len(differences), np.nan))
    of_images = np.array([image_variance(difference) for difference in differences])
    tail = upper_tail(np.abs(interval.mean), of_images, images, noise.variance / interval.seeds, noise.freedom)
    return Changes(interval, 2 * tail)


def rank(
    samples: Sequence[Floats],
    seeds: Sequence[Sequence[int]],
    generator: np.random.Generator,
    level: float = LEVEL,
    replicates: int = REPLICATES,
) -> Ranking:
    """Orders C configurations [S_c, N] by their mean and compares each with the first, over the seeds both have.

    `seeds[c]` names the rows of `samples[c]`. A configuration is worse where both hold: its corrected p-value of being
    among the best is below 1 - level, and the joined interval of its deficit lies above zero. So the set of those that
    are not worse holds every truly best one with at least the probability `level`, though the best was picked by the
    same numbers (`significance.not_the_best`). With fewer than FEWEST_IMAGES images nothing is judged, the first
    neither. Raises as `intervals` does, and where seeds and rows do not match.
    """
    require_named(samples, seeds)
    _check(samples)
    means = np.array([sample.mean() for sample in samples])
    best = int(np.argmax(means))
    deficits: dict[int, Floats] = {}
    for index, (sample, names) in enumerate(zip(samples, seeds, strict=True)):
        shared = [seed for seed in seeds[best] if seed in set(names)]
        if shared:
            rows = [list(names).index(seed) for seed in shared]
            rows_best = [list(seeds[best]).index(seed) for seed in shared]
            deficits[index] = samples[best][rows_best] - sample[rows]

    pairs, compared = [(best, index) for index in deficits], list(deficits.values())
    noise = of_values(samples).then(of_pairs(samples, seeds, pairs, compared))
    both = intervals([*samples, *compared], generator, level, replicates, noise)
    mean = Interval(*(field[: len(samples)] for field in both))
    deficit = _scatter(Interval(*(field[len(samples) :] for field in both)), list(deficits), len(samples))
    order = np.argsort(-mean.mean, kind="stable")
    if samples[0].shape[1] < FEWEST_IMAGES:
        unjudged = [Verdict.UNJUDGED] * len(samples)
        return Ranking(order, mean, deficit, unjudged, np.full(len(samples), np.nan))
    p_adjusted = among_the_best(samples, seeds, best, deficits)
    verdicts = [
        Verdict.BEST
        if index == best
        else Verdict.UNPAIRED
        if index not in deficits
        else Verdict.WORSE
        if p_adjusted[index] < 1 - level and deficit.low[index] > 0
        else Verdict.INDISTINGUISHABLE
        for index in range(len(samples))
    ]
    return Ranking(order, mean, deficit, verdicts, p_adjusted)


def require_named(samples: Sequence[Floats], seeds: Sequence[Sequence[int]]) -> None:
    """Raises ValueError unless every row of every sample has a seed, each once."""
    for sample, names in zip(samples, seeds, strict=True):
        if len(sample) != len(names) or len(set(names)) != len(names):
            raise ValueError(f"{len(sample)} rows and the seeds {list(names)}: give one seed a row, each once")


def _check(samples: Sequence[Floats]) -> None:
    """Raises what `intervals` says it raises."""
    if not len(samples):
        raise ValueError("nothing to compare: give at least one sample")
    for sample in samples:
        if sample.ndim != 2 or sample.shape[0] < 1 or sample.shape[1] < 1:
            raise ValueError(f"a sample is [seeds, images] with at least one image, got the shape {sample.shape}")
        if sample.shape[1] != samples[0].shape[1]:
            raise ValueError(f"samples of different images: {sample.shape[1]} and {samples[0].shape[1]} of them")
        if not np.isfinite(sample).all():
            raise ValueError("a log-likelihood is NaN or infinite: leave that configuration out")


def _scatter(interval: Interval, places: list[int], size: int) -> Interval:
    """The same intervals at their places among `size`; elsewhere NaN, of no seeds."""
    fields = [np.full(size, np.nan) for _ in interval]
    for whole, field in zip(fields, interval, strict=True):
        whole[places] = field
    spread = Interval(*fields)
    return spread._replace(seeds=np.nan_to_num(spread.seeds, nan=0.0))
