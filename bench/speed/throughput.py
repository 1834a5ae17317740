"""Speed of a single model, measured apart from training, and what limits it (docs/RULES.md, rule 8).

Per kind of cell (σ's value does not matter, its mode does): warm-up, synchronised clocks, the median of repeats; beside
it the machine's own rate of float32 matrix products, measured just before, and the share of it that is reached. The
other limit is the rate of copying. What a step costs at the least, operations and bytes, its networks say
(vae_core.networks.ModelCost). Bundles, and curves over sizes, are bench.speed.survey_worker's.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bench.engine.worker.from_cell import architecture_of, data_of, member_of, schedule_of, scored_images
from bench.engine.worker.programs import programs_on, steps_on
from bench.grid.cell import Cell
from vae_core.data import Dataset, dequantise
from vae_core.evaluate import importance_bounds
from vae_core.evaluate.programs import MASS, Scores
from vae_core.networks import ModelCost
from vae_core.numerics import progress
from vae_core.numerics.precision import full_float32
from vae_core.training import Trainer, fit_scale, trained_models

REPEATS = 5
#: a block of work is repeated until it takes at least this long: many calls, of which a GPU makes more
SECONDS_A_REPEAT = {"cpu": 0.04, "cuda": 0.01}
MATMUL_SIZE = {"cpu": 1024, "cuda": 8192}
COPY_BYTES = {"cpu": 1 << 28, "cuda": 1 << 30}  # far beyond any cache
FLOAT_BYTES = 4
NEAR_BEST = 0.95  # of the best throughput: what a larger bundle adds beyond it is not worth its memory
EVAL_IMAGES = 32  # with as many samples, a whole tile of a CPU's noise
EVAL_SAMPLES = 512
WARM_UP = {"cpu": 2, "cuda": 20}  # steps: on CUDA the first are not captured yet


@full_float32()  # but for what a cell's precision abridges, as a run does it
def measure_throughput(cells: Sequence[Cell], device: str) -> list[dict[str, Any]]:
    """One row for each kind of cell among `cells`; to be run with nothing else on the machine.

    train_images_per_s: images through one update (gather, noise, forward, backward, Adam) a second.
    eval_decodes_per_s: (image, sample) pairs decoded, scored by the exact mass and reduced a second.
    """
    rate = matmul_gflops(device)
    kinds: dict[str, Cell] = {}
    for cell in cells:
        kinds.setdefault(cell.kind, cell)
    rows = []
    for kind, cell in kinds.items():
        data = data_of(cell, device)
        members = [member_of(cell, data.levels)]
        trainer = Trainer(data, members, architecture_of(cell), schedule_of(cell), device, steps_on(device))
        images = trainer.batch / median_seconds(training_step(trainer), device)
        one_pass, pairs = scoring_pass(trainer, cell, data)
        decodes = pairs / median_seconds(one_pass, device)
        cost = cost_of(trainer)
        train_flops, decode_flops = cost.update_operations(cell.train_samples), cost.decode_operations
        rows.append(
            {
                "kind": kind,
                "family": cell.family,
                "sigma_mode": cell.sigma_mode,
                "train_samples": cell.train_samples,
                "objective": cell.objective,
                "bound": cell.bound,
                "train_images_per_s": images,
                "eval_decodes_per_s": decodes,
                "train_flops_share": images * train_flops / (rate * 1e9),
                "eval_flops_share": decodes * decode_flops / (rate * 1e9),
                "matmul_gflops": rate,
                "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
                "threads": torch.get_num_threads(),
                "batch_size": trainer.batch,
                "train_flops_per_image": train_flops,
                "decode_flops": decode_flops,
            }
        )
    return rows


def cost_of(trainer: Trainer) -> ModelCost:
    """What one of the trainer's models costs, as its networks say."""
    program = trainer.program
    return ModelCost(
        encoder=program.encoder.cost(),
        decoder=program.decoder.cost(),
        dims=trainer.data.dims,
        latent=program.architecture.latent,
    )


@dataclass(frozen=True)
class Point:
    """What a bundle of `models` reaches: images/s of all its models, and its bytes at their most."""

    models: int
    images_per_s: float
    peak_bytes: int


def suggested_bundle(curve: Sequence[Point], free_bytes: float) -> int | None:
    """The smallest bundle that reaches NEAR_BEST of the best throughput among those that fit into `free_bytes`; None
    where none of them fits."""
    fitting = [point for point in curve if point.peak_bytes <= free_bytes]
    if not fitting:
        return None
    best = max(point.images_per_s for point in fitting)
    return min(point.models for point in fitting if point.images_per_s >= NEAR_BEST * best)


def matmul_gflops(device: str) -> float:
    """The machine's rate of large float32 matrix products as torch makes them, in 10⁹ operations a second."""
    multiply, operations = multiplying(device)
    return 1e-9 * operations / median_seconds(multiply, device)


def multiplying(device: str) -> tuple[Callable[[], object], int]:
    """A large float32 matrix product, and its operations."""
    size = MATMUL_SIZE[device]
    left, right = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    out = torch.empty_like(left)
    return lambda: torch.mm(left, right, out=out), 2 * size**3


def copying(device: str) -> tuple[Callable[[], object], int]:
    """A copy of a large tensor, and the bytes that it reads and writes."""
    source = torch.ones(COPY_BYTES[device] // FLOAT_BYTES, device=device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source), 2 * COPY_BYTES[device]


def median_seconds(call: Callable[[], object], device: str) -> float:
    """Seconds of one call: median over REPEATS blocks, each of at least SECONDS_A_REPEAT, after a warm-up; the clock is
    read with the device idle."""
    block = paced(call, device, SECONDS_A_REPEAT[device], WARM_UP[device])
    return statistics.median(1 / block() for _ in range(REPEATS))


def paced(
    call: Callable[[], object], device: str, seconds: float = SECONDS_A_REPEAT["cpu"], warm_up: int = 2
) -> Callable[[], float]:
    """Blocks of as many calls as take `seconds` or more: each gives calls a second, by a clock that is read with the
    device idle. The call is warm already."""
    _block(call, warm_up, device)
    calls = max(1, math.ceil(seconds / max(_block(call, 1, device), 1e-7)))
    return lambda: calls / _block(call, calls, device)


def _block(call: Callable[[], object], calls: int, device: str) -> float:
    progress.made()
    _wait(device)
    started = time.perf_counter()
    for _ in range(calls):
        call()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def training_step(trainer: Trainer) -> Callable[[], object]:
    """One update, gather, noise, forward, backward and Adam included, on the next images of an endless training."""
    indices = itertools.chain.from_iterable(iter(trainer.epoch, None))
    return lambda: trainer.step(next(indices))


def scoring_pass(
    trainer: Trainer, cell: Cell, data: Dataset, samples: int = EVAL_SAMPLES
) -> tuple[Callable[[], object], int]:
    """A pass of importance sampling by the exact mass over some test images, of the trainer's first model, by a program
    where there is one; and its decodes: (image, sample) pairs decoded, scored and reduced."""
    model = trained_models(trainer.program, data.levels)[0]
    k, levels = scored_images(cell, data)
    k = k[:EVAL_IMAGES]
    scored = model.likelihood.scored(cell.scored_as)
    if scored.needs_fit:
        fit_scale(scored, data, model.encode, model.decode, seed=cell.seed)

    unit = dequantise(k, levels, torch.full(k.shape, 0.5, device=k.device))
    scorer = Scores(scored, k, unit, levels, programs_on(k.device.type)).scorer(MASS)

    def one_pass() -> None:
        importance_bounds(k, model.encode, model.decode, {"": scorer}, (1, samples))

    return one_pass, len(k) * samples
