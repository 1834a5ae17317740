"""How a run file begins, whatever has become of the rest of it; and how the beginning of any file is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bench.store.schema import APPLICATION_ID


@contextmanager
def regular(path: Path) -> Iterator[BinaryIO | None]:
    """A regular file to be read; None for all else, which is not opened: a FIFO would wait for ever, and a device may
    do something. Should one have taken its place just now, it is opened without waiting. Raises OSError."""
    if not stat.S_ISREG(path.stat().st_mode):
        yield None
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123  it is open already
        yield file if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def head(path: Path, size: int) -> bytes | None:
    """The first bytes of a regular file; None for all else. Raises OSError where there is nothing, or it cannot be
    read."""
    with regular(path) as file:
        return file.read(size) if file else None


def begins_as_run(path: Path) -> bool:
    """Whether this begins as a run file does, of any format. Raises OSError where it cannot be read."""
    found = head(path, 72) or b""
    return found.startswith(b"SQLite format 3\0") and found[68:72] == APPLICATION_ID.to_bytes(4, "big")
