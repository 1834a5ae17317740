"""What a grid asks for reaches training: no key is read and then forgotten."""

from __future__ import annotations

from dataclasses import fields

import pytest

from bench.engine.worker.from_cell import architecture_of, member_of, schedule_of
from bench.grid.cell import Cell
from bench.grid.settings import keys_of
from vae_core.networks import Architecture
from vae_core.training import Member, Schedule

OTHERWISE = {
    "train_samples": 5,
    "objective": "binned",
    "bound": "iwae",
    "hidden": (7, 6),
    "activation": "relu",
    "latent": 3,
    "epochs": 11,
    "batch_size": 13,
    "learning_rate": 0.25,
    "precision": "bf16",
    "seed": 17,
    "binarisation": "threshold",
}


def reached(cell: Cell) -> dict[str, object]:
    parts = (architecture_of(cell), schedule_of(cell), member_of(cell, 17))
    return {field.name: getattr(part, field.name) for part in parts for field in fields(part)}


@pytest.mark.parametrize("key", [*keys_of("training", "network", "schedule", "seed"), "binarisation"])
def test_every_key_that_training_must_know_reaches_it(key):
    assert key in {field.name for kind in (Architecture, Schedule, Member) for field in fields(kind)}
    if key in OTHERWISE:
        cell = Cell(family="gaussian", view="real").but(**{key: OTHERWISE[key]})
        assert reached(cell)[key] == OTHERWISE[key] != reached(Cell(family="gaussian", view="real"))[key]
