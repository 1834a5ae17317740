"""Between pictures and the flat tensors that likelihoods compute with.

A likelihood that is told the shape (C, H, W) of its data takes them as [..., C, H, W] besides [..., D], D = C H W in
this order; and what a convolutional decoder gives, [..., outputs(C), H, W], besides [..., R]. Its planes are parameters
× channels, the parameter slowest:

=============== =================== ===================================================== ==========================
family          planes              in words, for red, green and blue (C = 3)             laid flat, [..., R]
=============== =================== ===================================================== ==========================
one parameter   [..., C, H, W]      R, G, B of it                                         raw.flatten(-3)
P parameters    [..., P C, H, W]    of sigma="pixel": μ of R, G, B; ln σ of R, G, B       raw.flatten(-3)
sigma="image"   [..., C + 1, H, W]  μ of R, G, B; a plane whose mean is raw ln σ          [raw[:C].flatten, mean]
categorical     [..., K C, H, W]    level 0 of R, G, B; level 1 of R, G, B; …             level fastest, [..., D K]
=============== =================== ===================================================== ==========================

With unflatten(-3, (K, C)) and K before all pictures' axes, those of a categorical are the logits that
torch.nn.functional.cross_entropy takes. The mean over a plane is what a decoder without fully connected layers has for
one number an image (global average pooling), the same whatever H and W.

There and back: data are x.flatten(-3) and x.unflatten(-1, (C, H, W)); raw outputs are lik.flat_raw(planes), and the
planes of flat ones raw.unflatten(-1, (P C, H, W)), of a categorical raw.unflatten(-1, (C, H, W, K)).movedim(-1, -4)
and then .flatten(-4, -3). (The plane of an image's σ may be anything of the right mean.) `log_masses` comes back as k
was given, `mean` and `sample` as raw outputs were. What ends in (C, H, W) is a picture: of shape (1, 1, W) so is
whatever flat data have two axes of length 1 before their last.
"""

from __future__ import annotations

import math
import numbers
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def checked_shape(shape: Any) -> tuple[int, ...] | None:
    """(C, H, W) as a tuple, None where none is told. Raises ValueError for anything else."""
    if shape is None:
        return None
    told = tuple(shape) if isinstance(shape, list | tuple) else ()
    sizes = [int(size) for size in told if not isinstance(size, bool) and isinstance(size, numbers.Integral)]
    if len(told) != 3 or len(sizes) != 3 or min(sizes) < 1:
        raise ValueError(f"shape={shape!r} is no (channels, rows, columns): grey pictures of 28 x 28 are (1, 28, 28)")
    return tuple(sizes)


def is_picture(data: Tensor, shape: tuple[int, ...] | None) -> bool:
    """Whether data are [..., C, H, W] of the shape told."""
    return shape is not None and data.ndim >= 3 and tuple(data.shape[-3:]) == shape


def is_raw_picture(lik: Any, raw: Tensor) -> bool:
    """Whether raw outputs are planes, [..., outputs(C), H, W], of the shape told."""
    if lik.shape is None or raw.ndim < 3:
        return False
    channels, *sides = lik.shape
    return tuple(raw.shape[-3:]) == (lik.outputs(channels), *sides)


def flat(data: Tensor, shape: tuple[int, ...] | None) -> Tensor:
    """[..., C, H, W] -> [..., D]; what is flat already stays."""
    return data.flatten(-3) if is_picture(data, shape) else data


def flat_raw(lik: Any, raw: Tensor) -> Tensor:
    """[..., outputs(C), H, W] -> [..., R]; what is flat already stays."""
    return lik.from_planes(raw, lik.shape[0]) if is_raw_picture(lik, raw) else raw


def as_picture(each: Tensor, shape: tuple[int, ...]) -> Tensor:
    """[..., D] -> [..., C, H, W]."""
    return each.unflatten(-1, shape)


def said(shape: tuple[int, ...]) -> str:
    """`1 x 28 x 28 (D = 784)`."""
    return f"{' x '.join(map(str, shape))} (D = {math.prod(shape)})"
