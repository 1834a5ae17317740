"""What every test of runs begins with."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def signals_as_a_terminal_gives_them() -> Iterator[None]:
    """SIGHUP ends a process, also where the tests themselves were started by nohup, which children inherit."""
    before = signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
