"""Counts that carry no noise: operators that torch carries out, and bytes of tensors alive."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Bytes(TorchDispatchMode):
    """The most bytes of tensors alive at one time, of those made inside: counted, not timed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def _freed(self, key: int, size: int) -> None:
        self.now -= size
        self._known.discard(key)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key, size = storage._cdata, storage.nbytes()
                if key not in self._known:
                    self._known.add(key)
                    self.now += size
                    weakref.finalize(storage, self._freed, key, size)
        self.peak = max(self.peak, self.now)
        return out


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
