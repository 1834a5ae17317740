"""Small images that every test here trains on. (Nothing of the pretended device, which fake tensors cannot stand.)"""

from __future__ import annotations

import numpy as np

from vae_core.data import Dataset


def tiny(levels: int = 5, shape: tuple[int, ...] = (4, 4), train: int = 80, others: int = 20) -> Dataset:
    """A bright bar whose row is the image's hidden cause, plus noise."""
    rng = np.random.default_rng(0)
    count = train + 2 * others
    images = rng.integers(0, max(levels // 3, 1) + 1, size=(count, *shape))
    images[np.arange(count), rng.integers(0, shape[0], size=count)] += levels - 1 - max(levels // 3, 1)
    images = images.astype(np.uint8)
    return Dataset.from_arrays("tiny", levels, images[:train], images[train : train + others], images[train + others :])
