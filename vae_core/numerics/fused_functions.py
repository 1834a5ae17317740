"""Parts of a training step as one node of the graph each, with the gradient by hand: for a small network the graph's
many small nodes take longer than its products. And a function whose gradient is given by hand, which `elementwise`
needs of autograd, and imports when it is first used.

Each is differentiable once; a second derivative raises RuntimeError.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from vae_core.numerics.precision import gradients_of_product


def differentiable_once(backward: Callable[..., Any]) -> Callable[..., Any]:
    """For the backward of a function whose gradient has none. Raises RuntimeError where a second derivative is being
    made: torch's own `once_differentiable` leaves it out without a word where the output's gradient is a constant."""

    @functools.wraps(backward)
    def checked(ctx: Any, *gradients: Any) -> Any:
        if torch.is_grad_enabled():  # inside a backward pass: with create_graph alone
            raise RuntimeError("this function is differentiable once: it has no second derivative (create_graph=True)")
        return backward(ctx, *gradients)

    return checked


class GivenGradient(Function):
    """y = value(x, *others), with gradient(dy, y, x, *others) in x and none in the others."""

    @staticmethod
    def forward(ctx: Any, value: Callable[..., Tensor], gradient: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        y = value(*tensors)
        ctx.gradient = gradient
        ctx.save_for_backward(y, *tensors)
        return y

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        y, *tensors = ctx.saved_tensors
        return None, None, ctx.gradient(dy, y, *tensors), *[None] * (len(tensors) - 1)


class Sample(Function):
    """encoded [..., 2 Z] (mean, ln variance), eps [..., L, Z] -> z [..., L, Z] as `Posterior.sample`, and
    KL(q ‖ N(0, I)) [...] as `Posterior.kl`; no gradient flows into eps."""

    @staticmethod
    def forward(ctx: Any, encoded: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = encoded.chunk(2, dim=-1)
        deviation = torch.mul(log_variance, 0.5).exp_()
        z = torch.addcmul(mean.unsqueeze(-2), deviation.unsqueeze(-2), eps)
        twice = torch.mul(mean, mean).addcmul_(deviation, deviation).sub_(log_variance).sum(-1)
        ctx.save_for_backward(mean, deviation, eps)
        return z, twice.sub_(mean.shape[-1]).mul_(0.5)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, dz: Tensor, dkl: Tensor) -> tuple[Tensor, None]:
        mean, deviation, eps = ctx.saved_tensors
        each = dkl.unsqueeze(-1)
        gradient = mean.new_empty((*mean.shape[:-1], 2 * mean.shape[-1]))
        of_mean, of_log_variance = gradient.chunk(2, dim=-1)
        torch.addcmul(_over_samples(dz), mean, each, out=of_mean)
        # ½ σ (Σ_l dz ε + dkl σ) − ½ dkl
        pull = torch.addcmul(_over_samples(dz * eps), deviation, each)
        torch.addcmul(each, deviation, pull, value=-1, out=of_log_variance).mul_(-0.5)
        return gradient, None


def _over_samples(each: Tensor) -> Tensor:
    """Σ over L: [..., L, Z] -> [..., Z]."""
    return each.squeeze(-2) if each.shape[-2] == 1 else each.sum(-2)


class WeightedSum(Function):
    """Σ weight · value, two tensors of one shape: []; no gradient flows into weight.

    For `value.backward(weight)`, which has torch import sympy (half a second a process, torch 2.14).
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return torch.dot(value.reshape(-1), weight.reshape(-1))

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        return gradient * weight, None


class TanhLayer(Function):
    """tanh(bias + x · weight) on a CPU: bias [M, 1, out], x [M, B, in], weight [M, in, out] -> [M, B, out]."""

    @staticmethod
    def forward(ctx: Any, bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        y = _tanh_layer(bias, x, weight)
        ctx.save_for_backward(x, weight, y)
        return y

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, y = ctx.saved_tensors
        return gradients_of_product(ctx.needs_input_grad, torch.ops.aten.tanh_backward(dy, y), x, weight)


def tanh_layer(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """`TanhLayer`, without a node where no gradient is wanted."""
    if not torch.is_grad_enabled():
        return _tanh_layer(bias, x, weight)
    outputs: Tensor = TanhLayer.apply(bias, x, weight)
    return outputs


def _tanh_layer(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """2 σ(2 (bias + x · weight)) − 1, in one piece of memory."""
    y = torch.baddbmm(bias, x, weight, beta=2, alpha=2).sigmoid_()
    return torch.add(y.new_full((), -1), y, alpha=2, out=y)
