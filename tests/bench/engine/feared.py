"""Bundles of which one ends its worker, without torch and without what tests import: for every model that has taken its
worker along a process starts anew."""

from __future__ import annotations

import dataclasses
import os
import signal
from typing import Any

from bench.engine.process.serve import partly
from bench.grid.plan import Bundle, Tuning
from bench.store import CellResult
from bench.store.weights import Weights
from tests.bench.engine import fake_tuning, fake_worker
from tests.bench.engine.fake_worker import TASKS

HERE = "tests.bench.engine.feared"
BAD, DEADLY = 4001, 0.2


def carries_out(bundle: Bundle, device: str, weights: Weights) -> list[CellResult]:
    """Its numbers follow from the cell and the stack; the bad one ends its worker, as the environment says."""
    stack, trouble = [cell.seed for cell in bundle.stack], os.environ.get("FAKE_TROUBLE", "")
    fake_worker._note(f"train {stack} for {[cell.seed for cell in bundle.cells]}")
    for cell in bundle.cells if "scored" in trouble else bundle.stack:
        if cell.seed == BAD and "scored" not in trouble:
            _ends(trouble)
    for cell in bundle.cells:
        if cell.seed == BAD and "scored" in trouble:
            _ends(trouble)
        row = fake_worker.result(cell)
        values = {**row.values, "kl_nats": float(hash(tuple(stack)) % 10**6), "bundle_models": len(stack)}
        assert partly([dataclasses.replace(row, values=values)])
    return []


def _ends(trouble: str) -> None:
    if "raises" in trouble:
        raise RuntimeError("a bad model")
    if trouble:
        os.kill(os.getpid(), signal.SIGKILL if "killed" in trouble else signal.SIGSEGV)


def diverges(bundle: Bundle, device: str, weights: Weights) -> list[CellResult]:
    stack = [cell.seed for cell in bundle.stack]
    fake_worker._note(f"train {stack} for {[cell.seed for cell in bundle.cells]}")
    for cell in bundle.cells:
        row = fake_worker.result(cell)
        if cell.seed == BAD:
            row = CellResult(cell.id, "failed", "the training loss is not finite")
        assert partly([dataclasses.replace(row, values={**row.values, "bundle_models": len(stack)})])
    return []


def chooses(tuning: Tuning, device: str) -> Any:
    sigmas = [cell.options["sigma"] for cell in {cell.search: cell for cell in tuning.cells}.values()]
    fake_worker._note(f"tune {sigmas}")
    if DEADLY in sigmas:
        os.kill(os.getpid(), signal.SIGSEGV)
    return fake_tuning.choose(tuning, device)


FEARED = dataclasses.replace(TASKS, carry_out=f"{HERE}:carries_out")
