"""SIGTERM, SIGHUP and Ctrl-C, once and in bursts: the sentence, the exit code, all that had ended, nobody left."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench.engine import interrupt
from bench.engine.interrupt import ending, heard, raise_again, shielded
from tests.bench.engine.test_run import LARGE, ROOT, gone, rows, wait_for

#: what the command line does with a worker without torch
SCRIPT = """
import sys, bench.cli, bench.engine.run as run, tests.bench.engine.fake_worker as fake
run.Tasks = lambda: fake.TASKS
sys.argv = ["vae-bench", "run", *sys.argv[1:]]
bench.cli.main()
"""
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for left-over processes in /proc")


class Started:
    """A run in a process of its own, two of whose bundles end, and no more."""

    def __init__(self, folder: Path, *arguments: str, **options: object) -> None:
        self.path, self.diary = folder / "r.sqlite", folder / "diary"
        (folder / "large.toml").write_text(LARGE)
        self.command = [sys.executable, "-c", SCRIPT, str(folder / "large.toml"), "--out", str(self.path)]
        self.command += ["--workers", "2", *arguments]
        self.environment = {
            **os.environ,
            "FAKE_STOP_AFTER": "1",
            "FAKE_DIARY": str(self.diary),
            "PYTHONPATH": str(ROOT),
        }
        self.options = options

    def begin(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command,
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **self.options,  # type: ignore[call-overload]
        )

    def workers(self) -> set[int]:
        return {int(line.split()[0]) for line in self.diary.read_text().splitlines()}

    def ended_well(self, said: str) -> None:
        assert "Traceback" not in said
        assert "KeyboardInterrupt" not in said
        kept = rows(self.path)
        assert kept > 0
        assert f"interrupted: {kept} of 54 cells are done and kept; the same command resumes." in said
        wait_for(lambda: all(map(gone, self.workers())), 10)
        assert sorted(file.name for file in self.path.parent.iterdir()) == ["diary", "large.toml", "r.sqlite"]


@pytest.fixture
def started(tmp_path):
    return Started(tmp_path)


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_each_ends_a_run_with_the_sentence_and_its_exit_code(started, number):
    process = started.begin()
    wait_for(lambda: rows(started.path) > 0)
    process.send_signal(number)  # to the run alone, as kill and a service manager do it
    _, said = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    started.ended_well(said)


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("apart", [0.0, 0.05, 0.3])
def test_three_in_a_row_are_one(started, apart):
    process = started.begin()
    wait_for(lambda: rows(started.path) > 0)
    for _ in range(3):
        try:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to all of them
        except ProcessLookupError:
            break
        time.sleep(apart)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    started.ended_well(said)


@needs_proc
@pytest.mark.slow
def test_many_of_several_kinds_at_once(started):
    process = started.begin()
    wait_for(lambda: rows(started.path) > 0)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode in (128 + signal.SIGHUP, 130, 143)  # which of them comes first is the kernel's choice
    started.ended_well(said)


@needs_proc
@pytest.mark.slow
def test_a_terminal_that_is_closed_ends_a_run_like_ctrl_c(started):
    process, terminal = pty.fork()
    if process == 0:  # in the child, which has a terminal of its own
        os.chdir(ROOT)
        os.execve(sys.executable, started.command, started.environment)
    wait_for(lambda: rows(started.path) > 0)
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status == 128 + signal.SIGHUP
    wait_for(lambda: all(map(gone, started.workers())), 10)
    assert rows(started.path) > 0


@needs_proc
@pytest.mark.slow
def test_nohup_goes_on(started, monkeypatch):
    started.environment.pop("FAKE_STOP_AFTER")
    started.environment["FAKE_SECONDS"] = "0.3"
    started.options = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    process = started.begin()
    wait_for(lambda: rows(started.path) > 0)
    os.killpg(process.pid, signal.SIGHUP)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert out.startswith("54 done, 0 failed")


@pytest.mark.slow
def test_a_reader_that_goes_away_costs_no_result(started):
    started.environment.pop("FAKE_STOP_AFTER")
    process = started.begin()
    assert process.stderr
    process.stderr.close()
    assert process.stdout
    assert process.stdout.read().startswith("54 done, 0 failed")
    process.wait(30)
    assert rows(started.path) > 54  # with the references


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_before_there_is_anything_to_keep_it_is_one_word(started, number):
    started.environment["FAKE_STOP_AFTER"] = "0"
    process = started.begin()
    time.sleep(0.7)  # somewhere in imports, grid, checks
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    if process.returncode == -number:
        pytest.skip("it came before Python had begun")
    assert process.returncode == 128 + number
    assert said.splitlines()[-1].startswith(("vae-bench: interrupted.", "interrupted: 0 of 54 cells"))


@pytest.mark.slow
def test_a_thread_that_a_plug_in_leaves_in_the_run_s_own_process_does_not_block_its_end(tmp_path, started):
    plugin = tmp_path / "leaves.py"
    text = (ROOT / "examples" / "triangular.py").read_text().replace("class Triangular", "class Leaves")
    plugin.write_text(f"{text}\nimport threading, time\nthreading.Thread(target=time.sleep, args=(10**6,)).start()\n")
    (tmp_path / "large.toml").write_text("[grid]\nfamily='leaves'\n")
    started.environment.pop("FAKE_STOP_AFTER")
    started.command += ["--plugin", str(plugin)]
    (tmp_path / "large.toml").write_text("[grid]\nfamily='leaves'\n")
    process = started.begin()
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert out.startswith("1 done, 0 failed")


# -- the notes that are taken ------------------------------------------------------------------------------------------


class Clock:
    """A clock that goes on when a test says so, however long the machine stands still meanwhile."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """That of the notes; the module alone has it, and not all that else looks at the time."""
    clock = Clock()
    monkeypatch.setattr(interrupt, "time", clock)
    return clock


def test_sigterm_is_raised_as_ctrl_c_is_and_as_before_afterwards():
    before = [signal.getsignal(number) for number in interrupt.SIGNALS]
    for number in interrupt.SIGNALS:
        with heard():
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
            assert interrupt.exit_code() == 128 + number
    assert [signal.getsignal(number) for number in interrupt.SIGNALS] == before


def test_the_rest_of_a_burst_is_part_of_the_first(clock):
    with heard():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.exit_code() == 130


def test_a_signal_long_after_one_that_was_swallowed_is_raised_again(clock):
    with heard():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        clock.now += 1.25 * interrupt.IMPATIENCE
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_behind_a_shield_it_waits_for_the_end():
    done = []

    def work() -> None:
        with shielded():
            with shielded():
                signal.raise_signal(signal.SIGTERM)
                done.append("inner")
            done.append("outer")
        done.append("not reached")

    with heard(), pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["inner", "outer"]


def test_while_a_run_is_being_ended_and_just_after_nothing_is_raised(clock):
    before = signal.default_int_handler
    signal.signal(signal.SIGINT, before)
    with heard(to_the_end=True):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        ending()
        clock.now += 1.25 * interrupt.IMPATIENCE
        signal.raise_signal(signal.SIGINT)
        raise_again()
    clock.now += 0.75 * interrupt.IMPATIENCE
    signal.raise_signal(signal.SIGINT)  # the third of an impatient burst
    clock.now += 0.5 * interrupt.IMPATIENCE
    with pytest.raises(KeyboardInterrupt):  # another one is for whoever listened before
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def test_a_run_after_one_that_was_interrupted_leaves_what_was_there_before_both():
    before = signal.getsignal(signal.SIGTERM)
    for _ in range(2):
        with heard(to_the_end=True):
            ending()
    assert signal.getsignal(signal.SIGTERM) is not before
    with heard():
        ending()
    assert signal.getsignal(signal.SIGTERM) is before


def test_one_hears_for_all():
    with heard():
        listener = signal.getsignal(signal.SIGINT)
        with heard():
            assert signal.getsignal(signal.SIGINT) is listener
        assert signal.getsignal(signal.SIGINT) is listener


def test_a_thread_leaves_signals_alone():
    def work() -> None:
        with heard(), shielded():
            raise_again()

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
