"""Convolutions in the precision of a product (vae_core.numerics.precision): what a network's layers are made by is one
choice of the schedule, whether they are products or convolutions.

As there, the backward pass is of the same precision, and nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from vae_core.numerics.precision import PRODUCTS, tf32

if TYPE_CHECKING:
    from torch import Tensor

    from vae_core.numerics.precision import Product


@dataclass(frozen=True)
class Way:
    """How a square kernel goes over maps, or, `transposed`, is laid under them."""

    stride: int = 1
    padding: int = 0
    transposed: bool = False
    output_padding: int = 0

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Stride, padding, dilation, transposed, output padding and groups, as torch takes them."""
        two = [2 * [number] for number in (self.stride, self.padding, 1, self.output_padding)]
        return (*two[:3], self.transposed, two[3], 1)


#: (maps [B, C, H, W], kernels, bias [out], way) -> maps [B, out, H', W'], in the dtype of the bias
Convolution = Callable[["Tensor", "Tensor", "Tensor", Way], "Tensor"]


def _float32(x: Tensor, weight: Tensor, bias: Tensor, way: Way) -> Tensor:
    return torch.convolution(x, weight, bias, *way.arguments)


class _Tf32(torch.autograd.Function):
    """Sets the precision around each convolution alone, as `vae_core.numerics.precision` does around each product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, way: Way) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.way = way
        with tf32():
            return torch.convolution(x, weight, bias, *way.arguments)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        with tf32():
            dx, dweight, dbias = torch.ops.aten.convolution_backward(
                grad, x, weight, [grad.shape[1]], *ctx.way.arguments, list(ctx.needs_input_grad[:3])
            )
        return dx, dweight, dbias, None


def _tf32(x: Tensor, weight: Tensor, bias: Tensor, way: Way) -> Tensor:
    maps: Tensor = _Tf32.apply(x, weight, bias, way)
    return maps


def _bf16(x: Tensor, weight: Tensor, bias: Tensor, way: Way) -> Tensor:
    without = torch.convolution(x.bfloat16(), weight.bfloat16(), None, *way.arguments)
    return without.to(bias.dtype) + bias.view(1, -1, 1, 1)


_WITH: dict[Product, Convolution] = {
    PRODUCTS["float32"]: _float32,
    PRODUCTS["tf32"]: _tf32,
    PRODUCTS["bf16"]: _bf16,
}


def convolution_with(product: Product) -> Convolution:
    """The convolution of the precision that a product of `PRODUCTS` has."""
    return _WITH[product]
