"""Ctrl-C reaches a run also where Python swallows it."""

from __future__ import annotations

import io
import signal
import threading
import time

import pytest

from bench.cli.app import carry_out
from bench.engine.interrupt import Interrupted, TimeIsUp, heard, raise_again
from bench.engine.local import Pool
from bench.engine.progress import Reporter
from bench.engine.run import Options, run_grid
from bench.grid.read import parse_grid
from bench.store import read_run
from tests.bench.engine.fake_worker import TASKS


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


# -- a limit of time ---------------------------------------------------------------------------------------------------


def test_a_run_ends_when_its_time_is_over_and_goes_on_when_it_is_run_again(tmp_path, monkeypatch):
    path, stream = tmp_path / "r.sqlite", io.StringIO()
    monkeypatch.setenv("FAKE_STOP_AFTER", "2")  # the third bundle of the worker would take its time
    grid = parse_grid("[grid]\nfamily='gaussian'\nsigma=0.1\nlatent=[2, 3, 4, 5]\n", "g", "g.toml")
    begun = time.monotonic()
    with pytest.raises(Interrupted) as stopped, Reporter(stream) as reporter:
        run_grid(grid, path, Options(workers=1, time_limit=8.0), reporter, TASKS)
    assert time.monotonic() - begun < 60
    assert (stopped.value.done, stopped.value.total, stopped.value.given) == (2, 4, 8.0)
    assert (read_run(path).cells["status"] == "done").sum() == 2
    monkeypatch.delenv("FAKE_STOP_AFTER")
    with Reporter(stream) as reporter:
        summary = run_grid(grid, path, Options(workers=1, time_limit=600.0), reporter, TASKS)
    assert (summary.done, summary.computed) == (4, 2)


def test_a_pool_says_that_time_is_up_also_where_nobody_works():
    with Pool(1, 1, until=time.monotonic() + 0.2) as pool:
        pool.wait(0.01)
        with pytest.raises(TimeIsUp):
            pool.wait(60.0)
        with pytest.raises(TimeIsUp):
            pool.call("os:getpid")


def test_the_command_line_says_so_and_ends_as_by_ctrl_c(tmp_path, monkeypatch, capsys):
    def stops(grid, path, options, reporter, tasks=None):
        assert options.time_limit == 0.5
        raise Interrupted(3, 9, options.time_limit)

    monkeypatch.setattr("bench.engine.run.run_grid", stops)
    assert carry_out(["run", "smoke", "--time-limit", "0.5", "--out", str(tmp_path / "r.sqlite")]) == 130
    said = capsys.readouterr().err
    assert "the time limit of 0.5 s is over: 3 of 9 cells are done and kept; the same command resumes." in said


@pytest.mark.parametrize("seconds", ["0", "-5", "nan", "soon"])
def test_a_limit_that_is_none_is_refused(tmp_path, capsys, seconds):
    assert carry_out(["run", "smoke", "--time-limit", seconds, "--out", str(tmp_path / "r.sqlite")]) == 2
    assert "--time-limit" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
