"""A worker without torch, to test the run: its numbers follow from the cell's id, and some seeds bring trouble.

`python -m tests.bench.engine.fake_worker GRID.toml OUT.sqlite` carries out a grid with it.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.engine.progress import Reporter
from bench.engine.run import Options, Tasks, run_grid
from bench.grid.cell import Cell
from bench.grid.plan import Bundle
from bench.grid.read import load_grid
from bench.grid.references import ReferenceSpec
from bench.store import CellResult, ReferenceResult, Value
from bench.store.weights import Weights, file_name
from vae_core.numerics import tensor_file

TASKS = Tasks(
    device="tests.bench.engine.fake_worker:device",
    inspect="tests.bench.engine.fake_worker:inspect",
    networks="tests.bench.engine.fake_worker:networks",
    carry_out="tests.bench.engine.fake_worker:carry_out",
    measure="tests.bench.engine.fake_worker:measure",
    refer="tests.bench.engine.fake_worker:refer",
)
_carried_out = 0  # bundles, by this process
DIES, SEGFAULTS, EXITS, HANGS, RAISES, RUNS_OUT, SILENT, MUMBLES = range(1001, 1009)  # seeds that bring trouble


def device(requested: str) -> dict[str, Any]:
    if requested == "cuda":
        raise ValueError("--device cuda: there is none here; use --device cpu.")
    return {"kind": "cpu", "name": "fake", "threads": os.environ["OMP_NUM_THREADS"]}


def no_data(name: str, *_: int | None) -> dict[str, Any]:
    raise ValueError(f"there is no {name} any more; put it back.")


def inspect(name: str, *_: int | None) -> dict[str, Any]:
    if name != "digits":
        raise ValueError(f"unknown data set {name!r}; give digits.")
    _note("inspect")
    return {"name": name, "levels": 17, "checksum": os.environ.get("FAKE_CHECKSUM", "c0ffee00"), "shape": (8, 8)}


def networks(*_: Any) -> dict[str, int]:
    return {}


def carry_out(bundle: Bundle, device: str, weights: Weights) -> list[CellResult]:
    _note(bundle.id)
    global _carried_out
    if str(_carried_out) == os.environ.get("FAKE_STOP_AFTER"):
        time.sleep(1000)  # a worker that has done so many bundles never ends the next
    _carried_out += 1
    time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
    seeds = {cell.seed for cell in bundle.cells}
    if DIES in seeds:
        os.kill(os.getpid(), signal.SIGKILL)
    if SEGFAULTS in seeds:
        os.kill(os.getpid(), signal.SIGSEGV)
    if EXITS in seeds:
        os._exit(3)
    if HANGS in seeds:
        time.sleep(1000)
    if RAISES in seeds:
        raise RuntimeError("a bad\nbundle")
    if RUNS_OUT in seeds:
        raise MemoryError("300 GB wanted")
    if MUMBLES in seeds:
        return [lambda: None]  # type: ignore[list-item]  # cannot be pickled
    results = [result(cell) for cell in bundle.cells if cell.seed != SILENT]
    if numbers := os.environ.get("FAKE_WEIGHTS"):  # of each model
        return [row for model in models(bundle) for row in with_weights(model, results, weights, int(numbers))]
    return results


def models(bundle: Bundle) -> list[list[Cell]]:
    """Cells that share a trained model together."""
    keys = dict.fromkeys(cell.training_key for cell in bundle.cells)
    return [[cell for cell in bundle.cells if cell.training_key == key] for key in keys]


def with_weights(model: list[Cell], results: list[CellResult], weights: Weights, numbers: int) -> list[CellResult]:
    """The rows of one model's cells, and its file, which says by whom it was written."""
    ids = [cell.id for cell in model]
    name = file_name(ids, model[0].training_key)
    reason = weights.refusal(name, 4 * numbers)
    if reason is None:
        facts = {
            "cells": [{"cell": cell.id, "scored_as": cell.scored_as} for cell in model],
            "likelihood": {"plugin": None},
            "process": os.getpid(),
        }
        arrays = {"encoder.0.weight": np.ones(numbers, np.float32)}
        arrays |= {f"scored.{cell.scored_as}.fitted.log": np.ones((), np.float32) for cell in model}
        weights.folder.mkdir(exist_ok=True)
        tensor_file.write(weights.part(name), arrays, facts)
    kept: dict[str, Value] = {"weights": None if reason else name, "weights_reason": reason}
    return [replace(row, values={**row.values, **kept}) for row in results if row.cell in ids]


def result(cell: Cell) -> CellResult:
    value = -random.Random(cell.id).uniform(50, 150)
    bounds = [(samples, value - 1 / samples, 0.1, value - 2) for samples in cell.eval_samples]
    values: dict[str, Value] = {"iw_nats": value, "elbo_nats": value - 1, "device": "fake"}
    return CellResult(
        cell.id,
        "done",
        values=values,
        bounds=bounds,
        per_image={"iw_nats": np.full(20, value)},
        latents=[(0.5, 0.9), (0.0, 0.0)],
        calibration=[0.25] * 4,
        pictures={"sample": np.zeros((2, 3, 3), np.uint8)},
    )


def refer(spec: ReferenceSpec) -> ReferenceResult:
    _note(f"refer {spec.reference}")
    trouble = os.environ.get("FAKE_REFERENCE", "")
    if trouble and trouble in spec.reference:
        raise RuntimeError("a bad reference")
    value = -random.Random(spec.id).uniform(50, 150)
    images = None if spec.reference in ("png", "webp", "xz") else np.full(20, value)
    numbers = {"iw_nats": value, "bits_per_dim": -value, "measure": "pmf-17", "currency": "pmf-K"}
    return ReferenceResult(spec.id, "done", label=spec.reference, values=numbers, iw_nats=images, details={"found": 1})


def mumble(spec: ReferenceSpec) -> str:
    return f"{spec.reference}, or so"


def measure(cells: list[Cell], device: str) -> list[dict[str, Any]]:
    _note(f"measure {len(cells)} with {os.environ['OMP_NUM_THREADS']} threads")
    if os.environ.get("FAKE_MEASURE") == "raise":
        raise RuntimeError("no clock")
    return [{"kind": cell.kind, "family": cell.family, "train_images_per_s": 5.0} for cell in cells]


def _note(what: str) -> None:
    """One line for each thing done, with the process that did it, where the test asked for it."""
    if diary := os.environ.get("FAKE_DIARY"):
        with Path(diary).open("a") as file:
            file.write(f"{os.getpid()} {what}\n")


if __name__ == "__main__":
    given = load_grid(Path(sys.argv[1]))
    with Reporter(sys.stderr) as reporter:
        print(run_grid(given, Path(sys.argv[2]), Options(workers=2), reporter, TASKS), flush=True)
