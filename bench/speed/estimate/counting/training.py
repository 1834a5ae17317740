"""What a step, a validation and the making of a bundle are, counted on few models and images.

A step of M models on B images is α + β M + γ M B: α what is launched whatever the sizes, β what every model's
parameters cost, γ what an image of a model does. Three steps give the three, and so for a validation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bench.engine.worker.from_cell import architecture_of, member_of, schedule_of
from bench.grid.cell import Cell
from bench.speed.estimate.counting.operators import counted
from bench.speed.estimate.counts import Parts, TrainingCounts
from bench.speed.estimate.tally import BYTES, KERNELS, VIEWS, Tally
from bench.speed.tensor_bytes import Bytes
from vae_core.data import Dataset
from vae_core.training import Member, Trainer
from vae_core.training.loop import validate
from vae_core.training.program import BundleProgram

LARGE = 2.5e8  # bytes of one model in training, from which on two are not tried
LOOKED_AT = 12.0  # operators by which the course of a model looks at a validation (vae_core.training.course)
FEW = 8  # images of a batch, and of a validation, that is counted; and twice as many


def count_training(cells: Sequence[Cell], data: Dataset, *, tuned: bool) -> TrainingCounts:
    """Of bundles with models of the kinds of these settled cells, one a kind. `tuned`: with rivals, as candidates have
    them."""
    kinds = len(cells)
    schedule = dataclasses.replace(schedule_of(cells[0]), epochs=1, batch_size=FEW)
    architecture = architecture_of(cells[0])

    def members(copies: int) -> list[Member]:
        return [
            dataclasses.replace(
                member_of(cell, data.levels),
                seed=0 if tuned else copy,
                kl_warmup=0.0,
                # each kind has its own, and each candidate: Adam goes over neighbours of one rate at once
                learning_rate=schedule.learning_rate * (1 + place * copies + (copy if tuned else 0)),
            )
            for place, cell in enumerate(cells)
            for copy in range(copies)
        ]

    def fewer(train_images: int, valid: int) -> Dataset:
        return dataclasses.replace(data, train=_some(data.train, train_images), valid=_some(data.valid, valid))

    def few(copies: int, images: int) -> _Few:
        sized = dataclasses.replace(schedule, batch_size=images)
        made: list[Trainer] = []
        with Bytes((data.train, data.valid, data.test)) as held:
            setup = counted(
                lambda: made.append(Trainer(fewer(images, FEW), members(copies), architecture, sized, "cpu"))
            )
            (trainer,) = made
            (index,) = trainer.epoch()
            held.forget_peak()
            step = counted(lambda: trainer.step(index))
        shown, valid = trainer.shown, _some(data.valid, images)
        seen = counted(lambda: validate(shown, valid))
        return _Few(step, seen, setup, float(held.peak), _kept(shown))

    one, wide = few(1, FEW), few(1, 2 * FEW)
    is_large = one.bytes > LARGE  # then all that is not of images is taken to be of models
    two = None if is_large else few(2, FEW)
    passes = 2 if tuned and _judged_apart(cells) else 1

    def parts(of: Callable[[_Few], Tally]) -> Parts:
        """Constant, a model, a model and image."""
        of_image = 1 / (kinds * FEW) * (of(wide) - of(one))
        if two is None:
            each = 1 / kinds * of(one).of_elements() - FEW * of_image.of_elements()
        else:
            each = 1 / kinds * (of(two) - of(one)) - FEW * of_image
        return of(one) - kinds * each - kinds * FEW * of_image, each, of_image

    constant, each, of_image = parts(lambda some: some.seen)
    looked = Tally({KERNELS: LOOKED_AT * passes}) + 1 / kinds * one.kept.of_elements()
    setup, setup_each, _ = parts(lambda some: some.setup)
    byte_image = (wide.bytes - one.bytes) / (kinds * FEW)
    byte_each = ((2 * one.bytes if two is None else two.bytes) - one.bytes) / kinds - FEW * byte_image
    return TrainingCounts(
        step=parts(lambda some: some.step),
        validation=(passes * constant + one.kept.of_calls(), passes * each + looked, passes * of_image),
        batch=passes * one.seen.of_calls(),
        setup=(setup, setup_each),
        memory=(one.bytes - kinds * byte_each - kinds * FEW * byte_image, byte_each, byte_image),
    )


class _Few(NamedTuple):
    """Of few models and images: a step, a batch of a validation, the making, bytes at their most, and what keeping the
    best weights is."""

    step: Tally
    seen: Tally
    setup: Tally
    bytes: float
    kept: Tally


def _kept(program: BundleProgram) -> Tally:
    """`BundleProgram.take`, whose two operators go over all that training changes: numbers and flags read and written,
    then read and written again."""
    state = [tensor for tensor, _ in program.placed_state()]
    moved = sum(5 * tensor.numel() * tensor.element_size() for tensor in state)
    return Tally({KERNELS: 2.0 * len(state), VIEWS: 2.0 * len(state), BYTES: float(moved)})


def _judged_apart(cells: Sequence[Cell]) -> bool:
    """Whether rivals are compared by another bound than they are trained on (vae_core.training.loop)."""
    return any(cell.objective == "dequantised" for cell in cells)


def _some(images: Tensor, count: int) -> Tensor:
    """So many of them, the first again where there are fewer."""
    return images[torch.arange(count) % len(images)]
