"""In the shipped grids every density on dequantised data has its twin on bins, wherever it has a form on them."""

from __future__ import annotations

import pytest

from bench.grid.families import make
from bench.grid.read import load_grid, shipped_grids


@pytest.mark.parametrize("name", shipped_grids())
def test_every_density_has_its_binned_twin(name: str) -> None:
    path = shipped_grids()[name]
    cells = load_grid(path).cells
    there = {cell.id for cell in cells}
    alone = [cell for cell in cells if cell.objective == "dequantised" and cell.but(objective="binned").id not in there]
    for cell in alone:
        dear = (
            cell.options.get("channels") == "coupled"
        )  # whose masses are integrals over cubes, several times the work
        assert dear or make(cell.family, cell.options).refusal("binned"), f"{cell.id} could have a twin"
    if alone:
        assert "without a twin" in path.read_text("utf-8"), "the grid says why"


def test_there_are_grids_with_twins_and_one_that_says_why_it_lacks_some() -> None:
    texts = {name: path.read_text("utf-8") for name, path in shipped_grids().items()}
    assert sum('["dequantised", "binned"]' in text for text in texts.values()) >= 10
    assert sum("without a twin" in text for text in texts.values()) >= 3
