"""Signals that end a run: Ctrl-C, SIGTERM and SIGHUP, of which none is lost and no second one does harm.

Python raises KeyboardInterrupt wherever the process happens to be. Inside a destructor, or a callback of the
interpreter, it is printed and swallowed, and a run that waits for its workers would wait on. So it is noted besides,
and whoever waits looks at the note. Who is impatient presses Ctrl-C three times: what comes within two seconds of the
first, or while a run is being ended, is part of the first.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
IMPATIENCE = 2.0  # seconds in which several signals are one


class TimeIsUp(KeyboardInterrupt):
    """The time that a run was given is over: it ends as by Ctrl-C."""


class Interrupted(Exception):
    """Ctrl-C, SIGTERM or SIGHUP, or the time that the run was `given`, in seconds, is over: the workers are gone, what
    had ended is stored. `log` is as in `Summary`."""

    def __init__(self, done: int, total: int, given: float | None = None) -> None:
        super().__init__(f"{done} of {total} cells are done and kept")
        self.done, self.total, self.given = done, total, given
        self.log = ""


class _Noted:
    """What has come since `heard` began."""

    def __init__(self) -> None:
        self.listening = False
        self.number = 0  #: of the first signal
        self.waits = False  #: it was swallowed, as far as anybody knows
        self.pending = False  #: it came behind a shield, and is not raised yet
        self.raised = -IMPATIENCE
        self.ending = False
        self.shields = 0


_noted = _Noted()


@contextmanager
def heard(*, to_the_end: bool = False) -> Iterator[None]:
    """Inside, these signals are noted as well as raised, as KeyboardInterrupt; not where one is ignored (nohup), nor in
    another thread than the main one, which alone gets signals, nor inside of another `heard`. `to_the_end`: the process
    ends soon after, and until then the rest of a burst that ended a run is let pass."""
    global _noted
    if _noted.listening or threading.current_thread() is not threading.main_thread():
        yield
        return
    found = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: h.behind if isinstance(h, _Patient) else h for number, h in found.items()}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    _noted = _Noted()
    _noted.listening = True
    for number in before:
        signal.signal(number, _note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, _Patient(number, handler) if _noted.ending and to_the_end else handler)
        _noted.listening = False
        _noted.waits = False


def raise_again() -> None:
    """Raises the KeyboardInterrupt that was swallowed, if one was."""
    if _noted.waits and not _noted.ending and not _noted.shields:
        _raise()


@contextmanager
def shielded() -> Iterator[None]:
    """Inside, a signal is noted only, and raised at the end: for what must not be left half done."""
    _noted.shields += 1
    try:
        yield
    finally:
        _noted.shields -= 1
    if _noted.pending:
        raise_again()


def ending() -> None:
    """From now on a run is being ended, and no signal disturbs that."""
    _noted.ending = True


def unsaid() -> bool:
    """Whether a signal came that ended no run, of which its sentence would have spoken."""
    return bool(_noted.number) and not _noted.ending


def exit_code() -> int:
    """What a shell gives for a program that the signal ended."""
    return 128 + (_noted.number or signal.SIGINT)


def leave(code: int) -> NoReturn:
    """Ends the process, at once where threads of a plug-in would be waited for."""
    if _noted.number:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    main = threading.main_thread()
    if any(not thread.daemon and thread is not main for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # a terminal or a reader that is gone
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _note(number: int, frame: FrameType | None) -> None:
    _noted.number = _noted.number or number
    if _noted.ending:
        return
    if time.monotonic() - _noted.raised < IMPATIENCE:
        return
    _noted.waits = True
    _noted.pending = _noted.shields > 0
    if not _noted.shields:
        _noted.raised = time.monotonic()
        raise KeyboardInterrupt


def _raise() -> NoReturn:
    _noted.waits = _noted.pending = False
    _noted.raised = time.monotonic()
    raise KeyboardInterrupt


class _Patient:
    """A handler that lets the rest of an impatient burst pass, and then is the one that was there before."""

    def __init__(self, number: int, behind: Any) -> None:
        self.number, self.behind = number, behind
        self.until = time.monotonic() + IMPATIENCE

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if time.monotonic() >= self.until:
            signal.signal(self.number, self.behind)
            signal.raise_signal(self.number)
