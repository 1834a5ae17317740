"""What can be seen of a process from outside, in Linux's /proc: whether it works or sleeps, its memory, its children.

Elsewhere nothing is seen, and a silent process is taken to work.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_AWAKE = "RD"  # states of a thread that computes, or waits for a processor or a disk
_STOPPED = "Tt"
_STATE, _PARENT, _USER, _SYSTEM, _RESIDENT = 0, 1, 11, 12, 21  # fields of stat behind the command (proc(5): 3, 4, …)


@dataclass(frozen=True)
class Seen:
    """A process and what it has started: seconds of processor time so far; whether any thread computes or waits for a
    processor or a disk just now; whether the process itself is stopped, as by SIGSTOP."""

    processor: float
    awake: bool
    stopped: bool


def look(process: int) -> Seen | None:
    """None where nothing can be seen."""
    own = _fields(PROC / str(process) / "stat")
    if own is None:
        return None
    seconds, awake = 0.0, False
    for one in (process, *descendants(process)):
        fields = _fields(PROC / str(one) / "stat")
        if fields is None:
            continue  # it has ended since
        seconds += (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS
        awake = awake or any(state in _AWAKE for state in _states(one))
    return Seen(seconds, awake, own[_STATE] in _STOPPED)


def resident(process: int) -> int:
    """Bytes of memory that it has; 0 where they cannot be seen."""
    fields = _fields(PROC / str(process) / "stat")
    return int(fields[_RESIDENT]) * _PAGE if fields else 0


def descendants(process: int) -> list[int]:
    """The processes that it has started and those have, as far as each one's parent is still there."""
    children: dict[int, list[int]] = {}
    for folder in _listed(PROC):
        if folder.isdigit() and (fields := _fields(PROC / folder / "stat")):
            children.setdefault(int(fields[_PARENT]), []).append(int(folder))
    found, waiting = [], [process]
    while waiting:
        waiting += (own := children.get(waiting.pop(), []))
        found += own
    return found


def end(processes: list[int]) -> None:
    """Kills them, those that are still there."""
    for process in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)


def _states(process: int) -> list[str]:
    """Of all its threads."""
    tasks = PROC / str(process) / "task"
    return [fields[_STATE] for name in _listed(tasks) if (fields := _fields(tasks / name / "stat"))]


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208  names are all that is asked for, some hundreds a second
    except OSError:
        return []


def _fields(stat: Path) -> list[str] | None:
    """Behind the command, which may hold anything, brackets too."""
    try:
        return stat.read_bytes().decode(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
