"""End bins that are closed and renormalised: by extended precision, by scipy, by the truncated Gaussian."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import torch

from tests.vae_core.likelihoods.oracles import TruncatedToUnit
from vae_core import laws, likelihoods
from vae_core.likelihoods import Likelihood, stack

LINE: dict[str, dict[str, Any]] = {"gaussian": {}, "laplace": {}, "logistic": {}, "student_t": {"df": 3.0}}
FAMILIES = pytest.mark.parametrize("family", LINE)
#: far outside on either side, on an edge of the data and of bins, within
LOCATIONS = (-50.0, -1.0, -0.1, 0.0, 1e-3, 0.25, 0.5, 0.97, 1.0, 3.0, 1000.0)


def closed(family: str, **options: Any) -> Any:
    return likelihoods.make(family, ends="renormalised", **LINE.get(family, {}), **options)


def exact_cdf(family: str) -> Callable[[Any], Any]:
    """F(z) of the standard distribution, whatever its digits are asked for."""

    def student_t(z: Any) -> Any:
        tail = mpmath.betainc(1.5, 0.5, 0, 3 / (3 + z * z), regularized=True) / 2
        return tail if z < 0 else 1 - tail

    return {
        "gaussian": lambda z: mpmath.erfc(-z / mpmath.sqrt(2)) / 2,
        "laplace": lambda z: mpmath.exp(z) / 2 if z < 0 else 1 - mpmath.exp(-z) / 2,
        "logistic": lambda z: 1 / (1 + mpmath.exp(-z)),
        "student_t": student_t,
    }[family]


@FAMILIES
@pytest.mark.parametrize(("levels", "k"), [(2, 0), (2, 1), (256, 0), (256, 1), (256, 128), (256, 255)])
def test_masses_agree_with_extended_precision(family: str, levels: int, k: int) -> None:
    """To 1e-9 in float64 and 1e-4 in float32, where all masses before division are e^{−1,250,000,000} too."""
    cdf = exact_cdf(family)
    for sigma in (1e-3, 0.1, 50.0):
        for location in (-50.0, -0.1, 0.3, 1.0, 7.0):
            with mpmath.workdps(60):
                center, scale = mpmath.mpf(location), mpmath.mpf(sigma)

                def inside(low: Any, high: Any, center: Any = center, scale: Any = scale) -> Any:
                    a, b = (low - center) / scale, (high - center) / scale
                    return cdf(b) - cdf(a) if a + b < 0 else cdf(-a) - cdf(-b)

                bins = inside(mpmath.mpf(k) / levels, mpmath.mpf(k + 1) / levels)
                expected = float(mpmath.log(bins / inside(mpmath.mpf(0), mpmath.mpf(1))))
            for dtype, near in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
                raw = torch.tensor([location], dtype=dtype)
                found = float(closed(family, sigma=sigma).log_masses(torch.tensor([k]), raw, levels))
                assert found == pytest.approx(expected, rel=near, abs=near), (sigma, location, dtype)


@pytest.mark.parametrize(
    ("family", "options"),
    [*((family, {}) for family in LINE), *(("student_t", {"df": df}) for df in (0.5, 200.0, 1e6))],
    ids=str,
)
def test_they_hold_far_outside_and_at_tiny_scales(family: str, options: dict[str, Any]) -> None:
    """Masses sum to 1, gradients are finite, and float32 is float64, at K = 2 and K = 256."""
    raw = torch.tensor(LOCATIONS).unsqueeze(-1)
    for sigma in (1e-3, 0.1, 2.0, 1e4):
        for levels in (2, 256):
            lik = likelihoods.make(family, sigma=sigma, ends="renormalised", **options)
            single, double = laws.masses(lik, raw, levels), laws.masses(lik, raw.double(), levels)
            assert (single.double().logsumexp(1).exp() - 1).abs().max() < 1e-5
            assert (double.logsumexp(1).exp() - 1).abs().max() < 1e-8
            torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-5)
            wanted = raw.clone().requires_grad_()
            k = torch.arange(levels).reshape(1, -1, 1).expand(len(raw), -1, 1)
            for score in (
                lik.log_mass(k, wanted.unsqueeze(1).expand(-1, levels, -1), levels),
                lik.log_prob((k + 0.5) / levels, wanted.unsqueeze(1).expand(-1, levels, -1)),
            ):
                assert torch.isfinite(score).all()
                assert torch.isfinite(torch.autograd.grad(score.sum(), wanted)[0]).all()


@FAMILIES
def test_they_are_scipy_s_truncated_to_the_unit_interval(family: str) -> None:
    lik = closed(family, sigma=0.15)
    raw = torch.linspace(-0.4, 1.5, 20, dtype=torch.float64).unsqueeze(-1)
    oracle = TruncatedToUnit(lik.oracle(raw))
    np.testing.assert_allclose(laws.masses(lik, raw, 17).numpy(), oracle.log_masses(17)[:, 0], rtol=1e-7, atol=1e-9)
    x = torch.linspace(0, 1, 20, dtype=torch.float64).unsqueeze(-1)
    np.testing.assert_allclose(lik.log_prob(x, raw).numpy(), oracle.logpdf(x.numpy())[:, 0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sigma", [1e-3, 0.3, 5.0, "pixel", "image"])
@pytest.mark.parametrize("kind", ["random", "extreme"])
def test_a_gaussian_is_the_truncated_gaussian(sigma: float | str, kind: str) -> None:
    ours, other = closed("gaussian", sigma=sigma), likelihoods.make("truncated_gaussian", sigma=sigma)
    raw = laws.raw_outputs(ours, 8, 50, kind, torch.float64)
    k = torch.randint(17, (50, 8), generator=torch.Generator().manual_seed(1))
    x = (k + 0.25) / 17
    torch.testing.assert_close(ours.log_masses(k, raw, 17), other.log_masses(k, raw, 17), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(ours.log_prob(x, raw), other.log_prob(x, raw), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(ours.mean(raw), other.mean(raw), rtol=0, atol=1e-7)


@pytest.mark.parametrize("location", LOCATIONS)
def test_the_mean_is_that_of_the_truncated_density(location: float) -> None:
    """A Laplace's in closed form: with l and r from the peak to the ends in σ, m(t) = 1 − (1+t) e^{−t},
    P + σ (m(r) − m(l)) / (2 − e^{−l} − e^{−r})."""
    for sigma in (1e-3, 0.2, 30.0):
        peak = min(max(location, 0.0), 1.0)
        with mpmath.workdps(40):
            left, right = mpmath.mpf(peak) / sigma, (1 - mpmath.mpf(peak)) / sigma

            def first(reach: Any) -> Any:
                return 1 - (1 + reach) * mpmath.exp(-reach)

            expected = peak + sigma * (first(right) - first(left)) / (2 - mpmath.exp(-left) - mpmath.exp(-right))
        found = closed("laplace", sigma=sigma).mean(torch.tensor([location], dtype=torch.float64))
        assert float(found) == pytest.approx(float(expected), abs=1e-7)


@pytest.mark.parametrize(("location", "sigma"), [(-50.0, 0.5), (0.2, 1e-3), (1.3, 0.4)])
@FAMILIES
def test_draws_are_of_the_truncated_density(family: str, location: float, sigma: float) -> None:
    lik = closed(family, sigma=sigma)
    raw = torch.full((5_000, 1), location)
    draws = lik.sample(raw, torch.Generator().manual_seed(0))
    assert float(draws.min()) >= 0
    assert float(draws.max()) <= 1
    seen = torch.bincount(lik.level_of(draws, 256).flatten(), minlength=256).double() / len(raw)
    expected = laws.masses(lik, raw[:1], 256)[0].double().exp()
    assert ((seen - expected).abs() <= 6 * (expected / len(raw)).sqrt() + 1e-4).all()


def test_a_mixture_of_one_is_the_logistic_with_renormalised_ends() -> None:
    raw = 5 * torch.randn(200, 3 * 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for levels in (2, 17, 256):
        k = torch.randint(levels, (200, 4), generator=torch.Generator().manual_seed(1))
        mixture: Any = likelihoods.make("logistic_mixture", levels=levels, components=1, ends="renormalised")
        _, location, log_scale = (part.squeeze(-2) for part in mixture._split(raw))
        logistic = closed("logistic", sigma=1.0)
        expected = logistic.binned_log_masses(k, location / levels, log_scale - math.log(levels), levels)
        torch.testing.assert_close(mixture.log_masses(k, raw, levels), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("levels", [2, 256])
def test_a_mixture_whose_components_lie_far_outside_still_sums_to_one(levels: int) -> None:
    lik = likelihoods.make("logistic_mixture", levels=levels, components=3, ends="renormalised")
    raw = torch.randn(100, 9, generator=torch.Generator().manual_seed(2)) * torch.tensor(
        [3.0] * 3 + [50.0] * 3 + [4.0] * 3
    )
    raw[:30, 3:6] = -1000.0
    raw[30:60, 6:] = -30.0  # as narrow as they get
    for dtype, near in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        wanted = raw.to(dtype).requires_grad_()
        k = torch.arange(levels).reshape(1, -1, 1).expand(len(raw), -1, 1)
        found = lik.log_masses(k, wanted.unsqueeze(1).expand(-1, levels, -1), levels).squeeze(-1)
        assert (found.double().logsumexp(-1).exp() - 1).abs().max() < near
        assert torch.isfinite(torch.autograd.grad(found.sum(), wanted)[0]).all()


def test_a_mixture_that_is_open_is_not_changed_by_the_option() -> None:
    raw = torch.randn(20, 15 * 3, generator=torch.Generator().manual_seed(3))
    k = torch.randint(17, (20, 3), generator=torch.Generator().manual_seed(4))
    plain, said = (likelihoods.make("logistic_mixture", levels=17, **more) for more in ({}, {"ends": "open"}))
    assert torch.equal(plain.log_masses(k, raw, 17), said.log_masses(k, raw, 17))


# -- the same model with other ends ------------------------------------------------------------------------------------


def renormalised(lik: Likelihood) -> Likelihood:
    found = lik.renormalised()
    assert found is not None
    return found


@pytest.mark.parametrize("family", [*LINE, "logistic_mixture"])
def test_inner_masses_are_those_of_open_ends_over_what_is_within(family: str) -> None:
    """P(k)/P(j) of two inner levels is what it was; and the option gives what `renormalised` gives."""
    levels = {"levels": 17} if family == "logistic_mixture" else {}
    opened = likelihoods.make(family, **LINE.get(family, {}), **levels)
    opened.initialise(0.4)
    raw = laws.raw_outputs(opened, 1, 30, "random", torch.float64)
    before, after = laws.masses(opened, raw, 17), laws.masses(renormalised(opened), raw, 17)
    torch.testing.assert_close((after - before)[:, 1:-1], (after - before)[:, 1:2].expand(-1, 15), rtol=1e-8, atol=1e-8)
    assert (after[:, 1:-1] > before[:, 1:-1]).all()
    other = closed(family, **levels)
    other.initialise(0.4)
    torch.testing.assert_close(laws.masses(other, raw, 17), after)
    assert opened.open_ends
    assert not other.open_ends


@pytest.mark.parametrize("scoring", ["gaussian_implied", "gaussian_fitted"])
def test_a_recipe_s_gaussian_is_renormalised_over_the_data_s_bins(scoring: str) -> None:
    """Of grey values: bins of width 1/(K−1) about k/(K−1), by scipy."""
    from scipy import stats

    lik: Any = likelihoods.make("mse_sum", score=scoring)
    if scoring == "gaussian_fitted":
        lik.set_residual_statistic(torch.tensor(0.04))
    raw = torch.linspace(-0.5, 1.5, 9, dtype=torch.float64).unsqueeze(-1)
    sigma = 0.2 if scoring == "gaussian_fitted" else math.sqrt(0.5)
    edges, gaussian = (np.arange(18) - 0.5) / 16, stats.norm(raw.numpy(), sigma)
    right = edges[:-1] > raw.numpy()
    mass = np.where(right, -np.diff(gaussian.sf(edges)), np.diff(gaussian.cdf(edges)))
    expected = np.log(mass / mass.sum(-1, keepdims=True))
    np.testing.assert_allclose(laws.masses(renormalised(lik), raw, 17).numpy(), expected, rtol=1e-6)
    assert lik.open_ends, "the recipe itself is as it was"


def test_a_fitted_optimal_scale_can_be_scored_with_either() -> None:
    lik = likelihoods.make("gaussian", sigma="optimal")
    lik.set_residual_statistic(torch.tensor(0.01))
    raw = torch.tensor([[0.1], [2.0]])
    expected = laws.masses(closed("gaussian", sigma=0.1), raw, 17)
    torch.testing.assert_close(laws.masses(renormalised(lik), raw, 17), expected)


@pytest.mark.parametrize(
    "lik",
    [
        closed("gaussian"),
        likelihoods.make("beta"),
        likelihoods.make("categorical", levels=3),
        likelihoods.make("bce_sum"),
        likelihoods.make("truncated_gaussian"),
    ],
    ids=lambda lik: lik.name,
)
def test_ends_that_are_not_open_are_not_renormalised(lik: Likelihood) -> None:
    assert lik.renormalised() is None


@pytest.mark.parametrize("family", [*LINE, "logistic_mixture"])
def test_a_wrong_word_is_refused_with_what_is_allowed(family: str) -> None:
    levels = {"levels": 17} if family == "logistic_mixture" else {}
    for word in ("closed", "", "Open"):
        with pytest.raises(ValueError, match=f"^ends={word!r} is unknown \\(allowed: open, renormalised\\)$"):
            likelihoods.make(family, ends=word, **levels)


@pytest.mark.parametrize("family", ["gaussian", "laplace", "logistic"])
def test_an_optimal_scale_is_of_open_ends_alone(family: str) -> None:
    with pytest.raises(ValueError, match=r"no closed form for a density truncated to .* take sigma='shared'"):
        likelihoods.make(family, sigma="optimal", ends="renormalised")


def test_ends_that_differ_are_not_put_into_one_stack() -> None:
    opened = likelihoods.make("gaussian", sigma="pixel")
    other = closed("gaussian", sigma="pixel")
    assert opened.outputs(64) == other.outputs(64)
    assert opened.stack_key() != other.stack_key()
    with pytest.raises(ValueError, match="different kinds"):
        stack([opened, other])
