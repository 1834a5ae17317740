"""Numbers that a worker process writes and its parent reads, in memory that both share: a word of progress costs
nothing, is seen without the worker's help, and outlives it."""

from __future__ import annotations

import time
from multiprocessing.context import SpawnContext

_DONE, _STAGE, _EPOCH, _OF, _FIRST, _WAITING = range(6)
_PLACE_BYTES = 200


class Board:
    """Written by one process alone; each number is one aligned store, so that no half of it is ever read."""

    def __init__(self, context: SpawnContext) -> None:
        self._numbers = context.RawArray("d", 6)
        self._place = context.RawArray("c", _PLACE_BYTES)
        self._begun = 0.0

    # -- the worker's side ---------------------------------------------------------------------------------------------

    def made(self, epoch: int, of: int) -> None:
        """What `vae_core.numerics.progress` says."""
        numbers = self._numbers
        numbers[_DONE] += 1
        if not of:
            return
        if epoch == 0:
            self._begun = time.monotonic()
            numbers[_FIRST] = 0.0
            numbers[_STAGE] += 1
        elif epoch == 1:
            numbers[_FIRST] = time.monotonic() - self._begun
        numbers[_EPOCH], numbers[_OF] = epoch, of

    def begin(self) -> None:
        """A task begins."""
        self._numbers[_EPOCH] = self._numbers[_OF] = self._numbers[_FIRST] = 0.0
        self.stands_at("")
        self._numbers[_DONE] += 1

    def waits(self, waiting: bool) -> None:
        self._numbers[_WAITING] = float(waiting)

    def stands_at(self, place: str) -> None:
        self._place.value = place.encode()[: _PLACE_BYTES - 1]

    # -- the parent's side ---------------------------------------------------------------------------------------------

    @property
    def done(self) -> float:
        """How often there was progress so far."""
        return float(self._numbers[_DONE])

    @property
    def waiting(self) -> bool:
        """Whether it waits for what has a time limit of its own."""
        return bool(self._numbers[_WAITING])

    @property
    def training(self) -> tuple[float, float]:
        """The number of the training that is under way, and the seconds that its first epoch lets expect of all; 0, 0
        where none is, or its first epoch is not over."""
        of = self._numbers[_OF]
        if not 0 < self._numbers[_EPOCH] < of:
            return 0.0, 0.0
        return float(self._numbers[_STAGE]), float(self._numbers[_FIRST] * of)

    @property
    def place(self) -> str:
        """The line of Python that it has not left for some seconds, as `file.py:12`; "" where none is known."""
        return bytes(self._place.value).decode(errors="replace")
