"""Counts of a wide model from two narrow ones: what a perceptron and its likelihood do is affine in the dimensions D of
the data, and launched as often whatever D is, where the device's cuts are as much smaller as D is.

A categorical of 256 levels on 784 dimensions has 200,704 outputs; to make and count it takes most of a minute, on a
thirty-second and on a sixteenth of its dimensions seconds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from bench.engine.worker.from_cell import member_of
from bench.grid.cell import Cell
from bench.speed.estimate.cuts import Cut
from bench.speed.estimate.tally import Tally
from vae_core.data import Dataset

Counts = TypeVar("Counts")

WIDE = 1 << 15  # raw outputs from which on it pays
PARTS = (32, 16)  # of the dimensions, a small share and a larger one


def from_few(cell: Cell, data: Dataset, cut: Cut, count: Callable[[Dataset, Cut], Counts], wide: int = WIDE) -> Counts:
    """What `count` gives for the data of the cell: counted, or where that is wide reckoned from few dimensions."""
    dims = data.train.shape[1]
    few, more = (max(1, dims // part) for part in PARTS)
    if cell.network != "mlp" or few == more or member_of(cell, data.levels).likelihood.outputs(dims) < wide:
        return count(data, cut)
    one, two = (count(_thinned(data, size), _smaller(cut, size / dims)) for size in (few, more))
    counts: Counts = _beyond(one, two, (dims - more) / (more - few))
    return counts


def _thinned(data: Dataset, dims: int) -> Dataset:
    """So many of its dimensions, at even spacing."""
    some = torch.arange(dims) * data.train.shape[1] // dims
    parts = {name: getattr(data, name)[:, some] for name in ("train", "valid", "test")}
    return dataclasses.replace(data, shape=(1, dims), **parts)


def _smaller(cut: Cut, share: float) -> Cut:
    """Which cuts data of so much fewer dimensions in as many parts."""
    names = ("floats", "with_gradients", "calibrated", "summed")
    return dataclasses.replace(cut, **{name: max(1, round(share * getattr(cut, name))) for name in names})


def _beyond(one: Any, two: Any, times: float) -> Any:
    """two, and so often what it has more than one."""
    if isinstance(two, Tally):
        return two + times * (two - one).of_elements()
    if isinstance(two, tuple):
        return tuple(_beyond(a, b, times) for a, b in zip(one, two, strict=True))
    if dataclasses.is_dataclass(two) and not isinstance(two, type):
        names = [field.name for field in dataclasses.fields(two)]
        return type(two)(**{name: _beyond(getattr(one, name), getattr(two, name), times) for name in names})
    if isinstance(two, int):
        return round(two + times * (two - one))
    return None if two is None else two + times * (two - one)
