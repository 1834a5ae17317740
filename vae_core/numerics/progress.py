"""Word that a long computation goes on, for whoever waits for it from outside.

A worker process whose computation says nothing for long is held to hang (bench.engine.process.limits), so `made` is
called wherever something was done that is done a bounded number of times: a step of training, a block of images, an
epoch. It says what was done, not that time has passed: a timer would tick on while the computation sleeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: (epoch, of so many): 0, 0 for anything smaller than an epoch
Listener = Callable[[int, int], None]
_listeners: list[Listener] = []
_waiting = 0


def listen(listener: Listener) -> None:
    """From now on it is told of all that is done in this process."""
    _listeners.append(listener)


def made(epoch: int = 0, of: int = 0) -> None:
    """Something was done; with `of`, that so many of `of` epochs of a training are over: (0, n) begins one."""
    for listener in _listeners:
        listener(epoch, of)


@contextmanager
def waiting() -> Iterator[None]:
    """Inside, the computation may sleep without being thought to hang: it waits for what has a time limit of its own,
    such as a download."""
    global _waiting
    _waiting += 1
    try:
        yield
    finally:
        _waiting -= 1
        made()


def is_waiting() -> bool:
    return _waiting > 0
