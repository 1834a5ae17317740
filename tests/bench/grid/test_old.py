"""Grids of before, when `objective` also said which bound is trained: the same cells, and a sentence a place."""

from __future__ import annotations

import re

import pytest

from bench.grid.cell import Cell
from bench.grid.read import Grid, GridError, describe, parse_grid

FAMILIES = "family = ['gaussian', 'categorical', 'mse_sum']\ntrain_samples = 5\n"


def read(text: str, *overrides: str) -> Grid:
    return parse_grid(text, "my", "my.toml", overrides)


def labelled(grid: Grid) -> list[str]:
    return [item.label for item in describe(grid.cells).values()]


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("objective = 'elbo'", "bound = 'elbo'"),
        ("objective = 'iwae'", "bound = 'iwae'"),
        ("objective = ['elbo', 'iwae']", "bound = ['elbo', 'iwae']"),
        ("objective = ['elbo', 'binned']", "objective = ['dequantised', 'binned']"),
        (
            "objective = ['elbo', 'iwae', 'binned']",
            "objective = ['dequantised', 'binned']\nbound = ['elbo', 'iwae']\n"
            "[[exclude]]\nobjective = 'binned'\nbound = 'iwae'",
        ),
    ],
)
def test_a_grid_of_before_has_the_cells_of_what_it_is_told_to_be(before, now):
    old, new = read(f"[grid]\n{FAMILIES}{before}\n"), read(f"[grid]\n{FAMILIES}{now}\n")
    assert old.cells == new.cells
    assert new.notes == ()
    (note,) = old.notes
    assert note.startswith("my.toml, [grid]: objective = ")
    written = note.replace('"', "'")
    assert all(line in written for line in now.splitlines() if not line.startswith("["))
    assert note.endswith('; objective says on what is trained ("dequantised" or "binned").')


def test_a_list_that_is_no_product_gives_what_it_meant():
    text = "[[cells]]\nfamily = 'laplace'\n[[cells]]\nfamily = ['gaussian', 'categorical']\nobjective = {}\n"
    grid = read(text.format("['iwae', 'binned']"))
    assert labelled(grid)[1:] == ["gaussian σ=shared iwae", "gaussian σ=shared binned", "categorical iwae"]
    (note,) = grid.notes
    assert note.startswith('my.toml, [[cells]] 2: objective = ["iwae", "binned"] is written as two [[cells]] now, ')
    alias = read("[grid]\nfamily = ['logistic', 'discretised_logistic']\nobjective = ['elbo', 'iwae', 'binned']\n")
    assert labelled(alias) == ["logistic σ=shared", "logistic σ=shared iwae", "logistic σ=shared binned"]


def test_a_layer_of_before_replaces_what_is_below_it():
    """As it did; and what it is told to be does the same."""
    before = (
        f"[grid]\n{FAMILIES}objective = 'iwae'\n[[cells]]\n[[cells]]\nfamily = 'laplace'\nobjective = 'binned'\n"
        "[[cells]]\nfamily = 'logistic'\nobjective = ['elbo', 'binned']\n"
    )
    grid = read(before)
    now = (
        before.replace("objective = 'iwae'", "bound = 'iwae'")
        .replace("objective = 'binned'", "objective = 'binned'\nbound = 'elbo'")
        .replace("objective = ['elbo', 'binned']", "objective = ['dequantised', 'binned']\nbound = 'elbo'")
    )
    assert grid.cells == read(now).cells
    assert [re.sub(r".*? is written (.*) now;.*", r"\1", note) for note in grid.notes] == [
        'bound = "iwae"',
        'objective = "binned", bound = "elbo"',
        'objective = ["dequantised", "binned"], bound = "elbo"',
    ]
    given = read(before, "objective=elbo")
    assert {(cell.objective == "binned", cell.bound) for cell in given.cells} == {(False, "elbo")}
    assert given.notes[-1].startswith(
        '--set: objective = "elbo" is written objective = "dequantised", bound = "elbo" now'
    )
    new = f"[grid]\n{FAMILIES}objective = ['dequantised', 'binned']\n"
    assert read(new, "objective=iwae").cells == read(new, "objective=dequantised", "bound=iwae").cells


def test_a_bound_given_above_replaces_that_of_before():
    grid = read(f"[grid]\n{FAMILIES}objective = ['elbo', 'binned']\n", "bound=iwae")
    assert {cell.bound for cell in grid.cells} == {"iwae"}
    assert "gaussian σ=shared binned iwae L=5" in labelled(grid)


def test_an_exclusion_of_before_drops_what_it_dropped():
    text = f"[grid]\n{FAMILIES}train_samples = [1, 5]\nobjective = ['elbo', 'iwae', 'binned']\n".replace(
        "train_samples = 5\n", ""
    )
    everything = read(text).cells
    for word, dropped in (
        ("'iwae'", {"iwae"}),
        ("'elbo'", {"elbo"}),
        ("'binned'", {"binned"}),
        ("['iwae', 'binned']", {"iwae", "binned"}),
    ):
        grid = read(f"{text}[[exclude]]\nobjective = {word}\ntrain_samples = 1\n")
        kept = [c for c in everything if c.train_samples == 5 or word_of(c) not in dropped]
        assert list(grid.cells) == kept
        notes = [note for note in grid.notes if "[[exclude]] 1" in note]
        assert len(notes) == (word != "'binned'")


def word_of(cell: Cell) -> str:
    return "binned" if cell.objective == "binned" else cell.bound


@pytest.mark.parametrize("place", ["[grid]", "[[cells]]", "[grid]\nfamily = 'laplace'\n[[exclude]]"])
def test_both_ways_at_once_are_refused(place):
    with pytest.raises(GridError, match=r'^my.toml, .*: objective = "elbo" says which bound .* or leave it out\.$'):
        read(f"{place}\nfamily = 'gaussian'\nobjective = 'elbo'\nbound = 'iwae'\n")


def test_words_of_before_and_of_today_are_not_mixed():
    with pytest.raises(GridError, match=r'objective = "iwae", but objective takes one of dequantised, binned, own'):
        read(f"[grid]\n{FAMILIES}objective = ['dequantised', 'iwae']\n")


def test_a_spec_of_before_is_the_cell_of_today():
    for cell in read(f"[grid]\n{FAMILIES}objective = ['elbo', 'iwae', 'binned']\n").cells:
        assert Cell.of_spec(cell.spec) == cell
        before = {key: value for key, value in cell.spec.items() if key != "bound"} | {"objective": word_of(cell)}
        assert Cell.of_spec(before) == cell
