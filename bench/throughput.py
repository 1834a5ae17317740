"""Speed of a single model, measured apart from training (DESIGN.md §2.8).

Per kind of cell (σ's value does not matter, its mode does): warm-up, synchronised clocks, the median of repeats; beside
it the machine's own rate of float32 matrix products, measured just before, and the share of it that is reached.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from bench.cell import Cell
from bench.materials import architecture_of, load_data, member_of, schedule_of, scored_images
from vae_core.data import Dataset
from vae_core.evaluate import importance_bounds
from vae_core.networks import Architecture
from vae_core.training import Trainer, fit_to_residuals, trained_models

REPEATS = 5
SECONDS_A_REPEAT = 0.04  # a block of work is repeated until it takes at least this long
MATMUL_SIZE = {"cpu": 1024, "cuda": 8192}
EVAL_IMAGES = 64
EVAL_SAMPLES = 128


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
        data = load_data(cell.dataset, cell.levels, device)
        architecture = architecture_of(cell)
        trainer = Trainer(data, [member_of(cell, data.levels)], architecture, schedule_of(cell), device)
        images = trainer.batch / _seconds_per_step(trainer, device)
        decodes = _decodes_per_second(trainer, cell, data, device)
        train_flops, decode_flops = flops(architecture, data.dims, trainer.program.outputs, cell.train_samples)
        rows.append(
            {
                "kind": kind,
                "family": cell.family,
                "sigma_mode": cell.sigma_mode,
                "train_samples": cell.train_samples,
                "objective": cell.objective,
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


def flops(architecture: Architecture, dims: int, outputs: int, samples: int) -> tuple[int, int]:
    """Operations of the matrix products alone: (of one image through one update with L samples, of one decode).

    A product of [1, in] and [in, out] counts 2·in·out; the update three of them, but for the first layer's two: no
    gradient flows into the images.
    """
    encoder = (dims, *architecture.hidden, 2 * architecture.latent)
    decoder = (architecture.latent, *reversed(architecture.hidden), outputs)
    encode = sum(2 * a * b for a, b in itertools.pairwise(encoder))
    decode = sum(2 * a * b for a, b in itertools.pairwise(decoder))
    return 3 * (encode + samples * decode) - 2 * encoder[0] * encoder[1], decode


def matmul_gflops(device: str) -> float:
    """The machine's rate of large float32 matrix products as torch makes them, in 10⁹ operations a second."""
    size = MATMUL_SIZE[device]
    left, right = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    out = torch.empty_like(left)
    return 2e-9 * size**3 / median_seconds(lambda: torch.mm(left, right, out=out), device)


def median_seconds(call: Callable[[], object], device: str) -> float:
    """Seconds of one call: median over REPEATS blocks, each of at least SECONDS_A_REPEAT, after a warm-up; the clock is
    read with the device idle."""
    _block(call, 2, device)
    calls = max(1, math.ceil(SECONDS_A_REPEAT / max(_block(call, 1, device), 1e-7)))
    return statistics.median(_block(call, calls, device) / calls for _ in range(REPEATS))


def _block(call: Callable[[], object], calls: int, device: str) -> float:
    _wait(device)
    started = time.perf_counter()
    for _ in range(calls):
        call()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _seconds_per_step(trainer: Trainer, device: str) -> float:
    """One update, gather, noise, forward, backward and Adam included."""
    indices = itertools.chain.from_iterable(iter(trainer.epoch, None))
    return median_seconds(lambda: trainer.step(next(indices)), device)


def _decodes_per_second(trainer: Trainer, cell: Cell, data: Dataset, device: str) -> float:
    """(image, sample) pairs decoded, scored by the exact mass and reduced, a second."""
    (model,) = trained_models(trainer.program, data.levels)
    k, levels = scored_images(cell, data)
    k = k[:EVAL_IMAGES]
    scored = model.likelihood.scored(cell.scored_as)
    if scored.needs_fit:
        fit_to_residuals(model, scored, data, cell.seed)

    def one_pass() -> None:
        importance_bounds(
            k,
            model.encode,
            model.decode,
            {"": lambda raw, rows: scored.log_mass(k[rows].unsqueeze(1), raw, levels)},
            (1, EVAL_SAMPLES),
        )

    return len(k) * EVAL_SAMPLES / median_seconds(one_pass, device)
