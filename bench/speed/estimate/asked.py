"""What must be counted to predict a grid: kinds of models in training, alone and side by side, and their scorings."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.grid.cell import Cell
from bench.grid.families import registry
from bench.grid.plan import Bundle, Tuning, plan, plan_tuning
from bench.speed.estimate.given import Course, told


@dataclass(frozen=True)
class Facts:
    """Of a data set."""

    dims: int
    levels: int
    train: int
    valid: int
    test: int


@dataclass(frozen=True)
class Asked:
    """What is to be counted for a grid, by keys: models of one kind or of two side by side (and whether as candidates
    that are tuned), and models with their scoring."""

    stacks: Mapping[str, tuple[tuple[Cell, ...], bool]]
    models: Mapping[str, Cell]


def model_key(cell: Cell) -> str:
    """Equal for settled cells whose evaluation does the same work, sizes apart: σ's value and the training make no
    difference."""
    options = {key: "number" if key == "sigma" and not isinstance(v, str) else v for key, v in cell.options.items()}
    network = _network(cell)
    family = "" if registry().get(cell.family).recipe else cell.family  # what recipes are read as is alike in all
    return json.dumps([family, sorted(options.items()), cell.scored_as, network])


def _network(cell: Cell) -> list[Any]:
    """What is computed with, and of which data."""
    network = [cell.network, cell.hidden, cell.activation, cell.latent, cell.widths, cell.depth, cell.kernel]
    return [*network, cell.normalisation, cell.data.key, cell.binarisation]


def stack_key(cells: Sequence[Cell], *, tuned: bool) -> str:
    """Equal for models of the same kinds."""
    return json.dumps([sorted(cell.kind for cell in cells), tuned])


def first_two(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Of two kinds where there are as many: what their models launch together tells what all of a stack share."""
    first = cells[0]
    return (first, *[cell for cell in cells if cell.kind != first.kind][:1])


def asked_of(cells: Sequence[Cell], device: str, workers: int, course: Course) -> Asked:
    """What must be counted to predict these cells."""
    pieces = plan_tuning(cells, device, workers), plan(cells, device, workers, course.settled)
    return asked_of_pieces(*pieces, cells, course)


def asked_of_pieces(
    tunings: Iterable[Tuning], bundles: Iterable[Bundle], cells: Iterable[Cell], course: Course
) -> Asked:
    """What must be counted to predict these pieces of work, and the evaluation of these cells."""
    stacks: dict[str, tuple[tuple[Cell, ...], bool]] = {}
    pairs: dict[str, tuple[tuple[Cell, ...], bool]] = {}

    def ask(members: Sequence[Cell], *, tuned: bool) -> None:
        kinds = {cell.kind: cell for cell in reversed(members)}
        for cell in kinds.values():
            stacks.setdefault(stack_key([cell], tuned=tuned), ((cell,), tuned))
        if len(two := first_two(members)) > 1:  # one pair tells of all of its network and data
            pairs.setdefault(json.dumps([*_network(two[0]), tuned]), (two, tuned))

    for piece in bundles:
        ask([course.settled(cell) for cell in piece.stack], tuned=False)
    for tuning in tunings:
        for together in alike(tuning):
            ask([cell for cell, _, _ in together], tuned=True)
    stacks |= {stack_key(two, tuned=tuned): (two, tuned) for two, tuned in pairs.values()}
    models: dict[str, Cell] = {}
    for cell in cells:
        settled_cell = course.settled(cell)
        models.setdefault(model_key(settled_cell), settled_cell)
        for reading in readings(cell):
            models.setdefault(model_key(reading), reading)
    return Asked(stacks, models)


def readings(cell: Cell) -> Iterator[Cell]:
    """As what a tuned cell's candidates are judged."""
    if cell.search:
        first = cell.settled()
        for name in registry().get(cell.family).scorings:
            yield first.but(scored_as=name)


def alike(tuning: Tuning) -> list[list[tuple[Cell, str, str]]]:
    """Candidates of a piece of tuning that train together, of one network and schedule, learning rates apart: each as
    it is trained, its search and its values."""
    together: dict[str, list[tuple[Cell, str, str]]] = {}
    for cell in {cell.search: cell for cell in tuning.cells}.values():
        for values in cell.candidates:
            shape = told({key: value for key, value in values.items() if key != "learning_rate"})
            together.setdefault(shape, []).append((cell.settled(values), cell.search, told(values)))
    return list(together.values())


def segments(ends: Sequence[int], leaving: float) -> Iterator[tuple[list[int], int]]:
    """(places of the models in the stack, epochs) of a bundle whose models end at these epochs, one after the other:
    whoever has ended leaves at once, or when that share of the stack has (vae_core.training.loop)."""
    stack, since = sorted(range(len(ends)), key=ends.__getitem__), 0
    while stack:
        quorum = max(1, math.ceil(leaving * len(stack)))
        until = ends[stack[quorum - 1]]
        if until > since:
            yield sorted(stack), until - since
        stack, since = [place for place in stack if ends[place] > until], max(since, until)
