"""What becomes of a task that gave nothing: why, whose fault it was, and whether memory had run out.

A failure is the task's own (it raised, crashed, exited, hung, asked for more memory than there is), or it came from
outside (its process was killed by nobody knows whom, stopped, or never started). What came from outside is tried once
more at once, and again when the run is resumed: its reason says so. Of its own failures a run is told to try them
again. "oom" is said on evidence alone: Python's or torch's error, or a killed process and what the kernel counts.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

#: how the reason of a failure from outside ends: true, and what a resumed run knows it by
AGAIN = "running again tries it again"
#: signals that a process brings upon itself; any other that it dies of was sent to it
_OWN = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGSYS, signal.SIGTRAP)
#: errors of a machine in trouble, whatever the task
_TROUBLE = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ESTALE)
_RECENT = 10.0  # seconds in which a process that the kernel has killed is noticed
_LOOK_SECONDS = 0.5
_MUCH, _NEARLY_ALL = 0.1, 0.8  # shares of the memory that there is


@dataclass(frozen=True)
class Failure:
    """Why a task gave nothing. `status` is "failed", "oom" or "timeout"; `said` is the message of an error meant for
    people (a ValueError or OSError), None for anything else; `outside`: whether it came from outside."""

    status: str
    reason: str
    said: str | None = None
    outside: bool = False

    def final(self, times: int) -> Failure:
        """As it is told once it was tried so many times: the one place where the words on another try are put."""
        if not self.outside:
            return self
        reason = self.reason + (", twice" if times == 2 else f", {times} times" if times > 2 else "")
        return replace(self, reason=reason if self.status == "oom" else f"{reason}; {AGAIN}")


def came_from_outside(reason: str | None) -> bool:
    """Whether a stored failure is one that a resumed run tries again."""
    return bool(reason) and str(reason).endswith(AGAIN)


def of_error(error: BaseException, place: str) -> Failure:
    """What an error that a task raised at a place is called."""
    from vae_core.numerics.memory import ran_out

    try:
        words = " ".join(str(error).split())[:500]
    except Exception as second:  # a message is made by whoever wrote the error's class, and may fail in any way
        words = f"(its message raises {type(second).__name__})"
    memory = ran_out(error)
    if memory:
        words = words.partition(" Including non-PyTorch")[0].partition(" Of the allocated")[0]  # advice on allocators
    said = words if isinstance(error, ValueError | OSError) else None
    reason = f"{type(error).__name__}: {words} ({place})"
    outside = isinstance(error, OSError) and error.errno in _TROUBLE
    return Failure("oom" if memory else "failed", reason, said, outside)


def of_exit(code: int | None, *, begun: bool, evidence: str | None) -> Failure:
    """What a process is said to have died of; `begun`: whether it had begun its task; `evidence`: that memory had run
    out."""
    if code is not None and code < 0 and -code not in _OWN:
        name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
        if -code == signal.SIGKILL and evidence:
            return Failure(
                "oom", f"the worker process was killed (SIGKILL) as memory ran out: {evidence}", outside=True
            )
        return Failure("failed", f"the worker process was killed from outside ({name})", outside=True)
    if code is not None and code < 0:
        failure = Failure("failed", f"the worker process died of {signal.Signals(-code).name}")
    else:
        failure = Failure("failed", f"the worker process ended by itself (exit code {code})")
    return failure if begun else replace(failure, reason=f"{failure.reason} before it began", outside=True)


@dataclass
class Memory:
    """Evidence that memory ran out, looked for while workers are at work."""

    cgroups: Path = Path("/sys/fs/cgroup")
    proc: Path = Path("/proc")
    _counts: dict[str, int] = field(default_factory=dict)
    _risen: dict[str, float] = field(default_factory=dict)
    _scarce: float = -_RECENT
    _looked: float = -_RECENT

    def look(self, *, at_once: bool = False) -> None:
        """To be called every second or so, or more often: the kernel counts, and does not say when."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS and not at_once:
            return
        self._looked = now
        for where, count in self._killed():
            if count > self._counts.setdefault(where, count):
                self._risen[where] = now
            self._counts[where] = count
        total, free = self._machine()
        if total and free < 0.02 * total:
            self._scarce = now

    def evidence(self, resident: int) -> str | None:
        """Of a process that was killed just now, when it was last seen to have so many bytes; None: there is none."""
        self.look(at_once=True)
        recent = time.monotonic() - _RECENT
        total = self.most()
        share = resident / total if total else 0.0
        held = f"it held {resident / 1e9:.1f} of {total / 1e9:.1f} GB"
        for where, when in self._risen.items():
            if when >= recent and (where != "vmstat" or share >= _MUCH):
                return f"the kernel counts a process killed for it, and {held}"
        if share >= _NEARLY_ALL or (self._scarce >= recent and share >= _MUCH):
            return held
        return None

    def most(self) -> int:
        """Bytes that there are for this process: the machine's, or fewer by its control group; 0: not known."""
        total, _ = self._machine()
        limits = [_number(file) for folder in self._folders() for file in (folder / "memory.max", _v1_limit(folder))]
        return min([limit for limit in (total, *limits) if limit], default=0)

    def _machine(self) -> tuple[int, int]:
        """Bytes in all, and those that are free."""
        found = {"MemTotal:": 0, "MemAvailable:": 0}
        for line in _lines(self.proc / "meminfo"):
            name, _, rest = line.partition(" ")
            if name in found:
                found[name] = int(rest.split()[0]) * 1024
        return found["MemTotal:"], found["MemAvailable:"]

    def _killed(self) -> Iterator[tuple[str, int]]:
        """How many processes the kernel has killed for want of memory, by where it counts."""
        for folder in self._folders():
            for file in (folder / "memory.events", folder / "memory.oom_control"):  # of version 2, and of 1
                yield from ((str(file), count) for count in _counted(file))
        yield from (("vmstat", count) for count in _counted(self.proc / "vmstat"))

    def _folders(self) -> Iterator[Path]:
        """The control groups of memory that this process is in, as far as they can be seen here: inside of a container
        the path may be the host's, and the group is the root."""
        for line in _lines(self.proc / "self" / "cgroup"):
            _, kinds, path = line.split(":", 2)
            if kinds and "memory" not in kinds.split(","):
                continue
            root = self.cgroups / "memory" if kinds else self.cgroups
            own = root / path.lstrip("/")
            yield from (folder for folder in dict.fromkeys((own, root)) if folder.is_dir())


def _v1_limit(folder: Path) -> Path:
    return folder / "memory.limit_in_bytes"


def _counted(file: Path) -> list[int]:
    return [int(line.split()[1]) for line in _lines(file) if line.startswith("oom_kill ")]


def _number(file: Path) -> int:
    """0 where there is none, or no limit."""
    lines = _lines(file)
    return int(lines[0]) if lines and lines[0].isdigit() and int(lines[0]) < 1 << 60 else 0


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def place_of(filename: str, line: int | None) -> str:
    """`file.py:12`."""
    return f"{os.path.basename(filename)}:{line}"  # noqa: PTH119  a path's last part, no file
