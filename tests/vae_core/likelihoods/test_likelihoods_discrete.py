"""Facts and known faults of the families that count levels, of their neighbour Kumaraswamy, and of the β·MSE recipe."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from torch import Tensor

from vae_core import likelihoods
from vae_core.likelihoods._log1mexp import log1mexp, log1mexp_of_exp, log_log1pexp
from vae_core.likelihoods.beta_binomial import _stirling_error
from vae_core.likelihoods.logistic_mixture import LogisticMixture

OF_LEVELS = ("binomial", "beta_binomial", "logistic_mixture")
LEVELS = st.sampled_from([2, 17, 256])


def every_mass(lik: Any, raw: Tensor, levels: int) -> Tensor:
    """ln P(k) of D = 1: raw [N, R] -> [N, levels]."""
    return lik.log_mass(torch.arange(levels).reshape(1, levels, 1), raw.unsqueeze(1), levels)


def sums(lik: Any, raw: Tensor, levels: int) -> Tensor:
    return every_mass(lik, raw, levels).double().logsumexp(-1).exp()


# -- binomial and beta-binomial ----------------------------------------------------------------------------------------


def test_the_plain_binomial_formula_loses_its_normalisation_in_float32() -> None:
    """ln C + k η − n ln(1 + e^η) is a difference of hundreds of nats; the deviance form is none."""
    raw = torch.linspace(-6, 6, 500).unsqueeze(-1)
    n, k = 255, torch.arange(256.0)
    choose = torch.tensor(special.gammaln(256) - special.gammaln(k.numpy() + 1) - special.gammaln(256 - k.numpy()))
    plain = choose.float() + k * raw - n * torch.nn.functional.softplus(raw)
    assert (plain.double().logsumexp(-1).exp() - 1).abs().max() > 1e-5
    assert (sums(likelihoods.make("binomial", levels=256), raw, 256) - 1).abs().max() < 1.5e-6


@given(st.floats(-60, 60), st.floats(0, 1), LEVELS)
@settings(max_examples=150, deadline=None)
def test_binomial_agrees_with_extended_precision(logit: float, place: float, levels: int) -> None:
    n, k = levels - 1, round(place * (levels - 1))
    with mpmath.workdps(60):
        eta = mpmath.mpf(logit)
        exact = float(
            mpmath.log(mpmath.binomial(n, k))
            - k * mpmath.log1p(mpmath.exp(-eta))
            - (n - k) * mpmath.log1p(mpmath.exp(eta))
        )
    lik = likelihoods.make("binomial", levels=levels)
    found = lik.log_mass(torch.tensor([k]), torch.tensor([logit], dtype=torch.float64), levels)
    assert float(found) == pytest.approx(exact, rel=1e-11, abs=1e-12)


def test_binomial_holds_beyond_the_overflow_of_the_exponential() -> None:
    lik = likelihoods.make("binomial", levels=256)
    for logit in (-1e4, -100.0, 100.0, 1e4):
        raw = torch.tensor([[logit]], requires_grad=True)
        masses = every_mass(lik, raw, 256)
        k = np.arange(256.0)
        expected = special.gammaln(256) - special.gammaln(k + 1) - special.gammaln(256 - k)
        expected = expected - abs(logit) * (k if logit < 0 else 255 - k)
        np.testing.assert_allclose(masses[0].detach().numpy(), expected, rtol=1e-6, atol=1e-4)
        (gradient,) = torch.autograd.grad(masses.sum(), raw)
        assert torch.isfinite(gradient).all()


@given(st.floats(-60, 60), st.floats(-60, 60), st.floats(0, 1), LEVELS, st.sampled_from([torch.float32, torch.float64]))
@settings(max_examples=300, deadline=None)
def test_beta_binomial_agrees_with_extended_precision(
    logit: float, width: float, place: float, levels: int, dtype: torch.dtype
) -> None:
    """At every concentration that it can take, 1e-4 to 4e4, in float32 too; lgamma would lose six digits."""
    n, k = levels - 1, round(place * (levels - 1))
    raw = torch.tensor([logit, width], dtype=dtype)
    with mpmath.workdps(60):
        eta, t = mpmath.mpf(float(raw[0])), mpmath.mpf(float(raw[1]))
        s = 2 * mpmath.exp(10 * mpmath.tanh(t / 10))
        a, b = s / (1 + mpmath.exp(-eta)), s / (1 + mpmath.exp(eta))
        exact = mpmath.log(mpmath.binomial(n, k)) + mpmath.loggamma(k + a) - mpmath.loggamma(a)
        exact += mpmath.loggamma(n - k + b) - mpmath.loggamma(b) + mpmath.loggamma(s) - mpmath.loggamma(n + s)
    found = float(likelihoods.make("beta_binomial", levels=levels).log_mass(torch.tensor([k]), raw, levels))
    single = dtype == torch.float32
    assert found == pytest.approx(float(exact), rel=1e-4 if single else 1e-9, abs=1e-5 if single else 1e-9)


def test_beta_binomial_is_flat_at_zero_and_the_binomial_when_concentrated() -> None:
    lik = likelihoods.make("beta_binomial", levels=256)
    flat = every_mass(lik, torch.zeros(1, 2), 256)
    torch.testing.assert_close(flat, torch.full((1, 256), -math.log(256)), rtol=0, atol=1e-5)
    logits = torch.linspace(-4, 4, 9).unsqueeze(-1)
    near = every_mass(lik, torch.cat([logits, torch.full_like(logits, 60.0)], -1), 256)
    binomial = every_mass(likelihoods.make("binomial", levels=256), logits, 256)
    likely = binomial > -10
    torch.testing.assert_close(near[likely], binomial[likely], rtol=0, atol=0.08)


def test_stirling_error_and_its_hand_written_slope() -> None:
    x = torch.logspace(0, 6, 400, dtype=torch.float64, requires_grad=True)
    value = _stirling_error(x)
    (slope,) = torch.autograd.grad(value.sum(), x)
    for at, found, rise in zip(x.tolist(), value.tolist(), slope.tolist(), strict=True):
        with mpmath.workdps(40):
            exact = mpmath.loggamma(at) - (mpmath.mpf(at) - 0.5) * mpmath.log(at) + at - mpmath.log(2 * mpmath.pi) / 2
            tilt = mpmath.digamma(at) - mpmath.log(at) + 0.5 / mpmath.mpf(at)
        assert found == pytest.approx(float(exact), abs=3e-11)
        assert rise == pytest.approx(float(tilt), abs=3e-9)
    assert torch.autograd.gradcheck(_stirling_error, x[1::80].detach().requires_grad_())


# -- discretised logistics ---------------------------------------------------------------------------------------------


def one_logistic(levels: int, location: float, scale: float) -> tuple[LogisticMixture, Tensor]:
    """A mixture of one, and the raw output at which its location and scale are these, in bins."""
    lik = LogisticMixture(levels, components=1)
    above_floor = math.log(scale) + math.log(16)
    raw_scale = math.log(math.expm1(above_floor)) - math.log(16) - math.log(levels / 2)
    return lik, torch.tensor([[0.0, location / levels - 0.5, raw_scale]], dtype=torch.float64)


def closed(k: Tensor, location: float, scale: float) -> Tensor:
    """The bin's mass as a plain difference of sigmoids, no end bin open."""
    return torch.sigmoid((k + 1 - location) / scale) - torch.sigmoid((k - location) / scale)


def test_a_mixture_without_open_end_bins_sums_to_half_at_a_black_pixel() -> None:
    """The known fault: at a black pixel (level 0, the bell over its bin's middle) 46 % of the mass is missing."""
    location, scale = 0.5, 3.12
    lik, raw = one_logistic(256, location, scale)
    assert float(closed(torch.arange(256.0), location, scale).sum()) == pytest.approx(0.54, abs=1e-3)
    assert float(sums(lik, raw, 256)) == pytest.approx(1, abs=1e-12)


def test_the_top_bin_is_missed_where_levels_are_scaled_by_256() -> None:
    """The known fault: PixelCNN++'s code opens the bins of x < −0.999 and x > 0.999, for x = 2k/255 − 1. On 2k/256 − 1
    the top level is 0.992 and its bin stays closed, so that a white pixel loses the mass beyond it."""
    k = torch.arange(256, dtype=torch.float64)
    location, scale = 255.5, 3.12
    total = {}
    for by in (255, 256):
        x = 2 * k / by - 1
        mass = closed(k, location, scale)
        mass = torch.where(x < -0.999, torch.sigmoid((k + 1 - location) / scale), mass)
        mass = torch.where(x > 0.999, torch.sigmoid(-(k - location) / scale), mass)
        total[by] = float(mass.sum())
    assert total[255] == pytest.approx(1, abs=1e-12)
    assert total[256] == pytest.approx(0.54, abs=1e-3)
    lik, raw = one_logistic(256, location, scale)
    torch.testing.assert_close(sums(lik, raw, 256), torch.ones(1, dtype=torch.float64))


def test_a_single_255_for_256_costs_a_two_hundredth_of_a_bit() -> None:
    """A flat density on [0, 1] is 8 bits/dim of 256 levels. With ln 255 for the bin's width it seems to be 7.9944."""
    lik = likelihoods.make("kumaraswamy")
    raw = torch.zeros(1, 2, dtype=torch.float64)
    k = torch.tensor([[77]])
    honest = -float(lik.log_mass(k, raw, 256)) / math.log(2)
    density = float(lik.log_prob((k + 0.5) / 256, raw))
    mixed_up = (math.log(255) - density) / math.log(2)
    assert honest == pytest.approx(8, abs=1e-12)
    assert honest - mixed_up == pytest.approx(0.0056, abs=5e-5)


def test_a_mixture_of_one_is_the_logistic_family_on_its_bins() -> None:
    raw = torch.randn(200, 3 * 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for levels in (2, 17, 256):
        k = torch.randint(levels, (200, 4), generator=torch.Generator().manual_seed(1))
        lik: Any = likelihoods.make("logistic_mixture", levels=levels, components=1)
        _, location, log_scale = (part.squeeze(-2) for part in lik._split(raw))
        logistic: Any = likelihoods.make("logistic", sigma=1.0)
        expected = logistic.binned_log_masses(k, location / levels, log_scale - math.log(levels), levels)
        torch.testing.assert_close(lik.log_masses(k, raw, levels), expected, rtol=1e-9, atol=1e-9)


def test_a_mixture_starts_nearly_flat_with_its_components_apart() -> None:
    lik = likelihoods.make("logistic_mixture", levels=256)
    bits = -every_mass(lik, torch.zeros(1, 15), 256) / math.log(2)
    assert float(bits.mean()) == pytest.approx(8, abs=0.2)  # a little lies outside, in the end bins
    raw = torch.zeros(1, 15, requires_grad=True)
    (gradient,) = torch.autograd.grad(lik.log_mass(torch.tensor([[40]]), raw, 256).sum(), raw)
    assert len(set(gradient[0, 5:10].tolist())) == 5


# -- Kumaraswamy -------------------------------------------------------------------------------------------------------


def test_kumaraswamy_to_the_power_a_is_beta() -> None:
    """x^a ~ Beta(1, b): density, masses and mean by scipy's beta."""
    generator = torch.Generator().manual_seed(0)
    raw = 1.5 * torch.randn(300, 2, dtype=torch.float64, generator=generator)
    lik: Any = likelihoods.make("kumaraswamy")
    a, b = (part.exp().numpy() for part in lik._split(raw))
    power = stats.beta(1, b)
    x = torch.rand(300, 1, dtype=torch.float64, generator=generator)
    expected = power.logpdf(x.numpy() ** a) + np.log(a) + (a - 1) * np.log(x.numpy())
    np.testing.assert_allclose(lik.log_prob(x, raw).numpy(), expected[:, 0], rtol=1e-9, atol=1e-9)
    k = torch.randint(17, (300, 1), generator=generator)
    edges = [((k.numpy() + end) / 17) ** a for end in (0, 1)]
    mass = np.where(edges[0] < 0.3, power.cdf(edges[1]) - power.cdf(edges[0]), power.sf(edges[0]) - power.sf(edges[1]))
    np.testing.assert_allclose(lik.log_mass(k, raw, 17).exp().numpy(), mass[:, 0], rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(lik.mean(raw).numpy(), b * special.beta(1 + 1 / a, b), rtol=1e-9)


@given(st.floats(-60, 60), st.floats(-60, 60), st.integers(0, 255), st.sampled_from([torch.float32, torch.float64]))
@settings(max_examples=300, deadline=None)
def test_kumaraswamy_masses_agree_with_extended_precision(r: float, t: float, k: int, dtype: torch.dtype) -> None:
    raw = torch.tensor([r, t], dtype=dtype)
    with mpmath.workdps(400):
        a = mpmath.exp(7 * mpmath.tanh(mpmath.mpf(float(raw[0])) / 7))
        b = mpmath.exp(60 * mpmath.tanh(mpmath.mpf(float(raw[1])) / 60))
        low = b * mpmath.log1p(-((mpmath.mpf(k) / 256) ** a))
        exact = low
        if k < 255:
            exact += mpmath.log(-mpmath.expm1(b * mpmath.log1p(-((mpmath.mpf(k + 1) / 256) ** a)) - low))
    found = float(likelihoods.make("kumaraswamy").log_mass(torch.tensor([k]), raw, 256))
    single = dtype == torch.float32
    assert found == pytest.approx(float(exact), rel=1e-4 if single else 1e-9, abs=1e-5 if single else 1e-9)


@pytest.mark.parametrize("shape", [(-3.0, -3.0), (-50.0, 50.0), (50.0, -50.0), (4.0, 30.0), (0.0, 0.0)])
def test_kumaraswamy_density_is_finite_at_the_ends(shape: tuple[float, float]) -> None:
    """Dequantised data may be 0, its neighbours, or the last number below 1; a density may be ∞ there."""
    lik = likelihoods.make("kumaraswamy")
    for x in (0.0, 1e-45, 1e-38, 1e-7, 1 - 2.0**-24, 1.0):
        raw = torch.tensor([list(shape)], requires_grad=True)
        score = lik.log_prob(torch.tensor([[x]]), raw)
        (gradient,) = torch.autograd.grad(score.sum(), raw)
        assert torch.isfinite(score).all()
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("shape", [(-1.0, 0.5), (4.0, 30.0), (4.0, 90.0), (-6.0, 9.0), (2.0, 6.9), (2.0, 7.1)])
def test_kumaraswamy_mean_holds_at_large_shapes(shape: tuple[float, float]) -> None:
    with mpmath.workdps(60):
        a, b = mpmath.exp(7 * mpmath.tanh(mpmath.mpf(shape[0]) / 7)), mpmath.exp(60 * mpmath.tanh(shape[1] / 60))
        exact = float(mpmath.gamma(1 + 1 / a) * mpmath.exp(mpmath.loggamma(1 + b) - mpmath.loggamma(1 + b + 1 / a)))
    found = likelihoods.make("kumaraswamy").mean(torch.tensor([list(shape)], dtype=torch.float64))
    assert float(found) == pytest.approx(exact, rel=1e-8, abs=1e-300)


@given(st.floats(-700, 60))
@settings(max_examples=200, deadline=None)
def test_logarithms_of_one_minus_an_exponential(y: float) -> None:
    value = torch.tensor(y, dtype=torch.float64)
    with mpmath.workdps(400):
        t = mpmath.exp(y)
        exact = mpmath.log(-mpmath.expm1(-t)), mpmath.log(mpmath.log1p(t))
    assert float(log1mexp_of_exp(value)) == pytest.approx(float(exact[0]), rel=1e-12, abs=1e-300)
    assert float(log_log1pexp(value)) == pytest.approx(float(exact[1]), rel=1e-12, abs=1e-12)
    if -40 < y < 6:
        assert float(log1mexp(-value.exp())) == pytest.approx(float(exact[0]), rel=1e-12)


# -- β·MSE -------------------------------------------------------------------------------------------------------------


def test_beta_mse_is_mse_sum_at_one_and_mse_mean_at_the_number_of_dimensions() -> None:
    x, raw = torch.rand(9, 7), torch.rand(9, 7)
    k = torch.randint(17, (9, 7))
    for beta, name in ((1.0, "mse_sum"), (7.0, "mse_mean")):
        ours, theirs = likelihoods.make("beta_mse", beta=beta), likelihoods.make(name)
        torch.testing.assert_close(ours.log_prob(x, raw), theirs.log_prob(x, raw))
        torch.testing.assert_close(ours.log_mass(k, raw, 17), theirs.log_mass(k, raw, 17))


@pytest.mark.parametrize("beta", [0.02, 0.1, 4.0])
def test_beta_mse_is_the_loss_that_people_write_over_beta(beta: float) -> None:
    """Its ELBO times β is −(Σ (x−μ)² + β KL), and its σ² is β/2: the Gaussian's ELBO up to a constant."""
    x, raw = torch.rand(9, 7), torch.rand(9, 7)
    kl = torch.rand(9)
    lik = likelihoods.make("beta_mse", beta=beta)
    written = (x - raw).square().sum(-1) + beta * kl
    torch.testing.assert_close(-beta * (lik.log_prob(x, raw) - kl), written)
    gaussian = likelihoods.make("gaussian", sigma=math.sqrt(beta / 2))
    difference = lik.log_prob(x, raw) - gaussian.log_prob(x, raw)
    torch.testing.assert_close(difference, torch.full((9,), 3.5 * math.log(math.pi * beta)))
    assert float(lik.sigma_in_use(raw)) == pytest.approx(math.sqrt(beta / 2))  # type: ignore[arg-type]


def test_a_recipe_scored_otherwise_keeps_its_weight() -> None:
    lik: Any = likelihoods.make("beta_mse", beta=0.3)
    for scoring in lik.scorings:
        other, again = lik.scored(scoring), lik.scored(scoring)
        fitted = scoring.endswith(("_fitted", "_binned"))
        assert (other.beta, other.score, other.needs_fit) == (0.3, scoring, fitted)
        assert len(other.state()) == (3 if fitted else 0)
        assert not fitted or other.fitted is not again.fitted


# -- names, options, shapes --------------------------------------------------------------------------------------------


def test_the_discretised_logistic_is_the_logistic_trained_on_its_bins() -> None:
    alias = likelihoods.ALIASES["discretised_logistic"]
    assert likelihoods.get("discretised_logistic") is likelihoods.get("logistic")
    lik = likelihoods.make("discretised_logistic", sigma="pixel")
    lik.require_objective(alias.objective)
    assert lik.name == alias.family == "logistic"
    with pytest.raises(ValueError, match="did you mean 'discretised_logistic'"):
        likelihoods.make("discretized_logistic")


def test_aliases_hide_no_family_and_name_real_ones() -> None:
    for name, alias in likelihoods.ALIASES.items():
        assert name not in likelihoods.names()
        assert alias.family in likelihoods.names()


@pytest.mark.parametrize("family", OF_LEVELS)
def test_levels_are_demanded_and_kept(family: str) -> None:
    with pytest.raises(ValueError, match="needs levels=K"):
        likelihoods.make(family)
    for wrong in (1, True, 17.0):
        with pytest.raises(ValueError, match="integer of 2 or more"):
            likelihoods.make(family, levels=wrong)
    lik = likelihoods.make(family, levels=5)
    with pytest.raises(ValueError, match=f"this {family} has 5 levels, the data 17: make it with levels=17"):
        lik.log_mass(torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, lik.outputs(2)), 17)
    with pytest.raises(ValueError, match="it is a mass already"):
        lik.require_objective("binned")


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True, "5"])
def test_wrong_numbers_of_components_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="integer of 1 or more"):
        likelihoods.make("logistic_mixture", levels=17, components=wrong)


@pytest.mark.parametrize("wrong", [0, -0.1, math.nan, math.inf, True, "0.1"])
def test_wrong_weights_of_the_kl_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="finite number > 0"):
        likelihoods.make("beta_mse", beta=wrong)


@pytest.mark.parametrize("family", [*OF_LEVELS, "kumaraswamy"])
def test_a_batch_is_scored_against_many_samples_of_many_models(family: str) -> None:
    """k [M, B, 1, D] against raw [M, B, L, R] gives [M, B, L], as one sample at a time does."""
    lik = likelihoods.make(family, **({"levels": 17} if family in OF_LEVELS else {}))
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(2, 3, 4, lik.outputs(5), generator=generator)
    k = torch.randint(17, (2, 3, 1, 5), generator=generator)
    together = lik.log_mass(k, raw, 17)
    assert together.shape == (2, 3, 4)
    for sample in range(4):
        torch.testing.assert_close(together[..., sample], lik.log_mass(k[:, :, 0], raw[:, :, sample], 17))
