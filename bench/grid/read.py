"""Grid files: TOML tables of settings and axes, expanded into cells.

    about = "what the grid is for"

    [grid]                          # shared by all blocks; a list is an axis
    dataset = "digits"
    seed = [0, 1, 2]

    [[cells]]                       # every block is a cartesian product of its axes and those of [grid]
    family = ["gaussian", "laplace"]
    sigma = [0.1, "shared"]

    [[exclude]]                     # drops the cells that match all of its keys
    family = "laplace"
    sigma = 0.1

    [tune]                          # chosen for each configuration on validation data, not compared (bench.grid.tune)
    learning_rate = [1e-3, 3e-3, 1e-2, 3e-2]

The keys and their defaults are those of `settings.Settings`; the rest are options of the families (σ among them), which
go to those families of the block that take them. `hidden` and `widths` are one list (a list of lists is an axis),
`eval_samples` always one. A key that a cell's network does not look at is as if it were not given.

`objective` says on what a density is trained: on dequantised data, or with "binned" on the exact masses of its bins,
what it is scored by. A mass and a recipe have no such choice: their cells say "own", which is also what "dequantised"
comes to for them. sigma = "optimal" is the density's own. Combinations that cannot be trained are left out of a block,
so that `objective = ["dequantised", "binned"]` can stand beside many families; but a value that would be left without
any cell of its block is an error. `family = "discretised_logistic"` is another name for the logistic with `objective =
"binned"`, which it also brings along where no objective is given. `bound` is "elbo" or "iwae".
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.grid import old
from bench.grid.cell import Cell, Described, labels
from bench.grid.document import MOST_CANDIDATES, MOST_CELLS, loads, override, read_text
from bench.grid.errors import brief, quoted, some
from bench.grid.expand import Block, exclusion, expand, matches, most_cells, require_read
from bench.grid.families import option_names, registry, trial
from bench.grid.settings import GridError, Settings, axis, sentence, suggestion
from bench.grid.tune import SET, require_one_role, tune_axes

__all__ = ["Cell", "Described", "Grid", "GridError", "Settings"]


@dataclass(frozen=True)
class Grid:
    """A grid, read and valid: its cells in order, the text and overrides that they came from, and a sentence for each
    place in them that is written otherwise now."""

    name: str
    about: str
    cells: tuple[Cell, ...]
    text: str
    overrides: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  #: sentences on how it was understood


def shipped_grids() -> dict[str, Path]:
    """Names and files of the grids that come with the suite."""
    return {path.stem: path for path in sorted((Path(__file__).parents[1] / "grids").glob("*.toml"))}


def find_grid(grid: str) -> Path:
    """The file of a grid given as a shipped name or as a path to a .toml. Raises GridError."""
    if grid.endswith(".toml"):
        if not _is_there(Path(grid)):
            raise GridError(f"there is no grid file {brief(grid)}; the shipped grids are {some(shipped_grids(), 160)}.")
        return Path(grid)
    if grid not in shipped_grids():
        raise GridError(f"unknown grid {quoted(grid)} {suggestion(grid, shipped_grids(), 'vae-bench list grids')}.")
    return shipped_grids()[grid]


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (OSError, ValueError):  # not there, too long for a name, a NUL in it
        return False
    return True


def load_grid(path: Path, overrides: Sequence[str] = (), options: Mapping[str, str] = MappingProxyType({})) -> Grid:
    """Read a grid file; `overrides` are KEY=VALUE texts that replace a key in [grid] and in every block. They are of
    --set, but for those of a key in `options`, which an option of its own gave.

    Raises GridError.
    """
    return parse_grid(read_text(path), path.stem, brief(path.name), overrides, options)


def parse_grid(
    text: str, name: str, file: str, overrides: Sequence[str] = (), options: Mapping[str, str] = MappingProxyType({})
) -> Grid:
    """The grid in a TOML text; `file` is what errors call it. Raises GridError."""
    try:
        document = loads(text, file)
    except tomllib.TOMLDecodeError as error:
        raise GridError(f"{file} is not valid TOML: {error}.") from error
    about, shared, tables, exclusions = _sections(document, file)
    given = dict(override(text, options) for text in overrides)
    of_plugins = _take_in_plugins(file, [shared, *tables, *exclusions, given])
    tune = _tuned(file, document.get("tune"), given, options)
    for number, table in enumerate(exclusions, 1):
        require_one_role(f"{file}, [[exclude]] {number}", table, tune, "[tune]")
    given = {key: value for key, value in given.items() if not key.startswith(SET)}
    over = {"--set": {key: value for key, value in given.items() if key not in options}}
    over |= {option: {key: given[key]} for key, option in options.items() if key in given}
    blocks, notes = _blocks(file, shared, tables, over, tune)
    blocks, no_room = _with_room(blocks, given)
    notes += no_room
    _require_size(file, blocks)
    cells: dict[str, tuple[str, Cell]] = {}
    for block in blocks:
        in_block = {cell.id: cell for cell in expand(block)}
        for key, cell in in_block.items():
            if key in cells and not given:
                raise GridError(
                    f"{block.where}: gives the cell {key} that {cells[key][0]} gives too; leave it out of one of them."
                )
            cells.setdefault(key, (block.where, cell))
    rules = []
    for number, table in enumerate(exclusions, 1):
        where = f"{file}, [[exclude]] {number}"
        of_before = old.words(where, table)
        rules += [exclusion(where, rule) for rule in old.rules(of_before, table)]
        notes += [old.excluded_note(where, of_before)] if of_before else []
    kept = tuple(cell for _, cell in cells.values() if not matches(cell, rules))
    if not kept:
        raise GridError(f"{file} has no cells left: its [[exclude]] tables drop all {len(cells)}.")
    return Grid(name=name, about=about, cells=kept, text=text, overrides=tuple(overrides), notes=(*of_plugins, *notes))


def describe(cells: Iterable[Cell]) -> dict[str, Described]:
    """Every cell, by its id, with its label in this grid and whether it is a folk recipe."""
    cells = list(cells)
    named = labels(cells)
    families = registry()
    return {cell.id: Described(cell, named[cell.id], families.get(cell.family).recipe) for cell in cells}


# -- from the document to blocks of axes -------------------------------------------------------------------------------


def _sections(document: dict[str, Any], file: str) -> tuple[str, dict[str, Any], list[Any], list[Any]]:
    sections = ("about", "grid", "tune", "cells", "exclude")
    for key in document:
        if key in Settings.model_fields:
            raise GridError(f"{file}: the key {key!r} stands at the top, but belongs under [grid] or [[cells]].")
        if key not in sections:
            hint = suggestion(key, sections, "allowed: about, [grid], [tune], [[cells]], [[exclude]]")
            raise GridError(f"{file}: unknown section {quoted(key)} {hint}.")
    about, shared = document.get("about", ""), document.get("grid", {})
    tables, exclusions = document.get("cells", [{}]), document.get("exclude", [])
    if not isinstance(about, str):
        raise GridError(f"{file}: about takes a text in quotes.")
    for section in ("grid", "tune"):
        if not isinstance(document.get(section, {}), dict):
            raise GridError(f"{file}: write [{section}] as a table.")
    for section, value in (("cells", tables), ("exclude", exclusions)):
        if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
            raise GridError(f"{file}: write [[{section}]] in double brackets, one for each table.")
    return about.strip(), shared, tables or [{}], exclusions


def _take_in_plugins(file: str, tables: Iterable[Mapping[str, Any]]) -> list[str]:
    """Makes known what installed packages offer of the families that are named, before their options are read; gives
    sentences on them. Raises GridError for one that is broken."""
    said: list[str] = []
    for table in tables:
        value = table.get("family")
        for name in value if isinstance(value, list) else [value]:
            if isinstance(name, str):
                try:
                    trial.take_in(name, said)
                except ValueError as error:
                    raise GridError(f"{file}: {sentence(error)}") from None
    return said


def _tuned(
    file: str, table: dict[str, Any] | None, given: dict[str, Any], options: Mapping[str, str]
) -> dict[str, tuple[Any, ...]]:
    """The candidates of what is tuned: those of [tune], `--set tune.KEY=[…]` in their place, and nothing for a key that
    --set gives a value."""
    asked = {key.removeprefix(SET): value for key, value in given.items() if key.startswith(SET)}
    axes = {} if table is None else tune_axes(f"{file}, [tune]", table)
    axes |= tune_axes("--set", asked) if asked else {}
    for key in given:
        require_one_role(options.get(key, "--set"), [key], asked, "--set" if key in options else "another --set")
    return {key: values for key, values in axes.items() if key not in given}


def _blocks(
    file: str,
    shared: dict[str, Any],
    tables: list[dict[str, Any]],
    over: dict[str, dict[str, Any]],
    tune: dict[str, tuple[Any, ...]],
) -> tuple[list[Block], list[str]]:
    """[grid], and `over`, what options of the command line give, by their names, merged into every block, all axes
    valid, options of families only where some family takes them; and a sentence for each of these places in which
    something is written otherwise now."""
    single = tables == [{}]
    sources = {f"{file}, [grid]": shared}
    if not single:
        sources |= {f"{file}, [[cells]] {number}": table for number, table in enumerate(tables, 1)}
    sources |= over
    given = {key for table in over.values() for key in table}
    axes: dict[str, dict[str, tuple[Any, ...]]] = {}
    for source, table in sources.items():
        require_one_role(source, table, tune, "[tune]")
        of_before = old.words(source, table)
        axes[source] = {key: axis(source, key, v) for key, v in table.items() if not (of_before and key == "objective")}
        if of_before:
            axes[source]["objective"] = of_before
    blocks = []
    for number, table in enumerate(tables, 1):
        where = f"{file}, [grid]" if single else f"{file}, [[cells]] {number}"
        merged, pairs = old.merged(
            (axes[f"{file}, [grid]"], {} if single else axes[where], *(axes[option] for option in over))
        )
        if "family" not in merged:
            raise GridError(f"{where}: the key 'family' is missing; give one or a list (vae-bench list likelihoods).")
        blocks.append(Block(where, merged, pairs, tune))
        if not single:
            _check_options_are_taken(where, [key for key in table if key not in given], merged["family"])
            if "network" not in given:
                require_read(where, {key: value for key, value in table.items() if key not in given}, blocks[-1:])
    everywhere = {family for block in blocks for family in block.axes["family"]}
    for source in (f"{file}, [grid]", *over):
        _check_options_are_taken(source, sources[source], sorted(everywhere))
        if source in over or "network" not in given:  # which may look at less than the file has keys for
            require_read(source, sources[source], blocks)
    require_read(f"{file}, [tune]", tune, blocks)
    return blocks, list(old.notes(sources))


def _with_room(blocks: list[Block], given: Mapping[str, Any]) -> tuple[list[Block], tuple[str, ...]]:
    """The blocks without a patience of the file that `--set epochs` leaves no room for, and a sentence that says so:
    who asks for few epochs wants a short run, which ends at its limit."""
    if "epochs" not in given or "patience" in given:
        return blocks, ()
    epochs = min(blocks[0].axes["epochs"])
    patience = max((max(block.axes.get("patience", (0,))) for block in blocks), default=0)
    if patience < epochs:
        return blocks, ()
    roomy = [
        replace(block, axes={**{k: v for k, v in block.axes.items() if k != "tolerance"}, "patience": (0,)})
        if max(block.axes.get("patience", (0,))) >= epochs
        else block
        for block in blocks
    ]
    note = (
        f"--set epochs={epochs} leaves no room for the grid's patience of {patience} epochs, so that all {epochs} "
        "epochs are trained, ended or not (patience = 0)."
    )
    return roomy, (note,)


def _require_size(file: str, blocks: Sequence[Block]) -> None:
    """Raises GridError for more cells, or candidates of a cell, than can be meant, before any is made."""
    axes = {key: len(values) for block in blocks for key, values in block.axes.items()}
    tuned = {key: len(values) for key, values in blocks[0].tune.items()}
    for count, most, what, kind in (
        (sum(map(most_cells, blocks)), MOST_CELLS, "cells", axes),
        (math.prod(tuned.values()), MOST_CANDIDATES, "candidates of each cell", tuned),
    ):
        if count > most:
            longest = max(kind, key=kind.__getitem__)
            asked = f"{count:,}" if count < 10**15 else "more than 10^15"
            raise GridError(
                f"{file} asks for {asked} {what}, and one grid has {most:,} at most; list fewer values "
                f"({brief(longest)} has {kind[longest]:,}), or make several grids of it."
            )


def _check_options_are_taken(where: str, keys: Iterable[str], families: Sequence[str]) -> None:
    taken = option_names(families)
    for key in keys:
        if key not in Settings.model_fields and key not in taken:
            others = [name for name in registry().known() if key in option_names([name])]
            raise GridError(
                f"{where}: {brief(key)} is no option of {some(families)}; remove it, or add a family that takes it "
                f"({some(others)})."
            )
