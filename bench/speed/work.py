"""The pieces of work whose speed a survey measures, with what they cost by the formulas and their bytes at their most.

Peak memory is the allocator's on CUDA; on a CPU the bytes of tensors alive at most are counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.engine.worker.from_cell import architecture_of, data_of, member_of, schedule_of, scored_images
from bench.engine.worker.programs import steps_on
from bench.grid.cell import Cell
from bench.speed.tensor_bytes import Bytes
from bench.speed.throughput import (
    EVAL_IMAGES,
    EVAL_SAMPLES,
    WARM_UP,
    cost_of,
    scoring_pass,
    training_step,
)
from vae_core.data import VIEWS, Dataset
from vae_core.evaluate import importance_bounds
from vae_core.objectives import split_posterior
from vae_core.training import Trainer


@dataclass(frozen=True)
class Work:
    """Something that is called again and again, what it does by the formulas, and its bytes at their most."""

    call: Callable[[], object]
    units: int  #: images or decodes of a call
    flops: int  #: of a call
    bytes: int  #: of a call
    peak_bytes: int


def training(cell: Cell, models: int, device: str) -> Work:
    """An update of a bundle: the cell's model with so many seeds."""
    data = data_of(cell, device)
    trainer, step, peak = _warm_trainer(cell, models, data, device)
    cost, images = cost_of(trainer), models * trainer.batch
    operations = images * cost.update_operations(cell.train_samples)
    return Work(step, images, operations, models * cost.update_bytes(cell.train_samples, trainer.batch), peak)


def _warm_trainer(cell: Cell, models: int, data: Dataset, device: str) -> tuple[Trainer, Callable[[], object], int]:
    """A trainer, its next step, and the bytes of a step at their most, parameters and moments included: of steps that
    are warm, without what building took for a moment."""
    members = [dataclasses.replace(member_of(cell, data.levels), seed=seed) for seed in range(models)]

    def built() -> tuple[Trainer, Callable[[], object]]:
        trainer = Trainer(data, members, architecture_of(cell), schedule_of(cell), device, steps_on(device))
        return trainer, training_step(trainer)

    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        trainer, step = built()
        torch.cuda.reset_peak_memory_stats()
        for _ in range(WARM_UP[device]):  # ordinary steps and the capture: a replay allocates nothing
            step()
        torch.cuda.synchronize()
        return trainer, step, torch.cuda.max_memory_allocated() - before
    with Bytes((data.train, data.valid, data.test)) as counted:
        trainer, step = built()
        step()  # makes Adam's moments
        counted.forget_peak()
        step()
    return trainer, step, counted.peak


def evaluation(cell: Cell, samples: int, device: str) -> Work:
    """A pass over EVAL_IMAGES test images at most, of one model."""
    data = data_of(cell, device)
    trainer, _, _ = _warm_trainer(cell, 1, data, device)
    one_pass, decodes = scoring_pass(trainer, cell, data, samples)
    return _scoring(trainer, one_pass, decodes, device)


def stacked_evaluation(cell: Cell, models: int, device: str) -> Work | None:
    """The same of a whole bundle in one pass; None for what is fitted to residuals, model by model, beforehand."""
    data = data_of(cell, device)
    trainer, _, _ = _warm_trainer(cell, models, data, device)
    program = trainer.program
    scored = program.groups[0].likelihood.scored(cell.scored_as)
    if scored.needs_fit:
        return None
    k, levels = scored_images(cell, data)
    k = k[:EVAL_IMAGES]
    view = VIEWS[cell.view]

    def encode(k: Tensor) -> tuple[Tensor, Tensor]:
        seen = view.for_encoder(k, data.levels)
        posterior = split_posterior(program.encoder(seen.expand(models, *seen.shape)))
        return posterior.mean, posterior.log_variance

    def decode(z: Tensor) -> Tensor:
        return program.decoder(z.reshape(models, -1, z.shape[-1])).reshape(*z.shape[:-1], -1)

    def one_pass() -> object:
        scorers = {"": lambda raw, rows: scored.log_mass(k[rows].unsqueeze(1), raw, levels)}
        return importance_bounds(k, encode, decode, scorers, (1, EVAL_SAMPLES), seed=list(range(models)))

    return _scoring(trainer, one_pass, models * len(k) * EVAL_SAMPLES, device)


#: curve -> the work of a cell at one of its sizes
AT_SIZE: dict[str, Callable[[Cell, int, str], Work]] = {
    "bundle": training,
    "batch": lambda cell, size, device: training(cell.but(batch_size=size), 1, device),
    "samples": evaluation,
    "latent": lambda cell, size, device: training(cell.but(latent=size), 1, device),
}


def _scoring(trainer: Trainer, one_pass: Callable[[], object], decodes: int, device: str) -> Work:
    cost, peak = cost_of(trainer), _peak_of(one_pass, device)
    return Work(one_pass, decodes, decodes * cost.decode_operations, decodes * cost.decode_bytes, peak)


def _peak_of(call: Callable[[], object], device: str) -> int:
    """Bytes that a call makes, at their most."""
    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with Bytes() as counted:
        call()
    return counted.peak
