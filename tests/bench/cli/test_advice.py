"""What a person is told can be done as it is said, and a terminal is shown it in one line."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from bench.cli.app import app, carry_out
from bench.grid.errors import on_stderr
from bench.grid.read import load_grid, shipped_grids
from bench.store import RunFile
from bench.store.guard import connection as guarded
from bench.store.weights import cells_of
from tests.bench.report import fake_run
from tests.bench.store import crafted

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    return fake_run.write(folder / "r.sqlite", fake_run.few()[:2], seeds=(0,), images=20, pictures=False)


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.fixture
def vae_bench(capfd: pytest.CaptureFixture[str]) -> Call:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = carry_out(list(arguments))
        return (code, *capfd.readouterr())

    return call


# -- the options that a sentence names ---------------------------------------------------------------------------------


def beside(ending: str, make: Callable[[Path], object]) -> crafted.Craft:
    return lambda path: make(path.with_name(path.name + ending))


def a_link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


#: a file of each kind that is none to be read; `crafted` has them with tables of runs
UNREADABLE: dict[str, crafted.Craft] = {
    **{name: what for name, what in crafted.REFUSED.items() if "100 MB" not in name and "endless" not in name},
    "cells, endless": crafted.REFUSED["cells, endless"],
    "a text of 100 MB in meta": crafted.REFUSED["a text of 100 MB in meta"],
    "a folder for a journal": beside("-journal", Path.mkdir),
    "a FIFO for a log": beside("-wal", os.mkfifo),
    "a link to nothing beside it": beside("-shm", lambda path: path.symlink_to("nowhere")),
    "a link to itself": a_link_to_itself,
    "a folder": a_folder,
}


def options_of(verb: str) -> set[str]:
    group = typer.main.get_command(app)
    return {name for param in group.commands[verb].params for name in (*param.opts, *param.secondary_opts)}  # type: ignore[attr-defined]


def unfollowable(said: str) -> set[str]:
    """The options in a sentence about a file that is read that no verb before them has: where that file is no run, none
    of the reading verb's own can help, and its --out, if it has one, is that of something else."""
    known: set[str] = set()
    wrong = set()
    for verb, option in re.findall(r"vae-bench (\w+)|(--[a-z-]+)", said):
        if verb:
            known = options_of(verb)
        elif option not in known:
            wrong.add(option)
    return wrong


def test_an_option_of_no_verb_is_noticed() -> None:
    assert unfollowable("r.sqlite is empty; give another --out.") == {"--out"}
    assert unfollowable("r.sqlite is empty; give vae-bench run another --out, or --fresh.") == set()
    assert unfollowable("give vae-bench throughput another --out, or --fresh.") == {"--fresh"}


@pytest.mark.parametrize("verb", crafted.READERS)
def test_a_reader_names_options_with_the_verb_that_has_them(made: Path, vae_bench: Call, verb: str) -> None:
    advised = 0
    for name, what in UNREADABLE.items():
        for path in Path().glob("r.sqlite*"):
            (os.rmdir if path.is_dir() and not path.is_symlink() else os.unlink)(path)
        shutil.copy(made, "r.sqlite")
        crafted.craft(Path("r.sqlite"), what)
        code, out, err = vae_bench(*crafted.READERS[verb])
        if code == 0 or "has no weights" in err:  # who asks for a part alone may not meet what is wrong elsewhere
            continue
        assert (code, out, err.count("\n")) == (2, "", 1), (name, err)
        assert not unfollowable(err), (name, err)
        assert len(err) <= 312, name
        advised += "vae-bench run another --out" in err
    assert advised > 15


@pytest.mark.parametrize("verb", crafted.READERS)
def test_a_file_that_takes_too_long_too(
    made: Path, vae_bench: Call, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    shutil.copy(made, "r.sqlite")
    monkeypatch.setattr(guarded, "SECONDS_TO_READ", -1e9)
    monkeypatch.setattr(guarded, "PROGRESS_STEPS", 1)
    _, _, err = vae_bench(*crafted.READERS[verb])
    assert "takes longer to read than any run file of its size does; give vae-bench run another --out." in err
    assert not unfollowable(err)


# -- what computes what is not there -----------------------------------------------------------------------------------


def unfinished(path: Path, grid: str, text: str, overrides: list[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    fake_run.write(path, fake_run.few()[:2], seeds=(0,), images=20, pictures=False, failures=False, grid=text)
    file = RunFile.open(path, on_stderr)
    file.begin([], {"grid_name": grid, "overrides": overrides, "cells": 9})
    file.close()


@pytest.mark.parametrize(
    ("path", "grid", "changed", "overrides", "said"),
    [
        ("results/digits.sqlite", "digits", False, [], "vae-bench run digits"),
        ("results/digits.sqlite", "digits", True, [], "running its grid again"),
        ("results/digits.sqlite", "digits", False, ["epochs=1"], "running its grid again"),
        ("results/other.sqlite", "digits", False, [], "running its grid again"),
        ("digits.sqlite", "digits", False, [], "running its grid again"),
        ("results/mine.sqlite", "mine", False, [], "running its grid again"),
    ],
)
def test_a_command_is_named_where_it_computes_those_cells(
    vae_bench: Call, path: str, grid: str, changed: bool, overrides: list[str], said: str
) -> None:
    """That of a shipped grid that nobody has changed, into the file where such a run goes."""
    text = shipped_grids()["digits"].read_text(encoding="utf-8") + "#" * changed
    unfinished(Path(path), grid, text, overrides)
    sentence = f"{said} computes them."
    _, _, err = vae_bench("report", path, "--format", "md")
    assert sentence in err
    RunFile.create(Path(path), {"grid_name": grid, "grid": text, "overrides": overrides, "cells": 9}, on_stderr).close()
    code, out, err = vae_bench("report", path)
    assert (code, out) == (2, "")
    assert err == f"vae-bench: {path} has no cells yet; {sentence}\n"


def test_a_grid_of_that_name_is_one_that_is_found() -> None:
    assert load_grid(shipped_grids()["digits"]).text == shipped_grids()["digits"].read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("run", "said"), [("digits", "vae-bench run digits makes it"), ("x", "vae-bench run makes one")]
)
def test_a_run_that_is_not_there(vae_bench: Call, run: str, said: str) -> None:
    for verb in (
        ["report", run],
        ["export", run, "--to", "t"],
        ["compare", run, run],
        ["model", run, "c", "--to", "m"],
    ):
        assert vae_bench(*verb) == (2, "", f"vae-bench: there is no run results/{run}.sqlite ({said}).\n")


def test_a_run_of_damaged_cells_is_not_one_without_any(made: Path, vae_bench: Call) -> None:
    shutil.copy(made, "r.sqlite")
    crafted.craft(Path("r.sqlite"), "UPDATE cells SET status = 'euro'")
    for verb, rest in (("report", "computes them."), ("compare", "so there is nothing to compare.")):
        code, out, err = vae_bench(*crafted.READERS[verb])
        assert (code, out) == (2, "")
        assert f"r.sqlite has no cell that is in order{'; ' if verb == 'report' else ', '}" in err
        assert err.endswith(f"{rest}\n")
        assert "yet" not in err


# -- what a terminal would obey ----------------------------------------------------------------------------------------

ODD = ("a\x1b[31mred", "two\nlines", "two\u2028lines", "a\u202etxt", "\x9b2J", "half\udcff")


def in_one_line(text: str, lines: int = 1) -> None:
    assert text.count("\n") == lines, text
    assert text.replace("\n", "").isprintable(), repr(text)


@pytest.mark.parametrize("odd", ODD)
def test_names_are_shown_and_not_obeyed(made: Path, vae_bench: Call, odd: str) -> None:
    """Wherever a verb names a path or a label that somebody gave."""
    run, folder, text = f"./{odd}.sqlite", f"./{odd}", f"./{odd}.txt"
    shutil.copy(made, run)
    Path(folder).mkdir()
    Path(text).write_text("a year of notes")
    shutil.copy(made, f"{folder}/tables.sqlite")
    Path(f"{folder}/cells.parquet").write_text("none")
    Path(f"{folder}/none.sqlite").touch()
    Path(f"{folder}/r.sqlite").write_text("a year of notes\n" * 99)
    cell = cells_of(made)[0].cell
    for arguments in (
        ["report", odd],
        ["report", f"./no{odd}.sqlite"],
        ["report", folder],
        ["report", text],
        ["report", f"{folder}/none.sqlite"],
        ["report", f"{folder}/r.sqlite"],
        ["report", run, "--out", text],
        ["report", run, "--out", folder],
        ["report", run, "--figures", text],
        ["report", run, "--format", odd],
        ["report", run, f"--{odd}"],
        ["export", f"{folder}/r.sqlite", "--to", "t"],
        ["export", run, "--to", text],
        ["compare", run, folder],
        ["compare", folder, run],
        ["compare", run, run, "--html", text],
        ["compare", run, run, "--html", folder],
        ["compare", run, f"./no{odd}"],
        ["model", f"./no{odd}", "x", "--to", "m"],
        ["model", run, odd, "--to", "m"],
        ["model", run, cell, "--to", text],
        ["model", run, cell, "--to", folder],
        ["model", run, cell, "--to", f"{odd}.safetensors"],
        ["throughput", odd],
        ["throughput", "digits", "--out", folder],
        ["throughput", "digits", "--out", text],
        ["run", odd],
        ["run", f"{odd}.toml"],
        ["run", "digits", "--out", folder],
        ["run", "digits", "--out", text, "--fresh"],
        ["run", "digits", "--set", f"family={odd}"],
        ["explain", odd],
        ["list", odd],
    ):
        code, out, err = vae_bench(*arguments)
        assert (code, out) == (2, ""), (arguments, out, err)
        in_one_line(err)


@pytest.mark.parametrize("odd", [odd for odd in ODD if odd.isascii()])
def test_what_is_written_is_named_so_too(made: Path, vae_bench: Call, odd: str) -> None:
    run = f"./{odd}.sqlite"
    shutil.copy(made, run)
    code, out, err = vae_bench("report", run, "--format", "md", "--out", f"{odd}/summary.md")
    assert (code, err) == (0, "")
    in_one_line(out)
    code, out, err = vae_bench("export", run, "--to", f"tables {odd}")
    assert (code, err) == (0, "")
    in_one_line(out, 10)
    code, out, err = vae_bench("compare", run, run, "--html", f"{odd}.html")
    assert (code, err) == (0, "")
    assert out.replace("\n", "").isprintable()
    assert out.splitlines()[-1] == repr(f"{odd}.html")[1:-1]


def test_a_long_path_keeps_its_end(made: Path, vae_bench: Call) -> None:
    deep = Path("/".join(["a long folder's name"] * 8))
    deep.mkdir(parents=True)
    (deep / "notes.txt").write_text("a year of notes")
    shutil.copy(made, deep / "its own name.sqlite")
    crafted.craft(deep / "its own name.sqlite", "PRAGMA user_version = 99")
    _, _, err = vae_bench("report", str(deep / "its own name.sqlite"))
    assert "/its own name.sqlite was written by a newer version" in err
    shutil.copy(made, "r.sqlite")
    cell = cells_of(made)[0].cell
    for verb in (
        ["model", "r.sqlite", cell, "--to"],
        ["report", "r.sqlite", "--out"],
        ["compare", "r.sqlite", "r.sqlite", "--html"],
    ):
        _, _, err = vae_bench(*verb, str(deep / "notes.txt"))
        assert "/notes.txt" in err
        assert len(err) <= 312
