"""The report against the tables that it was made from: order, numbers, words, escapes, and every thin run."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import Rectangle
from PIL import Image

from bench.report import build, numbers, page, pictures, ranking, ranking_text
from bench.report.figures import _svg as svg
from bench.report.figures import calibration as diagnostics
from bench.report.figures import sigma as figures
from bench.report.text import captions
from bench.report.text.verdict import Words, words
from bench.statistics.boards import boards, matched, unusable
from bench.statistics.trust import doubts, rise_per_doubling
from bench.store import BAD_SHARE, RunTables
from tests.bench.report import fake_run
from tests.bench.report.page_reader import Element, read, references
from vae_core.statistics import intervals as compare

LN2 = float(np.log(2))
DIMS = 64


@pytest.fixture(scope="module")
def tables() -> RunTables:
    return fake_run.tables()


@pytest.fixture(scope="module")
def shown(tables: RunTables, tmp_path_factory: pytest.TempPathFactory) -> Element:
    return read(build(tables, tmp_path_factory.mktemp("page") / "index.html"))


def section(shown: Element, name: str) -> Element:
    return next(element for element in shown.all("section") if element.attributes["id"] == name)


def built(tables: RunTables, folder: Path) -> Element:
    return read(build(tables, folder / "index.html"))


def moved(tables: RunTables, chosen: Callable[[pd.DataFrame], pd.Series], nats: float) -> RunTables:
    """The tables with the log-likelihood of some cells moved by so many nats, in every table that knows it."""
    cells, images = tables.cells.copy(), tables.per_image.copy()
    which = chosen(cells)
    cells.loc[which, ["iw_nats", "encoder_iw_nats", "jackknife_nats"]] += nats
    cells.loc[which, "bits_per_dim"] -= nats / (DIMS * LN2)
    images.loc[images["cell"].isin(cells.loc[which, "cell"]), "iw_nats"] += nats
    return dataclasses.replace(tables, cells=cells, per_image=images)


def doubted(tables: RunTables, chosen: Callable[[pd.DataFrame], pd.Series], **facts: float) -> RunTables:
    """The tables with other facts about the bounds of some cells; without any, most of their k̂ are bad."""
    cells = tables.cells.copy()
    which = chosen(cells)
    for name, value in (facts or {"khat_bad_fraction": 0.8}).items():
        cells.loc[which, name] = value
    return dataclasses.replace(tables, cells=cells)


def said(tables: RunTables, currency: str = "pmf-K") -> Words:
    return words(next(board for board in boards(tables) if board.currency == currency))


def findings(spoken: Words) -> dict[str, str]:
    return {finding.topic: " ".join(text.striptags() for text in finding.texts) for finding in spoken.findings}


# -- the ranking ---------------------------------------------------------------------------------------------------


def test_ranking_is_sorted_within_each_currency_and_never_across(tables: RunTables) -> None:
    found = ranking(tables)
    assert found["currency"].drop_duplicates().tolist() == ["pmf-K", "pmf-2"]
    for currency, own in found.groupby("currency"):
        assert own["unit"].nunique() == own["measure"].nunique() == 1
        ranked, left = own[own["trusted"]], own[~own["trusted"]]
        assert own["trusted"].tolist() == [True] * len(ranked) + [False] * len(left)
        assert ranked["rank"].tolist() == list(range(1, len(ranked) + 1))
        for part in (ranked, left):
            values = part["value"].tolist()
            assert values == sorted(values, reverse=currency == "pmf-2")
        assert own["verdict"].tolist().count("best") == 1
        assert own["verdict"].iloc[0] == "best"


def test_ranking_numbers_are_those_of_the_cells(tables: RunTables) -> None:
    done = tables.cells[tables.cells["status"] == "done"]
    for _, row in ranking(tables).iterrows():
        own = done[done["config"] == row["config"]]
        column = "iw_nats" if row["unit"] == "nats" else "bits_per_dim"
        assert row["value"] == pytest.approx(own[column].mean(), rel=1e-12)
        assert row["seeds"] == len(own)
        assert row["seed_deviation"] == pytest.approx(own[column].std(), rel=1e-9)
        for name in ("elbo_nats", "kl_nats", "active_units"):
            assert row[name] == pytest.approx(own[name].mean())
        assert row["low"] < row["image_low"] < row["value"] < row["image_high"] < row["high"]


def test_ranking_intervals_are_those_of_compare(tables: RunTables) -> None:
    found = ranking(tables)
    grey = found[found["currency"] == "pmf-K"]
    done = tables.cells[tables.cells["status"] == "done"].set_index(["config", "seed"])["cell"]
    images = dict(list(tables.per_image.groupby("cell")["iw_nats"]))

    def sample(config: str) -> np.ndarray:
        return np.stack([images[done[config, seed]].to_numpy() for seed in (0, 1, 2)])

    best, other = sample(grey["config"].iloc[0]), sample(grey["config"].iloc[4])
    lead = compare.paired_difference(best, other, np.random.default_rng(5))
    shown = grey.iloc[4][["worse_low", "worse_by", "worse_high"]].to_numpy(dtype=float) * DIMS * LN2
    assert np.allclose(shown, [lead.low, lead.mean, lead.high], atol=0.03 * (lead.high - lead.low))


def test_unnormalised_numbers_and_densities_never_move_a_rank(tables: RunTables) -> None:
    wild = tables.cells.assign(
        training_objective_nats=lambda cells: np.where(cells["recipe"] == 1, 1e6, -1e6),
        density_nats=lambda cells: np.arange(len(cells)) * 1e3,
        elbo_nats=lambda cells: -np.arange(len(cells)) * 1e3,
    )
    ordered = ["board", "rank", "config", "value", "low", "worse_by", "verdict"]
    pd.testing.assert_frame_equal(ranking(dataclasses.replace(tables, cells=wild))[ordered], ranking(tables)[ordered])


@pytest.mark.parametrize("change", ["dataset", "measure", "binarisation", "images"])
def test_what_differs_in_data_is_ranked_apart(tables: RunTables, change: str) -> None:
    binary = fake_run.only(tables, lambda cells: cells["currency"] == "pmf-2")
    cells, images = binary.cells.copy(), binary.per_image
    other = cells["config"] == cells["config"].iloc[0]
    assert len(boards(binary)) == 1
    if change == "images":
        images = images[~images["cell"].isin(cells.loc[other, "cell"]) | (images["image"] < 200)]
    else:
        cells.loc[other, change] = "pmf-3" if change == "measure" else "another"
    found = boards(dataclasses.replace(binary, cells=cells, per_image=images))
    assert sorted(len(board.rows) for board in found) == [1, 2]


def test_a_configuration_without_a_shared_seed_is_not_judged(tables: RunTables) -> None:
    best = ranking(tables)["config"].iloc[0]
    kept = fake_run.only(tables, lambda cells: (cells["config"] == best) == (cells["seed"] == 0))
    found = ranking(kept)
    found = found[(found["currency"] == "pmf-K") & found["trusted"]]
    assert set(found["verdict"].iloc[1:]) == {"not comparable with the best: no seed in common"}
    assert found["worse_by"].iloc[1:].isna().all()


def test_numbers_that_are_not_finite_are_failures_and_not_ranks(tables: RunTables) -> None:
    images = tables.per_image.copy()
    lost = tables.cells["cell"].iloc[0]
    images.loc[images.index[images["cell"] == lost][3], "iw_nats"] = -np.inf
    gone = tables.cells["cell"].iloc[3]
    images = images[images["cell"] != gone]
    spoilt = dataclasses.replace(tables, per_image=images)
    reasons = unusable(spoilt).set_index("cell")["reason"]
    assert "no finite log-likelihood" in reasons[lost]
    assert "without a log-likelihood" in reasons[gone]
    seeds = ranking(spoilt).set_index("config")["seeds"]
    assert seeds[tables.cells["config"].iloc[0]] == 1, "one failed, one is lost, one is left"
    assert seeds[tables.cells["config"].iloc[3]] == 2


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"khat_bad_fraction": BAD_SHARE + 1e-9}, "k̂ bad in 5 % of images"),
        ({"khat_bad_fraction": 0.97}, "k̂ bad in 97 % of images"),
        ({"khat_bad_fraction": np.nan}, "no k̂"),
        ({"ess_median": 9.9}, "9.9 effective samples"),
    ],
)
def test_one_bad_seed_is_enough_to_leave_a_configuration_out(facts: dict[str, float], reason: str) -> None:
    tables = _few()
    config = ranking(tables)["config"].iloc[3]
    chosen = doubted(tables, lambda cells: (cells["config"] == config) & (cells["seed"] == 1), **facts)
    found = ranking(chosen).set_index("config")
    assert not found.loc[config, "trusted"]
    assert reason in found.loc[config, "caution"]
    assert found["trusted"].sum() == len(found) - 1


def test_a_bound_that_still_rises_in_one_seed_is_left_out() -> None:
    tables = _few()
    config = ranking(tables)["config"].iloc[3]
    cell = tables.cells.loc[tables.cells["config"] == config, "cell"].iloc[1]
    bounds = tables.bounds.copy()
    bounds.loc[(bounds["cell"] == cell) & (bounds["samples"] == 100), "bound_nats"] -= 10
    row = ranking(dataclasses.replace(tables, bounds=bounds)).set_index("config").loc[config]
    assert row["caution"].startswith("gains 0.0")
    assert row["caution"].endswith("bits/dim per doubling of L")


def test_doubts_begin_beyond_the_stated_limits() -> None:
    assert doubts(BAD_SHARE, 10.0, 0.005, 1000, "bits/dim") == []
    assert doubts(0.0, 50.0, float("nan"), 1000, "bits/dim") == [], "with one L nothing is known of the rise"
    assert len(doubts(0.06, 9.0, 0.2, 1000, "nats")) == 3


@pytest.mark.slow
@settings(max_examples=15)
@given(data=st.data())
def test_the_ranking_is_that_of_the_tables_without_what_is_left_out(data: st.DataObject) -> None:
    tables = _few()
    configs = sorted(tables.cells["config"].unique())
    lost = data.draw(st.lists(st.sampled_from(configs), unique=True, max_size=len(configs)))
    spoilt = doubted(tables, lambda cells: cells["config"].isin(lost))
    whole = ranking(spoilt)
    assert set(whole.loc[~whole["trusted"], "config"]) == set(lost)
    left = whole[~whole["trusted"]]
    assert left["rank"].isna().all()
    assert (left["verdict"] == "").all()
    assert left[["worse_by", "worse_low", "worse_high", "p_adjusted"]].isna().all(axis=None)
    alone = ranking(fake_run.only(tables, lambda cells: ~cells["config"].isin(lost)))
    ranked = whole[whole["trusted"]].reset_index(drop=True)
    assert len(ranked) == len(alone)
    if len(ranked):
        pd.testing.assert_frame_equal(ranked, alone, check_dtype=False)


@pytest.mark.slow
@settings(max_examples=15)
@given(data=st.data())
def test_what_is_left_out_is_never_called_best(data: st.DataObject) -> None:
    """Whatever is left out, the leader included, is in no sentence that calls something best, and is always listed."""
    tables = _few()
    order = ranking(tables)["config"].tolist()
    lost = data.draw(st.lists(st.sampled_from(order), unique=True, min_size=1))
    lost += [order[0]] * (order[0] not in lost and data.draw(st.booleans()))
    spoilt = doubted(tables, lambda cells: cells["config"].isin(lost))
    text = ranking_text(spoilt, 200)
    for board in boards(spoilt):
        spoken = words(board)
        names = set(board.left_out[["label", "family"]].stack()) - set(board.rows[["label", "family"]].stack())
        listing = next((f for f in spoken.findings if f.topic == "Left out of the ranking"), None)
        assert (listing is None) == board.left_out.empty
        for part in (spoken.headline, spoken.best, *(t for f in spoken.findings for t in f.texts)):
            if re.search(r"\b(fits? best|best mean|reaches|come first|ranks|leads)\b", part.striptags()):
                assert not set(re.findall("<b>(.*?)</b>", part)) & names, part
        for _, row in board.left_out.iterrows():
            line = next(line for line in text.splitlines() if line.startswith(f"!  {row['label']} "))
            assert row["caution"] in line
            assert ("<= " if board.unit == "bits/dim" else ">= ") in line
        assert ("the best is not known" in spoken.gap) == bool(len(board.rows) and len(board.better_unranked))


@pytest.mark.slow
def test_a_bound_that_beats_the_best_ranked_one_is_said() -> None:
    tables = _few()
    first = ranking(tables)["config"].iloc[0]
    label = ranking(tables)["label"].iloc[0]
    for nats, how in ((0.0, "at least level with that"), (100.0, "better than that by at least ")):
        lifted = moved(tables, lambda cells: cells["config"] == first, nats)
        spoken = said(doubted(lifted, lambda cells: cells["config"] == first))
        assert spoken.headline.startswith("Of what can be ranked, ")
        assert label not in spoken.headline
        assert f"But the bound of {label}, which cannot be trusted and is not ranked, is {how}" in (
            spoken.gap.striptags()
        )
        assert spoken.gap.endswith("the best is not known.")
    lead = ranking(lifted)["worse_by"].iloc[1]
    assert f"at least {numbers.measured(lead, 'bits/dim')} bits/dim" in spoken.gap.striptags()
    worst = ranking(tables).query("currency == 'pmf-K'").iloc[-1]
    calm = said(doubted(tables, lambda cells: cells["config"] == worst["config"]))
    assert "not known" not in calm.gap
    assert calm.headline == said(tables).headline


def test_what_is_left_out_stands_below_with_its_reason(tables: RunTables, shown: Element) -> None:
    found = ranking(tables)
    left = found[~found["trusted"]]
    assert left["sigma"].tolist() == ["0.01"] * 3
    assert left["caution"].str.contains("effective samples").all()
    part = section(shown, "ranking")
    rows = part.one("table", class_="left-out").rows()
    for row, (_, expected) in zip(rows, left.iterrows(), strict=True):
        assert row[0] == expected["label"]
        assert row[1] == f"≤ {numbers.measured(expected['value'], 'bits/dim')}"
        assert row[2] == expected["caution"]
    assert "Left out of the ranking" in [head.text.split(" lower")[0] for head in part.all("h4")]
    ranked = [row for table in part.all("table", class_="ranked") for row in table.rows()]
    assert len(ranked) == found["trusted"].sum()


@pytest.mark.slow
def test_all_untrusted_gives_a_page_without_a_best(tmp_path: Path) -> None:
    spoilt = doubted(_few(), lambda cells: cells["cell"].notna())
    shown = built(spoilt, tmp_path)
    verdict = section(shown, "verdict")
    for board, article in zip(boards(spoilt), verdict.all("article"), strict=True):
        assert article.one("h3").text == f"Nothing can be ranked: none of {len(board.left_out)} bounds can be trusted"
        assert not article.all("p", class_="lead")
        assert "fits best" not in article.text
    part = section(shown, "ranking")
    assert not part.all("table", class_="ranked")
    assert sum(len(table.rows()) for table in part.all("table", class_="left-out")) == len(ranking(spoilt))
    assert ranking(spoilt)["rank"].isna().all()
    text = ranking_text(spoilt)
    assert "Nothing can be ranked" in text
    assert text.count("\n!  ") == len(ranking(spoilt))


def test_rise_per_doubling() -> None:
    bounds = pd.DataFrame({"samples": [1, 10, 80, 80], "bound_nats": [-9.0, -5.0, -2.5, -1.5]})
    assert rise_per_doubling(bounds) == pytest.approx(1.0)
    assert np.isnan(rise_per_doubling(bounds[:1]))


# -- the words -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=12)
@given(winner=st.sampled_from(["gaussian", "logistic", "categorical", "continuous_bernoulli", "mse_sum"]))
def test_the_verdict_names_whoever_wins(winner: str) -> None:
    tables = _few()
    won = moved(tables, lambda cells: cells["family"] == winner, 300.0)
    spoken = said(won)
    assert spoken.headline.striptags() == f"{winner} fits best"
    assert spoken.best.striptags().startswith(winner)
    assert "more than the noise of images and seeds explains" in spoken.gap
    assert ranking(won)["family"].iloc[0] == winner


_cached: list[RunTables] = []


def _few() -> RunTables:
    if not _cached:
        _cached.append(fake_run.tables(fake_run.few(), failures=False, images=60, pictures=False))
    return _cached[0]


def test_two_families_with_one_score_cannot_be_told_apart() -> None:
    tables = fake_run.only(_few(), lambda cells: cells["family"].isin(["categorical", "gaussian", "bce_sum"]))
    images = tables.per_image.copy()
    one = tables.cells[tables.cells["family"] == "categorical"].sort_values("seed")["cell"]
    other = tables.cells[(tables.cells["family"] == "gaussian") & (tables.cells["sigma"] == "pixel")]
    noise = np.random.default_rng(0).normal(0, 0.1, size=(3, 60))
    for a, b, shift in zip(one, other.sort_values("seed")["cell"], noise, strict=True):
        images.loc[images["cell"] == b, "iw_nats"] = images.loc[images["cell"] == a, "iw_nats"].to_numpy() + shift
    spoken = said(dataclasses.replace(tables, per_image=images))
    assert "categorical" in spoken.headline
    assert "gaussian" in spoken.headline
    assert spoken.headline.endswith("fit best and cannot be told apart")
    assert "not settled" in spoken.gap


@pytest.mark.parametrize(
    ("nats", "expected"),
    [
        (0.0, "beats what is trained without"),
        (400.0, "trained without the normalising constant beats continuous_bernoulli"),
    ],
)
def test_the_twin_wins_or_loses_as_the_numbers_say(nats: float, expected: str) -> None:
    spoken = said(moved(_few(), lambda cells: cells["family"].str.startswith("bce_"), nats))
    twin = findings(spoken)["Unnormalised twin"]
    assert expected in twin
    assert ("That can be" in twin) == (nats > 0)


def test_the_twin_that_cannot_be_told_apart() -> None:
    tables = _few()
    images = tables.per_image.copy()
    cells = tables.cells.sort_values("seed")
    one, other = (cells.loc[cells["family"] == name, "cell"] for name in ("continuous_bernoulli", "bce_sum"))
    for a, b in zip(one, other, strict=True):
        images.loc[images["cell"] == b, "iw_nats"] = images.loc[images["cell"] == a, "iw_nats"].to_numpy()
    assert "cannot be told apart" in findings(said(dataclasses.replace(tables, per_image=images)))["Unnormalised twin"]


@pytest.mark.parametrize(
    ("nats", "expected"), [(0.0, "A learned σ beats σ = 1 in both families"), (400.0, "σ = 1 beats the best")]
)
def test_learned_scale_against_one(nats: float, expected: str) -> None:
    spoken = said(moved(_few(), lambda cells: cells["sigma"] == "1", nats))
    assert expected in findings(spoken)["Learned σ"]


def test_learned_scale_is_compared_under_the_same_training_only() -> None:
    tables = _few()
    cells = tables.cells.copy()
    cells.loc[cells["sigma"] == "1", "train_samples"] = 7
    assert "Learned σ" not in findings(said(dataclasses.replace(tables, cells=cells)))


@pytest.mark.parametrize(("nats", "expected"), [(0.0, "ranks "), (500.0, "ranks 1st of ")])
def test_standing_of_the_recipes(nats: float, expected: str) -> None:
    text = findings(said(moved(_few(), lambda cells: cells["recipe"] == 1, nats)))["Folk recipes"]
    assert expected in text
    assert ("it leads the table" in text) == (nats > 0)


def test_one_family_is_not_called_the_best_family(tables: RunTables) -> None:
    spoken = said(tables, "pmf-2")
    assert spoken.headline.striptags() == "Of 3 settings of bernoulli, iwae L=5 fits best"
    assert spoken.gap.striptags().startswith("Runner-up setting: bernoulli L=5")


def test_one_seed_is_said() -> None:
    tables = fake_run.tables(fake_run.few(), seeds=[4], images=60, pictures=False)
    spoken = said(tables)
    assert "training noise is unknown" in spoken.gap
    assert "trained once" in findings(spoken)["One seed"]
    found = ranking(tables)
    assert found["seed_deviation"].isna().all()
    assert (found["low"] == found["image_low"]).all()


def test_a_gap_that_only_the_correction_unsettles_is_said(tables: RunTables) -> None:
    """The runner-up is moved until its interval just leaves zero out."""
    before = boards(tables)[0].rows.iloc[1]
    away = (before["worse_low"] - 0.0002) * DIMS * LN2
    board = boards(moved(tables, lambda cells: cells["config"] == before["config"], away))[0]
    second = board.rows.iloc[1]
    assert second["config"] == before["config"]
    assert second["worse_low"] > 0
    assert second["verdict"] == "indistinguishable from the best"
    gap = words(board).gap
    assert f"not among {len(board.rows)} (corrected p = {second['p_adjusted']:.2f})" in gap
    assert "reaches zero" not in gap


def test_what_refinement_changed_is_said_in_numbers(tables: RunTables) -> None:
    board = boards(tables)[0]
    cells = tables.cells[(tables.cells["status"] == "done") & (tables.cells["currency"] == "pmf-K")]
    refined = cells[cells["estimator"] == "refined"]
    short = ((refined["iw_nats"] - refined["encoder_iw_nats"]) / (DIMS * LN2)).groupby(refined["label"]).mean()
    text = findings(words(board))["Estimator"]
    assert f"{len(short)} of {cells['config'].nunique()} bounds are refined" in text
    assert f"short by {short.max():.3f} bits/dim (" in text
    assert f"σ=0.01) at most, {short.median():.3f} in the median" in text
    by_encoder = cells[~cells["label"].str.contains("σ=0.01")].groupby("label")["encoder_iw_nats"].mean()
    order = by_encoder.sort_values(ascending=False).index
    moved = int((order != board.rows["label"]).sum())
    assert f"{moved} of {len(board.rows)} ranks would have been others" in text
    assert "would have come first" not in text


def test_whom_the_encoder_would_have_ranked_first_is_said() -> None:
    tables = _few()
    first, second = ranking(tables).iloc[0], ranking(tables).iloc[1]
    cells = tables.cells.copy()
    own = cells["config"] == first["config"]
    cells.loc[own, "encoder_iw_nats"] -= 100
    cells.loc[own, "estimator"] = "refined"
    text = findings(said(dataclasses.replace(tables, cells=cells)))["Estimator"]
    assert f"{second['label']} would have come first instead of {first['label']}" in text


def test_without_refinement_nothing_is_said_of_it() -> None:
    cells = _few().cells.assign(estimator="encoder", encoder_iw_nats=_few().cells["iw_nats"])
    tables = dataclasses.replace(_few(), cells=cells)
    assert "Estimator" not in findings(said(tables))
    assert "refined" not in ranking_text(tables)
    assert "lifted" not in captions.samples(boards(tables)[0])


def test_refinement_that_changed_nothing_is_said_to() -> None:
    tables = _few()
    cells = tables.cells.assign(estimator="refined", encoder_iw_nats=tables.cells["iw_nats"] + 1e-4)
    assert "no worse" in findings(said(dataclasses.replace(tables, cells=cells)))["Estimator"]


def test_noise_that_is_off_is_said_with_the_numbers() -> None:
    tables = doubted(_few(), lambda cells: cells["cell"].notna(), noise_predicted=0.1, noise_realised=0.1)
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
    assert "Posterior collapse" not in findings(said(_few()))
    text = findings(said(tables))["Posterior collapse"]
    assert "mse_mean (gaussian fitted) and mse_mean (gaussian implied)" in text
    config = ranking(_few())["config"].iloc[1]
    one = doubted(_few(), lambda cells: (cells["config"] == config) & (cells["seed"] == 2), collapsed=1)
    assert "(1 of 3 seeds)" in findings(said(one))["Posterior collapse"]


# -- the page ------------------------------------------------------------------------------------------------------


def test_page_is_well_formed_and_its_links_lead_somewhere(shown: Element) -> None:
    ids = [element.attributes["id"] for element in shown.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    targets = {reference[1:] for reference in references(shown) if reference.startswith("#")}
    assert targets <= set(ids)
    assert len(targets) > 10
    assert all(row.all("th") for table in shown.all("table") for row in table.one("tbody").all("tr"))
    assert all("scope" in head.attributes for head in shown.all("th"))
    assert all(image.attributes.get("alt") for image in shown.all("img"))
    assert all(figure.attributes.get("aria-label") for figure in shown.all("svg", class_="figure"))


def test_page_needs_no_network(shown: Element) -> None:
    found = references(shown)
    assert found
    assert [reference for reference in found if not reference.startswith(("#", "data:"))] == []
    assert not shown.all("iframe")
    assert all("src" not in script.attributes for script in shown.all("script"))


def test_table_shows_the_numbers_of_the_run(tables: RunTables, shown: Element) -> None:
    found = ranking(tables)
    found = found[found["trusted"]]
    for table, (_, own) in zip(
        section(shown, "ranking").all("table", class_="ranked"), found.groupby("currency", sort=False), strict=True
    ):
        heads = [head.text for head in table.one("thead").all("th")]
        unit = own["unit"].iloc[0]
        digits = 3 if unit == "bits/dim" else 2
        score = next(place for place, head in enumerate(heads) if head.startswith("Score"))
        places = {
            name: next(i for i, head in enumerate(heads) if head.startswith(name)) for name in ("ELBO", "k̂", "ESS")
        }
        rows = table.rows()
        assert len(rows) == len(own)
        for row, (_, expected) in zip(rows, own.iterrows(), strict=True):
            assert row[0] == str(expected["rank"])
            read_back = [float(text) for text in re.findall(r"[\d.]+", row[score].replace("−", ""))]
            wanted = [abs(round(expected[name], digits)) for name in ("value", "low", "high")]
            assert read_back == pytest.approx(wanted, abs=1e-9)
            assert float(row[places["ELBO"]].replace("−", "-")) == pytest.approx(expected["elbo_nats"], abs=0.006)
            share = f"{numbers.percent(expected['khat_bad_fraction'])} bad".replace("\u00a0", " ")
            assert row[places["k̂"]] == f"{numbers.number(expected['khat_median'])} {share}"
            assert float(row[places["ESS"]]) == pytest.approx(expected["ess_median"], abs=0.51)


def test_page_says_first_what_the_words_say(tables: RunTables, shown: Element) -> None:
    first = shown.one("main").all("section")[0]
    assert first.attributes["id"] == "verdict"
    for board, article in zip(boards(tables), first.all("article"), strict=True):
        spoken = words(board)
        assert article.one("h3").text == " ".join(spoken.headline.striptags().split())
        text = re.sub(r"\s+", " ", article.text)
        for part in (spoken.gap, spoken.best, *(text for finding in spoken.findings for text in finding.texts)):
            assert re.sub(r"\s+", " ", part.striptags()) in text


def test_sections_stand_in_their_order(shown: Element) -> None:
    names = [element.attributes["id"] for element in shown.one("main").all("section")]
    assert names.pop() == "provenance"
    assert names == ["verdict", "ranking", "sigma", "samples", "diagnostics", "speed", "pictures", "failed", "reading"]


def test_unnormalised_objectives_are_marked_and_outside_the_ranking(shown: Element) -> None:
    part = section(shown, "ranking")
    assert "not a log-likelihood" in part.text
    assert all(
        "14.20" not in cell for table in part.all("table", class_="ranked") for row in table.rows() for cell in row
    )
    marked = [cell.text for cell in part.all("td", class_="unranked")]
    assert sum("14.20" in text for text in marked) == 6


def test_failed_cells_are_listed_with_their_reasons(shown: Element) -> None:
    rows = section(shown, "failed").one("table").rows()
    assert [(row[0], row[1], row[2]) for row in rows] == [
        ("gaussian σ=0.01", "2", "failed"),
        ("laplace σ=0.01", "0", "oom"),
        ("logistic σ=pixel", "1", "timeout"),
    ]
    assert rows[0][3] == "the loss became NaN in epoch 7"


def test_pictures_share_one_row_of_originals(tables: RunTables, shown: Element) -> None:
    grey = section(shown, "pictures").all("table")[0]
    images = grey.one("tbody").all("img")
    families = ranking(tables).query("currency == 'pmf-K'")["family"].nunique()
    assert len(images) == 1 + 3 * families
    pixels = Image.open(io.BytesIO(base64.b64decode(images[0].attributes["src"].partition(",")[2])))
    cell = next(cell for cell, kind in tables.pictures if kind == "original")
    first = np.asarray(pixels)[:, :8, 0]
    assert np.array_equal(first, tables.pictures[cell, "original"][0])


def test_provenance_says_what_is_needed_to_do_it_again(shown: Element) -> None:
    text = section(shown, "provenance").text
    for needed in ("3f9a2c1b7d4e5f60718293a4b5c6d7e8f9012345", "5f1d" * 16, "2.14.1", "highest", "vae-bench run fake"):
        assert needed in text
    assert section(shown, "provenance").one("pre").text == fake_run.GRID


@pytest.mark.slow
def test_the_page_says_in_what_precision_was_trained_and_scored(shown: Element, tmp_path: Path) -> None:
    said = section(shown, "reading").text
    assert "matrix products were done in full float32." in said
    rows = {row.all("th")[0].text: row.all("td")[0].text for row in section(shown, "provenance").all("tr")}
    assert (rows["precision · training"], rows["precision · evaluation"]) == ("float32", "float32")
    both = [dataclasses.replace(setting, precision=name) for setting in fake_run.few() for name in ("float32", "bf16")]
    page = built(fake_run.tables(both, pictures=False), tmp_path)
    said = section(page, "reading").text
    assert "full float32 and bfloat16" in said
    assert "as the labels say" in said
    assert "the whole of validation and evaluation, is in full float32" in said
    rows = {row.all("th")[0].text: row.all("td")[0].text for row in section(page, "provenance").all("tr")}
    assert (rows["precision · training"], rows["precision · evaluation"]) == ("float32, bf16", "float32")
    assert "gaussian σ=pixel precision=bf16" in section(page, "ranking").text


def test_settings_are_compared_within_one_precision() -> None:
    """A recipe is held against the family trained as it was, not against one trained in another precision."""
    both = [dataclasses.replace(setting, precision=name) for setting in fake_run.few() for name in ("float32", "bf16")]
    rows = boards(fake_run.tables(both, pictures=False))[0].everything
    (row,) = [row for _, row in rows.iterrows() if (row["family"], row["precision"]) == ("categorical", "bf16")]
    assert set(matched(rows, row)["precision"]) == {"bf16"}


def test_bundle_speed_stands_beside_and_apart(shown: Element) -> None:
    table = section(shown, "speed").all("table")[0]
    heads = [head.text for head in table.one("thead").all("th")]
    assert "images/s, alone" in heads[1]
    assert "all models" in heads[4]
    assert {row[4] for row in table.rows()}.isdisjoint({row[1] for row in table.rows()})


@pytest.mark.slow
def test_the_same_tables_give_the_same_page(tmp_path: Path) -> None:
    one, other = (build(_few(), tmp_path / name / "index.html").read_bytes() for name in "ab")
    assert one == other


def test_figures_are_small_and_their_text_is_text(shown: Element) -> None:
    figures = shown.all("svg", class_="figure")
    assert all(figure.all("text") for figure in figures)
    assert sum(len(outline.attributes["d"]) for figure in figures for outline in figure.all("path")) < 200_000


HOSTILE = '<script>alert("x")</script>&$\\alpha$ "quoted" \'single\''


@pytest.mark.slow
def test_labels_cannot_break_the_page(tmp_path: Path) -> None:
    tables = fake_run.tables(
        fake_run.few(),
        images=40,
        label=lambda label: label.replace("gaussian", f"gaussian {HOSTILE}"),
        grid=f"# {HOSTILE} </pre>",
        history=[fake_run.provenance(command=HOSTILE)],
    )
    cells = tables.cells.assign(reason=tables.cells["reason"].where(tables.cells["status"] == "done", HOSTILE))
    tables = doubted(dataclasses.replace(tables, cells=cells), lambda cells: cells["sigma"] == "0.1")
    shown = built(doubted(tables, lambda cells: cells["sigma"] == "0.1", collapsed=1, noise_predicted=5.0), tmp_path)
    for name in ("left-out", "diagnosed"):
        assert f"gaussian {HOSTILE} σ=0.1" in [row[0] for row in shown.all("table", class_=name)[0].rows()]
    assert HOSTILE in findings(said(tables))["Left out of the ranking"]
    assert len(shown.all("script")) == 1
    assert HOSTILE in section(shown, "ranking").text
    assert HOSTILE in section(shown, "provenance").text
    assert f"gaussian {HOSTILE} σ=pixel" in [row[0] for row in section(shown, "pictures").all("table")[0].rows()]
    assert [reference for reference in references(shown) if not reference.startswith(("#", "data:"))] == []


# -- thin runs -----------------------------------------------------------------------------------------------------


THIN: dict[str, tuple[Callable[[], RunTables], dict[str, str]]] = {
    "one seed": (
        lambda: fake_run.tables(fake_run.few(), seeds=[0], images=40),
        {"verdict": "training noise is unknown"},
    ),
    "one currency": (
        lambda: fake_run.only(_few(), lambda cells: cells["currency"] == "pmf-2"),
        {"verdict": "bernoulli", "sigma": "No family of this run was trained at two or more fixed σ"},
    ),
    "one configuration": (
        lambda: fake_run.tables([fake_run.settings()[2]], seeds=[0], images=40),
        {"verdict": "the only configuration"},
    ),
    "no fixed σ": (
        lambda: fake_run.tables([s for s in fake_run.few() if not isinstance(s.sigma, float)], images=40),
        {"sigma": "No family of this run was trained at two or more fixed σ"},
    ),
    "no pictures": (lambda: fake_run.tables(fake_run.few(), images=40, pictures=False), {"pictures": "no pictures"}),
    "no speed": (
        lambda: fake_run.tables(fake_run.few(), images=40, throughput=False),
        {"speed": "has not been measured"},
    ),
    "no refinement": (
        lambda: dataclasses.replace(
            _few(), cells=_few().cells.assign(estimator=None, encoder_iw_nats=np.nan, encoder_khat_bad_fraction=np.nan)
        ),
        {"ranking": "encoder"},
    ),
    "no diagnostics": (
        lambda: dataclasses.replace(
            _few(),
            cells=_few().cells.assign(
                **dict.fromkeys(
                    (
                        *("pit_deviation", "coverage_50", "coverage_95", "noise_predicted", "noise_realised"),
                        *("amortisation_gap_nats", "approximation_gap_nats", "jackknife_nats", "collapsed"),
                        *("active_units", "kl_nats", "khat_median"),
                    ),
                    np.nan,
                )
            ),
            calibration=_few().calibration[:0],
            latents=_few().latents[:0],
        ),
        {"diagnostics": "No histograms and no latent dimensions were recorded"},
    ),
    "too few samples": (
        lambda: fake_run.tables(fake_run.few(), images=40, samples=[1, 10]),
        {"ranking": "too few samples to judge (L = 10; k̂ needs 25)", "verdict": "Nothing can be ranked"},
    ),
    "one untrusted configuration": (
        lambda: doubted(fake_run.tables([fake_run.settings()[2]], seeds=[0], images=40), lambda c: c["cell"].notna()),
        {"verdict": "the only bound cannot be trusted"},
    ),
    "one trusted configuration": (
        lambda: doubted(
            fake_run.only(_few(), lambda cells: cells["family"] == "gaussian"), lambda cells: cells["sigma"] != "pixel"
        ),
        {"verdict": "the only configuration that can be ranked"},
    ),
    "one L": (lambda: fake_run.tables(fake_run.few(), images=40, samples=[50]), {"samples": "at one L only"}),
    "nothing failed": (lambda: _few(), {"failed": "None: all "}),
    "all failed": (
        lambda: fake_run.only(fake_run.tables(images=40), lambda cells: cells["status"] != "done"),
        {"verdict": "Nothing can be ranked", "failed": "out of memory", "ranking": "Nothing to rank"},
    ),
    "colour, not square": (
        lambda: fake_run.tables(fake_run.few(), images=40, shape=(12, 20, 3)),
        {"pictures": "The same 8 test images", "ranking": "test images of 720 values"},
    ),
    "a path as data": (
        lambda: fake_run.tables(fake_run.few(), images=40, dataset="/home/somebody/faces.npz"),
        {"verdict": "Grey levels of faces.npz"},
    ),
    "unfinished": (
        lambda: fake_run.tables(fake_run.few(), images=40, planned=500),
        {"verdict": "Incomplete run: "},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", THIN)
def test_thin_runs_still_give_a_page_that_says_so(name: str, tmp_path: Path) -> None:
    make, expected = THIN[name]
    tables = make()
    shown = built(tables, tmp_path)
    for place, text in expected.items():
        assert text in re.sub(r"\s+", " ", section(shown, place).text)
    assert "nan" not in re.sub(r"NaN in epoch", "", shown.one("main").text).lower().split()
    assert ranking_text(tables)
    if name == "a path as data":
        assert "somebody" not in section(shown, "verdict").text + section(shown, "ranking").text


@pytest.mark.slow
def test_many_configurations_stay_a_page(tmp_path: Path) -> None:
    many = [
        dataclasses.replace(setting, options={"variant": variant})
        for variant in range(4)
        for setting in fake_run.settings(sigmas=tuple(np.geomspace(0.01, 2, 12)))
    ]
    tables = fake_run.tables(many, seeds=[0], images=30, pictures=False)
    assert len(tables.cells) > 200
    shown = built(tables, tmp_path)
    assert (tmp_path / "index.html").stat().st_size < 1_500_000
    heights = [float(figure.attributes["viewbox"].split()[3]) for figure in shown.all("svg", class_="figure")]
    assert max(heights) < 1500


@pytest.mark.slow
@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([fake_run.provenance(git={"commit": "a" * 40, "dirty": True})], "uncommitted changes"),
        ([fake_run.provenance(git=None)], "commit is unknown"),
        ([fake_run.provenance()], None),
    ],
)
def test_code_that_nobody_else_has_is_said(history: list, expected: str | None, tmp_path: Path) -> None:
    tables = fake_run.tables(fake_run.few(), images=40, history=history, failures=False, pictures=False)
    notices = [notice.text for notice in section(built(tables, tmp_path), "verdict").all("p", class_="notice")]
    assert len(notices) == (1 if expected else 0)
    assert expected is None or expected in notices[0]


def test_cells_of_two_commits_are_said(tmp_path: Path) -> None:
    history = [fake_run.provenance(git={"commit": letter * 40, "dirty": False}) for letter in "ab"]
    tables = fake_run.tables(fake_run.few(), images=40, history=history, failures=False, pictures=False)
    cells = tables.cells.assign(provenance=1 + tables.cells.index % 2)
    shown = built(dataclasses.replace(tables, cells=cells), tmp_path)
    assert "2 different commits" in section(shown, "verdict").text
    assert "Latest of 2 invocations" in section(shown, "provenance").text


def entries(tables: RunTables, tmp_path: Path, **cards: object) -> dict[str, Element]:
    """The catalogue of a page, by family, for the cards given."""
    meta = tables.meta | {"cards": cards} if cards else tables.meta
    page = built(dataclasses.replace(tables, meta=meta), tmp_path)
    found = section(page, "reading").all("article")
    return {article.attributes["id"].removeprefix("family-"): article for article in found}


@pytest.mark.slow
def test_the_catalogue_has_an_entry_for_every_family_of_the_run_and_no_other(tmp_path: Path) -> None:
    tables = _few()
    families = sorted(set(tables.cells["family"]))
    shown = entries(tables, tmp_path, **{family: fake_run.card(family) for family in [*families, "gumbel"]})
    assert list(shown) == families
    for family, entry in shown.items():
        card = fake_run.card(family)
        for key in ("summary", "formula", "support", "view", "measure", "parameters", "source", "users"):
            assert card[key] in entry.text, key
        assert "D outputs with σ a number, shared; 2 D outputs with σ pixel" in entry.text
        assert "Plug-in" not in entry.text
    page = section(built(tables, tmp_path), "reading").one("details")
    assert page.attributes["id"] == "catalogue"
    assert "open" not in page.attributes
    assert f"({len(families)})" in page.one("summary").text


@pytest.mark.slow
def test_a_plug_in_is_said_to_be_one(tmp_path: Path) -> None:
    card = fake_run.card("gaussian") | {"plugin": "my<b>.py", "outputs": {"": "3 K D"}, "title": "gaussian"}
    entry = entries(_few(), tmp_path, gaussian=card)["gaussian"]
    assert entry.all("dt")[-1].text == "Plug-in"
    assert entry.all("dd")[-1].text == "my<b>.py"
    assert "3 K D outputs" in [value.text for value in entry.all("dd")]
    assert entry.one("h4").text == "gaussian", "a title that is the name is not said twice"


@pytest.mark.slow
def test_what_a_card_lacks_is_left_out(tmp_path: Path) -> None:
    """Cards of older run files have four fields only, and still older files none."""
    tables = _few()
    card = {"title": "The bell", "summary": "noise like a bell", "formula": "-x^2", "source": "Gauss (1809)"}
    shown = entries(tables, tmp_path, gaussian=card)
    assert list(shown) == ["gaussian"]
    assert [name.text for name in shown["gaussian"].all("dt")] == ["Source"]
    assert shown["gaussian"].one("h4").text == "gaussian The bell"
    without = {key: value for key, value in tables.meta.items() if key != "cards"}
    for meta in (without, without | {"cards": None}, without | {"cards": {"gaussian": "a bell"}}):
        page = section(built(dataclasses.replace(tables, meta=meta), tmp_path), "reading")
        assert page.all("details") == []


# -- writing -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_page_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "index.html"
    out.write_text("the old page")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.report.page.os.fdopen", full)
    with pytest.raises(OSError, match="No space left"):
        build(_few(), out)
    assert out.read_text() == "the old page"
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_report_loads_neither_torch_nor_the_science() -> None:
    code = (
        "import sys, bench.report; "
        "print([name for name in sys.modules if name.partition('.')[0] in ('torch', 'sklearn')"
        " or name.startswith('vae_core.') and not name.startswith('vae_core.statistics')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


# -- the terminal --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 100, 120])
def test_text_fits_the_terminal(tables: RunTables, width: int) -> None:
    lines = ranking_text(tables, width).splitlines()
    assert max(map(len, lines)) <= width
    assert not any("−" in line or "\u00a0" in line for line in lines)


def test_text_says_the_verdict_and_ranks_what_can_be_trusted(tables: RunTables) -> None:
    text = ranking_text(tables)
    flat = " ".join(text.split())
    for board in boards(tables):
        assert words(board).headline.striptags() in flat
        for _, row in board.rows.iterrows():
            value = numbers.measured(row["value"], board.unit).replace("−", "-")
            assert any(re.match(rf" *{row['rank']} +{row['family']}.* {value} ", line) for line in text.splitlines())
        for _, row in board.left_out.iterrows():
            value = numbers.measured(row["value"], board.unit)
            assert any(re.match(rf"!  {row['label']} +<= {value}  k̂ bad in", line) for line in text.splitlines())
    assert "3 of 132 cells failed" in flat


def test_long_labels_are_cut_and_numbers_are_not(tables: RunTables) -> None:
    cells = tables.cells.assign(label=tables.cells["label"] + " " + "very " * 20 + "long")
    lines = ranking_text(dataclasses.replace(tables, cells=cells)).splitlines()
    assert max(map(len, lines[5:])) <= 80
    assert sum("…" in line for line in lines) == 44
    assert sum(bool(re.search(r"\d\]", line)) for line in lines) >= 41


# -- figures and pictures ------------------------------------------------------------------------------------------


def test_a_family_has_one_look_and_no_two_share_it(tables: RunTables) -> None:
    families = [f"family-{place}" for place in range(40)]
    looks = svg.Looks.of(reversed(families))
    assert len({(looks.hue(family), looks.marker(family)) for family in families}) == 40
    assert looks == svg.Looks.of(families)


def test_figures_hold_variables_instead_of_colours(shown: Element) -> None:
    drawn = shown.all("svg", class_="figure")
    assert len(drawn) == 11
    styles = " ".join(element.attributes.get("style", "") for figure in drawn for element in figure.all())
    assert "var(--hue-" in styles
    assert re.findall(r"#[0-9a-f]{6}", styles.replace("#000000", "")) == []


def test_landscape_names_the_score_of_every_family(tables: RunTables, shown: Element) -> None:
    best = ranking(tables).query("currency == 'pmf-K'").drop_duplicates("family")
    texts = [text.text for text in shown.all("svg", class_="figure")[0].all("text")]
    for _, row in best.iterrows():
        assert row["family"] in texts
        assert any(text.startswith(numbers.measured(row["value"], "bits/dim")) for text in texts)


def test_sigma_curve_goes_through_the_scores(tables: RunTables) -> None:
    board = boards(tables)[0]
    figure = figures.sigma_curves(board, svg.Looks.of(board.rows["family"]))
    assert figure is not None
    axes = next(axes for axes in figure.axes if axes.get_title(loc="left") == "laplace")
    own = board.rows[(board.rows["family"] == "laplace")].assign(
        number=lambda rows: pd.to_numeric(rows["sigma"], errors="coerce")
    )
    own = own.dropna(subset="number").sort_values("number")
    line = axes.lines[0]
    assert np.allclose(line.get_xdata(), own["number"])
    assert np.allclose(line.get_ydata(), own["value"])
    left = board.left_out[board.left_out["family"] == "laplace"]
    (arrow,) = (line for line in axes.lines if line.get_marker() == "v")
    assert arrow.get_xdata() == pytest.approx(left["sigma"].astype(float))
    assert arrow.get_ydata() == pytest.approx(left["value"].clip(*axes.get_ylim()))


def test_sample_curves_rise_from_zero_to_the_gain(tables: RunTables) -> None:
    board = boards(tables)[0]
    figure = figures.sample_curves(board, tables.bounds, svg.Looks.of(board.rows["family"]))
    assert figure is not None
    axes = next(axes for axes in figure.axes if axes.get_title(loc="left") == "categorical")
    cells = board.samples[board.rows["config"].iloc[0]].cells
    means = tables.bounds[tables.bounds["cell"].isin(cells)].groupby("samples")["bound_nats"].mean()
    assert board.rows["family"].iloc[0] == "categorical"
    assert np.allclose(axes.lines[0].get_ydata(), means - means.iloc[0])
    assert np.allclose(axes.lines[0].get_xdata(), means.index)


def test_refined_curves_stand_over_the_encoders_own(tables: RunTables) -> None:
    board = boards(tables)[0]
    figure = figures.sample_curves(board, tables.bounds, svg.Looks.of(board.rows["family"]))
    assert figure is not None
    axes = next(axes for axes in figure.axes if axes.get_title(loc="left") == "bce_sum")
    cells = board.samples[board.rows.loc[board.rows["family"] == "bce_sum", "config"].iloc[0]].cells
    means = tables.bounds[tables.bounds["cell"].isin(cells)].groupby("samples").mean(numeric_only=True)
    start = means["encoder_bound_nats"].iloc[0]
    final, end, encoder = axes.lines
    assert final.get_ydata() == pytest.approx(means["bound_nats"] - start)
    assert encoder.get_ydata() == pytest.approx(means["encoder_bound_nats"] - start)
    assert np.asarray(end.get_ydata())[0] - np.asarray(encoder.get_ydata())[-1] == pytest.approx(
        board.rows.set_index("family").loc["bce_sum", "lift"] / board.scale
    )
    assert final.get_linestyle() == "-"
    assert encoder.is_dashed()


def test_histograms_are_those_of_the_table(tables: RunTables) -> None:
    board = boards(tables)[0]
    figure = diagnostics.calibration(board, tables.calibration, svg.Looks.of(board.everything["family"]))
    assert figure is not None
    shown = diagnostics.telling(board, diagnostics.by_config(board, tables.calibration, "bin", "share"))
    assert set(shown["family"]) == set(board.everything["family"])
    assert {"gaussian σ=0.01", "mse_mean (gaussian implied)", "logistic σ=1"} <= set(shown["label"])
    for axes, (_, row) in zip(figure.axes, shown.iterrows(), strict=True):
        cells = board.samples[row["config"]].cells
        shares = tables.calibration[tables.calibration["cell"].isin(cells)].groupby("bin")["share"].mean()
        heights = [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]
        assert heights == pytest.approx(np.minimum(shares * len(shares), diagnostics.HIGHEST))
        assert axes.lines[0].get_ydata() == [1, 1]
        texts = [text.get_text() for text in axes.texts]
        assert texts[0] == row["label"]
        assert f"95 %: {numbers.percent(row['coverage_95'])}" in texts[1]


def test_latent_lines_are_the_sorted_divergences(tables: RunTables) -> None:
    board = boards(tables)[0]
    figure = diagnostics.latents(board, tables.latents, svg.Looks.of(board.everything["family"]))
    assert figure is not None
    (axes,) = figure.axes
    line = next(line for line in axes.lines if line.get_label() == "laplace")
    first = board.rows[board.rows["family"] == "laplace"].iloc[0]
    own = [
        np.sort(tables.latents.loc[tables.latents["cell"] == cell, "kl_nats"])[::-1]
        for cell in board.samples[first["config"]].cells
    ]
    assert line.get_ydata() == pytest.approx(np.mean(own, axis=0))
    assert np.sum(own) / len(own) == pytest.approx(first["kl_nats"])
    assert len(axes.lines) == len(board.everything)


def test_diagnostics_table_shows_the_numbers_of_the_run(tables: RunTables, shown: Element) -> None:
    found = ranking(tables)
    table = section(shown, "diagnostics").all("table", class_="diagnosed")[0]
    heads = [head.text for head in table.one("thead").all("th")]
    own = found[found["currency"] == "pmf-K"]
    for row, (_, expected) in zip(table.rows(), own.iterrows(), strict=True):
        cells = dict(zip(heads, (text.replace("−", "-") for text in row), strict=True))
        assert cells["Likelihood"].removesuffix(" recipe") == expected["label"]
        assert float(cells["KLnats"]) == pytest.approx(expected["kl_nats"], abs=0.006)
        assert float(cells["Reconstructionnats"]) == pytest.approx(expected["reconstruction_nats"], abs=0.006)
        assert cells["Collapsed"] == ("yes" if expected["family"] == "mse_mean" else "no")
        assert cells["In 95 %of the values"] == numbers.percent(expected["coverage_95"]).replace("\u00a0", " ")
        ratio = expected["noise_predicted"] / expected["noise_realised"]
        assert cells["Noise× of what is there"].split()[0] == numbers.times(ratio)
        assert float(cells["Jackknife - boundnats".replace("-", "−")]) == pytest.approx(0.01, abs=1e-3)


@pytest.mark.parametrize("currency", ["pmf-K", "pmf-2"])
def test_axis_limits_hold_the_best_with_its_interval(tables: RunTables, currency: str) -> None:
    board = next(board for board in boards(tables) if board.currency == currency)
    best, worst = figures.limits(board)
    assert (best < worst) == (board.better == "lower")
    for name in ("value", "low", "high"):
        assert min(best, worst) < board.rows[name].iloc[0] < max(best, worst)
    assert board.uniform == pytest.approx(np.log2(17) if currency == "pmf-K" else -DIMS * LN2)


@pytest.mark.parametrize("shape", [(3, 5, 4), (3, 5, 4, 1), (2, 4, 7, 3), (1, 6, 6)])
def test_a_strip_is_the_images_side_by_side(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, size=shape, dtype=np.uint8)
    uri = pictures.strip(images)
    back = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    count, height, width = shape[:3]
    assert back.shape == (height, count * (width + 1) - 1, 4)
    colours = images[..., 0] if images.shape[-1] == 1 and images.ndim == 4 else images
    for place in range(count):
        start = place * (width + 1)
        block = back[:, start : start + width, :3]
        assert np.array_equal(
            block, np.broadcast_to(colours[place] if colours.ndim == 4 else colours[place][..., None], block.shape)
        )
        assert (back[:, start : start + width, 3] == 255).all()


@pytest.mark.parametrize("images", [np.zeros((2, 4)), np.zeros((2, 4, 4)), np.zeros((2, 4, 4, 2), np.uint8)])
def test_other_arrays_are_no_pictures(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pictures are uint8"):
        pictures.strip(images)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.05, "5 %"), (1.0, "100 %"), (0.9996, "100 %"), (0.996, "99.6 %"), (0.0, "0 %")]
)
def test_percent(share: float, expected: str) -> None:
    assert numbers.percent(share).replace("\u00a0", " ") == expected


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(9.0, "9"), (9.04, "9"), (9.96, "10"), (1.26, "1.3"), (0.214, "0.21"), (51.8, "52"), (0.2, "0.2"), (140.2, "140")],
)
def test_times(ratio: float, expected: str) -> None:
    assert numbers.times(ratio) == expected


# -- numbers and colours -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(1234.5, 1, "1,234.5"), (-0.25, 2, "−0.25"), (-0.001, 2, "0.00"), (float("nan"), 2, "–"), (None, 0, "–")],
)
def test_number(value: float | None, digits: int, expected: str) -> None:
    assert numbers.number(value, digits) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(61_234.0, "61,200"), (1_940_000.0, "1.94 M"), (87.46, "87.5"), (2.5e9, "2.5 G"), (None, "–")],
)
def test_rate(value: float | None, expected: str) -> None:
    assert numbers.rate(value) == expected


@pytest.mark.parametrize(
    ("place", "expected"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (22, "22nd"), (113, "113th")]
)
def test_ordinal(place: int, expected: str) -> None:
    assert numbers.ordinal(place) == expected


def _schemes() -> list[dict[str, str]]:
    style = (page.TEMPLATES / "style.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)
    )
    return [light, {**light, **dark}]


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", _schemes(), ids=["light", "dark"])
def test_colours_can_be_read(scheme: dict[str, str]) -> None:
    pairs = [("--ink", "--paper"), ("--muted", "--paper"), ("--muted", "--raised"), ("--accent", "--paper")]
    pairs += [("--warn", "--warn-paper"), ("--warn", "--paper"), ("--good", "--good-paper"), ("--tied", "--tied-paper")]
    for text, ground in pairs:
        assert _contrast(scheme[text], scheme[ground]) >= 4.5, f"{text} on {ground}"
    for place in range(len(svg.HUES)):
        assert _contrast(scheme[f"--hue-{place}"], scheme["--paper"]) >= 3, f"hue {place}"


def test_style_sheet_knows_every_colour_of_the_figures() -> None:
    light = _schemes()[0]
    assert {mark: light[variable] for mark, variable in svg.VARIABLES.items()} == {mark: mark for mark in svg.VARIABLES}
