"""Ctrl-C that is not lost.

Python raises KeyboardInterrupt wherever the process happens to be. Inside a destructor, or a callback of the
interpreter, it is printed and swallowed, and a run that waits for its workers would wait on. So it is noted besides,
and whoever waits looks at the note.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_noted = threading.Event()


@contextmanager
def heard() -> Iterator[None]:
    """Inside, Ctrl-C is noted as well as raised; not where it is ignored, nor in another thread than the main one,
    which alone gets signals."""
    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        _noted.set()
        raise KeyboardInterrupt

    _noted.clear()
    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        _noted.clear()


def raise_again() -> None:
    """Raises the KeyboardInterrupt that was swallowed, if one was."""
    if _noted.is_set():
        _noted.clear()
        raise KeyboardInterrupt
