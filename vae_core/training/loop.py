"""The loop of training: epochs of steps, validation, the best parameters of each model, and why one failed."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from vae_core.data import Dataset
from vae_core.networks import Architecture
from vae_core.numerics.precision import full_float32
from vae_core.training.model import TrainedBundle, trained_models
from vae_core.training.noise import Streams
from vae_core.training.program import BundleProgram
from vae_core.training.recipe import Member, Schedule
from vae_core.training.trainer import Trainer

T = TypeVar("T")

#: validations in a training run; each keeps the best parameters so far of every model
VALIDATIONS = 25
#: rows of one validation batch
VALIDATION_ROWS = 1000


@full_float32()  # but for what the schedule's precision abridges
def train(
    data: Dataset,
    members: Sequence[Member],
    architecture: Architecture,
    schedule: Schedule,
    device: str = "cpu",
) -> TrainedBundle:
    """Trains the members together; each one's result is, to rounding, what it would be alone (docs/RULES.md, rule 7).

    Model choice: the parameters of the best validation objective, looked at `VALIDATIONS` times. A model whose
    objective is no longer finite is reported as failed; its neighbours are not touched, since nothing but the models
    axis is shared.

    Args:
        data: integer images; moved to `device` as they are.
        members: likelihoods, objectives and seeds; all of one raw output width, else ValueError.
        architecture: widths, activation, latent size.
        schedule: epochs, batch size, learning rate, samples L in training.
        device: where to train.
    """
    trainer = Trainer(data, members, architecture, schedule, device)
    program = trainer.program
    state = trainer.state()
    best_state = [tensor.detach().clone() for tensor in state]
    best = torch.full((program.models,), -math.inf, device=program.device)
    best_epoch = torch.zeros(program.models, dtype=torch.long, device=program.device)
    history: list[tuple[int, list[float]]] = []

    every = max(1, schedule.epochs // VALIDATIONS)
    started = time.perf_counter()
    for epoch in range(1, schedule.epochs + 1):
        for index in trainer.epoch():
            trainer.step(index)
        if epoch % every == 0 or epoch == schedule.epochs:
            value = validate(program, trainer.data.valid)
            better = value > best
            best = torch.where(better, value, best)
            best_epoch = torch.where(better, epoch, best_epoch)
            with torch.no_grad():
                for kept, tensor in zip(best_state, state, strict=True):
                    _keep(kept, tensor, better, program)
            history.append((epoch, _in_member_order(value.tolist(), program.order)))
    if program.device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started

    with torch.no_grad():
        for tensor, kept in zip(state, best_state, strict=True):
            tensor.copy_(kept)
    return TrainedBundle(
        models=_in_member_order(trained_models(program, data.levels), program.order),
        failures=_in_member_order(_failures(trainer.failed_at.tolist(), best.tolist(), trainer.steps), program.order),
        best_epoch=_in_member_order(best_epoch.tolist(), program.order),
        validation=_in_member_order(best.tolist(), program.order),
        seconds=seconds,
        images_per_second=program.models * schedule.epochs * trainer.steps * trainer.batch / seconds,
        history=history,
    )


def validate(program: BundleProgram, valid: Tensor) -> Tensor:
    """Each model's mean objective on the validation split with noise that is the same at every call: [M], nats."""
    streams = Streams("validation", program.seeds, program.device)
    total = torch.zeros(program.models, device=program.device)
    with torch.no_grad():
        for start in range(0, len(valid), VALIDATION_ROWS):
            k = valid[start : start + VALIDATION_ROWS].expand(len(program.seeds), -1, -1)
            noise = streams.noise(k.shape[1], k.shape[2], program.schedule.train_samples, program.architecture.latent)
            total += program.objectives(k, noise, training=False).sum(1)
    return total / len(valid)


def _keep(kept: Tensor, tensor: Tensor, better: Tensor, program: BundleProgram) -> None:
    """Copies the improved models' slices. A likelihood's own state spans its group only: find it by its length."""
    mask = better
    if tensor.shape[0] != program.models:
        mask = next(
            better[group.part] for group in program.groups if any(tensor is s for s in group.likelihood.state())
        )
    kept.copy_(torch.where(mask.reshape(-1, *[1] * (tensor.ndim - 1)), tensor, kept))


def _in_member_order(values: list[T], order: list[int]) -> list[T]:
    """From places on the models axis back to the order of the members."""
    by_member = dict(zip(order, values, strict=True))
    return [by_member[member] for member in range(len(order))]


def _failures(failed_at: list[int], best: list[float], steps: int) -> list[str | None]:
    reasons: list[str | None] = []
    for step, value in zip(failed_at, best, strict=True):
        if step >= 0:
            reasons.append(
                f"the training objective was no longer finite at step {step + 1} (epoch {step // steps + 1})"
            )
        elif not math.isfinite(value):
            reasons.append("the validation objective was never finite")
        else:
            reasons.append(None)
    return reasons
