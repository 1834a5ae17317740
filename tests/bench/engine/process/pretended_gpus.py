"""What workers do on GPUs that are not there; without torch, which would be waited for in each of them."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.engine.process import device
from bench.grid.cell import Cell
from bench.grid.plan import Bundle
from bench.store import CellResult
from bench.store.weights import Weights
from tests.bench.engine import fake_worker
from tests.bench.engine.fake_worker import TASKS

HERE = "tests.bench.engine.process.pretended_gpus"


def seen() -> tuple[int, str | None, str]:
    """In a worker: itself, the GPU that it sees, its threads."""
    time.sleep(0.2)
    return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ["OMP_NUM_THREADS"]


def dies_on_the_first(place: str) -> str | None:
    path = Path(place)
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "4" and not path.exists():
        path.touch()
        os._exit(1)
    time.sleep(0.2)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def two_gpus(requested: str) -> dict[str, Any]:
    """What a worker would say on a machine with two; and of one of them, once it sees no other."""
    own = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = device.chosen(device.named(requested), ["0", "1"] if own is None else [own])
    names = [f"GPU {gpu}" for gpu in found]
    return {
        "kind": "cuda",
        "name": ", ".join(names),
        "visible": found,
        "seen": 2 if own is None else 1,
        "gpus": len(found),
    }


def notes_its_gpu(bundle: Bundle, kind: str, weights: Weights) -> list[CellResult]:
    time.sleep(0.5)
    rows = [fake_worker.result(cell) for cell in bundle.cells]
    gpu = f"{kind} {os.environ.get('CUDA_VISIBLE_DEVICES')}"
    return [replace(row, values={**row.values, "device": gpu}) for row in rows]


def measures_on(cells: list[Cell], kind: str) -> list[dict[str, Any]]:
    gpu = f"{kind} {os.environ.get('CUDA_VISIBLE_DEVICES')}"
    return [{"kind": cell.kind, "family": cell.family, "train_images_per_s": 5.0, "device": gpu} for cell in cells]


PRETENDED = replace(TASKS, device=f"{HERE}:two_gpus", carry_out=f"{HERE}:notes_its_gpu", measure=f"{HERE}:measures_on")
