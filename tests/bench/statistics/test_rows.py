"""A row of a ranking: how its numbers are joined over seeds, and which rows may be compared."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.grid.settings import KEYS
from bench.statistics.rows import (
    MATCHED,
    Estimate,
    Row,
    by_family,
    first_of_each,
    grouped,
    joined,
    matched,
    median,
)
from bench.store import RESULT_COLUMNS, Results
from bench.store.columns import columns
from tests.bench.report.runs import few


def cells(**values: list[float]) -> pd.DataFrame:
    """Three seeds of a configuration."""
    everything = {name: [np.nan] * 3 for name, kind in RESULT_COLUMNS.items() if kind != "TEXT"}
    return pd.DataFrame(everything | values)


def of_one(cells: pd.DataFrame) -> tuple[Results, Results]:
    """All cells as one configuration."""
    (found,) = joined(cells, [np.arange(len(cells))])
    return found


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("kl_nats", [1.0, 2.0, 6.0], 3.0),
        ("kl_nats", [1.0, np.nan, 3.0], 2.0),
        ("khat_bad_fraction", [0.1, 0.3, 0.2], 0.3),
        ("khat_bad_fraction", [0.1, np.nan, 0.0], math.nan),
        ("iw_samples", [100.0, 1000.0, 100.0], 1000),
        ("ess_median", [30.0, np.nan, 7.5], 7.5),
        ("collapsed", [1, 0, 1], 2),
        ("collapsed", [np.nan, np.nan, np.nan], 0),
        ("active_units", [4, 5, 5], 14 / 3),
        ("density_nats", [1.0, 2.0, 6.0], 3.0),
        ("bits_per_dim", [1.0, 2.0, 6.0], math.nan),
    ],
)
def test_results_are_joined_as_they_are_declared(name: str, values: list[float], expected: float) -> None:
    results, _ = of_one(cells(**{name: values}))
    assert getattr(results, name) == pytest.approx(expected, nan_ok=True)
    assert isinstance(getattr(results, name), type(expected))


@pytest.mark.parametrize("seeds", [1, 2, 3, 7, 8, 9, 20, 130])
def test_thousands_are_joined_as_pandas_joins_one(seeds: int) -> None:
    """Every bit of it: a page must not change because its run grew."""
    rng = np.random.default_rng(seeds)
    declared = {name: column.joined for name, column in columns() if column.joined}
    values = rng.normal(size=(3 * seeds, len(declared))) * 10.0 ** rng.integers(-3, 4, size=len(declared))
    table = pd.DataFrame(np.where(rng.random(values.shape) < 0.2, np.nan, values), columns=list(declared))
    counts = [name for name, kind in RESULT_COLUMNS.items() if name in declared and kind == "INTEGER"]
    table[counts] = rng.integers(0, 9, size=(len(table), len(counts)))
    places = np.split(rng.permutation(len(table)), 3)
    plain = {
        "mean": pd.Series.mean,
        "mean and deviation": pd.Series.mean,
        "highest": lambda own: own.max(skipna=False),
        "lowest": pd.Series.min,
        "sum": pd.Series.sum,
    }
    for place, (results, deviations) in zip(places, joined(table, places), strict=True):
        own = table.iloc[place]
        for name, word in declared.items():
            np.testing.assert_array_equal(getattr(results, name), plain[word](own[name]), err_msg=name)
            spread = own[name].std() if word == "mean and deviation" else math.nan
            if isinstance(getattr(deviations, name), float):
                np.testing.assert_array_equal(getattr(deviations, name), spread, err_msg=name)


def test_only_what_declares_a_deviation_has_one() -> None:
    _, deviations = of_one(cells(density_nats=[1.0, 2.0, 6.0], kl_nats=[1.0, 2.0, 6.0]))
    assert deviations.density_nats == pytest.approx(np.std([1, 2, 6], ddof=1))
    assert math.isnan(deviations.kl_nats)


def test_every_way_of_joining_is_known() -> None:
    """A column declared with a word that is not would fail where a run is ranked."""
    results, _ = of_one(few().cells.iloc[:3])
    assert not any(math.isnan(getattr(results, name)) for name in ("kl_nats", "iw_samples", "ess_median", "collapsed"))
    assert {column.joined for _, column in columns()} >= {"", "mean", "mean and deviation", "highest", "lowest", "sum"}


def row(label: str = "a", **asked: Any) -> Row:
    return Row(label=label, value=Estimate(1.0), settings={name: KEYS[name].absent for name in MATCHED} | asked)


def test_what_is_compared_agrees_in_training_network_and_schedule() -> None:
    assert {KEYS[name].group for name in MATCHED} == {"training", "network", "schedule"}
    assert {"train_samples", "objective", "bound", "hidden", "latent", "epochs", "precision"} <= set(MATCHED)
    assert len(MATCHED) == sum(key.group in ("training", "network", "schedule") for key in KEYS.values())


@pytest.mark.parametrize("name", MATCHED)
def test_one_setting_apart_is_not_matched(name: str) -> None:
    same, other = row("same"), row("other", **{name: "another"})
    assert matched([other, same], row()) == [same]


def test_what_a_family_implies_sets_nothing_apart() -> None:
    """A recipe and the density that it is held against are asked for in one word; a density on its bins is not."""
    own, dequantised, binned = (row(word, objective=word) for word in ("own", "dequantised", "binned"))
    assert matched([own, dequantised, binned], own) == matched([own, dequantised, binned], dequantised)
    assert matched([own, dequantised, binned], own) == [own, dequantised]


def test_a_negative_factor_exchanges_the_ends() -> None:
    estimate = Estimate(3.0, 1.0, 4.0, 2.0, 3.5, 1.5, 3.25, 2)
    assert estimate.times(-2) == Estimate(-6.0, -8.0, -2.0, -7.0, -4.0, -6.5, -3.0, 2)
    assert estimate.times(-1).times(-1) == estimate
    assert estimate.times(2).low == 2.0


@pytest.mark.parametrize(
    ("sigma", "fixed", "learns"), [("0.1", 0.1, False), ("pixel", math.nan, True), ("", math.nan, False)]
)
def test_a_scale_is_fixed_learned_or_not_there(sigma: str, fixed: float, learns: bool) -> None:
    known = dataclasses.replace(row(), sigma=sigma)
    assert known.fixed_sigma == pytest.approx(fixed, nan_ok=True)
    assert known.learns_sigma == learns


def test_groups_keep_the_order_of_their_rows() -> None:
    rows = [dataclasses.replace(row(str(place)), family=family) for place, family in enumerate("babca")]
    assert {family: [own.label for own in group] for family, group in by_family(rows).items()} == {
        "b": ["0", "2"],
        "a": ["1", "4"],
        "c": ["3"],
    }
    assert [own.label for own in first_of_each(rows, lambda own: own.family)] == ["0", "1", "3"]
    assert list(grouped(rows, lambda own: own.family == "a")) == [False, True]


def test_the_median_is_of_what_is_known() -> None:
    assert median([3.0, math.nan, 1.0]) == 2.0
    assert math.isnan(median([math.nan]))
