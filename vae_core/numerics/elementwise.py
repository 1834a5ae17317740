"""Elementwise functions that a CPU computes slowly as torch has them, in forms that it computes fast, with gradients.

Measured on one core with AVX-512 and data in cache: `sigmoid` 0.4 ns an element, `exp` 0.8, `log` 1.0, but `tanh` 2.5
and all that goes through log1p or expm1 (softplus, logsigmoid) 9, or 0.5 to 1.0 in a process that is `awake`. Here
these are made of the cheap ones. Values agree with torch's to a few units of rounding of 1 (absolutely, not relatively
near 0; log1p relatively too), gradients likewise. On other devices torch's own kernels do each in one pass, and are
what is called.

Each is differentiable once on a CPU; a second derivative raises RuntimeError.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from vae_core.numerics.visible import transformed, visible

if TYPE_CHECKING:
    from torch import Tensor

_awake = False


def awake() -> None:
    """Once a process: computes a power of some numbers, after which torch's float32 expm1 and log1p, and what is made
    of them, take a tenth of the time on a CPU with AVX-512 (torch 2.14, AMD EPYC: 9.5 ns an element before, 0.7 after,
    the same bits). Why is not known; atan2 does it as well, on 32 numbers or more."""
    global _awake
    if not _awake and not transformed():
        _awake = True
        half = torch.full((64,), 0.5, dtype=torch.float32, device="cpu")
        torch.pow(half, half)


#: factors of [½, 1] whose product float32 holds in full: 2⁻⁶⁴ is far above its smallest normal number, 2⁻¹²⁶
_FACTORS = 64


def tanh(x: Tensor) -> Tensor:
    """tanh x = 2 σ(2x) − 1."""
    if not visible(x):
        return torch.tanh(x)
    return _differentiable(_tanh, _slope_of_tanh, x)


def logsigmoid(x: Tensor) -> Tensor:
    """ln σ(x) = min(x, 0) + ln σ(|x|), whose last σ lies in [½, 1]."""
    if not visible(x):
        return torch.nn.functional.logsigmoid(x)
    return _differentiable(_logsigmoid, _slope_of_logsigmoid, x)


def softplus(x: Tensor) -> Tensor:
    """ln(1 + e^x) = −ln σ(−x). Where x is large torch takes it to be x beyond a threshold; 40 is exact in float64."""
    if not visible(x):
        return torch.nn.functional.softplus(x, threshold=40)
    return -logsigmoid(-x)


def floored(x: Tensor, floor: float, sharpness: float) -> Tensor:
    """floor + ln(1 + e^{s (x − floor)})/s, s = sharpness: x far above the floor, the floor far below."""
    if not visible(x):
        return floor + torch.nn.functional.softplus(x - floor, beta=sharpness, threshold=40)
    return _differentiable(
        functools.partial(_floored, floor, sharpness), functools.partial(_slope_of_floored, floor, sharpness), x
    )


def sum_logsigmoid(x: Tensor) -> Tensor:
    """Σ_d ln σ(x_d): [..., D] -> [...]. On a CPU Σ min(x, 0) + ln Π σ(|x|): one logarithm for up to 64 factors."""
    if not visible(x):
        return torch.nn.functional.logsigmoid(x).sum(-1)
    return _differentiable(_sum_logsigmoid, _slope_of_sum_logsigmoid, x)


def sum_bernoulli_terms(x: Tensor, logits: Tensor) -> Tensor:
    """Σ_d x_d η_d − ln(1 + e^{η_d}) for x [..., D] in [0, 1] and logits η [..., D] of the broadcast shape: -> [...]; no
    gradient flows into x.

    On a CPU by the same product as `sum_logsigmoid`; its gradient in η is x − σ(η).
    """
    if not visible(logits):
        return torch.addcmul(-torch.nn.functional.softplus(logits, threshold=40), x, logits).sum(-1)
    return _differentiable(_sum_bernoulli_terms, _slope_of_sum_bernoulli_terms, logits, x)


def sum_squares(x: Tensor) -> Tensor:
    """Σ_d x_d²: [..., D] -> [...]."""
    if not visible(x):
        return x.square().sum(-1)
    return _differentiable(_sum_squares, _slope_of_sum_squares, x)


def log1p(x: Tensor) -> Tensor:
    """ln(1 + x) for finite x > −1: ln u, u = 1 + x as rounded, with what rounding added, ((u−1) − x)/u, taken off; as
    exact as torch's own, to an ulp or two, near 0 too."""
    if not visible(x):
        return torch.log1p(x)
    return _differentiable(_log1p, _slope_of_log1p, x)


def _differentiable(
    value: Callable[..., Tensor], gradient: Callable[..., Tensor], x: Tensor, *others: Tensor
) -> Tensor:
    if not (x.requires_grad and torch.is_grad_enabled()):
        return value(x, *others)
    from vae_core.numerics.fused_functions import GivenGradient

    result: Tensor = GivenGradient.apply(value, gradient, x, *others)
    return result


# Values, and gradients dy · ∂y/∂x for an output's gradient dy.


def _tanh(x: Tensor) -> Tensor:
    return torch.mul(x, 2).sigmoid_().mul_(2).sub_(1)


def _slope_of_tanh(dy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    slope: Tensor = torch.ops.aten.tanh_backward(dy, y)
    return slope


def _logsigmoid(x: Tensor) -> Tensor:
    return torch.abs(x).sigmoid_().log_().add_(x.clamp(max=0))


def _slope_of_logsigmoid(dy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    return torch.neg(x).sigmoid_().mul_(dy)


def _floored(floor: float, sharpness: float, x: Tensor) -> Tensor:
    beyond = torch.sub(x, floor).abs_().mul_(sharpness).sigmoid_().log_()
    return torch.sub(x.clamp(min=floor), beyond, alpha=1 / sharpness)


def _slope_of_floored(floor: float, sharpness: float, dy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    return torch.sub(x, floor).mul_(sharpness).sigmoid_().mul_(dy)


def _sum_logsigmoid(x: Tensor) -> Tensor:
    return x.clamp(max=0).sum(-1) + _log_of_product(torch.abs(x).sigmoid_())


def _slope_of_sum_logsigmoid(dy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    return torch.neg(x).sigmoid_().mul_(dy.unsqueeze(-1))


def _sum_bernoulli_terms(logits: Tensor, x: Tensor) -> Tensor:
    linear = torch.mul(x, logits).sub_(torch.relu(logits))  # 0 where both are small: nothing large is summed for it
    return linear.sum(-1) + _log_of_product(torch.abs(logits).sigmoid_())


def _slope_of_sum_bernoulli_terms(dy: Tensor, y: Tensor, logits: Tensor, x: Tensor) -> Tensor:
    return torch.sigmoid(logits).sub_(x).mul_(-dy.unsqueeze(-1))


def _sum_squares(x: Tensor) -> Tensor:
    return torch.mul(x, x).sum(-1)


def _slope_of_sum_squares(dy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    return torch.mul(x, (2 * dy).unsqueeze(-1))


def _log1p(x: Tensor) -> Tensor:
    u = 1 + x
    return torch.log(u) - ((u - 1) - x) / u


def _slope_of_log1p(dy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    return dy / (1 + x)


def _log_of_product(factors: Tensor) -> Tensor:
    """ln Π over the last axis of factors in [½, 1]: [..., D] -> [...]."""
    width = factors.shape[-1]
    rest = width % _FACTORS
    if rest == width:
        return factors.prod(-1).log_()
    blocks = factors[..., : width - rest].unflatten(-1, (-1, _FACTORS)).prod(-1).log_().sum(-1)
    return blocks.add_(factors[..., width - rest :].prod(-1).log_()) if rest else blocks
