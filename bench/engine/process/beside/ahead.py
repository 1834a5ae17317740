"""What a host's cores do while a GPU has the run: programs of training steps and of scores are made, and references are
fitted.

What is worth a program is told by all that the grid's cells will see of a kind. Who makes them may fail, hang or die:
the scores are then computed as they always can be, and a sentence says so, once. References are waited for, and so are
the programs of steps (`awaited`), which come first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from bench.engine.local import Ended, Limits, Pool, Task
from bench.engine.process.beside.awaited import Awaited
from bench.engine.process.printed import Log
from bench.grid.cell import Cell
from bench.grid.families import make
from bench.grid.plan import decodes_to_score

MAKE = "bench.engine.worker.programs:make_program"
#: those of a kind (vae_core.evaluate.programs.kinds): all scores at once, the mass with its slope, the mass alone
PROGRAMS = ("all", "slope", "mass")
PROGRAM = "a program of scores"  #: what such a task is called
#: raw outputs of one kind in a whole grid, from which on a compiler's seconds are worth it, beside other work
WORTH_COMPILING = 1 << 31
#: processes at most: each has a context of its own on the GPU, some 0.5 GB
MOST_HELPERS = 12


def worthwhile(
    cells: Iterable[Cell], sizes: Mapping[str, tuple[int, int, int]]
) -> dict[tuple[object, ...], tuple[Cell, int, int]]:
    """The kinds of likelihood that a grid sees enough of, the most seen first, each with a cell of it, D and K.
    `cells`: as they are trained; `sizes`: D, K and the number of test images of their data sets by `DataSpec.key`."""
    seen: dict[tuple[object, ...], int] = {}
    first: dict[tuple[object, ...], tuple[Cell, int, int]] = {}
    for cell in cells:
        dims, levels, test = sizes[cell.data.key]
        kind = kind_of(cell, dims, levels)
        likelihood = make(cell.family, cell.options, levels)
        images = min(cell.test_images or test, test)
        seen[kind] = seen.get(kind, 0) + images * decodes_to_score(cell) * likelihood.outputs(dims)
        first.setdefault(kind, (cell, dims, levels))
    return {kind: first[kind] for kind in sorted(first, key=lambda kind: -seen[kind]) if seen[kind] >= WORTH_COMPILING}


def kind_of(cell: Cell, dims: int, levels: int) -> tuple[object, ...]:
    """Equal for cells whose scores one program computes."""
    likelihood = make(cell.family, cell.options, levels).scored(cell.scored_as)
    return (repr(sorted(likelihood.computes().items())), cell.view, dims, levels)


def tasks(
    cells: Iterable[Cell], data: Mapping[str, Mapping[str, Any]], device: str, function: str = MAKE
) -> list[Task]:
    """One for every program of the kinds of likelihood that are `worthwhile`: first, for the most seen kind before the
    others, those that nothing else can stand for. `cells`: as they are trained; `data`: the facts of their data sets by
    `DataSpec.key`."""
    sizes = {key: (math.prod(facts["shape"]), facts["levels"], facts.get("test", 0)) for key, facts in data.items()}
    worth = [(*of, device) for of in worthwhile(cells, sizes).values()]
    needed = [(*of, which) for of in worth for which in PROGRAMS[:2]]
    better = [(*of, which) for of in worth for which in PROGRAMS[2:]]
    return [Task(function, of, name=PROGRAM, tries=1) for of in needed + better]


def helpers(cores: int, workers: int, pieces: int) -> int:
    """How many processes make programs, of so many cores, beside so many workers."""
    return max(0, min(MOST_HELPERS, pieces, cores - max(workers, 1)))


class Ahead:
    """The processes that do it, from first to last; to be looked after while the run waits for its own.

    Args:
        programs: tasks that make them.
        count: processes at most; 0: none, on a CPU, whose cores the run has.
        first: carried out by each process before its first task.
        awaited: pieces of work that wait for programs of steps, which are made before all others; None: none.
    """

    def __init__(
        self,
        programs: list[Task],
        count: int,
        first: Task | None,
        limits: Limits | None = None,
        log: Log | None = None,
        awaited: Awaited | None = None,
    ) -> None:
        self._pool = Pool(count, 1, first, limits=limits, log=log) if count else None
        self.awaited = awaited or Awaited.of_nothing()
        steps = self.awaited.tasks if count else []
        if not count:
            self.awaited.nobody_makes_them()
        self._steps, self._programs, self.count = len(steps), [*steps, *programs], count
        self._said: set[str] = set()  # of what it was said that one failed
        self._owed = 0

    def beside(self, pool: Pool) -> Self:
        """On the GPUs of the run's own workers."""
        if self._pool is not None:
            self._pool.beside(pool)
        return self

    @property
    def beginning(self) -> str:
        """What is begun, in lines of at most 80 columns, "" where nothing is."""
        if self._pool is None or not self._programs:
            return ""
        of_scores = len(self._programs) - self._steps
        hands = f"are compiled beside it, in {self.count} process{'' if self.count == 1 else 'es'}"
        if not self._steps:
            return f"{of_scores} programs of scores {hands}"
        others = f", and {of_scores} of scores,"[: None if of_scores else 1]
        return f"{self._steps} programs of training steps, which models wait for{others}\n{hands}"

    @property
    def owing(self) -> bool:
        """Whether something is under way that the run must not end without."""
        return self._owed > 0

    def __enter__(self) -> Self:
        if self._pool is not None:
            self._pool.__enter__()
            for task in self._programs:
                self._pool.submit(task)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.awaited.nobody_makes_them()
        if self._pool is not None:
            self._pool.__exit__(kind, error, at)
            self._pool = None

    def takes(self, task: Task) -> bool:
        """Takes some other work that needs no GPU, to be done after the programs; False where there is nobody."""
        if self._pool is None:
            return False
        self._pool.submit(task)
        self._owed += 1
        return True

    def look(self, say: Callable[[str], None]) -> list[Ended]:
        """Hands out what is to be done next, and says the first failure of a program of either sort; gives what has
        ended of the other work. Raises OSError where no process can be started for that."""
        if self._pool is None:
            return []
        try:
            ended = self._pool.wait(0.0)
        except OSError as error:
            if self._owed:
                raise
            say(f"nothing more is compiled: {error}")
            self.__exit__(None, None, None)
            return []
        others = []
        for end in ended:
            of_steps = self.awaited.ended(end.task)
            what = "step" if of_steps else "score"
            if not of_steps and end.task.name != PROGRAM:
                others.append(end)
            elif end.failure and what not in self._said:
                self._said.add(what)
                say(f"a {what} stays uncompiled: {end.failure.reason}")
        self._owed -= len(others)
        if not self._pool.busy:  # what the processes hold on the GPU is free again
            self.__exit__(None, None, None)
        return others
