"""What a worker counts for an estimate: bundles in training, models in evaluation, for a kind of device.

A GPU is not needed to count for one: the sizes in which its work is cut are given (`cuts`), and what vae_core computes
another way where it may look at a CPU's numbers is computed as elsewhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from bench.engine.worker.from_cell import data_of, member_of
from bench.grid.cell import Cell
from bench.speed.estimate.counting.evaluation import count_evaluation
from bench.speed.estimate.counting.steps import count_by_program
from bench.speed.estimate.counting.thin import from_few
from bench.speed.estimate.counting.training import count_training
from bench.speed.estimate.counts import EvaluationCounts, TrainingCounts
from bench.speed.estimate.cuts import CUTS
from vae_core.data import Dataset
from vae_core.numerics import accelerators
from vae_core.numerics.precision import full_float32


def several(tasks: Sequence[tuple[str, tuple[Any, ...]]]) -> list[TrainingCounts | EvaluationCounts]:
    """What some tasks count, one after the other: functions of this file by their names, with their arguments."""
    functions: dict[str, Callable[..., Any]] = {"stack_counts": stack_counts, "model_counts": model_counts}
    return [functions[name](*arguments) for name, arguments in tasks]


@full_float32()
def stack_counts(cells: Sequence[Cell], device: str, tuned: bool) -> TrainingCounts:
    """Of models of the kinds of these settled cells side by side, one cell a kind."""
    torch.set_flush_denormal(True)
    with as_on(device):
        data, cut = data_of(cells[0], "cpu"), CUTS[device]
        wide = max(cells, key=lambda cell: member_of(cell, data.levels).likelihood.outputs(data.train.shape[1]))
        return from_few(wide, data, cut, lambda some, _: _counted(cells, some, device, tuned=tuned))


def _counted(cells: Sequence[Cell], data: Dataset, device: str, *, tuned: bool) -> TrainingCounts:
    counts = count_training(cells, data, tuned=tuned)
    if device == "cpu" or len(cells) > 1:
        return counts
    return dataclasses.replace(counts, by_program=count_by_program(cells[0], data))


@full_float32()
def model_counts(cell: Cell, device: str) -> EvaluationCounts:
    """Of a settled cell's model under its scoring."""
    torch.set_flush_denormal(True)
    with as_on(device):
        data, fuses = data_of(cell, "cpu"), device == "cuda"
        return from_few(cell, data, CUTS[device], lambda some, cut: count_evaluation(cell, some, cut, fuses=fuses))


@contextmanager
def as_on(device: str) -> Iterator[None]:
    """Inside, the CPU is worked with as a GPU is, where that is the device's kind: nobody looks at numbers to choose
    how to compute, curvature is made positive by products, layers are those of any device."""
    if device == "cpu":
        yield
        return
    before = accelerators.KINDS["cpu"]
    accelerators.KINDS["cpu"] = _Unheard()
    try:
        yield
    finally:
        accelerators.KINDS["cpu"] = before


class _Unheard:
    """A device that carries work out as it is given it, and records none."""

    def synchronise(self) -> None:
        pass

    def capturing(self) -> bool:
        return False

    def apart(self, work: Callable[[], Tensor]) -> Tensor:
        return work()

    def record(self, work: Callable[[], Tensor]) -> tuple[accelerators.Recorded, Tensor]:
        raise RuntimeError("what is counted is carried out")
