"""ln p(x|z) of given images as a function of z: all that an estimator needs to know of a decoder and a likelihood.

Axes: models M (leading, where there is more than one), images N, samples C, latent Z, raw R. Every estimator of this
folder takes either no leading axis or [M], and treats each (model, image) pair by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vae_core.numerics import progress

Encode = Callable[[Tensor], tuple[Tensor, Tensor]]
Decode = Callable[[Tensor], Tensor]
#: (raw [..., n, C, R], which images [n]) -> ln p(x|z) [..., n, C], nats
Scorer = Callable[[Tensor, slice], Tensor]
#: (z [..., n, C, Z], which images [n]) -> ln p(x|z) [..., n, C], nats; differentiable in z
Conditional = Callable[[Tensor, slice], Tensor]


def conditional(decode: Decode, scorer: Scorer) -> Conditional:
    """The scorer behind the decoder: ln p(x|z) as a function of z [..., n, C, Z] and the slice of the images."""
    return lambda z, rows: scorer(decode(z), rows)


def blocks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover 0…count−1 in order; what is done with each is progress."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
        progress.made()


def spaced(count: int, most: int, device: torch.device | str = "cpu") -> Tensor:
    """Indices of at most `most` of `count` images, at even spacing, [min(count, most)]."""
    some = min(count, most)
    return torch.arange(some, device=device) * count // some
