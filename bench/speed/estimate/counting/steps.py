"""What a training step does otherwise where the likelihood of a kind goes by programs
(vae_core.evaluate.programs.steps): counted on the likelihood by itself, forwards and backwards, without networks."""

from __future__ import annotations

import torch

from bench.engine.worker.from_cell import member_of
from bench.grid.cell import Cell
from bench.grid.families import registry
from bench.speed.estimate.counting.operators import counted
from bench.speed.estimate.tally import BYTES, FUNCTIONS, KERNELS, NOTHING, Tally
from vae_core.data import VIEWS, Dataset
from vae_core.likelihoods import stack, told

MODELS, FEW = 2, 1  # of a stack that is counted, and images of it
FLOAT = 4  # bytes
READ, WRITTEN = 2, 1  # raw outputs: in the score, and in its slopes, which are written
PROGRAMS = 2.0  # kernels, and one for each learned tensor's sum


def count_by_program(cell: Cell, data: Dataset) -> tuple[Tally, Tally]:
    """What is to be added to a step of models of a settled cell's kind: for their stack, for an image of a model."""
    if cell.sigma_mode == "optimal" or registry().get(cell.family).looks_at_numbers:
        return NOTHING, NOTHING
    member = member_of(cell, data.levels)
    likelihood = told(stack([member.likelihood] * MODELS), data.shape)
    likelihood.initialise(0.1)
    masses, dims = member.objective == "binned", data.train.shape[1]
    width, samples = likelihood.outputs(dims), cell.train_samples

    def scored(images: int, *, slopes: bool) -> Tally:
        k = data.train[torch.arange(images) % len(data.train)].unsqueeze(0)
        seen = k if masses else VIEWS[likelihood.view].see(k, data.levels, torch.full(k.shape, 0.5))
        x = seen.expand(MODELS, -1, -1).unsqueeze(2)
        raw = torch.zeros(MODELS, images, samples, width, requires_grad=slopes)
        weight = torch.ones(MODELS, images, samples)
        wanted = [raw, *likelihood.parameters()]

        def both() -> None:
            score = likelihood.log_mass(x, raw, data.levels) if masses else likelihood.train_log_prob(x, raw)
            if slopes:
                torch.autograd.grad(score, wanted, weight)

        with torch.set_grad_enabled(slopes):
            both()  # what it makes for its device it makes now
            return counted(both)

    few, twice = scored(FEW, slopes=True), scored(2 * FEW, slopes=True)
    image = 1 / (MODELS * FEW) * (twice - few).of_elements()
    again = 1 / (MODELS * FEW) * (scored(2 * FEW, slopes=False) - scored(FEW, slopes=False)).of_functions()
    moved = FLOAT * width * samples * (READ + WRITTEN) + READ * dims * (1 if masses else FLOAT)
    # what only moved numbers before is arithmetic now: two of them read and one written for each operation, about
    arithmetic = Tally({f"{FUNCTIONS}/arithmetic/float32": image[BYTES] / (3 * FLOAT)})
    by_program = image.of_functions() + again + arithmetic + Tally({BYTES: float(moved)})
    calls = Tally({KERNELS: PROGRAMS + len(list(likelihood.parameters()))})
    return calls - few.of_calls(), by_program - image
