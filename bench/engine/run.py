"""Carries out a grid: what is missing from the run file is planned, worked off by the pool, and stored as it ends.

The process that runs this makes no tensor: data sets, training and timing happen in worker processes.
"""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.engine import plugins
from bench.engine.local import Ended, Failure, Pool, Task, TaskFailed
from bench.engine.lock import locked
from bench.engine.progress import Reporter
from bench.engine.provenance import cores, provenance
from bench.grid.cell import Cell, Described
from bench.grid.families import cards
from bench.grid.plan import Bundle, halves, plan, restrict
from bench.grid.read import Grid, describe
from bench.store import RESULT_COLUMNS, CellResult, RunFile, replaceable

HEARTBEAT_SECONDS = 1.0


class RunError(Exception):
    """A run that cannot begin, or go on; the message is one sentence with the remedy."""


class Interrupted(Exception):
    """Ctrl-C: the workers are gone, what had ended is stored."""

    def __init__(self, done: int, total: int) -> None:
        super().__init__(f"{done} of {total} cells are done and kept")
        self.done, self.total = done, total


@dataclass(frozen=True)
class Tasks:
    """The functions that workers carry out, as "module:name" (bench.engine.worker's, or cheap ones in tests)."""

    device: str = "bench.engine.provenance:prepare_device"
    inspect: str = "bench.engine.worker:inspect_data"
    carry_out: str = "bench.engine.worker:carry_out"
    measure: str = "bench.engine.worker:measure_throughput"
    laws: str = "bench.engine.plugins:check"
    precision: str = "bench.engine.worker:inspect_precision"


@dataclass(frozen=True)
class Options:
    """How a grid is run. `timeout` is the limit in seconds for one cell; a bundle has that many times its cells."""

    device: str = "auto"
    retry_failed: bool = False
    fresh: bool = False
    timeout: float | None = None
    workers: int | None = None
    arguments: Sequence[str] = ()


@dataclass(frozen=True)
class Summary:
    """How the present grid stands after a run."""

    done: int
    failed: int
    seconds: float
    computed: int


def run_grid(grid: Grid, path: Path, options: Options, reporter: Reporter, tasks: Tasks | None = None) -> Summary:
    """Compute what the run file at `path` lacks of the grid; nothing is written before data and device are known to do.

    Raises RunError, StoreError, Interrupted.
    """
    begun = time.monotonic()
    described = describe(grid.cells)
    with locked(path):
        if options.fresh and not replaceable(path):
            raise RunError(f"{path} is not a run file, so --fresh does not write over it; give another --out.")
        file = RunFile.open(path) if path.exists() and not options.fresh else None
        run = _Run(grid, described, path, options, reporter, tasks or Tasks(), file)
        try:
            run.carry_out()
        except KeyboardInterrupt:
            run.read_statuses()  # it may have come when a bundle was stored and not counted yet
            raise Interrupted(run.count("done"), len(described)) from None
        finally:
            run.close()
        done = run.count("done")
        return Summary(done, len(described) - done, time.monotonic() - begun, run.computed)


@dataclass(frozen=True)
class _Work:
    """What carries out the bundles, and where their rows go."""

    pool: Pool
    file: RunFile
    device: str
    provenance: int


class _Run:
    """One invocation: its file (None until it may be made), and what has ended in it."""

    def __init__(
        self,
        grid: Grid,
        described: Mapping[str, Described],
        path: Path,
        options: Options,
        reporter: Reporter,
        tasks: Tasks,
        file: RunFile | None,
    ) -> None:
        self.grid, self.described, self.path, self.options = grid, described, path, options
        self.reporter, self.tasks, self.file = reporter, tasks, file
        self.statuses: dict[str, str] = {}
        self.read_statuses()
        self.computed = 0
        self.plugins = plugins.facts(grid.cells)
        self.first = plugins.task(plugins.origins(self.plugins))

    def read_statuses(self) -> None:
        """How the grid's cells stand in the file."""
        stored = self.file.statuses() if self.file else {}
        self.statuses = {cell: status for cell, status in stored.items() if cell in self.described}

    def count(self, status: str) -> int:
        return sum(found == status for found in self.statuses.values())

    def close(self) -> None:
        if self.file:
            self.file.close()

    def carry_out(self) -> None:
        self._refuse_changed_plugins()
        wanted = {cell for cell in self.described if self._is_wanted(cell)}
        if self.file and not wanted:
            self.file.begin(self.described.values(), self._meta())
            self.file.share_throughput()
            if not self._unmeasured(self.file):
                return
        self._work(wanted)
        if self.file:
            self.file.share_throughput()  # to new cells of kinds that were timed before

    def _is_wanted(self, cell: str) -> bool:
        status = self.statuses.get(cell)
        return status is None or (status != "done" and self.options.retry_failed)

    def _work(self, wanted: set[str]) -> None:
        """Everything that needs a worker: the checks, then the file, the bundles, the timing."""
        here = cores()
        bundles = self._bundles(wanted, "cpu", here)
        workers = self.options.workers or max(1, min(here, len(bundles)))
        with Pool(workers, max(1, here // workers), self.first) as pool:
            device = self._check(pool, self.tasks.device, self.options.device)["kind"]
            for precision in sorted({self.described[cell].cell.precision for cell in wanted} - {"float32"}):
                self._check(pool, self.tasks.precision, precision, device)
            if device != "cpu":
                workers = self.options.workers or 1
                bundles = self._bundles(wanted, device, workers)
                pool.workers, pool.threads = workers, here
            for family in self.plugins:
                self._check(pool, self.tasks.laws, family)
            facts = self._inspect(pool, wanted)
            self.file = self._prepared(facts)
            said = self._check(pool, self.tasks.device, device)  # again: the worker has set its precision by now
            origin = provenance(self.options.arguments, said, workers, pool.threads)
            number = self.file.add_provenance({**origin, "plugins": self.plugins})
            work = _Work(pool, self.file, device, number)
            if wanted:
                self.reporter.say(self._beginning(len(wanted), len(bundles), work))
                self._train(work, bundles)
            if pool.threads == here:
                self._measure(work)
        if self._unmeasured(self.file) and pool.threads != here:
            with Pool(1, here, self.first) as alone:
                self._measure(dataclasses.replace(work, pool=alone))

    def _bundles(self, wanted: set[str], device: str, workers: int) -> list[Bundle]:
        whole = plan(self.grid.cells, device, workers)
        return [bundle for planned in whole if (bundle := restrict(planned, wanted))]

    # -- checks, before anything is written ------------------------------------------------------------------------

    def _check(self, pool: Pool, function: str, *arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = pool.call("bench.engine.run:plainly", function, *arguments)
            return answer
        except TaskFailed as error:
            raise RunError(str(error)) from None

    def _refuse_changed_plugins(self) -> None:
        stored = self.file.meta().get("plugins", {}) if self.file else {}
        for family, plugin in self.plugins.items():
            before, now = stored.get(family, {}).get("sha256"), plugin["sha256"]
            if before not in (None, now):
                raise RunError(
                    f"the plug-in {plugin['file']} is not what {self.path} was begun with (checksum {now[:8]}, then "
                    f"{before[:8]}); restore the file, or run with --fresh or another --out."
                )

    def _inspect(self, pool: Pool, wanted: set[str]) -> dict[str, Any]:
        """The facts of every data set that is needed, by name. Raises RunError if one cannot be had, or has changed."""
        stored = self.file.meta().get("data", {}) if self.file else {}
        facts = {}
        for name, levels in dict.fromkeys((cell.dataset, cell.levels) for cell in self.grid.cells if cell.id in wanted):
            key = name if levels is None else f"{name} levels={levels}"
            facts[key] = self._check(pool, self.tasks.inspect, name, levels)
            before, now = stored.get(key, {}).get("checksum"), facts[key]["checksum"]
            if before not in (None, now):
                raise RunError(
                    f"the data set {name} is not what {self.path} was begun with (checksum {now[:8]}, then "
                    f"{before[:8]}); restore the data, or run with --fresh or another --out."
                )
        return stored | facts

    def _prepared(self, facts: dict[str, Any]) -> RunFile:
        meta = {**self._meta(), "data": facts}
        if self.file is None:
            return RunFile.create(self.path, meta)
        self.file.begin(self.described.values(), meta)
        return self.file

    def _meta(self) -> dict[str, Any]:
        return {
            "name": self.path.stem,
            "grid_name": self.grid.name,
            "about": self.grid.about,
            "grid": self.grid.text,
            "overrides": list(self.grid.overrides),
            "cells": len(self.described),
            "cards": cards(cell.family for cell in self.grid.cells),
            "plugins": (self.file.meta().get("plugins", {}) if self.file else {}) | self.plugins,
        }

    # -- training --------------------------------------------------------------------------------------------------

    def _train(self, work: _Work, bundles: Iterable[Bundle]) -> None:
        for bundle in bundles:
            work.pool.submit(self._task(bundle, work.device))
        ended = {cell for cell in self.described if not self._is_wanted(cell)}
        self.reporter.start(len(self.described), len(ended))
        while work.pool.busy:
            for end in work.pool.wait(HEARTBEAT_SECONDS):
                ended |= self._take(work, end)
            failed = sum(self.statuses[cell] != "done" for cell in ended)
            self.reporter.update(len(ended), failed)
        self.reporter.finish()

    def _task(self, bundle: Bundle, device: str) -> Task:
        limit = self.options.timeout
        return Task(self.tasks.carry_out, (bundle, device), None if limit is None else limit * len(bundle.cells))

    def _take(self, work: _Work, end: Ended) -> set[str]:
        """Store how a bundle ended; one of several models that gave nothing is tried again in halves, so that a bad
        cell does not take its neighbours along. Gives the cells that have ended."""
        bundle: Bundle = end.task.arguments[0]
        if end.failure and len(parts := halves(bundle)) > 1:
            for part in reversed(parts):
                work.pool.submit(self._task(part, work.device), first=True)
            return set()
        results = _failed(bundle.cells, end.failure) if end.failure else _checked(bundle, end.value)
        work.file.write([(self.described[result.cell], result) for result in results], work.provenance)
        self.statuses |= {result.cell: result.status for result in results}
        self.computed += len(results)
        return {result.cell for result in results}

    def _beginning(self, wanted: int, bundles: int, work: _Work) -> str:
        total = len(self.described)
        what = f"{total} cells" if wanted == total else f"{wanted} of {total} cells are missing"
        hands = f"{work.pool.workers} x {work.pool.threads} threads"
        return f"{self.path.stem}: {what}, in {bundles} bundles, {work.device}, {hands}"

    # -- timing ----------------------------------------------------------------------------------------------------

    def _unmeasured(self, file: RunFile) -> list[Cell]:
        """One cell that is done for every kind whose speed is not known yet."""
        known = file.measured_kinds()
        done = (item.cell for name, item in self.described.items() if self.statuses.get(name) == "done")
        return list({cell.kind: cell for cell in done if cell.kind not in known}.values())

    def _measure(self, work: _Work) -> None:
        """Time every kind of cell, alone; a measurement that fails costs no result."""
        cells = self._unmeasured(work.file)
        if not cells:
            return
        self.reporter.say(f"measuring the speed of {len(cells)} kinds of cell")
        limit = self.options.timeout
        try:
            rows = work.pool.call(self.tasks.measure, cells, work.device, seconds=limit and limit * len(cells))
        except TaskFailed as error:
            self.reporter.say(f"the speed was not measured: {error}")
            return
        work.file.write_throughput(rows, work.provenance)


def plainly(function: str, *arguments: Any) -> dict[str, Any]:
    """In a worker: call "module:name" and give its dataclass or dictionary as a dictionary of plain values, so that the
    parent need not import the module that defines it."""
    module, _, name = function.partition(":")
    answer = getattr(importlib.import_module(module), name)(*arguments)
    return answer if isinstance(answer, dict) else dataclasses.asdict(answer)


def _failed(cells: Iterable[Cell], failure: Failure) -> list[CellResult]:
    return [CellResult(cell.id, failure.status, failure.reason) for cell in cells]


def _checked(bundle: Bundle, answer: Any) -> list[CellResult]:
    """The worker's rows, one a cell in the bundle's order; a cell without a usable row has failed."""
    given = {result.cell: result for result in answer if isinstance(result, CellResult)} if answer else {}
    results = []
    for cell in bundle.cells:
        result = given.get(cell.id, CellResult(cell.id, "failed", "the worker gave no result for this cell"))
        if unknown := sorted(set(result.values) - set(RESULT_COLUMNS)):
            result = CellResult(cell.id, "failed", f"the worker gave values that no column takes: {', '.join(unknown)}")
        results.append(result)
    return results
