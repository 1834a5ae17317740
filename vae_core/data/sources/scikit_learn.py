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
    if path := _file("data/digits.csv.gz"):
        table = np.loadtxt(path, delimiter=",", dtype=np.uint8)  # the last column is which digit it is
        if table.shape == (DIGITS[0], DIGITS[1] * DIGITS[2] + 1):
            return np.ascontiguousarray(table[:, :-1]).reshape(DIGITS)
    from sklearn.datasets import load_digits

    return load_digits().images.astype(np.uint8)


def photographs() -> list[np.ndarray]:
    """Of a temple and of a flower, [427, 640, 3] uint8: `sklearn.datasets.load_sample_images().images`."""
    from PIL import Image

    china, flower = (_file(f"images/{name}.jpg") for name in ("china", "flower"))
    if china and flower:
        return [np.asarray(Image.open(path)) for path in (china, flower)]
    from sklearn.datasets import load_sample_images

    return list(load_sample_images().images)


def _file(name: str) -> Path | None:
    """One of its data sets, found without importing it; None where it is not there."""
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.origin:
        return None
    path = Path(found.origin).parent / "datasets" / name
    return path if path.is_file() else None
