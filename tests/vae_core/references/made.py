"""Data whose entropy is known, for references to come to."""

from __future__ import annotations

import numpy as np
from scipy import stats

from vae_core.references import Images

LN2 = float(np.log(2))


def images(k: np.ndarray, levels: int, shape: tuple[int, ...] | None = None) -> tuple[Images, np.ndarray]:
    """Integers [N, D] cut into training (four sixths), validation and test images."""
    part = len(k) // 6
    given = Images(k[2 * part :], k[part : 2 * part], levels, shape or (1, k.shape[1]))
    return given, k[:part]


def counts(seed: int = 0, number: int = 3000, levels: int = 256) -> tuple[np.ndarray, float]:
    """Negative-binomial counts of 30 places with means from 2 to 40, cut off at the last level; and their entropy,
    bits a value."""
    rng = np.random.default_rng(seed)
    means, size = np.linspace(2, 40, 30), 2.5
    law = stats.nbinom(size, size / (size + means))
    table = law.pmf(np.arange(levels)[:, None])
    table[-1] += law.sf(levels - 1)
    entropy = float(-np.sum(table * np.log2(np.maximum(table, 1e-300))) / len(means))
    return np.minimum(law.rvs((number, len(means)), random_state=rng), levels - 1), entropy


def clusters(seed: int = 0, number: int = 1200, kinds: int = 4, levels: int = 5, dims: int = 24) -> np.ndarray:
    """Images [N, D] of some equally frequent kinds, each with one level that is likely at each place (0.85)."""
    rng = np.random.default_rng(seed)
    typical = rng.integers(levels, size=(kinds, dims))
    kind = rng.integers(kinds, size=number)
    other = rng.integers(levels, size=(number, dims))
    return np.where(rng.random((number, dims)) < 0.85, typical[kind], other)


def bits(nats: float, dims: int) -> float:
    return -nats / (dims * LN2)
