"""The channels of a pixel in flat data [..., D]: for families that couple them (`Likelihood.couples_channels`).

Such a family gives ln P(k_c | z, k_0 … k_{c−1}), the channels of one pixel in their order, so that the sum over all
dimensions is the pixel's joint log-probability (Salimans et al. 2017, PixelCNN++, section 2.2, couples means so). Its
`log_masses` are [..., D] as any other's; the laws hold the earlier channels while they sum one over its levels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def by_channel(lik: Any, flat: Tensor) -> Tensor:
    """[..., D] -> [..., C, P], P = rows × columns. Raises ValueError where the likelihood was not told the shape."""
    channels = count(lik)
    each: Tensor = (
        flat.unflatten(-1, (-1, channels)).movedim(-1, -2) if lik.channels_last else flat.unflatten(-1, (channels, -1))
    )
    return each


def from_channels(lik: Any, each: Tensor) -> Tensor:
    """[..., C, P] -> [..., D], the inverse."""
    flat: Tensor = (each.movedim(-2, -1) if lik.channels_last else each).flatten(-2)
    return flat


def count(lik: Any) -> int:
    """C. Raises ValueError where the likelihood was not told the shape."""
    if lik.shape is None:
        raise ValueError(f"{lik.name} couples the channels of a pixel: tell it shape=(channels, rows, columns)")
    channels: int = lik.shape[0]
    return channels


def told(lik: Any, shape: tuple[int, ...]) -> Any:
    """Tells a family that couples channels the shape (H, W) or (H, W, C) of data whose channel is fastest, as a Dataset
    has them; any other is as it was."""
    if lik.couples_channels:
        rows, columns, *channels = (*shape, 1)[:3] if len(shape) >= 2 else (1, math.prod(shape), 1)
        lik.shape, lik.channels_last = (channels[0], rows, columns), True
    return lik
