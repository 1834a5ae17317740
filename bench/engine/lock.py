"""One run at a time on one run file: a lock that vanishes with its process, kill -9 included."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.store import StoreError, cannot_write


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `path` for this process; its folder is made where it is missing. Raises StoreError if another run has it.

    The lock lies on a file of its own beside the run file (closing any descriptor of the run file itself would drop
    SQLite's own locks), and goes away with it; so does a folder that was made for nothing.
    """
    made = [folder for folder in path.absolute().parents if not folder.exists()]
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        descriptor = _take(lock, path)
    except OSError as error:
        _remove_empty(made)
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)
        _remove_empty(made)


def _take(lock: Path, path: Path) -> int:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip()
            os.close(descriptor)
            by = f" (process {holder})" if holder else ""
            raise StoreError(
                f"{path} is in use by another run{by}; wait until it ends, or give another --out."
            ) from None
        if _is_still(lock, descriptor):  # a run that ended just now may have taken its lock file away
            os.truncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            return descriptor
        os.close(descriptor)


def _is_still(lock: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(lock.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:  # the deepest first
        try:
            folder.rmdir()
        except OSError:
            return
