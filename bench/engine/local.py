"""Worker processes that carry out tasks, one at a time each, and may die without taking anything else along.

A worker imports torch once and lives for many tasks. It is replaced after a task that raised (its process may be
poisoned), left threads behind, died, hung or ran out of time; whatever happens is attributed to the one task that it
had. A task whose worker was lost to something outside is tried once more.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Self

from bench.engine.interrupt import TimeIsUp, raise_again, shielded
from bench.engine.process.death import Failure, Memory
from bench.engine.process.limits import Limits, Peers
from bench.engine.process.printed import Log
from bench.engine.process.remaining import Pace, seconds_left
from bench.engine.process.worker import Ended, Task, Worker

__all__ = ["Ended", "Failure", "Limits", "Pool", "Silent", "Task", "TaskFailed"]

LOOK_SECONDS = 1.0
CALL_TRIES = 5  # of a call, whose failure would end the run


@dataclass(frozen=True)
class Silent:
    """A task that has reported no progress for some seconds, what its worker seems to do meanwhile, and where."""

    task: Task
    seconds: float
    manner: str
    place: str = ""


class TaskFailed(Exception):
    """What `Pool.call` raises; carries the Failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.said or failure.reason)
        self.failure = failure


class Pool:
    """At most `workers` processes with `threads` threads each; they start when there is work for them.

    Each carries out `first` before its first task; where that fails, so does the task. What they print goes to `log`,
    where there is one. Who
    waits at the time `until` (of the monotonic clock), or later, gets TimeIsUp.
    """

    def __init__(
        self,
        workers: int,
        threads: int,
        first: Task | None = None,
        *,
        limits: Limits | None = None,
        log: Log | None = None,
        until: float = math.inf,
    ) -> None:
        self.workers = workers
        self.threads = threads
        self._gpus: Sequence[str] = ()
        self._until = until
        self._parts: list[Ended] = []
        self._first = first
        self._limits = limits or Limits()
        self._log = log
        self._peers = Peers()
        self._paces: dict[str, Pace] = {}
        self._memory = Memory()
        self._queue: deque[Task] = deque()
        self._alive: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with shielded():
            for worker in self._alive:
                worker.end()  # all at once, then one after the other
            while self._alive:
                self._alive.pop().kill()

    def settle(self, facts: Mapping[str, Any], workers: int, threads: int) -> None:
        """From now on so many workers with so many threads, each on one of the GPUs that a worker has told of
        (`prepare_device`), as evenly as may be. Between two tasks."""
        self.workers, self.threads, self._gpus = workers, threads, facts.get("visible", ())
        if facts.get("seen", 1) > 1:  # who looked has hands on all of them
            with shielded():
                while self._alive:
                    self._alive.pop().kill()
        else:
            self.call("bench.engine.process.device:use_threads", threads)

    def beside(self, other: Pool) -> None:
        """From now on its workers see the GPUs that those of the other see."""
        self._gpus = other._gpus

    def submit(self, task: Task, *, first: bool = False) -> None:
        """Queue a task, at the front where `first`."""
        if first:
            self._queue.appendleft(task)
        else:
            place = next((n for n, other in enumerate(self._queue) if other.weight < task.weight), len(self._queue))
            self._queue.insert(place, task)

    @property
    def busy(self) -> bool:
        """Whether any task is queued or under way."""
        return bool(self._queue) or any(worker.task for worker in self._alive)

    def wait(self, seconds: float) -> list[Ended]:
        """The tasks that have ended, waiting for the first of them at most `seconds`."""
        self._feed()
        until = time.monotonic() + seconds
        while True:
            raise_again()
            if time.monotonic() >= self._until:
                raise TimeIsUp
            at_work = [worker for worker in self._alive if worker.task]
            rest = min(
                [min(until, self._until) - time.monotonic(), LOOK_SECONDS, *(worker.soonest() for worker in at_work)]
            )
            handles: list[Any] = [item for w in at_work for item in (w.channel, w.process.sentinel)]
            handles += [worker.printed for worker in self._alive if worker.printed is not None]
            wait(handles, timeout=max(0.0, rest))
            self._memory.look()
            for worker in self._alive:
                worker.hear()
            seen = [end for worker in at_work if (end := worker.look(self._memory, self._peers)) is not None]
            for end in seen:
                if end.failure is None:
                    self._paces.setdefault(end.task.function, Pace()).took(end.task.cost, end.task.size, end.seconds)
            ended = [end for end in seen if not self._tries_again(end)]
            for worker in [worker for worker in self._alive if worker.spent]:
                with shielded():
                    worker.kill()
                    self._alive.remove(worker)
                    self._parts += worker.parts
            if ended or time.monotonic() >= until:
                self._feed()
                return ended
            if seen:
                self._feed()

    def call(self, function: str, *arguments: Any, seconds: float | None = None) -> Any:
        """Carry out one task now and give its value. Raises TaskFailed. Not while other tasks are queued."""
        self.submit(Task(function, arguments, seconds, name=function, tries=CALL_TRIES))
        while True:
            for end in self.wait(60.0):
                if end.failure:
                    raise TaskFailed(end.failure)
                return end.value

    def parts(self) -> list[Ended]:
        """What tasks have handed over ahead of their ends (`bench.engine.process.serve.partly`), each part once. To be
        asked for before their ends are taken."""
        given = self._parts + [part for worker in self._alive for part in worker.parts]
        self._parts = []
        for worker in self._alive:
            worker.parts.clear()
        return given

    def left(self, function: str, more: Sequence[tuple[float, int]] = ()) -> float | None:
        """Seconds that the tasks which carry out a function have left by the clock, as far as that is known by now;
        `more`: costs and sizes of those that are not queued yet."""
        at_work = [worker.under_way for worker in self._alive if worker.task and worker.task.function == function]
        queued = [(task.cost, task.size) for task in self._queue if task.function == function]
        pace = self._paces.get(function, Pace())
        return seconds_left(pace, [one for one in at_work if one], [*queued, *more], self.workers)

    def silent(self, seconds: float) -> list[Silent]:
        """The tasks that have reported no progress for so long, the longest first."""
        found = [
            Silent(worker.task, worker.watch.silence, worker.watch.manner, worker.board.place)
            for worker in self._alive
            if worker.task and worker.watch and worker.watch.silence >= seconds
        ]
        return sorted(found, key=lambda one: -one.seconds)

    def _tries_again(self, end: Ended) -> bool:
        """Queues a task anew that was lost to something outside, unless it was tried often enough."""
        if not (end.failure and end.failure.outside):
            return False
        lost = end.task.lost + 1
        if lost >= end.task.tries or (end.failure.status == "oom" and end.task.divisible):
            return False
        self.submit(replace(end.task, lost=lost), first=True)
        return True

    def _feed(self) -> None:
        while self._queue:
            free = next((worker for worker in self._alive if worker.task is None), None)
            if free is None and len(self._alive) < self.workers:
                with shielded():  # a process that has started is known, whatever signal comes
                    free = Worker(self.threads, self._first, self._limits, self._log, self._idlest())
                    self._alive.append(free)
            if free is None:
                return
            if free.give(self._queue[0], self._peers):
                self._queue.popleft()
            else:  # it died while it had nothing to do
                free.kill()
                self._alive.remove(free)

    def _idlest(self) -> str | None:
        """The GPU that the fewest workers are on, the first of several; None where it does not matter."""
        on = [worker.gpu for worker in self._alive]
        return min(self._gpus, key=on.count, default=None)
