"""The laws of the intervals: coverage by simulation, invariance, an independent bootstrap, and the verdicts."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.calls import calls_of
from vae_core.statistics.intervals import (
    Interval,
    Verdict,
    bootstrap_means,
    intervals,
    mean_interval,
    paired_difference,
    rank,
    seed_deviation,
)

SAMPLES = 2000  # simulated experiments per coverage test: a coverage of 0.95 is then known to about 0.01


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def crossed(seeds: int, images: int, between_seeds: float, between_images: float, interaction: float) -> list:
    """Simulated samples [S, N] of mean zero from the crossed random-effects model."""
    draw = generator(7).normal
    return list(
        between_seeds * draw(size=(SAMPLES, seeds, 1))
        + between_images * draw(size=(SAMPLES, 1, images))
        + interaction * draw(size=(SAMPLES, seeds, images))
    )


def coverage(low: np.ndarray, high: np.ndarray) -> float:
    return float(np.mean((low <= 0) & (high >= 0)))


def test_image_part_covers_where_only_images_vary() -> None:
    found = intervals(crossed(3, 200, 0.0, 1.0, 0.0), generator(), replicates=1000)
    assert coverage(found.image_low, found.image_high) == pytest.approx(0.95, abs=0.02)
    assert coverage(found.low, found.high) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_seed_part_covers_where_only_seeds_vary(seeds: int) -> None:
    found = intervals(crossed(seeds, 50, 1.0, 0.0, 0.01), generator(), replicates=300)
    assert coverage(found.seed_low, found.seed_high) == pytest.approx(0.95, abs=0.02)
    assert coverage(found.low, found.high) == pytest.approx(0.95, abs=0.02)
    assert coverage(found.image_low, found.image_high) < 0.2, "images alone say nothing about training noise"


@pytest.mark.parametrize(("seeds", "interaction"), [(2, 0.0), (3, 0.0), (3, 1.0), (10, 0.5)])
def test_joined_interval_covers_where_both_vary(seeds: int, interaction: float) -> None:
    found = intervals(crossed(seeds, 200, 0.08, 1.0, interaction), generator(), replicates=1000)
    assert 0.94 <= coverage(found.low, found.high) <= 0.99
    assert coverage(found.image_low, found.image_high) < 0.94, "neither part is enough alone"


def test_one_seed_leaves_training_noise_unknown() -> None:
    found = intervals(crossed(1, 200, 0.0, 1.0, 0.0), generator(), replicates=1000)
    assert np.isnan(found.seed_low).all()
    assert np.isnan(found.seed_high).all()
    assert (found.low == found.image_low).all()
    assert (found.seeds == 1).all()
    assert coverage(found.low, found.high) == pytest.approx(0.95, abs=0.02)


def test_image_part_agrees_with_scipy() -> None:
    sample = generator(1).gamma(2.0, size=(1, 60))
    theirs = scipy.stats.bootstrap(
        (sample[0],), np.mean, n_resamples=20_000, method="percentile", rng=generator(2)
    ).confidence_interval
    ours = mean_interval(sample, generator(3), replicates=20_000)
    error = 0.02 * (theirs.high - theirs.low)
    assert ours.image_low == pytest.approx(theirs.low, abs=error)
    assert ours.image_high == pytest.approx(theirs.high, abs=error)


def test_seed_part_agrees_with_scipy() -> None:
    sample = generator(1).normal(-90, 3, size=(4, 50))
    theirs = scipy.stats.ttest_1samp(sample.mean(axis=1), 0.0).confidence_interval(0.95)
    ours = mean_interval(sample, generator())
    assert (ours.seed_low, ours.seed_high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)


def test_joined_interval_is_the_stated_formula() -> None:
    found = mean_interval(generator(1).gamma(2.0, size=(3, 40)), generator())
    assert found.low == pytest.approx(found.mean - np.hypot(found.mean - found.image_low, found.mean - found.seed_low))
    assert found.high == pytest.approx(
        found.mean + np.hypot(found.image_high - found.mean, found.seed_high - found.mean)
    )


def test_bootstrap_counts_are_a_resample_of_the_images() -> None:
    """Means of unit vectors are the resample's weights: multiples of 1/N that sum to one, drawn without favour."""
    weights = bootstrap_means(np.eye(40), generator(), replicates=3000)
    assert np.allclose(weights.sum(axis=1), 1)
    assert np.allclose(weights * 40, np.round(weights * 40))
    assert np.abs(weights.mean(axis=0) * 40 - 1).max() < 0.1
    assert weights.var(axis=0).mean() * 1600 == pytest.approx(1 - 1 / 40, rel=0.05)


def test_blocks_of_resamples_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = generator(1).normal(size=(3, 64))
    whole = mean_interval(sample, generator(), replicates=501)
    monkeypatch.setattr("vae_core.statistics.intervals._CHUNK_BYTES", 16 * 64 * 10)
    assert mean_interval(sample, generator(), replicates=501) == pytest.approx(whole)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-1e4, 1e4), st.integers(1, 4))
def test_a_common_shift_moves_means_and_no_difference(seed: int, shift: float, seeds: int) -> None:
    a, b = generator(seed).normal(size=(2, seeds, 30))
    before, after = (paired_difference(a, b, generator(), replicates=50) for a, b in ((a, b), (a + shift, b + shift)))
    assert np.allclose(before, after, atol=1e-9, equal_nan=True)
    moved = mean_interval(a + shift, generator(), replicates=50)
    still = mean_interval(a, generator(), replicates=50)
    assert np.allclose(np.array(moved[:-1]) - shift, still[:-1], atol=1e-9, equal_nan=True)


def test_the_order_of_images_does_not_matter() -> None:
    a, b = generator(1).normal(size=(2, 3, 400))
    shuffled = generator(2).permutation(400)
    one = paired_difference(a, b, generator(3), replicates=20_000)
    other = paired_difference(a[:, shuffled], b[:, shuffled], generator(4), replicates=20_000)
    assert np.allclose(one, other, atol=0.03 * (one.high - one.low))


def test_pairing_is_what_makes_a_small_difference_visible() -> None:
    images = generator(1).normal(-90, 20, size=(1, 500))
    better = images + generator(2).normal(1.0, 0.5, size=(3, 500))
    worse = images + generator(3).normal(0.0, 0.5, size=(3, 500))
    assert paired_difference(better, worse, generator()).low > 0.5
    assert mean_interval(worse, generator()).high > mean_interval(better, generator()).low, "unpaired they overlap"


def test_equal_samples_differ_by_exactly_zero() -> None:
    sample = generator(1).normal(-90, 20, size=(3, 100))
    found = paired_difference(sample, sample.copy(), generator())
    assert np.array_equal(found[:-1], np.zeros(7))
    ranking = rank([sample, sample.copy()], [[0, 1, 2]] * 2, generator())
    assert ranking.verdicts == [Verdict.BEST, Verdict.INDISTINGUISHABLE]


def test_seed_deviation_is_a_deviation_not_an_error() -> None:
    sample = np.array([[1.0, 1.0], [3.0, 3.0]])
    assert seed_deviation(sample) == pytest.approx(np.sqrt(2.0))
    assert np.isnan(seed_deviation(sample[:1]))


def test_rank_orders_and_judges() -> None:
    images = generator(1).normal(-90, 20, size=(1, 400))
    noise = generator(2).normal(0, 0.2, size=(4, 3, 400))
    samples = [images - 5 + noise[0], images + noise[1], images - 0.001 + noise[2], images - 2 + noise[3][:2]]
    found = rank(samples, [[0, 1, 2], [0, 1, 2], [2, 0, 1], [0, 2]], generator())
    assert found.order.tolist()[2:] == [3, 0]
    assert set(found.order[:2].tolist()) == {1, 2}
    assert {found.verdicts[1], found.verdicts[2]} == {Verdict.BEST, Verdict.INDISTINGUISHABLE}
    assert found.verdicts[0] == found.verdicts[3] == Verdict.WORSE
    assert found.deficit.mean[0] == pytest.approx(5, abs=0.1)
    assert found.deficit.low[0] > 4.8
    assert found.deficit.seeds.tolist()[3] == 2


def test_rank_pairs_rows_by_seed_and_not_by_place() -> None:
    images = generator(1).normal(-90, 20, size=(1, 50))
    effect = np.array([[0.0], [30.0], [60.0]])
    found = rank([images + effect, (images + effect - 1)[[2, 0, 1]]], [[0, 1, 2], [2, 0, 1]], generator())
    assert (found.deficit.low[1], found.deficit.high[1]) == pytest.approx((1, 1))
    assert found.verdicts == [Verdict.BEST, Verdict.WORSE]


def test_rank_takes_the_shared_seeds_of_the_best_too() -> None:
    images = generator(1).normal(-90, 20, size=(1, 50))
    effect = np.array([[60.0], [0.0], [30.0]])
    found = rank([images + effect, images + effect[1:2] - 1], [[2, 0, 1], [0]], generator())
    assert (found.deficit.mean[1], found.deficit.seeds[1]) == pytest.approx((1, 1))
    assert found.deficit.low[1] < -30, "one seed of a board whose seeds differ by 30: that noise is its own too"


def test_rank_without_a_common_seed_is_no_comparison() -> None:
    sample = generator(1).normal(-90, 20, size=(1, 50))
    found = rank([sample, sample - 9, sample - 3], [[0], [1], [0]], generator())
    assert found.verdicts == [Verdict.BEST, Verdict.UNPAIRED, Verdict.WORSE]
    assert np.isnan(found.deficit.mean[1])
    assert found.deficit.seeds[1] == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_raise(bad: float) -> None:
    sample = np.zeros((2, 5))
    sample[1, 3] = bad
    for call in (
        lambda: mean_interval(sample, generator()),
        lambda: paired_difference(sample, np.zeros((2, 5)), generator()),
        lambda: rank([np.zeros((2, 5)), sample], [[0, 1]] * 2, generator()),
    ):
        with pytest.raises(ValueError, match="NaN or infinite"):
            call()


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], "nothing to compare"),
        ([np.zeros(5)], r"\[seeds, images\]"),
        ([np.zeros((0, 5))], r"\[seeds, images\]"),
        ([np.zeros((3, 0))], "at least one image"),
        ([np.zeros((3, 5)), np.zeros((3, 6))], "different images: 6 and 5"),
    ],
)
def test_bad_shapes_raise(samples: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        intervals(samples, generator())


def test_bad_pairs_raise() -> None:
    with pytest.raises(ValueError, match="one shape"):
        paired_difference(np.zeros((2, 5)), np.zeros((3, 5)), generator())
    for seeds in ([0], [0, 0]):
        with pytest.raises(ValueError, match="one seed a row"):
            rank([np.zeros((2, 5))], [seeds], generator())


def test_the_generator_decides_everything() -> None:
    sample = generator(1).normal(size=(3, 50))
    assert mean_interval(sample, generator(5)) == mean_interval(sample, generator(5))
    assert mean_interval(sample, generator(5)) != mean_interval(sample, generator(6))


@pytest.mark.slow
def test_sixty_configurations_of_ten_thousand_images_are_ranked_quickly() -> None:
    samples = list(generator(1).normal(-90, 20, size=(60, 3, 10_000)))
    made, _ = calls_of(lambda: rank(samples, [[0, 1, 2]] * 60, generator()))
    assert made < 100_000, "a replicate at a time would take minutes"


def test_at_takes_one_interval_out() -> None:
    found = intervals([np.zeros((2, 5)), np.ones((2, 5))], generator())
    assert isinstance(found.at(1), Interval)
    assert found.at(1).mean == 1.0
