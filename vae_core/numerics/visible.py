"""Whether values may be looked at while something is computed: a choice by what the numbers are is faster where it can
be made, and impossible where there are no numbers yet, or many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def transformed() -> bool:
    """Whether a program is being made of what is computed, or it is done for many at once: under torch.compile and
    torch.export, inside torch.func's transforms (vmap, grad, jvp, …), and while a CUDA graph is captured."""
    if torch.compiler.is_compiling():
        return True
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return True
    return bool(torch._C._get_tracing_state())


def readable(tensor: Tensor) -> bool:
    """Whether the tensor's values may be looked at, if need be by waiting for its device."""
    if transformed() or tensor.device.type == "meta":
        return False
    return not (tensor.is_cuda and torch.cuda.is_current_stream_capturing())


def visible(tensor: Tensor) -> bool:
    """Whether the tensor's values may decide what is computed, without waiting for a device: on a CPU, in eager
    mode."""
    return tensor.device.type == "cpu" and not transformed()


def constant(numbers: object, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor of numbers that may be kept: one made under torch.inference_mode could never meet a gradient again."""
    with torch.inference_mode(False):
        return torch.tensor(numbers, dtype=dtype, device=device)
