"""The parent's side of one worker process: a task goes in, how it ended comes out, whatever becomes of the process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from bench.engine.process import sight
from bench.engine.process.board import Board
from bench.engine.process.death import Failure, Memory, of_exit
from bench.engine.process.device import VISIBLE
from bench.engine.process.limits import Limits, Peers, Watch
from bench.engine.process.messages import Inbox, post
from bench.engine.process.printed import Log
from bench.engine.process.remaining import UnderWay
from bench.engine.process.serve import ENDED, LEFT_OVER, PART, RAISED, STARTED, serve

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
TAKE_SECONDS = 60.0  # for a worker with nothing to do to take a task; no part of a task's time limit
END_SECONDS = 5.0  # for a process that was killed to be gone; one that waits for a dead disk stays longer
_READ_BYTES, _READS = 1 << 16, 16


@dataclass(frozen=True)
class Task:
    """A function, as "module:name" so that only the worker imports it, and its arguments.

    seconds: its time limit; None: those of `Limits`, by what it is `like` (kinds of what it carries out), its `cost`,
        and whether it is `suspect`, a part of what hung; `patience` times as long for computing without a word.
    weight: of those in a queue the heaviest goes first, so that no worker is left alone with a long one at the end.
    name: what people call it.
    tries: how often it is tried where its worker is lost to something outside. divisible: what is lost for want of
        memory is not tried again as it is.
    size: of how many things it is, each of which takes a while whatever it costs.
    parts: how many of its value it hands over ahead of its end (`bench.engine.process.serve.partly`).
    """

    function: str
    arguments: tuple[Any, ...]
    seconds: float | None = None
    weight: float = 0.0
    name: str = ""
    like: tuple[str, ...] = ()
    cost: float = 0.0
    suspect: bool = False
    patience: float = 1.0
    tries: int = 2
    divisible: bool = False
    size: int = 0
    parts: int = 0
    lost: int = 0


@dataclass(frozen=True)
class Ended:
    """A task that ended: with a value, or with a failure; and the seconds that it took since it was begun."""

    task: Task
    value: Any = None
    failure: Failure | None = None
    seconds: float = 0.0


class Worker:
    """The parent's side of one process."""

    def __init__(
        self, threads: int, first: Task | None, limits: Limits, log: Log | None, gpu: str | None = None
    ) -> None:
        """`gpu`: the only one that it sees, as CUDA_VISIBLE_DEVICES names it; None: whatever its parent may."""
        self.gpu = gpu
        context = multiprocessing.get_context("spawn")
        self.channel, theirs = socket.socketpair()
        self.channel.setblocking(False)
        self.board = Board(context)
        self.printed: Connection | None = None
        into: Connection | None = None
        if log:
            self.printed, into = context.Pipe(duplex=False)
        call = (first.function, first.arguments) if first else None
        arguments = (theirs, self.board, into, os.getpid(), call)
        self.process = context.Process(target=serve, args=arguments, daemon=True)
        with _inherited(threads, gpu):
            self.process.start()
        theirs.close()
        if self.printed and into:
            into.close()
            os.set_blocking(self.printed.fileno(), False)
        self.task: Task | None = None
        self.watch: Watch | None = None
        self.spent = False
        self.parts: list[Ended] = []  #: of what its task gives, not taken away yet
        self._given: list[float] = []  # when each part was there
        self._inbox = Inbox(self.channel)
        self._limits, self._log = limits, log
        self._who = "a worker"

    def give(self, task: Task, peers: Peers) -> bool:
        """Hand over a task; False if the process is no more, or does not take it."""
        try:
            post(self.channel, (task.function, task.arguments), TAKE_SECONDS)
        except OSError:
            return False
        self.task, self._who = task, task.name or task.function
        self._given = []
        self.watch = Watch(task, self.process.pid or 0, self.board, self._limits, peers, time.monotonic())
        return True

    @property
    def under_way(self) -> UnderWay | None:
        """How far its task is; None where it has none."""
        if self.task is None or self.watch is None:
            return None
        seconds = self.watch.elapsed_at(time.monotonic())
        return UnderWay(self.task.cost, self.task.size, seconds, self.task.parts, tuple(self._given))

    def soonest(self) -> float:
        """Seconds until its task may have to be ended."""
        return self.watch.soonest() if self.watch else TAKE_SECONDS

    def look(self, memory: Memory, peers: Peers) -> Ended | None:
        """How the task ended, if it did."""
        task, watch = self.task, self.watch
        if task is None or watch is None:
            return None
        alive = self.process.is_alive()  # before reading: what a dead process said last is still to be heard
        try:
            for word, value in self._inbox.messages():
                if word == STARTED:
                    watch.begin(time.monotonic())
                    continue
                if word == PART:
                    self.parts.append(Ended(task, value))
                    self._given.append(watch.elapsed_at(time.monotonic()))
                    continue
                if word in (ENDED, LEFT_OVER):
                    peers.took(task, watch.elapsed)
                if word == RAISED:
                    return self._over(task, value.final(task.lost + 1), spent=True, failed=True)
                return self._over(task, value, spent=word == LEFT_OVER, failed=False)
        except Exception as error:  # whatever unpickling may raise
            failure = Failure("failed", f"the worker's answer could not be read: {error}")
            return self._over(task, failure, spent=True, failed=True)
        if not alive or self._inbox.closed:
            if not alive or self._ends_by_itself():
                evidence = memory.evidence(watch.resident)
                failure = of_exit(self.process.exitcode, begun=watch.begun, evidence=evidence)
            else:
                failure = Failure("failed", "the worker process closed its connection")
            return self._over(task, failure.final(task.lost + 1), spent=True, failed=True)
        watch.remember_memory()
        if failure_by_limit := watch.look(time.monotonic()):
            return self._over(task, failure_by_limit.final(task.lost + 1), spent=True, failed=True)
        return None

    def _ends_by_itself(self) -> bool:
        self.process.join(END_SECONDS)
        return self.process.exitcode is not None

    def _over(self, task: Task, value: Any, *, spent: bool, failed: bool) -> Ended:
        seconds = self.watch.elapsed_at(time.monotonic()) if self.watch else 0.0
        self.task, self.watch, self.spent = None, None, spent
        return Ended(task, failure=value, seconds=seconds) if failed else Ended(task, value, seconds=seconds)

    def hear(self) -> None:
        """Passes on what it has printed; not all at once of one that prints without end."""
        for _ in range(_READS):
            if self.printed is None or self._log is None:
                return
            try:
                content = os.read(self.printed.fileno(), _READ_BYTES)
            except BlockingIOError:
                return
            if not content:
                self.printed.close()
                self.printed = None
                return
            self._log.take(self._who, content)

    def end(self) -> None:
        """Kills it, with what it has started, and does not wait."""
        started = sight.descendants(self.process.pid or 0)
        self.process.kill()
        sight.end(started)

    def kill(self) -> None:
        """Ends it and all that there is of it here."""
        self.end()
        self.process.join(END_SECONDS)
        self.hear()
        self.channel.close()
        if self.printed is not None:
            self.printed.close()
            self.printed = None


@contextmanager
def _inherited(threads: int, gpu: str | None) -> Iterator[None]:
    """What a process started inside inherits: the number and manner of its threads, which libraries read while they are
    imported, the GPU that it sees, and deafness to Ctrl-C, which is the parent's to handle."""
    resource_tracker.ensure_running()  # multiprocessing's own helper; while it starts it undoes the mask below
    # Threads that spin while they wait stand still together as soon as another program wants a core: five times slower
    # on two cores with two threads. Asleep they cost a few microseconds a wake.
    wanted = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    if gpu is not None:
        wanted[VISIBLE] = gpu
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
