"""What a step, a validation and the making of a bundle are, counted on few models and images.

A step of M models on B images is α + β M + γ M B: α what is launched whatever the sizes, β what every model's
parameters cost, γ what an image of a model does. Three steps give the three. A validation is read off two trainings
that differ by an epoch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from bench.engine.worker.from_cell import architecture_of, member_of, schedule_of
from bench.grid.cell import Cell
from bench.speed.estimate.counting.operators import counted
from bench.speed.estimate.counts import TrainingCounts
from bench.speed.estimate.tally import Tally
from bench.speed.tensor_bytes import Bytes
from vae_core.data import Dataset
from vae_core.training import Member, Trainer, train
from vae_core.training.loop import validate

LARGE = 2.5e8  # bytes of one model in training, from which on two are not tried
FEW = 8  # images of a batch, and of a validation, that is counted; and twice as many


def count_training(cells: Sequence[Cell], data: Dataset, *, tuned: bool) -> TrainingCounts:
    """Of bundles with models of the kinds of these settled cells, one a kind. `tuned`: with rivals, as candidates have
    them."""
    kinds = len(cells)
    schedule = dataclasses.replace(
        schedule_of(cells[0]), epochs=1, patience=min(1, cells[0].patience), tolerance=0.0, batch_size=FEW
    )
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

    def step(copies: int, images: int) -> tuple[Tally, Tally, float]:
        """A step, the making, bytes at their most; and what a batch of a validation is."""
        given = members(copies)
        sized = dataclasses.replace(schedule, batch_size=images)
        with Bytes((data.train, data.valid, data.test)) as held:
            made = counted(lambda: Trainer(fewer(images, FEW), given, architecture, sized, "cpu"))
            trainer = Trainer(fewer(images, FEW), given, architecture, sized, "cpu")
            (index,) = trainer.epoch()
            held.forget_peak()
            of_step = counted(lambda: trainer.step(index))
        return of_step, made, float(held.peak)

    one, made_one, bytes_one = step(1, FEW)
    wide, _, bytes_wide = step(1, 2 * FEW)
    of_image = 1 / (kinds * FEW) * (wide - one)
    byte_image = (bytes_wide - bytes_one) / (kinds * FEW)
    is_large = bytes_one > LARGE  # then all that is not of images is taken to be of models
    if is_large:
        two = one + one.of_elements() - kinds * FEW * of_image.of_calls()
        made_two, bytes_two = made_one + made_one.of_elements(), 2 * bytes_one
    else:
        two, made_two, bytes_two = step(2, FEW)
    each = 1 / kinds * (two - one) - FEW * of_image
    constant = one - kinds * each - kinds * FEW * of_image
    byte_each = (bytes_two - bytes_one) / kinds - FEW * byte_image

    def epoch(copies: int, valid: int) -> Tally:
        """An epoch of one step, with its validation."""
        rivals = [list(range(kinds * copies))] if tuned else []
        given, small = members(copies), fewer(FEW, valid)

        def trained(epochs: int) -> Tally:
            some = dataclasses.replace(schedule, epochs=epochs)
            return counted(lambda: train(small, given, architecture, some, "cpu", rivals=rivals))

        return trained(2) - trained(1)

    seen_one = epoch(1, FEW) - one
    seen_two = seen_one + seen_one.of_elements() if is_large else epoch(2, FEW) - two
    trainer = Trainer(fewer(FEW, FEW), members(1), architecture, schedule, "cpu")
    batch = counted(lambda: validate(trainer.shown, _some(data.valid, FEW)))
    batch_wide = counted(lambda: validate(trainer.shown, _some(data.valid, 2 * FEW)))
    passes = 2 if tuned and _judged_apart(cells) else 1
    seen_image = passes / (kinds * FEW) * (batch_wide - batch)
    seen_each = 1 / kinds * (seen_two - seen_one) - FEW * seen_image
    return TrainingCounts(
        step=(constant, each, of_image),
        validation=(seen_one - kinds * seen_each - kinds * FEW * seen_image, seen_each, seen_image),
        batch=passes * batch.of_calls(),
        setup=(made_one - (made_two - made_one), 1 / kinds * (made_two - made_one)),
        memory=(bytes_one - kinds * byte_each - kinds * FEW * byte_image, byte_each, byte_image),
    )


def _judged_apart(cells: Sequence[Cell]) -> bool:
    """Whether rivals are compared by another bound than they are trained on (vae_core.training.loop)."""
    return any(cell.objective == "dequantised" for cell in cells)


def _some(images: Tensor, count: int) -> Tensor:
    """So many of them, the first again where there are fewer."""
    return images[torch.arange(count) % len(images)]
