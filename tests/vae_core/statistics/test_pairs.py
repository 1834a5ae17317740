"""Every configuration against every other: the plain path, the correction, and letters."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_core.statistics.intervals import intervals
from vae_core.statistics.pairs import all_pairs, letters
from vae_core.statistics.significance import holm, image_variance, of_pairs, upper_tail


def scores(count: int, seeds: int, images: int, apart: float = 0.0, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    common = rng.gamma(2.0, 10.0, images)
    return [
        -common + apart * place + rng.standard_normal((seeds, 1)) * 0.3 + rng.standard_normal((seeds, images))
        for place in range(count)
    ]


@pytest.mark.parametrize("alike", [True, False])
def test_it_is_the_plain_comparison_of_each_pair(alike: bool) -> None:
    """Against `intervals` of the differences themselves, with and without configurations that lack seeds."""
    samples = scores(7, 3, 60, apart=0.4)
    names: list[tuple[int, ...]] = [(0, 1, 2)] * 7
    if not alike:
        samples[2], names[2] = samples[2][:2], (0, 1)
        samples[5], names[5] = samples[5][1:], (1, 2)
        samples[6], names[6] = samples[6][:1], (9,)
    found = all_pairs(samples, names, 4)
    both = [pair for pair in itertools.combinations(range(7), 2) if set(names[pair[0]]) & set(names[pair[1]])]
    differences = []
    for one, other in both:
        shared = [seed for seed in names[one] if seed in names[other]]
        rows = [samples[i][[names[i].index(seed) for seed in shared]] for i in (one, other)]
        differences.append(rows[0] - rows[1])
    noise = of_pairs(samples, names, both, differences)
    plain = intervals(differences, np.random.default_rng(4), noise=noise)
    v = np.array([image_variance(difference) for difference in differences])
    number = np.array([len(difference) for difference in differences])
    p = holm(np.minimum(2 * upper_tail(np.abs(plain.mean), v, 60, noise.variance / number, noise.freedom), 1))
    for index, (one, other) in enumerate(both):
        assert found.lead[one, other] == pytest.approx(plain.mean[index], abs=1e-12)
        assert found.low[one, other] == pytest.approx(plain.low[index], abs=1e-9)
        assert found.high[one, other] == pytest.approx(plain.high[index], abs=1e-9)
        assert found.p[one, other] == pytest.approx(p[index], rel=1e-6)
        assert found.seeds[one, other] == number[index]
    if not alike:
        assert np.isnan(found.lead[6, :6]).all()
        assert not found.apart[6].any()


def test_rows_and_columns_are_each_others_mirror() -> None:
    found = all_pairs(scores(6, 2, 40, apart=0.5), [(0, 1)] * 6, 0)
    np.testing.assert_array_equal(found.lead, -found.lead.T)
    np.testing.assert_array_equal(found.low, -found.high.T)
    np.testing.assert_array_equal(found.p, found.p.T)
    np.testing.assert_array_equal(found.apart, found.apart.T)
    assert np.isnan(np.diag(found.lead)).all()


def test_with_few_images_there_is_the_difference_alone() -> None:
    found = all_pairs(scores(3, 2, 19), [(0, 1)] * 3, 0)
    assert np.isfinite(found.lead[0, 1])
    assert np.isnan(found.low).all()
    assert np.isnan(found.p).all()
    assert not found.apart.any()


def test_of_equal_configurations_hardly_any_board_has_a_pair_apart() -> None:
    """The promise of the correction, whichever is picked as the one to be compared with: 5 % of boards at most, and
    what chance adds to 200 of them."""
    wrong = sum(
        bool(all_pairs(scores(8, 3, 40, seed=seed), [(0, 1, 2)] * 8, 0, 500).apart.any()) for seed in range(200)
    )
    assert wrong <= 200 * 0.05 + 3 * np.sqrt(200 * 0.05 * 0.95)


def test_what_is_far_apart_is_found() -> None:
    found = all_pairs(scores(6, 3, 100, apart=3.0), [(0, 1, 2)] * 6, 0)
    assert found.apart[~np.eye(6, dtype=bool)].all()


@given(st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_two_share_a_letter_if_and_only_if_they_are_not_apart(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((count, count)) < rng.random(), 1)
    apart = upper | upper.T
    shown = letters(apart)
    for one, other in itertools.combinations(range(count), 2):
        assert bool(set(shown[one]) & set(shown[other])) is not bool(apart[one, other])
    assert shown[0].startswith("a")
    assert all(shown)


def test_letters_run_down_a_ranking() -> None:
    """Neighbours inseparable, others apart: a, ab, bc, c; then twenty-eight that are all apart."""
    near = np.abs(np.subtract.outer(np.arange(4), np.arange(4))) <= 1
    assert letters(~near) == ["a", "ab", "bc", "c"]
    assert letters(~np.eye(28, dtype=bool))[24:] == ["y", "z", "aa", "ab"]
    assert letters(np.zeros((3, 3), dtype=bool)) == ["a", "a", "a"]
