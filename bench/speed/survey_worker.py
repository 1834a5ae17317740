"""What a worker measures in a survey of speed: a kind of cell alone, bundled and in evaluation; curves over sizes.

Everything that is compared is taken in turn in one process, the machine's limits among it: in each round the large
matrix product, the large copy and every piece of work have a block each, once in order and once in reverse; a share is
a ratio of one round, and medians over rounds are reported (DESIGN.md §6). Peak memory is the allocator's on CUDA; on a
CPU the bytes of tensors alive at most are counted. To be run with nothing else on the machine.
"""

from __future__ import annotations

import dataclasses
import gc
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.engine.from_cell import architecture_of, load_data, member_of, schedule_of, scored_images
from bench.grid.cell import Cell
from bench.grid.plan import MODELS_AT_MOST
from bench.speed.peers.turns import take_turns
from bench.speed.tensor_bytes import Bytes
from bench.speed.throughput import (
    EVAL_IMAGES,
    EVAL_SAMPLES,
    WARM_UP,
    Point,
    copying,
    decode_bytes,
    flops,
    multiplying,
    paced,
    scoring_pass,
    step_bytes,
    suggested_bundle,
    training_step,
)
from vae_core.data import Dataset
from vae_core.data.views import VIEWS
from vae_core.evaluate import importance_bounds
from vae_core.numerics.precision import full_float32
from vae_core.objectives import split_posterior
from vae_core.training import Trainer

PRODUCTS, COPIES = "matrix products", "copies"
TRAINING, EVALUATION = "images/s", "decodes/s"


@dataclass(frozen=True)
class Effort:
    """How long is measured, and at how many sizes."""

    rounds: int
    block_seconds: float
    sizes: dict[str, tuple[int, ...]]
    larger: dict[str, tuple[int, ...]]  #: on CUDA besides


FULL = Effort(
    rounds=5,
    block_seconds=0.04,
    sizes={
        "bundle": (1, 2, 4, 8, 16),
        "batch": (32, 64, 128, 256, 512),
        "samples": (10, 30, 100, 300, 1000),
        "latent": (2, 4, 8, 16, 32, 64),
    },
    larger={"bundle": (32, 64), "batch": (1024, 2048, 4096)},
)
QUICK = Effort(
    rounds=2,
    block_seconds=0.02,
    sizes={"bundle": (1, 4, 16), "batch": (32, 128, 512), "samples": (10, 100, 1000), "latent": (2, 8, 32)},
    larger={"bundle": (64,), "batch": (4096,)},
)


@dataclass(frozen=True)
class Work:
    """Something that is called again and again, what it does by the formulas, and its bytes at their most."""

    call: Callable[[], object]
    units: int  #: images or decodes of a call
    flops: int  #: of a call
    bytes: int  #: of a call
    peak_bytes: int


@full_float32()  # but for what a cell's precision abridges, as a run does it
def survey_kind(cell: Cell, device: str, quick: bool) -> dict[str, Any]:
    """A row of the throughput table: one model in training and in evaluation, a bundle as large as planning makes it,
    seeds differing; on CUDA also the evaluation of such a stack in one pass, which elsewhere goes model by model."""
    torch.set_flush_denormal(True)
    models = MODELS_AT_MOST[device]
    works = {"train": _training(cell, 1, device), "eval": _evaluation(cell, EVAL_SAMPLES, device)}
    works["bundled"] = _training(cell, models, device)
    if device == "cuda" and (stack := _stacked_evaluation(cell, models, device)):
        works["stacked"] = stack
    found = _in_turn(works, device, QUICK if quick else FULL)
    row: dict[str, Any] = {
        "kind": cell.kind,
        "family": cell.family,
        "sigma_mode": cell.sigma_mode,
        "train_samples": cell.train_samples,
        "objective": cell.objective,
        "train_images_per_s": found["train"]["rate"],
        "eval_decodes_per_s": found["eval"]["rate"],
        "bundled_images_per_s": found["bundled"]["rate"],
        "bundled_models": models,
        "batch_size": works["train"].units,
        "train_flops_per_image": works["train"].flops // works["train"].units,
        "decode_flops": works["eval"].flops // works["eval"].units,
        "train_bytes_per_image": works["train"].bytes / works["train"].units,
        "decode_bytes": works["eval"].bytes // works["eval"].units,
        **{name: found["train"][name] for name in ("matmul_gflops", "copy_gbytes_per_s")},
        **_where(device),
    }
    if "stacked" in found:
        row |= {"stacked_decodes_per_s": found["stacked"]["rate"], "stacked_models": models}
    for name, point in found.items():
        row |= {f"{name}_{key}": point[key] for key in ("flops_share", "bytes_share", "peak_bytes")}
    return row


@full_float32()
def survey_curve(cell: Cell, curve: str, device: str, quick: bool) -> list[dict[str, Any]]:
    """Points of one curve of a kind, smallest size first: training over the models of a bundle, the images of a batch
    or the latent size, or evaluation over L. What does not fit into the device's memory beside the smaller sizes,
    which are measured in turn with it, and a batch larger than the training split, ends it."""
    torch.set_flush_denormal(True)
    effort = QUICK if quick else FULL
    sizes = effort.sizes[curve] + (effort.larger.get(curve, ()) if device == "cuda" else ())
    if curve == "batch":
        most = len(load_data(cell.dataset, cell.levels, device).train)
        sizes = tuple(size for size in sizes if size <= most)
    works = dict(_fitting(cell, curve, sizes, device))
    found = _in_turn(works, device, effort) if works else {}
    unit = EVALUATION if curve == "samples" else TRAINING
    return [
        {"kind": cell.kind, "curve": curve, "size": int(size), "unit": unit, **point, **_where(device)}
        for size, point in found.items()
    ]


def suggestion(points: Sequence[dict[str, Any]], device: str) -> dict[str, Any]:
    """What the curve over bundles says of their size, beside what planning uses and the memory that is free (None where
    the system does not tell)."""
    free = free_bytes(device)
    curve = [Point(point["size"], point["rate"], point["peak_bytes"]) for point in points]
    return {
        "suggested_bundle": suggested_bundle(curve, free),
        "planned_bundle": MODELS_AT_MOST[device],
        "free_bytes": None if math.isinf(free) else int(free),
    }


def free_bytes(device: str) -> float:
    """Memory that a bundle could have: the device's, or what the system calls available; infinite if unknown."""
    if device == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        return float(torch.cuda.mem_get_info()[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return math.inf
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), math.inf)


def _fitting(cell: Cell, curve: str, sizes: Iterable[int], device: str) -> Iterator[tuple[str, Work]]:
    """The work at each size, until one does not fit into the device's memory."""
    for size in sizes:
        try:
            work = AT_SIZE[curve](cell, size, device)
        except torch.OutOfMemoryError:
            return
        yield str(size), work


def _where(device: str) -> dict[str, Any]:
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }


# -- pieces of work ----------------------------------------------------------------------------------------------------


def _training(cell: Cell, models: int, device: str) -> Work:
    """An update of a bundle: the cell's model with so many seeds."""
    data = load_data(cell.dataset, cell.levels, device)
    architecture = architecture_of(cell)
    trainer, step, peak = _warm_trainer(cell, models, data, device)
    update, _ = flops(architecture, data.dims, trainer.program.outputs, cell.train_samples)
    least = step_bytes(architecture, data.dims, trainer.program.outputs, cell.train_samples, trainer.batch)
    images = models * trainer.batch
    return Work(step, images, images * update, models * least, peak)


def _warm_trainer(cell: Cell, models: int, data: Dataset, device: str) -> tuple[Trainer, Callable[[], object], int]:
    """A trainer, its next step, and the bytes of a step at their most, parameters and moments included: of steps that
    are warm, without what building took for a moment."""
    members = [dataclasses.replace(member_of(cell, data.levels), seed=seed) for seed in range(models)]

    def built() -> tuple[Trainer, Callable[[], object]]:
        trainer = Trainer(data, members, architecture_of(cell), schedule_of(cell), device)
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


def _evaluation(cell: Cell, samples: int, device: str) -> Work:
    """A pass over EVAL_IMAGES test images at most, of one model."""
    data = load_data(cell.dataset, cell.levels, device)
    trainer, _, _ = _warm_trainer(cell, 1, data, device)
    one_pass, decodes = scoring_pass(trainer, cell, data, samples)
    return _scoring(cell, trainer, data, one_pass, decodes, device)


def _stacked_evaluation(cell: Cell, models: int, device: str) -> Work | None:
    """The same of a whole bundle in one pass; None for what is fitted to residuals, model by model, beforehand."""
    data = load_data(cell.dataset, cell.levels, device)
    trainer, _, _ = _warm_trainer(cell, models, data, device)
    program = trainer.program
    scored = program.groups[0].likelihood.scored(cell.scored_as)
    if scored.needs_fit:
        return None
    k, levels = scored_images(cell, data)
    k = k[:EVAL_IMAGES]
    binary = VIEWS[cell.view].binary

    def encode(k: Tensor) -> tuple[Tensor, Tensor]:
        seen = k.float() if binary else k.float() / (data.levels - 1)
        posterior = split_posterior(program.encoder(seen.expand(models, *seen.shape)))
        return posterior.mean, posterior.log_variance

    def decode(z: Tensor) -> Tensor:
        return program.decoder(z.reshape(models, -1, z.shape[-1])).reshape(*z.shape[:-1], -1)

    def one_pass() -> object:
        scorers = {"": lambda raw, rows: scored.log_mass(k[rows].unsqueeze(1), raw, levels)}
        return importance_bounds(k, encode, decode, scorers, (1, EVAL_SAMPLES), seed=list(range(models)))

    return _scoring(cell, trainer, data, one_pass, models * len(k) * EVAL_SAMPLES, device)


#: curve -> the work of a cell at one of its sizes
AT_SIZE: dict[str, Callable[[Cell, int, str], Work]] = {
    "bundle": _training,
    "batch": lambda cell, size, device: _training(cell.but(batch_size=size), 1, device),
    "samples": _evaluation,
    "latent": lambda cell, size, device: _training(cell.but(latent=size), 1, device),
}


def _scoring(
    cell: Cell, trainer: Trainer, data: Dataset, one_pass: Callable[[], object], decodes: int, device: str
) -> Work:
    architecture, outputs = architecture_of(cell), trainer.program.outputs
    _, operations = flops(architecture, data.dims, outputs, cell.train_samples)
    peak = _peak_of(one_pass, device)
    return Work(one_pass, decodes, decodes * operations, decodes * decode_bytes(architecture, outputs), peak)


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


# -- the clock ---------------------------------------------------------------------------------------------------------


def _in_turn(works: dict[str, Work], device: str, effort: Effort) -> dict[str, dict[str, Any]]:
    """Of each piece of work: `rate` in units/s, `flops_share` of the rate of float32 matrix products (also where
    training is of less precision, which may exceed it), `bytes_share` of the rate of copying, `peak_bytes`; with
    `matmul_gflops` and `copy_gbytes_per_s` of the same rounds. The larger share is the time that the machine needs at
    the least, over the time that it took."""
    multiply, operations = multiplying(device)
    copy, moved = copying(device)
    calls = {PRODUCTS: multiply, COPIES: copy, **{name: work.call for name, work in works.items()}}
    blocks = {name: paced(call, device, effort.block_seconds, WARM_UP[device]) for name, call in calls.items()}
    speeds = take_turns(blocks, effort.rounds)  # calls/s, round by round

    def over(name: str, limit: str) -> float:
        return statistics.median(one / other for one, other in zip(speeds[name], speeds[limit], strict=True))

    rates = {
        "matmul_gflops": 1e-9 * operations * statistics.median(speeds[PRODUCTS]),
        "copy_gbytes_per_s": 1e-9 * moved * statistics.median(speeds[COPIES]),
    }
    return {
        name: {
            "rate": work.units * statistics.median(speeds[name]),
            "flops_share": over(name, PRODUCTS) * work.flops / operations,
            "bytes_share": over(name, COPIES) * work.bytes / moved,
            "peak_bytes": work.peak_bytes,
            **rates,
        }
        for name, work in works.items()
    }
