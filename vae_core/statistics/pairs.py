"""Every configuration against every other: intervals of all differences, and letters for what cannot be told apart.

`intervals.rank` compares with the best alone. Here any configuration may be the one that others are held against, and
it may be picked after the numbers were seen: so the p-values are corrected for all C (C − 1)/2 pairs together
(`significance.holm`), and hold whichever is picked. Two configurations are apart where both hold: the corrected p-value
is below 0.05, and the interval of their difference leaves zero out. Intervals are each of one difference, alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from vae_core.statistics.blocks import FEWEST_IMAGES
from vae_core.statistics.intervals import LEVEL, REPLICATES, Floats, bootstrap_means, require_named
from vae_core.statistics.significance import SeedNoise, holm, of_pairs, upper_tail


class Pairs(NamedTuple):
    """Differences between C configurations; every field is an array [C, C], of the row against the column, in the unit
    of the input. NaN, and not apart, on the diagonal and where two share no seed; with fewer than FEWEST_IMAGES images
    there is the difference alone."""

    lead: Floats  # by which the row is better; negative: it is worse
    low: Floats
    high: Floats
    p: Floats  # two-sided, corrected for all pairs
    apart: NDArray[np.bool_]
    seeds: NDArray[np.int64]  # shared


def all_pairs(
    samples: Sequence[Floats], seeds: Sequence[Sequence[int]], generator_seed: int, replicates: int = REPLICATES
) -> Pairs:
    """Compares each of C configurations [S_c, N] with every other, over the seeds both have.

    `seeds[c]` names the rows of `samples[c]`; generator_seed: of the resamples of images, one set for all pairs.
    Raises ValueError where seeds and rows do not match.
    """
    require_named(samples, seeds)
    count, images = len(samples), samples[0].shape[1]
    shared = {
        (one, other): tuple(seed for seed in seeds[one] if seed in set(seeds[other]))
        for one in range(count)
        for other in range(one + 1, count)
    }
    pairs = [pair for pair, both in shared.items() if both]
    lead, low, high, p = (np.full((count, count), np.nan) for _ in range(4))
    number = np.zeros((count, count), dtype=np.int64)
    if not pairs:
        return Pairs(lead, low, high, p, np.zeros((count, count), dtype=bool), number)
    noise = _seed_noise(samples, seeds, pairs, shared)
    place = {pair: index for index, pair in enumerate(pairs)}
    means, variances, ends = np.empty(len(pairs)), np.empty(len(pairs)), np.full((2, len(pairs)), np.nan)
    for both in dict.fromkeys(shared[pair] for pair in pairs):
        chosen = [pair for pair in pairs if shared[pair] == both]
        rows = sorted({row for pair in chosen for row in pair})
        columns = np.stack(
            [samples[row][[list(seeds[row]).index(seed) for seed in both]].mean(axis=0) for row in rows], 1
        )
        ones, others = (np.array([rows.index(pair[side]) for pair in chosen]) for side in (0, 1))
        where = np.array([place[pair] for pair in chosen])
        centre = columns.mean(axis=0)
        means[where] = centre[ones] - centre[others]
        about = columns - columns.mean(axis=1, keepdims=True)  # what an image does to all cancels in every difference
        about = about - about.mean(axis=0)
        covariance = about.T @ about / max(images - 1, 1)
        spread = np.diag(covariance)[ones] + np.diag(covariance)[others] - 2 * covariance[ones, others]
        variances[where] = spread.clip(min=0) / images
        if images >= FEWEST_IMAGES:
            resampled = bootstrap_means(about, np.random.default_rng(generator_seed), replicates)
            ends[:, where] = _quantiles(resampled, ones, others)
    tail = (1 - LEVEL) / 2
    of_seeds = np.array([len(shared[pair]) for pair in pairs])
    one_side, other_side = np.array(pairs).T
    number[one_side, other_side] = number[other_side, one_side] = of_seeds
    lead[one_side, other_side], lead[other_side, one_side] = means, -means
    if images >= FEWEST_IMAGES:
        wider = stdtrit(images - 1, 1 - tail) / ndtri(1 - tail) * np.sqrt(images / (images - 1))
        known = noise.freedom > 0
        reach = np.where(known, stdtrit(np.where(known, noise.freedom, 1), 1 - tail), 0.0)
        reach = reach * np.sqrt(np.where(known, noise.variance, 0.0) / of_seeds)
        below, above = means - np.hypot(wider * ends[0], reach), means + np.hypot(wider * ends[1], reach)
        low[one_side, other_side], low[other_side, one_side] = below, -above
        high[one_side, other_side], high[other_side, one_side] = above, -below
        tails = upper_tail(np.abs(means), variances, images, noise.variance / of_seeds, noise.freedom)
        p[one_side, other_side] = p[other_side, one_side] = holm(np.minimum(2 * tails, 1))
    with np.errstate(invalid="ignore"):
        apart = (p < 1 - LEVEL) & ((low > 0) | (high < 0))
    return Pairs(lead, low, high, p, apart, number)


def letters(apart: NDArray[np.bool_]) -> list[str]:
    """A compact letter display of configurations in their order: two share a letter if and only if they are not apart.

    By insertion and absorption (Piepho 2004, J. Comput. Graph. Stat. 13:456). Letters run a … z, aa, ab, …, the first
    at the first configuration.
    """
    count = len(apart)
    groups: list[frozenset[int]] = [frozenset(range(count))]
    for one in range(count):
        for other in range(one + 1, count):
            if not apart[one, other]:
                continue
            split: list[frozenset[int]] = []
            for group in groups:
                split += [group - {one}, group - {other}] if {one, other} <= group else [group]
            distinct = list(dict.fromkeys(split))
            groups = [group for group in distinct if not any(group < wider for wider in distinct)]
    groups.sort(key=lambda group: (min(group, default=count), -max(group, default=0), sorted(group)))
    return ["".join(_letter(place) for place, group in enumerate(groups) if index in group) for index in range(count)]


def _letter(place: int) -> str:
    text = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        text = chr(ord("a") + rest) + text
    return text


def _quantiles(resampled: Floats, ones: NDArray[np.int64], others: NDArray[np.int64]) -> Floats:
    """The ends [2, K] of the middle 95 % of differences between columns of resampled means [R, C], about their mean."""
    tail = (1 - LEVEL) / 2
    ends = np.empty((2, len(ones)))
    for one in np.unique(ones):
        mine = ones == one
        ends[:, mine] = np.quantile(resampled[:, [one]] - resampled[:, others[mine]], [tail, 1 - tail], axis=0)
    return ends


def _seed_noise(
    samples: Sequence[Floats],
    seeds: Sequence[Sequence[int]],
    pairs: Sequence[tuple[int, int]],
    shared: dict[tuple[int, int], tuple[int, ...]],
) -> SeedNoise:
    """`significance.of_pairs`, which asks for the per-seed means of each difference alone."""
    means = [dict(zip(names, sample.mean(axis=1), strict=True)) for sample, names in zip(samples, seeds, strict=True)]
    differences = [
        np.array([[means[one][seed] - means[other][seed]] for seed in shared[one, other]]) for one, other in pairs
    ]
    return of_pairs(samples, seeds, pairs, differences)
