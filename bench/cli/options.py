"""What several verbs take, and how they find a run."""

from __future__ import annotations

import difflib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.grid.errors import UserError, brief, quoted

if TYPE_CHECKING:
    from bench.grid.read import Grid
    from bench.store import RunTables

RUN_NAME = "A run's name (results/NAME.sqlite) or its file."
WIDEST = 120  # columns of a table in a terminal, however wide that is


class Refused(UserError):
    """Bad input that the command line itself finds."""


def _device(text: str) -> str:
    """The device that is meant, by one of the names that workers know."""
    from bench.engine.process.device import named

    try:
        return named(text)
    except ValueError as error:
        raise Refused(str(error)) from None


DeviceOption = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda|cuda:N",
        callback=_device,
        help="Where to compute: auto takes CUDA where there is any, cuda every GPU, cuda:1 the second alone.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a key of the grid everywhere; may be repeated."),
]
RunFileOption = Annotated[Path | None, typer.Option(help="The run file  [default: results/NAME.sqlite].")]
NetworkNames = Annotated[
    list[str] | None,
    typer.Option(
        "--network", metavar="NAME|FILE.py", help="Networks in place of the grid's (list networks); may be repeated."
    ),
]
PluginFiles = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE.py", help="Take in a likelihood from a Python file; may be repeated."),
]


def columns() -> int:
    """The width of the terminal."""
    return shutil.get_terminal_size((80, 24)).columns


def grid_of(grid: str, overrides: list[str] | None) -> Grid:
    """A grid given by name or by path; what of it is written otherwise now is said on stderr."""
    from bench.grid.read import find_grid, load_grid

    loaded = load_grid(find_grid(grid), overrides or [])
    for note in loaded.notes:
        typer.echo(note, err=True)
    return loaded


def tables_of(run: str) -> RunTables:
    """The tables of a run given by name, by file, or by the folder that it was exported to."""
    from bench.store import read_run
    from bench.store.guard.errors import shown
    from bench.store.read_export import read_exported

    is_folder = Path(run).is_dir() and not (Path("results") / f"{run}.sqlite").is_file()
    path = Path(run) if is_folder else run_file(run)
    tables = read_exported(path) if is_folder else read_run(path)
    say_damaged(tables)
    if tables.cells.empty:
        raise Refused(f"{shown(path)} has {no_cell(tables)}, so there is nothing to compare.")
    return tables


def no_cell(tables: RunTables) -> str:
    """What a run has that has no cell to be shown: those that it had may all be damaged."""
    return "no cell that is in order" if tables.damaged else "no cells yet"


def again(tables: RunTables, run: Path) -> str:
    """What computes the cells that a run lacks: the command where it is known, the subject of a sentence."""
    from bench.grid.document import read_text
    from bench.grid.read import shipped_grids

    name, meta = run.stem, tables.meta
    grid = shipped_grids().get(name)
    usual = run == Path("results") / f"{name}.sqlite" and meta.get("grid_name") == name and not meta.get("overrides")
    if grid and usual and meta.get("grid") == read_text(grid):
        return f"vae-bench run {name}"
    return "running its grid again"


def say_damaged(tables: RunTables) -> None:
    """What is not in the tables of a run because it is damaged, on stderr."""
    for sentence in tables.damaged:
        typer.echo(sentence, err=True)


def run_file(run: str) -> Path:
    """The file of a run given by name or by path."""
    from bench.grid.read import shipped_grids
    from bench.store.guard.places import what_it_is

    if run.endswith(".sqlite") or os.sep in run:
        path = Path(run)
        if other := what_it_is(path):
            raise Refused(f"{brief(run, 100)} is {other}, and no run file; give a run's name or its file.")
        if not path.is_file():
            raise Refused(f"there is no run file {brief(run, 100)}; vae-bench run makes one.")
        return path
    path = Path("results") / f"{run}.sqlite"
    if not path.is_file():
        near = difflib.get_close_matches(run[:100], [file.stem for file in Path("results").glob("*.sqlite")], n=1)
        makes = f"vae-bench run {run} makes it" if run in shipped_grids() else "vae-bench run makes one"
        hint = f"did you mean {quoted(near[0])}?" if near else makes
        raise Refused(f"there is no run {brief(path, 100)} ({hint}).")
    return path
