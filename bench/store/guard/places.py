"""What may be written where: nothing is made, opened or written over before its place has been looked at.

What stands at a name is asked for first (stat), and only a regular file is opened then, to read how it begins (`head`):
so that looking cannot wait for ever (a FIFO) or do anything (a device, a tape that winds back).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from bench.store.guard.errors import StoreError, detail, shown
from bench.store.guard.header import head

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
    """The file that a name leads to, by no link: a regular file, or nothing. Raises StoreError for all else.

    `option` is the one that it was given as; "" where the file is to be read, and no option of the verb gives it.
    """
    name = _name(path, option)
    try:
        found = _looked_up(path, name)
        if found is None and path.is_symlink():
            raise StoreError(
                f"{name} is a link to {shown(path.readlink())}, which is not there; {_other(option)}, or mend the link."
            )
        if found is not None and not stat.S_ISREG(found.st_mode):
            kind = KINDS.get(stat.S_IFMT(found.st_mode), "no file")
            raise StoreError(
                f"{name} is {kind}, not a file that could be {'written' if option else 'read'}; {_other(option)}."
            )
        real = Path(os.path.realpath(path))
        return path if real == Path(os.path.abspath(path)) else real  # noqa: PTH100  as it was given, where it can be
    except OSError as error:
        raise _refused(name, option, error) from error


def run_file(path: Path, option: str = "--out") -> Path:
    """`itself`, for a run: what SQLite would read beside it must be regular files, too. Raises StoreError."""
    found = itself(path, option)
    for ending in COMPANIONS:
        itself(found.with_name(found.name + ending), option)
    return found


def written_over(path: Path, option: str, ours: Callable[[Path], bool], what: str) -> None:
    """Raises StoreError as `itself` does, and where what is there already is neither empty nor one of `ours`."""
    found = itself(path, option)
    try:
        size = found.stat().st_size
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refused(f"{option} {shown(path)}", option, error) from error
    if size and not ours(found):
        raise StoreError(
            f"{option} {shown(path)} is a file that is no {what}, so nothing is written over it; give another {option}."
        )


def folder(path: Path, option: str) -> None:
    """Raises StoreError for what is neither a folder nor nothing that could become one."""
    name = f"{option} {shown(path)}"
    try:
        found = _looked_up(path, name)
    except OSError as error:
        raise _refused(name, option, error) from error
    if found is None and path.is_symlink():
        raise StoreError(f"{name} is a link to a folder that is not there; give another {option}, or mend the link.")
    if found is not None and not stat.S_ISDIR(found.st_mode):
        raise StoreError(f"{name} is no folder that files could be written to; give another {option}.")


def begins(path: Path, *beginnings: bytes) -> bool:
    """Whether a regular file begins with one of these, capitals and leading white space apart."""
    try:
        found = (head(path, 256) or b"").lstrip().lower()
    except OSError:
        return False
    return any(found.startswith(beginning.lower()) for beginning in beginnings)


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
            begun = head(companion, 8)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _refused(shown(companion), "--out", error) from error
        if begun is None or (begun and not begun.startswith(beginnings)):
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


def _name(path: Path, option: str) -> str:
    return f"{option} {shown(path)}" if option else shown(path)


def _other(option: str) -> str:
    """A remedy."""
    return f"give another {option}" if option else "move it away, or give another file"


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
    return StoreError(f"{name} {why}; give another {option or 'file'}.")
