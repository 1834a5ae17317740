"""What plug-ins and libraries print while a run has the terminal: it goes into a log beside the run file.

Nothing is written before there is a run file, and no log where nothing was printed. What lies where the log would be
and is none is left alone.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, cast

MOST = 10_000_000  # bytes of one run that are kept: a plug-in may print all night
HEAD = b"# What plug-ins and libraries printed during vae-bench run.\n"


class Log:
    """What was printed in the course of one run on `run`, the file itself and no link to it."""

    def __init__(self, run: Path, most: int = MOST) -> None:
        self._run, self._most = run, most
        self._held: list[bytes] | None = []  #: until there is a run file
        self._file: int | None = None
        self._where: Path | None = None
        self._kept = self._lost = 0
        self._who, self._open_line = "", False
        self._trouble = ""

    def take(self, who: str, content: bytes) -> None:
        """Something was printed while `who` was at work."""
        if not content:
            return
        kept = content[: max(0, self._most - self._kept)]
        self._kept += len(kept)
        self._lost += len(content) - len(kept)
        if not kept:
            return
        if who != self._who:
            kept = (b"\n" if self._open_line else b"") + f"[{who}]\n".encode(errors="replace") + kept
            self._who = who
        self._open_line = not kept.endswith(b"\n")
        if self._held is None:
            self._write(kept)
        else:
            self._held.append(kept)

    def begin(self, *, fresh: bool = False) -> None:
        """From now on there is a run file to have a log beside; a new one where `fresh`."""
        if self._held is None:
            return
        if fresh:
            for place in self._places():
                if _is_ours(place):
                    place.unlink(missing_ok=True)
        held, self._held = self._held, None
        for content in held:
            self._write(content)

    def close(self) -> str:
        """A sentence that says where it is; "" where nothing was printed."""
        if self._held:  # there was no run file at last: nothing is left beside it
            held, self._held = b"".join(self._held), None
            return f"what was printed meanwhile is in {put_aside(held)}"
        if self._lost:
            self._write(f"\n# {self._lost} bytes more are not kept.\n".encode())
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._trouble:
            return f"what plug-ins printed could not be kept ({self._trouble})"
        return f"what plug-ins and libraries printed is in {self._where}" if self._where else ""

    def _write(self, content: bytes) -> None:
        if self._trouble:
            return
        try:
            if self._file is None:
                self._file = self._opened()
            while content:
                content = content[os.write(self._file, content) :]
        except OSError as error:  # a full disk: the run has its own sentence for that, and a log must not end it
            self._trouble = error.strerror or str(error)

    def _places(self) -> list[Path]:
        stem = self._run.stem if self._run.suffix == ".sqlite" else self._run.name
        return [self._run.with_name(f"{stem}.log"), self._run.with_name(f"{stem}.printed.log")]

    def _opened(self) -> int:
        line = f"# {datetime.now(UTC).isoformat(timespec='seconds')}\n".encode()
        for place in self._places():
            new = not os.path.lexists(place)
            if not (new or _is_ours(place)):
                continue
            flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | (os.O_CREAT | os.O_EXCL if new else 0)
            descriptor = os.open(place, flags, 0o644)
            self._where = place
            os.write(descriptor, (HEAD if new else b"") + line)
            return descriptor
        descriptor, name = tempfile.mkstemp(prefix="vae-bench-", suffix=".log")
        self._where = Path(name)
        os.write(descriptor, HEAD + line)
        return descriptor


def put_aside(content: bytes) -> Path:
    """A new file of its own among the temporary ones."""
    descriptor, name = tempfile.mkstemp(prefix="vae-bench-", suffix=".log")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return Path(name)


def _is_ours(place: Path) -> bool:
    """Whether it is a log of a run: no link, no pipe, no file of somebody else's."""
    try:
        if not stat.S_ISREG(place.lstat().st_mode):
            return False
        with place.open("rb") as file:
            return file.read(len(HEAD)) == HEAD
    except OSError:
        return False


class _Surely:
    """A stream whose reader may go away: a terminal that is closed, or `head`, costs a run no result."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def surely(stream: TextIO) -> TextIO:
    """The stream, which never fails."""
    return cast(TextIO, _Surely(stream))


class Aside:
    """What is printed in this process, by whatever else than a run's own lines; and the terminal, for those."""

    def __init__(self, terminal: TextIO, read: Callable[[], bytes]) -> None:
        self.terminal = terminal
        self._read, self._taken = read, False

    def take(self) -> bytes:
        """All of it, for a log; whoever takes it answers for it."""
        self._taken = True
        return self._read()

    def say(self, sentence: str) -> None:
        """A line of the run's own, on the terminal."""
        print(sentence, file=self.terminal)

    @property
    def left(self) -> bytes:
        """What nobody has taken."""
        return b"" if self._taken else self._read()


@contextmanager
def aside() -> Iterator[Aside]:
    """Inside, standard output and error of this process, those of C too, are kept for a log; what nobody took at the
    end is put into a file that the terminal names."""
    python = sys.stdout, sys.stderr
    for stream in python:
        stream.flush()
    on_terminal = _descriptor(sys.stderr) == 2  # and no test's, which is written to as it is
    saved = [os.dup(1), os.dup(2)]
    with (
        tempfile.TemporaryFile() as file,
        os.fdopen(os.dup(file.fileno()), "w", buffering=1, errors="backslashreplace") as to,
    ):
        terminal = _on(os.dup(2), sys.stderr) if on_terminal else sys.stderr

        def read() -> bytes:
            to.flush()
            return os.pread(file.fileno(), MOST, 0)

        kept = Aside(surely(terminal), read)
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
        sys.stdout = sys.stderr = to
        try:
            yield kept
        finally:
            sys.stdout, sys.stderr = python
            for descriptor, before in zip((1, 2), saved, strict=True):
                os.dup2(before, descriptor)
                os.close(before)
            if left := kept.left:
                print(f"what was printed meanwhile is in {put_aside(left)}", file=kept.terminal)
            if on_terminal:
                with suppress(OSError):  # what could not be written before
                    terminal.close()


def _on(descriptor: int, like: TextIO) -> TextIO:
    return os.fdopen(descriptor, "w", buffering=1, encoding=like.encoding, errors="backslashreplace")


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):  # it has none
        return None
