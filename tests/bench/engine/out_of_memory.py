"""Workers that run out of memory where a test wants it; without torch, which would be waited for in each of them."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from bench.grid.plan import Bundle
from bench.grid.references import ReferenceSpec
from bench.store import CellResult
from bench.store.weights import Weights
from tests.bench.engine import fake_worker
from tests.bench.engine.fake_worker import TASKS

HERE = "tests.bench.engine.out_of_memory"
SAID = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.15 GiB of which 1.00 GiB is free."
    " Including non-PyTorch memory, this process has 78.10 GiB memory in use. Of the allocated memory 70.00 GiB is "
    "allocated by PyTorch. If reserved but unallocated memory is large try setting "
    "PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
)
LARGE, LARGER = 2001, 2002  # seeds: its score fits where it is alone; it fits nowhere


class OutOfMemoryError(RuntimeError):
    """As torch's is called, of which it is one."""


def trains(bundle: Bundle, device: str, weights: Weights) -> list[CellResult]:
    """No more than FAKE_FIT models fit into memory at once."""
    fake_worker._note(f"{len(bundle.cells)} models")
    if len(bundle.cells) > int(os.environ["FAKE_FIT"]):
        raise OutOfMemoryError(SAID)
    return [fake_worker.result(cell) for cell in bundle.cells]


def scores(bundle: Bundle, device: str, weights: Weights) -> list[CellResult]:
    """Models whose scores do not fit, the others' do."""
    fake_worker._note(f"{sorted(cell.seed for cell in bundle.cells)}")
    rows = [fake_worker.result(cell) for cell in bundle.cells]
    gone = {cell.id for cell in bundle.cells if cell.seed == LARGER or (cell.seed == LARGE and len(rows) > 1)}
    return [CellResult(row.cell, "oom", "no room to score it") if row.cell in gone else row for row in rows]


def refers(spec: ReferenceSpec) -> Any:
    if spec.reference == "png":
        raise MemoryError("40 GB wanted")
    return fake_worker.refer(spec)


TRAINS = replace(TASKS, carry_out=f"{HERE}:trains", refer=f"{HERE}:refers")
SCORES = replace(TASKS, carry_out=f"{HERE}:scores")
