"""What vae_core needs to carry out a cell: its data, its model, its network, its schedule, its test images; and to keep
what was trained."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bench.engine.provenance import code
from bench.grid.cell import Cell
from bench.store import Value
from bench.store.weights import NONE_ASKED, Weights, file_name
from vae_core import data as datasets
from vae_core import likelihoods
from vae_core.data import VIEWS, Dataset
from vae_core.evaluate.conditional import spaced
from vae_core.likelihoods import Likelihood
from vae_core.networks import Architecture
from vae_core.numerics import progress
from vae_core.numerics.random import generator_for
from vae_core.training import Blueprint, Member, Schedule, TrainedModel, save_model

FLOAT_BYTES = 4


@functools.lru_cache(maxsize=2)
def load_data(name: str, levels: int | None, device: str, **asked: Any) -> Dataset:
    """The data set on the device; kept for the next bundle. `asked`: what else of `vae_core.data.load`."""
    with progress.waiting():  # for a disk, or what is far behind it
        data = datasets.load(name, levels=levels, **asked)
    return data.to(device)


def data_of(cell: Cell, device: str) -> Dataset:
    """What the cell is trained and scored on, on the device."""
    asked = {"levels": None, **cell.data.asked}
    return load_data(cell.dataset, device=device, **asked)


def member_of(cell: Cell, levels: int) -> Member:
    """The cell's model as training wants it; the grid's keys have the names of its fields."""
    names = [field.name for field in dataclasses.fields(Member) if field.name != "likelihood"]
    likelihood = likelihoods.make(cell.family, **options_of(cell, levels))
    return Member(likelihood, **{name: getattr(cell, name) for name in names})


def options_of(cell: Cell, levels: int) -> dict[str, Any]:
    """All that the cell's likelihood is made of."""
    needed = {"levels": levels} if likelihoods.get(cell.family).takes_levels else {}
    return {**cell.options, **needed}


def architecture_of(cell: Cell) -> Architecture:
    """The grid's keys for networks have the names of its fields."""
    return Architecture(**{field.name: getattr(cell, field.name) for field in dataclasses.fields(Architecture)})


def schedule_of(cell: Cell) -> Schedule:
    """The grid's keys for schedules have the names of its fields."""
    return Schedule(**{field.name: getattr(cell, field.name) for field in dataclasses.fields(Schedule)})


def keep(
    weights: Weights | None, model: TrainedModel, scored: Mapping[Cell, Likelihood], settled: Cell, data: Dataset
) -> dict[str, Value]:
    """Writes a trained model and what its cells are scored as to the run's folder of weights, where there is one with
    room; gives the columns that say so. `settled`: one of the cells with what was chosen for it. That the file cannot
    be written costs no result."""
    cells = list(scored)
    name = file_name([cell.id for cell in cells], cells[0].training_key)
    reason = weights.refusal(name, FLOAT_BYTES * model.parameters) if weights else NONE_ASKED
    if weights and reason is None:
        about = {
            "cells": [{"cell": cell.id, "scored_as": cell.scored_as, "spec": cell.spec} for cell in cells],
            "tuned": {key: getattr(settled, key) for key in cells[0].tune},  # what was chosen of each spec's `tune`
            "data": {name: getattr(data, name) for name in ("name", "levels", "shape", "checksum")},
            **code(),
        }
        options = options_of(settled, data.levels)
        blueprint = Blueprint(architecture_of(settled), data.shape, settled.family, options)
        by_scoring = {cell.scored_as: likelihood for cell, likelihood in scored.items()}
        try:
            weights.folder.mkdir(exist_ok=True)
            save_model(weights.part(name), model, blueprint, by_scoring, about)
        except (OSError, ValueError) as error:
            reason = f"they could not be written ({getattr(error, 'strerror', None) or error})"
    return {"weights": None if reason else name, "weights_reason": reason}


def scored_images(cell: Cell, data: Dataset) -> tuple[Tensor, int]:
    """The test integers [N, D] that the cell is scored on, and their number of levels.

    All of the test split, or `test_images` of them at even spacing. In the binary view each pixel is drawn once, with a
    seed of its own, so that every cell of every run scores the same 0/1 images.
    """
    k, levels = _as_scored(cell, data, "test", data.test)
    return (k if cell.test_images is None else _spaced(k, cell.test_images)), levels


def compared_images(cell: Cell, data: Dataset, split: str, most: int) -> tuple[Tensor, int]:
    """Integers [n, D] of the training or validation split, at most so many at even spacing, and their number of levels,
    for a score beside that of the test images."""
    return _as_scored(cell, data, split, _spaced(getattr(data, split), most))


def _as_scored(cell: Cell, data: Dataset, split: str, k: Tensor) -> tuple[Tensor, int]:
    """Integers as the cell's view scores them: as they are, or drawn as 0 and 1."""
    view = VIEWS[cell.view]
    if not view.binary:
        return k, data.levels
    if cell.binarisation == "threshold":
        uniform = torch.full(k.shape, 0.5)
    else:
        uniform = torch.rand(k.shape, generator=generator_for("cpu", f"{split} binarisation", data.checksum))
    return view.see(k.cpu(), data.levels, uniform).to(torch.uint8).to(k.device), 2


def _spaced(k: Tensor, most: int) -> Tensor:
    return k[spaced(len(k), most, k.device)] if most < len(k) else k
