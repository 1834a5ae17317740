"""Other pictures of the same images: their middle, other sizes, grey. Integers in, integers out, in exact arithmetic,
so that they are the same on every machine; levels stay what they were.

    crop      the middle rows and columns; where it cannot be in the middle, half a pixel above and left of it
    resize    every new pixel is the mean of its area of the old ones (a box filter), halves rounded up
    grey      0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), in 65536ths as Pillow's convert("L") has them
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

LUMA = (19595, 38470, 7471)  # 65536ths of red, green and blue
AT_ONCE = 2**22  # values of images that are resized at a time
MOST_PIXELS = 2**14  # of a side
_SIDES = re.compile(r"([1-9]\d{0,5})(?:\s*[x×]\s*([1-9]\d{0,5}))?")


def sides(given: int | str | tuple[int, int]) -> tuple[int, int]:
    """Rows and columns that are meant by 24, "24", "28x20" or (28, 20). Raises ValueError."""
    if isinstance(given, tuple):
        rows, columns = given
    elif match := _SIDES.fullmatch(str(given).strip()):
        rows, columns = int(match[1]), int(match[2] or match[1])
    else:
        raise ValueError(f"{given!r} is no size: give rows and columns as 28x20, or one number of 1 or more for both")
    if not (1 <= rows <= MOST_PIXELS and 1 <= columns <= MOST_PIXELS):
        raise ValueError(f"{rows}x{columns} is no size of a picture: give 1 to {MOST_PIXELS:,} pixels a side")
    return rows, columns


def middle(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """[N, H, W, …] -> [N, rows, columns, …]"""
    top, left = (images.shape[1] - rows) // 2, (images.shape[2] - columns) // 2
    return images[:, top : top + rows, left : left + columns]


def resized(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """[N, H, W, …] -> [N, rows, columns, …] of the same type."""
    size = (len(images), rows, columns, *images.shape[3:])
    new = np.empty(size, images.dtype)
    down, across = (cover(old, now) for old, now in zip(images.shape[1:3], (rows, columns), strict=True))
    area = images.shape[1] * images.shape[2]  # each new pixel has so many shares of old ones
    for some in _some(len(images), max(images[0].size, new[0].size)):
        # whole numbers below 2⁵³ all the way, so that products of floats are exact
        sums = np.einsum("ih,nh...->ni...", down, images[some].astype(np.float64), optimize=True)
        sums = np.einsum("jw,niw...->nij...", across, sums, optimize=True).astype(np.int64)
        new[some] = (2 * sums + area) // (2 * area)
    return new


def cover(old: int, new: int) -> np.ndarray:
    """[new, old]: how many shares of each old pixel, of which it has `new`, lie in each new one, which has `old`."""
    share = np.arange(old * new)
    shares = np.zeros((new, old))
    np.add.at(shares, (share // old, share // new), 1)
    return shares


def grey(images: np.ndarray) -> np.ndarray:
    """[N, H, W, 3] -> [N, H, W] of the same type."""
    luma = np.empty(images.shape[:3], images.dtype)
    for some in _some(len(images), images[0].size):
        luma[some] = (images[some].astype(np.int64) @ np.array(LUMA) + 2**15) >> 16
    return luma


def _some(count: int, values: int) -> Iterator[slice]:
    step = max(1, AT_ONCE // values)
    return (slice(start, start + step) for start in range(0, count, step))
