"""Bytes of tensors alive, counted: a peak of memory without noise, for a CPU has no allocator that would tell it."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Bytes(TorchDispatchMode):
    """The most bytes of tensors alive at one time, of those made inside: counted, not timed."""

    def __init__(self, besides: Iterable[Tensor] = ()) -> None:
        """besides: tensors made before; views of them count for nothing."""
        super().__init__()
        self.now = self.peak = 0
        self._besides = [tensor.untyped_storage() for tensor in besides]  # kept alive, so that no key comes twice
        self._known = {storage._cdata for storage in self._besides}

    def forget_peak(self) -> None:
        """Count the peak anew from what is alive now."""
        self.peak = self.now

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
