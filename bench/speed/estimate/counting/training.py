"""What a step, a validation and the making of a bundle are, counted on few models and images.

A step of M models of G seeds on B images is α + β M + γ M B + σ G + τ G B: α what is launched whatever the sizes, β
what every model's parameters cost, γ what an image of a model does, σ and τ what models of one seed have in common,
their noise and images. A few steps of few models give the five, and so for a validation. One model alone is computed
another way than several side by side: two and three are counted.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bench.engine.worker.from_cell import architecture_of, member_of, schedule_of
from bench.grid.cell import Cell
from bench.speed.estimate.counting.linear import solved
from bench.speed.estimate.counting.operators import counted
from bench.speed.estimate.counts import Parts, TrainingCounts
from bench.speed.estimate.tally import BYTES, KERNELS, NOTHING, VIEWS, Tally
from bench.speed.tensor_bytes import Bytes
from vae_core.data import Dataset
from vae_core.numerics.accelerators import accelerated
from vae_core.training import Schedule, Trainer
from vae_core.training.loop import validate
from vae_core.training.noise import Seeds, Streams
from vae_core.training.program import BundleProgram

LARGE = 2.5e8  # bytes of one model in training, from which on two are not tried
LOOKED_AT = 12.0  # operators by which the course of a model looks at a validation (vae_core.training.course)
AT_MOST = 32  # that a worker remembers, for who is both trained and tuned is counted once
FEW = 8  # images of a batch, and of a validation, that is counted; and twice as many


def countable(schedule: Schedule) -> Schedule:
    """As a CPU can carry it out: TF32 is another rate of the same products."""
    return dataclasses.replace(schedule, precision="float32") if schedule.precision == "tf32" else schedule


def count_training(cells: Sequence[Cell], data: Dataset, *, tuned: bool) -> TrainingCounts:
    """Of bundles with models of the kinds of these settled cells, one a kind. `tuned`: with rivals, as candidates have
    them, all of one seed; else each copy has its own."""
    kinds = len(cells)
    one, wide = few = _few(cells, data, 2)["own"]
    models = 2 * kinds
    passes = 2 if tuned and _judged_apart(cells) else 1
    is_large = one.bytes > LARGE * models  # then all that is not of images is taken to be of models
    three = [] if is_large else _few(cells, data, 3)["own"]

    def parts(of: Callable[[_Few], Tally], of_seeds: Callable[[_Few], Tally]) -> tuple[Parts, tuple[Tally, Tally]]:
        """Constant, a model, a model and image; a seed, a seed and image."""
        if is_large:
            of_image = 1 / (models * FEW) * (of(wide) - of(one))
            each = 1 / models * of(one).of_elements() - FEW * of_image.of_elements()
            return (of(one).of_calls(), each, of_image), (NOTHING, NOTHING)
        counts = [*few, *three]
        of_seed = [(1, few.seeds, few.seeds * few.images) for few in counts]
        _, seed, seed_image = solved(of_seed, [of_seeds(few) for few in counts])
        apart = [of(few) - few.seeds * (seed + few.images * seed_image) for few in counts]
        constant, each, of_image = solved([(1, few.models, few.models * few.images) for few in counts], apart)
        if not tuned:
            return (constant, each, of_image), (seed, seed_image)
        # of one seed: some of what is of an image of every model lies there once, for all of them
        low, high = (of(few) for few in _few(cells, data, 2)["one"])
        apart_image = models * of_image + seed_image - 1 / FEW * (high - low)
        once = 1 / (models - 1) * apart_image
        of_image, seed_image = of_image - once, seed_image + once
        constant = low - models * (each + FEW * of_image) - FEW * seed_image
        return (constant, each, of_image), (NOTHING, seed_image)

    (constant, each, of_image), seen_seeds = parts(lambda some: some.seen, lambda some: some.seen_of_seeds)
    looked = Tally({KERNELS: LOOKED_AT * passes}) + 1 / models * one.kept.of_elements()
    step, seeds = parts(lambda some: some.step, lambda some: some.step_of_seeds)
    byte_image = (wide.bytes - one.bytes) / (models * FEW)
    byte_each, setup_each = one.bytes / models - FEW * byte_image, 1 / models * one.setup
    if not is_large:
        byte_each = (three[0].bytes - one.bytes) / kinds - FEW * byte_image
        setup_each = 1 / kinds * (three[0].setup - one.setup)
    return TrainingCounts(
        step=step,
        validation=(passes * constant + one.kept.of_calls(), passes * each + looked, passes * of_image),
        batch=passes * one.seen.of_calls(),
        setup=(one.setup - models * setup_each, setup_each),
        memory=(one.bytes - models * byte_each - models * FEW * byte_image, byte_each, byte_image),
        seeds=seeds,
        seen_seeds=(passes * seen_seeds[0], passes * seen_seeds[1]),
        rate=one.rate,
        tuned=int(tuned),
    )


def _few(cells: Sequence[Cell], data: Dataset, copies: int) -> dict[str, list[_Few]]:
    """So many of each kind, on batches of few and of twice as many images, each with its "own" seed or all of "one"; as
    they were counted before, where they were."""
    on_gpu = accelerated(torch.device("cpu"))  # as it is pretended to be
    key = json.dumps([[cell.kind for cell in cells], data.shape, data.levels, copies, on_gpu])
    if key not in _COUNTED:
        while len(_COUNTED) >= AT_MOST:
            del _COUNTED[next(iter(_COUNTED))]
        _COUNTED[key] = _count(cells, data, copies)
    return _COUNTED[key]


def _count(cells: Sequence[Cell], data: Dataset, copies: int) -> dict[str, list[_Few]]:
    """Two copies of each kind on two batches; and three copies on one."""
    schedule = dataclasses.replace(countable(schedule_of(cells[0])), epochs=1, batch_size=FEW)
    members = [
        dataclasses.replace(
            member_of(cell, data.levels), seed=copy, kl_warmup=0.0, learning_rate=schedule.learning_rate
        )
        for cell in cells
        for copy in range(copies)
    ]
    fewer = dataclasses.replace(data, train=_some(data.train, 2 * FEW), valid=_some(data.valid, FEW))
    made: list[Trainer] = []
    held = Bytes((data.train, data.valid, data.test))
    setup = counted(lambda: made.append(Trainer(fewer, members, architecture_of(cells[0]), schedule, "cpu")), held)
    (trainer,) = made
    validate(trainer.shown, fewer.valid)  # the first makes what later ones find
    batches = (FEW, 2 * FEW) if copies == 2 else (FEW,)
    own = [_stepped(trainer, data.valid, batch, setup, held) for batch in batches]
    if copies == 3:
        return {"own": own}
    _share_a_seed(trainer)
    return {"own": own, "one": [_stepped(trainer, data.valid, batch, setup, held) for batch in batches]}


def _share_a_seed(trainer: Trainer) -> None:
    """All models of it are of one seed from now on."""
    for program in {id(one): one for one in (trainer.program, trainer.shown)}.values():
        program.seeds = [0]
        program.of_models = Seeds([0] * program.models, 1, program.device)
        program.groups = [
            dataclasses.replace(group, seeds=Seeds([0] * (group.part.stop - group.part.start), 1, program.device))
            for group in program.groups
        ]
    trainer._streams = Streams("training", [0], trainer.program.device)


def _stepped(trainer: Trainer, images: Tensor, batch: int, setup: Tally, held: Bytes) -> _Few:
    """On batches of so many images."""
    program, shown = trainer.program, trainer.shown
    trainer.batch = batch
    with held:
        trainer._make_room()
    index, valid = torch.arange(batch).expand(len(program.seeds), batch), _some(images, batch)
    for tensor in program.parameters():
        tensor.grad = None  # of the step before
    held.forget_peak()
    step = counted(lambda: trainer.step(index), held)
    peak = float(held.peak)
    rate = Tally({KERNELS: 1.0, VIEWS: float(len(program.placed_parameters()))})

    def of_step() -> None:
        trainer._index.copy_(index)
        trainer._streams.fill(trainer._noise)
        kept = {name: trainer._gathered(seen) for name, seen in trainer._kept.items()}
        k = trainer._gathered(trainer.data.train)
        _see(program, k, trainer._noise.uniform, kept)

    def of_validation() -> None:
        schedule, latent = shown.schedule, shown.architecture.latent
        k = valid.expand(len(shown.seeds), -1, -1)
        noise = Streams("validation", shown.seeds, shown.device).noise(
            k.shape[1], k.shape[2], schedule.train_samples, latent
        )
        _see(shown, k, noise.uniform, {})

    return _Few(
        models=program.models,
        seeds=len(program.seeds),
        images=batch,
        step=step,
        step_of_seeds=counted(of_step),
        seen=counted(lambda: validate(shown, valid)),
        seen_of_seeds=counted(of_validation),
        setup=setup,
        bytes=peak,
        kept=_kept(shown),
        rate=rate,
    )


def _see(program: BundleProgram, k: Tensor, uniform: Tensor, kept: Mapping[str, Tensor]) -> None:
    for name in program.views:
        if name not in kept:
            program.see(name, k, uniform)


class _Few(NamedTuple):
    """Of few models and images, all of one rate of learning: a step, what of it models of a seed have in common, their
    noise and images, and so a batch of a validation; the making; bytes at their most, what keeping the best weights is,
    and a further rate in Adam, which goes over neighbours of one rate at once."""

    models: int
    seeds: int
    images: int
    step: Tally
    step_of_seeds: Tally
    seen: Tally
    seen_of_seeds: Tally
    setup: Tally
    bytes: float
    kept: Tally
    rate: Tally


_COUNTED: dict[str, dict[str, list[_Few]]] = {}


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
