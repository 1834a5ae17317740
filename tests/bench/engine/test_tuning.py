"""The worker's part of tuning: what candidates are made of, and that a chosen value is trained as a given one is."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.engine.worker import bundle, tuning
from bench.engine.worker.from_cell import compared_images, load_data
from bench.grid.cell import Cell
from bench.grid.plan import bundle_of, plan_tuning
from bench.grid.read import parse_grid
from bench.store.weights import Weights
from vae_core import likelihoods
from vae_core.numerics import tensor_file
from vae_core.tuning import Choice, Outcome, Search

GRID = """
[grid]
hidden = [16]
latent = 3
epochs = 12
patience = 4
tolerance = 0.05
averaging = 0.9
test_images = 40
eval_samples = [1, 30]
{given}
{tune}
[[cells]]
family = ["gaussian", "mse_sum", "bernoulli"]
"""


def cells(given: str = "", tune: str = "[tune]\nlearning_rate = [1e-3, 1e-2]") -> tuple[Cell, ...]:
    return parse_grid(GRID.format(given=given, tune=tune), "my", "my.toml").cells


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> dict[str, Search]:
    """What the candidates of each family are made of."""
    caught: dict[str, Search] = {}

    def tune(
        data: Any, asked: list[Search], device: str, *, seed: int, programs: object, compiled: object
    ) -> list[Choice]:
        assert programs is None  # on a CPU
        assert compiled is None
        for search in asked:
            caught[search.candidates[0].member.likelihood.name] = search
        return [Choice([Outcome(search.candidates[0].values, "patience", 1, [], chosen=True)]) for search in asked]

    monkeypatch.setattr(tuning, "tune", tune)
    for piece in plan_tuning(cells(), "cpu", 1):
        tuning.choose(piece, "cpu")
    return caught


def test_candidates_have_a_seed_that_no_cell_can_have(searches: dict[str, Search]) -> None:
    with pytest.raises(ValueError, match="seed"):
        cells()[0].but(seed=tuning.SEED)
    for search in searches.values():
        assert {candidate.member.seed for candidate in search.candidates} == {tuning.SEED}
        assert [candidate.member.learning_rate for candidate in search.candidates] == [1e-3, 1e-2]
        assert len({dataclasses.replace(c.schedule, learning_rate=1.0) for c in search.candidates}) == 1


def test_they_are_judged_on_all_validation_images_as_test_images_are_scored(searches: dict[str, Search]) -> None:
    data = load_data("digits", None, "cpu")
    assert torch.equal(searches["gaussian"].images, data.valid)
    (binary,) = (cell for cell in cells() if cell.family == "bernoulli")
    drawn, levels = compared_images(binary, data, "valid", len(data.valid))
    assert torch.equal(searches["bernoulli"].images, drawn)
    assert searches["bernoulli"].levels == levels == 2
    assert set(drawn.unique().tolist()) == {0, 1}
    assert tuple(searches["mse_sum"].scored_as) == likelihoods.get("mse_sum").scorings
    assert not searches["gaussian"].always_refine


def test_all_readings_count_whichever_the_grid_scores() -> None:
    """Else one search would have two choices, by the grid that was there first."""
    text = GRID.format(given="", tune="[tune]") + '[[exclude]]\nscored_as = "gaussian_fitted"\n'
    fewer = [cell for cell in parse_grid(text, "my", "my.toml").cells if cell.family == "mse_sum"]
    whole = [cell for cell in cells(tune="[tune]") if cell.family == "mse_sum"]
    assert {cell.search for cell in fewer} == {cell.search for cell in whole}
    data = load_data("digits", None, "cpu")
    assert tuning.search_of(fewer, data).scored_as == tuning.search_of(whole, data).scored_as


def test_what_changes_the_bound_s_tightness_is_refined() -> None:
    for tune, refined in (("latent = [2, 3]", True), ("hidden = [[8], [16]]", True), ("batch_size = [50, 100]", False)):
        text = GRID.replace("hidden = [16]\nlatent = 3\n", "").format(given="", tune=f"[tune]\n{tune}")
        some = [cell for cell in parse_grid(text, "my", "my.toml").cells if cell.family == "gaussian"]
        assert tuning.search_of(some, load_data("digits", None, "cpu")).always_refine == refined


def test_a_choice_is_trained_as_a_given_value_is(tmp_path: Path) -> None:
    """All numbers of a bundle with a choice are those of a bundle whose grid gives the value."""
    by_id = {}
    for given, tune in (("", "[tune]\nlearning_rate = [1e-3, 1e-2]"), ("learning_rate = 1e-2", "")):
        asked = [cell for cell in cells(given, tune) if cell.family != "bernoulli"]
        chosen = {c.search: {"values": {"learning_rate": 1e-2}, "edges": {}, "seconds": 3.0} for c in asked if c.tune}
        asked_bundle = dataclasses.replace(bundle_of(asked), chosen=chosen)
        kept = Weights.of(tmp_path / f"{tune != ''}.sqlite")
        results = bundle.carry_out(asked_bundle, "cpu", kept)
        (file,) = [part for part in kept.folder.iterdir() if "gaussian" in part.name and "mse" not in part.name]
        assert tensor_file.read(file)[1]["tuned"] == ({"learning_rate": 1e-2} if tune else {})
        by_id[tune != ""] = {(r.values["iw_nats"], r.values["epochs_run"]): r for r in results}
    assert by_id[True].keys() == by_id[False].keys()
    for key, tuned in by_id[True].items():
        given_one = by_id[False][key]
        assert json.loads(str(tuned.values["tuned"])) == {"learning_rate": 1e-2}
        assert tuned.values["tune_seconds"] == 3.0
        assert given_one.values["tuned"] == ""
        apart = {"tuned", "tune_seconds", "train_seconds", "eval_seconds", "peak_memory_bytes"}
        apart |= {"bundle_train_images_per_s", "weights"}
        for name in set(tuned.values) - apart:
            one, other = tuned.values[name], given_one.values[name]
            assert one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(float(str(other)))), name


@pytest.mark.slow
def test_a_real_choice_end_to_end() -> None:
    (piece,) = [p for p in plan_tuning(cells(), "cpu", 1) if p.cells[0].family != "bernoulli"][:1]
    found = {result.search: result for result in tuning.choose(piece, "cpu")}
    assert set(found) == {cell.search for cell in piece.cells}
    for result in found.values():
        assert result.values in ({"learning_rate": 1e-3}, {"learning_rate": 1e-2})
        assert sum(bool(candidate["chosen"]) for candidate in result.candidates) == 1
        assert result.seconds > 0
    again = {result.search: result for result in tuning.choose(piece, "cpu")}
    assert {name: r.values for name, r in again.items()} == {name: r.values for name, r in found.items()}


def test_no_value_is_advised_that_a_grid_would_refuse() -> None:
    outcome = Outcome({"averaging": 0.9}, "patience", 3, [], chosen=True)
    choice = Choice([outcome], {"averaging": 1.6, "learning_rate": 0.09, "hidden": (800,)})
    result = tuning._result("a-search", choice, 1.0)
    assert result.edges == {"averaging": None, "learning_rate": 0.09, "hidden": (800,)}
