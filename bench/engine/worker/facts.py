"""What is asked of a worker before there is work: what a data set is, whether a precision can be had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.grid.cell import DataSpec
from vae_core import data as datasets
from vae_core.data import Remark, questions
from vae_core.numerics import progress
from vae_core.numerics.precision import require_precision


@dataclass(frozen=True)
class DataFacts:
    """What planning and provenance need to know of a data set, without its pixels."""

    name: str
    levels: int
    shape: tuple[int, ...]
    dims: int
    train: int
    valid: int
    test: int
    checksum: str
    about: str
    test_blocks: tuple[int, ...]  # how many test images in a row are alike for one cause; none: each stands for itself
    remarks: tuple[Remark, ...]  # what was noticed, the loud ones first


def inspect_data(name: str, *asked: Any) -> DataFacts:
    """Facts of a data set; `asked` are the other fields of its `DataSpec`, in their order. Raises
    vae_core.data.DataError where it cannot be had."""
    with progress.waiting():  # for a disk, or what is far behind it
        data = datasets.load(name, **DataSpec(name, *asked).asked)
    return DataFacts(
        name=data.name,
        levels=data.levels,
        shape=tuple(data.shape),
        dims=data.dims,
        train=len(data.train),
        valid=len(data.valid),
        test=len(data.test),
        checksum=data.checksum,
        about=data.about,
        test_blocks=data.test_blocks,
        remarks=questions.remarks(data),
    )


def inspect_precision(precision: str, device: str) -> dict[str, str]:
    """The precision, where models can be trained in it on the device. Raises ValueError where they cannot."""
    require_precision(precision, device)
    return {"precision": precision}
