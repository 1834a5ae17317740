"""How a configuration is asked for again: its whole specification as a grid file, and the command that computes it.

Neither is shown as a promise: both are read by the grid's own reader, and are given only where that makes of them the
very cells that the run has. What the reader cannot know here, a plug-in's family, is the exception: its specification
is given as it was asked, and the command names the file.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bench.grid.cell import Cell
from bench.grid.families import registry
from bench.grid.families.architectures import spoken
from bench.grid.read import GridError, parse_grid, shipped_grids
from bench.grid.settings import KEYS, keys_of, looks_at
from bench.grid.tune import SET
from bench.store import RunTables


@dataclass(frozen=True)
class Again:
    """`command` is '' where none is known to be accepted. Where it runs a file that has to be written first, that is
    `file`, and holds the specification."""

    specification: str
    command: str
    file: str = ""


@dataclass(frozen=True)
class Source:
    """What a run was asked: its grid, what was set on the command line, and its cells."""

    name: str
    text: str
    overrides: tuple[str, ...]
    plugins: Mapping[str, str]  # the file of each family that came with one
    specs: Mapping[str, tuple[Mapping[str, Any], ...]]  # of the cells of each configuration
    networks: Mapping[str, Any] = field(default_factory=dict)  # what the run recorded of its networks

    @classmethod
    def of(cls, tables: RunTables) -> Source:
        meta = tables.meta
        plugins = {name: str(facts["file"]) for name, facts in dict(meta.get("plugins") or {}).items()}
        specs: dict[str, list[Mapping[str, Any]]] = {}
        if "spec" in tables.cells:  # what older exports may lack
            for config, spec in zip(tables.cells["config"], tables.cells["spec"], strict=True):
                specs.setdefault(str(config), []).append(json.loads(spec))
        return cls(
            name=str(meta.get("grid_name") or meta.get("name") or "grid"),
            text=str(meta.get("grid") or ""),
            overrides=tuple(map(str, meta.get("overrides") or ())),
            plugins=plugins,
            specs={config: tuple(own) for config, own in specs.items()},
            networks=dict(meta.get("networks") or {}),
        )

    def cells(self, config: str) -> tuple[Cell, ...]:
        """Those of a configuration, by seed."""
        return tuple(sorted(map(Cell.of_spec, self.specs.get(config, ())), key=lambda cell: cell.seed))

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """The keys of which cells of the run have different values: a command for one configuration must give them."""
        everything = [spec for own in self.specs.values() for spec in own]
        return tuple(key for key in KEYS if len({json.dumps(spec.get(key)) for spec in everything}) > 1)

    @cached_property
    def grids(self) -> tuple[tuple[str, str], ...]:
        """What the command may call the grid, and the text that is then read: the shipped one, or that of the run."""
        shipped = shipped_grids().get(self.name)
        own = ((f"{self.name}.toml", self.text),) if self.text else ()
        return (((self.name, shipped.read_text(encoding="utf-8")),) if shipped else ()) + own

    def again(self, config: str, chosen: Mapping[str, Any]) -> Again | None:
        """None where it is not known how the configuration was asked for."""
        cells = self.cells(config)
        if not cells:
            return None
        specification = grid_text(cells, chosen, self.networks)
        file, out = f"{config}.toml", ["--out", f"results/{config}.sqlite"]
        if cells[0].family not in registry().names() and cells[0].family in self.plugins:
            plugin = ["--plugin", self.plugins[cells[0].family]]
            return Again(specification, _run(file, [*plugin, *out]), file)
        for name, text in self.grids:
            for overrides in self._overrides(cells):
                if gives(cells, text, overrides):
                    options = [part for one in overrides for part in ("--set", one)]
                    return Again(specification, _run(name, [*options, *out]))
        return Again(specification, _run(file, out), file) if gives(cells, specification) else Again(specification, "")

    def _overrides(self, cells: Sequence[Cell]) -> Iterator[list[str]]:
        """KEY=VALUE texts that may make a grid that of one configuration, the shortest first."""
        whole = asked(cells, self.networks)
        needed = {"family", *cells[0].options, *self.varying} - {"seed", *cells[0].tune}
        kept = [text for text in self.overrides if text.partition("=")[0].strip() not in needed]
        few = [*kept, *_set({key: value for key, value in whole.items() if key in needed})]
        yield few
        yield [*few, *_set({"seed": whole["seed"]})]
        yield _set(whole | {f"{SET}{key}": list(values) for key, values in cells[0].tune.items()})


def asked(cells: Sequence[Cell], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Every key that the cells of one configuration have, but for what is tuned, as a grid gives it. `recorded`: what
    the run recorded of its networks."""
    first = cells[0]
    values = {name: first.spec[name] for name in ("dataset", "family")} | dict(first.options)
    values |= {name: first.spec[name] for name in KEYS if name not in first.tune}
    values["seed"] = [cell.seed for cell in cells] if len(cells) > 1 else first.seed
    if not first.patience:
        del values["tolerance"]  # which ends no training then, and a grid may not give it
    for name in _unread(first, recorded):  # nor what its network does not look at
        values.pop(name, None)
    return {name: value for name, value in values.items() if value is not None}


def _unread(cell: Cell, recorded: Mapping[str, Any]) -> list[str]:
    """The keys of networks that the cell's own does not look at, nor any that it may have where that is tuned. Of a
    network of which the run recorded nothing, and whose file is not here, those that are left as they are."""
    read = set[str]()
    for name in cell.tune.get("network", (cell.network,)):
        one = spoken(name, recorded)
        try:
            read |= looks_at("grid", name) if one.reads is None else one.reads
        except GridError:
            read |= one.looks_at(key for key in keys_of("network") if cell.tells(key))
    return [key for key in keys_of("network") if key not in read]


def grid_text(cells: Sequence[Cell], chosen: Mapping[str, Any], recorded: Mapping[str, Any] | None = None) -> str:
    """A grid file of one configuration, with what follows from it, and what was chosen, as comments. `recorded`: what
    the run recorded of its networks."""
    first = cells[0]
    lines = ["[grid]", *(f"{name} = {_toml(value)}" for name, value in asked(cells, recorded or {}).items())]
    lines += [f"# sees the data as: {first.view}"]
    if first.scored_as != "itself":
        lines.append(f"# read as: {first.scored_as}, beside the other readings of the same training")
    if first.tune:
        lines += ["", "[tune]"]
        for name, values in first.tune.items():
            said = f"  # chosen: {_toml(chosen[name])}" if name in chosen else ""
            lines.append(f"{name} = {_toml(list(values))}{said}")
    return "\n".join(lines)


def gives(cells: Sequence[Cell], text: str, overrides: Sequence[str] = ()) -> bool:
    """Whether a grid is that of these cells, other readings of their trainings apart."""
    try:
        found = parse_grid(text, "grid", "grid", overrides).cells
    except GridError:
        return False
    return {cell.training_key for cell in found} == {cell.training_key for cell in cells} and {
        cell.id for cell in cells
    } <= {cell.id for cell in found}


def _run(grid: str, options: Iterable[str]) -> str:
    """Into a run file of its own: that of the whole run has the cells, and nothing would be computed."""
    return shlex.join(["vae-bench", "run", grid, *options])


def _set(values: Mapping[str, Any]) -> list[str]:
    return [f"{key}={_bare(value)}" for key, value in values.items()]


def _bare(value: Any) -> str:
    """A value for --set: a plain word needs no quotes there, unless it would be read as something else."""
    is_word = isinstance(value, str) and value.isascii() and value.isidentifier()
    return str(value) if is_word and value not in ("true", "false", "inf", "nan") else _toml(value)


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
