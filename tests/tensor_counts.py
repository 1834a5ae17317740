"""Counts that carry no noise: operators that torch carries out, and bytes of tensors alive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from bench.speed.tensor_bytes import Bytes

__all__ = ["Bytes", "Operators", "operators", "peak_bytes"]


class Operators(TorchDispatchMode):
    """Operators carried out inside, by name, those of backward passes included: views count, for they take time too."""

    def __init__(self) -> None:
        super().__init__()
        self.by_name: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.by_name[str(func)] += 1
        return func(*args, **(kwargs or {}))


def operators(call: Callable[[], Any]) -> int:
    """How many operators one call carries out."""
    with Operators() as counted:
        call()
    return counted.by_name.total()


def peak_bytes(call: Callable[[], Any]) -> int:
    """The most bytes alive at one time of tensors that one call makes."""
    with Bytes() as counted:
        call()
    return counted.peak
