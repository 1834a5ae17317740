"""The lock is of the file, by whatever name; who holds it besides a run is waited for, and never called damage."""

from __future__ import annotations

import inspect
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from bench.engine import plugins
from bench.engine.lock import locked
from bench.engine.opening import opening
from bench.grid.errors import on_stderr
from bench.store import RunFile, StoreError, read_run
from bench.store.database import open_to_write
from bench.store.guard import connection as guarded
from tests.bench.store.test_store import CELLS, HOLDS, filled, result

ROOT = Path(__file__).parents[3]


@contextmanager
def held_by_another(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that has the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(path)], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


NAMES: dict[str, Callable[[Path], Path]] = {
    "a link": lambda path: _linked(path, path.with_name("link.sqlite")),
    "a link elsewhere": lambda path: _linked(path, _folder(path, "b") / "other.sqlite"),
    "a link to a link": lambda path: _linked(_linked(path, path.with_name("1")), path.with_name("2")),
    "a hard link": lambda path: _hard(path, path.with_name("hard.sqlite")),
    "a hard link elsewhere": lambda path: _hard(path, _folder(path, "b") / "r.sqlite"),
    "a hard link behind a link": lambda path: _linked(_hard(path, path.with_name("h")), path.with_name("l")),
    "through the folder above": lambda path: _folder(path, "b") / ".." / path.parent.name / path.name,
    "through a link to the folder": lambda path: _linked(path.parent, path.parent.with_name("way")) / path.name,
}


def _folder(path: Path, name: str) -> Path:
    folder = path.parent.with_name(name)
    folder.mkdir(exist_ok=True)
    return folder


def _linked(path: Path, link: Path) -> Path:
    link.symlink_to(path)
    return link


def _hard(path: Path, link: Path) -> Path:
    link.hardlink_to(path)
    return link


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    return filled(tmp_path / "a" / "r.sqlite", CELLS[:1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("turned", [False, True])
def test_two_names_of_one_file_are_one_run(path: Path, name: str, turned: bool) -> None:
    other = NAMES[name](path)
    first, second = (other, path) if turned else (path, other)
    with (
        held_by_another(first),
        pytest.raises(StoreError, match=r"in use by another run.*wait until it ends"),
        locked(second),
    ):
        pass
    with locked(second):
        pass


def test_a_name_relative_to_the_folder_is_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    with held_by_another(path), pytest.raises(StoreError, match=r"r\.sqlite is in use"), locked(Path("r.sqlite")):
        pass


def test_a_folder_that_is_mounted_twice(path: Path, tmp_path: Path) -> None:
    """In a namespace of its own, where this system lets one."""
    (tmp_path / "twice").mkdir()
    mount = f"mount --bind '{path.parent}' '{tmp_path}/twice'"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("this system lets no one mount a folder twice")
    script = f"""
import pathlib
from bench.engine.lock import locked
from bench.store import StoreError
try:
    with locked(pathlib.Path({str(tmp_path / "twice" / "r.sqlite")!r})):
        print("taken")
except StoreError as error:
    print(error)
"""
    with held_by_another(path):
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", f"{mount} && exec '{sys.executable}' -c \"$0\"", script],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    assert "is in use by another run" in done.stdout


def test_a_file_begun_afresh_is_held_again(path: Path) -> None:
    """It is another file in the same place, which a hard link may be made to."""
    with locked(path) as lock:
        RunFile.create(lock.path, {}, on_stderr).close()
        lock.hold_file()
        link = _hard(path, path.with_name("hard.sqlite"))
        with pytest.raises(StoreError, match="by another name of it"), locked(link):
            pass
    with locked(path.with_name("hard.sqlite")):
        pass


def test_two_files_are_two_runs(path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(path, tmp_path / "copy.sqlite"))
    with locked(path), locked(copy):
        pass


def test_readers_and_sqlite_are_not_hindered_by_the_lock(path: Path) -> None:
    with held_by_another(path):
        assert len(read_run(path).cells) == 1
        file = RunFile.open(path, on_stderr)
        file.write([(CELLS[1], result(CELLS[1]))], 1)
        file.close()
    assert len(read_run(path).cells) == 2


def test_the_lock_of_a_killed_run_is_gone(path: Path) -> None:
    link = _hard(path, path.with_name("hard.sqlite"))
    with held_by_another(link):
        pass
    with locked(path):
        pass


@pytest.mark.parametrize(
    "make", [os.mkfifo, Path.mkdir, lambda lock: lock.symlink_to(lock.with_name("n"))], ids=["fifo", "folder", "link"]
)
def test_the_place_of_the_lock_is_looked_at_too(path: Path, make: Callable[[Path], object]) -> None:
    lock = path.with_name(f".{path.name}.lock")
    make(lock)
    with pytest.raises(StoreError), locked(path):
        pass
    assert lock.is_symlink() or lock.exists()


# -- held by another program -------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "WAIT_TO_OPEN", 0.3)
    monkeypatch.setattr(guarded, "WAIT_TO_WRITE", 0.3)
    monkeypatch.setattr(guarded, "FIRST_WAIT", 0.1)


@contextmanager
def browsed(path: Path, how: str) -> Iterator[sqlite3.Connection]:
    """A database browser that has begun to change the file, or a backup that shuts it."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute(f"BEGIN {how}")
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.parametrize("use", [read_run, partial(RunFile.open, say=on_stderr)])
def test_a_file_that_another_program_holds_is_not_called_damaged(
    path: Path, impatient: None, capsys: pytest.CaptureFixture[str], use: Callable[[Path], object]
) -> None:
    before = path.read_bytes()
    with browsed(path, "EXCLUSIVE"), pytest.raises(StoreError) as caught:
        use(path)
    said = str(caught.value)
    assert "held by another program" in said
    assert "damaged" not in said
    assert "--fresh" not in said
    assert "waiting for it, 0.3 s at most" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_who_waits_is_told_where_they_say(path: Path, impatient: None, capsys: pytest.CaptureFixture[str]) -> None:
    """A run's standard error is a log that is read when it has ended: it gives its terminal."""
    said: list[str] = []
    with browsed(path, "EXCLUSIVE"), pytest.raises(StoreError):
        RunFile.open(path, said.append)
    file = RunFile.open(path, said.append)
    with browsed(path, "IMMEDIATE"), pytest.raises(StoreError):
        file.write([(CELLS[1], result(CELLS[1]))], 1)
    file.close()
    assert len(said) == 2
    assert all("is held by another program; waiting for it" in sentence for sentence in said)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "use", [opening, RunFile.open, RunFile.create, open_to_write, guarded.connect, plugins.add, plugins.named]
)
def test_nobody_who_may_wait_or_hear_is_told_on_stderr_unasked(use: Callable[..., object]) -> None:
    assert inspect.signature(use).parameters["say"].default is inspect.Parameter.empty


def test_it_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The other program lets it go after some tries: by their number, for no machine is sure to be in time."""
    monkeypatch.setattr(guarded, "FIRST_WAIT", 0.01)
    waits: list[float] = []
    with browsed(path, "EXCLUSIVE") as connection:

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                connection.execute("ROLLBACK")

        monkeypatch.setattr("time.sleep", wait)
        assert len(read_run(path).cells) == 1
    assert waits == [0.1] * 3
    assert capsys.readouterr().err.count("waiting for it") == 1


@pytest.mark.parametrize("how", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_run_that_has_begun_waits_to_write(path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(guarded, "FIRST_WAIT", 0.1)
    file = RunFile.open(path, on_stderr)
    with browsed(path, how) as connection:
        threading.Timer(1.0, lambda: connection.execute("ROLLBACK")).start()
        file.write([(CELLS[1], result(CELLS[1]))], 1)
    file.close()
    assert len(read_run(path).cells) == 2


def test_a_reader_that_stays_holds_up_a_commit_and_no_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser that shows a table keeps a run from its last step, though not from beginning it."""
    monkeypatch.setattr(guarded, "FIRST_WAIT", 0.1)
    file = RunFile.open(path, on_stderr)
    with browsed(path, "DEFERRED") as connection:
        connection.execute("SELECT * FROM cells").fetchall()
        threading.Timer(1.0, lambda: connection.execute("ROLLBACK")).start()
        file.write([(CELLS[1], result(CELLS[1], images=50_000))], 1)  # more than a cache of SQLite's own size holds
    file.close()
    assert len(read_run(path).cells) == 2


def test_a_file_that_stays_held_ends_a_write_with_nothing_lost(path: Path, impatient: None) -> None:
    file = RunFile.open(path, on_stderr)
    with browsed(path, "IMMEDIATE"), pytest.raises(StoreError, match=r"held by another program.*nothing is wrong"):
        file.write([(CELLS[1], result(CELLS[1]))], 1)
    file.write([(CELLS[1], result(CELLS[1]))], 1)
    file.close()
    assert len(read_run(path).cells) == 2
