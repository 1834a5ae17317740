"""What a file says of itself at its beginning, held against its size and against memory before any more of it is read.

A header is a promise: some bytes may say that 10¹² images follow, and a packed file of a megabyte may hold a gigabyte
of zeros. Nothing here takes more memory than a header does, whatever is in the file.
"""

from __future__ import annotations

import ast
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from vae_core.data.dataset import DataError, named

#: what readers of files raise for what is damaged, each its own; a fault of ours is none of these
DAMAGED: tuple[type[Exception], ...] = (
    *(OSError, EOFError, ValueError, TypeError, SyntaxError, LookupError, OverflowError, ZeroDivisionError),
    *(RuntimeError, AssertionError, MemoryError, struct.error, zlib.error, zipfile.BadZipFile),
)
ROOM = 1 / 4  # of the memory that is free, at most for one array: it is copied when it is cut
LONGEST_HEADER = 10_000  # bytes of an .npy's, as numpy has it
MOST_AXES = 32  # that numpy has had at all times
PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # as numpy packs; of others a little may become gigabytes at once
IDX_BYTES = {0x08: 1, 0x09: 1, 0x0B: 2, 0x0C: 4, 0x0D: 4, 0x0E: 8}  # of a value, by the third byte of an IDX file


class Header(NamedTuple):
    """What an .npy says of its array."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


def npy(file: IO[bytes], there: int) -> Header:
    """The header at the beginning of an .npy of so many bytes. Raises ValueError with what is wrong with it."""
    magic = file.read(8)
    if magic[:6] != b"\x93NUMPY" or len(magic) < 8:
        raise ValueError("it does not begin as an .npy does")
    version, width = magic[6], 2 if magic[6] == 1 else 4
    if version not in (1, 2, 3):
        raise ValueError(f"it is of version {version} of .npy, and 1 to 3 are known")
    length = int.from_bytes(file.read(width), "little")
    if length > LONGEST_HEADER:
        raise ValueError(f"its header has {length:,} bytes, and {LONGEST_HEADER:,} are the most")
    text = file.read(length)
    header = _parsed(text.decode("utf-8" if version == 3 else "latin-1"))
    held = there - len(magic) - width - length
    if not header.dtype.hasobject and header.size > held:
        raise ValueError(f"its header says {_amount(header.size)}, and {_amount(max(held, 0))} are there")
    return header


def _parsed(text: str) -> Header:
    try:
        said = ast.literal_eval(re.sub(r"(?<=\d)L\b", "", text).strip())  # as Python 2 wrote whole numbers
        shape, dtype = said["shape"], np.lib.format.descr_to_dtype(said["descr"])
    except (ValueError, TypeError, SyntaxError, LookupError, RecursionError, MemoryError):
        raise ValueError("its header says nothing that numpy writes") from None
    if not isinstance(shape, tuple) or not all(type(count) is int and count >= 0 for count in shape):
        raise ValueError(f"its header says a shape of {named(str(shape), 40)}")
    if len(shape) > MOST_AXES or not dtype.itemsize:
        raise ValueError("its header says values of no size" if not dtype.itemsize else f"it has {len(shape)} axes")
    return Header(shape, dtype)


def members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The arrays of an .npz, by their names. Raises one of DAMAGED for what is none."""
    with zipfile.ZipFile(path) as archive:
        return {item.filename.removesuffix(".npy"): item for item in archive.infolist() if item.filename[-4:] == ".npy"}


def require_plain(item: zipfile.ZipInfo) -> None:
    """Raises ValueError for one that is packed otherwise than numpy packs."""
    if item.compress_type not in PLAIN:
        raise ValueError(f"{named(item.filename, 40)} is packed as numpy.savez_compressed does not pack")


def require_idx(path: Path, share: float = ROOM) -> None:
    """Raises ValueError for an IDX file (yann.lecun.com/exdb/mnist) that is not as long as it says, or too long for
    memory; does nothing where there is none."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        begin = file.read(4)
        axes = begin[3] if len(begin) == 4 else 0
        sizes = file.read(4 * axes)
    if begin[:2] != b"\0\0" or begin[2:3] == b"" or begin[2] not in IDX_BYTES or len(sizes) < 4 * axes or not axes:
        raise ValueError(f"{path.name} does not begin as an IDX file does")
    shape = struct.unpack(f">{axes}I", sizes)
    says, holds = math.prod(shape) * IDX_BYTES[begin[2]], path.stat().st_size - 4 - len(sizes)
    if says != holds:
        raise ValueError(f"{path.name} says {_amount(says)}, and {_amount(max(holds, 0))} are there")
    if says > (room := share * free_memory()):
        raise ValueError(f"{path.name} holds {_amount(says)}, and memory has room for {_amount(int(room))}")


def require_room(name: str, size: int, some: str, share: float = ROOM) -> None:
    """Raises DataError where so many bytes are more than memory has room for; `some`: what of it would do."""
    if size > (room := share * free_memory()):
        raise DataError(
            f"{name} holds {size / 1e9:.1f} GB, and {room / 1e9:.1f} GB is the most that is read here: save some of "
            f"its images, {some}, as a file of their own."
        )


def free_memory() -> int:
    """Bytes that this process could take before something else has to give: of the machine, of the container that it is
    in, and of its own limit."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_of_machine(), *_of_group(), *_of_process()]
    return max(min(found), 0)


def _of_machine() -> Iterator[int]:
    with suppress(OSError, ValueError, LookupError):  # another system, which says it otherwise
        yield 1024 * int(_words(Path("/proc/meminfo"))["MemAvailable:"])


def _of_group() -> Iterator[int]:
    """Control groups, the second version and the first; what it holds of files it gives back when it is asked."""
    root = Path("/sys/fs/cgroup")
    for limit, used, folder in (
        ("memory.max", "memory.current", root),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", root / "memory"),
    ):
        with suppress(OSError, ValueError, LookupError):  # none, or "max"
            most, taken = (int((folder / name).read_text()) for name in (limit, used))
            yield most - taken + int(_words(folder / "memory.stat").get("inactive_file", 0))


def _of_process() -> Iterator[int]:
    import resource  # which not every system has; nor is it needed to look at names

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        with suppress(OSError, ValueError, LookupError):
            yield most - os.sysconf("SC_PAGE_SIZE") * int(Path("/proc/self/statm").read_text().split()[0])


def _words(path: Path) -> dict[str, str]:
    """The second word of each line, by the first."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0]: words[1] for words in lines if len(words) > 1}


def _amount(size: int) -> str:
    """`3 bytes`, `1.2 MB`, `10000.0 GB`."""
    if size < 10**6:
        return f"{size:,} bytes"
    return (
        f"{size / 1e6:.1f} MB" if size < 10**9 else f"{size / 1e9:.1f} GB" if size < 10**18 else "more than 10^18 bytes"
    )
