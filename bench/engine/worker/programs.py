"""Programs of scores and of training steps, in a worker: where this process finds them, and making those of a cell
beside the run."""

from __future__ import annotations

import functools
import math

import torch

from bench.engine.worker.from_cell import member_of
from bench.grid.cell import Cell
from vae_core.evaluate.programs import Kept, StepKind, Steps, make
from vae_core.evaluate.programs.kinds import Kind
from vae_core.evaluate.programs.steps import MODELS
from vae_core.likelihoods import Likelihood, stack, told
from vae_core.numerics.accelerators import accelerated

#: a scale that a likelihood is looked at with while it has none of its own
SCALE = 0.1
#: how a data set holds its images (vae_core.data.Dataset), by the most levels
HELD_AS = ((256, torch.uint8), (32768, torch.int16), (1 << 31, torch.int32))


@functools.lru_cache(maxsize=1)
def programs() -> Kept | None:
    """Those of this user, for all bundles of this process."""
    return Kept.of_user()


def programs_on(device: str) -> Kept | None:
    """Those that a bundle on the device may use: a CPU looks at its numbers, and takes the shorter way by itself."""
    return programs() if accelerated(torch.device(device)) else None


def steps_on(device: str) -> Steps | None:
    """Programs of the steps of a bundle on the device."""
    kept = programs_on(device)
    return None if kept is None else Steps(kept)


def make_step(cell: Cell, shape: tuple[int, ...], levels: int, train: int, device: str, which: str) -> bool:
    """Makes one of the programs of the training steps of the cell's models, of `train` images of this shape and of K
    levels; whether it was made now, as `make_program`."""
    kept = programs()
    member = member_of(cell, levels)
    likelihood = told(stack([member.likelihood] * MODELS).to(device), shape)
    likelihood.initialise(SCALE)
    kind = StepKind(
        likelihood,
        member.objective == "binned",
        math.prod(shape),
        levels,
        min(cell.batch_size, train),
        cell.train_samples,
        torch.device(device),
        held_as(levels),
    )
    return kept is not None and not kind.refusal and make(kind, which, kept)


def held_as(levels: int) -> torch.dtype:
    """How a data set holds images of K levels."""
    return next(dtype for most, dtype in HELD_AS if levels <= most)


def make_program(cell: Cell, dims: int, levels: int, device: str, which: str) -> bool:
    """Makes one of the programs of the cell's way of scoring, for images of D = dims and K levels; whether it was made
    now: False where it was there, or is of no use. Raises what `vae_core.evaluate.programs.make` does."""
    kept = programs()
    likelihood = scored_likelihood(cell, levels).to(device)
    seen = 2 if cell.view == "binary" else levels
    kind = Kind(likelihood, dims, seen, torch.device(device), held_as(seen))
    if kept is None or not kind.lawful or which not in kind.programs:
        return False
    return make(kind, which, kept)


def scored_likelihood(cell: Cell, levels: int) -> Likelihood:
    """As the cell's model is scored, whatever was learned."""
    likelihood = member_of(cell, levels).likelihood.scored(cell.scored_as).eval()
    likelihood.initialise(SCALE)
    if likelihood.needs_fit or cell.sigma_mode == "optimal":
        likelihood.set_sigma(SCALE)
    return likelihood.unchecked()
