"""What a test has workers do in place of the fake worker's tasks: to be lost to something outside, and more.

Every worker that is started reads this module, so that it is read in a moment: without torch, pandas and pytest.
"""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.grid.plan import Bundle
from bench.grid.references import ReferenceSpec
from bench.store import CellResult, ReferenceResult
from bench.store.weights import Weights
from tests.bench.engine import fake_worker
from tests.bench.engine.fake_worker import TASKS

HERE = "tests.bench.engine.losing"
VICTIM = 77  # a seed whose worker is killed


def killed(times: int, number: int = signal.SIGKILL) -> None:
    """Ends this process by a signal until it has happened so often; elsewhere than in itself it would look the same."""
    place = Path(os.environ["LOST"])
    so_far = len(place.read_text()) if place.exists() else 0
    if so_far < times:
        place.write_text("x" * (so_far + 1))
        os.kill(os.getpid(), number)


def carries_out(bundle: Bundle, device: str, weights: Weights) -> list[CellResult]:
    if VICTIM in {cell.seed for cell in bundle.cells}:
        killed(int(os.environ["TIMES"]), int(os.environ.get("SIGNAL", signal.SIGKILL)))
    return fake_worker.carry_out(bundle, device, weights)


def inspects(name: str, *more: Any) -> dict[str, Any]:
    killed(int(os.environ["TIMES"]))
    return fake_worker.inspect(name, *more)


def refers(spec: ReferenceSpec) -> ReferenceResult:
    if spec.reference == "png":
        killed(int(os.environ["TIMES"]))
    return fake_worker.refer(spec)


def changed() -> None:
    raise ValueError("the plug-in was changed while it was in use; begin again")


def in_trouble() -> None:
    raise OSError(errno.EIO, "Input/output error")


def without_memory() -> None:
    raise MemoryError("no room")


def hangs_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


def all_is_well(bundle: Bundle, device: str, weights: Weights) -> list[CellResult]:
    return [fake_worker.result(cell) for cell in bundle.cells]


def odd_values(bundle: Bundle, device: str, weights: Weights) -> list[CellResult]:
    """One row has a value of no column."""
    results = [fake_worker.result(cell) for cell in bundle.cells]
    return [replace(results[0], values={"bits": 1.0}), *results[1:]]


def well(bundle: Bundle, device: str, weights: Weights) -> list[CellResult]:
    """With a kilobyte of weights a model."""
    rows = [fake_worker.result(cell) for cell in bundle.cells]
    return [row for model in fake_worker.models(bundle) for row in fake_worker.with_weights(model, rows, weights, 256)]


NOTED = [
    {"topic": "copies", "text": f"30 of 30 test images {'are copies, ' * 8}all of them", "loud": True},
    {"topic": "levels", "text": "1 of 17 level never occurs", "loud": False},
]


def with_remarks(name: str, *asked: int | None) -> dict[str, Any]:
    """A data set with two remarks."""
    return {"name": f"/folder/{name}", "levels": 17, "checksum": "c0ffee00", "shape": (8, 8), "remarks": NOTED}


LOSES = replace(TASKS, carry_out=f"{HERE}:carries_out")
