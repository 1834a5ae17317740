"""How long a run is predicted to take, before it knows by its own progress.

It is asked of a process beside the run, whose function the command line hands in: counting what a grid does and the
rates of devices are of a higher floor. What must not be is that a run begins later for it, or ends otherwise: the
process starts when the run's own workers have their work, is gone when the run knows better or ends, and may fail, hang
or die as it likes. On a CPU, whose cores the run has, it first takes nothing but what earlier estimates have kept, a
second of a core; what must be counted or measured anew takes tens of seconds of one, and waits until the run has
lasted long enough that this is little beside it. The host's other cores, where a GPU has the run, count at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from bench.engine.local import Ended, Limits, Pool, Task
from bench.engine.process.printed import Log
from bench.grid.cell import Cell
from bench.grid.plan import Bundle, Tuning
from bench.grid.references import ReferenceSpec

BEGINS_AFTER = 2.0  # s: workers are started by then
COUNTS_AFTER = 60.0  # s of a run on a CPU that knows nothing yet
PREDICTION = "the prediction of its time"  #: what such a task is called


@dataclass(frozen=True)
class Left:
    """What a run is to do yet: configurations to be tuned, whose `wanted` cells are trained then, bundles that can be
    trained at once, references, and the timing of all kinds that are not `timed`. `cells`: all of the grid, in whose
    terms counts are kept; `data`: the facts of their data sets by `DataSpec.key`; `name`: the device's; `plugged`: with
    likelihoods or networks whose code may be another next time."""

    cells: tuple[Cell, ...]
    wanted: frozenset[str]
    tunings: tuple[Tuning, ...]
    bundles: tuple[Bundle, ...]
    references: tuple[ReferenceSpec, ...]
    timed: frozenset[str]
    data: Mapping[str, Mapping[str, Any]]
    device: str
    name: str
    workers: int
    plugged: bool


class Foretold:
    """The process that predicts, while the run goes on; to be looked at now and then.

    Args:
        function: "module:name" of what is called with a `Left` and whether it may count; gives the least and the most
            seconds, or None where that cannot be said. "": nothing is predicted.
        first: carried out by the process before.
    """

    def __init__(
        self,
        function: str,
        left: Left,
        first: Task | None,
        limits: Limits | None = None,
        log: Log | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._function, self._left, self._first, self._limits, self._log = function, left, first, limits, log
        self._clock, self._begun = clock, clock()
        self._next = (BEGINS_AFTER, left.device != "cpu")  # when to ask, and whether it may count then
        self._over = not function or not (left.tunings or left.bundles)
        self._pool: Pool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over = True
        self._close()

    def look(self, *, known: bool) -> tuple[float, float] | None:
        """The least and the most seconds of all of it, from its beginning on, once they are there; they are given once.
        `known`: the run knows by its own progress, and asks no more."""
        if known:
            self._over = True
        if self._over:
            self._close()
            return None
        try:
            if self._pool is not None:
                return self._take(self._pool.wait(0.0))
            self._ask()
        except OSError:  # no process can be started: the run says so where it needs one itself
            self._over = True
        return None

    def _ask(self) -> None:
        after, counting = self._next
        if self._clock() - self._begun >= after:
            self._pool = Pool(1, 1, self._first, limits=self._limits, log=self._log)
            self._pool.submit(Task(self._function, (self._left, counting), name=PREDICTION, tries=1))
            self._pool.wait(0.0)

    def _take(self, ended: list[Ended]) -> tuple[float, float] | None:
        for end in ended:
            self._close()
            self._over = end.value is not None or end.failure is not None or self._next[1]
            self._next = (COUNTS_AFTER, True)
            return _range_of(end.value)
        return None

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.__exit__(None, None, None)
            self._pool = None


def _range_of(answer: Any) -> tuple[float, float] | None:
    """Two finite numbers of seconds in order; None for anything else."""
    try:
        low, high = map(float, answer)
    except (TypeError, ValueError):
        return None
    return (low, high) if 0 <= low <= high < math.inf else None
