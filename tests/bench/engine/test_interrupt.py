"""Ctrl-C reaches a run also where Python swallows it."""

from __future__ import annotations

import signal
import threading

import pytest

from bench.engine.interrupt import heard, raise_again
from bench.engine.local import Pool


class Swallows:
    """A destructor during which Ctrl-C comes: what it raises is printed and lost."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_was_swallowed_is_raised_where_the_run_waits():
    with heard(), Pool(1, 1) as pool:
        Swallows()
        with pytest.raises(KeyboardInterrupt):
            pool.wait(0.01)
        pool.wait(0.01)  # once


def test_ctrl_c_is_raised_at_once_and_as_before_afterwards():
    before = signal.getsignal(signal.SIGINT)
    with heard():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            raise_again()
        raise_again()
    assert signal.getsignal(signal.SIGINT) is before
    raise_again()


def test_who_ignores_it_goes_on_ignoring_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with heard():
            signal.raise_signal(signal.SIGINT)
            raise_again()
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_may_run_a_grid():
    ended = []

    def work() -> None:
        with heard():
            raise_again()
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]
