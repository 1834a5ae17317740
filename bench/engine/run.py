"""Carries out a grid: what is missing from the run file is planned, worked off by the pool, and stored as it ends.

The process that runs this makes no tensor: data sets, training and timing happen in worker processes. It is one file,
for all of it is the state of one invocation.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.engine.choices import IN_TUNING, Choices, checked, failed, with_remedy
from bench.engine.interrupt import Interrupted, TimeIsUp, ending, heard, shielded
from bench.engine.local import Ended, Limits, Pool, Task, TaskFailed
from bench.engine.opening import Checks, Opened, RunError, opening
from bench.engine.process.beside.ahead import MAKE, Ahead, helpers
from bench.engine.process.beside.ahead import tasks as tasks_ahead
from bench.engine.process.beside.awaited import MAKE_STEP, Awaited, sizes_of, worth_awaiting
from bench.engine.process.beside.foretold import Foretold, Left
from bench.engine.process.death import came_from_outside
from bench.engine.process.printed import Log
from bench.engine.progress import Reporter, Summary, asked, suspected
from bench.engine.provenance import cores
from bench.engine.references import References
from bench.grid.cell import Cell
from bench.grid.families.cards import cards
from bench.grid.plan import Bundle, Tuning, alone, halves, halves_of_tuning, plan, plan_tuning, restrict
from bench.grid.read import Grid, describe
from bench.store import CellResult, RunFile
from bench.store.weights import MEGABYTES, Weights

__all__ = ["Interrupted", "Options", "RunError", "Summary", "Tasks", "run_grid"]

HEARTBEAT_SECONDS = 1.0
SUSPECTED_SECONDS = 20.0  # of silence after which a worker is named
OTHERS_WAIT = 1e15  # weight of what is chosen before others can begin, above all that they weigh


@dataclass(frozen=True)
class Tasks(Checks):
    """The functions that workers carry out, as "module:name" (or cheap ones in tests)."""

    carry_out: str = "bench.engine.worker.bundle:carry_out"
    choose: str = "bench.engine.worker.tuning:choose"
    measure: str = "bench.speed.throughput:measure_throughput"
    refer: str = "bench.engine.worker.references:refer"
    program: str = MAKE
    step: str = MAKE_STEP


@dataclass(frozen=True)
class Options:
    """How a grid is run. `timeout` is the limit in seconds for one cell; a bundle has that many times its cells; None:
    `limits`. `weights` is how many megabytes of trained weights are kept beside the run file. `overheard` gives what
    was printed in this process besides, for the log. `time_limit`: seconds after which it ends as if interrupted.
    `foretell`: "module:name" of what predicts its time (`bench.engine.process.beside.foretold`), "" for nothing."""

    device: str = "auto"
    retry_failed: bool = False
    fresh: bool = False
    timeout: float | None = None
    workers: int | None = None
    weights: float = MEGABYTES
    arguments: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)
    overheard: Callable[[], bytes] = bytes
    time_limit: float = math.inf
    foretell: str = ""


def run_grid(grid: Grid, path: Path, options: Options, reporter: Reporter, tasks: Tasks | None = None) -> Summary:
    """Compute what the run file at `path` lacks of the grid; nothing is written before data and device are known to do.

    Raises RunError, StoreError, Interrupted.
    """
    begun = time.monotonic()
    tasks = tasks or Tasks()
    with heard(), opening(grid, path, tasks, fresh=options.fresh, say=reporter.say) as opened:
        for line in opened.damaged:
            reporter.say(line)
        run = _Run(opened, options, reporter, tasks, until=begun + options.time_limit)
        try:
            run.carry_out()
        except KeyboardInterrupt as why:
            ending()
            run.read_statuses()  # it may have come when a bundle was stored and not counted yet
            given = options.time_limit if isinstance(why, TimeIsUp) else None
            stop = Interrupted(run.count("done"), len(run.described), given)
            stop.log = run.printed()
            raise stop from None
        except BaseException:
            if where := run.printed():
                reporter.say(where)
            raise
        done, seconds = run.count("done"), time.monotonic() - begun
        return Summary(done, len(run.described) - done, seconds, run.computed, len(run.lost), run.printed())


@dataclass(frozen=True)
class _Work:
    """What carries out the bundles, and where their rows go."""

    pool: Pool
    file: RunFile
    device: str
    provenance: int
    wanted: set[str]


class _Run:
    """One invocation: what it is asked for, and what has ended."""

    def __init__(self, opened: Opened, options: Options, reporter: Reporter, tasks: Tasks, until: float) -> None:
        self.until = until
        self.opened, self.options, self.reporter, self.tasks = opened, options, reporter, tasks
        self.described = describe(opened.grid.cells)
        self.weights = Weights.of(opened.path, options.weights)
        self.statuses: dict[str, str] = {}
        self.lost: set[str] = set()
        self.read_statuses()
        self.log = Log(opened.path)
        self.choices = Choices(opened.file, same=opened.is_of_this_grid())
        self.references = References(
            opened.grid.cells, opened.file, retry_failed=options.retry_failed, task=tasks.refer
        )
        self.untuned: set[str] = set()
        self.arrived: set[str] = set()  # ahead of the ends of their bundles
        self.computed = 0
        self.awaited = Awaited.of_nothing()

    def read_statuses(self) -> None:
        """How the grid's cells stand in the file."""
        file = self.opened.file
        stored = file.statuses() if file else {}
        self.statuses = {cell: status for cell, status in stored.items() if cell in self.described}
        reasons = file.statuses(column="reason") if file else {}
        self.lost = {cell for cell, reason in reasons.items() if cell in self.described and came_from_outside(reason)}

    def printed(self) -> str:
        """Ends the log; a sentence that says where it is, "" where nothing was printed."""
        self.log.take("this process", self.options.overheard())
        return self.log.close()

    def count(self, status: str) -> int:
        return sum(ended_as == status for ended_as in self.statuses.values())

    def carry_out(self) -> None:
        wanted = {cell for cell in self.described if self._is_wanted(cell)}
        file = self.opened.file
        if file and not wanted and not self.references.wanted:
            self._begin(file)
            file.share_throughput()
            if not self._unmeasured(file):
                return
        try:
            self._work(wanted)
        except RunError as error:
            if wanted or not file:
                raise
            self.reporter.say(f"the references were not added: {error}")  # whose data may be gone since
        if self.opened.file:
            self.opened.file.share_throughput()  # to new cells of kinds that were timed before

    def _is_wanted(self, cell: str) -> bool:
        status = self.statuses.get(cell)
        return status is None or (status != "done" and (self.options.retry_failed or cell in self.lost))

    def _work(self, wanted: set[str]) -> None:
        """Everything that needs a worker: the checks, then the file, the bundles, the timing."""
        here = cores()
        cells = self.opened.grid.cells
        tunings, bundles = self.choices.split(cells, wanted, "cpu", here)
        pieces = len(tunings) + len(bundles) or len(self.references.wanted)
        workers = self.options.workers or max(1, min(here, pieces))
        with self._pool(workers, max(1, here // workers)) as pool:
            found = self.opened.device(pool, self.options.device)
            device = found["kind"]
            if device != "cpu":
                workers = self.options.workers or max(1, len(found.get("visible", ())))  # one a GPU
                tunings, bundles = self.choices.split(cells, wanted, device, workers)
                pool.settle(found, workers, max(1, here // workers))
            asked = [item.cell for name, item in self.described.items() if name in wanted] + self.references.cells()
            data = self.opened.examine(pool, device, asked)
            for line in self.opened.remarked(data, asked):
                self.reporter.say(line)
            file = self._begin(self.opened.keep({**self._meta(), "data": data}), data)
            if self.options.fresh:
                self.weights.clear()  # only now that the new file is in place of the old one
            said = self.opened.device(pool, device)  # again: the worker has set its precision by now
            said |= {name: found[name] for name in ("name", "gpus", "memory_bytes") if name in found}
            work = _Work(pool, file, device, self.opened.sign(pool, self.options.arguments, said), wanted)
            if wanted or self.references.wanted:
                self.reporter.say(self._beginning(tunings, bundles, work))
                left = self._left(work, tunings, bundles, data, found["name"])
                with (
                    self._ahead(work, data, here, [*tunings, *bundles]) as ahead,
                    self._foretold(left) as foretold,
                ):
                    self._train(work, tunings, bundles, ahead, foretold)
            if pool.threads == here:
                self._measure(work)
        if self._unmeasured(file) and pool.threads != here:
            with self._pool(1, here) as apart:
                if device != "cpu":
                    apart.settle({**found, "visible": found.get("visible", ())[:1], "seen": 2}, 1, here)
                self._measure(dataclasses.replace(work, pool=apart))

    def _pool(self, workers: int, threads: int) -> Pool:
        limits = self.options.limits
        return Pool(workers, threads, self.opened.first, limits=limits, log=self.log, until=self.until)

    def _begin(self, file: RunFile, data: dict[str, Any] | None = None) -> RunFile:
        """The file is of this grid now."""
        meta = self._meta() | ({} if data is None else {"data": data})
        file.begin(self.described.values(), meta, self.references.ids)
        self.log.begin(fresh=self.options.fresh)
        return file

    def _meta(self) -> dict[str, Any]:
        families = {cell.family for cell in self.opened.grid.cells}
        return {**self.opened.meta(), "cards": cards(families), "plugins": self.opened.all_plugins()}

    # -- training --------------------------------------------------------------------------------------------------

    def _ahead(self, work: _Work, data: dict[str, Any], here: int, pieces: Sequence[Tuning | Bundle]) -> Ahead:
        """What the host's cores do beside it, where a GPU has the run."""
        cells = [item.cell.settled() for name, item in self.described.items() if name in work.wanted]
        of, count, awaited = [], 0, None
        if work.device != "cpu":
            of = tasks_ahead(cells, data, work.device, self.tasks.program)
            whole = [item.cell for item in self.described.values()]
            of_grid = plan_tuning(whole, work.device, work.pool.workers), plan(whole, work.device, work.pool.workers)
            worth = worth_awaiting([*of_grid[0], *of_grid[1]], Cell.settled, sizes_of(data))
            awaited = Awaited(worth, data, work.device, self.choices.settled, pieces, self.tasks.step)
            count = helpers(here, work.pool.workers, len(of) + len(awaited.tasks) + len(self.references.wanted))
        ahead = Ahead(of, count, self.opened.first, self.options.limits, self.log, awaited).beside(work.pool)
        if ahead.beginning:
            self.reporter.say(ahead.beginning)
        return ahead

    def _left(
        self, work: _Work, tunings: Sequence[Tuning], bundles: Sequence[Bundle], data: dict[str, Any], name: str
    ) -> Left:
        """What there is to do, for who predicts how long that takes."""
        cells, opened = tuple(self.opened.grid.cells), self.opened
        return Left(
            cells,
            frozenset(work.wanted),
            tuple(tunings),
            tuple(bundles),
            tuple(self.references.wanted),
            frozenset(work.file.measured_kinds()),
            {key: data[key] for key in {cell.data.key for cell in cells} if key in data},
            work.device,
            name,
            work.pool.workers,
            plugged=bool(opened.first),
        )

    def _foretold(self, left: Left) -> Foretold:
        return Foretold(self.options.foretell, left, self.opened.first, self.options.limits, self.log)

    def _train(
        self,
        work: _Work,
        tunings: Sequence[Tuning],
        bundles: Sequence[Bundle],
        ahead: Ahead,
        foretold: Foretold,
    ) -> None:
        self.awaited = ahead.awaited
        pieces: list[Tuning | Bundle] = [*tunings, *bundles]
        for piece in pieces:
            self._hand_out(work, piece)
        for task in self.references.tasks(self.options.timeout):
            if not ahead.takes(task):
                work.pool.submit(task)
        ended = {cell for cell in self.described if not self._is_wanted(cell)}
        self.untuned = {cell.search for tuning in tunings for cell in tuning.cells}
        self.reporter.start(len(self.described), len(ended))
        self.weights.sweep(set(work.file.weights().values()))
        referred = 0
        while work.pool.busy or ahead.owing or self.awaited.count:
            self.awaited.release()
            try:
                ends = work.pool.wait(HEARTBEAT_SECONDS)
            finally:
                with shielded():  # what has ended is stored, whatever signal comes meanwhile
                    for part in work.pool.parts():
                        ended |= self._take_part(work, part)
            for end in [*ends, *ahead.look(self.reporter.say)]:
                with shielded():
                    if self.references.is_one(end):
                        self.references.take(work.file, end, work.provenance)
                        referred += 1
                    else:
                        ended |= self._take(work, end)
            failed = sum(self.statuses[cell] != "done" for cell in ended)
            to_come = len(self.references.wanted) - referred
            suspect = suspected(work.pool.silent(SUSPECTED_SECONDS))
            programs = self.awaited.to_come if self.awaited.count and not work.pool.busy else 0
            left = self._seconds_left(work)
            self.reporter.update(len(ended), failed, len(self.untuned), to_come, suspect, programs, left)
            if predicted := foretold.look(known=self.reporter.knows):
                self.reporter.predict(*predicted)
        self.weights.sweep()
        self.reporter.finish()

    def _seconds_left(self, work: _Work) -> float | None:
        """By the clock, of the bundles that are to be carried out; as far as it is known."""
        bundles = (piece for piece in self.awaited.pieces if isinstance(piece, Bundle))
        held = [(self.choices.cost(bundle), len(bundle.cells)) for bundle in bundles]
        return work.pool.left(self.tasks.carry_out, held)

    def _hand_out(self, work: _Work, piece: Tuning | Bundle) -> None:
        """To the pool, as soon as the programs of its steps are there."""
        self.awaited.hand_out(piece, lambda: work.pool.submit(self._task(piece, work.device)))

    def _task(self, piece: Tuning | Bundle, device: str, *, suspect: bool = False) -> Task:
        limit, label = self.options.timeout, self.described[piece.cells[0].id].label
        if isinstance(piece, Tuning):
            task = Task(self.tasks.choose, (piece, device), weight=OTHERS_WAIT)
        else:
            task = Task(self.tasks.carry_out, (piece, device, self.weights))
        if self.choices.is_feared(piece):  # it may take others' memory along, whose work is stored by then
            task = dataclasses.replace(task, weight=-OTHERS_WAIT)
        return self.choices.known_of(task, piece, label, limit, suspect=suspect)

    def _take(self, work: _Work, end: Ended) -> set[str]:
        """Store how a piece of work ended; one of several models that gave nothing is tried again in halves, so that a
        bad cell does not take its neighbours along. Gives the cells that have ended."""
        whole: Tuning | Bundle = end.task.arguments[0]
        piece = self._rest(whole) if isinstance(whole, Bundle) else whole
        if piece is None:
            return set()
        parts: Sequence[Tuning | Bundle] = halves_of_tuning(piece) if isinstance(piece, Tuning) else halves(piece)
        if end.failure and parts != (piece,):
            hung = end.failure.status == "timeout"
            for part in reversed(parts):
                work.pool.submit(self._task(part, work.device, suspect=hung), first=True)
            return set()
        if end.failure:
            told = with_remedy(end.failure, self.choices.settled(piece.cells[0]), work.pool.workers)
            end = dataclasses.replace(end, failure=told)
        if isinstance(piece, Tuning):
            results = self._take_choices(work, piece, end)
        else:
            results = failed(piece.cells, end.failure) if end.failure else checked(piece, end.value)
            assert isinstance(whole, Bundle)
            apart = alone(whole, {result.cell for result in results if result.status == "oom"})
            for part in reversed(apart):  # they may fit where no other model is held beside them
                work.pool.submit(self._task(part, work.device), first=True)
            again = {cell.id for part in apart for cell in part.cells}
            results = [result for result in results if result.cell not in again]
        return self._store(work, results)

    def _take_part(self, work: _Work, part: Ended) -> set[str]:
        """Store what a bundle that goes on has given of its cells by now. Gives those."""
        piece: Bundle = part.task.arguments[0]
        named = {result.cell for result in part.value} & {cell.id for cell in piece.cells}
        some = restrict(piece, named - self.arrived) if named - self.arrived else None
        self.arrived |= named
        return self._store(work, checked(some, part.value)) if some else set()

    def _rest(self, bundle: Bundle) -> Bundle | None:
        """Those of its cells that it had not given before it ended; None where there are none."""
        return restrict(bundle, {cell.id for cell in bundle.cells} - self.arrived)

    def _store(self, work: _Work, results: Sequence[CellResult]) -> set[str]:
        results = [result for result in results if result.cell in work.wanted]
        with self.weights.settled(work.file, results, self.reporter.say) as settled:
            work.file.write([(self.described[result.cell], result) for result in settled], work.provenance)
        self.statuses |= {result.cell: result.status for result in results}
        ids = {result.cell for result in results}
        self.lost = (self.lost - ids) | {result.cell for result in results if came_from_outside(result.reason)}
        self.computed += len(results)
        return ids

    def _take_choices(self, work: _Work, tuning: Tuning, end: Ended) -> list[CellResult]:
        """Store what was chosen, and have the cells trained that waited for it. Gives the cells that fail with it."""
        self.untuned -= {cell.search for cell in tuning.cells}
        if end.failure:
            return failed(tuning.cells, dataclasses.replace(end.failure, reason=IN_TUNING + end.failure.reason))
        searches, lost = self.choices.take(tuning, end.value)
        work.file.write_searches(searches, work.provenance)
        gone = {result.cell for result in lost}
        cells = [cell for cell in tuning.cells if cell.id not in gone]
        for bundle in self.choices.bundles(cells, work.wanted, work.device, work.pool.workers):
            self._hand_out(work, bundle)
        return lost

    def _beginning(self, tunings: Sequence[Tuning], bundles: Sequence[Bundle], work: _Work) -> str:
        hands = f"{work.device}, {work.pool.workers} x {work.pool.threads} threads"
        what = asked(len(self.described), len(work.wanted), len(self.references.wanted), tunings, len(bundles))
        return f"{self.opened.path.stem}: {what[0]}, {hands}" + "".join(f"\n{line}" for line in what[1:])

    # -- timing ----------------------------------------------------------------------------------------------------

    def _unmeasured(self, file: RunFile) -> list[Cell]:
        """One cell that is done for every kind whose speed is not known yet."""
        measured = file.measured_kinds()
        ended = (item.cell for name, item in self.described.items() if self.statuses.get(name) == "done")
        done = map(self.choices.settled, ended)
        return list({cell.kind: cell for cell in done if cell.kind not in measured}.values())

    def _measure(self, work: _Work) -> None:
        """Time every kind of cell, alone; a measurement that fails costs no result."""
        if not (cells := self._unmeasured(work.file)):
            return
        self.reporter.say(f"measuring the speed of {len(cells)} kinds of cell")
        limit = self.options.timeout
        try:
            rows = work.pool.call(self.tasks.measure, cells, work.device, seconds=limit and limit * len(cells))
        except TaskFailed as error:
            self.reporter.say(f"the speed was not measured: {error}")
            return
        work.file.write_throughput(rows, work.provenance)
