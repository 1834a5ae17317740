"""A fixed reference against the best of several configurations: laws, and the rates of wrong words by simulation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from vae_core.statistics.intervals import Verdict
from vae_core.statistics.references import versus_reference


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def board(count: int, seeds: int = 3, images: int = 60, noise: float = 0.2) -> list[np.ndarray]:
    rng = generator(1)
    difficulty = rng.normal(-90, 10, size=images)
    training = noise * rng.normal(size=(count, seeds, 1))
    return list(difficulty + training + rng.normal(size=(count, seeds, images)))


def named(samples: list[np.ndarray]) -> list[range]:
    return [range(len(sample)) for sample in samples]


def test_the_difference_is_reference_minus_configuration_and_words_follow_its_sign() -> None:
    samples = board(6)
    base = samples[2].mean(axis=0)
    worse, equal, better = versus_reference(samples, named(samples), 2, [base - 3, base, base + 3], generator())
    assert (worse.interval.mean, equal.interval.mean, better.interval.mean) == pytest.approx((-3, 0, 3))
    assert [one.verdict for one in (worse, equal, better)] == [Verdict.WORSE, Verdict.INDISTINGUISHABLE, Verdict.BETTER]
    assert worse.interval.low < -3 < worse.interval.high < 0 < better.interval.low < 3 < better.interval.high
    assert max(worse.p, better.p) < 0.05 < equal.p


def test_one_configuration_against_one_reference_with_one_seed_is_students_paired_test() -> None:
    """Nothing is known of training noise, nothing was picked: the two-sided test over images."""
    (sample,) = board(1, seeds=1)
    reference = sample[0] + generator(4).normal(0.2, 1, size=60)
    (found,) = versus_reference([sample], [[0]], 0, [reference], generator())
    assert found.p == pytest.approx(scipy.stats.ttest_rel(reference, sample[0]).pvalue, rel=1e-5)
    assert np.isnan(found.interval.seed_low)


def test_how_many_could_have_been_picked_counts_against_the_configuration_alone() -> None:
    samples = board(20)
    few = samples[:6]  # enough for a common law
    above, below = samples[0].mean(axis=0) + 0.5, samples[0].mean(axis=0) - 0.5
    ps = {
        (len(some), side): versus_reference(some, named(some), 0, [reference], generator())[0].p
        for some in (few, samples)
        for side, reference in (("better", above), ("worse", below))
    }
    assert ps[20, "worse"] > ps[20, "better"]
    assert ps[6, "worse"] == pytest.approx(6 * ps[6, "better"], rel=1e-6)
    assert ps[20, "worse"] == pytest.approx(20 * ps[20, "better"], rel=1e-6)


def test_several_references_are_corrected_by_holm() -> None:
    samples = board(6)
    ends = [samples[0].mean(axis=0) - 0.4, samples[0].mean(axis=0) + 9]
    alone = [versus_reference(samples, named(samples), 0, [end], generator())[0].p for end in ends]
    both = versus_reference(samples, named(samples), 0, ends, generator())
    assert [one.p for one in both] == pytest.approx([alone[0], 2 * alone[1]])


def test_fewer_than_twenty_images_judge_nothing() -> None:
    for images, verdict in ((19, Verdict.UNJUDGED), (20, Verdict.WORSE)):
        samples = board(6, images=images)
        (found,) = versus_reference(samples, named(samples), 0, [samples[0].mean(axis=0) - 5], generator())
        assert found.interval.mean == pytest.approx(-5)
        assert found.verdict is verdict
        assert [bool(np.isnan(end)) for end in (found.p, found.interval.low, found.interval.high)] == [images < 20] * 3


@pytest.mark.parametrize("wrong", [np.zeros(59), np.zeros((3, 60)), np.full(60, -np.inf)])
def test_a_reference_of_other_images_raises(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"one number for each of 60 images|NaN or infinite"):
        versus_reference(board(6), named(board(6)), 0, [wrong], generator())
    assert versus_reference(board(6), named(board(6)), 0, [], generator()) == []
