"""Kendall's τ of two places with an interval that holds it, and pairs that turn round."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from vae_core.statistics.pairs import Pairs, all_pairs
from vae_core.statistics.ranks import Agreement, agreement, sure


def place(means: np.ndarray, rng: np.random.Generator, seeds: int = 3, images: int = 50) -> Pairs:
    """Pairs of configurations with these true means: images common to all, noise of images and of seeds, the standard
    error of a score about 0.2."""
    common = rng.gamma(2.0, 10.0, images)
    samples = [
        mean - common + rng.standard_normal(images) + 0.2 * rng.standard_normal((seeds, 1)) for mean in means.tolist()
    ]
    return all_pairs(samples, [tuple(range(seeds))] * len(samples), 0, replicates=200)


def of_means(one: np.ndarray, other: np.ndarray, draw: int, places: int = 2) -> Agreement:
    rng = np.random.default_rng(draw)
    return agreement(place(one, rng), place(other, rng), places)


def test_one_order_and_the_opposite_one() -> None:
    means = np.arange(6) * 10.0
    same, opposite = of_means(means, 3 * means + 100, 1), of_means(means, means[::-1], 1)
    assert (same.tau, same.low, same.high) == (1, 1, 1)
    assert (same.count(same.kept), same.count(same.turned), same.count(same.open)) == (15, 0, 0)
    assert (opposite.tau, opposite.low, opposite.high) == (-1, -1, -1)
    assert (opposite.count(opposite.kept), opposite.count(opposite.turned)) == (0, 15)


@given(st.lists(st.integers(-30, 30), min_size=3, max_size=7, unique=True), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_it_is_scipy_s_tau_within_its_interval(values: list[int], chance: random.Random) -> None:
    means = np.array(values, dtype=float)
    other = np.array(chance.sample(values, len(values)), dtype=float)
    rng = np.random.default_rng(5)
    one, two = place(means, rng), place(other, rng)
    found = agreement(one, two)
    seen = [np.nansum(pairs.lead, axis=1) for pairs in (one, two)]  # sums of leads stand as the scores do
    assert found.tau == pytest.approx(kendalltau(*seen).statistic)
    assert found.low - 1e-12 <= found.tau <= found.high + 1e-12
    assert not (found.kept & found.turned).any()
    assert (
        found.count(found.kept) + found.count(found.turned) + found.count(found.open)
        == len(values) * (len(values) - 1) // 2
    )


@pytest.mark.parametrize("apart", [0.0, 0.15, 0.4, 1.0], ids=lambda apart: f"{apart} between neighbours")
@pytest.mark.parametrize("order", ["same", "opposite", "two exchanged", "level in the other"])
def test_the_interval_holds_the_truth_however_close_they_are(apart: float, order: str) -> None:
    """Where percentiles of resamples hold it in 1 to 96 %. 60 draws: of 95 % fewer than 51 would come once in 1,000."""
    means = apart * np.arange(6)
    other = {
        "same": means,
        "opposite": means[::-1],
        "two exchanged": means[[1, 0, 2, 3, 4, 5]],
        "level in the other": 0 * means,
    }[order]
    rows, columns = np.triu_indices(6, 1)
    truth = np.mean(np.sign(means[rows] - means[columns]) * np.sign(other[rows] - other[columns]))
    found = [of_means(means, other, draw) for draw in range(60)]
    assert sum(one.low - 1e-12 <= truth <= one.high + 1e-12 for one in found) >= 51


def test_of_noise_alone_nothing_turns_round_and_the_interval_covers_zero() -> None:
    """At 5 % more than 11 of 100 would come once in 250."""
    found = [of_means(np.zeros(6), np.zeros(6), 1000 + draw) for draw in range(100)]
    assert sum(bool(one.turned.any() or one.kept.any()) for one in found) <= 11
    assert sum(one.low <= 0 <= one.high for one in found) >= 89
    assert any(abs(one.tau) > 0.3 for one in found)  # which alone looks like something


def test_more_places_make_fewer_orders_sure() -> None:
    rng = np.random.default_rng(2)
    pairs = place(np.arange(6) * 0.7, rng)
    counts = [int(sure(pairs, places).sum()) for places in (1, 2, 12, 10**9)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[2] > counts[3] == 0


def test_what_is_not_compared_takes_no_part() -> None:
    rng = np.random.default_rng(3)
    images = rng.gamma(2.0, 10.0, 50)
    samples = [np.stack([10.0 * index + images + rng.standard_normal(50) for _ in range(2)]) for index in range(4)]
    one = all_pairs(samples, [(0, 1), (0, 1), (0, 1), (7, 8)], 0)
    other = all_pairs(samples[::-1], [(0, 1)] * 4, 0)
    found = agreement(one, other)
    assert (found.count(found.turned), found.count(found.kept), found.count(found.open)) == (3, 0, 0)
    unpaired = all_pairs([sample[:1] for sample in samples], [(3,), (4,), (5,), (6,)], 0)
    assert np.isnan(agreement(one, unpaired)[:3]).all()
    assert not agreement(one, unpaired).open.any()
    with pytest.raises(ValueError, match="4 and 3 configurations"):
        agreement(one, all_pairs(samples[:3], [(0, 1)] * 3, 0))
