"""Bytes of tensors alive, counted: a peak of memory without noise, for a CPU has no allocator that would tell it."""

from __future__ import annotations

import functools
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
        self._alive: dict[int, weakref.ref[Any]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # what would be skipped takes seconds to import

    def forget_peak(self) -> None:
        """Count the peak anew from what is alive now."""
        self.peak = self.now

    def _freed(self, key: int, size: int, _: object) -> None:
        self.now -= size
        self._known.discard(key)
        del self._alive[key]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.take(out)
        return out

    def take(self, out: Any) -> None:
        """What an operation has made, for who looks at them all anyhow."""
        for tensor in (out,) if isinstance(out, Tensor) else tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self._known:
                    size = storage.nbytes()
                    self._known.add(key)
                    self.now += size
                    self._alive[key] = weakref.ref(storage, functools.partial(self._freed, key, size))
        self.peak = max(self.peak, self.now)
