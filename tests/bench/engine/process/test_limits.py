"""How long a silent task may go on, and that no honest one is ended: clocks by hand, and processes that hang."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from bench.engine.local import Limits, Pool, Task
from bench.engine.process import sight
from bench.engine.process.death import AGAIN, Failure
from bench.engine.process.limits import LOOK_MOST, Peers, Watch
from bench.engine.process.sight import Seen
from vae_core.numerics import progress

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="sees processes in /proc")


@dataclasses.dataclass
class Board:
    """What a worker says of itself."""

    done: float = 0.0
    waiting: bool = False
    training: tuple[float, float] = (0.0, 0.0)
    place: str = "plugin.py:3"


class Told:
    """A watch over a process that does what a test says, a second at a time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, task: Task | None = None, **given: Any) -> None:
        self.board, self.peers, self.now, self.used = Board(), Peers(), 0.0, 0.0
        self.seen: Seen | None = None
        monkeypatch.setattr(sight, "look", lambda process: self.seen)
        task = task or Task("", ())
        self.watch = Watch(task, 1, self.board, Limits(**given), self.peers, self.now)  # type: ignore[arg-type]
        self.watch.begin(self.now)

    def goes_on(self, seconds: float, *, share: float, awake: bool = False, stopped: bool = False, step: float = 1.0):
        """It uses a share of a processor for so long; the failure, and when it came."""
        until = self.now + seconds
        while self.now < until:
            self.now += step
            self.used += share * step
            self.seen = Seen(self.used, awake, stopped)
            if failure := self.watch.look(self.now):
                return failure, self.now
        return None


def test_asleep_for_a_minute_is_a_hang(monkeypatch):
    told = Told(monkeypatch)
    failure, when = told.goes_on(1000, share=0.001)
    assert failure == Failure("timeout", "hung: asleep for 60 s without progress (plugin.py:3)")
    assert 60 <= when <= 65


def test_a_part_of_what_hung_is_given_half_of_that(monkeypatch):
    failure, when = Told(monkeypatch, Task("", (), suspect=True)).goes_on(1000, share=0.0)
    assert "asleep for 30 s" in failure.reason
    assert 30 <= when <= 35


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_computing_without_progress_is_ended_by_processor_time(monkeypatch, share):
    failure, when = Told(monkeypatch).goes_on(5000, share=share, awake=True)
    assert failure.reason == "hung: computed for 600 s without progress (plugin.py:3)"
    assert when * share == pytest.approx(600, rel=0.02), "a loaded machine makes nobody late"


@pytest.mark.parametrize("told_by", ["a thread that waits for a processor or a disk", "a fifth of a processor"])
def test_who_waits_for_a_processor_is_not_asleep(monkeypatch, told_by):
    awake = "thread" in told_by
    assert Told(monkeypatch).goes_on(600, share=0.002 if awake else 0.25, awake=awake) is None


def test_any_progress_begins_the_clocks_anew(monkeypatch):
    told = Told(monkeypatch)
    for _ in range(50):
        assert told.goes_on(55, share=0.0) is None
        told.board.done += 1


def test_who_waits_for_data_is_not_asleep(monkeypatch):
    told = Told(monkeypatch)
    told.board.waiting = True
    assert told.goes_on(3000, share=0.0) is None
    told.board.waiting = False
    assert told.goes_on(100, share=0.0) is not None


def test_without_a_processor_for_an_hour_it_came_from_outside(monkeypatch):
    failure, when = Told(monkeypatch).goes_on(9000, share=0.0, awake=True)
    reason = "no progress for 3600 s, for most of which it got no processor or disk (plugin.py:3)"
    assert failure == Failure("timeout", reason, outside=True)
    assert 3600 <= when <= 3605


@pytest.mark.parametrize(("silent", "limit"), [(3600.0, 14400), (10.0, 40)])
def test_who_waits_for_data_is_told_so_with_the_limit_that_it_was_held_to(monkeypatch, silent, limit):
    told = Told(monkeypatch, silent=silent)
    told.board.waiting = True
    failure, when = told.goes_on(20000, share=0.0)  # which is not asleep
    assert failure == Failure("timeout", f"no progress for {limit} s, waiting for data (plugin.py:3)", outside=True)
    assert limit <= when <= limit + 5


def test_after_a_wait_for_data_it_is_given_as_long_as_any_other(monkeypatch):
    told = Told(monkeypatch)
    told.board.waiting = True
    assert told.goes_on(7200, share=0.0) is None
    told.board.waiting = False
    failure, when = told.goes_on(9000, share=0.0, awake=True)
    assert "for most of which it got no processor or disk" in failure.reason
    assert 7200 + 3595 <= when <= 7200 + 3605


@pytest.mark.parametrize(
    ("share", "reason"), [(0.9, "hung: computed for 3600 s"), (0.4, "no progress for 7200 s, for")]
)
def test_a_patient_task_that_computes_is_not_told_that_it_got_no_processor(monkeypatch, share, reason):
    """As of references, of which a step may take an hour: the processor was theirs all the time."""
    failure, _ = Told(monkeypatch, Task("", (), patience=6.0)).goes_on(20000, share=share, awake=True)
    assert failure.reason.startswith(reason)
    assert failure.outside == (share < 0.5)


def test_stopped_for_ten_minutes_it_came_from_outside(monkeypatch):
    failure, when = Told(monkeypatch).goes_on(9000, share=0.0, stopped=True)
    assert failure == Failure("timeout", "the worker process was stopped for 600 s", outside=True)
    assert 600 <= when <= 605
    assert failure.final(2).reason == f"the worker process was stopped for 600 s, twice; {AGAIN}"


def test_time_in_which_nobody_looked_does_not_count(monkeypatch):
    """A laptop that slept, a run that Ctrl-Z stopped."""
    told = Told(monkeypatch)
    assert told.goes_on(20, share=0.0) is None
    for _ in range(3):
        assert told.goes_on(3600, share=0.0, step=3600.0) is None
    assert told.watch.silence == 20 + 3 * LOOK_MOST
    limited = Told(monkeypatch, Task("", (), seconds=30.0))
    assert limited.goes_on(3600, share=0.0, step=3600.0) is None


def test_a_limit_that_somebody_has_set_is_in_place_of_all_others(monkeypatch):
    failure, when = Told(monkeypatch, Task("", (), seconds=5000.0)).goes_on(9000, share=0.0)
    assert failure.reason == "took longer than its time limit of 5000 s (plugin.py:3)"
    assert when == 5000
    assert Told(monkeypatch, Task("", (), seconds=float("inf"))).goes_on(20000, share=0.0, step=5) is None


def test_what_its_kind_took_is_a_limit_for_who_makes_progress(monkeypatch):
    task = Task("", (), like=("a",), cost=2.0)
    told = Told(monkeypatch, task)
    told.peers.took(Task("", (), like=("a", "b"), cost=1.0), 40.0)

    def slowly() -> tuple[Failure, float]:
        while (end := told.goes_on(10, share=1.0)) is None:
            told.board.done += 1
        return end

    failure, when = slowly()
    assert failure.reason.startswith("took 4000 s, over 50 times what its kind took in this run")
    assert when == 50 * 2 * 40.0


def test_a_kind_that_nobody_knows_has_no_such_limit():
    peers = Peers()
    peers.took(Task("", (), like=("a",), cost=1.0), 1.0)
    assert peers.expected(Task("", (), like=("a", "b"), cost=1.0)) is None
    assert peers.expected(Task("", (), cost=1.0)) is None
    assert peers.expected(Task("", (), like=("a",), cost=3.0)) == 3.0


def test_a_training_is_held_to_what_its_first_epoch_predicts(monkeypatch):
    told = Told(monkeypatch)
    told.board.training = (1.0, 100.0)
    while (end := told.goes_on(10, share=1.0)) is None:
        told.board.done += 1
    assert end[0].reason.startswith("trained for 5000 s, over 50 times what its first epoch predicts")
    another = Told(monkeypatch)
    for stage in range(1, 20):
        another.board.training = (float(stage), 10.0)
        another.board.done += 1
        assert another.goes_on(50, share=1.0) is None, "each training has its own"


# -- processes ---------------------------------------------------------------------------------------------------------


def sleep_for_ever() -> None:
    while True:
        time.sleep(1000)


def spin() -> None:
    while True:
        pass


def work_slowly(steps: int) -> str:
    """Sleeps for most of its time, as a test's own long step would, and says what it has done."""
    for _ in range(steps):
        time.sleep(0.5)
        progress.made()
    return "done"


def stop_once(marker: str) -> str:
    """Is stopped from outside, the first time."""
    if not os.path.exists(marker):  # noqa: PTH110
        os.close(os.open(marker, os.O_CREAT))
        os.kill(os.getpid(), signal.SIGSTOP)
    return "done"


HERE = "tests.bench.engine.process.test_limits"


def end_of(task: Task, **given: float) -> Any:
    with Pool(1, 1, limits=Limits(**given)) as pool:
        pool.submit(task)
        while pool.busy:
            for end in pool.wait(1.0):
                return end
    return None


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "reason"),
    [("sleep_for_ever", "hung: asleep for 5 s without progress (test_limits.py:"), ("spin", "hung: computed for 5 s")],
)
def test_a_process_that_hangs_is_ended_and_its_place_told(function, reason):
    end = end_of(Task(f"{HERE}:{function}", ()), asleep=5.0, computing=5.0)
    assert end.failure.status == "timeout"
    assert end.failure.reason.startswith(reason)
    assert "(test_limits.py:" in end.failure.reason


@needs_proc
@pytest.mark.slow
def test_a_process_that_makes_progress_is_not_however_long_it_takes():
    assert end_of(Task(f"{HERE}:work_slowly", (8,)), asleep=2.0, computing=2.0).value == "done"


@needs_proc
@pytest.mark.slow
def test_a_process_that_somebody_has_stopped_is_tried_once_more(tmp_path):
    end = end_of(Task(f"{HERE}:stop_once", (str(tmp_path / "marker"),)), stopped=2.0)
    assert end.value == "done"
    assert end.task.lost == 1


def start_a_process() -> int:
    return subprocess.Popen(["sleep", "86398"]).pid


@needs_proc
def test_what_a_worker_has_started_ends_with_it():
    with Pool(1, 1) as pool:
        child = pool.call(f"{HERE}:start_a_process")
        assert sight.look(child)
    until = time.monotonic() + 60
    while (state := sight._fields(sight.PROC / str(child) / "stat")) and state[0] != "Z":
        assert time.monotonic() < until
        time.sleep(0.01)
