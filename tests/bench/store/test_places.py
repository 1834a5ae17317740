"""Nothing is written over but what is the suite's own, and nothing is touched that is no file."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from bench.cli.app import carry_out
from bench.grid.errors import on_stderr
from bench.store import RunFile, StoreError, read_run, replaceable
from bench.store.database import digest_cell
from bench.store.export import export
from bench.store.guard import places
from bench.store.weights import folder_of
from tests.bench.store import crafted
from vae_core.numerics import tensor_file


def a_device(path: Path) -> None:
    """A null device of our own making, which nobody would miss."""
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("making a device needs rights")


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's name is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def a_loop(path: Path) -> None:
    path.symlink_to(path.with_name("there"))
    path.with_name("there").symlink_to(path)


def a_link_to_a_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("fifo"))
    path.symlink_to(path.with_name("fifo"))


def a_link_to_a_folder(path: Path) -> None:
    path.with_name("d").mkdir()
    path.symlink_to(path.with_name("d"))


#: what lies at the place of a file, and what a sentence calls it
NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "folder": (Path.mkdir, "folder"),
    "fifo": (os.mkfifo, "FIFO"),
    "device": (a_device, "device"),
    "socket": (a_socket, "socket"),
    "loop": (a_loop, "leads to itself"),
    "dangling": (lambda path: path.symlink_to(path.with_name("nowhere")), "which is not there"),
    "link to a fifo": (a_link_to_a_fifo, "FIFO"),
    "link to a folder": (a_link_to_a_folder, "folder"),
}


def lies(folder: Path) -> list[tuple[str, int, int]]:
    """All that is in a folder, links not followed."""
    return sorted((path.name, path.lstat().st_mode, path.lstat().st_size) for path in folder.rglob("*"))


@contextmanager
def in_time(seconds: float = 20.0) -> Iterator[None]:
    """Fails where something waits at a FIFO for ever."""
    timer = threading.Timer(seconds, lambda: os.kill(os.getpid(), 2))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crafted.write(tmp_path_factory.mktemp("run") / "run.sqlite")


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("fresh", [False, True])
def test_a_run_goes_to_a_file_or_to_nothing(
    workplace: Path, capsys: pytest.CaptureFixture[str], kind: str, fresh: bool
) -> None:
    make, said = NO_FILES[kind]
    make(workplace / "out.sqlite")
    (workplace / "grid.toml").write_text("[grid]\nfamily = 'gaussian'\nepochs = 1\n")
    before = lies(workplace)
    with in_time():
        code = carry_out(["run", "grid.toml", "--out", "out.sqlite", *(["--fresh"] if fresh else [])])
    _, err = capsys.readouterr()
    assert code == 2
    assert said in err
    assert err.startswith("vae-bench: --out out.sqlite ")
    assert err.count("\n") == 1
    assert len(err) <= 312
    assert lies(workplace) == before


#: the option, and the words of the command up to it
WRITERS = {
    "report --out": ["report", "run.sqlite", "--out"],
    "report --format md --out": ["report", "run.sqlite", "--format", "md", "--out"],
    "compare --html": ["compare", "run.sqlite", "run.sqlite", "--html"],
    "model --to": ["model", "run.sqlite", "gaussian σ=0.1", "--seed", "0", "--to"],
}


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("verb", WRITERS)
def test_every_verb_writes_to_a_file_or_to_nothing(
    workplace: Path, run: Path, capsys: pytest.CaptureFixture[str], verb: str, kind: str
) -> None:
    shutil.copy(run, "run.sqlite")
    NO_FILES[kind][0](workplace / "out.html")
    before = lies(workplace)
    with in_time():
        code = carry_out([*WRITERS[verb], "out.html"])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert "out.html" in err
    assert "; give a" in err
    assert err.count("\n") == 1
    assert len(err) <= 312
    assert lies(workplace) == before


SOMEBODYS = {
    "notes": lambda path: path.write_text("a year of notes"),
    "a run": lambda path: shutil.copy("run.sqlite", path),
    "a table": lambda path: path.write_bytes(b"PAR1" + bytes(100)),
    "a picture": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "a link to notes": lambda path: (Path("n").write_text("a year of notes"), path.symlink_to("n")),
}


@pytest.mark.parametrize("kind", SOMEBODYS)
@pytest.mark.parametrize("verb", WRITERS)
def test_somebody_s_file_is_not_written_over(
    workplace: Path, run: Path, capsys: pytest.CaptureFixture[str], verb: str, kind: str
) -> None:
    shutil.copy(run, "run.sqlite")
    SOMEBODYS[kind](Path("out.html"))
    content = Path("out.html").read_bytes()
    assert carry_out([*WRITERS[verb], "out.html"]) == 2
    assert "nothing is written over" in capsys.readouterr().err
    assert Path("out.html").read_bytes() == content


@pytest.mark.parametrize("verb", ["report --format md --out", "compare --html"])
def test_what_the_suite_wrote_is_written_over_by_its_next(workplace: Path, run: Path, verb: str) -> None:
    shutil.copy(run, "run.sqlite")
    for _ in range(2):
        assert carry_out([*WRITERS[verb], "out.html"]) == 0
    assert Path("out.html").stat().st_size


@pytest.mark.parametrize("kind", [kind for kind in NO_FILES if kind != "link to a folder" and kind != "folder"])
@pytest.mark.parametrize("verb", [["export", "run.sqlite", "--to"], ["report", "run.sqlite", "--figures"]])
def test_a_folder_is_one_or_nothing(
    workplace: Path, run: Path, capsys: pytest.CaptureFixture[str], verb: list[str], kind: str
) -> None:
    shutil.copy(run, "run.sqlite")
    NO_FILES[kind][0](workplace / "out")
    before = lies(workplace)
    with in_time():
        assert carry_out([*verb, "out"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "out" in err
    assert lies(workplace) == before


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "dangling", "notes"])
def test_an_export_writes_over_tables_alone(run: Path, tmp_path: Path, kind: str) -> None:
    """Whatever it is that lies in the folder under the name of a table: nothing is written, not even beside it."""
    place = tmp_path / "tables" / "bounds.parquet"
    place.parent.mkdir()
    (SOMEBODYS.get(kind) or NO_FILES[kind][0])(place)
    before = lies(tmp_path)
    with in_time(), pytest.raises(StoreError, match=r"bounds\.parquet .*give another --to"):
        export(read_run(run), tmp_path / "tables")
    assert lies(tmp_path) == before


def test_an_export_is_not_written_through_a_link(run: Path, tmp_path: Path) -> None:
    """A link under the name that a file has while it is written leads nowhere."""
    (tmp_path / "notes").write_text("a year of notes")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / ".cells.csv.part").symlink_to(tmp_path / "notes")
    export(read_run(run), tmp_path / "tables")
    assert (tmp_path / "notes").read_text() == "a year of notes"
    export(read_run(run), tmp_path / "tables")


# -- --fresh -----------------------------------------------------------------------------------------------------------


def other_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photographs (year)")


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("a year of notes"),
        other_database,
        lambda path: path.write_bytes(b"PK\x03\x04" + bytes(200)),
        lambda path: path.write_bytes(b"SQLite format 3\0"),
        lambda path: path.write_bytes(b"x"),
    ],
)
def test_fresh_writes_over_runs_alone(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "r.sqlite")
    assert not replaceable(tmp_path / "r.sqlite")


@pytest.mark.parametrize(
    ("ending", "is_sqlite_s"), [("-journal", False), ("-wal", False), ("-journal", True), ("-wal", True)]
)
def test_what_lies_beside_a_run_goes_only_if_sqlite_wrote_it(
    run: Path, tmp_path: Path, ending: str, is_sqlite_s: bool
) -> None:
    path = Path(shutil.copy(run, tmp_path / "r.sqlite"))
    beside = path.with_name(path.name + ending)
    beside.write_bytes(places.COMPANIONS[ending][0] + bytes(600) if is_sqlite_s else b"a year of notes")
    if is_sqlite_s:
        RunFile.create(path, {}, on_stderr).close()
        assert not beside.exists(), "it would be played into the new file"
        assert read_run(path).cells.empty
        return
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not written over"):
        RunFile.create(path, {}, on_stderr)
    assert (path.read_bytes(), beside.read_bytes()) == (before, b"a year of notes")
    assert {file.name for file in tmp_path.iterdir()} == {path.name, beside.name}


@pytest.mark.parametrize("ending", ["-journal", "-wal", "-shm"])
def test_a_reader_does_not_wait_at_what_lies_beside_a_run(run: Path, tmp_path: Path, ending: str) -> None:
    path = Path(shutil.copy(run, tmp_path / "r.sqlite"))
    os.mkfifo(path.with_name(path.name + ending))
    with in_time(), pytest.raises(StoreError, match="is a FIFO"):
        read_run(path)


@pytest.mark.parametrize("name", ["a" * 300 + ".sqlite", "zero\0byte.sqlite", "grid.toml/r.sqlite"])
def test_names_that_no_file_can_have(workplace: Path, name: str) -> None:
    (workplace / "grid.toml").write_text("")
    for use in (places.itself, places.run_file, read_run):
        with pytest.raises(StoreError) as caught:
            use(Path(name))
        assert len(str(caught.value)) <= 300
        assert "\n" not in str(caught.value)


def test_a_link_to_a_run_is_the_run(run: Path, tmp_path: Path) -> None:
    """`--fresh` by it writes a new run where the link leads, and leaves the link."""
    real = tmp_path / "disk" / "real.sqlite"
    real.parent.mkdir()
    shutil.copy(run, real)
    (tmp_path / "r.sqlite").symlink_to(real)
    assert places.run_file(tmp_path / "r.sqlite") == real
    RunFile.create(tmp_path / "r.sqlite", {"name": "new"}, on_stderr).close()
    assert (tmp_path / "r.sqlite").is_symlink()
    assert read_run(real).meta["name"] == "new"


# -- weights -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"cells": "all", "likelihood": {"plugin": None}},
        {"cells": [1, None], "likelihood": {"plugin": None}},
        {"cells": [{"cell": "CELL"}], "likelihood": {"plugin": None}},
        {"cells": [{"cell": "CELL", "scored_as": 7}], "likelihood": {"plugin": None}},
        {"cells": [{"cell": "CELL", "scored_as": "itself"}], "likelihood": 3},
        {"cells": [{"cell": "CELL", "scored_as": "itself"}], "likelihood": {"plugin": "a"}},
    ],
)
def test_weights_that_say_nothing_of_their_cell(
    workplace: Path, run: Path, capsys: pytest.CaptureFixture[str], facts: dict[str, object]
) -> None:
    """Their checksum is right: whoever made them made that, too."""
    path = Path(shutil.copy(run, "run.sqlite"))
    tables = read_run(path).cells
    cell = tables.loc[tables["status"] == "done", "cell"].iloc[0]
    file = RunFile.open(path, on_stderr)
    file._connection.execute("UPDATE cells SET weights = 'w.safetensors' WHERE cell = ?", (cell,))
    digest_cell(file._connection, cell)
    file.close()
    Path("run.weights").mkdir()
    said = json.loads(json.dumps(facts).replace("CELL", cell))
    tensor_file.write(Path("run.weights/w.safetensors"), {"w": np.zeros(3)}, said)
    assert carry_out(["model", "run.sqlite", cell, "--to", "m.safetensors"]) == 2
    _, err = capsys.readouterr()
    assert "does not hold" in err
    assert err.count("\n") == 1
    assert not Path("m.safetensors").exists()


def test_a_header_that_is_nested_deeply_is_no_file_of_weights(tmp_path: Path) -> None:
    header = b'{"__metadata__":' + b"[" * 200_000
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert not tensor_file.is_one(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="no model file"):
        tensor_file.read(tmp_path / "w.safetensors")


def test_weights_are_found_by_every_name_of_a_run(tmp_path: Path) -> None:
    real = tmp_path / "disk" / "real.sqlite"
    real.parent.mkdir()
    real.touch()
    (tmp_path / "r.sqlite").symlink_to(real)
    assert folder_of(tmp_path / "r.sqlite") == folder_of(real) == real.with_name("real.weights")


# -- folders of weights ------------------------------------------------------------------------------------------------


def with_weights(path: Path, run: Path, name: str = "w.safetensors") -> str:
    """A copy of a run with the weights of one cell, which it gives."""
    shutil.copy(run, path)
    tables = read_run(path).cells
    cell = str(tables.loc[tables["status"] == "done", "cell"].iloc[0])
    file = RunFile.open(path, on_stderr)
    file._connection.execute("UPDATE cells SET weights = ? WHERE cell = ?", (name, cell))
    digest_cell(file._connection, cell)
    file.close()
    folder_of(path).mkdir()
    facts = {"cells": [{"cell": cell, "scored_as": "itself"}], "likelihood": {"plugin": None}}
    tensor_file.write(folder_of(path) / name, {"w": np.zeros(3)}, facts)
    return cell


def a_link_to_the_folder(target: Path) -> str:
    Path("link").symlink_to(target, target_is_directory=True)
    return "link/m.safetensors"


def a_link_to_a_file_in_it(target: Path) -> str:
    (target / "m.safetensors").touch()
    Path("m.safetensors").symlink_to(target / "m.safetensors")
    return "m.safetensors"


def by_a_folder_above(target: Path) -> str:
    Path("deep/er").mkdir(parents=True)
    Path("above").symlink_to(target.parent, target_is_directory=True)
    return f"deep/er/../../above/./{target.name}/m.safetensors"


INTO: dict[str, Callable[[Path], str]] = {
    "by its name": lambda target: f"{target}/m.safetensors",
    "by its whole name": lambda target: f"{target.absolute()}/m.safetensors",
    "by a link": a_link_to_the_folder,
    "by a link to a file": a_link_to_a_file_in_it,
    "by a folder above": by_a_folder_above,
    "over a model of it": lambda target: f"{target}/w.safetensors",
}


@pytest.mark.parametrize("way", INTO)
@pytest.mark.parametrize("other", [None, "results/other.sqlite", "results/other", "results/other.db"])
def test_a_model_goes_into_no_folder_of_weights(
    workplace: Path, run: Path, capsys: pytest.CaptureFixture[str], way: str, other: str | None
) -> None:
    """What lies there and is no cell's goes when that run goes on, so it would be lost; and one that is, is not to be
    written over."""
    Path("results").mkdir()
    cell = with_weights(Path("results/run.sqlite"), run)
    if other:
        with_weights(Path(other), run)
    to = INTO[way](folder_of(Path(other or "results/run.sqlite")))
    before = lies(workplace)
    assert carry_out(["model", "run", cell, "--to", to]) == 2
    out, err = capsys.readouterr()
    whose = "another run's" if other else "the run's own"
    assert out == ""
    assert err.endswith(f"{Path(to).name} lies in {whose} folder of weights; give another --to.\n")
    assert lies(workplace) == before


def test_a_folder_that_is_kept_elsewhere_is_the_run_s_too(
    workplace: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder of weights is a link itself: to a larger disk, say."""
    cell = with_weights(Path("run.sqlite"), run)
    Path("run.weights").rename("disk")
    Path("run.weights").symlink_to("disk", target_is_directory=True)
    for to in ("run.weights/m.safetensors", "disk/m.safetensors"):
        assert carry_out(["model", "run.sqlite", cell, "--to", to]) == 2
        assert "lies in the run's own folder of weights" in capsys.readouterr().err
    assert carry_out(["model", "run.sqlite", cell, "--to", "disk/of/mine.safetensors"]) == 0


def test_a_folder_that_is_no_run_s_takes_a_model(workplace: Path, run: Path) -> None:
    cell = with_weights(Path("run.sqlite"), run)
    for to in ("m.safetensors", "mine.weights/m.safetensors", "run.sqlite.weights/m.safetensors", "my/run.weights/m"):
        assert carry_out(["model", "run.sqlite", cell, "--to", to]) == 0
        assert Path(to).is_file()
