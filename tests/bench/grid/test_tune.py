"""The [tune] table: what is chosen and not compared, how cells carry it, and the sentence for what cannot be."""

from __future__ import annotations

import itertools

import pytest

from bench.grid.cell import Cell
from bench.grid.families import registry
from bench.grid.plan import MODELS_AT_LEAST, MODELS_AT_MOST, halves_of_tuning, plan, plan_tuning
from bench.grid.read import GridError, parse_grid
from bench.grid.settings import KEYS
from bench.grid.tune import LEARNING_RATES

GRID = """
[grid]
epochs = 600
patience = 50
seed = [0, 1]
{grid}
[tune]
{tune}
[[cells]]
family = ["gaussian", "categorical", "mse_sum"]
{cells}
"""


def read(*overrides: str, grid: str = "", tune: str = "", cells: str = "") -> tuple[Cell, ...]:
    return parse_grid(GRID.format(grid=grid, tune=tune, cells=cells), "my", "my.toml", overrides).cells


def refusal(*overrides: str, **parts: str) -> str:
    with pytest.raises(GridError) as error:
        read(*overrides, **parts)
    return str(error.value)


def test_an_empty_table_tunes_the_learning_rate() -> None:
    for cell in read():
        assert dict(cell.tune) == {"learning_rate": LEARNING_RATES}
        assert cell.candidates == [{"learning_rate": rate} for rate in LEARNING_RATES]


def test_without_a_table_nothing_is_tuned() -> None:
    (cell,) = parse_grid('[grid]\nfamily = "gaussian"', "my", "my.toml").cells
    assert (cell.tune, cell.candidates, cell.search) == ({}, [{}], "")
    assert cell.settled() is cell


def test_candidates_are_every_combination_and_numbers_in_order() -> None:
    cell = read(tune="learning_rate = [1e-2, 1e-3]\nhidden = [[200], [100, 50]]")[0]
    assert cell.candidates == [
        {"learning_rate": rate, "hidden": hidden}
        for rate, hidden in itertools.product((1e-3, 1e-2), ((200,), (100, 50)))
    ]


def test_a_settled_cell_is_that_of_a_grid_that_gives_the_values() -> None:
    tuned = read(tune="learning_rate = [1e-2, 1e-3]\nhidden = [[200], [100]]")
    given = parse_grid(
        GRID.replace("[tune]", "").format(grid="learning_rate = 1e-2\nhidden = [100]", tune="", cells=""), "", ""
    ).cells
    assert [c.settled({"learning_rate": 1e-2, "hidden": [100]}) for c in tuned] == list(given)
    assert {c.settled().kind for c in tuned} == {c.kind for c in tuned}


def test_names_hold_the_table_and_not_the_choice() -> None:
    cells, others = read(), read(tune="learning_rate = [1e-3, 1e-2]")
    assert not {cell.id for cell in cells} & {cell.id for cell in others}
    assert not {cell.config for cell in cells} & {cell.config for cell in others}
    assert {cell.id for cell in others} == {cell.id for cell in read(tune="learning_rate = [1e-2, 1e-3]")}
    assert Cell.of_spec(cells[0].spec).id == cells[0].id


def test_a_search_is_of_a_configuration_and_of_all_its_scorings() -> None:
    cells = read()
    by_search = {name: [c for c in cells if c.search == name] for name in {cell.search for cell in cells}}
    assert len(by_search) == 3
    for group in by_search.values():
        assert len({cell.family for cell in group}) == 1
        assert {cell.seed for cell in group} == {0, 1}
    assert {c.scored_as for c in cells if c.family == "mse_sum"} == set(registry().get("mse_sum").scorings)


def test_set_replaces_candidates_and_gives_a_fixed_value_instead() -> None:
    assert dict(read("tune.learning_rate=[1e-4, 1e-3]")[0].tune) == {"learning_rate": (1e-4, 1e-3)}
    assert list(read("tune.latent=[2, 4]")[0].tune) == ["learning_rate", "latent"]
    fixed = read("learning_rate=1e-2")[0]
    assert (fixed.tune, fixed.learning_rate) == ({}, 1e-2)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"tune": "learning_rate = []"}, "[tune]: learning_rate has no candidates; list two or more values"),
        ({"tune": "learning_rate = [1e-3]"}, "[tune]: learning_rate has one candidate, 0.001, and so no choice"),
        ({"tune": "hidden = [200, 400]"}, "list two or more, such as [[200], [400]], or give it under [grid]"),
        ({"cells": "learning_rate = [1e-3, 1e-2]"}, "[[cells]] 1: learning_rate is given here and tuned in [tune]"),
        ({"grid": "latent = 5", "tune": "latent = [5, 10]"}, "[grid]: latent is given here and tuned in [tune]"),
        ({"tune": "sigma = [0.1, 0.2]"}, "sigma changes the likelihood, which is what a grid compares"),
        ({"tune": 'family = ["beta", "gaussian"]'}, "family changes the likelihood"),
        ({"tune": "components = [5, 10]"}, "components changes the likelihood"),
        ({"tune": "epochs = [10, 20]"}, "epochs says when a training ends, alike for all candidates"),
        ({"tune": "patience = [10, 20]"}, "patience says when a training ends"),
        (
            {"tune": "seed = [0, 1]"},
            "seed cannot be tuned (what can: train_samples, kl_weight, kl_warmup, free_bits, network",
        ),
        ({"tune": "lerning_rate = [0.1, 0.2]"}, "unknown key 'lerning_rate' (did you mean 'learning_rate'?"),
        ({"tune": "learning_rate = [1e-3, 0]"}, "learning_rate = 0, but learning_rate takes a number > 0"),
        ({"tune": "learning_rate = [1e-3, 1e-3]"}, "lists 0.001 twice"),
        ({"tune": "hidden = [[200], [0]]"}, "hidden = [0], but hidden takes a list of layer widths >= 1"),
        ({"tune": 'activation = ["tanh", "tangh"]'}, "did you mean 'tanh'?"),
        ({"cells": "[[exclude]]\nlearning_rate = 1e-3"}, "[[exclude]] 1: learning_rate is given here and tuned in"),
    ],
)
def test_what_cannot_be_tuned_gets_one_sentence(parts: dict[str, str], said: str) -> None:
    message = refusal(**parts)
    assert said in message
    assert message.startswith("my.toml, [")
    assert "\n" not in message


def test_the_advice_on_set_works_as_it_is_written() -> None:
    assert "or give it as --set learning_rate=VALUE." in refusal("tune.learning_rate=1e-3")
    assert read("learning_rate=1e-3")[0].learning_rate == 1e-3
    assert "give it as --set epochs=VALUE." in refusal("tune.epochs=[60, 70]")
    assert read("epochs=70")[0].epochs == 70


def test_set_that_contradicts_itself_is_refused() -> None:
    assert "--set: latent is given here and tuned in another --set" in refusal("latent=3", "tune.latent=[2, 3]")
    assert "my.toml: write [tune] as a table" in str(_of_text('tune = 3\n[[cells]]\nfamily = "beta"'))


def _of_text(text: str) -> GridError:
    with pytest.raises(GridError) as error:
        parse_grid(text, "my", "my.toml")
    return error.value


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_pieces_of_tuning_are_a_partition_that_fits(device: str, workers: int) -> None:
    cells = read(
        tune="learning_rate = [1e-3, 1e-2, 1e-1]\nlatent = [2, 5]",
        cells='[[cells]]\nfamily = ["laplace", "logistic", "beta"]\nsigma = [0.1, 0.2, 0.3, "shared", "pixel"]',
    )
    pieces = plan_tuning(cells, device, workers)
    assert sorted(cell.id for piece in pieces for cell in piece.cells) == sorted(cell.id for cell in cells)
    for piece in pieces:
        searches = {cell.search for cell in piece.cells}
        assert len(searches) * 6 <= MODELS_AT_MOST[device]
        for key, declared in KEYS.items():
            assert not declared.bundled or len({getattr(cell.settled(), key) for cell in piece.cells}) == 1
    where = {cell.search: piece.id for piece in pieces for cell in piece.cells}
    assert all(where[cell.search] == piece.id for piece in pieces for cell in piece.cells)
    assert plan_tuning(cells, device, workers) == pieces
    if workers > 1:
        small = plan_tuning(cells, device, 50)
        assert all(len({cell.search for cell in piece.cells}) * 6 >= MODELS_AT_LEAST for piece in small)


def test_halves_of_tuning_part_the_configurations() -> None:
    (piece, *_) = plan_tuning(read(cells='sigma = [0.1, 0.2, "shared"]'), "cpu", 1)
    halves = halves_of_tuning(piece)
    if len({cell.search for cell in piece.cells}) == 1:
        assert halves == (piece,)
    else:
        assert [cell for half in halves for cell in half.cells] == list(piece.cells)
        assert not {c.search for c in halves[0].cells} & {c.search for c in halves[1].cells}
    assert halves_of_tuning(halves[0])[0].cells


def test_bundles_follow_what_was_chosen() -> None:
    cells = read(tune="latent = [2, 5]")
    chosen = {name: {"latent": (2, 5)[n % 2]} for n, name in enumerate(dict.fromkeys(c.search for c in cells))}
    bundles = plan(cells, "cpu", 1, lambda cell: cell.settled(chosen[cell.search]))
    for bundle in bundles:
        assert len({chosen[cell.search]["latent"] for cell in bundle.cells}) == 1
    assert sorted(cell.id for bundle in bundles for cell in bundle.cells) == sorted(cell.id for cell in cells)
