"""The command of a drawer, read as the command line reads it, asks for the cells that the run has."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.grid.cell import Cell
from bench.grid.read import Grid, find_grid, load_grid, parse_grid, shipped_grids
from bench.report.tables.drawers.command import Source, grid_text


def source(grid: Grid, plugins: Mapping[str, str] | None = None) -> Source:
    """What a run of a grid knows of how it was asked."""
    specs: dict[str, list[dict[str, Any]]] = {}
    for cell in grid.cells:
        specs.setdefault(cell.config, []).append(cell.spec)
    own = {config: tuple(found) for config, found in specs.items()}
    return Source(grid.name, grid.text, grid.overrides, plugins or {}, own)


def carried_out(command: str, specification: str, text: str, folder: Path) -> Grid:
    """The grid that a command asks for, read as the command line reads it."""
    words = shlex.split(command)
    assert words[:2] == ["vae-bench", "run"]
    options = list(zip(words[3::2], words[4::2], strict=True))
    assert {name for name, _ in options} <= {"--set", "--out"}
    path = folder / words[2]
    if words[2].endswith(".toml"):  # what the page says the file holds
        path.write_text(specification if len(options) == 1 else text)
    else:
        path = find_grid(words[2])
    return load_grid(path, [value for name, value in options if name == "--set"])


def wanted(grid: Grid, config: str) -> set[str]:
    return {cell.id for cell in grid.cells if cell.config == config}


def models(cells: Iterable[Cell]) -> set[str]:
    return {cell.training_key for cell in cells}


@pytest.mark.parametrize("name", sorted(shipped_grids()))
def test_every_configuration_of_a_shipped_grid_has_a_command_that_is_accepted_and_asks_for_it_alone(
    name: str, tmp_path: Path
) -> None:
    grid = load_grid(find_grid(name))
    asked = source(grid)
    for config in asked.specs:
        again = asked.again(config, {})
        assert again is not None
        found = carried_out(again.command, again.specification, grid.text, tmp_path)
        assert wanted(grid, config) == {cell.id for cell in found.cells if cell.config == config}
        assert models(found.cells) == models(cell for cell in grid.cells if cell.config == config)


GRIDS = {
    "options, numbers and modes of σ": 'family = ["gaussian", "student_t"]\nsigma = [0.1, 1e-5, "pixel"]\n'
    'df = [3, 4.5]\nends = "renormalised"',
    "objectives and bounds": 'family = ["gaussian", "logistic"]\nobjective = ["dequantised", "binned"]\n'
    'bound = ["elbo", "iwae"]\ntrain_samples = [1, 5]',
    "networks": 'family = "beta"\nhidden = [[64], [64, 32]]\nlatent = [2, 3]\nactivation = ["tanh", "relu"]',
    "a path with a quote": 'family = "categorical"\ndataset = "it\'s a \\"path\\".npy"\nlevels = 4',
    "a schedule": 'family = "bernoulli"\nepochs = 40\npatience = 5\ntolerance = 0.01\nbinarisation = "threshold"',
    "readings": 'family = ["mse_sum", "bce_mean"]\nseed = [3, 5]',
}


@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize("text", GRIDS.values(), ids=GRIDS)
def test_commands_of_a_grid_of_ones_own_are_accepted_whatever_it_varies(text: str, tuned: bool, tmp_path: Path) -> None:
    table = "\n[tune]\nlearning_rate = [0.001, 0.01]\nbatch_size = [50, 100]\n" if tuned else ""
    whole = f"[grid]\n{text}\n{table}"
    grid = parse_grid(whole, "own", "own.toml", ["eval_samples=[1, 10]"])
    asked = source(grid)
    for config in asked.specs:
        again = asked.again(config, {"learning_rate": 0.01, "batch_size": 50} if tuned else {})
        assert again is not None
        found = carried_out(again.command, again.specification, whole, tmp_path)
        assert wanted(grid, config) == {cell.id for cell in found.cells if cell.config == config}
        read = parse_grid(again.specification, "own", "own.toml")
        assert wanted(grid, config) == {cell.id for cell in read.cells if cell.config == config}
        assert ("# chosen: 0.01" in again.specification) == tuned


def test_a_command_says_no_more_than_it_must() -> None:
    grid = load_grid(find_grid("digits"))
    config = next(cell.config for cell in grid.cells if cell.sigma == "pixel" and cell.objective == "binned")
    again = source(grid).again(config, {})
    assert again is not None
    assert shlex.split(again.command)[:4] == ["vae-bench", "run", "digits", "--set"]
    assert again.command.count("--set") == 3  # family, σ, objective
    assert f"--out results/{config}.sqlite" in again.command  # the run's own file has these cells already


def test_what_was_set_on_the_command_line_is_set_again(tmp_path: Path) -> None:
    grid = load_grid(find_grid("digits"), ["epochs=20", "seed=[0, 1]"])
    asked = source(grid)
    for config in asked.specs:
        again = asked.again(config, {})
        assert again is not None
        found = carried_out(again.command, again.specification, grid.text, tmp_path)
        assert {cell.epochs for cell in found.cells} == {20}
        assert wanted(grid, config) <= {cell.id for cell in found.cells}


def test_a_command_that_would_make_other_cells_is_not_shown() -> None:
    grid = load_grid(find_grid("digits"))
    asked = source(grid)
    config = next(iter(asked.specs))
    broken = dataclasses.replace(
        asked, specs={config: tuple({**spec, "family": "of_tomorrow"} for spec in asked.specs[config])}
    )
    again = broken.again(config, {})
    assert again is not None
    assert again.command == ""
    assert 'family = "of_tomorrow"' in again.specification


def test_the_family_of_a_plug_in_is_asked_for_with_its_file() -> None:
    asked = source(load_grid(find_grid("digits")), plugins={"mine": "my file.py"})
    config = next(iter(asked.specs))
    mine = dataclasses.replace(asked, specs={config: tuple({**spec, "family": "mine"} for spec in asked.specs[config])})
    again = mine.again(config, {})
    assert again is not None
    assert "--plugin 'my file.py'" in again.command
    assert again.file == f"{config}.toml"


def test_the_specification_has_every_key_that_the_cell_has() -> None:
    cell = load_grid(find_grid("digits")).cells[0]
    text = grid_text([cell], {})
    for name, value in cell.spec.items():
        if name in ("widths", "depth", "kernel", "normalisation"):
            assert f"\n{name} = " not in text, "which a perceptron does not look at, so that a grid may not give it"
        elif value is not None and name not in ("options", "scored_as", "view", "tune", *cell.tune):
            assert f"\n{name} = {json.dumps(value)}" in text
    assert all(f"\n{name} = " in text for name in (*cell.options, *cell.tune))


def test_what_is_made_of_the_images_is_asked_for_again() -> None:
    text = "family='gaussian'\ndataset='patches'\npatch_size=8\ncrop='6x4'\nresize=3\n"
    cells = parse_grid(f"[grid]\n{text}grey=true\nquantise=16\nseed=[0, 1]\n", "mine", "mine.toml").cells
    asked = grid_text(cells, {})
    for line in ('crop = "6x4"', 'resize = "3x3"', "grey = true", "patch_size = 8"):
        assert f"\n{line}\n" in asked
    assert [cell.id for cell in parse_grid(asked, "again", "again.toml").cells] == [cell.id for cell in cells]
