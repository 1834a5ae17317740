"""A function whose gradient is given by hand: what `elementwise` needs of autograd, imported when it is first used."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


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
