"""Memory that a process keeps: what it frees it will want again in the next step."""

from __future__ import annotations

import ctypes
import sys

#: malloc.h of glibc: from which size on a block is mapped by itself, and how much free space ends a trim of the heap
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = (1 << 31) - 1
_MOST = 1 << 25  # older releases of glibc refuse a higher threshold


def keep_freed_memory() -> bool:
    """Tells glibc's malloc to keep freed blocks for the next request, whatever their size; says whether it listened.

    Otherwise large tensors are mapped anew, and zeroed by the kernel page by page, at every step. The process's memory
    stays at its peak for it. Does nothing elsewhere than with glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    trimmed = mallopt(_M_TRIM_THRESHOLD, _KEPT)
    mapped = mallopt(_M_MMAP_THRESHOLD, _KEPT) or mallopt(_M_MMAP_THRESHOLD, _MOST)
    return bool(trimmed and mapped)
