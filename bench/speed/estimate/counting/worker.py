"""What a worker counts for an estimate: bundles in training, models in evaluation, for a kind of device.

A GPU is not needed to count for one: the sizes in which its work is cut are given (`cuts`), and what vae_core computes
another way where it may look at a CPU's numbers is computed as elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from bench.engine.worker.from_cell import data_of, member_of
from bench.grid.cell import Cell
from bench.speed.estimate.counting.evaluation import count_evaluation
from bench.speed.estimate.counting.thin import from_few
from bench.speed.estimate.counting.training import count_training
from bench.speed.estimate.counts import EvaluationCounts, TrainingCounts
from bench.speed.estimate.cuts import CUTS
from vae_core.numerics import visible
from vae_core.numerics.precision import full_float32


@full_float32()
def stack_counts(cells: Sequence[Cell], device: str, tuned: bool) -> TrainingCounts:
    """Of models of the kinds of these settled cells side by side, one cell a kind."""
    torch.set_flush_denormal(True)
    with as_on(device):
        data, cut = data_of(cells[0], "cpu"), CUTS[device]
        wide = max(cells, key=lambda cell: member_of(cell, data.levels).likelihood.outputs(data.train.shape[1]))
        return from_few(wide, data, cut, lambda some, _: count_training(cells, some, tuned=tuned))


@full_float32()
def model_counts(cell: Cell, device: str) -> EvaluationCounts:
    """Of a settled cell's model under its scoring."""
    torch.set_flush_denormal(True)
    with as_on(device):
        data, fuses = data_of(cell, "cpu"), device == "cuda"
        return from_few(cell, data, CUTS[device], lambda some, cut: count_evaluation(cell, some, cut, fuses=fuses))


@contextmanager
def as_on(device: str) -> Iterator[None]:
    """Inside, nobody looks at numbers to choose how to compute, and curvature is made positive by products, where the
    device is a GPU's kind: as there."""
    if device == "cpu":
        yield
        return
    seeing = visible.visible
    modules = [one for name, one in list(sys.modules.items()) if name.startswith("vae_core.")]
    changed = [one for one in modules if getattr(one, "visible", None) is seeing]
    for module in changed:
        module.visible = _never  # type: ignore[attr-defined]
    refining = vars(sys.modules["vae_core.evaluate.refine"])  # the package's name of it is a function
    asking = refining["accelerated"]
    refining["accelerated"] = _always
    try:
        yield
    finally:
        refining["accelerated"] = asking
        for module in changed:
            module.visible = seeing  # type: ignore[attr-defined]


def _never(tensor: torch.Tensor) -> bool:
    return False


def _always(device: torch.device) -> bool:
    return True
