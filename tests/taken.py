"""Memory that a call takes at its peak, by what Python and NumPy ask for."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def taken(call: Callable[[], T]) -> tuple[T, int]:
    """What it gives, and the bytes: of its second time, for at the first one some libraries are imported."""
    call()
    tracemalloc.start()
    try:
        given = call()
        return given, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
