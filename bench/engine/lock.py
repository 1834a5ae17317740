"""One run at a time on one run file: a lock that vanishes with its process, kill -9 included.

A file may have several names (links, another way to its folder), and the lock is of the file. Two things are held: a
file beside it, `.NAME.lock`, which is there before the run file is, and one byte of the run file itself, which is the
same one by whatever name. That byte lies beyond all that SQLite locks or reads, and is locked for the open descriptor
(fcntl(2), "Open file description locks"), so that neither hinders the other.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.store import StoreError, cannot_write
from bench.store.guard import places
from bench.store.guard.errors import shown

BYTE = 1 << 60  # SQLite's own lie at 2^30, its largest database ends before 2^49


class Lock:
    """What is held of a run file: `path` is the file itself, by no link."""

    def __init__(self, path: Path, asked: Path) -> None:
        self.path = path
        self._asked = asked
        self._held: int | None = None

    def hold_file(self) -> None:
        """Hold the file that lies there now, if one does; once more after another has taken its place. Raises
        StoreError where another run has it, OSError."""
        self.let_file_go()
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return
        except PermissionError:
            return  # it is not to be written, which whoever writes it says
        if not _lock_byte(descriptor):
            os.close(descriptor)
            raise StoreError(
                f"{shown(self._asked)} is in use by another run, by another name of it; wait until it ends, or "
                "give another --out."
            )
        self._held = descriptor

    def let_file_go(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None


@contextmanager
def locked(path: Path) -> Iterator[Lock]:
    """Hold the file of this name for this process; its folder is made where it is missing. Raises StoreError if another
    run has it, by whatever name, or it is nothing that could be a run file.

    Whoever opens the file does so inside, and closes it there: closing any descriptor of it drops SQLite's own locks.
    The lock file goes away with the lock; so does a folder that was made for nothing.
    """
    target = places.run_file(path)
    made = [folder for folder in target.absolute().parents if not folder.exists()]
    name = target.with_name(f".{target.name}.lock")
    places.itself(name)
    lock = Lock(target, path)
    try:
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
        descriptor = _take(name, path)
    except OSError as error:
        _remove_empty(made)
        raise cannot_write(path, error) from error
    try:
        try:
            lock.hold_file()
        except OSError as error:
            raise cannot_write(path, error) from error
        yield lock
    finally:
        lock.let_file_go()
        name.unlink(missing_ok=True)
        os.close(descriptor)
        _remove_empty(made)


def _lock_byte(descriptor: int) -> bool:
    """Whether the byte of this file could be locked for this descriptor."""
    try:
        if sys.platform == "linux":
            wanted = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, BYTE, 1, 0)  # struct flock
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # either may mean that it is held
        return False
    return True


def _take(lock: Path, path: Path) -> int:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip()
            os.close(descriptor)
            by = f" (process {holder})" if holder.isdecimal() else ""
            raise StoreError(
                f"{shown(path)} is in use by another run{by}; wait until it ends, or give another --out."
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
