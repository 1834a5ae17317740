"""What is printed besides goes into a log, which takes the place of nothing."""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from pathlib import Path

import pytest

from bench.engine.local import Pool, TaskFailed
from bench.engine.process.printed import HEAD, Log, aside


@pytest.fixture
def run(tmp_path):
    return tmp_path / "r.sqlite"


def test_nothing_printed_leaves_nothing(run):
    log = Log(run)
    log.begin()
    assert log.close() == ""
    assert list(run.parent.iterdir()) == []


def test_it_is_kept_until_there_is_a_run_and_says_who_was_at_work(run):
    log = Log(run)
    log.take("first", b"one\ntwo")
    assert list(run.parent.iterdir()) == []
    log.begin()
    log.take("first", b" and a half\n")
    log.take("second", b"three\n")
    assert log.close() == f"what plug-ins and libraries printed is in {run.with_suffix('.log')}"
    content = run.with_suffix(".log").read_bytes()
    assert content.startswith(HEAD)
    assert content.partition(HEAD)[2].split(b"\n", 1)[1] == b"[first]\none\ntwo and a half\n[second]\nthree\n"


def test_what_was_printed_where_no_run_came_of_it_is_put_aside(run):
    log = Log(run)
    log.take("a check", b"why\n")
    place = log.close().removeprefix("what was printed meanwhile is in ")
    try:
        assert Path(place).read_text() == "[a check]\nwhy\n"
    finally:
        Path(place).unlink()
    assert list(run.parent.iterdir()) == []


def test_a_resumed_run_adds_to_it_and_a_fresh_one_begins_again(run):
    for word in (b"one\n", b"two\n"):
        log = Log(run)
        log.begin()
        log.take("x", word)
        log.close()
    content = run.with_suffix(".log").read_bytes()
    assert (content.count(HEAD), content.count(b"one\n"), content.count(b"two\n")) == (1, 1, 1)
    fresh = Log(run)
    fresh.begin(fresh=True)
    assert not run.with_suffix(".log").exists(), "of the run that is no more"
    assert fresh.close() == ""


@pytest.mark.parametrize("what", ["a log of one's own", "a folder", "a pipe", "a link"])
def test_what_is_no_log_of_a_run_is_left_alone(run, what):
    place = run.with_suffix(".log")
    if what == "a folder":
        place.mkdir()
    elif what == "a pipe":
        os.mkfifo(place)
    elif what == "a link":
        (run.parent / "target").write_text("mine")
        place.symlink_to(run.parent / "target")
    else:
        place.write_text("mine")
    before = place.lstat()
    log = Log(run)
    log.begin(fresh=True)
    log.take("x", b"junk\n")
    assert log.close() == f"what plug-ins and libraries printed is in {run.with_name('r.printed.log')}"
    assert place.lstat().st_mode == before.st_mode
    if stat.S_ISREG(before.st_mode) or what == "a link":
        assert place.read_text() == "mine"


def test_not_more_is_kept_than_there_is_room_for(run):
    log = Log(run, most=100)
    log.begin()
    for _ in range(1000):
        log.take("x", b"0123456789\n")
    log.close()
    content = run.with_suffix(".log").read_bytes()
    assert len(content) < 400
    assert content.endswith(b"# 10900 bytes more are not kept.\n")


def test_a_log_that_cannot_be_written_is_said_and_ends_nothing(run, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    log = Log(run)
    log.begin()
    monkeypatch.setattr(os, "write", full)
    log.take("x", b"junk\n")
    log.take("x", b"junk\n")
    assert log.close() == "what plug-ins printed could not be kept (No space left on device)"


def test_what_this_process_prints_besides_is_kept_from_the_terminal(capfd):
    with aside() as kept:
        print("by Python")
        print("by Python, of errors", file=sys.stderr)
        os.write(1, b"by the system\n")
        ctypes.CDLL(None).puts(b"by C")
        ctypes.CDLL(None).fflush(None)
        print("the run's own line", file=kept.terminal)
        taken = kept.take().decode()
    print("afterwards")
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("afterwards\n", "the run's own line\n")
    assert sorted(taken.splitlines()) == ["by C", "by Python", "by Python, of errors", "by the system"]


def test_what_nobody_took_is_named(capfd):
    with aside():
        print("alone")
    line = capfd.readouterr().err
    place = line.removeprefix("what was printed meanwhile is in ").rstrip()
    assert Path(place).read_text() == "alone\n"
    Path(place).unlink()


def shout() -> str:
    print("in a worker")
    os.write(2, b"at once\n")
    ctypes.CDLL(None).printf(b"from C, which keeps it back\n")
    return "done"


def shout_for_ever() -> None:
    while True:
        os.write(1, b"x" * 65536)


def test_workers_print_into_the_log(run, capfd):
    log = Log(run)
    log.begin()
    with Pool(1, 1, log=log) as pool:
        assert pool.call("tests.bench.engine.process.test_printed:shout") == "done"
    log.close()
    assert capfd.readouterr() == ("", "")
    content = run.with_suffix(".log").read_text()
    assert content.endswith("shout]\nin a worker\nat once\nfrom C, which keeps it back\n")


@pytest.mark.slow
def test_who_prints_without_end_neither_fills_the_disk_nor_stops_the_run(run):
    log = Log(run, most=1000)
    log.begin()
    with Pool(1, 1, log=log) as pool, pytest.raises(TaskFailed, match="time limit"):
        pool.call("tests.bench.engine.process.test_printed:shout_for_ever", seconds=1.0)
    log.close()
    assert run.with_suffix(".log").stat().st_size < 1500
