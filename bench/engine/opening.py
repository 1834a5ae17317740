"""How work on a run file begins, whatever the work is: the lock, the file, and all that must hold before it is written.

    with opening(grid, path, checks) as opened:    # the lock; opened.file is what lies there
        with Pool(..., opened.first) as pool:      # workers that know the grid's plug-ins
            device = opened.device(pool, "auto")
            data = opened.examine(pool, device["kind"], cells)
            opened.keep(meta | {"data": data})     # from here on there is a file
            number = opened.sign(pool, arguments, device)

The process that runs this makes no tensor: what needs torch is asked of a worker.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from bench.engine import plugins
from bench.engine.local import Pool, TaskFailed
from bench.engine.lock import Lock, locked
from bench.engine.provenance import provenance
from bench.grid.cell import Cell
from bench.grid.errors import Say, UserError, brief
from bench.grid.families import make, networks, registry
from bench.grid.read import Grid
from bench.store import RunFile, replaceable
from bench.store.guard import places
from bench.store.guard.errors import shown

COLUMNS = 80


class RunError(UserError):
    """Work that cannot begin, or go on; the message is one sentence with the remedy."""


@dataclass(frozen=True)
class Checks:
    """The functions by which workers look at things, as "module:name"."""

    device: str = "bench.engine.provenance:prepare_device"
    inspect: str = "bench.engine.worker.facts:inspect_data"
    laws: str = "bench.engine.plugins:check"
    precision: str = "bench.engine.worker.facts:inspect_precision"
    networks: str = "bench.engine.worker.networks:inspect_networks"


@contextmanager
def opening(grid: Grid, path: Path, checks: Checks, *, say: Say, fresh: bool = False) -> Iterator[Opened]:
    """Hold the file for this process; the one that is there is opened, unless `fresh` begins a new one in its place.
    `say` tells a person when another program that has the file is waited for.

    Raises RunError where `fresh` would write over something else than a run file, or a plug-in is another than the file
    was begun with; StoreError where what is there, or lies beside it, is nothing that could be a run file.
    """
    with locked(path) as lock:
        if fresh and not replaceable(lock.path):
            raise RunError(f"{shown(path)} is not a run file, so --fresh does not write over it; give another --out.")
        if fresh or not lock.path.exists():
            places.stale_companions(lock.path)
        file = RunFile.open(lock.path, say) if lock.path.exists() and not fresh else None
        opened = Opened(grid, lock, checks, file, say)
        try:
            opened.refuse_changed_code()
            yield opened
        finally:
            if opened.file:
                opened.file.close()


class Opened:
    """A grid and its file, `None` until it may be made. `damaged`: what was not as it had been written and is gone from
    the file, so that it is computed again, a sentence each."""

    def __init__(self, grid: Grid, lock: Lock, checks: Checks, file: RunFile | None, say: Say) -> None:
        self.grid, self.path, self.checks, self.file = grid, lock.path, checks, file
        self.damaged = file.damaged if file else ()
        self._lock, self._say = lock, say
        self.plugins = plugins.facts(grid.cells)
        self.networks = plugins.network_facts(grid.cells)
        self._cards = plugins.network_cards(grid.cells, self.networks)
        #: what a worker does before all else, so that it knows the plug-ins, and which code is meant by networks
        self.first = plugins.task(plugins.origins(self.plugins), self.networks)

    def ask(self, pool: Pool, function: str, *arguments: Any) -> dict[str, Any]:
        """What a worker answers, as plain values. Raises RunError with what it says is wrong."""
        try:
            answer: dict[str, Any] = pool.call("bench.engine.opening:plainly", function, *arguments)
            return answer
        except TaskFailed as error:
            raise RunError(str(error)) from None

    def device(self, pool: Pool, requested: str) -> dict[str, Any]:
        """The device that "auto", "cpu", "cuda" or "cuda:N" means here. Raises RunError."""
        return self.ask(pool, self.checks.device, requested)

    def examine(self, pool: Pool, device: str, cells: Iterable[Cell]) -> dict[str, Any]:
        """Whether what the cells need can be had: precisions, lawful plug-ins, data, networks for them. Gives the facts
        of every data set by `DataSpec.key`, those that the file knows already among them. Raises RunError."""
        cells = list(cells)
        for precision in sorted({cell.precision for cell in cells} - {"float32"}):
            self.ask(pool, self.checks.precision, precision, device)
        for family in self.plugins:
            if broken := self.ask(pool, self.checks.laws, family):
                raise RunError(broken["broken"])
        stored = self._stored("data")
        facts = {}
        for asked in dict.fromkeys(cell.data for cell in cells):
            key = asked.key
            facts[key] = self.ask(pool, self.checks.inspect, *dataclasses.astuple(asked))
            self._refuse_changed(
                f"the data set {brief(key)}", "data", stored.get(key, {}).get("checksum"), facts[key]["checksum"]
            )
            if asking := [cell for cell in cells if cell.data == asked and _choosy(cell)]:
                self.ask(pool, self.checks.networks, asking, facts[key]["shape"], facts[key]["levels"])
        _refuse_shapes(cells, facts)
        return stored | facts

    def remarked(self, data: Mapping[str, Mapping[str, Any]], cells: Iterable[Cell]) -> list[str]:
        """What was noticed of the data sets of the cells, of what `examine` gave, as lines for a terminal."""
        asked = dict.fromkeys(cell.data.key for cell in cells)
        return [line for key in asked for line in remark_lines(data[key].get("name", key), data[key], COLUMNS)]

    def keep(self, meta: Mapping[str, Any]) -> RunFile:
        """The file; a new one with these facts where there is none."""
        if self.file is None:
            self.file = RunFile.create(self.path, meta, self._say)
            self._lock.hold_file()
        return self.file

    def sign(self, pool: Pool, arguments: Sequence[str], device: Mapping[str, Any]) -> int:
        """Store how this invocation came about; gives the id that its numbers carry."""
        assert self.file, "keep comes first"
        told = {name: fact for name, fact in device.items() if name not in ("visible", "seen")}  # of no use elsewhere
        origin = provenance(arguments, told, pool.workers, pool.threads)
        return self.file.add_provenance({**origin, "plugins": self.plugins, "networks": self.networks})

    def meta(self) -> dict[str, Any]:
        """What a file says of the grid that it is of."""
        return {
            "name": self.path.stem,
            "grid_name": self.grid.name,
            "about": self.grid.about,
            "grid": self.grid.text,
            "overrides": list(self.grid.overrides),
            "cells": len(self.grid.cells),
            "networks": self._stored("networks") | self._cards,
        }

    def is_of_this_grid(self) -> bool:
        """Whether the file was last run for all that is asked for now, no more and no less."""
        before, now = (self.file.meta() if self.file else {}), self.grid
        return (before.get("grid"), before.get("overrides")) == (now.text, list(now.overrides))

    def refuse_changed_code(self) -> None:
        """Raises RunError where a plug-in or a user's own network is not what the file was begun with."""
        for what, meta, facts in (("plug-in", "plugins", self.plugins), ("network", "networks", self.networks)):
            stored = self._stored(meta)
            for name, one in facts.items():
                before = stored.get(name, {}).get("sha256")
                self._refuse_changed(f"the {what} {brief(one['file'])}", "file", before, one["sha256"])

    def all_plugins(self) -> dict[str, Any]:
        """Facts of the grid's plug-ins, and of those that the file knows from grids before."""
        return self._stored("plugins") | self.plugins

    def _stored(self, what: str) -> dict[str, Any]:
        return dict(self.file.meta().get(what, {})) if self.file else {}

    def _refuse_changed(self, what: str, noun: str, before: str | None, now: str) -> None:
        if before not in (None, now):
            raise RunError(
                f"{what} is not what {shown(self.path)} was begun with (checksum {now[:8]}, then {before[:8]}); "
                f"restore the {noun}, or run with --fresh or another --out."
            )


def _choosy(cell: Cell) -> bool:
    """Whether a network of a cell must be looked at before there is work: a user's own, which is held to laws, or one
    that says of which images it cannot be built."""
    known, names = networks(), plugins.networks_of([cell])
    return any(known.is_own(name) or known.get(name).fit is not known.Network.fit for name in names)


def _refuse_shapes(cells: Iterable[Cell], facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises RunError for a cell whose likelihood has no probability for images of its data's shape."""
    asked = {(cell.family, cell.data.key, json.dumps(dict(cell.options), sort_keys=True)): cell for cell in cells}
    for cell in asked.values():
        likelihood = make(cell.family, cell.options)
        if why := registry().refusal(likelihood, tuple(facts[cell.data.key].get("shape", ()))):
            raise RunError(f"{cell.data.dataset}: {why}, or other data.")


def remark_lines(name: str, facts: Mapping[str, Any], width: int) -> list[str]:
    """The remarks in a data set's facts, each wrapped under a dash; a loud one has an exclamation mark."""
    return [
        line
        for remark in facts.get("remarks") or ()
        for line in textwrap.wrap(
            f"{'!' if remark['loud'] else '-'} {PurePath(name).name or name}, {remark['topic']}: {remark['text']}.",
            width,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]


def plainly(function: str, *arguments: Any) -> dict[str, Any]:
    """In a worker: call "module:name" and give its dataclass or dictionary as a dictionary of plain values, so that the
    parent need not import the module that defines it."""
    module, _, name = function.partition(":")
    answer = getattr(importlib.import_module(module), name)(*arguments)
    return answer if isinstance(answer, dict) else dataclasses.asdict(answer)
