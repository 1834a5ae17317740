"""A function whose gradient is given by hand: what `elementwise` needs of autograd, imported when it is first used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class GivenGradient(Function):
    """y = value(x, *others), with gradient(dy, y, x, *others) in x and none in the others."""

    @staticmethod
    def forward(ctx: Any, value: Callable[..., Tensor], gradient: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        y = value(*tensors)
        ctx.gradient = gradient
        ctx.save_for_backward(y, *tensors)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        y, *tensors = ctx.saved_tensors
        return None, None, ctx.gradient(dy, y, *tensors), *[None] * (len(tensors) - 1)
