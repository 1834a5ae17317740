"""What is refused at a likelihood's door, each with a sentence: shapes that do not fit, and values that it has no
probability for. Values are looked at in eager mode alone.

What is right costs as little as can be: the sum of raw outputs tells that no NaN is among them, and so on; only what
such a number makes suspicious is looked at closely. It is one file, for it is one door: the sentences are most of it.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods import _layout
from vae_core.numerics.visible import readable

if TYPE_CHECKING:
    from torch import Tensor


def tensors(lik: Any, *given: Any) -> None:
    """Raises TypeError for what is no tensor, ValueError for raw outputs, the last of them, that are no real floats."""
    for one in given:
        if not isinstance(one, torch.Tensor):
            raise TypeError(_no_tensor(lik, one))
        if one.is_complex():
            raise ValueError(f"{lik.name} takes real numbers, not {one.dtype}")
        if one.layout is not torch.strided:
            raise ValueError(f"{lik.name} takes dense tensors, not {one.layout}: to_dense() makes one")
    raw = given[-1]
    if not raw.is_floating_point():
        swapped = len(given) > 1 and given[0].is_floating_point()
        raise ValueError(
            f"raw outputs are {raw.dtype}, but floats are needed: what the decoder's last linear layer gives"
            + (" (data come first, then raw outputs)" if swapped else "")
        )
    if given[0].device != raw.device:
        raise ValueError(f"data are on {given[0].device} and raw outputs on {raw.device}: move one of them")


def _no_tensor(lik: Any, one: Any) -> str:
    if isinstance(one, list | tuple) and any(isinstance(part, torch.Tensor) for part in one):
        return (
            f"{lik.name} takes one tensor of data and one of raw outputs, not a {type(one).__name__} of tensors: raw() "
            "makes raw outputs of parameters"
        )
    return f"{lik.name} takes torch tensors, not {type(one).__name__}: torch.as_tensor makes one"


# -- shapes ------------------------------------------------------------------------------------------------------------


def shapes(lik: Any, data: Tensor | None, raw: Tensor) -> None:
    """Raises ValueError unless raw [..., R] is as wide as data [..., D] ask for, with leading axes that broadcast: data
    have no more of them than raw, and where they have fewer they add no combinations to raw's own."""
    if raw.ndim == 0 or (data is not None and data.ndim == 0):
        raise ValueError(f"{lik.name} takes data [..., D] and raw outputs [..., R], not a lone number")
    if lik.models is not None and (raw.ndim < 2 or raw.shape[0] != lik.models):
        raise ValueError(f"a stack of {lik.models} takes raw outputs [{lik.models}, ..., R], not {list(raw.shape)}")
    if data is None:
        _require_some_width(lik, raw)
        return
    dims, before, behind = data.shape[-1], data.shape[:-1], raw.shape[:-1]
    if lik.shape is not None and dims != math.prod(lik.shape):
        raise ValueError(
            f"data {list(data.shape)} are not of the shape told, {_layout.said(lik.shape)}: "
            f"{_channels_last('x', data, lik.shape) or _way(lik, data, raw) or 'give [..., C, H, W] or [..., D]'}"
        )
    # one raw output may stand for all images: [R] against [N, D]
    if data.ndim > raw.ndim and data.ndim > 2:
        raise ValueError(
            f"data {list(data.shape)} have more axes than raw outputs {list(raw.shape)}, whose last is R: "
            + (_way(lik, data, raw) or _flattened(lik, data))
        )
    if raw.shape[-1] != lik.outputs(dims):
        way = _channels_last_raw(lik, raw) or _way(lik, data, raw) or (_flattened(lik, data) if data.ndim > 2 else "")
        raise ValueError(_width(lik, raw, dims) + (f": {way}" if way else ""))
    together = _broadcast(before, behind)
    if together is None:
        way = _way(lik, data, raw) or "each image needs raw outputs of its own, or one raw output for all"
        raise ValueError(
            f"data {list(data.shape)} and raw outputs {list(raw.shape)} do not broadcast before their last axis: {way}"
        )
    if 1 < data.ndim < raw.ndim and together != tuple(behind):
        pairs = "unsqueeze(0)" if raw.ndim == data.ndim + 1 else f"expand({'1, ' * (raw.ndim - data.ndim)}*x.shape)"
        way = _way(lik, data, raw)
        raise ValueError(
            f"data {list(data.shape)} against raw outputs {list(raw.shape)} would be scores of all pairs, "
            f"{list(together)}: {way + '; ' if way else ''}where all pairs are meant, x.{pairs}"
        )


def _broadcast(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...] | None:
    """The shape of both, aligned at their ends; None where there is none."""
    apart = len(one) - len(other)
    first, second = (1,) * -apart + tuple(one), (1,) * apart + tuple(other)
    for a, b in zip(first, second, strict=True):
        if a != b and a != 1 and b != 1:
            return None
    return tuple(b if a == 1 else a for a, b in zip(first, second, strict=True))


def _require_some_width(lik: Any, raw: Tensor) -> None:
    """Raises ValueError where raw [..., R] is of no number of dimensions, or not of the shape told."""
    width, empty, one = raw.shape[-1], lik.outputs(0), lik.outputs(1)
    if lik.shape is not None:
        dims = math.prod(lik.shape)
    elif one > empty:
        dims = max(0, (width - empty) // (one - empty))
    else:
        return  # a width that no data's number of dimensions tells
    if width != lik.outputs(dims):
        way = _channels_last_raw(lik, raw)
        raise ValueError(_width(lik, raw, dims) + (f": {way}" if way else ""))


def _width(lik: Any, raw: Tensor, dims: int) -> str:
    planes = ""
    if lik.shape is not None:
        channels, rows, columns = lik.shape
        planes = f", or planes [..., {lik.outputs(channels)}, {rows}, {columns}]"
    return (
        f"raw outputs {list(raw.shape)} end in {raw.shape[-1]}, but {lik.name} needs R = {lik.outputs(dims)} for "
        f"D = {dims} (outputs(D)){planes}"
    )


def _way(lik: Any, data: Tensor, raw: Tensor) -> str:
    """What to do with data so that they fit raw outputs, "" where that is not seen."""
    behind = tuple(raw.shape[:-1])
    for axes in range(1, data.ndim + 1):
        dims = math.prod(data.shape[data.ndim - axes :])
        before = tuple(data.shape[: data.ndim - axes])
        if lik.outputs(dims) != raw.shape[-1] or (lik.shape is not None and dims != math.prod(lik.shape)):
            continue
        flat = f"flatten pictures, x.flatten({-axes})" if axes > 1 else ""
        missing = len(behind) - len(before)
        if missing >= 0 and _broadcast(before + (1,) * missing, behind) == behind:
            if not missing:
                return flat
            more = ".unsqueeze(-2)" * missing
            return f"{flat or 'x'}{more}, for the several raw outputs of an image"
    if data.ndim > 2 and raw.ndim > 2 and raw.shape[-2:] == data.shape[-2:]:
        picture = tuple(data.shape[-3:])
        if lik.shape is None and raw.shape[-3] == lik.outputs(picture[0]):
            return f"make it with shape={picture}, which takes pictures"
    return ""


def _flattened(lik: Any, data: Tensor) -> str:
    """What pictures are without a way to fit raw outputs of a wrong width."""
    dims = math.prod(data.shape[1:])
    return f"pictures are given flat, x.flatten(1), and then need R = {lik.outputs(dims)} for D = {dims}"


def _channels_last(name: str, given: Tensor, shape: tuple[int, ...]) -> str:
    channels, *sides = shape
    if given.ndim < 3 or tuple(given.shape[-3:]) != (*sides, channels):
        return ""
    return f"channels come before rows and columns, {name}.movedim(-1, -3)"


def _channels_last_raw(lik: Any, raw: Tensor) -> str:
    if lik.shape is None:
        return ""
    channels, *sides = lik.shape
    return _channels_last("raw", raw, (lik.outputs(channels), *sides))


# -- values ------------------------------------------------------------------------------------------------------------


def values(lik: Any, data: Tensor | None, raw: Tensor, levels: object, unit: bool) -> None:
    """Raises ValueError for data outside of what the likelihood has a probability for, and for NaN.

    levels: K where data are integers 0…K−1; unit: whether they are dequantised, in whatever view the family has.
    """
    if levels is not None:
        require_levels(levels)
    floats = unit or (levels is None and lik.view in ("unit", "real", "grey"))
    if data is not None and floats and not data.is_floating_point():
        raise ValueError(
            f"data are {data.dtype}: {lik.name} takes floats in view {lik.view!r} here; integers 0..K-1 have a "
            "log_mass(k, raw, levels=K) (and levels=K in vae_core.evaluate.log_likelihood)"
        )
    if not readable(raw):
        return
    # a sum is NaN where one of them is, and costs a twentieth of looking at each
    if math.isnan(float(raw.detach().sum())) and bool((missing := raw.isnan()).any()):
        raise ValueError(f"raw outputs hold NaN (in {int(missing.sum()):,} of {raw.numel():,} numbers)")
    if data is None or not data.numel():
        return
    data = data.detach()
    if unit:
        _require_density_of(lik, data, "dequantised levels (k + u)/K")
    elif levels is not None:
        _require_integers(lik, data, levels)
    elif lik.view == "binary":
        _require_binary(lik, data)
    elif lik.view == "levels":
        _require_own_levels(lik, data)
    elif lik.view == "real":
        _require_density_of(lik, data, "its ends are closed")
    else:
        _require_within(lik, data, f"view {lik.view!r}")


def require_levels(levels: object) -> None:
    """Raises ValueError for a K that is none."""
    if isinstance(levels, int) and not isinstance(levels, bool) and levels > 1:
        return
    if isinstance(levels, bool) or not isinstance(levels, numbers.Integral) or int(levels) < 2:
        raise ValueError(
            f"levels={levels!r} is no number of levels: give an integer of 2 or more (8-bit images have 256)"
        )


def _range(data: Tensor) -> tuple[float, float]:
    """Raises ValueError for NaN. (`aminmax` takes twice the time of both.)"""
    if data.dtype in (torch.bool, torch.uint16, torch.uint32, torch.uint64):  # of these torch finds no smallest one
        data = data.long()
    low, high = float(data.amin()), float(data.amax())
    if math.isnan(low) or math.isnan(high):
        raise ValueError("data hold NaN: a likelihood of what is missing is none")
    return low, high


def _whole_numbers(data: Tensor) -> bool:
    return not data.is_floating_point() or float(torch.frac(data).abs_().sum()) == 0


def _require_integers(lik: Any, k: Tensor, levels: Any) -> None:
    low, high = _range(k)
    if not _whole_numbers(k):
        raise ValueError(
            f"levels hold numbers that are no integers, within [{low:g}, {high:g}]: {_as_levels(low, high, levels)}"
        )
    if low < 0 or high > levels - 1:
        if lik.view == "binary":
            way = "binarise the data"
        elif low < 0:
            way = "the lowest level is 0"
        elif isinstance(getattr(lik, "levels", None), int) and lik.view == "levels":
            way = f"make {lik.name} with the K that the data have, and give levels=K"
        else:
            way = "give the K that the data have"
        raise ValueError(f"levels lie within [{low:.0f}, {high:.0f}], but levels={levels} are 0..{levels - 1}: {way}")


def _as_levels(low: float, high: float, levels: Any) -> str:
    """How numbers become levels again, by where they lie."""
    if low >= 0 and high <= 1:
        return f"grey values are levels again as (x * {levels - 1}).round().long()"
    if low >= 0 and high < levels:
        return "levels with noise are levels again as x.floor().long()"
    return f"undo what made them of 0..{levels - 1}"


def _require_binary(lik: Any, x: Tensor) -> None:
    # x − x² is 0 at 0 and 1 alone; it is NaN at NaN and ±∞
    if x.is_floating_point() and float(torch.addcmul(x, x, x, value=-1).abs_().sum()) == 0:
        return
    low, high = _range(x)
    if not x.is_floating_point() and low >= 0 and high <= 1:
        return
    if low >= 0 and high <= 1:
        way = (
            "binarise them, (torch.rand_like(x) < x).float(), or take a family of grey values (continuous_bernoulli "
            "for a density, bce_sum for the folk loss)"
        )
    else:
        way = f"binarise the data; {_to_unit(low, high)}"
    raise ValueError(f"{lik.name} is a probability of 0 and 1, given numbers within [{low:g}, {high:g}]: {way}")


def _require_own_levels(lik: Any, k: Tensor) -> None:
    low, high = _range(k)
    known = getattr(lik, "levels", None)
    most = known - 1 if isinstance(known, int) else math.inf
    if not _whole_numbers(k):
        way = _as_levels(low, high, most + 1) if math.isfinite(most) else "give levels"
        raise ValueError(
            f"{lik.name} is a probability of integers 0..K-1, given numbers that are none, within "
            f"[{low:g}, {high:g}]: {way}"
        )
    if low < 0 or high > most:
        way = "make it with levels=K, the number that the data have" if low >= 0 else "the lowest level is 0"
        raise ValueError(f"levels lie within [{low:.0f}, {high:.0f}], but this {lik.name} has 0..{most}: {way}")


def _require_density_of(lik: Any, x: Tensor, words: str) -> None:
    """Raises ValueError where a density that reaches to ±∞ is given what is not finite, another what it has cut off."""
    if not lik.open_ends:
        _require_within(lik, x, words)
    elif not math.isfinite(float(x.sum())):  # finite where all are, but for sums beyond the type's largest number
        low, high = _range(x)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"data hold infinite numbers, for which {lik.name} has no density")


def _require_within(lik: Any, x: Tensor, words: str) -> None:
    low, high = _range(x)
    if low < 0 or high > 1:
        raise ValueError(
            f"data lie within [{low:g}, {high:g}], but {lik.name} takes numbers in [0, 1] here ({words}): "
            + _to_unit(low, high)
        )


def _to_unit(low: float, high: float) -> str:
    """How numbers come into [0, 1], by where they lie."""
    if low > -0.1 and high < 1.1:
        return "x.clamp(0, 1) cuts off what resizing left beyond; (x + 1)/2 undoes a scaling to [-1, 1]"
    if low >= -1 and high <= 1:
        return "(x + 1)/2 undoes a scaling to [-1, 1]"
    if low >= 0 and high <= 255:
        return (
            "x/255 are the grey values of 8-bit images, and dequantised they are x = (k + u)/256, u ~ U[0, 1); "
            "integers k have a log_mass(k, raw, levels=256)"
        )
    return "scale them to [0, 1]; integers k have a log_mass(k, raw, levels=K)"
