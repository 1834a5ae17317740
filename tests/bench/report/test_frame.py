"""The ranking as a table: its order, its numbers, what is in it and what is left out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.report import ranking
from bench.store import BAD_SHARE, RunTables
from tests.bench.report import fake_run
from tests.bench.report.runs import DIMS, LN2, doubted, few
from vae_core.statistics import intervals as compare


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
    grey = found[(found["currency"] == "pmf-K") & found["trusted"]]
    done = tables.cells[tables.cells["status"] == "done"].set_index(["config", "seed"])["cell"]
    images = dict(list(tables.per_image.groupby("cell")["iw_nats"]))

    seeds = [sorted(done[config].index) for config in grey["config"]]
    samples = [
        np.stack([images[done[config, seed]].to_numpy() for seed in some])
        for config, some in zip(grey["config"], seeds, strict=True)
    ]
    lead = compare.rank(samples, seeds, np.random.default_rng(5)).deficit.at(4)
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


def test_a_configuration_without_a_shared_seed_is_not_judged(tables: RunTables) -> None:
    best = ranking(tables)["config"].iloc[0]
    kept = fake_run.only(tables, lambda cells: (cells["config"] == best) == (cells["seed"] == 0))
    found = ranking(kept)
    found = found[(found["currency"] == "pmf-K") & found["trusted"]]
    assert set(found["verdict"].iloc[1:]) == {"not comparable with the best: no seed in common"}
    assert found["worse_by"].iloc[1:].isna().all()


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
    tables = few()
    config = ranking(tables)["config"].iloc[3]
    chosen = doubted(tables, lambda cells: (cells["config"] == config) & (cells["seed"] == 1), **facts)
    found = ranking(chosen).set_index("config")
    assert not found.loc[config, "trusted"]
    assert reason in found.loc[config, "caution"]
    assert found["trusted"].sum() == len(found) - 1


def test_a_bound_that_still_rises_in_one_seed_is_left_out() -> None:
    tables = few()
    config = ranking(tables)["config"].iloc[3]
    cell = tables.cells.loc[tables.cells["config"] == config, "cell"].iloc[1]
    bounds = tables.bounds.copy()
    bounds.loc[(bounds["cell"] == cell) & (bounds["samples"] == 100), "bound_nats"] -= 10
    row = ranking(dataclasses.replace(tables, bounds=bounds)).set_index("config").loc[config]
    assert row["caution"].startswith("gains 0.0")
    assert row["caution"].endswith("bits/dim per doubling of L")


@pytest.mark.slow
@settings(max_examples=15)
@given(data=st.data())
def test_the_ranking_is_that_of_the_tables_without_what_is_left_out(data: st.DataObject) -> None:
    tables = few()
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
