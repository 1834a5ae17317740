"""Programs of scores, in a worker: where this process finds them, and making those of a cell beside the run."""

from __future__ import annotations

import functools

import torch

from bench.engine.worker.from_cell import member_of
from bench.grid.cell import Cell
from vae_core.evaluate.programs import Kept, make
from vae_core.evaluate.programs.kinds import Kind
from vae_core.likelihoods import Likelihood
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


def make_program(cell: Cell, dims: int, levels: int, device: str, which: str) -> bool:
    """Makes one of the programs of the cell's way of scoring, for images of D = dims and K levels; whether it was made
    now: False where it was there, or is of no use. Raises what `vae_core.evaluate.programs.make` does."""
    kept = programs()
    likelihood = scored_likelihood(cell, levels).to(device)
    seen = 2 if cell.view == "binary" else levels
    integers = next(dtype for most, dtype in HELD_AS if seen <= most)
    kind = Kind(likelihood, dims, seen, torch.device(device), integers)
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
