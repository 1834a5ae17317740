"""Splits that are the same on every platform, in every version, for ever.

No library's random stream is used, since those may change: images are put in the order of the SHA-256 of
"vae-likelihood-bench/INDEX" (INDEX in decimal), which any language can recompute.
"""

from __future__ import annotations

import functools
import hashlib
from typing import NamedTuple

import numpy as np

SHARE = 6  # validation and test are one sixth each, rounded up: 1797 digits give 1197 / 300 / 300
FEWEST_BLOCKS = SHARE  # so that each split has one at the least, and training more


class Splits(NamedTuple):
    """Indices of the images of each split, int64 [n]; disjoint, together all of 0…N−1."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


@functools.lru_cache(maxsize=8)
def order(count: int) -> np.ndarray:
    """The fixed permutation of 0…count−1, int64 [count]; read-only."""
    keys = [hashlib.sha256(f"vae-likelihood-bench/{index}".encode()).digest() for index in range(count)]
    permutation = np.array(sorted(range(count), key=keys.__getitem__), dtype=np.int64)
    permutation.flags.writeable = False
    return permutation


def three_ways(count: int, block: int = 1) -> Splits:
    """Cuts 0…count−1 into train, valid and test, each in the fixed order.

    Whole blocks of `block` consecutive images go to one split: for video frames, whose neighbours are near-duplicates,
    and for images that share a cause. The first sixth of the blocks in the fixed order is the test split, the second
    the validation split. The images within a split are in the fixed order too, so that its first n are of many blocks.
    """
    blocks = order(-(-count // block))
    share = -(-len(blocks) // SHARE)
    rank = np.empty_like(blocks)
    rank[blocks] = np.arange(len(blocks))
    images = order(count)
    of_image = rank[images // block]
    return Splits(
        train=images[of_image >= 2 * share],
        valid=images[(of_image >= share) & (of_image < 2 * share)],
        test=images[of_image < share],
    )
