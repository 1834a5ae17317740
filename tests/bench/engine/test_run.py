"""The run: what is stored, what is done again, and what becomes of workers and runs that are killed."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.engine.progress import Reporter, duration
from bench.engine.run import Interrupted, Options, RunError, Summary, Tasks, run_grid
from bench.grid.errors import on_stderr
from bench.grid.read import Grid, parse_grid
from bench.store import RunFile, StoreError, read_run
from tests.bench.engine import fake_worker
from tests.bench.engine.fake_worker import DIES, EXITS, HANGS, MUMBLES, RAISES, RUNS_OUT, SEGFAULTS, SILENT, TASKS

ROOT = Path(__file__).parents[3]
SMALL = "[grid]\nfamily='gaussian'\nsigma=[0.1, 0.2, 'shared']\nseed=[0, 1, 2]\n"


def grid_of(text: str, name: str = "small") -> Grid:
    return parse_grid(text, name, f"{name}.toml")


def seeds(*values: int) -> Grid:
    return grid_of(f"[grid]\nfamily='gaussian'\nsigma=0.1\nseed={list(values)}\n")


@pytest.fixture
def diary(tmp_path, monkeypatch):
    """What the workers did, a line each: (process, what)."""
    path = tmp_path / "diary"
    monkeypatch.setenv("FAKE_DIARY", str(path))

    def read() -> list[tuple[int, str]]:
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [(int(process), what) for process, _, what in (line.partition(" ") for line in lines)]

    return read


def carry_out(grid: Grid, path: Path, tasks: Tasks = TASKS, **options: Any) -> tuple[Summary, str]:
    stream = io.StringIO()
    options.setdefault("workers", 2)
    with Reporter(stream) as reporter:
        summary = run_grid(grid, path, Options(**options), reporter, tasks)
    return summary, stream.getvalue()


def result_tables(path: Path) -> dict[str, pd.DataFrame]:
    """Everything that is a result, in an order that does not depend on who ended first."""
    tables = read_run(path)
    cells = tables.cells.drop(columns=["provenance"]).sort_values("cell", ignore_index=True)
    keys = {
        "bounds": ["cell", "samples"],
        "per_image": ["cell", "image"],
        "latents": ["cell", "dimension"],
        "calibration": ["cell", "bin"],
    }
    return {"cells": cells} | {
        name: getattr(tables, name).sort_values(by, ignore_index=True) for name, by in keys.items()
    }


# -- what is stored ----------------------------------------------------------------------------------------------------


def test_every_cell_ends_with_its_own_numbers(tmp_path, diary):
    grid, path = grid_of(SMALL), tmp_path / "results" / "r.sqlite"
    summary, _ = carry_out(grid, path, arguments=["run", "/secret/small.toml", "--out=/secret/r.sqlite"])
    assert (summary.done, summary.failed, summary.computed) == (9, 0, 9)
    tables = read_run(path)
    assert set(tables.cells["cell"]) == {cell.id for cell in grid.cells}
    for cell in grid.cells:
        expected = fake_worker.result(cell)
        row = tables.cells.set_index("cell").loc[cell.id]
        assert row["iw_nats"] == expected.values["iw_nats"]
        assert row["train_images_per_s"] == 5.0
    assert set(tables.throughput["kind"]) == {cell.kind for cell in grid.cells}
    assert tables.meta["data"]["digits"]["checksum"] == "c0ffee00"
    assert tables.meta["grid"] == SMALL
    (provenance,) = tables.provenance
    assert provenance["command"] == "vae-bench run small.toml --out=r.sqlite"
    assert provenance["device"]["name"] == "fake"
    assert str(Path.home()) not in json.dumps(provenance)
    assert str(ROOT) not in json.dumps(provenance)
    assert [file.name for file in path.parent.iterdir()] == ["r.sqlite"]
    assert Counter(what.split()[0] for _, what in diary())["inspect"] == 1


def test_threads_are_shared_out_before_torch_is_imported(tmp_path, diary, monkeypatch):
    monkeypatch.setattr("bench.engine.run.cores", lambda: 6)
    before = dict(os.environ)
    carry_out(grid_of(SMALL), tmp_path / "r.sqlite", workers=2)
    assert dict(os.environ) == before
    (provenance,) = read_run(tmp_path / "r.sqlite").provenance
    assert provenance["device"]["threads"] == "3"
    assert "measure 2 with 6 threads" in {what for _, what in diary()}, "speed is measured with nothing beside it"


# -- what is done again ------------------------------------------------------------------------------------------------


def test_a_finished_run_starts_no_worker(tmp_path, diary):
    grid, path = grid_of(SMALL), tmp_path / "r.sqlite"
    carry_out(grid, path)
    before = path.read_bytes()
    diary()
    summary, _ = carry_out(grid, path, Tasks("no:where", "no:where", "no:where", "no:where"))
    assert (summary.done, summary.computed) == (9, 0)
    assert diary() == []
    assert len(read_run(path).provenance) == 1
    assert len(path.read_bytes()) == len(before)


def test_a_larger_grid_computes_what_is_new_and_a_smaller_one_hides_what_is_not_in_it(tmp_path, diary):
    path = tmp_path / "r.sqlite"
    carry_out(seeds(0, 1), path)
    diary()
    summary, said = carry_out(seeds(1, 2), path)
    assert (summary.done, summary.computed) == (2, 1)
    assert "1 of 2 cells are missing" in said
    tables = read_run(path)
    assert set(tables.cells["seed"]) == {1, 2}
    assert len(tables.provenance) == 2
    assert dict(zip(tables.cells["seed"], tables.cells["provenance"], strict=True)) == {1: 1, 2: 2}
    assert set(tables.cells["train_images_per_s"]) == {5.0}, "a new cell has the speed of its kind, timed before"
    summary, _ = carry_out(seeds(0, 1, 2), path)
    assert (summary.done, summary.computed) == (3, 0), "hidden cells are not forgotten"


def test_failed_cells_stay_failed_until_asked(tmp_path, diary, monkeypatch):
    path = tmp_path / "r.sqlite"
    summary, _ = carry_out(seeds(0, RAISES), path)
    assert (summary.done, summary.failed) == (1, 1)
    diary()
    summary, _ = carry_out(seeds(0, RAISES), path)
    assert (summary.done, summary.failed, summary.computed) == (1, 1, 0)
    assert diary() == []
    monkeypatch.setattr(fake_worker, "RAISES", -1)  # in this process only: the worker fails again
    summary, _ = carry_out(seeds(0, RAISES), path, retry_failed=True)
    assert (summary.done, summary.failed, summary.computed) == (1, 1, 1)
    good = dataclasses.replace(TASKS, carry_out="tests.bench.engine.losing:all_is_well")
    summary, _ = carry_out(seeds(0, RAISES), path, good, retry_failed=True)
    assert (summary.done, summary.failed, summary.computed) == (2, 0, 1)
    assert read_run(path).cells["reason"].isna().all()


def test_fresh_begins_again(tmp_path):
    path = tmp_path / "r.sqlite"
    carry_out(seeds(0, 1), path)
    summary, _ = carry_out(seeds(1), path, fresh=True)
    assert summary.computed == 1
    file = RunFile.open(path, on_stderr)
    assert len(file.statuses()) == 1
    file.close()


def test_other_data_under_the_same_name_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "r.sqlite"
    carry_out(seeds(0), path)
    before = path.read_bytes()
    monkeypatch.setenv("FAKE_CHECKSUM", "deadbeef")
    with pytest.raises(RunError, match=r"digits is not what .* was begun with .*restore the data, or run with --fresh"):
        carry_out(seeds(0, 1), path)
    assert path.read_bytes() == before
    carry_out(seeds(0, 1), path, fresh=True)
    assert read_run(path).meta["data"]["digits"]["checksum"] == "deadbeef"


def test_facts_are_kept_for_each_thing_that_is_made_of_the_data(tmp_path, monkeypatch):
    path = tmp_path / "r.sqlite"
    text = "[grid]\nfamily='gaussian'\nsigma=0.1\n"
    carry_out(grid_of(text), path)
    monkeypatch.setenv("FAKE_CHECKSUM", "deadbeef")
    carry_out(grid_of(text + "train_images=[10, 20]\nquantise=16\n"), path)
    facts = read_run(path).meta["data"]
    assert {key: facts[key]["checksum"] for key in facts} == {
        "digits": "c0ffee00",
        "digits quantise=16 train_images=10": "deadbeef",
        "digits quantise=16 train_images=20": "deadbeef",
    }
    monkeypatch.setenv("FAKE_CHECKSUM", "another0")
    with pytest.raises(RunError, match="the data set digits quantise=16 train_images=20 is not what"):
        carry_out(grid_of(text + "train_images=20\nquantise=16\nseed=[0, 1]\n"), path)


def test_a_measurement_that_fails_costs_no_result_and_is_tried_again(tmp_path, monkeypatch):
    path = tmp_path / "r.sqlite"
    monkeypatch.setenv("FAKE_MEASURE", "raise")
    summary, said = carry_out(seeds(0), path)
    assert summary.done == 1
    assert "the speed was not measured: RuntimeError: no clock" in said
    monkeypatch.delenv("FAKE_MEASURE")
    summary, _ = carry_out(seeds(0), path)
    assert summary.computed == 0
    assert read_run(path).cells["train_images_per_s"].item() == 5.0


# -- bad cells ---------------------------------------------------------------------------------------------------------

TROUBLE = {
    DIES: ("failed", r"killed from outside \(SIGKILL\), twice; running again tries it again$"),
    SEGFAULTS: ("failed", "died of SIGSEGV"),
    EXITS: ("failed", r"ended by itself \(exit code 3\)"),
    HANGS: ("timeout", "time limit of 0.8 s"),
    RAISES: ("failed", r"RuntimeError: a bad bundle \(fake_worker\.py:\d+\)"),
    RUNS_OUT: ("oom", "MemoryError: 300 GB wanted"),
    MUMBLES: ("failed", "pickle"),
    SILENT: ("failed", "gave no result for this cell"),
}


@pytest.mark.slow
@pytest.mark.parametrize("trouble", TROUBLE)
def test_a_bad_cell_takes_none_of_its_bundle_along(tmp_path, trouble):
    grid = seeds(0, 1, 2, trouble, 3, 4, 5, 6)
    summary, _ = carry_out(grid, tmp_path / "r.sqlite", timeout=0.8 if trouble == HANGS else None)
    rows = read_run(tmp_path / "r.sqlite").cells.set_index("seed")
    assert (summary.done, summary.failed) == (7, 1)
    assert list(rows.index[rows["status"] != "done"]) == [trouble]
    status, reason = TROUBLE[trouble]
    assert rows.loc[trouble, "status"] == status
    assert pd.Series([rows.loc[trouble, "reason"]]).str.contains(reason).all(), rows.loc[trouble, "reason"]


def test_all_scorings_of_a_bad_model_fail_together(tmp_path):
    grid = grid_of(f"[grid]\nfamily='mse_sum'\nseed=[0, {RAISES}]\n")
    summary, _ = carry_out(grid, tmp_path / "r.sqlite")
    rows = read_run(tmp_path / "r.sqlite").cells
    assert (summary.done, summary.failed) == (9, 9)
    assert set(rows.loc[rows["status"] == "failed", "seed"]) == {RAISES}


def test_workers_are_replaced_after_trouble(tmp_path, diary):
    carry_out(seeds(0, RAISES, 1, DIES, 2), tmp_path / "r.sqlite", workers=1)
    work = [process for process, what in diary() if what.startswith("digits-")]
    assert len(set(work)) > 3


def test_values_that_no_column_takes_fail_their_cell_only(tmp_path):
    tasks = dataclasses.replace(TASKS, carry_out="tests.bench.engine.losing:odd_values")
    summary, _ = carry_out(seeds(0, 1), tmp_path / "r.sqlite", tasks)
    assert (summary.done, summary.failed) == (1, 1)
    assert "no column takes: bits" in set(read_run(tmp_path / "r.sqlite").cells["reason"].dropna()).pop()


# -- nothing begins that cannot go on ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "options", "sentence"),
    [
        (grid_of("[grid]\nfamily='gaussian'\ndataset='digist'\n"), {}, "unknown data set 'digist'"),
        (seeds(0), {"device": "cuda"}, "there is none here"),
        (
            grid_of("[grid]\nfamily='gaussian'\nprecision=['float32', 'tf32']\n"),
            {},
            r"^precision 'tf32' needs a CUDA device .* and this is cpu: take 'float32' or 'bf16'\.$",
        ),
    ],
)
def test_bad_data_device_or_precision_leave_nothing_behind(tmp_path, grid, options, sentence):
    with pytest.raises(RunError, match=sentence):
        carry_out(grid, tmp_path / "results" / "r.sqlite", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fresh", [False, True])
def test_bad_data_leave_an_older_run_as_it_was(tmp_path, fresh):
    path = tmp_path / "r.sqlite"
    carry_out(seeds(0), path)
    before = path.read_bytes()
    with pytest.raises(RunError, match="unknown data set"):
        carry_out(grid_of("[grid]\nfamily='gaussian'\ndataset='digist'\n"), path, fresh=fresh)
    assert path.read_bytes() == before


def test_fresh_spares_what_is_no_run(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("a year of notes")
    for fresh, error in ((True, RunError), (False, StoreError)):
        with pytest.raises(error, match=r"notes\.txt"):
            carry_out(seeds(0), path, fresh=fresh)
    assert path.read_text() == "a year of notes"


def test_a_file_of_another_version_is_replaced_by_fresh(tmp_path):
    path = tmp_path / "r.sqlite"
    carry_out(seeds(0), path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="newer version"):
        carry_out(seeds(0), path)
    assert carry_out(seeds(0), path, fresh=True)[0].computed == 1


def test_a_disk_that_fills_up_ends_the_run_and_room_lets_it_go_on(tmp_path, monkeypatch):
    path = tmp_path / "r.sqlite"
    grid = grid_of("[grid]\nfamily='gaussian'\nsigma=0.1\nlatent=[1,2,3,4,5,6,7,8]\n")  # a bundle each
    honest = RunFile.write

    def small(self, results, provenance):
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        self._connection.execute(f"PRAGMA max_page_count = {pages}")
        honest(self, results, provenance)

    monkeypatch.setattr(RunFile, "write", small)
    with pytest.raises(StoreError, match="the disk is full"):
        carry_out(grid, path)
    kept = len(read_run(path).cells)
    assert 0 < kept < 8
    monkeypatch.undo()
    summary, _ = carry_out(grid, path)
    assert (summary.done, summary.computed) == (8, 8 - kept)


# -- kill -9 and Ctrl-C ------------------------------------------------------------------------------------------------

LARGE = "[grid]\nfamily=['gaussian', 'laplace']\nsigma=[0.1, 'shared', 'pixel']\nlatent=[2, 3, 4]\nseed=[0, 1, 2]\n"


@pytest.fixture
def large(tmp_path):
    file = tmp_path / "large.toml"
    file.write_text(LARGE)
    return file


def start(grid: Path, out: Path, diary: Path, seconds: float) -> subprocess.Popen[str]:
    environment = {**os.environ, "FAKE_SECONDS": str(seconds), "FAKE_DIARY": str(diary)}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bench.engine.fake_worker", str(grid), str(out)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def rows(path: Path) -> int:
    if not path.exists():
        return 0
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    try:
        return int(connection.execute("SELECT count(*) FROM cells").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


def wait_for(condition, seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def gone(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for left-over processes in /proc")
def test_killed_at_any_moment_a_run_resumes_to_the_same_end(tmp_path, large):
    undisturbed, path, diary = tmp_path / "a.sqlite", tmp_path / "b.sqlite", tmp_path / "diary"
    whole = start(large, undisturbed, tmp_path / "calm", 0.0)
    output, _ = whole.communicate(timeout=120)
    assert "done=54, failed=0" in output

    moments = random.Random(0)
    for kills in range(4):
        process = start(large, path, diary, 0.5)  # long enough that a slow machine does not reach the end
        wanted = kills * 8  # the first kill comes before any row
        if wanted:
            wait_for(lambda wanted=wanted: rows(path) > wanted)
        else:
            wait_for(diary.exists)
        time.sleep(moments.uniform(0, 0.2))
        kept = rows(path)
        process.kill()
        process.communicate()
        workers = {int(line.split()[0]) for line in diary.read_text().splitlines()}
        wait_for(lambda workers=workers: all(map(gone, workers)), 10)
        assert kept <= rows(path) < 54
    last = start(large, path, diary, 0.0)
    output, _ = last.communicate(timeout=120)
    assert "done=54, failed=0" in output
    for name, table in result_tables(undisturbed).items():
        pd.testing.assert_frame_equal(result_tables(path)[name], table)
    stored = Counter(what for what in (line.split()[1] for line in diary.read_text().splitlines()))
    again = sum(count - 1 for what, count in stored.items() if what.startswith("digits-"))
    assert again <= 2 * 4, "a kill costs no more than the bundles under way, two workers' here"


def test_ctrl_c_keeps_what_was_done_and_leaves_no_process(tmp_path, large):
    path, diary = tmp_path / "r.sqlite", tmp_path / "diary"
    script = (
        "import sys, bench.cli, bench.engine.run as run, tests.bench.engine.fake_worker as fake\n"
        "run.Tasks = lambda: fake.TASKS\n"
        f"sys.exit(bench.cli.carry_out(['run', {str(large)!r}, '--out', {str(path)!r}, '--workers', '2']))"
    )
    environment = {**os.environ, "FAKE_STOP_AFTER": "1", "FAKE_DIARY": str(diary)}
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: rows(path) > 0)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to all of them
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in said
    kept = rows(path)
    assert f"interrupted: {kept} of 54 cells are done and kept; the same command resumes." in said
    assert all(gone(int(line.split()[0])) for line in diary.read_text().splitlines())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["diary", "large.toml", "r.sqlite"]


def test_ctrl_c_between_storing_and_counting_loses_no_cell(tmp_path, diary, monkeypatch):
    path, write = tmp_path / "r.sqlite", RunFile.write

    def interrupted(self, results, provenance):
        write(self, results, provenance)
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFile, "write", interrupted)
    with pytest.raises(Interrupted) as stop:
        carry_out(grid_of(SMALL), path)
    assert (stop.value.done, stop.value.total) == (rows(path), 9)
    assert stop.value.done > 0


def test_two_runs_on_one_file(tmp_path, large):
    path, diary = tmp_path / "r.sqlite", tmp_path / "diary"
    first = start(large, path, diary, 0.5)
    try:
        wait_for(diary.exists)
        with pytest.raises(StoreError, match=rf"in use by another run \(process {first.pid}\)"):
            carry_out(grid_of(LARGE), path)
    finally:
        first.kill()
        first.communicate()


# -- progress ----------------------------------------------------------------------------------------------------------


def test_lines_are_few_and_fit_80_columns():
    now, stream = [0.0], io.StringIO()
    reporter = Reporter(stream, clock=lambda: now[0])
    reporter.start(100_000, 12_345)
    for second in range(3600):
        now[0] = second
        reporter.update(12_345 + 20 * second, second, left=3600.0 - second)
    now[0] = 4000
    reporter.update(100_000, 87_000)
    lines = stream.getvalue().splitlines()
    assert 600 < len(lines) < 800
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "100000/100000 cells, 87000 failed, 1315 cells/min"
    assert "left" in lines[0]


def test_silence_is_broken_once_a_minute():
    now, stream = [0.0], io.StringIO()
    reporter = Reporter(stream, clock=lambda: now[0])
    reporter.start(10, 0)
    for second in range(300):
        now[0] = second
        reporter.update(0, 0)
    assert stream.getvalue().splitlines() == ["0/10 cells"] * 4


def test_lines_of_a_real_run_fit_80_columns(tmp_path):
    _, said = carry_out(grid_of(LARGE, "a-grid-with-a-rather-long-name"), tmp_path / "a-long-name-it-is.sqlite")
    assert max(map(len, said.splitlines())) <= 80
    assert "54/54 cells" in said


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (3599.7, "1 h 00 min"), (7e4, "19 h 26 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
