"""What a lost worker is said to have died of: memory on evidence alone, the outside where it was not itself."""

from __future__ import annotations

import errno
import signal
from pathlib import Path

import pytest

from bench.engine.process.death import AGAIN, Memory, came_from_outside, of_error, of_exit

GIGABYTE = 1_000_000_000


class Machine:
    """A /proc and control groups of a test's own."""

    def __init__(self, folder: Path, group: str, line: str) -> None:
        self.proc, self.cgroups = folder / "proc", folder / "cgroup"
        self.events = self.cgroups / group / "memory.events"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "self" / "cgroup").write_text(f"1:cpu:/\n{line}\n")
        self.group = self.cgroups / group
        self.group.mkdir(parents=True)
        self.free(8)
        (self.proc / "vmstat").write_text("pgfault 1\noom_kill 5\n")

    def free(self, gigabytes: float) -> None:
        kilobytes = int(gigabytes * 1_000_000_000 / 1024)
        (self.proc / "meminfo").write_text(f"MemTotal: 15625000 kB\nMemFree: 1 kB\nMemAvailable: {kilobytes} kB\n")

    def memory(self) -> Memory:
        memory = Memory(self.cgroups, self.proc)
        memory.look()
        return memory


@pytest.fixture(params=["version 2", "version 1", "inside of a container"])
def machine(request, tmp_path):
    if request.param == "version 1":
        machine = Machine(tmp_path, "memory/job", "4:memory:/job")
        machine.events = machine.group / "memory.oom_control"
        machine.events.write_text("oom_kill_disable 0\noom_kill 2\n")
    else:
        inside = request.param != "version 2"
        machine = Machine(tmp_path, "." if inside else "job", "0::/job")
        machine.events.write_text("high 0\noom_kill 2\n")
    return machine


def test_without_evidence_nobody_speaks_of_memory(machine):
    memory = machine.memory()
    assert memory.evidence(GIGABYTE) is None
    assert memory.evidence(0) is None
    assert memory.most() == 16 * GIGABYTE


def test_what_the_control_group_counts_is_evidence(machine):
    memory = machine.memory()
    machine.events.write_text(machine.events.read_text().replace("oom_kill 2", "oom_kill 3"))
    assert memory.evidence(GIGABYTE) == "the kernel counts a process killed for it, and it held 1.0 of 16.0 GB"


def test_what_it_counted_long_ago_is_none(machine, monkeypatch):
    memory = machine.memory()
    machine.events.write_text(machine.events.read_text().replace("oom_kill 2", "oom_kill 3"))
    memory.look(at_once=True)
    monkeypatch.setattr("bench.engine.process.death._RECENT", -1.0)
    assert memory.evidence(GIGABYTE) is None


@pytest.mark.parametrize(("held", "is_evidence"), [(8 * GIGABYTE, True), (GIGABYTE // 10, False)])
def test_what_the_machine_counts_is_evidence_against_a_large_process(machine, held, is_evidence):
    memory = machine.memory()
    (machine.proc / "vmstat").write_text("oom_kill 6\n")
    assert (memory.evidence(held) is not None) == is_evidence


@pytest.mark.parametrize(("held", "is_evidence"), [(4 * GIGABYTE, True), (GIGABYTE // 10, False)])
def test_so_is_memory_that_was_nearly_gone(machine, held, is_evidence):
    """As where a program of the machine's own, and not its kernel, ends the largest process."""
    memory = machine.memory()
    machine.free(0.1)
    memory.look(at_once=True)
    assert (memory.evidence(held) is not None) == is_evidence


def test_a_limit_of_the_group_is_what_there_is(tmp_path):
    machine = Machine(tmp_path, "job", "0::/job")
    (machine.group / "memory.max").write_text("2000000000\n")
    memory = machine.memory()
    assert memory.most() == 2 * GIGABYTE
    assert memory.evidence(int(1.9 * GIGABYTE)) == "it held 1.9 of 2.0 GB"
    (machine.group / "memory.max").write_text("max\n")
    assert memory.most() == 16 * GIGABYTE


def test_a_machine_that_tells_nothing_is_no_evidence(tmp_path):
    memory = Memory(tmp_path / "none", tmp_path / "none")
    memory.look(at_once=True)
    assert memory.evidence(10**12) is None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU])
def test_a_signal_that_was_sent_came_from_outside(number):
    failure = of_exit(-number, begun=True, evidence=None)
    assert (failure.status, failure.outside) == ("failed", True)
    last = failure.final(2)
    assert last.reason == f"the worker process was killed from outside ({number.name}), twice; {AGAIN}"
    assert came_from_outside(last.reason)


@pytest.mark.parametrize("code", [-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, 0, 3])
def test_what_it_did_itself_is_its_own(code):
    failure = of_exit(code, begun=True, evidence="it held all there is")
    assert (failure.status, failure.outside) == ("failed", False)
    assert failure.final(1) is failure
    assert not came_from_outside(failure.reason)


def test_memory_that_ran_out_is_no_matter_of_the_outside_in_the_end():
    failure = of_exit(-signal.SIGKILL, begun=True, evidence="it held all there is")
    assert (failure.status, failure.outside) == ("oom", True)
    assert not came_from_outside(failure.final(2).reason)


def test_who_never_began_did_nothing():
    assert of_exit(1, begun=False, evidence=None).outside


class Nasty(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "status", "again"),
    [
        (MemoryError(), "oom", False),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "oom", False),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "oom", False),
        (RuntimeError("std::bad_alloc"), "oom", False),
        (OSError(errno.EIO, "Input/output error"), "failed", True),
        (OSError(errno.ENOSPC, "No space left on device"), "failed", True),
        (FileNotFoundError(errno.ENOENT, "No such file"), "failed", False),
        (ValueError("wrong"), "failed", False),
        (Nasty(), "failed", False),
    ],
)
def test_errors(error, status, again):
    failure = of_error(error, "a.py:1")
    assert failure.status == status
    assert failure.outside == again
    assert AGAIN not in failure.reason, "said once, when it was tried for the last time"
    assert came_from_outside(failure.final(2).reason) == again
    assert "(a.py:1)" in failure.reason
