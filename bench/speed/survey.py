"""Carries out a survey of speed: every kind of cell of a grid, then curves of one kind, stored in the grid's run file.

The process that runs this makes no tensor. A run file that is there keeps its results and gets new speeds; where there
is none, one without cells is made, which `vae-bench run` goes on with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.engine.interrupt import heard
from bench.engine.local import Pool, TaskFailed
from bench.engine.opening import Checks, RunError, opening
from bench.engine.process.printed import Log
from bench.engine.progress import Reporter
from bench.engine.provenance import cores
from bench.grid.cell import Cell, labels
from bench.grid.read import Grid
from bench.grid.settings import KEYS
from bench.store import RunFile

CURVES = ("bundle", "batch", "samples", "latent")
MOST_NAMED = 5  # kinds in an error message


@dataclass(frozen=True)
class Tasks(Checks):
    """The functions that the worker carries out, as "module:name"."""

    kind: str = "bench.speed.survey_worker:survey_kind"
    curve: str = "bench.speed.survey_worker:survey_curve"
    suggestion: str = "bench.speed.survey_worker:suggestion"


@dataclass(frozen=True)
class Options:
    """How a grid is surveyed. `kind` names whose curves are measured, the grid's first by default."""

    device: str = "auto"
    threads: int | None = None
    kind: str | None = None
    quick: bool = False
    arguments: Sequence[str] = ()


@dataclass
class Survey:
    """What was measured: a row for each kind with its `label`, the points of the curves of one kind, and what they say
    of the size of bundles; `failed` kinds and curves gave nothing."""

    device: dict[str, Any]
    threads: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    points: list[dict[str, Any]] = field(default_factory=list)
    suggestion: dict[str, Any] = field(default_factory=dict)
    failed: int = 0
    has_cells: bool = False


def kinds(cells: Iterable[Cell]) -> dict[str, Cell]:
    """The first cell of each kind, under a name without what makes no difference to speed: `gaussian σ fixed`."""
    of_kind: dict[str, Cell] = {}
    for cell in (cell.settled() for cell in cells):  # of what is tuned, as the first candidate
        of_kind.setdefault(cell.kind, cell)
    idle = {name: key.absent for name, key in KEYS.items() if not key.paces or key.group == "evaluation"}
    alike = {kind: cell.but(scored_as="itself", **idle) for kind, cell in of_kind.items()}
    named = labels(alike.values())
    by_name: dict[str, Cell] = {}
    for kind, cell in of_kind.items():
        name = named[alike[kind].id]
        if cell.sigma_mode == "fixed":
            name = name.replace(f"σ={cell.sigma}", "σ fixed")
        by_name[name if name not in by_name else kind] = cell
    return by_name


def chosen(found: dict[str, Cell], kind: str | None) -> str:
    """The name of the kind that a person means: all of its name or of its id, or a part that no other has; the first
    without a wish. Raises RunError."""
    if kind is None:
        return next(iter(found))
    exact = [name for name, cell in found.items() if kind in (name, cell.kind)]
    partly = [name for name, cell in found.items() if kind in name or kind in cell.kind]
    if len(matches := exact or partly) == 1:
        return matches[0]
    listed = matches or list(found)
    names = ", ".join(map(repr, listed[:MOST_NAMED])) + (", …" if len(listed) > MOST_NAMED else "")
    what = f"{len(matches)} kinds of cell are meant" if matches else "no kind of cell of the grid has this in its name"
    raise RunError(f"--kind {kind}: {what}; give one of {names}.")


def survey_grid(grid: Grid, path: Path, options: Options, reporter: Reporter, tasks: Tasks | None = None) -> Survey:
    """Measure every kind of cell and the curves of one; each is stored at `path` as it is measured, and nothing is
    written before data and device are known to do.

    Raises RunError, StoreError.
    """
    tasks = tasks or Tasks()
    named = kinds(grid.cells)
    reference = chosen(named, options.kind)
    threads = options.threads or cores()
    with (
        heard(),
        opening(grid, path, tasks, say=reporter.say) as opened,
        _logged(opened.path, reporter) as log,
        Pool(1, threads, opened.first, log=log) as pool,
    ):
        for line in opened.damaged:
            reporter.say(line)
        device = opened.device(pool, options.device)
        if device["kind"] != "cpu":  # one GPU, the first of those that are meant
            pool.settle({**device, "visible": device.get("visible", ())[:1]}, 1, threads)
        opened.examine(pool, device["kind"], named.values())
        file = opened.keep(opened.meta())
        log.begin()
        survey = Survey(device, threads, has_cells=bool(file.statuses()))
        number = opened.sign(pool, options.arguments, device)
        work = _Work(pool, tasks, file, number, reporter, options.quick, survey)
        reporter.say(f"measuring {len(named)} kinds of cell on {device['kind']}, {_threads(threads)}")
        for turn, (name, cell) in enumerate(named.items(), 1):
            reporter.say(f"{turn}/{len(named)} {name}")
            work.kind(name, cell)
        reporter.say(f"curves of {reference}")
        work.curves(reference, named[reference])
        return survey


@contextmanager
def _logged(run: Path, reporter: Reporter) -> Iterator[Log]:
    """The log of a run file, which is the file itself and no link to it, so that it has one log by whatever name; says
    where is what was printed, however it ended."""
    log = Log(run)
    try:
        yield log
    finally:
        if where := log.close():
            reporter.say(where)


@dataclass(frozen=True)
class _Work:
    """What measures, and where it goes."""

    pool: Pool
    tasks: Tasks
    file: RunFile
    provenance: int
    reporter: Reporter
    quick: bool
    survey: Survey

    def kind(self, name: str, cell: Cell) -> None:
        row = self._measured(name, self.tasks.kind, cell, self.survey.device["kind"], self.quick)
        if row is not None:
            self.survey.rows.append({**row, "label": name})
            self.file.write_throughput([self.survey.rows[-1]], self.provenance)

    def curves(self, name: str, cell: Cell) -> None:
        """Stored together, with what they suggest on the row of their kind."""
        device = self.survey.device["kind"]
        for curve in CURVES:
            points = self._measured(f"{name}, {curve}", self.tasks.curve, cell, curve, device, self.quick)
            self.survey.points += [{**point, "label": name} for point in points or ()]
        if self.survey.points:
            self.file.write_scaling(self.survey.points, self.provenance)
        bundles = [point for point in self.survey.points if point["curve"] == "bundle"]
        if not bundles:
            return
        self.survey.suggestion |= self._measured(name, self.tasks.suggestion, bundles, device) or {}
        for row in self.survey.rows:
            if row["kind"] == cell.kind:
                row |= self.survey.suggestion
                self.file.write_throughput([row], self.provenance)

    def _measured(self, what: str, function: str, *arguments: Any) -> Any:
        """None where it failed: one kind costs no other its numbers."""
        try:
            return self.pool.call(function, *arguments)
        except TaskFailed as error:
            self.survey.failed += 1
            self.reporter.say(f"{what} was not measured: {error}")
            return None


def _threads(count: int) -> str:
    return "one thread" if count == 1 else f"{count} threads"
