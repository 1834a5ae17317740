"""Worker processes that carry out tasks, one at a time each, and may die without taking anything else along.

A worker imports torch once and lives for many tasks. It is replaced after a task that raised (its process may be
poisoned), died or ran out of time; whatever happens is attributed to the one task that it had.
"""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self

from bench.engine.interrupt import raise_again
from bench.engine.memory import keep_freed_memory

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
START_SECONDS = 300.0  # for importing torch on a slow disk; no part of a task's time limit
WATCH_SECONDS = 1.0
PR_SET_PDEATHSIG = 1
STARTED, ENDED, RAISED = "started", "ended", "raised"


@dataclass(frozen=True)
class Task:
    """A function, as "module:name" so that only the worker imports it, its arguments, and its time limit in seconds. Of
    those in a queue the heaviest goes first, so that no worker is left alone with a long one at the end."""

    function: str
    arguments: tuple[Any, ...]
    seconds: float | None = None
    weight: float = 0.0


@dataclass(frozen=True)
class Failure:
    """Why a task gave nothing. `status` is "failed", "oom" or "timeout"; `said` is the message of an error meant for
    people (a ValueError or OSError), None for anything else."""

    status: str
    reason: str
    said: str | None = None


@dataclass(frozen=True)
class Ended:
    """A task that ended: with a value, or with a failure."""

    task: Task
    value: Any = None
    failure: Failure | None = None


class TaskFailed(Exception):
    """What `Pool.call` raises; carries the Failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.said or failure.reason)
        self.failure = failure


class Pool:
    """At most `workers` processes with `threads` threads each; they start when there is work for them.

    Each carries out `first` before its first task; where that fails, so does the task.
    """

    def __init__(self, workers: int, threads: int, first: Task | None = None) -> None:
        self.workers = workers
        self.threads = threads
        self._first = first
        self._queue: deque[Task] = deque()
        self._alive: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        while self._alive:
            self._alive.pop().kill()

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
            at_work = [worker for worker in self._alive if worker.task]
            soonest = min([until, *(worker.deadline for worker in at_work)])
            handles: list[Any] = [worker.connection for worker in at_work] + [w.process.sentinel for w in at_work]
            wait(handles, timeout=max(0.0, soonest - time.monotonic()))
            ended = [end for worker in at_work if (end := worker.look()) is not None]
            for worker in [worker for worker in self._alive if worker.spent]:
                worker.kill()
                self._alive.remove(worker)
            if ended or time.monotonic() >= until:
                self._feed()
                return ended

    def call(self, function: str, *arguments: Any, seconds: float | None = None) -> Any:
        """Carry out one task now and give its value. Raises TaskFailed. Not while other tasks are queued."""
        self.submit(Task(function, arguments, seconds))
        while True:
            for end in self.wait(60.0):
                if end.failure:
                    raise TaskFailed(end.failure)
                return end.value

    def _feed(self) -> None:
        while self._queue:
            free = next((worker for worker in self._alive if worker.task is None), None)
            if free is None and len(self._alive) < self.workers:
                free = _Worker(self.threads, self._first)
                self._alive.append(free)
            if free is None:
                return
            if free.give(self._queue[0]):
                self._queue.popleft()
            else:  # it died while it had nothing to do
                free.kill()
                self._alive.remove(free)


class _Worker:
    """The parent's side of one process."""

    def __init__(self, threads: int, first: Task | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, os.getpid(), first), daemon=True)
        with _inherited(threads):
            self.process.start()
        theirs.close()
        self.task: Task | None = None
        self.deadline = float("inf")
        self.spent = False

    def give(self, task: Task) -> bool:
        """Hand over a task; False if the process is no more."""
        try:
            self.connection.send((task.function, task.arguments))
        except OSError:
            return False
        self.task = task
        self.deadline = time.monotonic() + START_SECONDS + (task.seconds or float("inf"))
        return True

    def look(self) -> Ended | None:
        """How the task ended, if it did."""
        task = self.task
        if task is None:
            return None
        alive = self.process.is_alive()  # before reading: what a dead process said last is still to be heard
        try:
            while self.connection.poll():
                word, value = self.connection.recv()
                if word == STARTED:
                    self.deadline = time.monotonic() + (task.seconds or float("inf"))
                    continue
                self.task, self.deadline, self.spent = None, float("inf"), word == RAISED
                return Ended(task, failure=value) if word == RAISED else Ended(task, value)
        except (EOFError, OSError):
            alive = False
        except Exception as error:  # whatever unpickling may raise
            return self._lost(task, Failure("failed", f"the worker's answer could not be read: {error}"))
        if not alive:
            self.process.join(5)
            return self._lost(task, _how_it_died(self.process.exitcode))
        if time.monotonic() >= self.deadline:
            return self._lost(task, Failure("timeout", f"took longer than its time limit of {task.seconds:g} s"))
        return None

    def _lost(self, task: Task, failure: Failure) -> Ended:
        self.task, self.deadline, self.spent = None, float("inf"), True
        return Ended(task, failure=failure)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


@contextmanager
def _inherited(threads: int) -> Iterator[None]:
    """What a process started inside inherits: the number and manner of its threads, which libraries read while they are
    imported, and deafness to Ctrl-C, which is the parent's to handle."""
    resource_tracker.ensure_running()  # multiprocessing's own helper; while it starts it undoes the mask below
    # Threads that spin while they wait stand still together as soon as another program wants a core: five times slower
    # on two cores with two threads. Asleep they cost a few microseconds a wake.
    wanted = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _how_it_died(code: int | None) -> Failure:
    if code == -signal.SIGKILL:
        reason = "the worker process was killed (SIGKILL), most likely because memory ran out"
        return Failure("oom", reason)
    if code is not None and code < 0:
        return Failure("failed", f"the worker process died of {signal.Signals(-code).name}")
    return Failure("failed", f"the worker process ended by itself (exit code {code})")


# -- in the worker process ---------------------------------------------------------------------------------------------


def _serve(connection: Connection, parent: int, first: Task | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()
    _die_with(parent)
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        try:
            if first:
                _resolve(first.function)(*first.arguments)
                first = None
            call = _resolve(function)
            connection.send((STARTED, None))
            connection.send((ENDED, call(*arguments)))
        except Exception as error:
            connection.send((RAISED, _told(error)))


def _resolve(function: str) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def _told(error: Exception) -> Failure:
    words = " ".join(str(error).split())[:500]
    frame = traceback.extract_tb(error.__traceback__)[-1]
    raised_at = f"{os.path.basename(frame.filename)}:{frame.lineno}"  # noqa: PTH119  a path's last part, no file
    memory = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "can't allocate memory" in words
    said = words if isinstance(error, ValueError | OSError) else None
    return Failure("oom" if memory else "failed", f"{type(error).__name__}: {words} ({raised_at})", said)


def _die_with(parent: int) -> None:
    """End this process when its parent has ended, however it ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
