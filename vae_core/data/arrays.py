"""An array of a user's as images: what is taken, and the exact formula that makes it so where it is not.

A formula is given only where it destroys nothing: it was tried on the values that are there, and keeps apart what is
apart. In it `x` is the array and `numpy` is numpy; what it gives is saved in place of x.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from vae_core.data.dataset import MOST_LEVELS, DataError, Remark
from vae_core.data.lattice import Levels, mend

FEWEST_IMAGES = 10  # below this a sixth is one picture, and no standard error can be had from it
STEPS = (*range(1, 257), 511, 512, 1023, 1024, 2047, 2048, 4095, 4096, 8191, 16383, 32767, 65535, 65536)
POWERS = tuple(2**bits for bits in range(1, 17))
OFF = 0.02  # of a step, at most, by which floats may lie beside their lattice; numbers of four digits do, at 255
WIDEST_LABEL = 100  # more classes than that are no labels


def as_images(name: str, x: np.ndarray) -> tuple[np.ndarray, list[Remark]]:
    """`x` as integers or bools [N, H, W] or [N, H, W, 3], enough of them to split, and what is doubtful about that.

    Raises DataError, one sentence with the formula where there is one.
    """
    if x.dtype.kind == "f" and x.ndim and x.size:
        raise DataError(f"{name} holds {x.dtype} values{_floats(name, x)}.")
    if x.dtype.kind not in "iubf":
        raise DataError(f"{name} holds {x.dtype} values, but images must be integers 0…K−1{_other_kinds(x)}.")
    if remedy := _shape(x):
        raise DataError(f"{name} has shape {list(x.shape)}, {remedy}.")
    if len(x) < FEWEST_IMAGES:
        count = {0: "no images", 1: "1 image"}.get(len(x), f"{len(x)} images")
        raise DataError(
            f"{name} holds {count}, but at least {FEWEST_IMAGES} are needed to cut training, validation and test from."
        )
    if x.ndim == 2:
        remarks = list(_flat(name, x))
        side = math.isqrt(x.shape[1])
        return (x.reshape(-1, side, side) if side**2 == x.shape[1] else x[:, None, :]), remarks
    return (x[..., 0] if x.ndim == 4 and x.shape[3] == 1 else x), []


# ---------------------------------------------------------------- shapes


def _shape(x: np.ndarray) -> str:
    """What is wrong with the shape, and the formula; '' where nothing is."""
    known = "but images must be [N, H, W], [N, H, W, 1 or 3] or [N, D]"
    if x.ndim == 0 or (len(x) and not x.size):
        return f"{known}: give images that have pixels"
    if x.ndim == 1:
        return f"{known}: x[:, None] has images of one number each"
    if x.ndim == 2 and x.shape[0] == x.shape[1] >= FEWEST_IMAGES:
        return (
            f"which is one picture, or {len(x)} images of {len(x)} numbers: give at least {FEWEST_IMAGES} pictures "
            "[N, H, W], or say the other by x[:, None, :]"
        )
    if x.ndim == 3 and x.shape[2] == 3 and x.shape[1] >= 16:
        return (
            f"which is one picture in colour, or {len(x)} grey ones that are 3 wide: give at least {FEWEST_IMAGES} "
            "pictures [N, H, W, 3], or say the other by x[..., None]"
        )
    if x.ndim == 4 and x.shape[3] not in (1, 3):
        return f"{known}: {_channels(x)}"
    if x.ndim > 4:
        last = "" if x.shape[-1] in (1, 3) else ", None"
        kept = 3 if not last else 2
        return f"{known}: x.reshape(-1, *x.shape[-{kept}:]) has {math.prod(x.shape[:-kept])} images"
    return ""


def _channels(x: np.ndarray) -> str:
    first, last = x.shape[1], x.shape[3]
    if first in (1, 3):
        return "x.transpose(0, 2, 3, 1) has the channel last"
    for channels, axis, kept in ((last, 3, "x[..., :{}]"), (first, 1, "x[:, :{}].transpose(0, 2, 3, 1)")):
        if channels in (2, 4):
            alpha = np.take(x, channels - 1, axis)
            if alpha.min() == alpha.max():
                return f"{kept.format(channels - 1)} leaves out the last channel, which is {alpha.min()} everywhere"
    return "x.reshape(len(x), -1) has every number of an image in a row"


def _flat(name: str, x: np.ndarray) -> Iterator[Remark]:
    """What is doubtful about images in rows [N, D]. Raises DataError where one number of each is a label."""
    dims = x.shape[1]
    if dims > 4 and (size := _pictured(dims - 1)):
        rows = "if all of them belong to the images, x[:, None, :] says so"
        for column, rest in ((0, "x[:, 1:]"), (dims - 1, "x[:, :-1]")):
            if _is_label(x[:, column], np.delete(x, column, 1)):
                place = "first" if column == 0 else "last"
                raise DataError(
                    f"{name} has rows of {dims} numbers, {size} and one, of which the {place} looks like a label "
                    f"({x[:, column].min()}…{x[:, column].max()}): {rest} leaves it out; {rows}."
                )
        yield Remark(
            "shape",
            f"rows of {dims} numbers are {size} and one: where the first or the last is a label, save x[:, 1:] or "
            f"x[:, :-1]; {rows}",
        )
    elif math.isqrt(dims) ** 2 != dims and (size := _pictured(dims)):
        side = math.isqrt(dims // 3)
        yield Remark(
            "shape",
            f"rows of {dims} numbers are {size}: if these are pictures, save x.reshape(-1, {side}, {side}, 3), or, "
            f"with the channel first, x.reshape(-1, 3, {side}, {side}).transpose(0, 2, 3, 1)",
        )


def _pictured(dims: int) -> str:
    """`28 × 28`, `32 × 32 × 3`; '' where so many numbers are no square picture."""
    side, coloured = math.isqrt(dims), math.isqrt(dims // 3)
    if side > 1 and side**2 == dims:
        return f"{side} × {side}"
    return f"{coloured} × {coloured} × 3" if coloured > 1 and 3 * coloured**2 == dims else ""


def _is_label(column: np.ndarray, rest: np.ndarray) -> bool:
    """Whether a column counts classes 0, 1, 2, … or 1, 2, 3, …, each of some images, as pixels beside it do not."""
    values, counts = np.unique(column.astype(np.int64), return_counts=True)
    if not 2 <= len(values) <= WIDEST_LABEL or values[0] not in (0, 1) or counts.min() < 2:
        return False
    if values[-1] - values[0] != len(values) - 1:
        return False
    pixels = int(rest.max()) - int(rest.min()) + 1
    return pixels >= 1.5 * len(values) or len(values) > pixels


# ---------------------------------------------------------------- floats and other kinds


def _floats(name: str, x: np.ndarray) -> str:
    """Where they lie, and what integers they are. Raises DataError where they are one single value."""
    finite = np.isfinite(x)
    if not finite.all():
        axes = tuple(range(1, x.ndim))
        bad = int((~finite.all(axis=axes)).sum())
        what = " and ".join(
            word for word, found in (("NaN", np.isnan(x)), ("infinite ones", np.isinf(x))) if found.any()
        )
        rest = f"x[numpy.isfinite(x).all(axis={axes})] has the others" if bad < len(x) else "give images without"
        return f", {what} among them, in {bad} of {len(x)} images: {rest}"
    values = _distinct(x)
    if len(values) == 1:
        raise DataError(f"every value of every image of {name} is {values[0]:g}: give images that differ.")
    low, high = float(x.min()), float(x.max())
    where = f" {low:.6g}…{high:.6g}, but images must be integers 0…K−1: "
    if len(values) <= MOST_LEVELS and (found := _formula(values, x)):
        return f"{where}{found}"
    how_many = f"{len(values):,}" if len(values) <= MOST_LEVELS else f"more than {MOST_LEVELS:,}"
    return (
        f"{where}these are {how_many} different numbers on no lattice, real-valued data, which are not scored here, "
        "and rounding them would make other data of them; give the integers that they were made from"
    )


def _distinct(x: np.ndarray) -> np.ndarray:
    """The distinct values, ascending; where they are more than any K, some of them more than that."""
    values: np.ndarray = np.empty(0, x.dtype)
    flat = x.reshape(-1)
    for start in range(0, len(flat), 2**20):
        values = np.union1d(values, flat[start : start + 2**20])
        if len(values) > MOST_LEVELS:
            break
    return values


def _formula(values: np.ndarray, x: np.ndarray) -> str:
    """The integers that floats are, whose distinct values are given, as a formula of the array, with the levels to
    state; '' where none is found that keeps all of them apart."""
    u = values.astype(np.float64)
    eps = float(np.finfo(x.dtype).eps)
    seen = Levels.of(np.searchsorted(values, x))
    whole = bool((u == np.rint(u)).all())
    if whole and u[0] >= 0 and u[-1] < MOST_LEVELS:
        return _saved("x", u, seen, max(2**8, int(u[-1]) + 1))
    for begins, ends, shift, width in ((0, 1, "", 1), (-1, 1, " + 1", 2), (-0.5, 0.5, " + 0.5", 1)):
        if begins <= u[0] and u[-1] <= ends:
            for steps in STEPS:
                k = _on(u, begins, width / steps, eps * steps)
                if k is not None:
                    inner = f"(x{shift})" if shift else "x"
                    levels = steps if steps in POWERS and k[-1] < steps else steps + 1
                    return (
                        _saved(f"({inner} * {steps / width:g}).round()", k, seen, levels)
                        if levels <= MOST_LEVELS
                        else ""
                    )
    if whole and u[-1] - u[0] < MOST_LEVELS:
        return _saved(f"(x {'-' if u[0] > 0 else '+'} {abs(int(u[0]))})", u - u[0], seen, int(u[-1] - u[0]) + 1)
    return _affine(u, eps, seen)


def _affine(u: np.ndarray, eps: float, seen: Levels) -> str:
    """Equally spaced values at any place, as one mean and one deviation for all pixels leave them."""
    smallest = float(np.diff(u).min())
    steps = round((u[-1] - u[0]) / smallest)
    if not 1 <= steps < MOST_LEVELS or len(u) < steps / 4:
        return ""
    step = (u[-1] - u[0]) / steps
    k = _on(u, u[0], step, eps * max(abs(u[0]), abs(u[-1])) / step)
    if k is None:
        return ""
    low = float(u[0])
    shifted = f"x - {low:.9g}" if low > 0 else f"x + {-low:.9g}"
    return _saved(f"(({shifted}) / {step:.9g}).round()", k, seen, steps + 1)


def _on(u: np.ndarray, begins: float, step: float, rounding: float) -> np.ndarray | None:
    """The integers k of values begins + step·k, to their own rounding and that of four digits, each another one; None
    elsewhere."""
    scaled = (u - begins) / step
    k: np.ndarray = np.rint(scaled)
    tolerance = max(OFF if 1 / step <= 1024 else 0.0, rounding)
    if tolerance > 0.3 or np.abs(scaled - k).max() > tolerance or (np.diff(k) < 1).any():
        return None
    return k


def _saved(formula: str, k: np.ndarray, seen: Levels, levels: int) -> str:
    """What to save so that the integers k are taken as so many levels, or as what they are where that is not so."""
    kind = "uint8" if k[-1] < 2**8 else "uint16"
    saved = f'{formula}.astype("{kind}")'
    found = seen.mapped(k.astype(np.int64))
    if found.fits(levels):
        return f"save {saved}" + ("" if (levels, kind) == (2**8, "uint8") else f" and state levels = {levels}")
    remedy = mend(found, levels, "array", saved)
    return remedy if remedy.startswith("save") else f"save {saved} and {remedy}"


def _other_kinds(x: np.ndarray) -> str:
    if x.dtype.kind in "US":
        try:
            whole = x.astype(np.float64)
        except ValueError:
            return ": text is no image"
        if (whole == np.rint(whole)).all():
            return ': x.astype("int64") has the integers that they spell'
        return ': x.astype("float64") has the numbers that they spell'
    if x.dtype.kind == "c":
        return ": x.real has all of them" if not x.imag.any() else ": complex numbers are no grey levels"
    return ": give grey levels"
