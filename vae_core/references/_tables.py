"""Mixtures of products over dimensions, as tables of log-masses: P(k) = Σ_c w_c Π_d P_c,d(k_d), scored exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import logsumexp

Integers = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]
ROWS = 2000  # images that are scored at one time


class OneHot:
    """Integers [N, D] below B as rows of zeros and ones, sparse: one level of each dimension, `dropped` [D], has no
    column, for what it contributes follows from the others. So a background that most values have costs nothing."""

    def __init__(self, k: Integers, levels: int, dropped: Integers) -> None:
        images, dims = k.shape
        kept = k != dropped
        columns = (np.arange(dims) * levels + k)[kept]
        ends = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
        ones = np.ones(len(columns))
        self.rows = csr_array((ones, columns, ends), shape=(images, dims * levels))
        self.columns = csr_array(self.rows.T)
        self.shape = (dims, levels)
        self.dropped = (np.arange(dims), dropped)

    def sums(self, tables: Floats) -> Floats:
        """Σ_d table_c[d, k_d] of tables [C, D, B], for each image: [N, C]."""
        at_dropped = tables[:, self.dropped[0], self.dropped[1]]
        differences = (tables - at_dropped[:, :, None]).reshape(len(tables), -1)
        sums: Floats = self.rows @ differences.T + at_dropped.sum(axis=1)
        return sums

    def counts(self, weights: Floats) -> Floats:
        """How often each level of each dimension occurs, images weighted by [N, C]: [C, D, B]."""
        counted = (self.columns @ weights).T.reshape(weights.shape[1], *self.shape)
        counted[:, self.dropped[0], self.dropped[1]] = weights.sum(axis=0)[:, None] - counted.sum(axis=2)
        return np.maximum(counted, 0)


@dataclass(frozen=True, eq=False)
class Tables:
    """ln w [C] and ln P_c,d(b) [C, D, B] of C components, in nats.

    B are the K levels themselves, or K levels are joined to fewer: then `joined` [K] has the b of each level, and
    `within` [D, K] ln P_d(k|b), which all components share. Raises ValueError where a level has no probability.
    """

    log_weights: Floats
    log_masses: Floats
    joined: Integers | None = None
    within: Floats | None = None

    def __post_init__(self) -> None:
        parts = [self.log_weights, self.log_masses] + ([] if self.within is None else [self.within])
        if not all(np.isfinite(part).all() for part in parts):
            raise ValueError("a level has no finite log-probability: smooth the table")

    def score(self, k: Integers) -> Floats:
        """ln P of each of the images [N, D], nats [N]; that of one does not depend on the others."""
        return np.concatenate([self._score(k[start : start + ROWS]) for start in range(0, len(k), ROWS)])

    def _score(self, k: Integers) -> Floats:
        coarse = k if self.joined is None else self.joined[k]
        typical = (self.log_weights[:, None, None] + self.log_masses).max(axis=0).argmax(axis=1)
        sums = OneHot(coarse, self.log_masses.shape[2], typical).sums(self.log_masses)
        scores: Floats = logsumexp(sums + self.log_weights, axis=1)
        return scores if self.within is None else scores + self.within[np.arange(k.shape[1]), k].sum(axis=1)

    def full(self) -> Floats:
        """ln P_c,d(k) of all K levels, [C, D, K]."""
        if self.joined is None or self.within is None:
            return self.log_masses
        full: Floats = self.log_masses[:, :, self.joined] + self.within
        return full


def counted(k: Integers, levels: int) -> Floats:
    """How often each level of each dimension occurs in images [N, D]: [D, K]."""
    dims = k.shape[1]
    counts = np.zeros(dims * levels)
    for start in range(0, len(k), ROWS):
        part = k[start : start + ROWS].astype(np.int64) + levels * np.arange(dims)
        counts += np.bincount(part.ravel(), minlength=dims * levels)
    return counts.reshape(dims, levels)
