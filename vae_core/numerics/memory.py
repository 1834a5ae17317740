"""Memory that ran out: known whatever raises it, let go of, and asked for again in smaller pieces.

Nothing of what an evaluation says depends on the size of the pieces in which it is computed (`pieces`), so what did not
fit is done once more in pieces a quarter as large, and so on down to a thousandth. What fitted at last is remembered by
this process, whose other work is alike. A training step has no pieces: there fewer models must do (bench.engine.run).
"""

from __future__ import annotations

import functools
import gc
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    import torch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

QUARTERED = 5  #: times at most: 4⁵ = 1024
#: what torch, CUDA's libraries and C++ say of it in errors of a general kind
WORDS = (
    *("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc"),
    *("status_alloc_failed", "cudaerrormemoryallocation", "hiperroroutofmemory"),
)

_quartered = 0
_trying = False


def pieces(count: int) -> int:
    """How many numbers, rows or draws to hold at once where `count` would be best."""
    return max(1, count >> 2 * _quartered)


def of_device(device: torch.device) -> int:
    """Bytes of the memory of a GPU, all of it; 0 where nobody can tell."""
    import torch

    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else 0


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of the host or of a device, or came up as such a one was handled, as
    where a capture is broken off by it."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, MemoryError) or "OutOfMemory" in type(link).__name__ or _says_so(link):
            return True
        if not isinstance(link, RuntimeError):  # torch.AcceleratorError is one; others speak for themselves
            return False
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return False


def _says_so(error: BaseException) -> bool:
    try:
        words = str(error).lower()
    except Exception:  # a message is made by whoever wrote the error's class, and may fail in any way
        return False
    return isinstance(error, RuntimeError | OSError) and any(word in words for word in WORDS)


def let_go(error: BaseException) -> None:
    """Frees what the failed work held: what its frames still have, and what torch keeps of a GPU's memory."""
    traceback.clear_frames(error.__traceback__)
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def in_smaller_pieces(work: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The same work, begun anew with smaller `pieces` where memory ran out, as often as that may help; the error is
    raised where it does not. Work inside of such work is part of it."""

    @functools.wraps(work)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        global _quartered, _trying
        if _trying:
            return work(*args, **kwargs)
        while True:
            _trying = True
            try:
                return work(*args, **kwargs)
            except Exception as error:
                if not ran_out(error) or _quartered >= QUARTERED:
                    raise
                let_go(error)
            finally:
                _trying = False
            _quartered += 1

    return call


def tried() -> str:
    """How small the pieces are by now, in words: "" where they are as they should be."""
    return f", in pieces of 1/{4**_quartered} either" if _quartered else ""
