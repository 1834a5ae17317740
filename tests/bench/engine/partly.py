"""A worker that hands over each cell as it is done, and then meets with what a test wants; without torch."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from bench.engine.process.serve import partly
from bench.grid.plan import Bundle
from bench.store import CellResult
from bench.store.weights import Weights
from tests.bench.engine import fake_worker
from tests.bench.engine.fake_worker import TASKS

BAD = 3001  # the seed that brings trouble, where there is trouble


def carry_out(bundle: Bundle, device: str, weights: Weights) -> list[CellResult]:
    trouble, kept = os.environ.get("FAKE_TROUBLE", ""), []
    for cell in bundle.cells:
        fake_worker._note(f"cell {cell.seed}")
        if cell.seed == BAD:
            if trouble == "sleeps":
                time.sleep(1000)
            if trouble == "raises in company" and len(bundle.stack) > 1:
                raise RuntimeError("a bad neighbour")
            if trouble == "raises":
                raise RuntimeError("a bad cell")
            if trouble == "is killed once" and not (flag := Path(os.environ["FAKE_FLAG"])).exists():
                flag.touch()
                os.kill(os.getpid(), 9)
            if trouble == "is too large" and len(bundle.cells) > 1:
                kept.append(CellResult(cell.id, "oom", "no room to score it"))
                continue
        if not partly([fake_worker.result(cell)]):
            kept.append(fake_worker.result(cell))
    if trouble == "gives twice":
        return [fake_worker.result(cell) for cell in bundle.cells]
    return kept


HANDS_OVER = replace(TASKS, carry_out="tests.bench.engine.partly:carry_out")
