"""torch's dropout, as modules of a user's own call it, by noise that is given: a seed's own, whatever else is drawn."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor


def _droppers() -> dict[Callable[..., Any], bool]:
    """torch's functions of dropout, and whether each leaves out whole maps."""
    of = torch.nn.functional
    return {of.dropout: False, of.dropout1d: True, of.dropout2d: True, of.dropout3d: True}


def _of_dropout(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Tensor, float, int]:
    """What a call of dropout is given: its input, the share, and how many uniforms a row it wants; 0 for none."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    x, share, training = (bound.arguments[name] for name in ("input", "p", "training"))
    whole = _droppers()[function]
    count = math.prod(x.shape[1:2]) if whole else x[0].numel()
    return x, share, count if training and share else 0


@functools.lru_cache(maxsize=1)
def _modes() -> tuple[Any, Any]:
    """Two modes of torch's functions, made when they are wanted: importing this file touches nothing of torch."""
    from torch.overrides import TorchFunctionMode

    class Counting(TorchFunctionMode):
        """Counts the uniforms that dropout wants."""

        count = 0

        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function not in _droppers():
                return function(*args, **(kwargs or {}))
            x, _, wanted = _of_dropout(function, args, kwargs or {})
            self.count += wanted
            return x

    class Given(TorchFunctionMode):
        """Has dropout leave out what the given noise says."""

        def __init__(self, noise: Tensor) -> None:
            super().__init__()
            self.noise, self.taken = noise, 0

        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function not in _droppers():
                return function(*args, **(kwargs or {}))
            x, share, wanted = _of_dropout(function, args, kwargs or {})
            if not wanted:
                return x
            uniform = self.noise[:, self.taken : self.taken + wanted]
            self.taken += wanted
            stays = (uniform >= share).to(x.dtype) / (1 - share)
            return x * stays.reshape((*x.shape[:2], *[1] * (x.ndim - 2)) if _droppers()[function] else x.shape)

    return Counting, Given


def counting() -> Any:
    """A context inside which dropout leaves nothing out, and `count` is how many uniforms a row it would want."""
    return _modes()[0]()


@contextmanager
def given_noise(noise: Tensor | None) -> Iterator[None]:
    """Inside, dropout leaves out what the uniforms [B, ...] of each row say; without any it is what it is."""
    if noise is None:
        yield
        return
    with _modes()[1](noise):
        yield
