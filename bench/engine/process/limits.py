"""How long a task may take where nobody has said so: who makes no progress is ended, and who makes it far beyond
anything that was to be expected.

Three clocks run while a worker reports no progress (`vae_core.numerics.progress`; a step, a block of images), and begin
anew with each report:

- *asleep*: no thread of it, nor of what it started, computes or waits for a processor or a disk (Linux's /proc), and it
  uses less than a fifth of a processor. Honest work is not asleep for a minute between two steps.
- *computing*: seconds of processor time, so that a loaded machine makes nobody late.
- *silent*: all seconds but those in which data are waited for (four hours of these are too many), those without a
  processor or a disk too. Who had neither for most of an hour, or of twice what it may compute, or was stopped
  (SIGSTOP) for ten minutes, did not fail by itself: that counts as coming from outside.

Whole tasks are held to a multiple of what tasks of their kind took in this run, trainings to a multiple of what their
first epoch predicts: fifty times, since refining a score may well take twenty times what another cell of the kind took.

Time in which the parent does not look does not count beyond LOOK_MOST: neither a laptop's sleep nor Ctrl-Z ends a cell.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from bench.engine.process import sight
from bench.engine.process.board import Board
from bench.engine.process.death import Failure

LOOK_MOST = 5.0  # seconds that may count between two looks
_LOOK_LEAST = 0.05  # and that are worth a look at /proc
_QUIET = 2.0  # seconds of silence from which on it is asked whether a process sleeps
_SHARE = 0.2  # of a processor that a sleeping process may use
_WAITS = 4.0  # times the limit of silence for who waits for data


@dataclass(frozen=True)
class Limits:
    """Seconds; of what is left of a bundle that hung, half of `asleep` and `computing`."""

    asleep: float = 60.0
    computing: float = 600.0
    stopped: float = 600.0
    silent: float = 3600.0
    starting: float = 300.0  #: asleep before a task is begun: torch is imported from a slow disk
    whole: float = 1800.0  #: what any task may take
    times: float = 50.0  #: what was to be expected, for a task that takes longer than `whole`


class Limited(Protocol):
    """What of a task its limits depend on."""

    @property
    def seconds(self) -> float | None: ...  # the limit that somebody has set in place of all these
    @property
    def like(self) -> Iterable[str]: ...  # the kinds of what it carries out
    @property
    def cost(self) -> float: ...  # in a unit of its own
    @property
    def suspect(self) -> bool: ...
    @property
    def patience(self) -> float: ...  # times the limit of computing


@dataclass
class Peers:
    """What tasks of each kind took: seconds for a unit of cost, the most of all."""

    _rates: dict[str, float] = field(default_factory=dict)

    def took(self, task: Limited, seconds: float) -> None:
        if task.cost > 0:
            for kind in task.like:
                self._rates[kind] = max(seconds / task.cost, self._rates.get(kind, 0.0))

    def expected(self, task: Limited) -> float | None:
        """Seconds; None where a kind of it has not ended well in this run."""
        rates = [self._rates.get(kind) for kind in task.like]
        known = [rate for rate in rates if rate is not None]
        return max(known) * task.cost if known and len(known) == len(rates) else None


class Watch:
    """The clocks of one task of one process."""

    def __init__(self, task: Limited, process: int, board: Board, limits: Limits, peers: Peers, now: float) -> None:
        self._task, self._process, self._board, self._limits, self._peers = task, process, board, limits, peers
        self.begun = False
        self.elapsed = 0.0  #: since it was begun
        self.silence = 0.0  #: since it last reported progress
        self.manner = ""  #: in which it is silent: "asleep", "computing", "stopped", "waiting"
        self.resident = 0  #: bytes of memory, when they were seen last
        self._asleep = self._computing = self._stopped = self._waited = 0.0
        self._training, self._trained = 0.0, 0.0
        self._last, self._done = now, board.done
        self._seen: tuple[float, sight.Seen] | None = None

    def begin(self, now: float) -> None:
        self.begun = True
        self._last = now
        self._fresh()

    def elapsed_at(self, now: float) -> float:
        """Seconds since it was begun, by now and not only by the last look."""
        return self.elapsed + (min(now - self._last, LOOK_MOST) if self.begun else 0.0)

    def soonest(self) -> float:
        """Seconds until a limit may be reached."""
        limits, share = self._limits, 0.5 if self._task.suspect else 1.0
        if self._task.seconds is not None:
            return self._task.seconds - self.elapsed if self.begun else 1.0
        return max(_LOOK_LEAST, share * min(limits.asleep, limits.computing) / 4)

    def look(self, now: float) -> Failure | None:
        """How the task ended if it is over now by a limit."""
        passed = min(now - self._last, LOOK_MOST)
        self._last = now
        self.elapsed += passed if self.begun else 0.0
        self._look_at_training(passed)
        if self._board.done != self._done:
            self._done = self._board.done
            self._fresh()
        else:
            self.silence += passed
            self._look_at_silence(now)
        if self._task.seconds is not None and self.begun:
            return self._over(self._task.seconds)
        return self._silent_for_too_long() or self._longer_than_expected()

    def remember_memory(self) -> None:
        self.resident = sight.resident(self._process) or self.resident

    def _fresh(self) -> None:
        self.silence = self._asleep = self._computing = self._stopped = self._waited = 0.0
        self.manner, self._seen = "", None

    def _look_at_training(self, passed: float) -> None:
        stage, _ = self._board.training
        if stage != self._training:
            self._training, self._trained = stage, 0.0
        self._trained += passed if stage else 0.0

    def _look_at_silence(self, now: float) -> None:
        """Adds what has passed to the clock that it belongs to."""
        limits = self._limits
        if self.silence < min(_QUIET, limits.asleep / 4) or (self._seen and now - self._seen[0] < _LOOK_LEAST):
            return
        before, self._seen = self._seen, None
        seen = sight.look(self._process)
        if seen is None:
            self._computing += min(self.silence if before is None else now - before[0], LOOK_MOST)
            self.manner, self._seen = "computing", (now, sight.Seen(0.0, awake=True, stopped=False))
            return
        self._seen = now, seen
        if before is None:
            return
        passed = min(now - before[0], LOOK_MOST)
        used = min(max(0.0, seen.processor - before[1].processor), passed)
        if seen.stopped:
            self.manner = "stopped"
            self._stopped += passed
        elif self._board.waiting:
            self.manner = "waiting"
            self._waited += passed
        elif seen.awake or used >= _SHARE * passed:
            self.manner = "computing"
            self._computing += used
        else:
            self.manner = "asleep"
            self._asleep += passed

    def _over(self, seconds: float) -> Failure | None:
        if self.elapsed < seconds:
            return None
        return Failure("timeout", f"took longer than its time limit of {seconds:g} s{self._at()}")

    def _silent_for_too_long(self) -> Failure | None:
        limits, share = self._limits, 0.5 if self._task.suspect and self.begun else 1.0
        asleep = share * limits.asleep if self.begun else max(limits.starting, limits.asleep)
        computing = share * limits.computing * self._task.patience
        if self._asleep >= asleep:
            return Failure(
                "timeout", f"hung: asleep for {asleep:g} s without progress{self._at()}", outside=not self.begun
            )
        if self._computing >= computing:
            return Failure("timeout", f"hung: computed for {computing:g} s without progress{self._at()}")
        if self._stopped >= limits.stopped:
            return Failure("timeout", f"the worker process was stopped for {limits.stopped:g} s", outside=True)
        waiting = self._board.waiting
        silent = _WAITS * limits.silent if waiting else max(limits.silent, 2 * computing)  # so that the words are true
        if self.silence - (0.0 if waiting else self._waited) >= silent:
            manner = "waiting for data" if waiting else "for most of which it got no processor or disk"
            return Failure("timeout", f"no progress for {silent:g} s, {manner}{self._at()}", outside=True)
        return None

    def _longer_than_expected(self) -> Failure | None:
        limits = self._limits
        expected = self._peers.expected(self._task)
        if expected is not None and self.elapsed >= max(limits.whole, limits.times * expected):
            reason = f"took {self.elapsed:.0f} s, over {limits.times:g} times what its kind took in this run"
            return Failure("timeout", reason + self._at())
        stage, predicted = self._board.training
        if stage and self._trained >= max(limits.whole, limits.times * predicted):
            reason = f"trained for {self._trained:.0f} s, over {limits.times:g} times what its first epoch predicts"
            return Failure("timeout", reason + self._at())
        return None

    def _at(self) -> str:
        place = self._board.place if self.silence else ""
        return f" ({place})" if place else ""
