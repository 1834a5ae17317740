"""Workers that are lost to something outside: tried once more, told as what it was, tried again by a resumed run."""

from __future__ import annotations

import dataclasses
import io
import signal
from pathlib import Path
from typing import Any

import pytest

from bench.engine.local import Failure, Limits, Pool, Task, TaskFailed
from bench.engine.process.death import AGAIN, Memory
from bench.engine.progress import Reporter
from bench.store import read_run
from tests.bench.engine.fake_worker import HANGS, RAISES, TASKS
from tests.bench.engine.losing import HERE, LOSES, VICTIM
from tests.bench.engine.test_run import carry_out, diary, grid_of, result_tables, seeds

__all__ = ["diary"]


@pytest.fixture
def times(tmp_path, monkeypatch):
    """Says how often a process is killed from now on."""

    def put(number: int) -> None:
        (tmp_path / "lost").unlink(missing_ok=True)
        monkeypatch.setenv("LOST", str(tmp_path / "lost"))
        monkeypatch.setenv("TIMES", str(number))

    put(0)
    return put


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_a_worker_that_was_killed_once_leaves_no_trace(tmp_path, times, monkeypatch, number):
    grid = seeds(0, 1, VICTIM, 2)
    carry_out(grid, tmp_path / "calm.sqlite")
    monkeypatch.setenv("SIGNAL", str(int(number)))
    times(1)
    summary, _ = carry_out(grid, tmp_path / "r.sqlite", LOSES)
    assert (summary.done, summary.failed, summary.lost) == (4, 0, 0)
    expected = result_tables(tmp_path / "calm.sqlite")
    for name, table in result_tables(tmp_path / "r.sqlite").items():
        assert table.equals(expected[name]), name


def test_killed_every_time_it_is_a_row_that_a_resumed_run_computes(tmp_path, times):
    path = tmp_path / "r.sqlite"
    times(99)
    summary, _ = carry_out(seeds(0, VICTIM, RAISES), path, LOSES)
    assert (summary.done, summary.failed, summary.lost) == (1, 2, 1)
    row = read_run(path).cells.set_index("seed").loc[VICTIM]
    assert (row["status"], row["reason"]) == (
        "failed",
        f"the worker process was killed from outside (SIGKILL), twice; {AGAIN}",
    )
    times(99)
    summary, _ = carry_out(seeds(0, VICTIM, RAISES), path, LOSES)
    assert (summary.computed, summary.lost) == (1, 1), "it is tried again, and what raised is not"
    times(0)
    summary, _ = carry_out(seeds(0, VICTIM, RAISES), path, LOSES)
    assert (summary.done, summary.failed, summary.lost, summary.computed) == (2, 1, 0, 1)
    assert carry_out(seeds(0, VICTIM, RAISES), path, LOSES)[0].computed == 0
    assert carry_out(seeds(0, VICTIM, RAISES), path, LOSES, retry_failed=True)[0].computed == 1


def test_kills_during_the_checks_do_not_end_the_run(tmp_path, times):
    times(3)
    tasks = dataclasses.replace(TASKS, inspect=f"{HERE}:inspects")
    summary, _ = carry_out(seeds(0), tmp_path / "r.sqlite", tasks)
    assert (summary.done, summary.failed) == (1, 0)


def test_a_reference_is_tried_again_too(tmp_path, times):
    path, tasks = tmp_path / "r.sqlite", dataclasses.replace(TASKS, refer=f"{HERE}:refers")

    def png() -> Any:
        return read_run(path).references.set_index("label", drop=False).loc[lambda t: t["cell"].str.contains("png")]

    times(1)
    carry_out(seeds(0), path, tasks)
    assert list(png()["status"]) == ["done"]
    path.unlink()
    times(9)
    carry_out(seeds(0), path, tasks)
    assert list(png()["status"]) == ["failed"]
    assert png()["reason"].item().endswith(AGAIN)
    times(0)
    carry_out(seeds(0), path, tasks)
    assert list(png()["status"]) == ["done"]


def test_memory_that_ran_out_is_oom_and_not_tried_again_by_itself(tmp_path, times, monkeypatch):
    path = tmp_path / "r.sqlite"
    monkeypatch.setattr(Memory, "evidence", lambda self, resident: "it held 15.9 of 16.0 GB")
    times(99)
    summary, _ = carry_out(seeds(0, VICTIM), path, LOSES)
    assert (summary.failed, summary.lost) == (1, 0)
    row = read_run(path).cells.set_index("seed").loc[VICTIM]
    reason = "the worker process was killed (SIGKILL) as memory ran out: it held 15.9 of 16.0 GB, twice"
    told = "; one model alone did not fit: --workers 1 has all of the memory, or --set batch_size=50 asks for less"
    assert (row["status"], row["reason"]) == ("oom", reason + told)
    assert carry_out(seeds(0, VICTIM), path, LOSES)[0].computed == 0


def test_a_neighbour_that_took_the_memory_costs_no_row(tmp_path, times, monkeypatch):
    monkeypatch.setattr(Memory, "evidence", lambda self, resident: "it held 15.9 of 16.0 GB")
    times(1)
    summary, _ = carry_out(seeds(VICTIM), tmp_path / "r.sqlite", LOSES)
    assert (summary.done, summary.failed) == (1, 0)


def end_of(task: Task, first: Task | None = None) -> Failure:
    with Pool(1, 1, first) as pool:
        pool.submit(task)
        while pool.busy:
            for end in pool.wait(1.0):
                assert end.failure
                return end.failure
    raise AssertionError


def test_what_keeps_a_worker_from_beginning_is_no_failure_of_the_cell():
    failure = end_of(Task("os:getpid", ()), Task(f"{HERE}:changed", ()))
    assert failure.reason.endswith(f"), twice; {AGAIN}")
    assert failure.outside
    assert failure.said == "the plug-in was changed while it was in use; begin again"
    failure = end_of(Task("os:getpid", ()), Task("os:_exit", (5,)))
    assert failure.reason == f"the worker process ended by itself (exit code 5) before it began, twice; {AGAIN}"


@pytest.mark.parametrize("first", [None, Task(f"{HERE}:in_trouble", ())], ids=["the task", "what comes before it"])
def test_trouble_of_the_machine_is_tried_once_more_and_that_is_said_once(first):
    failure = end_of(Task(f"{HERE}:in_trouble", ()), first)
    assert (failure.status, failure.outside) == ("failed", True)
    assert failure.reason.startswith("OSError: [Errno 5] Input/output error (losing.py:")
    assert failure.reason.endswith(f"), twice; {AGAIN}")
    assert failure.reason.count(AGAIN) == 1


def test_memory_that_ran_out_before_the_task_is_oom():
    failure = end_of(Task("os:getpid", ()), Task(f"{HERE}:without_memory", ()))
    assert (failure.status, failure.outside) == ("oom", True)
    assert failure.reason.startswith("MemoryError: no room (losing.py:")
    assert failure.reason.endswith("), twice")


def test_a_call_is_tried_more_often_and_then_said():
    with Pool(1, 1) as pool, pytest.raises(TaskFailed, match="killed from outside \\(SIGHUP\\), 5 times"):
        pool.call(f"{HERE}:hangs_up")


# -- hangs -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="sees that a process sleeps in /proc")
def test_one_cell_that_sleeps_is_found_without_a_limit_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.engine.run.SUSPECTED_SECONDS", 3.5)
    limits = Limits(asleep=5.0)
    summary, said = carry_out(seeds(0, 1, HANGS, 2, 3), tmp_path / "r.sqlite", limits=limits)
    assert (summary.done, summary.failed, summary.lost) == (4, 1, 0)
    row = read_run(tmp_path / "r.sqlite").cells.set_index("seed").loc[HANGS]
    assert row["status"] == "timeout"
    assert row["reason"].startswith("hung: asleep for 2.5 s without progress (fake_worker.py:")
    named = [line for line in said.splitlines() if line.startswith("no word from ")]
    assert named, said
    assert all("asleep (fake_worker.py:" in line for line in named), said
    assert max(map(len, said.splitlines())) <= 80
    assert carry_out(seeds(0, 1, HANGS, 2, 3), tmp_path / "r.sqlite", limits=limits)[0].computed == 0


def test_a_suspect_is_named_once_a_minute_and_another_at_once():
    now, stream = [0.0], io.StringIO()
    reporter = Reporter(stream, clock=lambda: now[0])
    reporter.start(10, 0)
    for second in range(150):
        now[0] = second
        name = "gaussian σ=0.1, seed 0, and a very long name of very many options that differ, and 7 more"
        suspect = (name if second < 100 else "laplace", f"for {second} s, asleep") if second >= 20 else ("", "")
        reporter.update(0, 0, suspect=suspect)
    lines = [line for line in stream.getvalue().splitlines() if "no word" in line]
    assert len(lines) == 3
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("no word from gaussian σ=0.1, seed")
    assert lines[0].endswith("and 7 more for 20 s, asleep")
    assert lines[-1] == "no word from laplace for 100 s, asleep"


def test_tunings_and_bundles_have_names(tmp_path, monkeypatch):
    names: list[str] = []
    submit = Pool.submit

    def listen(self: Pool, task: Task, *, first: bool = False) -> None:
        names.append(task.name)
        submit(self, task, first=first)

    monkeypatch.setattr(Pool, "submit", listen)
    carry_out(grid_of("[grid]\nfamily='gaussian'\nsigma=0.1\nseed=[0,1]\n"), tmp_path / "r.sqlite", workers=1)
    assert any(name.endswith("and 1 more") for name in names)
    assert any(name == "the reference png" for name in names)
