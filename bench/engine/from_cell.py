"""What vae_core needs to carry out a cell: its data, its model, its network, its schedule, its test images."""

from __future__ import annotations

import dataclasses
import functools

import torch
from torch import Tensor

from bench.grid.cell import Cell
from vae_core import data as datasets
from vae_core import likelihoods
from vae_core.data import VIEWS, Dataset
from vae_core.evaluate.conditional import spaced
from vae_core.networks import Architecture
from vae_core.numerics.random import generator_for
from vae_core.training import Member, Schedule


@functools.lru_cache(maxsize=2)
def load_data(
    name: str, levels: int | None, device: str, quantise: int | None = None, train_images: int | None = None
) -> Dataset:
    """The data set on the device; kept for the next bundle."""
    return datasets.load(name, levels=levels, quantise=quantise, train_images=train_images).to(device)


def data_of(cell: Cell, device: str) -> Dataset:
    """What the cell is trained and scored on, on the device."""
    asked = cell.data
    return load_data(asked.dataset, asked.levels, device, asked.quantise, asked.train_images)


def member_of(cell: Cell, levels: int) -> Member:
    """The cell's model as training wants it; the grid's keys have the names of its fields."""
    family = likelihoods.get(cell.family)
    filled = {**cell.options, "levels": levels} if family.takes_levels else dict(cell.options)
    names = [field.name for field in dataclasses.fields(Member) if field.name != "likelihood"]
    return Member(likelihoods.make(cell.family, **filled), **{name: getattr(cell, name) for name in names})


def architecture_of(cell: Cell) -> Architecture:
    """The grid's keys for networks have the names of its fields."""
    return Architecture(**{field.name: getattr(cell, field.name) for field in dataclasses.fields(Architecture)})


def schedule_of(cell: Cell) -> Schedule:
    """The grid's keys for schedules have the names of its fields."""
    return Schedule(**{field.name: getattr(cell, field.name) for field in dataclasses.fields(Schedule)})


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
