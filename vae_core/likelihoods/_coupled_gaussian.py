"""The Gaussian whose channels are coupled: a full 3 × 3 covariance a pixel, by its regressions of a channel on earlier
ones (Pourahmadi 1999, Joint mean-covariance models, section 2): x_c = μ_c + Σ_j φ_cj (x_j − μ_j) + σ_c ε_c, of which
any numbers φ and any σ > 0 make a covariance, and any covariance is made. Functions of a `Gaussian` and its raw outputs
[..., R]: μ [..., D], φ [..., D] in the order of `_channels.PAIRS`, then what σ has.

A mass is the integral of the joint density over the pixel's bins (see _cube): conditioning on the middles of bins in
their place is off by 0.3 nats a pair at σ = 0.3 bins and a correlation of 0.9.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from vae_core.likelihoods import _cube
from vae_core.likelihoods._base import Layout
from vae_core.likelihoods._box import Box
from vae_core.likelihoods._channels import COLOURS, by_channel, from_channels, moved
from vae_core.likelihoods._parameters import SIGMA, Parameters, as_it_is, positive
from vae_core.likelihoods._raw import location, of_decoder

if TYPE_CHECKING:
    from torch import Tensor

#: σ is at most e^12 of the data's range in masses, at which a bin's is as good as none: beside the narrowest it can be
#: told from what the integral leaves out still. A larger number is refused, and one of the decoder's counts as this
LOG_CEILING = 12.0
#: beyond so many σ a bin has at most 2e-21
_FAR_DEVIATIONS = 9.5
#: of √(c_ii c_jj): so far apart may c_ij and c_ji be, as of rounded ones
_ROUNDED = 1e-5
COEFFICIENTS = "coefficients = raw[..., D : 2 * D]  # three a pixel, as said below"
BESIDE = (
    "Channels are coupled: green is mean + coefficient (red − its mean) + sigma ε, and blue so with red and green, "
    "sigma being what is left of each; the coefficients of green on red, of blue on red and of blue on green are in "
    "the places of a pixel's red, green and blue. A covariance=[..., P, 3, 3], one a pixel, stands for sigma and "
    "coefficients, P = H W of shape=(3, H, W)"
)


def refusal_of_sigma(sigma: Any) -> str:
    """Why masses have no such σ, "" where they have: a number, or a word for a learned one."""
    if isinstance(sigma, str) or not sigma > math.exp(LOG_CEILING):
        return ""
    return (
        f"sigma={float(sigma):.6g} is above {math.exp(LOG_CEILING):.6g} (e^12) of the data's range, the most that the "
        "masses of coupled channels take: give one below"
    )


class Parts(NamedTuple):
    """Of raw outputs, by channel: μ and φ [..., C, P], ln σ broadcastable against them."""

    mean: Tensor
    coefficients: Tensor
    log_scale: Tensor


def outputs(lik: Any, dims: int) -> int:
    each: int = lik.scale.outputs(dims) + dims
    return each


def own(lik: Any, raw: Tensor) -> tuple[Tensor, Tensor]:
    """Raw outputs as a Gaussian without coupling has them, and φ [..., D]."""
    dims = math.prod(lik.shape) if lik.shape is not None else 0
    by_channel(lik, raw[..., :dims])  # which says what is missing
    return torch.cat([raw[..., :dims], raw[..., 2 * dims :]], -1), raw[..., dims : 2 * dims]


def split(lik: Any, raw: Tensor) -> Parts:
    rest, coefficients = own(lik, raw)
    mean, log_scale = lik._split(rest)
    mean, coefficients = by_channel(lik, mean), by_channel(lik, coefficients)
    if log_scale.ndim:
        each = log_scale.shape[-1] == mean.shape[-1] * mean.shape[-2]
        log_scale = by_channel(lik, log_scale) if each else log_scale.unsqueeze(-1)
    return Parts(mean, coefficients, log_scale)


def log_prob(lik: Any, x: Tensor, raw: Tensor) -> Tensor:
    """ln of the joint density: of each channel's about where the earlier ones move it."""
    parts = split(lik, raw)
    constant = 0.5 * math.log(2 * math.pi)
    each: Tensor = -0.5 * (_left(lik, x, parts) * torch.exp(-parts.log_scale)).square() - (parts.log_scale + constant)
    return each.sum((-2, -1))


def _left(lik: Any, x: Tensor, parts: Parts) -> Tensor:
    """σ ε, what the earlier channels leave of each: [..., C, P]."""
    apart = by_channel(lik, x) - parts.mean
    before = list(apart.unbind(-2))
    return torch.stack([before[c] - moved(parts.coefficients, before, c) for c in range(COLOURS)], -2)


def residuals(lik: Any, x: Tensor, raw: Tensor) -> Tensor:
    """What is left of each dimension, [..., D]: of one σ for all the maximum-likelihood one is their root mean square,
    for the density is a product of Gaussians of them (a triangular map of x, whose determinant is 1)."""
    return from_channels(lik, _left(lik, x, split(lik, raw)))


def log_masses(lik: Any, k: Tensor, raw: Tensor, levels: int) -> Tensor:
    """ln P(k_c | the earlier channels' bins) [..., D]."""
    each = torch.broadcast_tensors(*_conditionals(_box(lik, k, raw, levels), range(COLOURS)))
    return from_channels(lik, torch.stack(each, -2)).to(raw.dtype)


def log_masses_of(lik: Any, channel: int, k: Tensor, raw: Tensor, levels: int) -> Tensor:
    """Those of one channel, [..., P]: no box of more dimensions is integrated."""
    (each,) = _conditionals(_box(lik, k, raw, levels), (channel,))
    return each.to(raw.dtype)


def masses_of(lik: Any, channel: int, k: Tensor, raw: Tensor, levels: int) -> Tensor:
    """P of those, 0 without an integral where the bin is so many σ from wherever the earlier bins may move the mean to
    that next to nothing is there."""
    box = _box(lik, k, raw, levels)
    shape = torch.broadcast_shapes(*(each.shape for each in box.tensors().values()))
    flat = box.flat()
    near = (_deviations(flat, channel) < _FAR_DEVIATIONS).nonzero()[:, 0]
    (each,) = _conditionals(flat.at(near), (channel,))
    return torch.zeros_like(flat.low1).index_copy(0, near, each.exp()).reshape(shape).to(raw.dtype)


def _deviations(box: Box, channel: int) -> Tensor:
    """How many σ a channel's bin is at least from its mean, whatever the earlier ones are within their bins."""
    bins = ((box.low1, box.high1), (box.low2, box.high2), (box.low3, box.high3))
    slopes: tuple[Tensor, ...] = ((), (box.a,), (box.b, box.c))[channel]
    ends = [(slope * low, slope * high) for slope, (low, high) in zip(slopes, bins, strict=False)]
    least = sum((torch.minimum(*each) for each in ends), torch.zeros_like(box.low1))
    most = sum((torch.maximum(*each) for each in ends), torch.zeros_like(box.low1))
    low, high = bins[channel]
    apart = torch.maximum(low - most, least - high).clamp(min=0)
    return apart * torch.exp(-(box.log_s1, box.log_s2, box.log_s3)[channel])


def _conditionals(box: Box, wanted: Sequence[int]) -> list[Tensor]:
    """What boxes of one, two and three dimensions have, less each other, of the channels that are wanted: [..., P]."""
    i1, i2, i3 = (torch.exp(-each) for each in (box.log_s1, box.log_s2, box.log_s3))
    found = []
    if 0 in wanted or 1 in wanted:
        red, beyond = _cube.scaled_interval(box.low1 * i1, box.high1 * i1)
    if 0 in wanted:
        found.append(red - 0.5 * beyond.square())
    if 1 in wanted or 2 in wanted:
        pair = {"low3": box.low2, "high3": box.high2, "log_s3": box.log_s2, "b": box.a}
        none = dict.fromkeys(("low2", "high2", "log_s2", "a", "c", "zero2"), torch.zeros_like(box.low1))
        two = _cube.masses(replace(box, **pair, **none, two=True))
    # of squares that are large and nearly equal the difference is taken first
    if 1 in wanted:
        nearest = torch.minimum(torch.maximum(torch.zeros_like(box.low1), box.low1), box.high1)
        apart = (two.u - nearest) * (two.u + nearest) * i1.square()
        found.append(two.over_peak - red - 0.5 * (apart + (two.rest3 * i2).square()))
    if 2 in wanted:
        three = _cube.masses(box)
        blue = three.over_peak - two.over_peak - 0.5 * (three.rest3 * i3).square()
        moved_on = (three.v - two.w) - box.a * (three.u - two.u)
        blue = blue - 0.5 * (three.u - two.u) * (three.u + two.u) * i1.square()
        found.append(blue - 0.5 * moved_on * (three.rest2 + two.rest3) * i2.square())
    return found


def sum_log_masses(lik: Any, k: Tensor, raw: Tensor, levels: int) -> Tensor:
    return _cube.log_masses(_box(lik, k, raw, levels), raw.dtype).sum(-1).to(raw.dtype)


def _box(lik: Any, k: Tensor, raw: Tensor, levels: int) -> Box:
    """The bins of a pixel less their means, in bins, [..., P] each."""
    mean, coefficients, log_scale = split(lik, raw)
    k = by_channel(lik, k).double()
    place = levels * mean.double()
    low, zero = k - place, place.detach() - place
    high = low + 1
    beyond = low.new_full((), _cube.BEYOND)
    low = torch.where(k == 0, -beyond, low)
    high = torch.where(k == levels - 1, beyond, high)
    log_s = log_scale.double().clamp(max=LOG_CEILING) + math.log(levels)
    low1, low2, low3 = low.unbind(-2)
    high1, high2, high3 = high.unbind(-2)
    s1, s2, s3 = log_s.expand(torch.broadcast_shapes(log_s.shape, mean.shape)).unbind(-2)
    a, b, c = coefficients.double().unbind(-2)
    zeros = zero[..., 0, :], zero[..., 1, :]
    return Box(low1, high1, low2, high2, low3, high3, s1, s2, s3, a, b, c, *zeros)


def sample(lik: Any, raw: Tensor, generator: torch.Generator | None) -> Tensor:
    """One channel after the other."""
    mean, coefficients, log_scale = split(lik, raw)
    noise = torch.exp(log_scale) * torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
    apart: list[Tensor] = []
    for channel in range(COLOURS):
        apart.append(noise[..., channel, :] + moved(coefficients, apart, channel))
    return from_channels(lik, mean + torch.stack(apart, -2))


def layout(lik: Any) -> Layout:
    said = location("μ, in units of the data's range", lik.link)
    said = said + Layout((COEFFICIENTS,), (("coefficients",),), (BESIDE,))
    scale = lik.scale
    if not scale.per:
        return said + Layout(beside=(f"sigma is {scale.said}, no raw output: set by {scale.way}",))
    return said + of_decoder(scale.per, scale.floor, scale.sharpness, start="2 * D")


def raw(lik: Any, parameters: dict[str, Any], mean_of: Any) -> Tensor:
    """Raw outputs of `mean`, `coefficients` and σ, or of `mean` and `covariance`. Raises ValueError as `Gaussian.raw`
    does, and for a covariance that is none, or that a σ which is no number a dimension cannot have."""
    given = Parameters(lik.name, parameters)
    mean = given.need(mean=mean_of)
    covariance = given.one({"covariance": as_it_is}, needed=False)
    if covariance is None:
        coefficients, log_sigma = given.need(coefficients=as_it_is), given.one(SIGMA, needed=False)
        given.done()
    else:
        given.done()
        if lik.scale.mode != "pixel":
            raise ValueError(
                "a covariance gives each channel of each pixel a σ of its own, and here σ is "
                f"{lik.scale.said}: take sigma='pixel', or give coefficients in its place"
            )
        coefficients, log_sigma = _regressions(lik, covariance)
    if log_sigma is not None and (why := refusal_of_sigma(math.exp(min(float(log_sigma.max()), 700.0)))):
        raise ValueError(why)
    joined: Tensor = lik.scale.join(mean, log_sigma)
    dims = mean.shape[-1] if lik.shape is None else math.prod(lik.shape)
    wide = torch.broadcast_shapes(joined.shape[:-1], coefficients.shape[:-1])
    if coefficients.shape[-1] not in (1, dims):
        raise ValueError(f"coefficients are a number or [..., {dims}], not {list(coefficients.shape)}")
    joined, coefficients = joined.expand(*wide, -1), coefficients.expand(*wide, dims)
    return torch.cat([joined[..., :dims], coefficients, joined[..., dims:]], -1)


def _regressions(lik: Any, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """φ and ln σ, [..., D], of covariances [..., P, 3, 3]. Raises ValueError where they are none."""
    if covariance.ndim < 3 or covariance.shape[-2:] != (COLOURS, COLOURS):
        raise ValueError(f"covariance is [..., P, 3, 3], one a pixel, not {list(covariance.shape)}")
    factor, info = torch.linalg.cholesky_ex(covariance)
    apart = (covariance - covariance.mT).abs()
    size = torch.sqrt(covariance.diagonal(dim1=-2, dim2=-1).clamp(min=0))
    if bool(info.any()) or bool((apart > _ROUNDED * size.unsqueeze(-1) * size.unsqueeze(-2)).any()):
        raise ValueError("covariance must be symmetric and positive definite, and some are not")
    sigma = factor.diagonal(dim1=-2, dim2=-1)
    of_two = factor[..., 2, 1] / sigma[..., 1]
    of_one = factor[..., 1, 0] / sigma[..., 0]
    of_three = (factor[..., 2, 0] - of_two * factor[..., 1, 0]) / sigma[..., 0]
    coefficients = torch.stack([of_one, of_three, of_two], -2)
    return from_channels(lik, coefficients), from_channels(lik, positive("covariance")(sigma.mT))
