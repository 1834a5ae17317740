"""What fitting proposals does besides scoring: counted once for each number of latent dimensions, with a score that is
next to nothing; what a score does with its slope is counted for each model."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from bench.speed.estimate.counting.linear import of_images, solved
from bench.speed.estimate.counting.operators import counted
from bench.speed.estimate.counts import Sized
from bench.speed.estimate.tally import Tally
from vae_core.evaluate.conditional import Conditional
from vae_core.evaluate.refine import JUDGES, _directions, _start, _with_gradient, elbo, refine
from vae_core.numerics.accelerators import accelerated
from vae_core.objectives import Posterior

FEW = (2, 3)  # images; one alone is multiplied another way
LOOKED = (2, 4)  # times in a fit
DRAWN_TO_JUDGE = 2 * JUDGES  # z of an ELBO


def draws_of(latent: int) -> int:
    """z at which a look sees an image."""
    return 2 * latent * (math.ceil(8 / latent) if latent > 1 else 1)


def slope_and_value(behind: Conditional, encoder: Posterior, *, whole: bool = False) -> tuple[Sized, Sized]:
    """Of a score at the z of a look: with its slope, and alone. `whole`: of all images at once, where some take more
    than others."""
    draws, latent = draws_of(encoder.mean.shape[-1]), encoder.mean.shape[-1]

    def points(images: int) -> Tensor:
        return encoder.mean[:images].unsqueeze(1).repeat(1, draws, 1).reshape(images, draws, latent)

    def slope(images: int) -> Tally:
        z = points(images)
        return counted(lambda: _with_gradient(behind, z, slice(0, images)))

    def value(images: int) -> Tally:
        z = points(images)
        with torch.enable_grad():
            return counted(lambda: behind(z, slice(0, images)).detach())

    if whole:
        count = len(encoder.mean)
        both = slope(count), value(count)
        sloped, alone = (Sized(one.of_calls(), 1 / count * one.of_elements()) for one in both)
        return sloped, alone
    return of_images(slope, FEW), of_images(value, FEW)


def around(latent: int, dtype: torch.dtype, covariance: str) -> tuple[Tally, Sized, Sized]:
    """Of a fit whose scores are of that type, without them: the directions of a look, a block, a look."""
    return _around(latent, dtype, covariance, accelerated(torch.device("cpu")))


@functools.cache
def _around(latent: int, dtype: torch.dtype, covariance: str, on_gpu: bool) -> tuple[Tally, Sized, Sized]:
    behind, encoder = _next_to_nothing(dtype), _encoder(latent)
    slope, value = slope_and_value(behind, encoder)
    directions = counted(lambda: torch.stack([_directions(latent, 0, step) for step in range(2)])) - counted(
        lambda: torch.stack([_directions(latent, 0, 0)])
    )

    def one(images: int, looks: int) -> Tally:
        some = Posterior(encoder.mean[:images], encoder.log_variance[:images])
        whole = counted(lambda: refine(behind, some, covariance=covariance, steps=looks - 1))
        return whole - looks * directions - (looks - 1) * slope.of(1, images) - value.of(1, images)

    pairs = [(images, looks) for images in FEW for looks in LOOKED]
    block, image, look, each = solved(
        [(1, images, looks - 1, images * (looks - 1)) for images, looks in pairs], [one(*pair) for pair in pairs]
    )
    return directions, Sized(block, image), Sized(look, each)


@functools.cache
def judged(latent: int, dtype: torch.dtype) -> tuple[Tally, Sized]:
    """Of the ELBO of a q, without the scores at its draws, of that type: once, and of a block of images."""

    def judge(images: int, blocks: int) -> Tally:
        few = _encoder(latent, images)
        q, scores = _start(few, slice(None)), torch.zeros(images // blocks, DRAWN_TO_JUDGE, dtype=dtype)
        points = DRAWN_TO_JUDGE * images // blocks
        return counted(lambda: elbo(lambda z, rows: scores, q, few.mean.dtype, points=points))

    pairs = [(2, 1), (4, 1), (4, 2)]
    once, block, image = solved([(1, blocks, n) for n, blocks in pairs], [judge(*pair) for pair in pairs])
    return once, Sized(block, image)


def _encoder(latent: int, images: int = FEW[1]) -> Posterior:
    mean = torch.linspace(-1, 1, images * latent).reshape(images, latent)
    return Posterior(mean, torch.zeros(images, latent))


def _next_to_nothing(dtype: torch.dtype) -> Callable[[Tensor, slice], Tensor]:
    return lambda z, rows: -0.5 * (z * z).sum(-1, dtype=dtype)
