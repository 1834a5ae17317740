"""Runs that are predicted in tests, with all of a small grid to do; imports no torch."""

from __future__ import annotations

from typing import Any

from bench.engine.process.beside.foretold import Left
from bench.grid.plan import plan, plan_tuning
from bench.grid.read import Grid, parse_grid

TEXT = """
[grid]
dataset = "digits"
family = ["bernoulli", "gaussian"]
sigma = 0.2
seed = [0, 1]
hidden = [8]
latent = 2
epochs = 40
patience = 5
eval_samples = [1, 10]
test_images = 10
"""
GRID = parse_grid(TEXT, "small", "small.toml")
TUNED = parse_grid(f"{TEXT}[tune]\nlearning_rate = [1e-3, 1e-2]\n", "tuned", "tuned.toml")
FACTS = {"shape": (8, 8), "levels": 17, "train": 1197, "valid": 300, "test": 300}


def left_of(grid: Grid, device: str = "cuda", name: str = "NVIDIA H100 80GB HBM3", **but: Any) -> Left:
    """All of it, as a run plans it with one worker."""
    ready = [cell for cell in grid.cells if not cell.search]
    timed = frozenset(cell.settled().kind for cell in grid.cells)
    fields: dict[str, Any] = {
        **{"cells": grid.cells, "wanted": frozenset(cell.id for cell in grid.cells), "timed": timed},
        **{"tunings": plan_tuning(grid.cells, device, 1), "bundles": plan(ready, device, 1) if ready else ()},
        **{"references": (), "data": {"digits": FACTS}, "device": device, "name": name, "workers": 1, "plugged": False},
    }
    return Left(**(fields | but))
