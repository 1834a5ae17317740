"""Laws that every likelihood obeys, at every setting of its options."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from torch import Tensor

from tests.vae_core.likelihoods.cases import Case, cases, raw_for, suitable_levels
from tests.vae_core.likelihoods.oracles import TruncatedToUnit
from vae_core import laws, likelihoods
from vae_core.data.views import VIEWS
from vae_core.laws.setting import sized
from vae_core.likelihoods import Likelihood, stack
from vae_core.likelihoods._logspace import langevin, log_sinhc

ALL = cases()
DENSITIES = [case for case in ALL if case.make(2).has_density]
EVERY = pytest.mark.parametrize("case", ALL, ids=str)


def all_masses(lik: Likelihood, raw: Tensor, levels: int, dims: int) -> Tensor:
    """ln P(k) of each level in each dimension, [rows, dims, levels], by scoring one dimension at a time: the mass of
    an image is the product over dimensions, so each dimension's is a difference of sums."""
    rows = raw.shape[0]
    base = torch.zeros(rows, dims, dtype=torch.long)
    out = torch.empty(rows, dims, levels, dtype=raw.dtype)
    for dim in range(dims):
        for level in range(levels):
            k = base.clone()
            k[:, dim] = level
            out[:, dim, level] = lik.log_mass(k, raw, levels)
    return out


def one_dimension(lik: Likelihood, levels: int, kind: str, dtype: Any = torch.float32, rows: int = 200) -> Tensor:
    return raw_for(lik, 1, kind, rows=rows, seed=levels, dtype=dtype)


def masses_of_one_dimension(lik: Likelihood, raw: Tensor, levels: int) -> Tensor:
    """[rows, levels] for D = 1."""
    k = torch.arange(levels).reshape(1, levels, 1)
    wide = raw.unsqueeze(1).expand(-1, levels, -1)
    return lik.log_mass(k.expand(len(raw), -1, -1), wide, levels)


@EVERY
@pytest.mark.parametrize("kind", ["random", "extreme"])
def test_masses_sum_to_one(case: Case, kind: str) -> None:
    for levels in suitable_levels(case.make()):
        lik = case.make(levels)
        log_masses = masses_of_one_dimension(lik, one_dimension(lik, levels, kind), levels)
        assert (log_masses <= 1e-6).all()
        total = log_masses.double().logsumexp(-1).exp()
        assert (total - 1).abs().max() < 1e-5, f"K={levels}: sums {total.min():.6f} to {total.max():.6f}"


@EVERY
def test_mass_of_an_image_is_the_product_over_dimensions(case: Case) -> None:
    levels = suitable_levels(case.make())[0]
    lik, dims = case.make(levels), 3
    raw = raw_for(lik, dims, "random", rows=2, dtype=torch.float64)
    k = torch.tensor([[0, 1, 1], [1, 0, 1]])
    each = all_masses(lik, raw, levels, dims)
    reference = lik.log_mass(torch.zeros_like(k), raw, levels).unsqueeze(-1)
    differences = each.gather(-1, k.unsqueeze(-1)).squeeze(-1) - reference
    together = lik.log_mass(k, raw, levels) - reference.squeeze(-1)
    torch.testing.assert_close(together, differences.sum(-1))
    normalised = (each - each.logsumexp(-1, keepdim=True)).gather(-1, k.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(lik.log_masses(k, raw, levels), normalised)


@EVERY
@pytest.mark.parametrize("kind", ["random", "extreme"])
def test_values_and_gradients_are_finite(case: Case, kind: str) -> None:
    levels = suitable_levels(case.make())[-1]
    lik, dims = case.make(levels), 5
    raw = raw_for(lik, dims, kind, rows=40).requires_grad_()
    k = torch.randint(levels, (40, dims), generator=torch.Generator().manual_seed(1))
    x = k.float() if lik.view in ("levels", "binary") else (k + 0.5) / levels
    for score in (lik.log_mass(k, raw, levels), lik.log_prob(x, raw)):
        assert torch.isfinite(score).all()
        (gradient,) = torch.autograd.grad(score.sum(), raw)
        assert torch.isfinite(gradient).all()


@EVERY
def test_float32_agrees_with_float64(case: Case) -> None:
    levels = suitable_levels(case.make())[-1]
    lik, dims = case.make(levels), 20
    raw = raw_for(lik, dims, "random", rows=200)
    k = torch.randint(levels, (200, dims), generator=torch.Generator().manual_seed(2))
    single, double = lik.log_mass(k, raw, levels), lik.log_mass(k, raw.double(), levels)
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-5)


@EVERY
def test_gradients_agree_with_finite_differences(case: Case) -> None:
    levels = suitable_levels(case.make())[0]
    lik, dims = case.make(levels), 3
    raw = raw_for(lik, dims, "random", rows=4, dtype=torch.float64).requires_grad_()
    k = torch.randint(levels, (4, dims), generator=torch.Generator().manual_seed(3))
    assert torch.autograd.gradcheck(lambda r: lik.log_mass(k, r, levels), raw, eps=1e-6, atol=1e-5)


@pytest.mark.parametrize("case", DENSITIES, ids=str)
@pytest.mark.parametrize("levels", [5, 17])
def test_mass_is_the_integral_of_the_density_over_the_bin(case: Case, levels: int) -> None:
    lik = case.make(levels)
    raw = raw_for(lik, 1, "random", rows=5, seed=7, dtype=torch.float64)
    masses = masses_of_one_dimension(lik, raw, levels).detach().exp()
    for row in range(len(raw)):

        def density(y: float, row: int = row) -> float:
            with torch.no_grad():
                value = lik.log_density(torch.tensor([[y]], dtype=torch.float64), raw[row : row + 1], levels)
            return float(value.exp())

        sigma = lik.sigma_in_use(raw[row : row + 1])
        reach = 3 + 60.0 * float(sigma) if sigma is not None else 0.0
        for k in (0, 1, levels // 2, levels - 1):
            low, high = k / levels, (k + 1) / levels
            low = low - reach if lik.open_ends and k == 0 else low
            high = high + reach if lik.open_ends and k == levels - 1 else high
            peak = float(lik.mean(raw[row : row + 1])[0, 0])
            width = float(sigma) if sigma is not None else 1.0
            steps = (0, -0.3, 0.3, -1, 1, -3, 3, -10, 10, -30, 30)
            inside = [point for point in (0.0, 1.0, *(peak + step * width for step in steps)) if low < point < high]
            area = integrate.quad(density, low, high, points=inside or None, limit=400, epsabs=1e-13)[0]
            if lik.open_ends and k == 0:  # what a heavy tail holds beyond
                area += integrate.quad(density, -np.inf, low, limit=400, epsabs=1e-13)[0]
            if lik.open_ends and k == levels - 1:
                area += integrate.quad(density, high, np.inf, limit=400, epsabs=1e-13)[0]
            assert masses[row, k] == pytest.approx(area, rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("case", DENSITIES, ids=str)
def test_mass_is_at_least_the_dequantised_bound(case: Case) -> None:
    """ln P(k) ≥ E_u ln p((k+u)/K) − ln K (Theis et al. 2016, eq. 6), by Gauss-Legendre over u."""
    levels = 17
    lik = case.make(levels)
    raw = raw_for(lik, 1, "random", rows=50, seed=8, dtype=torch.float64)
    masses = masses_of_one_dimension(lik, raw, levels)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    bound = torch.zeros_like(masses)
    for node, weight in zip(0.5 * (nodes + 1), 0.5 * weights, strict=True):
        for k in range(levels):
            y = torch.full((50, 1), (k + node) / levels, dtype=torch.float64)
            bound[:, k] += weight * (lik.log_density(y, raw, levels) - math.log(levels))
    assert (masses >= bound - 1e-6 * bound.abs() - 1e-9).all()


@pytest.mark.parametrize("case", [case for case in ALL if hasattr(likelihoods.get(case.family), "oracle")], ids=str)
def test_log_prob_agrees_with_scipy(case: Case) -> None:
    levels = suitable_levels(case.make())[-1]
    lik: Any = case.make(levels)
    dims = 6
    raw = raw_for(lik, dims, "random", rows=50, dtype=torch.float64)
    oracle = lik.oracle(raw)
    if dict(case.options).get("ends") == "renormalised" and lik.has_density:
        oracle = TruncatedToUnit(oracle)
    if isinstance(oracle, np.ndarray):
        k = torch.randint(levels, (50, dims), generator=torch.Generator().manual_seed(4))
        expected = np.take_along_axis(oracle, k.numpy()[..., None], -1)[..., 0].sum(-1)
        found = lik.log_prob(k, raw)
    elif hasattr(oracle.dist, "logpmf"):
        k = torch.randint(levels, (50, dims), generator=torch.Generator().manual_seed(4))
        expected, found = oracle.logpmf(k.numpy()).sum(-1), lik.log_prob(k.double(), raw)
    else:
        x = torch.rand(50, dims, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
        expected, found = oracle.logpdf(x.numpy()).sum(-1), lik.log_prob(x, raw)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "case", [c for c in DENSITIES if likelihoods.get(c.family).takes_sigma and c.options[0][1] in (0.02, 0.3)], ids=str
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bins_agree_with_scipy_far_in_the_tails(case: Case, dtype: torch.dtype) -> None:
    """Against log-differences of scipy's log-CDFs, taken on the side where they are accurate, at up to 60 σ."""
    lik: Any = case.make()
    levels = 256
    loc = torch.linspace(-1.2, 2.2, 69, dtype=torch.float64)[:, None]
    oracle = lik.oracle(loc)
    masses = masses_of_one_dimension(lik, loc.to(dtype), levels).detach().double().numpy()
    exact_loc = loc.to(dtype).double()
    oracle = lik.oracle(exact_loc)
    for k in (0, 1, 3, 100, 128, 200, 254, 255):
        low, high = (k / levels if k else -np.inf), ((k + 1) / levels if k < levels - 1 else np.inf)
        left = oracle.mean() > (low + high) / 2 if np.isfinite(low + high) else np.full_like(loc.numpy(), not k, bool)
        with np.errstate(divide="ignore", invalid="ignore"):
            by_cdf = oracle.logcdf(high) + np.log1p(-np.exp(oracle.logcdf(low) - oracle.logcdf(high)))
            by_sf = oracle.logsf(low) + np.log1p(-np.exp(oracle.logsf(high) - oracle.logsf(low)))
        expected = np.where(left, by_cdf, by_sf)[:, 0]
        far = 1e-9 if dtype == torch.float64 else 2e-5
        np.testing.assert_allclose(masses[:, k], expected, rtol=far, atol=1e-8 if dtype == torch.float64 else 2e-5)


@EVERY
def test_samples_have_the_mean_and_the_masses(case: Case) -> None:
    levels = suitable_levels(case.make())[0] if case.make().view == "binary" else 5
    lik = case.make(levels)
    raw = raw_for(lik, 1, "random", rows=1, seed=11)
    draws = lik.sample(raw.expand(40_000, -1), torch.Generator().manual_seed(5)).detach().double().flatten()
    scored_mean = lik.mean(raw) if not lik.recipe else None
    if scored_mean is not None:
        error = float(draws.std() / math.sqrt(len(draws)))
        assert abs(float(draws.mean()) - float(scored_mean.detach()[0, 0])) < 5 * error + 1e-6
    if lik.view in ("levels", "binary"):
        k = draws.long()
    elif lik.open_ends and lik.recipe:  # grey values
        k = torch.floor(draws * (levels - 1) + 0.5).clamp(0, levels - 1).long()
    elif not lik.has_density:  # heads over throws
        k = (draws * (levels - 1)).round().long()
    else:
        k = torch.floor(draws * levels).clamp(0, levels - 1).long()
    expected = masses_of_one_dimension(lik, raw, levels).exp()[0].detach().double().numpy()
    seen = torch.bincount(k, minlength=levels).numpy()
    big = expected * len(draws) > 5
    observed = np.append(seen[big], seen[~big].sum())
    wanted = np.append(expected[big], max(expected[~big].sum(), 1e-12)) * len(draws)
    assert seen[~big].sum() <= 30
    if big.sum() > 1:
        keep = wanted > 1
        assert stats.chisquare(observed[keep], wanted[keep] * observed[keep].sum() / wanted[keep].sum()).pvalue > 1e-4


@EVERY
def test_leading_axes_broadcast(case: Case) -> None:
    """x [B, 1, D] against raw [B, L, R] gives [B, L], each entry what it is alone."""
    levels = suitable_levels(case.make())[0]
    lik, dims = case.make(levels), 4
    raw = raw_for(lik, dims, "random", rows=6).reshape(2, 3, -1)
    k = torch.randint(levels, (2, 1, dims), generator=torch.Generator().manual_seed(6))
    x = k.float() if lik.view in ("levels", "binary") else (k + 0.5) / levels
    scores = ((lambda a, r: lik.log_mass(a, r, levels), k), (lik.log_prob, x))
    for score, given_x in scores:
        together = score(given_x, raw)
        assert together.shape == (2, 3)
        alone = torch.stack([torch.stack([score(given_x[b, 0], raw[b, s]) for s in range(3)]) for b in range(2)])
        torch.testing.assert_close(together, alone)
    assert lik.mean(raw).shape == (2, 3, dims)
    assert lik.sample(raw).shape == (2, 3, dims)


@pytest.mark.parametrize("family", likelihoods.names())
def test_a_stack_scores_each_model_as_it_is_alone(family: str) -> None:
    """Mixed σ values in one stack; learned state selected back."""
    own = [case for case in ALL if case.family == family]
    by_key: dict[tuple[object, ...], list[Likelihood]] = {}
    levels = suitable_levels(own[0].make())[0]
    for case in own:
        lik = case.make(levels)
        by_key.setdefault(lik.stack_key(), []).append(lik)
    for members in by_key.values():
        members = members if len(members) > 1 else [members[0], own[0].make(levels) if len(own) == 1 else members[0]]
        stacked = stack(members)
        if "optimal" in str(members[0].stack_key()) or members[0].needs_fit:
            stacked.set_residual_statistic(torch.full((len(members),), 0.04))
        raw = raw_for(members[0], 4, "random", rows=5 * len(members)).reshape(len(members), 5, -1)
        k = torch.randint(levels, (len(members), 5, 4), generator=torch.Generator().manual_seed(9))
        together = stacked.log_mass(k, raw, levels)
        for index, lik in enumerate(members):
            torch.testing.assert_close(together[index], lik.log_mass(k[index], raw[index], levels))
            selected = stacked.select(index)
            torch.testing.assert_close(together[index], selected.log_mass(k[index], raw[index], levels))


@pytest.mark.parametrize("family", likelihoods.names())
def test_the_card_is_complete(family: str) -> None:
    card = likelihoods.get(family).card
    for field in ("title", "summary", "formula", "support", "parameters", "source", "users"):
        assert len(getattr(card, field)) >= 4, field
    assert len(card.summary) <= 120


# -- named facts and known faults ------------------------------------------------------------------------------


def test_unit_variance_on_unit_data_cannot_beat_its_floor() -> None:
    """σ = 1 on [0, 1] data: −ln p(x) ≥ D/2 ln 2π whatever the decoder does."""
    lik = likelihoods.make("gaussian", sigma=1.0)
    x = torch.rand(100, 64)
    floor = -32 * math.log(2 * math.pi)
    assert float(lik.log_prob(x, x).max()) <= floor + 1e-4
    assert float(lik.log_prob(x, x).max()) == pytest.approx(floor, abs=1e-3)


@given(st.floats(-700, 700), st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_continuous_bernoulli_agrees_with_its_integral(logit: float, x: float) -> None:
    """Against ln p = xη − ln ∫₀¹ e^{ηt} dt with the integral in extended precision."""
    import mpmath

    with mpmath.workdps(60):
        eta = mpmath.mpf(logit)
        normaliser = mpmath.log(mpmath.expm1(eta) / eta) if abs(logit) > 1e-12 else eta / 2
        expected = float(mpmath.mpf(x) * eta - normaliser)
    raw = torch.tensor([logit], dtype=torch.float64)
    found = float(likelihoods.make("continuous_bernoulli").log_prob(torch.tensor([x], dtype=torch.float64), raw))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("logit", [0.0, 1e-8, 1e-4, 0.01, 0.49, 0.51, 0.999, 1.001, 30.0, 90.0, 5000.0])
def test_continuous_bernoulli_gradient_at_half_and_at_large_logits(logit: float) -> None:
    """The fault of public implementations: a wrong series near λ = ½, NaN gradients at large logits."""
    for sign in (1, -1):
        raw = torch.tensor([sign * logit], requires_grad=True)
        likelihoods.make("continuous_bernoulli").log_prob(torch.tensor([0.3]), raw).backward()
        assert raw.grad is not None
        x = np.float64(sign * logit)
        mean = 0.5 + x / 12 if abs(x) < 1e-3 else 1 / (-np.expm1(-x)) - 1 / x if x > -700 else -1 / x
        assert float(raw.grad) == pytest.approx(0.3 - float(mean), rel=1e-4, abs=2e-6)


@given(st.floats(-40, 40))
@settings(max_examples=200, deadline=None)
def test_log_sinhc_and_its_derivative(value: float) -> None:
    import mpmath

    x = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    with mpmath.workdps(60):
        exact = mpmath.log(mpmath.sinh(value) / value) if value else mpmath.mpf(0)
        slope = mpmath.coth(value) - 1 / mpmath.mpf(value) if abs(value) > 1e-9 else mpmath.mpf(value) / 3
    y = log_sinhc(x)
    y.backward()
    assert float(y.detach()) == pytest.approx(float(exact), rel=1e-12, abs=1e-15)
    assert x.grad is not None
    assert float(x.grad) == pytest.approx(float(slope), rel=1e-9, abs=1e-12)
    assert float(langevin(x.detach())) == pytest.approx(float(slope), rel=1e-9, abs=1e-12)


def test_end_bins_are_open() -> None:
    """A discretised logistic without open end bins loses half its mass at a black pixel: here P(0) keeps it all."""
    lik = likelihoods.make("logistic", sigma=0.02)
    black = torch.tensor([[0.0]])
    closed = 1 / (1 + math.exp(-1 / 256 / 0.02)) - 0.5
    mass = float(lik.log_mass(torch.tensor([[0]]), black, 256).exp())
    assert mass == pytest.approx(closed + 0.5, rel=1e-5)


@pytest.mark.parametrize("family", ["gaussian", "laplace", "logistic"])
def test_optimal_sigma_maximises_the_likelihood_of_the_batch(family: str) -> None:
    """σ-VAE: no other σ gives the batch a higher likelihood, and its gradient in μ is that of the maximum."""
    generator = torch.Generator().manual_seed(0)
    x, loc = torch.randn(40, 8, generator=generator), 0.3 * torch.randn(40, 8, generator=generator)
    lik = likelihoods.make(family, sigma="optimal")
    best = float(lik.train_log_prob(x, loc).sum())
    sigma = float(lik.sigma_in_use(loc))  # type: ignore[arg-type]
    for factor in (0.98, 0.999, 1.001, 1.02):
        assert float(likelihoods.make(family, sigma=sigma * factor).log_prob(x, loc).sum()) < best
    assert float(likelihoods.make(family, sigma=sigma).log_prob(x, loc).sum()) == pytest.approx(best, rel=1e-6)


def test_optimal_sigma_is_a_running_mean_of_training_batches_alone() -> None:
    lik = likelihoods.make("gaussian", sigma="optimal")
    with pytest.raises(ValueError, match="has not seen training data"):
        lik.log_prob(torch.zeros(2, 3), torch.zeros(2, 3))
    for spread in (1.0, 1.0, 1.0):
        lik.train_log_prob(torch.full((4, 3), spread), torch.zeros(4, 3))
    assert float(lik.sigma_in_use(torch.zeros(1, 3))) == pytest.approx(1.0)  # type: ignore[arg-type]
    before = float(lik.log_prob(torch.ones(1, 3), torch.zeros(1, 3)))
    lik.log_prob(torch.full((4, 3), 9.0), torch.zeros(4, 3))
    assert float(lik.log_prob(torch.ones(1, 3), torch.zeros(1, 3))) == before
    lik.train_log_prob(torch.full((4, 3), 3.0), torch.zeros(4, 3))
    sigma = float(lik.sigma_in_use(torch.zeros(1, 3)))  # type: ignore[arg-type]
    weights = np.array([0.99**3, 0.99**2, 0.99, 1.0])
    assert sigma == pytest.approx(math.sqrt((weights * [1, 1, 1, 9]).sum() / weights.sum()), rel=1e-5)


@pytest.mark.parametrize(("family", "variance"), [("mse_sum", lambda d: 0.5), ("mse_mean", lambda d: d / 2)])
def test_squared_error_is_scored_as_the_gaussian_that_it_implies(family: str, variance: Any) -> None:
    """In grey values' own coordinates, with bins of width 1/(K−1) round k/(K−1), by scipy."""
    dims, levels = 5, 17
    lik = likelihoods.make(family)
    raw = raw_for(lik, dims, "random", rows=20, dtype=torch.float64)
    k = torch.randint(levels, (20, dims), generator=torch.Generator().manual_seed(0))
    sigma = math.sqrt(variance(dims))
    normal = stats.norm(raw.numpy(), sigma)
    edges_low = np.where(k.numpy() == 0, -np.inf, (k.numpy() - 0.5) / (levels - 1))
    edges_high = np.where(k.numpy() == levels - 1, np.inf, (k.numpy() + 0.5) / (levels - 1))
    expected = np.log(normal.cdf(edges_high) - normal.cdf(edges_low)).sum(-1)
    np.testing.assert_allclose(lik.log_mass(k, raw, levels).numpy(), expected, rtol=1e-8)


def test_squared_error_differs_from_its_gaussian_by_a_constant() -> None:
    """What "MSE plus KL" drops: −Σ(x−μ)² = ln N(x; μ, ½) + (D/2) ln π."""
    x, loc = torch.rand(9, 7), torch.rand(9, 7)
    difference = likelihoods.make("mse_sum").log_prob(x, loc) - likelihoods.make(
        "gaussian", sigma=math.sqrt(0.5)
    ).log_prob(x, loc)
    torch.testing.assert_close(difference, torch.full((9,), 3.5 * math.log(math.pi)))


def test_cross_entropy_on_grey_is_no_probability() -> None:
    """Its exponential integrates to less than 1 over [0, 1]; the continuous Bernoulli's to 1."""
    raw = torch.tensor([[0.7]], dtype=torch.float64)
    for family, total in (("bce_sum", None), ("continuous_bernoulli", 1.0)):
        lik = likelihoods.make(family)
        area = integrate.quad(
            lambda y, lik=lik: float(lik.log_prob(torch.tensor([[y]], dtype=torch.float64), raw).exp()), 0, 1
        )[0]
        assert area == pytest.approx(total, rel=1e-9) if total else area < 0.7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gausian", {}), "did you mean 'gaussian'"),
        (("gaussian", {"sgima": 1.0}), "takes no option 'sgima' (allowed: sigma, link, ends, levels, channels)"),
        (("gaussian", {"sigma": 0}), "finite number > 0"),
        (("gaussian", {"sigma": -1.0}), "finite number > 0"),
        (("gaussian", {"sigma": math.nan}), "finite number > 0"),
        (("gaussian", {"sigma": True}), "no scale"),
        (("gaussian", {"sigma": "learned"}), "allowed: a number > 0, or one of shared, image, pixel, optimal"),
        (("gaussian", {"link": "tanh"}), "allowed: identity, sigmoid"),
        (("bernoulli", {"sigma": 1.0}), "it takes none"),
        (("categorical", {}), "needs levels=K"),
        (("categorical", {"levels": 1}), "integer of 2 or more"),
        (
            ("mse_sum", {"score": "itself"}),
            "allowed: gaussian_implied, gaussian_fitted, gaussian_binned",
        ),
        (("bce_sum", {"score": "gaussian_implied"}), "allowed: continuous_bernoulli, binomial, gaussian_fitted"),
        (("bce_sum", {"levels": 1}), "integer of 2 or more"),
    ],
)
def test_wrong_options_are_refused_with_the_remedy(arguments: Any, message: str) -> None:
    name, options = arguments
    with pytest.raises(ValueError) as caught:
        likelihoods.make(name, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_levels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="2 levels, not 17"):
        likelihoods.make("bernoulli").log_mass(torch.zeros(1, 2), torch.zeros(1, 2), 17)
    with pytest.raises(ValueError, match="make it with levels=17"):
        likelihoods.make("categorical", levels=5).log_mass(torch.zeros(1, 2), torch.zeros(1, 10), 17)


@pytest.mark.parametrize("family", likelihoods.names())
def test_a_neighbour_that_is_no_number_changes_nothing(family: str) -> None:
    """A stack of two, the raw outputs of the first NaN: the second scores, and has the gradients, that it has alone."""
    levels = 2 if likelihoods.get(family).view == "binary" else 17
    for make in laws.settings(likelihoods.get(family)):
        alone, stacked = stack([make(levels)]), stack([make(levels), make(levels)])
        one = make(levels)
        dims = {sized(lik, 4) for lik in (one, alone, stacked)}.pop()
        k = torch.randint(levels, (6, dims), generator=torch.Generator().manual_seed(0))
        x = VIEWS[alone.view].see(k, levels, torch.full(k.shape, 0.5))
        for sort in ("random", "extreme"):
            raw = laws.raw_outputs(one, dims, 6, sort).detach().unsqueeze(0)
            both = torch.cat([raw * torch.nan, raw])
            for name, arguments in (("log_mass", (k, levels)), ("log_prob", (x,))):
                value, gradient = _scored(alone, name, raw, *arguments)
                found, slope = _scored(stacked, name, both, *arguments)
                said = f"{alone.stack_key()} {name} {sort}"
                torch.testing.assert_close(found[1], value[0], rtol=1e-5, atol=1e-5, msg=said)
                torch.testing.assert_close(slope[1], gradient[0], rtol=1e-4, atol=1e-4, msg=f"gradient of {said}")


def _scored(lik: Likelihood, name: str, raw: Tensor, data: Tensor, *rest: int) -> tuple[Tensor, Tensor]:
    leaf = raw.clone().requires_grad_()
    value = getattr(lik, name)(data, leaf, *rest)
    value.sum().backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad
