"""What is refused at a likelihood's door, each with a sentence: shapes that do not fit, and values that it has no
probability for. Values are looked at in eager mode alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods import _layout
from vae_core.numerics.visible import readable

if TYPE_CHECKING:
    from torch import Tensor

#: what to do with numbers that lie outside of [0, 1]
_UNIT = "divide 0..255 by 255 for a recipe; else give integers to log_mass, or dequantise: x = (k + u)/K, u ~ U[0, 1)"


def tensors(lik: Any, *given: Any) -> None:
    """Raises TypeError for what is no tensor, ValueError for raw outputs that are no real floats."""
    for one in given:
        if not isinstance(one, torch.Tensor):
            raise TypeError(f"{lik.name} takes torch tensors, not {type(one).__name__}: torch.as_tensor makes one")
        if one.is_complex():
            raise ValueError(f"{lik.name} takes real numbers, not {one.dtype}")
    if not given[-1].is_floating_point():
        raise ValueError(
            f"raw outputs are {given[-1].dtype}, but floats are needed: what the decoder's last linear layer gives"
        )
    if len({one.device for one in given}) > 1:
        raise ValueError(f"data are on {given[0].device} and raw outputs on {given[1].device}: move one of them")


def shapes(lik: Any, data: Tensor | None, raw: Tensor) -> None:
    """Raises ValueError unless raw [..., R] is as wide as data [..., D] ask for, with leading axes that broadcast, data
    having no more of them than raw."""
    if raw.ndim == 0 or (data is not None and data.ndim == 0):
        raise ValueError(f"{lik.name} takes data [..., D] and raw outputs [..., R], not a lone number")
    if lik.models is not None and (raw.ndim < 2 or raw.shape[0] != lik.models):
        raise ValueError(f"a stack of {lik.models} takes raw outputs [{lik.models}, ..., R], not {list(raw.shape)}")
    if data is None:
        dims = math.prod(lik.shape) if lik.shape else None
        if dims is not None and raw.shape[-1] != lik.outputs(dims):
            raise ValueError(_width(lik, raw, dims))
        return
    dims = data.shape[-1]
    if lik.shape is not None and dims != math.prod(lik.shape):
        raise ValueError(
            f"data {list(data.shape)} are not of the shape told, {_layout.said(lik.shape)}: give [..., C, H, W] or "
            "[..., D]"
        )
    pictures = f": flatten pictures, x.flatten({-max(2, data.ndim - raw.ndim + 1)}), or tell {lik.name} shape=(C, H, W)"
    if raw.ndim > 1 and data.ndim > raw.ndim:
        raise ValueError(
            f"data {list(data.shape)} have more axes than raw outputs {list(raw.shape)}, whose last is R{pictures}"
        )
    if raw.shape[-1] != lik.outputs(dims):
        raise ValueError(_width(lik, raw, dims) + (pictures if data.ndim > 2 else ""))
    try:
        torch.broadcast_shapes(data.shape[:-1], raw.shape[:-1])
    except RuntimeError:
        raise ValueError(
            f"data {list(data.shape)} and raw outputs {list(raw.shape)} do not broadcast before their last axis: "
            "several z an image are raw [B, L, R] against data [B, 1, D]"
        ) from None


def _width(lik: Any, raw: Tensor, dims: int) -> str:
    return (
        f"raw outputs {list(raw.shape)} end in {raw.shape[-1]}, but {lik.name} needs R = {lik.outputs(dims)} for "
        f"D = {dims} (outputs(D))"
    )


def values(lik: Any, data: Tensor | None, raw: Tensor, levels: object, unit: bool) -> None:
    """Raises ValueError for data outside of what the likelihood has a probability for, and for NaN.

    levels: K where data are integers 0…K−1; unit: whether they are dequantised, in whatever view the family has.
    """
    if levels is not None and not unit:
        _require_levels(lik, levels)
    floats = unit or (levels is None and lik.view in ("unit", "real", "grey"))
    if data is not None and floats and not data.is_floating_point():
        raise ValueError(
            f"data are {data.dtype}: {lik.name} takes floats in view {lik.view!r} here; integers 0..K-1 have a "
            "log_mass(k, raw, levels=K) (and levels=K in vae_core.evaluate.log_likelihood)"
        )
    if not readable(raw):
        return
    if raw.isnan().any():
        raise ValueError(f"raw outputs hold NaN (in {int(raw.isnan().sum()):,} of {raw.numel():,} numbers)")
    if data is None or not data.numel():
        return
    low, high = (float(end) for end in data.detach().aminmax()) if data.dtype != torch.bool else (0.0, 1.0)
    if math.isnan(low) or math.isnan(high):
        raise ValueError("data hold NaN: a likelihood of what is missing is none")
    if unit:
        if lik.open_ends:
            _require_finite(lik, low, high)
        else:
            _require_within(lik, low, high, "dequantised levels (k + u)/K")
    elif levels is not None:
        _require_integers(lik, data, low, high, levels)
    else:
        _require_view(lik, data, low, high)


def _require_levels(lik: Any, levels: object) -> None:
    if isinstance(levels, bool) or not isinstance(levels, int) or levels < 2:
        raise ValueError(
            f"levels={levels!r} is no number of levels: give an integer of 2 or more (8-bit images have 256)"
        )


def _require_integers(lik: Any, k: Tensor, low: float, high: float, levels: Any) -> None:
    if k.is_floating_point() and bool((k != k.round()).any()):
        raise ValueError(
            f"levels hold numbers that are no integers, within [{low:g}, {high:g}]: grey values are levels again as "
            f"(x * {levels - 1}).round().long()"
        )
    if low < 0 or high > levels - 1:
        raise ValueError(
            f"levels lie within [{low:g}, {high:g}], but levels={levels} are 0..{levels - 1}: give the K that the data "
            "have"
        )


def _require_view(lik: Any, x: Tensor, low: float, high: float) -> None:
    view = lik.view
    if view == "binary":
        if bool(((x != 0) & (x != 1)).any()):
            raise ValueError(
                f"{lik.name} is a probability of 0 and 1, given numbers within [{low:g}, {high:g}]: binarise the data, "
                "or take a family of grey values (continuous_bernoulli for those in [0, 1], bce_sum for the folk loss)"
            )
    elif view == "levels":
        known = getattr(lik, "levels", None)
        most = known - 1 if isinstance(known, int) else math.inf
        if x.is_floating_point() and bool((x != x.round()).any()):
            raise ValueError(
                f"{lik.name} is a probability of integers 0..K-1, given numbers that are none, within "
                f"[{low:g}, {high:g}]: grey values are levels again as (x * (K - 1)).round()"
            )
        if low < 0 or high > most:
            raise ValueError(
                f"levels lie within [{low:g}, {high:g}], but this {lik.name} has 0..{most}: make it with levels=K, the "
                "number that the data have"
            )
    elif view in ("unit", "grey"):
        _require_within(lik, low, high, f"view {view!r}")
    else:
        _require_finite(lik, low, high)


def _require_finite(lik: Any, low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"data hold infinite numbers, for which {lik.name} has no density")


def _require_within(lik: Any, low: float, high: float, words: str) -> None:
    if low < 0 or high > 1:
        raise ValueError(
            f"data lie within [{low:g}, {high:g}], but {lik.name} takes numbers in [0, 1] here ({words}): {_UNIT}"
        )


def density_of(y: Tensor, levels: object) -> None:
    """Raises ValueError for a K that is none."""
    _require_levels(None, levels)
