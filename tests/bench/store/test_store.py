"""The run file: what goes in comes out, all or nothing, and a clear word about files that are none."""

from __future__ import annotations

import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.engine.lock import locked
from bench.grid.cell import Described
from bench.grid.errors import on_stderr
from bench.grid.read import describe, parse_grid
from bench.store import IMAGE_ARRAYS, RESULT_COLUMNS, CellResult, RunFile, StoreError, database, read_run, replaceable

GRID = parse_grid("[grid]\nfamily='gaussian'\nsigma=[0.1, 'shared']\nseed=[0, 1]\n", "t", "t.toml")
CELLS = list(describe(GRID.cells).values())


def result(described: Described, value: float = -1.5, images: int = 5) -> CellResult:
    return CellResult(
        described.cell.id,
        "done",
        values={"iw_nats": value, "iw_samples": 10, "device": "cpu"},
        bounds=[(1, value - 1, 0.1, value - 2), (10, value, 0.2, math.nan)],
        per_image={"iw_nats": np.linspace(value - 1, value + 1, images), "khat": np.full(images, 0.5)},
        latents=[(0.5, 0.9), (0.0, 0.0)],
        calibration=[0.5, 0.25, 0.25],
        pictures={"sample": np.arange(12, dtype=np.uint8).reshape(2, 3, 2)},
    )


def filled(path: Path, cells: list[Described] = CELLS, images: int = 5) -> Path:
    file = RunFile.create(path, {"name": "t", "grid": GRID.text}, on_stderr)
    number = file.add_provenance({"git": "abc"})
    file.write([(cell, result(cell, images=images)) for cell in cells], number)
    file.close()
    return path


def contents(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return sorted(line for line in connection.iterdump() if not line.startswith('INSERT INTO "meta"'))
    finally:
        connection.close()


# -- what goes in comes out --------------------------------------------------------------------------------------------

numbers = st.one_of(
    st.none(), st.floats(), st.integers(-(2**62), 2**62), st.floats(width=32).map(np.float32), st.booleans()
)
REAL = [name for name, kind in RESULT_COLUMNS.items() if kind == "REAL"]


@given(st.dictionaries(st.sampled_from(REAL), numbers))
def test_values_round_trip_and_nan_is_missing(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("run") / "r.sqlite"
    file = RunFile.create(path, {}, on_stderr)
    file.write([(CELLS[0], CellResult(CELLS[0].cell.id, "done", values=values))], 1)
    file.close()
    (row,) = read_run(path).cells.to_dict("records")
    for name, value in values.items():
        if value is None or math.isnan(value):
            assert math.isnan(row[name])
        else:
            assert row[name] == float(value)
    connection = sqlite3.connect(path)
    for name in REAL:
        assert connection.execute(f"SELECT typeof({name}) FROM cells").fetchone()[0] in ("real", "null")  # noqa: S608
    connection.close()


def test_tables_round_trip(tmp_path):
    tables = read_run(filled(tmp_path / "r.sqlite"))
    assert list(tables.cells["cell"]) == [described.cell.id for described in CELLS]
    assert list(tables.cells["label"]) == ["gaussian σ=0.1", "gaussian σ=0.1", "gaussian σ=shared", "gaussian σ=shared"]
    assert tables.cells["config"].nunique() == 2
    assert list(tables.cells["sigma"]) == ["0.1", "0.1", "shared", "shared"]
    assert list(tables.cells["precision"]) == ["float32"] * 4
    assert list(tables.bounds.columns) == ["cell", "samples", "bound_nats", "standard_error", "encoder_bound_nats"]
    assert len(tables.bounds) == 2 * len(CELLS)
    np.testing.assert_array_equal(tables.bounds["encoder_bound_nats"][:2], [-3.5, math.nan])
    first = tables.per_image[tables.per_image["cell"] == CELLS[0].cell.id]
    assert list(first["image"]) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(first["iw_nats"], np.linspace(-2.5, -0.5, 5))
    assert first["khat"].tolist() == [0.5] * 5
    assert first[["standard_error", "ess"]].isna().all(axis=None)  # not given
    own = tables.latents[tables.latents["cell"] == CELLS[0].cell.id]
    assert own.drop(columns="cell").to_numpy().tolist() == [[0, 0.5, 0.9], [1, 0, 0]]
    own = tables.calibration[tables.calibration["cell"] == CELLS[0].cell.id]
    assert own.drop(columns="cell").to_numpy().tolist() == [[0, 0.5], [1, 0.25], [2, 0.25]]
    picture = tables.pictures[CELLS[0].cell.id, "sample"]
    np.testing.assert_array_equal(picture, np.arange(12).reshape(2, 3, 2))
    assert tables.meta["name"] == "t"
    assert tables.provenance == [{"id": 1, "git": "abc"}]


def test_an_empty_run_is_readable(tmp_path):
    RunFile.create(tmp_path / "r.sqlite", {}, on_stderr).close()
    tables = read_run(tmp_path / "r.sqlite")
    assert tables.cells.empty
    assert list(tables.per_image.columns) == ["cell", "image", *IMAGE_ARRAYS]
    assert tables.throughput.empty


def test_a_cell_written_again_replaces_all_of_itself(tmp_path):
    path = filled(tmp_path / "r.sqlite")
    file = RunFile.open(path, on_stderr)
    file.write([(CELLS[0], CellResult(CELLS[0].cell.id, "failed", "it diverged"))], 1)
    file.close()
    tables = read_run(path)
    row = tables.cells.set_index("cell").loc[CELLS[0].cell.id]
    assert (row["status"], row["reason"]) == ("failed", "it diverged")
    assert math.isnan(row["iw_nats"])
    for table in (tables.bounds, tables.per_image, tables.latents, tables.calibration):
        assert set(table["cell"]) == {described.cell.id for described in CELLS[1:]}
    assert (CELLS[0].cell.id, "sample") not in tables.pictures


def test_only_the_present_grid_is_read(tmp_path):
    path = filled(tmp_path / "r.sqlite")
    file = RunFile.open(path, on_stderr)
    file.begin([Described(CELLS[1].cell, "renamed")], {})
    file.close()
    tables = read_run(path)
    assert list(tables.cells["label"]) == ["renamed"]
    assert set(tables.bounds["cell"]) == set(tables.per_image["cell"]) == {CELLS[1].cell.id}
    file = RunFile.open(path, on_stderr)
    file.begin(CELLS, {})
    assert set(file.statuses()) == {described.cell.id for described in CELLS}
    file.close()
    assert len(read_run(path).cells) == len(CELLS)


def test_the_speed_of_a_kind_reaches_its_cells(tmp_path):
    path = filled(tmp_path / "r.sqlite", CELLS[:3])
    file = RunFile.open(path, on_stderr)
    kind = CELLS[0].cell.kind
    speed = {
        "kind": kind,
        "train_images_per_s": 7.0,
        "eval_decodes_per_s": math.nan,
        "train_flops_share": 0.5,
        "blas": 3,
    }
    file.write_throughput([speed], 1)
    assert file.measured_kinds() == {kind}
    file.write([(CELLS[3], result(CELLS[3]))], 1)
    file.share_throughput()
    file.close()
    tables = read_run(path)
    of_kind = tables.cells["kind"] == kind
    assert list(of_kind) == [True, True, False, False]
    assert set(tables.cells.loc[of_kind, "train_images_per_s"]) == {7.0}
    assert set(tables.cells.loc[of_kind, "matmul_share"]) == {0.5}
    assert tables.cells.loc[~of_kind, "train_images_per_s"].isna().all()
    assert tables.cells["eval_decodes_per_s"].isna().all()
    assert tables.throughput.loc[0, "blas"] == 3


# -- all or nothing ----------------------------------------------------------------------------------------------------


def test_a_bundle_is_written_wholly_or_not_at_all(tmp_path):
    path = filled(tmp_path / "r.sqlite", CELLS[:1])
    before = contents(path)
    file = RunFile.open(path, on_stderr)
    bad = CellResult(CELLS[2].cell.id, "done", values={"iw_nats": object()})  # type: ignore[dict-item]
    with pytest.raises(StoreError, match="could not be written"):
        file.write([(CELLS[1], result(CELLS[1])), (CELLS[2], bad)], 1)
    assert contents(path) == before
    file.write([(CELLS[1], result(CELLS[1]))], 1)
    file.close()
    assert len(read_run(path).cells) == 2


def test_values_without_a_column_are_a_fault_of_the_caller(tmp_path):
    file = RunFile.create(tmp_path / "r.sqlite", {}, on_stderr)
    with pytest.raises(ValueError, match="no column for: \\['bits'\\]"):
        file.write([(CELLS[0], CellResult(CELLS[0].cell.id, "done", values={"bits": 3}))], 1)
    assert file.statuses() == {}
    file.close()


def test_a_process_killed_while_it_writes_leaves_the_last_bundle(tmp_path):
    """With half a bundle already on the disk (the cache spills), the journal takes it back."""
    path = filled(tmp_path / "r.sqlite", CELLS[:2], images=1000)
    before = contents(path)
    writes = f"""
import os, signal, pathlib
from tests.bench.store.test_store import CELLS, result
from bench.grid.errors import on_stderr
from bench.store import RunFile
file = RunFile.open(pathlib.Path({str(path)!r}), on_stderr)
file._connection.execute("PRAGMA cache_size = 2")
def bundle():
    yield CELLS[1], result(CELLS[1], images=50_000)
    yield CELLS[2], result(CELLS[2], images=50_000)
    os.kill(os.getpid(), signal.SIGKILL)
file.write(bundle(), 1)
"""
    size = path.stat().st_size
    killed = subprocess.run([sys.executable, "-c", writes], cwd=Path(__file__).parents[3], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.stat().st_size > size, "nothing was half-written, so nothing was tested"
    assert len(read_run(path).cells) == 2
    assert contents(path) == before
    assert [file.name for file in tmp_path.iterdir()] == ["r.sqlite"]


def test_a_reader_sees_the_last_bundle_while_the_next_is_written(tmp_path):
    path = filled(tmp_path / "r.sqlite", CELLS[:1])
    file = RunFile.open(path, on_stderr)

    def bundle():
        yield CELLS[1], result(CELLS[1])
        assert len(read_run(path).cells) == 1

    file.write(bundle(), 1)
    file.close()
    assert len(read_run(path).cells) == 2


def test_a_full_disk_while_writing(tmp_path):
    path = filled(tmp_path / "r.sqlite", CELLS[:1])
    before = contents(path)
    file = RunFile.open(path, on_stderr)
    (pages,) = file._connection.execute("PRAGMA page_count").fetchone()
    file._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match=r"the disk is full: .*r\.sqlite could not be written; free some space"):
        file.write([(CELLS[1], result(CELLS[1], images=20_000))], 1)
    assert contents(path) == before
    file.write([(CELLS[1], result(CELLS[1]))], 1)  # what fits still goes in
    file.close()
    assert len(read_run(path).cells) == 2


def in_a_tiny_disk(folder: Path, kilobytes: int, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script with a real full disk at `folder`, in a mount namespace of its own."""
    if shutil.which("unshare") is None or sys.platform != "linux":
        pytest.skip("needs unshare, to mount a small disk")
    mount = f"mount -t tmpfs -o size={kilobytes}k tmpfs '{folder}'"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("this system lets no one mount a small disk")
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"{mount} && exec '{sys.executable}' -c \"$0\"", script],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("kilobytes", [4, 8, 16, 32, 48])
def test_a_disk_too_small_to_begin_on_keeps_nothing(tmp_path, kilobytes):
    script = f"""
import pathlib
from bench.engine.lock import locked
from bench.grid.errors import on_stderr
from bench.store import RunFile, StoreError
path = pathlib.Path({str(tmp_path)!r}) / "results" / "r.sqlite"
try:
    with locked(path):
        RunFile.create(path, {{"grid": "x" * 60_000}}, on_stderr)
except StoreError as error:
    print(error)
print([file.name for file in path.parents[1].rglob("*")])
"""
    done = in_a_tiny_disk(tmp_path, kilobytes, script)
    assert done.stderr == ""
    sentence, left = done.stdout.splitlines()
    assert sentence.startswith("the disk is full: ")
    assert left == "[]"


def test_a_disk_that_fills_up_keeps_what_was_done(tmp_path):
    script = f"""
import pathlib
from tests.bench.store.test_store import CELLS, filled, result
from bench.grid.errors import on_stderr
from bench.store import RunFile, StoreError, read_run
path = filled(pathlib.Path({str(tmp_path)!r}) / "r.sqlite", CELLS[:1])
file = RunFile.open(path, on_stderr)
try:
    file.write([(CELLS[1], result(CELLS[1], images=40_000))], 1)
except StoreError as error:
    print(error)
file.close()
print(len(read_run(path).cells), [file.name for file in path.parent.rglob("*")])
"""
    done = in_a_tiny_disk(tmp_path, 300, script)
    assert done.stderr == ""
    sentence, left = done.stdout.splitlines()
    assert sentence.startswith("the disk is full: ")
    assert left == "1 ['r.sqlite']"


def test_a_run_begun_afresh_has_nothing_of_the_old_one(tmp_path):
    """Not even its journal, which a kill -9 left and SQLite would play back into the new file."""
    path = filled(tmp_path / "r.sqlite")
    journal = path.with_name(path.name + "-journal")
    journal.write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(2000))
    RunFile.create(path, {"name": "new"}, on_stderr).close()
    assert not journal.exists()
    tables = read_run(path)
    assert tables.cells.empty
    assert tables.meta["name"] == "new"


def test_the_old_run_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = filled(tmp_path / "r.sqlite")
    before = path.read_bytes()
    honest = database.connect

    def small(where, **how):
        connection = honest(where, **how)
        connection.execute("PRAGMA max_page_count = 3")
        return connection

    monkeypatch.setattr(database, "connect", small)
    with pytest.raises(StoreError, match="the disk is full"):
        RunFile.create(path, {}, on_stderr)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["r.sqlite"]


# -- files that are none -----------------------------------------------------------------------------------------------


def other_program(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name)")
    connection.commit()
    connection.close()


def other_version(path: Path, version: int = 99) -> None:
    connection = sqlite3.connect(filled(path))
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def damaged(path: Path, *, keep: float = 1.0, garble: slice | None = None) -> None:
    content = bytearray(filled(path, images=3000).read_bytes())
    if garble:
        content[garble] = b"\xa5" * len(content[garble])
    path.write_bytes(content[: int(len(content) * keep)])


FILES = {
    "text": (lambda path: path.write_text("not a database at all, but long enough " * 9), "damaged or not a run file"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "another program's": (other_program, "another program's database.*give vae-bench run another --out"),
    "a newer version's": (other_version, r"newer version \(its format is 99.*give vae-bench run another --out"),
    "a much older version's": (lambda path: other_version(path, 2), r"older version \(its format is 2,.*another --out"),
    "cut to half": (lambda path: damaged(path, keep=0.5), "damaged.*--fresh"),
    "cut by a little": (lambda path: damaged(path, keep=0.97), "damaged.*--fresh"),
    "header only": (lambda path: damaged(path, keep=0.001), "damaged"),
    "garbled schema": (lambda path: damaged(path, garble=slice(100, 4096)), "damaged"),
    "garbled tables": (lambda path: damaged(path, garble=slice(4096, 60_000)), "damaged"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_run_is_refused_and_left_alone(tmp_path, kind):
    make, sentence = FILES[kind]
    path = tmp_path / "r.sqlite"
    make(path)
    before = path.read_bytes()
    for use in (partial(RunFile.open, say=on_stderr), read_run):
        with pytest.raises(StoreError, match=sentence) as caught:
            use(path)
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["r.sqlite"]


def test_no_file(tmp_path):
    with pytest.raises(StoreError, match="there is no run file"):
        read_run(tmp_path / "r.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_fresh_writes_over_runs_only(tmp_path):
    may = {kind for kind, (make, _) in FILES.items() if (make(tmp_path / "f"), replaceable(tmp_path / "f"))[1]}
    assert may == set(FILES) - {"text", "another program's"}
    assert replaceable(tmp_path / "nothing")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="could not be written"), locked(tmp_path / "r.sqlite"):
        pass


def test_a_run_file_that_may_only_be_read_is_readable(tmp_path):
    path = filled(tmp_path / "r.sqlite")
    path.chmod(0o400)
    assert len(read_run(path).cells) == len(CELLS)


# -- one run at a time -------------------------------------------------------------------------------------------------

HOLDS = """
import pathlib, sys, time
from bench.engine.lock import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / "new" / "r.sqlite")],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_run_is_refused_until_the_first_has_gone(tmp_path, holder):
    path = tmp_path / "new" / "r.sqlite"
    with pytest.raises(StoreError, match=rf"in use by another run \(process {holder.pid}\)"), locked(path):
        pass
    with locked(tmp_path / "new" / "other.sqlite"):
        pass
    holder.kill()
    holder.wait()
    with locked(path):
        pass
    assert list((tmp_path / "new").iterdir()) == []


def test_a_lock_takes_the_folders_away_that_it_made(tmp_path):
    path = tmp_path / "a" / "b" / "r.sqlite"
    with locked(path):
        assert path.parent.is_dir()
    assert list(tmp_path.iterdir()) == []
    with locked(path):
        path.write_bytes(b"kept")
    assert path.read_bytes() == b"kept"


def test_a_lock_is_held_by_one_of_many(tmp_path):
    """Taking and leaving in a hurry, lock files vanishing under each other: never two at once."""
    contend = f"""
import pathlib, time
from bench.engine.lock import locked
from bench.store import StoreError
inside = pathlib.Path({str(tmp_path)!r}) / "inside"
until, took = time.monotonic() + 1.0, 0
while time.monotonic() < until or took < 5:
    try:
        with locked(inside.with_name("r.sqlite")):
            inside.touch(exist_ok=False)
            inside.unlink()
            took += 1
    except StoreError:
        pass
print(took)
"""
    many = [
        subprocess.Popen(
            [sys.executable, "-c", contend], cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    took = [int(process.communicate()[0]) for process in many]
    assert sum(took) > 10
    assert all(process.returncode == 0 for process in many), "two held the lock at once"
