"""What may be written where: nothing is made, opened or written over before its place has been looked at.

Only the names of things are asked for here (stat), so that looking cannot wait for ever (a FIFO) or do anything (a
device, a tape that winds back).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from bench.store.guard.errors import StoreError, detail, shown

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
#: what SQLite keeps beside a database, and how such a file begins
COMPANIONS = {
    "-journal": (bytes.fromhex("d9d505f920a163d7"), bytes(8)),
    "-wal": (bytes.fromhex("377f0682"), bytes.fromhex("377f0683")),
    "-shm": (b"",),
}


def itself(path: Path, option: str = "--out") -> Path:
    """The file that a name leads to, by no link: a regular file, or nothing. Raises StoreError for all else."""
    name = f"{option} {shown(path)}"
    try:
        found = _looked_up(path, name)
        if found is None and path.is_symlink():
            raise StoreError(
                f"{name} is a link to {shown(path.readlink())}, which is not there; give another {option}, or mend "
                "the link."
            )
        if found is not None and not stat.S_ISREG(found.st_mode):
            raise StoreError(
                f"{name} is {KINDS.get(stat.S_IFMT(found.st_mode), 'no file')}, not a file that could be written; "
                f"give another {option}."
            )
        real = Path(os.path.realpath(path))
        return path if real == Path(os.path.abspath(path)) else real  # noqa: PTH100  as it was given, where it can be
    except OSError as error:
        raise _refused(name, option, error) from error


def run_file(path: Path) -> Path:
    """`itself`, for a run: what SQLite would read beside it must be regular files, too. Raises StoreError."""
    found = itself(path)
    for ending in COMPANIONS:
        itself(found.with_name(found.name + ending))
    return found


def written_over(path: Path, option: str, ours: Callable[[Path], bool], what: str) -> Path:
    """`itself`, of which what is there already is empty, or one of `ours`. Raises StoreError."""
    found = itself(path, option)
    try:
        size = found.stat().st_size
    except FileNotFoundError:
        return path
    except OSError as error:
        raise _refused(f"{option} {shown(path)}", option, error) from error
    if size and not ours(found):
        raise StoreError(
            f"{option} {shown(path)} is a file that is no {what}, so nothing is written over it; give another {option}."
        )
    return path


def folder(path: Path, option: str) -> Path:
    """A folder, or nothing that could not become one. Raises StoreError."""
    name = f"{option} {shown(path)}"
    try:
        found = _looked_up(path, name)
    except OSError as error:
        raise _refused(name, option, error) from error
    if found is None and path.is_symlink():
        raise StoreError(f"{name} is a link to a folder that is not there; give another {option}, or mend the link.")
    if found is not None and not stat.S_ISDIR(found.st_mode):
        raise StoreError(f"{name} is no folder that files could be written to; give another {option}.")
    return path


def begins(path: Path, *beginnings: bytes) -> bool:
    """Whether a regular file begins with one of these, capitals and leading white space apart."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        head = file.read(256).lstrip().lower()
    return any(head.startswith(beginning.lower()) for beginning in beginnings)


def is_page(path: Path) -> bool:
    """Whether this is a page that the suite wrote, to be written over by its next."""
    return begins(path, b"<!doctype html>")


def is_figure(path: Path) -> bool:
    """Whether this is a drawing of one of the kinds that the suite writes."""
    return begins(path, b"<?xml", b"\x89PNG", b"%PDF")


def is_summary(path: Path) -> bool:
    """Whether this is a summary in Markdown that the suite wrote."""
    return begins(path, b"## Which decoder likelihood fits ")


def stale_companions(path: Path) -> list[Path]:
    """What SQLite has left beside a run file that is about to be replaced, and would play into the new one.

    Raises StoreError for a file of such a name that SQLite did not write.
    """
    found = []
    for ending, beginnings in COMPANIONS.items():
        companion = path.with_name(path.name + ending)
        try:
            with companion.open("rb") as file:
                head = file.read(8)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _refused(shown(companion), "--out", error) from error
        if head and not head.startswith(beginnings):
            raise StoreError(
                f"{shown(companion)} lies where SQLite keeps what belongs to a run file, and is not of that kind, so "
                "it is not written over; give another --out."
            )
        found.append(companion)
    return found


def what_it_is(path: Path) -> str:
    """What stands at a name where there is no regular file to be read: "a folder", "a link that leads to itself"; ""
    where there is nothing, or a regular file."""
    try:
        mode = stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return "a link to what is not there" if path.is_symlink() else ""
    except (OSError, ValueError):  # the second of a name with a zero byte
        return "a link that leads to itself" if path.is_symlink() else ""
    return "" if mode == stat.S_IFREG else KINDS.get(mode, "no file")


def _looked_up(path: Path, name: str) -> os.stat_result | None:
    """What is there, links followed; None for nothing. Raises OSError, StoreError."""
    if "\0" in str(path):
        raise StoreError(f"{name}: no file has a name with a zero byte in it; give another.")
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _refused(name: str, option: str, error: OSError) -> StoreError:
    why = {
        errno.ELOOP: "is a link that leads to itself",
        errno.ENOTDIR: "lies in something that is no folder",
        errno.ENAMETOOLONG: "is too long for a file's name",
    }.get(error.errno or 0, f"cannot be looked at ({detail(error.strerror)})")
    return StoreError(f"{name} {why}; give another {option}.")
