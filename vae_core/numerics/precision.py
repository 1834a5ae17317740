"""The precision of the networks' matrix products in training: a choice of the schedule, and of nothing else; and that
of fits of proposals, of which no bound depends on whether they are the very best (`for_fits`).

* `float32`: in full.
* `tf32`: by CUDA's tensor cores, which round the factors to 10 bits of mantissa and add in float32.
* `bf16`: factors rounded to bfloat16 (7 bits of mantissa), the result rounded too and taken back to float32.

The products of the backward pass are of the same precision. Parameters, biases, activations, likelihood, KL, all sums
over images, samples and dimensions, and Adam are float32 whatever the choice; so are validation and evaluation.

Nothing here waits for the device or allocates outside its stream, so a captured CUDA graph may hold any of
the products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

#: (bias [M, 1, out], x [M, B, in], weight [M, in, out]) -> bias + x · weight, [M, B, out], in the dtype of the bias
Product = Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]

FULL = ("none", "ieee")  # what torch calls float32 products that are not abridged; the first is its default
TF32_CAPABILITY = (8, 0)  # of CUDA devices, from Ampere on


@contextmanager
def full_float32() -> Iterator[None]:
    """Inside, float32 products and convolutions are done in full, whatever the process has allowed; afterwards as
    before, also after an error. Changes nothing where nothing is abridged."""
    cpu: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    cpu_convolutions: Any = torch.backends.mkldnn.conv  # type: ignore[attr-defined]
    with (
        _set(torch.backends.cuda.matmul, "ieee"),
        _set(cpu, "ieee"),
        _set(cpu_convolutions, "ieee"),
        _cudnn(abridged=False),  # whose convolutions are abridged by default
    ):
        yield


@contextmanager
def tf32() -> Iterator[None]:
    """Inside, float32 products and convolutions on CUDA are done in TF32; afterwards as before, also after an error."""
    with _set(torch.backends.cuda.matmul, "tf32"), _cudnn(abridged=True):
        yield


@contextmanager
def for_fits(device: torch.device) -> Iterator[None]:
    """Inside, products are abridged where the device has such: for a proposal, whose bound holds whatever it is, and is
    computed in full. Elsewhere nothing is changed."""
    with tf32() if _has_tf32(device) else nullcontext():
        yield


def _has_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= TF32_CAPABILITY


@contextmanager
def _cudnn(*, abridged: bool) -> Iterator[None]:
    """Inside, cuDNN's convolutions are done in TF32 or in full. By the older name, which stands for its recurrent
    networks too, and could not be read any more by others if the newer ones alone were written."""
    cudnn: Any = torch.backends.cudnn
    before = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision
    if (before[0] == "tf32") == abridged:
        yield
        return
    cudnn.allow_tf32 = abridged
    try:
        yield
    finally:
        cudnn.allow_tf32 = not abridged
        for kind, precision in zip((cudnn.conv, cudnn.rnn), before, strict=True):
            if kind.fp32_precision != precision:
                kind.fp32_precision = precision


@contextmanager
def _set(backend: Any, wanted: str) -> Iterator[None]:
    # `allow_tf32` and `set_float32_matmul_precision` are older names of the same state; `fp32_precision` can be read
    # after either of them, but reading them after it may raise: so it is written only where it changes something.
    before = backend.fp32_precision
    if before == wanted or (before in FULL and wanted in FULL):
        yield
        return
    backend.fp32_precision = wanted
    try:
        yield
    finally:
        backend.fp32_precision = before


def gradients_of_product(
    wanted: Sequence[bool], grad: Tensor, x: Tensor, weight: Tensor
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Of bias + x · weight in bias, x and weight, each where it is wanted, for the result's gradient [M, B, out]."""
    for_bias, for_x, for_weight = wanted
    return (
        grad.sum(1, keepdim=True) if for_bias else None,
        torch.bmm(grad, weight.mT) if for_x else None,
        torch.bmm(x.mT, grad) if for_weight else None,
    )


class _Tf32Product(torch.autograd.Function):
    """Sets the precision around each product alone: the backward pass runs long after the forward's `with` has ended,
    and what else a step multiplies keeps its own."""

    @staticmethod
    def forward(ctx: Any, bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        with tf32():
            return torch.baddbmm(bias, x, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        with tf32():
            return gradients_of_product(ctx.needs_input_grad, grad, x, weight)


def _tf32_product(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    product: Tensor = _Tf32Product.apply(bias, x, weight)
    return product


def _bf16_product(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    # Casts, not autocast: autocast would go on to the activations, and its cache of cast weights outlives a capture.
    return bias + torch.bmm(x.bfloat16(), weight.bfloat16()).to(bias.dtype)


PRODUCTS: dict[str, Product] = {"float32": torch.baddbmm, "tf32": _tf32_product, "bf16": _bf16_product}


def require_precision(precision: str, device: torch.device | str) -> None:
    """Raises ValueError where the device has no products of one of PRODUCTS."""
    if precision != "tf32":
        return
    kind, of_capability = torch.device(device).type, ""
    if kind == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if capability >= TF32_CAPABILITY:
            return
        of_capability = f" of {'.'.join(map(str, capability))}"
    needed = ".".join(map(str, TF32_CAPABILITY))
    raise ValueError(
        f"precision 'tf32' needs a CUDA device of compute capability {needed} or higher, and this is "
        f"{kind}{of_capability}: take 'float32' or 'bf16'."
    )
