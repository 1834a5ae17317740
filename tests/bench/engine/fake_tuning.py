"""The fake worker with a choice before it: the last candidate, but for families that bring trouble."""

from __future__ import annotations

import dataclasses
import json
import os

from bench.grid.plan import Bundle, Tuning
from bench.store import CellResult, SearchResult
from bench.store.weights import Weights
from tests.bench.engine import fake_worker

TASKS = dataclasses.replace(
    fake_worker.TASKS,
    choose="tests.bench.engine.fake_tuning:choose",
    carry_out="tests.bench.engine.fake_tuning:carry_out",
)
#: none of its candidates can be trained; its process dies; the worker forgets it
FAILS, DIES, SILENT = "laplace", "logistic", "beta"


def choose(tuning: Tuning, device: str) -> list[SearchResult]:
    fake_worker._note(f"choose {json.dumps(sorted({cell.search for cell in tuning.cells}))}")
    if any(cell.family == DIES for cell in tuning.cells):
        os._exit(3)
    found = {}
    for cell in tuning.cells:
        if cell.family == SILENT:
            continue
        last = len(cell.candidates) - 1
        candidates = [
            {
                **{"values": values, "chosen": place == last and cell.family != FAILS, "ended_by": "patience"},
                **{"epochs_run": 10 + place, "reason": "it exploded" if cell.family == FAILS else ""},
                **{"scored_as": cell.scored_as, "bits_per_dim": 2.0 - place / 10, "refined_bits_per_dim": float("nan")},
                **{"behind": (last - place) / 10, "behind_se": 0.01, "history": [(1, -9.0, -8.0), (2, -7.0, -6.0)]},
            }
            for place, values in enumerate(cell.candidates)
        ]
        values = cell.candidates[last] if cell.family != FAILS else None
        reason = "" if values else "none of the 2 candidates could be trained: it exploded"
        found[cell.search] = SearchResult(cell.search, values, {"learning_rate": 0.3}, 2.5, candidates, reason)
    return list(found.values())


def carry_out(bundle: Bundle, device: str, weights: Weights) -> list[CellResult]:
    results = fake_worker.carry_out(bundle, device, weights)
    chosen = {cell.id: bundle.chosen.get(cell.search) for cell in bundle.cells}
    return [
        dataclasses.replace(
            result, values={**result.values, "tuned": json.dumps(known["values"]), "tune_seconds": known["seconds"]}
        )
        if (known := chosen[result.cell])
        else result
        for result in results
    ]
