"""Between pictures and the flat tensors that likelihoods compute with.

A likelihood that is told the shape (C, H, W) of its data takes them as [..., C, H, W] besides [..., D], D = C H W in
this order; and what a convolutional decoder gives, [..., P C, H, W], besides [..., R]. Its planes are parameters ×
channels, the parameter slowest: for sigma="pixel" on colour, red, green and blue of μ, then those of ln σ. Laid flat
(`flat_raw`) they are [..., R] as the family reads it; for nearly all families that is `raw.flatten(-3)`, and a family
of another order says so in `from_planes`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def checked_shape(shape: Any) -> tuple[int, ...] | None:
    """(C, H, W) as a tuple, None where none is told. Raises ValueError for anything else."""
    if shape is None:
        return None
    told = tuple(shape) if isinstance(shape, list | tuple) or hasattr(shape, "numel") else ()
    if len(told) != 3 or any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in told):
        raise ValueError(f"shape={shape!r} is no (channels, rows, columns): grey pictures of 28 x 28 are (1, 28, 28)")
    return told


def is_picture(data: Tensor, shape: tuple[int, ...] | None) -> bool:
    """Whether data are [..., C, H, W] of the shape told."""
    return shape is not None and data.ndim >= 3 and tuple(data.shape[-3:]) == shape


def is_raw_picture(lik: Any, raw: Tensor) -> bool:
    """Whether raw outputs are [..., P C, H, W] of the shape told."""
    if lik.shape is None or raw.ndim < 3:
        return False
    channels, *sides = lik.shape
    return tuple(raw.shape[-3:]) == (lik.outputs(channels), *sides)


def flat(data: Tensor, shape: tuple[int, ...] | None) -> Tensor:
    """[..., C, H, W] -> [..., D]; what is flat already stays."""
    return data.flatten(-3) if is_picture(data, shape) else data


def flat_raw(lik: Any, raw: Tensor) -> Tensor:
    """[..., P C, H, W] -> [..., R]; what is flat already stays."""
    return lik.from_planes(raw, lik.shape[0]) if is_raw_picture(lik, raw) else raw


def as_picture(each: Tensor, shape: tuple[int, ...]) -> Tensor:
    """[..., D] -> [..., C, H, W]."""
    return each.unflatten(-1, shape)


def said(shape: tuple[int, ...]) -> str:
    """`1 x 28 x 28 (D = 784)`."""
    return f"{' x '.join(map(str, shape))} (D = {math.prod(shape)})"
