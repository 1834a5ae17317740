"""The sentences about a board against the numbers that they are made from."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.report import numbers, ranking, ranking_text
from bench.report.text.doubts import caution
from bench.report.text.verdict import sentences
from bench.statistics.boards import boards
from bench.statistics.rows import Row
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.planted import of, planted
from tests.bench.report.runs import DIMS, LN2, doubted, few, findings, moved, said

#: of densities that were trained on dequantised data alone, as all of the fake run are
UNKNOWN = "but not all were trained on what is scored"


@pytest.mark.slow
@settings(max_examples=15)
@given(data=st.data())
def test_what_is_left_out_is_never_called_best(data: st.DataObject) -> None:
    """Whatever is left out, the leader included, is in no sentence that calls something best, and is always listed."""

    def named(rows: Iterable[Row]) -> set[str]:
        return {name for row in rows for name in (row.label, row.family)}

    tables = few()
    order = ranking(tables)["config"].tolist()
    lost = data.draw(st.lists(st.sampled_from(order), unique=True, min_size=1))
    lost += [order[0]] * (order[0] not in lost and data.draw(st.booleans()))
    spoilt = doubted(tables, lambda cells: cells["config"].isin(lost))
    text = ranking_text(spoilt, 200)
    for board in boards(spoilt):
        spoken = sentences(board)
        names = named(board.left_out) - named(board.ranked)
        listing = next((f for f in spoken.findings if f.topic == "Left out of the ranking"), None)
        assert (listing is None) == (not board.left_out)
        for part in (spoken.headline, spoken.best, *(t for f in spoken.findings for t in f.texts)):
            if re.search(r"\b(fits? best|scores? best|best mean|reaches|come first|ranks|leads)\b", part.striptags()):
                assert not set(re.findall("<b>(.*?)</b>", part)) & names, part
        for row in board.left_out:
            line = next(line for line in text.splitlines() if line.startswith(f"!  {row.label} "))
            assert caution(row.doubts, board.unit) in line
            assert ("<= " if board.unit == "bits/dim" else ">= ") in line
        assert ("the best is not known" in spoken.gap) == bool(board.ranked and board.better_unranked)


@pytest.mark.slow
def test_a_bound_that_beats_the_best_ranked_one_is_said() -> None:
    tables = few()
    first = ranking(tables)["config"].iloc[0]
    label = ranking(tables)["label"].iloc[0]
    for nats, how in ((0.0, "better than that by its mean, but not"), (100.0, "better than that by at least ")):
        lifted = moved(tables, lambda cells: cells["config"] != first, -nats)
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


@pytest.mark.parametrize(
    ("case", "how"),
    [
        ("clear", "is better than that by at least 0.1"),
        ("within noise", "is better than that by its mean, but not beyond noise"),
        ("other seeds", "has a better mean and cannot be compared with that, for they have no seed in common"),
        ("few images", "is better than that by its mean"),
    ],
)
def test_a_left_out_bound_is_said_to_be_better_beyond_noise_alone(case: str, how: str) -> None:
    """In headline and quote alike."""
    ahead = 2.005 if case == "within noise" else 1.9
    tables = planted([of("categorical", 2.01), of("beta_binomial", ahead)], images=12 if case == "few images" else 40)
    if case == "other seeds":
        tables = fake_run.only(tables, lambda cells: (cells["family"] == "categorical") == (cells["seed"] == 2))
    spoken = said(doubted(tables, lambda cells: cells["family"] == "beta_binomial"))
    text = spoken.gap.striptags()
    assert f"the bound of beta_binomial, which cannot be trusted and is not ranked, {how}" in text
    quoted = spoken.quote.striptags()
    assert f"; the bound of beta_binomial, which cannot be trusted, {how}" in quoted
    for part in (text, quoted):
        assert ("at least" in part) == (case == "clear")
        assert ("beyond noise" in part) == (case == "within noise")


@pytest.mark.slow
@settings(max_examples=12)
@given(winner=st.sampled_from(["gaussian", "logistic", "categorical", "continuous_bernoulli", "mse_sum"]))
def test_the_verdict_names_whoever_wins(winner: str) -> None:
    tables = few()
    won = moved(tables, lambda cells: cells["family"] != winner, -300.0)  # raised, it would be above 0 nats
    spoken = said(won)
    assert spoken.headline.striptags() == f"{winner} scores best of the 4 families and 3 recipes tried, {UNKNOWN}"
    assert spoken.best.striptags().startswith(winner)
    assert "more than the noise of images and seeds explains" in spoken.gap
    assert ranking(won)["family"].iloc[0] == winner


def test_two_families_with_one_score_cannot_be_told_apart() -> None:
    tables = fake_run.only(few(), lambda cells: cells["family"].isin(["categorical", "gaussian", "bce_sum"]))
    images = tables.per_image.copy()
    one = tables.cells[tables.cells["family"] == "categorical"].sort_values("seed")["cell"]
    other = tables.cells[(tables.cells["family"] == "gaussian") & (tables.cells["sigma"] == "pixel")]
    noise = np.random.default_rng(0).normal(0, 0.1, size=(3, 60))
    for a, b, shift in zip(one, other.sort_values("seed")["cell"], noise, strict=True):
        images.loc[images["cell"] == b, "iw_nats"] = images.loc[images["cell"] == a, "iw_nats"].to_numpy() + shift
    spoken = said(dataclasses.replace(tables, per_image=images))
    assert "categorical" in spoken.headline
    assert "gaussian" in spoken.headline
    assert spoken.headline.endswith(
        f"score best of the 2 families and 1 recipe tried, and cannot be told apart, {UNKNOWN}"
    )
    assert "not settled" in spoken.gap


def test_one_family_is_not_called_the_best_family(tables: RunTables) -> None:
    spoken = said(tables, "pmf-2")
    assert spoken.headline.striptags() == "Of 3 settings of bernoulli, iwae L=5 fits best"
    assert " Runner-up setting: bernoulli L=5" in spoken.gap.striptags()


@pytest.mark.parametrize("apart", ["beta_binomial", "gaussian"])
def test_nobody_wins_over_a_rival_of_other_seeds(apart: str) -> None:
    """Be it the runner-up or the last: a rival that shares no seed with the first was never compared with it."""
    tables = planted([of("categorical", 2.0), of("beta_binomial", 2.1), of("gaussian", 2.6, "pixel", "binned")])
    other = fake_run.only(tables, lambda cells: (cells["family"] == apart) == (cells["seed"] == 2))
    spoken = said(other)
    name = "gaussian σ=pixel binned" if apart == "gaussian" else apart
    told = f"shares no seed with {name}: which of them is better cannot be judged"
    assert spoken.headline.striptags() == f"categorical has the best mean, but {told}"
    assert re.search(rf"categorical has the best mean, 2\.\d+ bits/dim .*, but {told}", spoken.quote.striptags())
    assert not re.search(r"\bfits?\b|ahead of|highest log-likelihood", spoken.headline + spoken.quote)
    assert not re.search(r"shares? no seed with", said(tables).headline + said(tables).quote)


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
    before = boards(tables)[0].ranked[1]
    away = (before.behind.low - 0.0002) * DIMS * LN2
    board = boards(moved(tables, lambda cells: cells["config"] == before.config, away))[0]
    second = board.ranked[1]
    assert second.config == before.config
    assert second.behind.low > 0
    assert second.verdict == "indistinguishable from the best"
    gap = sentences(board).gap
    assert f"not among {len(board.ranked)} (corrected p = {second.p:.2f})" in gap
    assert "reaches zero" not in gap
