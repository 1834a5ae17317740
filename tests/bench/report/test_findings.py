"""The findings of a board: each is made where the numbers give cause for it, and says them."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from bench.report import ranking, ranking_text
from bench.report.figures import samples
from bench.report.text.verdict import sentences
from bench.statistics.boards import boards
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.planted import of, planted
from tests.bench.report.runs import DIMS, LN2, doubted, few, findings, moved, said


@pytest.mark.parametrize(
    ("nats", "expected"),
    [
        (0.0, "trained with its normalising constant it is better than without, by "),
        (400.0, "trained with its normalising constant it is worse than without, by "),
    ],
)
def test_the_twin_wins_or_loses_as_the_numbers_say(nats: float, expected: str) -> None:
    spoken = said(moved(few(), lambda cells: ~cells["family"].str.startswith("bce_"), -nats))
    twin = findings(spoken)["Unnormalised twin"]
    assert twin.count(expected) == 1
    assert twin.count("Leaving the constant out costs bce_sum") == (1 if nats == 0 else 0)
    assert ("That can be" in twin) == (nats > 0)
    assert "−" not in twin, "whoever wins, wins by a positive amount"


def as_another(tables: RunTables, one: str, other: str) -> RunTables:
    """The test images' scores of a family made those of another, seed by seed."""
    images = tables.per_image.copy()
    cells = tables.cells.sort_values("seed")
    pairs = zip(*(cells.loc[cells["family"] == name, "cell"] for name in (one, other)), strict=True)
    for a, b in pairs:
        images.loc[images["cell"] == b, "iw_nats"] = images.loc[images["cell"] == a, "iw_nats"].to_numpy()
    return dataclasses.replace(tables, per_image=images)


def test_the_twin_that_cannot_be_told_apart() -> None:
    tables = fake_run.only(few(), lambda cells: cells["family"] != "bce_mean")
    text = findings(said(as_another(tables, "continuous_bernoulli", "bce_sum")))["Unnormalised twin"]
    assert "cannot be told apart" in text
    assert "costs" not in text


def test_only_what_reads_raw_outputs_alike_is_a_twin() -> None:
    """Squared error gives a mean and a continuous Bernoulli logits: its twin is the Gaussian of one σ."""

    def twins_of(reading: str, *others: fake_run.Setting) -> str:
        own = fake_run.Setting("mse_sum", 2.6, scored_as=reading, view="grey")
        return findings(said(planted([*others, own]))).get("Unnormalised twin", "")

    proper = [of("continuous_bernoulli", 2.0), of("gaussian", 2.3, "shared"), of("gaussian", 2.1, "pixel")]
    assert twins_of("continuous_bernoulli", *proper) == ""
    assert twins_of("binomial", *proper) == ""
    said_of = twins_of("gaussian_binned", *proper)
    assert said_of.startswith("gaussian σ=shared and mse_sum, read as the same distribution, differ in the training")
    assert re.search(r"better than without, by 0\.(29|30)\d bits/dim", said_of)


@pytest.mark.parametrize(
    ("recipe", "reading", "options"),
    [
        ("bce_mean", "continuous_bernoulli", {}),
        ("mse_mean", "gaussian_binned", {}),
        ("beta_mse", "gaussian_fitted", {"beta": 0.1}),
        ("bce_sum", "binomial", {}),
    ],
)
def test_a_loss_that_weighs_the_kl_otherwise_has_no_twin(recipe: str, reading: str, options: dict[str, float]) -> None:
    """The mean's KL is D times as heavy, β's β times, and the binomial's 1/(K−1) times, whose constant has no
    parameter: what such a recipe costs is not the price of a constant."""
    proper = [of("continuous_bernoulli", 2.0), of("gaussian", 2.3, "shared"), of("categorical", 2.1)]
    proper.append(fake_run.Setting("binomial", 2.2, view="levels"))
    own = fake_run.Setting(recipe, 2.9, scored_as=reading, view="grey", options=options)
    tables = planted([*proper, own])
    tables = dataclasses.replace(tables, cells=tables.cells.assign(recipe=tables.cells["family"].eq(recipe)))
    spoken = findings(said(tables))
    assert "Folk recipes" in spoken
    assert "Unnormalised twin" not in spoken


def test_the_loss_of_a_recipe_that_the_catalogue_does_not_know_is_not_guessed() -> None:
    own = fake_run.Setting("bce_sum", 2.6, scored_as="continuous_bernoulli", view="grey")
    tables = planted([of("continuous_bernoulli", 2.0), own])
    assert "Unnormalised twin" in findings(said(tables))
    cells = tables.cells.assign(family=tables.cells["family"].replace("bce_sum", "my_bce"))
    assert "Unnormalised twin" not in findings(said(dataclasses.replace(tables, cells=cells)))


#: bits/dim by which bce_sum, read in its favour, is planted to be behind continuous_bernoulli; what is concluded
FAVOURED = {
    0.1: ("is still behind continuous_bernoulli, by 0.100 bits/dim", "costs bce_sum 0.100 bits/dim"),
    0.4: ("is still behind continuous_bernoulli, by 0.400 bits/dim", "costs bce_sum 0.250 bits/dim"),
    0.0: ("cannot be told apart from continuous_bernoulli", "costs bce_sum nothing that another reading does not"),
    -0.3: (
        "is ahead of continuous_bernoulli, by 0.300 bits/dim",
        "costs bce_sum nothing that another reading does not",
    ),
}


@pytest.mark.parametrize("behind", FAVOURED)
def test_what_the_constant_costs_is_said_of_the_recipe_in_its_favour(behind: float) -> None:
    """continuous_bernoulli, the same weights' reading as it (planted 0.25 bits/dim behind), and the chosen reading: the
    price is that of the reading that costs less, and none where another makes up for it."""
    favoured, concluded = FAVOURED[behind]
    others = [setting for setting in fake_run.few() if not setting.family.startswith(("bce_", "mse_"))]
    readings = ("continuous_bernoulli", "laplace_binned", "gaussian_fitted")
    own = [fake_run.Setting("bce_sum", 3.0, scored_as=reading, view="grey") for reading in readings]
    tables = fake_run.tables([*others, *own], failures=False, images=60, pictures=False)
    cells, images = tables.cells, tables.per_image.set_index(["cell", "image"])["iw_nats"].copy()
    cells["reading_bits_per_dim"] = cells["scored_as"].map({readings[0]: 3.0, readings[1]: 2.4, readings[2]: 2.5})
    proper = cells[cells["family"] == "continuous_bernoulli"].set_index("seed")["cell"]
    jitter = np.random.default_rng(0).normal(0, 1.0, 60)
    jitter -= jitter.mean()
    for _, cell in cells[cells["family"] == "bce_sum"].iterrows():
        planted = {readings[0]: 0.25, readings[1]: behind}.get(cell["scored_as"], 0.0)
        images[cell["cell"]] = images[proper[cell["seed"]]].to_numpy() + jitter - planted * DIMS * LN2
    spoken = said(dataclasses.replace(tables, per_image=images.reset_index()))
    text = findings(spoken)["Unnormalised twin"]
    assert "continuous_bernoulli and bce_sum, read as the same distribution, differ in the training alone" in text
    assert "it is better than without, by 0.250 bits/dim" in text
    assert f"Read in its favour, as laplace binned, bce_sum {favoured}" in text
    assert f"Leaving the constant out {concluded}" in text
    assert "gaussian fitted" not in text, "a reading that is neither"
    assert "read in its favour" in findings(spoken)["Folk recipes"]


def test_nothing_is_concluded_where_the_reading_in_its_favour_cannot_be_trusted() -> None:
    readings = {"continuous_bernoulli": 3.0, "laplace_binned": 2.4}
    others = [setting for setting in fake_run.few() if not setting.family.startswith("bce_")]
    own = [fake_run.Setting("bce_sum", score, scored_as=name, view="grey") for name, score in readings.items()]
    tables = fake_run.tables([*others, *own], failures=False, images=60, pictures=False)
    cells = tables.cells.assign(reading_bits_per_dim=tables.cells["scored_as"].map(readings))
    tables = doubted(dataclasses.replace(tables, cells=cells), lambda table: table["scored_as"] == "laplace_binned")
    text = findings(said(tables))["Unnormalised twin"]
    assert "differ in the training alone" in text
    assert "costs" not in text
    assert "in its favour" not in text


@pytest.mark.parametrize(
    ("nats", "expected"),
    [(0.0, "against the best fixed σ: better in both families"), (400.0, "fixed σ: worse in both")],
)
def test_learned_scale_against_the_best_fixed_one(nats: float, expected: str) -> None:
    spoken = said(moved(few(), lambda cells: ~cells["sigma"].isin(["0.1", "1"]), -nats))
    text = findings(spoken)["Learned σ"]
    assert expected in text
    assert "−" not in text, "whichever wins, wins by a positive amount"


def test_learned_scale_is_compared_under_the_same_training_only() -> None:
    tables = few()
    cells = tables.cells.copy()
    cells.loc[cells["sigma"].isin(["0.1", "1"]), "train_samples"] = 7
    assert "Learned σ" not in findings(said(dataclasses.replace(tables, cells=cells)))


@pytest.mark.parametrize(("nats", "expected"), [(0.0, "ranks "), (500.0, "ranks 1st of ")])
def test_standing_of_the_recipes(nats: float, expected: str) -> None:
    text = findings(said(moved(few(), lambda cells: cells["recipe"] == 0, -nats)))["Folk recipes"]
    assert expected in text
    assert ("it is the first configuration" in text) == (nats > 0)


def test_what_refinement_changed_is_said_in_numbers(tables: RunTables) -> None:
    board = boards(tables)[0]
    cells = tables.cells[(tables.cells["status"] == "done") & (tables.cells["currency"] == "pmf-K")]
    refined = cells[cells["estimator"] == "refined"]
    short = ((refined["iw_nats"] - refined["encoder_iw_nats"]) / (DIMS * LN2)).groupby(refined["label"]).mean()
    text = findings(sentences(board))["Estimator"]
    assert f"{len(short)} of {cells['config'].nunique()} bounds are refined" in text
    assert f"short by {short.max():.3f} bits/dim (" in text
    assert f"σ=0.01) at most, {short.median():.3f} in the median" in text
    by_encoder = cells[~cells["label"].str.contains("σ=0.01")].groupby("label")["encoder_iw_nats"].mean()
    order = by_encoder.sort_values(ascending=False).index
    moved = int((order != [row.label for row in board.ranked]).sum())
    assert f"{moved} of {len(board.ranked)} ranks would have been others" in text
    assert "would have come first" not in text


def test_the_l_of_the_encoder_s_own_bounds_is_said_where_it_is_another() -> None:
    tables = few()
    assert "alone falls short" in findings(said(tables))["Estimator"]
    pilots = dataclasses.replace(tables, cells=tables.cells.assign(encoder_samples=100, iw_samples=500))
    assert "alone with L = 100 falls short" in findings(said(pilots))["Estimator"]
    before = dataclasses.replace(tables, cells=tables.cells.assign(encoder_samples=np.nan))
    assert "alone falls short" in findings(said(before))["Estimator"]


def test_whom_the_encoder_would_have_ranked_first_is_said() -> None:
    tables = few()
    first, second = ranking(tables).iloc[0], ranking(tables).iloc[1]
    cells = tables.cells.copy()
    own = cells["config"] == first["config"]
    cells.loc[own, "encoder_iw_nats"] -= 100
    cells.loc[own, "estimator"] = "refined"
    text = findings(said(dataclasses.replace(tables, cells=cells)))["Estimator"]
    assert f"{second['label']} would have come first instead of {first['label']}" in text


def test_without_refinement_nothing_is_said_of_it() -> None:
    cells = few().cells.assign(estimator="encoder", encoder_iw_nats=few().cells["iw_nats"])
    tables = dataclasses.replace(few(), cells=cells)
    assert "Estimator" not in findings(said(tables))
    assert "refined" not in ranking_text(tables)
    assert "lifted" not in samples.title(boards(tables)[0])


def test_refinement_that_changed_nothing_is_said_to() -> None:
    tables = few()
    cells = tables.cells.assign(estimator="refined", encoder_iw_nats=tables.cells["iw_nats"] + 1e-4)
    assert "no worse" in findings(said(dataclasses.replace(tables, cells=cells)))["Estimator"]


def test_noise_that_is_off_is_said_with_the_numbers() -> None:
    tables = doubted(few(), lambda cells: cells["cell"].notna(), noise_predicted=0.1, noise_realised=0.1)
    assert "Predicted noise" not in findings(said(tables))
    wide = ranking(tables).iloc[2]
    tables = doubted(
        tables, lambda cells: cells["config"] == wide["config"], noise_predicted=0.9, coverage_95=1.0, coverage_50=0.99
    )
    narrow = ranking(tables).iloc[3]
    tables = doubted(
        tables, lambda cells: cells["config"] == narrow["config"], noise_predicted=0.02, coverage_95=0.3141
    )
    text = findings(said(tables))["Predicted noise"]
    assert f"{wide['label']} predicts 9 times the noise there is: its 95 % intervals hold 100 % of" in text
    assert f"{narrow['label']} predicts only 0.2 times the noise there is: its 95 % intervals hold 31 % of" in text
    assert text.startswith("2 of ")


def test_collapse_is_said_where_it_is_flagged(tables: RunTables) -> None:
    assert "Posterior collapse" not in findings(said(few()))
    text = findings(said(tables))["Posterior collapse"]
    assert "mse_mean (gaussian fitted) and mse_mean (gaussian implied)" in text
    config = ranking(few())["config"].iloc[1]
    one = doubted(few(), lambda cells: (cells["config"] == config) & (cells["seed"] == 2), collapsed=1)
    assert "(1 of 3 seeds)" in findings(said(one))["Posterior collapse"]
