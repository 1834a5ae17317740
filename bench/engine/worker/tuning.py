"""What a worker process does before it trains the cells of tuned configurations: trains the candidates, chooses.

Like bench.engine.worker it executes torch, and nothing of the scheduling process imports it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from bench.engine.worker.from_cell import architecture_of, compared_images, data_of, member_of, schedule_of
from bench.engine.worker.programs import programs_on, steps_on
from bench.grid.cell import Cell
from bench.grid.families import registry
from bench.grid.plan import Tuning
from bench.grid.settings import KEYS, GridError, axis, keys_of
from bench.store import SearchResult
from vae_core.numerics.precision import full_float32
from vae_core.tuning import Candidate, Choice, Search, tune

#: the seed of all candidates; a grid cannot ask for it, so no number of theirs is ever reported as a cell's
SEED = 2**31
#: what changes how tight the bound is, besides how well the model fits
TIGHTNESS = (*keys_of("network"), "train_samples", "kl_weight", "kl_warmup", "free_bits")


@full_float32()  # the choice; training takes what the cells ask for
def choose(tuning: Tuning, device: str) -> list[SearchResult]:
    """Trains the candidates of all configurations together, and chooses one for each."""
    torch.set_flush_denormal(True)
    started = time.perf_counter()
    first = tuning.cells[0]
    data = data_of(first, device)
    searches: dict[str, list[Cell]] = {}
    for cell in tuning.cells:
        searches.setdefault(cell.search, []).append(cell)
    asked = [search_of(cells, data) for cells in searches.values()]
    kind = data.train.device.type
    choices = tune(data, asked, device, seed=SEED, programs=programs_on(kind), compiled=steps_on(kind))
    seconds = (time.perf_counter() - started) / len(choices)
    return [_result(name, choice, seconds) for name, choice in zip(searches, choices, strict=True)]


def search_of(cells: Sequence[Cell], data: Any) -> Search:
    """Of the cells of one configuration."""
    cell = cells[0]
    images, levels = compared_images(cell, data, "valid", len(data.valid))
    return Search(
        candidates=[_candidate(cell, values, data.levels) for values in cell.candidates],
        axes=cell.tune,
        images=images,
        levels=levels,
        scored_as=registry().get(cell.family).scorings,  # all, whichever the grid asks for: one search has one choice
        always_refine=any(key in TIGHTNESS for key in cell.tune),
    )


def _candidate(cell: Cell, values: Mapping[str, Any], levels: int) -> Candidate:
    settled = cell.settled(values)
    member = dataclasses.replace(member_of(settled, levels), seed=SEED)
    return Candidate(values, member, architecture_of(settled), schedule_of(settled))


def _result(search: str, choice: Choice, seconds: float) -> SearchResult:
    candidates = []
    for outcome in choice.outcomes:
        facts = {field.name: getattr(outcome, field.name) for field in dataclasses.fields(outcome)}
        candidates.append({**facts, "reason": outcome.failure})
    values = choice.values
    return SearchResult(
        search=search,
        values=values,
        edges={key: _if_allowed(key, value) for key, value in choice.edges.items()},
        seconds=seconds,
        candidates=candidates,
        reason="" if values is not None else choice.failure,
        epochs=next((outcome.epochs_run for outcome in choice.outcomes if outcome.chosen), 0),
    )


def _if_allowed(key: str, value: Any) -> Any:
    """A value that the grid would take for the key; None for another."""
    assert KEYS[key].tunable
    try:
        axis("", key, [list(value)] if isinstance(value, tuple) else value)
    except GridError:
        return None
    return value
