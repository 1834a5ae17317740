"""The channels of a pixel in flat data [..., D]: for families that couple them (`Likelihood.couples_channels`).

Such a family gives ln P(k_c | z, k_0 … k_{c−1}), the channels of one pixel in their order, so that the sum over all
dimensions is the pixel's joint log-probability (Salimans et al. 2017, PixelCNN++, section 2.2, couples means so). Its
`log_masses` are [..., D] as any other's; the laws hold the earlier channels while they sum one over its levels.

The shipped ones couple red, green and blue by three numbers a pixel, one in the place of each channel: how much green
moves with red, blue with red, and blue with green (`moved`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

INDEPENDENT, COUPLED = "independent", "coupled"
COLOURS = 3  #: red, green and blue
#: which channel moves with which earlier one, by the place of the number that says how much
PAIRS = ((1, 0), (2, 0), (2, 1))


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


def at_levels(
    lik: Any, masses_of: Callable[[int, Tensor, Tensor, int], Tensor], some: Tensor, k: Tensor, raw: Tensor, levels: int
) -> Tensor:
    """What `masses_of` gives of a channel, [..., P], for some levels [S] of it while the others are held: k [..., D],
    raw [..., R] -> [..., S, D]."""
    held = by_channel(lik, k.to(some.dtype)).unsqueeze(-3)  # [..., 1, C, P]
    places = torch.arange(count(lik), device=some.device).unsqueeze(-1)
    found = []
    for channel in range(len(places)):
        given = from_channels(lik, torch.where(places == channel, some.reshape(-1, 1, 1), held))
        found.append(masses_of(channel, given, raw.unsqueeze(-2), levels))
    return from_channels(lik, torch.stack(found, -2))


def count(lik: Any) -> int:
    """C. Raises ValueError where the likelihood was not told the shape, or couples other channels than it has."""
    if lik.shape is None:
        raise ValueError(f"{lik.name} couples the channels of a pixel: tell it shape=(channels, rows, columns)")
    channels: int = lik.shape[0]
    if lik.coupled_channels not in (None, channels):
        raise ValueError(_other_channels(lik, channels))
    return channels


def refusal(lik: Any, shape: tuple[int, ...]) -> str:
    """Why a likelihood has no probability for data of the shape (H, W) or (H, W, C), "" where it has."""
    channels = _planes(shape)[0]
    if not lik.couples_channels or lik.coupled_channels in (None, channels):
        return ""
    return _other_channels(lik, channels)


def _other_channels(lik: Any, channels: int) -> str:
    return (
        f"{lik.name} with channels='{lik.channels}' couples red, green and blue, and these data have {channels} "
        f"channel{'s' if channels > 1 else ''}: take channels='{INDEPENDENT}'"
    )


def no_oracle(lik: Any) -> str:
    """Why a likelihood has no distribution of each dimension by itself, "" where it has."""
    if not lik.couples_channels:
        return ""
    return (
        f"{lik.name} with channels='{lik.channels}' has no oracle, a distribution of each dimension alone: hold its "
        "log_masses against your own sum over a pixel's colours, or take channels='independent'"
    )


def told(lik: Any, shape: tuple[int, ...]) -> Any:
    """Tells a family that couples channels the shape (H, W) or (H, W, C) of data whose channel is fastest, as a Dataset
    has them; any other is as it was. Raises ValueError where it couples other channels than these data have."""
    if lik.couples_channels:
        if why := refusal(lik, shape):
            raise ValueError(why)
        lik.shape, lik.channels_last = _planes(shape), True
    return lik


def _planes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(C, H, W) of data of the shape (H, W) or (H, W, C)."""
    rows, columns, *channels = (*shape, 1)[:3] if len(shape) >= 2 else (1, math.prod(shape), 1)
    return channels[0], rows, columns


def checked_channels(channels: Any, allowed: tuple[str, ...]) -> str:
    """The word; raises ValueError for one that is none of those allowed."""
    if channels not in allowed:
        raise ValueError(f"channels={channels!r} is unknown (allowed: {', '.join(allowed)})")
    word: str = channels
    return word


def moved(coefficients: Tensor, before: list[Tensor], channel: int) -> Tensor | float:
    """By how much a channel moves, [..., P], for where the earlier ones of its pixel are, each [..., P]; coefficients
    [..., C, P] in the order of PAIRS. 0 for the first channel, which moves with none."""
    steps = [
        coefficients[..., place, :] * before[earlier]
        for place, (later, earlier) in enumerate(PAIRS)
        if later == channel
    ]
    return sum(steps[1:], steps[0]) if steps else 0.0
