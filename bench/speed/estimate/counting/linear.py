"""Amounts that are linear in some sizes, from counts at a few of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bench.speed.estimate.counts import Sized
from bench.speed.estimate.tally import Tally

ROUNDING = 1e-7  # of an amount, that a solution leaves where there is none


def solved(points: Sequence[Sequence[float]], tallies: Sequence[Tally]) -> tuple[Tally, ...]:
    """The amounts of each size, where points[i] are the sizes at which tallies[i] was counted: as many points as sizes,
    independent."""
    keys = list(dict.fromkeys(key for tally in tallies for key in tally.amounts))
    values = np.array([[tally[key] for key in keys] for tally in tallies])
    found = np.linalg.solve(np.array(points, dtype=float), values)
    scale = ROUNDING * np.abs(values).max(0, initial=1.0)
    found[np.abs(found) < scale] = 0.0
    return tuple(Tally({key: float(x) for key, x in zip(keys, row, strict=True) if x}) for row in found)


def sized(count: Callable[[int, int], Tally], images: tuple[int, int], each: tuple[int, int]) -> Sized:
    """Of calls with n images and c numbers of each, counted at three pairs."""
    (few, more), (short, long) = images, each
    pairs = [(few, short), (more, short), (few, long)]
    return Sized(*solved([(1, n, n * c) for n, c in pairs], [count(n, c) for n, c in pairs]))


def of_images(count: Callable[[int], Tally], images: tuple[int, int]) -> Sized:
    """Of calls with n images."""
    call, image = solved([(1, n) for n in images], [count(n) for n in images])
    return Sized(call, image)
