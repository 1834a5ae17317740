"""How a likelihood sees integer images: `binary`, `unit`/`real` (dequantised) and `grey`; `levels` is k itself.

Everywhere k is an integer tensor [..., D] with values 0…K−1, K is `levels`, and randomness comes in as `uniform`,
numbers of [0, 1) of a shape that broadcasts with k; a view's result has the floating type of `uniform`.

Every view raises ValueError for K < 2, for a k that is not of an integer type, and, on the CPU, for values outside
0…K−1. On an accelerator the values are not looked at: that would wait for the device at every batch and cannot be
captured in a graph; a `Dataset` was checked when it was made.
"""

from __future__ import annotations

import torch

from vae_core.numerics.accelerators import at_hand


def binarise(k: torch.Tensor, levels: int, uniform: torch.Tensor) -> torch.Tensor:
    """Stochastic binarisation: 1 with probability k/(K−1), else 0 (Salakhutdinov & Murray 2008).

    Exact at the ends: black is never drawn white, nor white black, whatever `uniform` is.
    """
    _require_levels(k, levels)
    return (uniform < k / (levels - 1)).to(uniform.dtype)


def threshold(k: torch.Tensor, levels: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Deterministic binarisation: 1 where k/(K−1) > ½, else 0. The middle level of an odd K becomes 0."""
    _require_levels(k, levels)
    return (k > (levels - 1) // 2).to(dtype or torch.get_default_dtype())


def dequantise(k: torch.Tensor, levels: int, uniform: torch.Tensor) -> torch.Tensor:
    """Uniform dequantisation (k + u)/K (Uria, Murray & Larochelle 2013), always in [0, 1), never 1."""
    _require_levels(k, levels)
    below_one = 1 - torch.finfo(uniform.dtype).eps / 2
    # k + u rounds up to K where k = K − 1 and u is within rounding of 1; there a density on [0, 1) would be −∞
    return ((k + uniform) / levels).clamp_(max=below_one)


def grey(k: torch.Tensor, levels: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Grey values k/(K−1) in [0, 1], both ends reached: what folk recipes feed to their losses."""
    _require_levels(k, levels)
    return k.to(dtype or torch.get_default_dtype()) / (levels - 1)


def _require_levels(k: torch.Tensor, levels: int) -> None:
    if levels < 2:
        raise ValueError(f"levels = {levels}, but an image needs at least 2 levels.")
    if k.is_floating_point() or k.is_complex() or k.dtype == torch.bool:
        raise ValueError(f"images are {k.dtype}, but a view takes integers 0…{levels - 1}: convert them first.")
    if at_hand(k.device) and k.numel():
        low, high = (int(end) for end in torch.aminmax(k))
        if low < 0 or high >= levels:
            raise ValueError(f"images have values {low}…{high}, but {levels} levels allow 0…{levels - 1}.")
