"""Data drawn from the model are calibrated, whatever the family; noise that is wrong shows, and shows which way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from tests.vae_core.likelihoods.cases import Case, cases, few, raw_for, suitable_levels
from vae_core import laws, likelihoods
from vae_core.evaluate.calibration import ACTIVE, Calibration, calibration, latents
from vae_core.laws.setting import sized
from vae_core.likelihoods import Likelihood, stack

ALL = cases()
IMAGES, DIMS = 600, 8


def masses_of_all_levels(lik: Likelihood, raw: Tensor, dims: int, levels: int) -> Tensor:
    """P(k_d = k), [N, K, D], float64."""
    k = torch.arange(levels).reshape(1, levels, 1).expand(1, levels, dims)
    return lik.log_masses(k, raw.unsqueeze(1), levels).detach().double().exp()


def drawn(lik: Likelihood, raw: Tensor, dims: int, levels: int, seed: int = 0) -> Tensor:
    """Levels [N, D] from the exact masses, by the inverse CDF."""
    upto = masses_of_all_levels(lik, raw, dims, levels).cumsum(1)
    u = torch.rand(len(raw), 1, dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (u * upto[:, -1:] > upto).sum(1).clamp(max=levels - 1)


def off_uniform(histogram: Tensor, error: Tensor) -> float:
    """The worst bin's distance from uniform in standard errors."""
    return float(((histogram - 1 / len(histogram)).abs() / (error + 1e-6)).max())


def equal(found: Calibration, expected: Calibration, rtol: float, atol: float) -> None:
    for name in Calibration._fields:
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=rtol, atol=atol)


# -- the predicted noise -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [case for case in cases(coupled=True) if "renormalised" not in str(case)], ids=str)
def test_coupled_channels_are_predicted_given_the_image_s_own_earlier_ones(case: Case) -> None:
    """What is drawn one channel after the other is calibrated, also in a stack."""
    lik, rows = case.make(5), 300
    dims = sized(lik, 2)
    raw = laws.raw_outputs(lik, dims, rows, "random")
    k = lik.level_of(lik.sample(raw, torch.Generator().manual_seed(0)), 5)
    found = calibration(k, raw, lik, 5)
    assert off_uniform(found.histogram, found.histogram_error) < 5
    assert float(found.noise_ratio) == pytest.approx(1, abs=0.12)
    each, few = [case.make(5) for _ in range(2)], 20
    for one in each:
        sized(one, 2)
    both = torch.stack([raw[:few], raw[few : 2 * few]])
    stacked = calibration(k[:few], both, stack(each), 5)
    for model, own in enumerate(both):
        alone = calibration(k[:few], own, lik, 5)
        torch.testing.assert_close(stacked.histogram[model], alone.histogram, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_data_drawn_from_the_model_are_calibrated(case: Case) -> None:
    levels = suitable_levels(case.make())[0] if case.make().view == "binary" else 17
    lik = case.make(levels)
    raw = raw_for(lik, DIMS, "random", rows=IMAGES, seed=1)
    found = calibration(drawn(lik, raw, DIMS, levels), raw, lik, levels)
    assert float(found.histogram.sum()) == pytest.approx(1, abs=1e-12)
    assert off_uniform(found.histogram, found.histogram_error) < 5
    assert float(found.deviation) < 2 * float(found.deviation_by_chance) + 1e-6
    assert abs(float(found.coverage_50) - 0.5) < 5 * float(found.coverage_50_error) + 1e-6
    assert abs(float(found.coverage_95) - 0.95) < 5 * float(found.coverage_95_error) + 1e-6
    if float(found.noise_predicted) > 1e-3:  # else hardly a draw differs from the likeliest level
        assert float(found.noise_ratio) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("family", "options"), [("gaussian", {"sigma": 0.05}), ("binomial", {"levels": 17})])
def test_the_upper_edge_alone_is_not_uniform(family, options) -> None:
    """The counterexample: F(k) of the same data, as the continuous PIT has it, piles up above."""
    lik = likelihoods.make(family, **options)
    raw = raw_for(lik, DIMS, "random", rows=IMAGES, seed=1)
    k = drawn(lik, raw, DIMS, 17)
    upper = masses_of_all_levels(lik, raw, DIMS, 17).cumsum(1).gather(1, k.unsqueeze(1)).squeeze(1)
    inside = torch.stack([((upper > b / 20) & (upper <= (b + 1) / 20 + 1e-9)).double().mean(1) for b in range(20)], -1)
    histogram, error = inside.mean(0), inside.std(0) / math.sqrt(IMAGES)
    assert off_uniform(histogram, error) > 10
    found = calibration(k, raw, lik, 17)
    assert off_uniform(found.histogram, found.histogram_error) < 5


def test_it_is_the_mean_of_the_randomised_transform() -> None:
    """Against u ~ U[F(k−1), F(k)] with F from scipy, open ends and all; data from another σ, so that it is not flat."""
    levels, bins, repeats = 17, 10, 200
    lik = likelihoods.make("gaussian", sigma=0.08)
    loc = torch.rand(200, DIMS, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    k = drawn(likelihoods.make("gaussian", sigma=0.15), loc, DIMS, levels)
    found = calibration(k, loc, lik, levels, bins=bins)

    edges = np.arange(levels + 1.0) / levels
    edges[0], edges[-1] = -np.inf, np.inf
    low, high = (stats.norm.cdf(edges[k.numpy() + side], loc.numpy(), 0.08) for side in (0, 1))
    u = low + (high - low) * np.random.default_rng(0).random((repeats, *low.shape))
    counts = np.stack([np.histogram(draw, bins, (0, 1))[0] for draw in u]) / low.size
    error = counts.std(0) / math.sqrt(repeats)
    assert (np.abs(found.histogram.numpy() - counts.mean(0)) < 5 * error).all()
    for (left, right), coverage in (((0.25, 0.75), found.coverage_50), ((0.025, 0.975), found.coverage_95)):
        shares = ((u > left) & (u < right)).mean((1, 2))
        assert abs(float(coverage) - shares.mean()) < 5 * shares.std() / math.sqrt(repeats)


@pytest.mark.parametrize("times", [0.5, 1.0, 2.0])
def test_a_wrong_scale_shows_which_way_it_is_wrong(times) -> None:
    """Fine levels, so that coverage is that of two normals: P(|Z| < z_q times)."""
    lik = likelihoods.make("gaussian", sigma=0.08 * times)
    loc = torch.full((2000, 4), 0.5)
    k = drawn(likelihoods.make("gaussian", sigma=0.08), loc, 4, 256)
    found = calibration(k, loc, lik, 256)
    assert float(found.noise_predicted) == pytest.approx(0.08 * times, rel=0.01)
    assert float(found.noise_realised) == pytest.approx(0.08, rel=0.03)
    assert float(found.noise_ratio) == pytest.approx(1 / times, rel=0.03)
    for nominal, coverage in ((0.5, found.coverage_50), (0.95, found.coverage_95)):
        expected = 2 * stats.norm.cdf(stats.norm.isf((1 - nominal) / 2) * times) - 1
        assert float(coverage) == pytest.approx(expected, abs=0.02)
    ends, middle = float(found.histogram[[0, -1]].mean()), float(found.histogram[9:11].mean())
    if times < 1:  # too sure: a U
        assert ends > 2 / 20 > 1 / 20 > middle
    elif times > 1:  # not sure enough: the other way round
        assert ends < 0.5 / 20 < 1 / 20 < middle
    assert (float(found.deviation) > 5 * float(found.deviation_by_chance)) == (times != 1)


def test_two_levels_by_hand() -> None:
    """P(1) = 0.3: a 0 is spread over [0, 0.7], a 1 over [0.7, 1]."""
    lik = likelihoods.make("bernoulli")
    raw = torch.full((2, 1), math.log(0.3 / 0.7), dtype=torch.float64)
    found = calibration(torch.tensor([[0], [1]]), raw, lik, 2, bins=10)
    black, white = [1 / 7] * 7 + [0] * 3, [0] * 7 + [1 / 3] * 3
    assert found.histogram.tolist() == pytest.approx([(b + w) / 2 for b, w in zip(black, white, strict=True)])
    assert float(found.coverage_50) == pytest.approx((0.45 / 0.7 + 0.05 / 0.3) / 2)
    assert float(found.noise_predicted) == pytest.approx(math.sqrt(0.21) / 2)
    assert float(found.noise_realised) == pytest.approx(math.sqrt((0.09 + 0.49) / 2) / 2)
    assert float(found.deviation) == pytest.approx(0.5 * (7 * abs(1 / 14 - 0.1) + 3 * abs(1 / 6 - 0.1)))


def test_a_level_that_was_thought_impossible_is_an_end_of_the_histogram() -> None:
    lik = likelihoods.make("gaussian", sigma=1e-3)
    k = torch.tensor([[0, 0], [255, 255], [100, 100], [100, 100]])
    raw = torch.tensor([[0.9, 0.9], [0.1, 0.1], [0.9, 0.9], [0.1, 0.1]])
    found = calibration(k, raw, lik, 256)
    assert found.histogram.tolist() == pytest.approx([0.5, *[0] * 18, 0.5])
    assert float(found.coverage_95) == 0


@pytest.mark.parametrize("case", few(), ids=str)
def test_how_it_is_cut_changes_nothing(case: Case) -> None:
    levels = suitable_levels(case.make())[0] if case.make().view == "binary" else 17
    lik = case.make(levels)
    raw = raw_for(lik, 3, "random", rows=7, seed=3, dtype=torch.float64)
    k = torch.randint(levels, (7, 3), generator=torch.Generator().manual_seed(3))
    whole = calibration(k, raw, lik, levels)
    for floats in (1, 3 * 5, 3 * levels * 2):
        equal(calibration(k, raw, lik, levels, floats=floats), whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("family", likelihoods.names())
def test_a_stack_is_each_model_alone(family) -> None:
    for case in (case for case in ALL if case.family == family):
        levels = suitable_levels(case.make())[0] if case.make().view == "binary" else 17
        lik = case.make(levels)
        stacked = stack([lik, lik])
        if lik.needs_fit or "optimal" in str(lik.stack_key()):
            stacked.set_residual_statistic(torch.full((2,), 0.04))
        raw = raw_for(lik, 3, "random", rows=2 * 5, seed=4, dtype=torch.float64).reshape(2, 5, -1)
        k = torch.randint(levels, (5, 3), generator=torch.Generator().manual_seed(4))
        together = calibration(k, raw, stacked, levels, floats=50)
        alone = [calibration(k, own, lik, levels) for own in raw]
        expected = Calibration(*(torch.stack(values) for values in zip(*alone, strict=True)))
        equal(together, expected, rtol=1e-6, atol=1e-8)


def test_models_of_a_stack_keep_their_own_scale() -> None:
    members = [likelihoods.make("gaussian", sigma=sigma) for sigma in (0.05, 0.1, 0.2)]
    loc = torch.rand(3, 20, 4, generator=torch.Generator().manual_seed(5))
    k = torch.randint(17, (20, 4), generator=torch.Generator().manual_seed(5))
    found = calibration(k, loc, stack(members), 17)
    alone = [calibration(k, own, lik, 17) for own, lik in zip(loc, members, strict=True)]
    equal(found, Calibration(*(torch.stack(values) for values in zip(*alone, strict=True))), rtol=1e-6, atol=1e-8)
    assert (found.noise_predicted.diff() > 0).all()


def test_one_image_has_no_standard_error() -> None:
    found = calibration(torch.tensor([[3, 4]]), torch.zeros(1, 2), likelihoods.make("gaussian", sigma=0.1), 17)
    assert float(found.histogram.sum()) == pytest.approx(1)
    assert found.histogram_error.isnan().all()
    assert found.deviation_by_chance.isnan()


@pytest.mark.parametrize(
    ("k", "raw", "sentence"),
    [
        ((2, 2, 3), (2, 6), r"k must be \[N, D\], given shape \[2, 2, 3\]: flatten the images"),
        ((2, 3), (2, 4), r"raw must be \[2, 3\] for k \[2, 3\], given shape \[2, 4\]"),
        ((2, 3), (5, 2, 3), r"raw must be \[2, 3\] for k \[2, 3\], given shape \[5, 2, 3\]"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(k, raw, sentence) -> None:
    lik = likelihoods.make("gaussian", sigma=0.1)
    with pytest.raises(ValueError, match=sentence):
        calibration(torch.zeros(k, dtype=torch.long), torch.zeros(raw), lik, 17)


# -- the latent dimensions ---------------------------------------------------------------------------------------------


def test_latents_by_hand() -> None:
    """KL(N(m, s²) ‖ N(0, 1)) = (m² + s² − 1 − ln s²)/2."""
    mean = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [3.0, 0.0]])
    log_variance = torch.tensor([[0.0, math.log(0.5)], [0.0, math.log(0.5)], [0.0, 0.0]])
    found = latents(mean, log_variance)
    assert found.kl.tolist() == pytest.approx([11 / 6, (0.5 - 1 + math.log(2)) / 3], rel=1e-6)
    assert found.mean_variance.tolist() == pytest.approx([4, 0])
    assert found.active.tolist() == [True, False]
    assert int(found.active_units) == 1
    assert found.silent.tolist() == [False, False]
    assert not found.collapsed


def test_a_dimension_is_active_above_a_hundredth() -> None:
    spread = torch.tensor([0.9, 1.1]) * ACTIVE
    mean = torch.stack([spread.sqrt() / math.sqrt(2), -spread.sqrt() / math.sqrt(2)])
    assert latents(mean, torch.zeros(2, 2)).active.tolist() == [False, True]


def test_collapse_allows_one_image_in_a_hundred() -> None:
    """KL = m²/2: 0.005 nats at m = 0.1, and far from collapsed at m = 2."""
    mean = torch.full((200, 3), 0.1)
    mean[:2, 1], mean[:3, 2] = 2.0, 2.0
    nothing = torch.zeros(200, 3)
    found = latents(mean, nothing)
    assert found.silent.tolist() == [True, True, False]
    assert not found.collapsed
    assert latents(mean[:, :2], nothing[:, :2]).collapsed
    assert not latents(mean[:, :1], nothing[:, :1], epsilon=0.004).collapsed
    assert latents(mean, nothing, delta=0.02).collapsed


def test_latents_of_several_models() -> None:
    generator = torch.Generator().manual_seed(6)
    mean = torch.randn(3, 50, 4, generator=generator) * torch.tensor([0.0, 0.01, 1.0]).reshape(3, 1, 1)
    log_variance = 0.01 * torch.randn(3, 50, 4, generator=generator)
    together = latents(mean, log_variance)
    alone = [latents(*own) for own in zip(mean, log_variance, strict=True)]
    for name in ("kl", "mean_variance", "active", "silent", "active_units", "collapsed"):
        torch.testing.assert_close(getattr(together, name), torch.stack([getattr(one, name) for one in alone]))
    assert together.collapsed.tolist() == [True, True, False]
    assert together.active_units.tolist() == [0, 0, 4]
