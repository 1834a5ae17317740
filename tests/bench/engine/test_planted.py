"""One grid with every kind of trouble planted in it: these rows fail, for the reasons that they have, and no others."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.engine import plugins
from bench.engine.local import Limits
from bench.engine.progress import Reporter
from bench.engine.run import Options, run_grid
from bench.grid.errors import on_stderr
from bench.grid.read import parse_grid
from bench.store import read_run
from tests.bench.engine import planted

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for left-over processes in /proc")
#: status and reason of each; of a hang the line that it hangs at
ENDS = {
    "raises": ("failed", r"RuntimeError: no such thing \(raises\.py:\d+\)"),
    "mumbles": ("failed", r"Mute: \(its message raises ValueError\) \(mumbles\.py:\d+\)"),
    "gives_nan": ("failed", r"the training objective was no longer finite at step 1 \(epoch 1\)"),
    "sleeps": ("timeout", r"hung: asleep for \d+(\.5)? s without progress \(sleeps\.py:\d+\)"),
    "waits_for_a_lock": ("timeout", r"hung: asleep for \d+(\.5)? s without progress \(waits_for_a_lock\.py:\d+\)"),
    "polls": ("timeout", r"hung: asleep for \d+(\.5)? s without progress \(polls\.py:\d+\)"),
    "computes_for_ever": ("timeout", r"hung: computed for \d+(\.5)? s without progress \(computes_for_ever\.py:\d+\)"),
    "allocates": ("oom", r".*can't allocate memory.* \(allocates\.py:\d+\); one model alone did not fit: .*"),
    "exits": ("failed", r"the worker process ended by itself \(exit code 7\)"),
    "says_goodbye": ("failed", r"the worker process ended by itself \(exit code 3\)"),
    "segfaults": ("failed", r"the worker process died of SIGSEGV"),
    "aborts": ("failed", r"the worker process died of SIGABRT"),
}
#: a kind each; `python -m tests.bench.engine.planted` has all of them
FAMILIES = (
    *("raises", "gives_nan", "sleeps", "computes_for_ever", "allocates", "exits", "segfaults"),
    *("prints_junk", "leaves_a_thread", "leaves_a_process"),
)
JUNK = ("junk of print", "junk of stderr", "junk of fd 1", "junk of fd 2", "junk of C")


def carry_out(folder: Path, families: tuple[str, ...]) -> tuple[Path, str, str]:
    """The run file, what the terminal showed, and what the run says of its log."""
    plugins.add(planted.plant(folder, families), on_stderr)
    stream, path = io.StringIO(), folder / "r.sqlite"
    grid = parse_grid(planted.grid(families).replace("seed = [0, 1]", "seed = 0"), "planted", "planted.toml")
    limits = Limits(asleep=8, computing=8)  # in place of 60 and 600
    with Reporter(stream) as reporter:
        summary = run_grid(grid, path, Options(limits=limits, workers=2), reporter)
    assert summary.done + summary.failed == len(grid.cells)
    assert summary.lost == 0
    return path, stream.getvalue(), summary.log


@needs_proc
@pytest.mark.slow
def test_exactly_these_rows_fail_and_nothing_is_left(tmp_path, same_catalogue_afterwards):
    assert set(planted.TROUBLE) == {*ENDS, *planted.DONE}
    path, said, log = carry_out(tmp_path, FAMILIES)
    rows = read_run(path).cells.set_index("family")
    for family, row in rows.iterrows():
        status, reason = ENDS.get(family, ("done", ""))
        assert row["status"] == status, (family, row["reason"])
        assert not reason or re.fullmatch(reason, row["reason"]), (family, row["reason"])
    assert set(rows.index) == {*FAMILIES, "triangular", "continuous_bernoulli"}
    assert "hung" not in said
    assert not any(junk in said for junk in JUNK), "it is for the log"
    written = path.with_suffix(".log").read_text(errors="replace")
    assert all(junk in written for junk in JUNK)
    assert log == f"what plug-ins and libraries printed is in {path.with_suffix('.log')}"
    assert list(still_asleep()) == [], "what a plug-in has started ends with its worker"


def still_asleep() -> Iterator[str]:
    """The processes that `leaves_a_process` has started."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return (line for line in listed.splitlines() if line == "sleep 86399")
