"""Whether values may be looked at while something is computed: a choice by what the numbers are is faster where it can
be made, and impossible where there are no numbers yet, or many at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from vae_core.numerics.accelerators import accelerator, at_hand

if TYPE_CHECKING:
    from torch import Tensor


def transformed() -> bool:
    """Whether a program is being made of what is computed, or it is done for many at once: under torch.compile and
    torch.export, in torch.jit.trace and make_fx, inside torch.func's transforms (vmap, grad, jvp, …), and where tensors
    are fakes, without numbers (FakeTensorMode, which counts memory and operations)."""
    if torch.compiler.is_compiling():
        return True
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return True
    if torch._C._len_torch_dispatch_stack() and _in_mode():
        return True
    return bool(torch._C._get_tracing_state())


def _in_mode() -> bool:
    kinds = torch._C._TorchDispatchModeKey
    return any(torch._C._get_dispatch_mode(kind) is not None for kind in (kinds.FAKE, kinds.PROXY))


def readable(tensor: Tensor) -> bool:
    """Whether the tensor's values may be looked at, if need be by waiting for its device."""
    if transformed() or tensor.device.type == "meta":
        return False
    kind = accelerator(tensor.device)
    return kind is None or not kind.capturing()


def visible(tensor: Tensor) -> bool:
    """Whether the tensor's values may decide what is computed, without waiting for a device: on a CPU, in eager
    mode."""
    return at_hand(tensor.device) and not transformed()


def mapped(tensor: Tensor) -> bool:
    """Whether the tensor stands for many inside of torch.func.vmap."""
    return not torch.compiler.is_compiling() and torch._C._functorch.is_batchedtensor(tensor)


@contextmanager
def beneath_gradients() -> Iterator[None]:
    """Inside, what a module remembers may be changed also under torch.func's grad, vjp, jvp and what is made of them,
    where those are innermost. They forbid it for the sake of derivatives; of a value that is `underived` there are
    none."""
    if torch.compiler.is_compiling():
        yield
        return
    functorch: Any = torch._C._functorch
    kinds, left = (functorch.TransformType.Grad, functorch.TransformType.Jvp), []
    try:
        while (innermost := functorch.peek_interpreter_stack()) is not None and innermost.key() in kinds:
            left.append(functorch.pop_dynamic_layer_stack())
        yield
    finally:
        for layer in reversed(left):
            functorch.push_dynamic_layer_stack(layer)


def underived(tensor: Tensor) -> Tensor:
    """The same numbers in the same memory, without what torch.func's transforms know of derivatives."""
    if not torch.compiler.is_compiling():
        while torch._C._functorch.is_gradtrackingtensor(tensor):
            tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def constant(numbers: object, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor of numbers that may be kept: one made under torch.inference_mode could never meet a gradient again."""
    with torch.inference_mode(False):
        return torch.tensor(numbers, dtype=dtype, device=device)
