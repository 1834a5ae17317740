"""What a piece of work waits for: the programs of its training steps.

A score may go by a program as soon as there is one, for what it is off by is rounding. A training may not: its numbers
would hang on how fast a compiler was. So a piece of work is handed out when the programs of all kinds of likelihood
that it trains have been made, or have failed; what needs none, or has them, goes before it. Where nobody makes any,
nobody waits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench.engine.local import Task
from bench.grid.cell import Cell
from bench.grid.families import make
from bench.grid.plan import Bundle, Tuning

MAKE_STEP = "bench.engine.worker.programs:make_step"
PROGRAM = "a program of training steps"  #: what such a task is called
#: those of a kind (vae_core.evaluate.programs.kinds): the score, and what its gradient pulls at
STEPS = ("step", "pull")
#: raw outputs of one kind that a whole grid trains on at the least, from which on a compiler's seconds are worth it
WORTH_AWAITING = 1 << 31
#: s that one may take, for models wait for it: some ten times as long as it should
MOST_SECONDS = 120.0

Piece = Tuning | Bundle
Kind = tuple[object, ...]
#: D, K and the number of training images of data sets, by `DataSpec.key`
Sizes = Mapping[str, tuple[int, int, int]]


def trained(piece: Piece, settled: Callable[[Cell], Cell]) -> Iterator[Cell]:
    """The models of a piece, each as it is trained; `settled`: with what was chosen for a cell."""
    if isinstance(piece, Tuning):
        for cell in {cell.search: cell for cell in piece.cells}.values():
            yield from (cell.settled(values) for values in cell.candidates)
    else:
        yield from {cell.training_key: settled(cell) for cell in piece.stack}.values()


def step_kind(cell: Cell, sizes: Sequence[int]) -> Kind | None:
    """Equal for models whose steps one pair of programs computes; None for those that have none."""
    dims, levels, train = sizes
    likelihood = make(cell.family, cell.options, levels)
    if likelihood.looks_at_numbers or cell.sigma_mode == "optimal":
        return None
    options = {**cell.options, **dict.fromkeys(likelihood._given(), "a number")}
    batch = min(cell.batch_size, train)
    masses = cell.objective == "binned"
    return (cell.family, repr(sorted(options.items())), masses, dims, levels, batch, cell.train_samples)


def least_outputs(cell: Cell, sizes: Sequence[int]) -> int:
    """Raw outputs that a model is trained on, at the least."""
    dims, levels, train = sizes
    epochs = min(cell.epochs, cell.patience or cell.epochs)
    width: int = make(cell.family, cell.options, levels).outputs(dims)
    return epochs * train * cell.train_samples * width


def worth_awaiting(pieces: Iterable[Piece], settled: Callable[[Cell], Cell], sizes: Sizes) -> dict[Kind, Cell]:
    """The kinds that a grid trains enough of, each with a cell of it: first those of the pieces that wait for the
    fewest, so that something can begin soon. `pieces`: all of the whole grid, done or not, so that a resumed run finds
    the same."""
    outputs: Counter[Kind] = Counter()
    asked: list[dict[Kind, Cell]] = []
    for piece in pieces:
        asked.append({})
        for cell in trained(piece, settled):
            of = sizes[cell.data.key]
            kind = step_kind(cell, of)
            if kind is not None:
                outputs[kind] += least_outputs(cell, of)
                asked[-1].setdefault(kind, cell)
    worth = [{kind: cell for kind, cell in one.items() if outputs[kind] >= WORTH_AWAITING} for one in asked]
    return {kind: cell for one in sorted(worth, key=len) for kind, cell in one.items()}


class Awaited:
    """The pieces of work that wait, and for what.

    Args:
        kinds: those that get programs (`worth_awaiting`).
        data: facts of the data sets by `DataSpec.key`.
        device: where they train.
        settled: a cell with what was chosen for it, for `trained`.
        function: makes one program.
        wanted: pieces that are to be carried out, of whose kinds alone programs are made.
    """

    def __init__(
        self,
        kinds: Mapping[Kind, Cell],
        data: Mapping[str, Mapping[str, Any]],
        device: str,
        settled: Callable[[Cell], Cell],
        wanted: Sequence[Piece],
        function: str = MAKE_STEP,
    ) -> None:
        self._sizes, self._settled = sizes_of(data), settled
        self._tasks: list[tuple[Kind, Task]] = []
        asked = {kind for piece in wanted for kind in self._kinds_of(piece)}
        for kind, cell in kinds.items():
            if kind not in asked:
                continue
            facts = data[cell.data.key]
            of = (cell, tuple(facts["shape"]), facts["levels"], facts["train"], device)
            self._tasks += [
                (kind, Task(function, (*of, which), MOST_SECONDS, name=PROGRAM, tries=1)) for which in STEPS
            ]
        self._open = Counter(kind for kind, _ in self._tasks)
        self._held: list[tuple[Piece, Callable[[], object]]] = []

    @staticmethod
    def of_nothing() -> Awaited:
        """Where nobody waits, as on a CPU."""
        return Awaited({}, {}, "", Cell.settled, ())

    @property
    def tasks(self) -> list[Task]:
        """That make the programs, the first wanted first."""
        return [task for _, task in self._tasks]

    @property
    def count(self) -> int:
        """Pieces that wait."""
        return len(self._held)

    @property
    def pieces(self) -> list[Piece]:
        """Those."""
        return [piece for piece, _ in self._held]

    @property
    def to_come(self) -> int:
        """Programs that are not there yet."""
        return sum(self._open.values())

    def ended(self, task: Task) -> bool:
        """A program was made, or failed; whether the task was one of these."""
        for kind, one in self._tasks:
            if one is task:
                self._open[kind] -= 1
                return True
        return False

    def nobody_makes_them(self) -> None:
        """Nobody waits any more."""
        self._open.clear()

    def hand_out(self, piece: Piece, give: Callable[[], object]) -> None:
        """Gives the piece to those who carry it out now, or at the first `release` when it is ready."""
        self._held.append((piece, give))
        self.release()

    def release(self) -> None:
        """Gives what has come to be ready, in order."""
        ready = [self._is_ready(piece) for piece, _ in self._held]
        given = [give for (_, give), is_ready in zip(self._held, ready, strict=True) if is_ready]
        self._held = [one for one, is_ready in zip(self._held, ready, strict=True) if not is_ready]
        for give in given:
            give()

    def _is_ready(self, piece: Piece) -> bool:
        if not any(self._open.values()):
            return True
        return not any(self._open[kind] > 0 for kind in self._kinds_of(piece))

    def _kinds_of(self, piece: Piece) -> set[Kind]:
        found = (step_kind(cell, self._sizes[cell.data.key]) for cell in trained(piece, self._settled))
        return {kind for kind in found if kind is not None}


def sizes_of(data: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[int, int, int]]:
    return {key: (math.prod(facts["shape"]), facts["levels"], facts.get("train", 0)) for key, facts in data.items()}
