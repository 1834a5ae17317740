"""Programs of scores, made beside a run by processes of their own, so that nobody waits for a compiler.

What is worth one is told by all that the grid's cells will see of a kind. Who makes them may fail, hang or die: the
scores are then computed as they always can be, and a sentence says so, once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from bench.engine.local import Limits, Pool, Task
from bench.engine.process.printed import Log
from bench.grid.cell import Cell
from bench.grid.families import make
from bench.grid.plan import decodes_to_score

MAKE = "bench.engine.worker.programs:make_program"
#: those of a kind (vae_core.evaluate.programs.kinds): all scores at once, the mass with its slope, the mass alone
PROGRAMS = ("all", "slope", "mass")
#: raw outputs of one kind in a whole grid, from which on a compiler's seconds are worth it, beside other work
WORTH_COMPILING = 1 << 31
#: processes at most: each has a context of its own on the GPU, some 0.5 GB
MOST_HELPERS = 12


def tasks(
    cells: Iterable[Cell], data: Mapping[str, Mapping[str, Any]], device: str, function: str = MAKE
) -> list[Task]:
    """One for every program of the kinds of likelihood that enough is seen of: first, for the most seen kind before the
    others, those that nothing else can stand for. `cells`: as they are trained; `data`: the facts of their data sets by
    `DataSpec.key`."""
    seen: dict[tuple[object, ...], int] = {}
    first: dict[tuple[object, ...], tuple[object, ...]] = {}
    for cell in cells:
        facts = data[cell.data.key]
        dims, levels = facts["dims"], facts["levels"]
        likelihood = make(cell.family, cell.options, levels).scored(cell.scored_as)
        kind = (repr(sorted(likelihood.computes().items())), cell.view, dims, levels)
        images = min(cell.test_images or facts["test"], facts["test"])
        seen[kind] = seen.get(kind, 0) + images * decodes_to_score(cell) * likelihood.outputs(dims)
        first.setdefault(kind, (cell, dims, levels, device))
    worth = sorted((kind for kind in first if seen[kind] >= WORTH_COMPILING), key=lambda kind: -seen[kind])
    needed = [(*first[kind], which) for kind in worth for which in PROGRAMS[:2]]
    better = [(*first[kind], which) for kind in worth for which in PROGRAMS[2:]]
    return [Task(function, of, name="a program of scores", tries=1) for of in needed + better]


def helpers(cores: int, workers: int, pieces: int) -> int:
    """How many processes make programs, of so many cores, beside so many workers."""
    return max(0, min(MOST_HELPERS, pieces, cores - max(workers, 1)))


class Ahead:
    """The processes that make them, from first to last; to be looked after while the run waits for its own."""

    def __init__(
        self, of: list[Task], count: int, first: Task | None, limits: Limits | None = None, log: Log | None = None
    ) -> None:
        self._pool = Pool(count, 1, first, limits=limits, log=log) if of and count else None
        self.pieces, self.count = len(of), count
        self._tasks = of
        self._said = False

    @property
    def beginning(self) -> str:
        """What is begun, "" where nothing is."""
        if self._pool is None:
            return ""
        return f"{self.pieces} programs of scores are compiled beside it, in {self.count} processes"

    def __enter__(self) -> Self:
        if self._pool is not None:
            self._pool.__enter__()
            for task in self._tasks:
                self._pool.submit(task)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.__exit__(kind, error, at)
            self._pool = None

    def look(self) -> str:
        """Hands out what is to be done next; the first failure as a sentence, "" where there is nothing to be said."""
        if self._pool is None:
            return ""
        said = ""
        try:
            failures = [end.failure for end in self._pool.wait(0.0) if end.failure]
            done = not self._pool.busy
        except OSError as error:  # no process can be started
            failures, done = [], True
            said = f"no scores are compiled: {error}"
        if failures and not self._said:
            said = f"a score stays uncompiled: {failures[0].reason}"
        self._said |= bool(said)
        if done:  # what the processes hold on the GPU is free again
            self.__exit__(None, None, None)
        return said
