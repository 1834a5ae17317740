"""What a worker measures in a survey of speed: a kind of cell alone, bundled and in evaluation; curves over sizes.

Everything that is compared is taken in turn in one process, the machine's limits among it: in each round the large
matrix product, the large copy and every piece of work have a block each, once in order and once in reverse; a share is
a ratio of one round, and medians over rounds are reported (docs/RULES.md, Speed). To be run with nothing else on the
machine.
"""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.engine.worker.from_cell import data_of
from bench.grid.cell import Cell
from bench.grid.plan import MODELS_AT_MOST
from bench.speed.peers.turns import take_turns
from bench.speed.throughput import EVAL_SAMPLES, WARM_UP, Point, copying, multiplying, paced, suggested_bundle
from bench.speed.work import AT_SIZE, Work, evaluation, stacked_evaluation, training
from vae_core.numerics.precision import full_float32

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


@full_float32()  # but for what a cell's precision abridges, as a run does it
def survey_kind(cell: Cell, device: str, quick: bool) -> dict[str, Any]:
    """A row of the throughput table: one model in training and in evaluation, a bundle as large as planning makes it,
    seeds differing; on CUDA also the evaluation of such a stack in one pass, which elsewhere goes model by model."""
    torch.set_flush_denormal(True)
    models = MODELS_AT_MOST[device]
    works = {"train": training(cell, 1, device), "eval": evaluation(cell, EVAL_SAMPLES, device)}
    works["bundled"] = training(cell, models, device)
    if device == "cuda" and (stack := stacked_evaluation(cell, models, device)):
        works["stacked"] = stack
    measured = _in_turn(works, device, QUICK if quick else FULL)
    row: dict[str, Any] = {
        "kind": cell.kind,
        "family": cell.family,
        "sigma_mode": cell.sigma_mode,
        "train_samples": cell.train_samples,
        "objective": cell.objective,
        "bound": cell.bound,
        "train_images_per_s": measured["train"]["rate"],
        "eval_decodes_per_s": measured["eval"]["rate"],
        "bundled_images_per_s": measured["bundled"]["rate"],
        "bundled_models": models,
        "batch_size": works["train"].units,
        "train_flops_per_image": works["train"].flops // works["train"].units,
        "decode_flops": works["eval"].flops // works["eval"].units,
        "train_bytes_per_image": works["train"].bytes / works["train"].units,
        "decode_bytes": works["eval"].bytes // works["eval"].units,
        **{name: measured["train"][name] for name in ("matmul_gflops", "copy_gbytes_per_s")},
        **_where(device),
    }
    if "stacked" in measured:
        row |= {"stacked_decodes_per_s": measured["stacked"]["rate"], "stacked_models": models}
    for name, point in measured.items():
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
        most = len(data_of(cell, device).train)
        sizes = tuple(size for size in sizes if size <= most)
    works = dict(_fitting(cell, curve, sizes, device))
    measured = _in_turn(works, device, effort) if works else {}
    unit = EVALUATION if curve == "samples" else TRAINING
    return [
        {"kind": cell.kind, "curve": curve, "size": int(size), "unit": unit, **point, **_where(device)}
        for size, point in measured.items()
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
        return statistics.median(rate / bound for rate, bound in zip(speeds[name], speeds[limit], strict=True))

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
