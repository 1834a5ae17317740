"""The pictures that scikit-learn brings along, read from its files: to import `sklearn.datasets` takes 1.2 s of a core,
in each worker of a run, which needs nothing else of it. Where a file is not where it is in 1.9, or is not what it is
there, scikit-learn itself is asked."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

DIGITS = (1797, 8, 8)


def digits() -> np.ndarray:
    """[1797, 8, 8] uint8, 0 to 16: `sklearn.datasets.load_digits().images`."""
    path = _datasets() / "data" / "digits.csv.gz"
    if path.is_file():
        table = np.loadtxt(path, delimiter=",", dtype=np.uint8)  # the last column is which digit it is
        if table.shape == (DIGITS[0], DIGITS[1] * DIGITS[2] + 1):
            return np.ascontiguousarray(table[:, :-1]).reshape(DIGITS)
    from sklearn.datasets import load_digits

    return load_digits().images.astype(np.uint8)


def photographs() -> list[np.ndarray]:
    """Of a temple and of a flower, [427, 640, 3] uint8: `sklearn.datasets.load_sample_images().images`."""
    from PIL import Image

    paths = [_datasets() / "images" / f"{name}.jpg" for name in ("china", "flower")]
    if all(path.is_file() for path in paths):
        return [np.asarray(Image.open(path)) for path in paths]
    from sklearn.datasets import load_sample_images

    return list(load_sample_images().images)


def _datasets() -> Path:
    """Its folder of data sets, found without importing it."""
    found = importlib.util.find_spec("sklearn")
    return Path((found and found.origin) or "").parent / "datasets"
