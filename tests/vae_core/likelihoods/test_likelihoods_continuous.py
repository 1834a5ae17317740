"""Facts and known faults of beta, Student-t, truncated Gaussian and logit-normal; their masses against other rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats
from torch import Tensor

from vae_core import likelihoods
from vae_core.likelihoods import _degrees_of_freedom as degrees
from vae_core.likelihoods import _incomplete_beta, _student_tail, stack
from vae_core.likelihoods._incomplete_beta import log_bin, log_kernel, stirling_remainder
from vae_core.likelihoods.beta import CEILING, FLOOR

BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def every_mass(lik: Any, raw: Tensor, levels: int) -> Tensor:
    """ln P(k) of D = 1: raw [N, R] -> [N, levels]."""
    return lik.log_mass(torch.arange(levels).reshape(1, levels, 1), raw.unsqueeze(1), levels)


def log_integral(log_f: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> float:
    """ln ∫ e^{log_f} of a log-concave function, by 20 Gauss–Legendre nodes on each of 2000 pieces of the part where it
    is within e^{−60} of its maximum."""
    for _ in range(6):
        grid = np.linspace(low, high, 4001)
        value = log_f(grid)
        kept = np.flatnonzero(value > value.max() - 60)
        low, high = grid[max(kept[0] - 1, 0)], grid[min(kept[-1] + 1, 4000)]
    nodes, weights = np.polynomial.legendre.leggauss(20)
    edges = np.linspace(low, high, 2001)
    width = (high - low) / 2000
    value = log_f(edges[:-1, None] + 0.5 * (nodes + 1) * width)
    peak = value.max()
    return float(peak + np.log((np.exp(value - peak) * (0.5 * width * weights)).sum()))


def relative(found: Tensor, exact: np.ndarray) -> np.ndarray:
    """|error| over max(1, |exact|): absolute where a mass is near 1, relative far in a tail."""
    return np.abs(found.detach().double().numpy() - exact) / np.maximum(1, np.abs(exact))


# -- beta: the incomplete beta function ----------------------------------------------------------------------------


def beta_sweep(count: int, levels: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """α, β (floats of float32) over the documented range, and levels: half of them likely ones, half any."""
    rng = np.random.default_rng(seed)
    n = 10 ** rng.uniform(-1.5, math.log10(CEILING), count)
    mean = special.expit(rng.normal(0, 4, count))
    a, b = (FLOOR + n * mean).astype(np.float32), (FLOOR + n * (1 - mean)).astype(np.float32)
    likely = np.clip(np.floor(rng.beta(a, b) * levels), 0, levels - 1).astype(int)
    return a.astype(float), b.astype(float), np.where(rng.random(count) < 0.5, likely, rng.integers(0, levels, count))


def beta_log_mass(a: float, b: float, k: int, levels: int) -> float:
    """In logit space, where the integrand is log-concave; no splitting, no recurrence; ln B in extended precision."""
    with mpmath.workdps(40):
        log_beta = float(mpmath.log(mpmath.beta(a, b)))
    low = special.logit(k / levels) if k else -100 / a - 20
    high = special.logit((k + 1) / levels) if k < levels - 1 else 100 / b + 20
    return log_integral(lambda y: -a * np.logaddexp(0, -y) - b * np.logaddexp(0, y), low, high) - log_beta


@pytest.mark.parametrize("levels", [2, 3, 17, 256])
def test_beta_masses_over_the_documented_range(levels: int) -> None:
    """Against another quadrature, in tails down to e^{−10⁵} too: 1e-9 in float64, 3e-6 in float32."""
    a, b, k = beta_sweep(60, levels, seed=levels)
    exact = np.array([beta_log_mass(*each, levels) for each in zip(a, b, k, strict=True)])
    for dtype, limit in ((torch.float64, 1e-9), (torch.float32, 3e-6)):
        found = log_bin(torch.tensor(k), torch.tensor(a, dtype=dtype), torch.tensor(b, dtype=dtype), levels)
        assert relative(found, exact).max() < limit


@pytest.mark.parametrize("levels", [2, 3, 17, 256])
def test_beta_masses_agree_with_scipy_where_it_has_them(levels: int) -> None:
    """Wherever a difference of scipy's incomplete beta functions, taken from the smaller tail, keeps its digits."""
    a, b, k = beta_sweep(20_000, levels, seed=levels)
    low, high, mean = k / levels, (k + 1) / levels, a / (a + b)
    below = special.betainc(a, b, high) - special.betainc(a, b, low)
    above = special.betaincc(a, b, low) - special.betaincc(a, b, high)
    mass = np.where(high <= mean, below, above)
    around = (low < mean) & (mean < high)
    mass[around] = (1 - special.betainc(a, b, low) - special.betaincc(a, b, high))[around]
    largest = np.where(high <= mean, special.betainc(a, b, high), np.where(around, 1, special.betaincc(a, b, low)))
    exact = (mass > 1e-200) & (mass > 1e-3 * largest)
    assert exact.mean() > 0.8
    for dtype, limit in ((torch.float64, 1e-9), (torch.float32, 3e-6)):
        found = log_bin(torch.tensor(k), torch.tensor(a, dtype=dtype), torch.tensor(b, dtype=dtype), levels)
        assert torch.isfinite(found).all()
        assert relative(found[torch.tensor(exact)], np.log(mass[exact])).max() < limit


@BOTH
def test_beta_masses_where_an_accelerator_computes_every_branch(dtype: torch.dtype, monkeypatch: Any) -> None:
    """Values and gradients are those of the CPU, which gathers the elements that need the wide bins' rule."""
    a, b, k = beta_sweep(4000, 17, seed=1)
    results = []
    for everywhere in (False, True):
        if everywhere:
            monkeypatch.setattr(_incomplete_beta, "_only_where", lambda mask, f, inputs: f(*inputs) * mask)
        alpha, beta = (torch.tensor(value, dtype=dtype).requires_grad_() for value in (a, b))
        value = log_bin(torch.tensor(k), alpha, beta, 17)
        results.append((value.detach(), *torch.autograd.grad(value.sum(), (alpha, beta))))
    for cpu, accelerator in zip(*results, strict=True):
        assert torch.isfinite(accelerator).all()
        torch.testing.assert_close(cpu, accelerator)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_beta_gradients_at_sharp_and_at_u_shapes(levels: int) -> None:
    """Nodes carry no gradient: the integral must not depend on them, to the accuracy of a finite difference."""
    raw = torch.tensor(
        [[eta, lam] for eta in (-9.0, -2.0, 0.1, 6.0) for lam in (-5.0, 1.0, 5.0, 9.0)], dtype=torch.float64
    ).requires_grad_()
    lik = likelihoods.make("beta")
    mean = lik.mean(raw.detach())
    for k in ((mean * levels).long().clamp(max=levels - 1), torch.zeros(16, 1, dtype=torch.long)):
        assert torch.autograd.gradcheck(lambda r, k=k: lik.log_mass(k, r, levels), raw, eps=1e-6, rtol=1e-4, atol=1e-5)


def test_beta_is_uniform_at_zero_and_keeps_its_bounds() -> None:
    lik: Any = likelihoods.make("beta")
    alpha, beta = lik._split(torch.zeros(1, 2))
    assert float(alpha) == pytest.approx(1, abs=1e-4)
    assert float(beta) == pytest.approx(1, abs=1e-4)
    for dtype in (torch.float32, torch.float64):
        raw = torch.cartesian_prod(*[torch.tensor([-1e4, -50.0, 0.0, 50.0, 1e4], dtype=dtype)] * 2).requires_grad_()
        alpha, beta = lik._split(raw)
        assert float(torch.minimum(alpha, beta).min().detach()) >= FLOOR * (1 - 1e-6)
        assert float((alpha + beta).max().detach()) <= (CEILING + 2 * FLOOR) * (1 + 1e-6)
        for k in (0, 8, 16):
            score = lik.log_mass(torch.full((25, 1), k), raw, 17)
            assert torch.isfinite(score).all()
            assert torch.isfinite(torch.autograd.grad(score.sum(), raw)[0]).all()


@BOTH
def test_beta_density_is_finite_on_dequantised_data_at_the_ends(dtype: torch.dtype) -> None:
    """u = 0 and the number next to 1, at a pole and at a zero of the density."""
    lik = likelihoods.make("beta")
    x = torch.tensor([[0.0], [1e-40], [1 - torch.finfo(dtype).eps / 2], [1.0]], dtype=dtype)
    for raw in ([0.0, -50.0], [0.0, 50.0], [-50.0, 3.0], [50.0, 3.0]):
        outputs = torch.tensor(raw, dtype=dtype).repeat(4, 1).requires_grad_()
        score = lik.log_prob(x, outputs)
        assert torch.isfinite(score).all()
        assert torch.isfinite(torch.autograd.grad(score.sum(), outputs)[0]).all()


def test_the_plain_beta_normaliser_loses_its_digits_in_float32() -> None:
    """ln Γ(α) + ln Γ(β) − ln Γ(α+β) at 5·10⁴ is off by a hundredth of a nat; Stirling's remainders keep six digits."""
    alpha = torch.tensor(5e4)
    exact = float(special.betaln(5e4, 5e4)) + 2 * 5e4 * math.log(2)
    plain = 2 * torch.lgamma(alpha) - torch.lgamma(2 * alpha) + 1e5 * math.log(2)
    assert abs(float(plain) - exact) > 1e-3
    half = torch.tensor(0.5)
    assert float(log_kernel(alpha, alpha, half, half)) == pytest.approx(-exact, rel=1e-6)


@given(st.floats(math.log(FLOOR), math.log(2 * CEILING)))
def test_stirling_remainder(log_x: float) -> None:
    x = float(np.float32(math.exp(log_x)))
    with mpmath.workdps(40):
        m = mpmath.mpf(x)
        exact = float(mpmath.loggamma(m) - ((m - 0.5) * mpmath.log(m) - m + mpmath.log(2 * mpmath.pi) / 2))
    assert float(stirling_remainder(torch.tensor(x, dtype=torch.float64))) == pytest.approx(exact, abs=1e-11)
    assert float(stirling_remainder(torch.tensor(x))) == pytest.approx(exact, abs=2e-6)


# -- Student-t -----------------------------------------------------------------------------------------------------

DFS = (0.1, 0.5, 1.0, 2.0, 5.0, 30.0, 1e3, 1e6)


def log_standard_t(z: float, nu: float) -> float:
    """ln P(T > z), z ≥ 0, by quadrature over s = asinh(z/√ν), where the density is cosh^{−ν} s."""
    with mpmath.workdps(40):
        half = mpmath.mpf(nu) / 2
        constant = float(mpmath.loggamma(half + 0.5) - mpmath.loggamma(half) - mpmath.log(mpmath.pi) / 2)
    start = math.asinh(z / math.sqrt(nu))
    reach = 80 / nu + 20 / math.sqrt(nu)
    return constant + log_integral(lambda s: -nu * (s + np.log1p(np.exp(-2 * s)) - math.log(2)), start, start + reach)


@pytest.mark.parametrize("nu", DFS)
def test_the_tail_of_student_t_from_the_middle_to_where_floats_end(nu: float) -> None:
    z = np.concatenate([[0.0, 1e-6], np.logspace(-3, 3, 40), [1e5, 1e8]]).astype(np.float32).astype(float)
    exact = np.array([log_standard_t(each, nu) for each in z])
    lik: Any = likelihoods.make("student_t", sigma=1.0, df=nu)
    for dtype, limit in ((torch.float64, 1e-9), (torch.float32, 1e-6)):
        for sign in (1, -1):
            value = exact if sign < 0 else np.log1p(-np.exp(exact))
            found = lik._log_cdf(torch.tensor(sign * z, dtype=dtype))
            assert relative(found, value).max() < limit


@pytest.mark.parametrize("nu", DFS)
def test_intervals_of_student_t_from_thin_slices_to_the_whole_line(nu: float) -> None:
    """Middles up to 10³ scales out, widths from 10⁻⁵ to 10³: thin and wide bins, beside the peak and across it."""
    rng = np.random.default_rng(5)
    middle = (rng.choice([-1, 1], 60) * 10 ** rng.uniform(-2, 3, 60)).astype(np.float32).astype(float)
    half = (10 ** rng.uniform(-5, 3, 60)).astype(np.float32).astype(float)
    root = math.sqrt(nu)
    with mpmath.workdps(40):
        m = mpmath.mpf(nu)
        constant = float(mpmath.loggamma((m + 1) / 2) - mpmath.loggamma(m / 2) - mpmath.log(mpmath.pi) / 2)
    exact = []
    for centre, reach in zip(middle, half, strict=True):
        edges = np.arcsinh((centre - reach) / root), np.arcsinh((centre + reach) / root)
        log_f = lambda s: -nu * (np.abs(s) + np.log1p(np.exp(-2 * np.abs(s))) - math.log(2))  # noqa: E731
        exact.append(constant + log_integral(log_f, *edges))
    lik: Any = likelihoods.make("student_t", sigma=1.0, df=nu)
    for dtype, limit in ((torch.float64, 1e-9), (torch.float32, 3e-6)):
        a, h = torch.tensor(middle, dtype=dtype), torch.tensor(half, dtype=dtype)
        thin = (half > 1e-3 * np.abs(middle)) | (dtype == torch.float64)  # else float32 cannot tell the edges apart
        assert relative(lik._log_interval(a, h, torch.log(2 * h)), np.array(exact))[thin].max() < limit


def test_one_degree_of_freedom_is_the_cauchy_and_a_million_the_gaussian() -> None:
    raw = torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    k = torch.randint(17, (40, 3), generator=torch.Generator().manual_seed(1))
    cauchy = stats.cauchy(raw.numpy(), 0.2)
    level = k.numpy()
    low, high = np.where(level == 0, -np.inf, level / 17), np.where(level == 16, np.inf, (level + 1) / 17)
    mass = np.where(raw.numpy() < low, cauchy.sf(low) - cauchy.sf(high), cauchy.cdf(high) - cauchy.cdf(low))
    found = likelihoods.make("student_t", sigma=0.2, df=1).log_mass(k, raw, 17)
    np.testing.assert_allclose(found.numpy(), np.log(mass).sum(-1), rtol=1e-9)
    gaussian = likelihoods.make("gaussian", sigma=0.2).log_mass(k, raw, 17)
    torch.testing.assert_close(
        likelihoods.make("student_t", sigma=0.2, df=1e6).log_mass(k, raw, 17), gaussian, rtol=1e-3, atol=1e-4
    )


def test_learned_degrees_of_freedom_have_an_exact_gradient() -> None:
    """ln P and ln p of θ against finite differences, from the Cauchy's neighbourhood to the Gaussian's."""
    raw = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    k = torch.tensor([[0, 1, 8]] * 3 + [[16, 9, 15]] * 3)
    for theta in (-0.5, 0.0, 0.3):
        lik: Any = likelihoods.make("student_t", sigma=0.1, df="shared")
        lik.df.put({"theta": torch.tensor(theta, dtype=torch.float64)})
        for score in (lambda lik=lik: lik.log_mass(k, raw, 17).sum(), lambda lik=lik: lik.log_prob(k / 17, raw).sum()):
            (slope,) = torch.autograd.grad(score(), lik.learned())
            values = []
            for step in (1e-5, -1e-5):
                lik.df.put({"theta": torch.tensor(theta + step, dtype=torch.float64)})
                values.append(float(score()))
            lik.df.put({"theta": torch.tensor(theta, dtype=torch.float64)})
            assert float(slope) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4, abs=1e-6)


def test_learned_degrees_of_freedom_start_at_five_and_keep_their_bounds() -> None:
    lik: Any = likelihoods.make("student_t", sigma=0.1, df="shared")
    assert float(lik.df.value(torch.device("cpu"))) == pytest.approx(degrees.START, rel=1e-5)
    for theta, bound in ((-1e4, degrees.FLOOR), (1e4, degrees.CEILING)):
        lik.df.put({"theta": torch.tensor(theta)})
        assert float(lik.df.value(torch.device("cpu"))) == pytest.approx(bound)
        score = lik.log_mass(torch.tensor([[3]]), torch.tensor([[0.4]]), 17)
        assert torch.isfinite(score).all()


def test_different_degrees_of_freedom_share_one_stack() -> None:
    members = [likelihoods.make("student_t", sigma=s, df=df) for s, df in ((0.1, 1.0), (0.2, 4.0), (0.1, 50.0))]
    raw = torch.randn(3, 5, 2, 4, generator=torch.Generator().manual_seed(0))
    k = torch.randint(17, (3, 5, 1, 4), generator=torch.Generator().manual_seed(1))
    together = stack(members).log_mass(k, raw, 17)
    for index, lik in enumerate(members):
        torch.testing.assert_close(together[index], lik.log_mass(k[index], raw[index], 17))


def test_training_finds_the_degrees_of_freedom_of_the_data() -> None:
    """Draws of ν = 3, σ = 0.1: both learned scalars come within a tenth, on the density and on its bins."""
    rng = torch.Generator().manual_seed(0)
    truth = likelihoods.make("student_t", sigma=0.1, df=3.0)
    loc = torch.full((2000, 8), 0.5)
    x = truth.sample(loc, rng)
    k = torch.floor(x * 256).clamp(0, 255).long()
    for binned in (False, True):
        lik: Any = likelihoods.make("student_t", sigma="shared", df="shared")
        lik.initialise(0.2)
        optimiser = torch.optim.Adam(lik.parameters(), lr=0.01)
        for _ in range(100):
            loss = -(lik.log_mass(k, loc, 256) if binned else lik.log_prob(x, loc)).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert float(lik.df.value(loc.device)) == pytest.approx(3.0, rel=0.1)
        assert float(lik.sigma_in_use(loc)) == pytest.approx(0.1, rel=0.1)


def test_the_polynomial_of_the_tail_is_of_the_degree_that_its_type_needs() -> None:
    """Two degrees more change nothing."""
    for nu in DFS:
        for dtype, limit in ((torch.float32, 1e-7), (torch.float64, 1e-10)):
            t = torch.linspace(-1, 1, 101, dtype=torch.float64)
            value = torch.tensor(nu, dtype=torch.float64)
            count = _student_tail.degree(dtype)
            curves = [np.polyval(_student_tail.coefficients(value, c).numpy(), t.numpy()) for c in (count, count + 2)]
            assert np.abs(curves[0] - curves[1]).max() < limit


# -- truncated Gaussian --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [1e-3, 0.02, 0.3, 1.0, 30.0, 1e6])
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_truncated_masses_for_locations_far_outside(sigma: float, levels: int) -> None:
    """μ to 50 units outside [0, 1], 50,000 σ: Σ = 1, float32 as float64, against a log-concave quadrature."""
    locs = [-50.0, -3.0, -0.2, 0.0, 1e-4, 0.3, 0.5, 0.9, 1.0, 1.05, 4.0, 50.0]
    raw = torch.tensor(locs).unsqueeze(-1)
    lik = likelihoods.make("truncated_gaussian", sigma=sigma)
    single, double = every_mass(lik, raw, levels), every_mass(lik, raw.double(), levels)
    assert (double.logsumexp(-1).abs() < 1e-11).all()
    edges = 6e-8 / sigma  # the edges' own rounding, in σ
    assert (single.double().logsumexp(-1).abs() < 3e-6 + edges).all()
    exact = raw.double().numpy()[:, 0]
    for row, loc in enumerate(exact):
        log_f = lambda x, loc=loc: -((x - loc) ** 2 - (np.clip(loc, 0, 1) - loc) ** 2) / (2 * sigma**2)  # noqa: E731
        whole = log_integral(log_f, 0, 1)
        for k in {0, 1, levels // 2, levels - 1}:
            expected = log_integral(log_f, k / levels, (k + 1) / levels) - whole
            assert float(double[row, k]) == pytest.approx(expected, rel=1e-8, abs=1e-8)
            assert float(single[row, k]) == pytest.approx(expected, rel=2e-6 + edges, abs=5e-6 + 10 * edges)


def test_a_plain_truncated_normaliser_is_zero_far_outside() -> None:
    """Φ(b) − Φ(a) for μ = −3, σ = 0.1 underflows, and its logarithm with it; here the density is one-sided."""
    normal = torch.distributions.Normal(0.0, 1.0)
    plain = torch.log(normal.cdf(torch.tensor(40.0)) - normal.cdf(torch.tensor(30.0)))
    assert not torch.isfinite(plain)
    raw = torch.tensor([[-3.0]], requires_grad=True)
    score = likelihoods.make("truncated_gaussian", sigma=0.1).log_prob(torch.tensor([[0.01]]), raw)
    expected = stats.truncnorm(30, 40, -3, 0.1).logpdf(0.01)
    assert float(score) == pytest.approx(expected, rel=1e-5)
    assert torch.isfinite(torch.autograd.grad(score.sum(), raw)[0]).all()


def test_a_truncated_gaussian_that_lies_inside_is_a_gaussian() -> None:
    x = torch.rand(50, 4, generator=torch.Generator().manual_seed(0))
    raw = 0.3 + 0.4 * torch.rand(50, 4, generator=torch.Generator().manual_seed(1))
    options = {"sigma": 0.03}
    inside = likelihoods.make("truncated_gaussian", **options).log_prob(x, raw)
    torch.testing.assert_close(inside, likelihoods.make("gaussian", **options).log_prob(x, raw))


@pytest.mark.parametrize("sigma", [1e-3, 0.1, 1.0, 100.0, 1e6])
def test_the_truncated_mean_is_the_integral(sigma: float) -> None:
    lik = likelihoods.make("truncated_gaussian", sigma=sigma)
    for loc in (-50.0, -1.0, 0.0, 0.2, 0.5, 0.97, 1.3, 50.0):
        with mpmath.workdps(50):
            m, s = mpmath.mpf(float(np.float32(loc))), mpmath.mpf(sigma)
            a, b = -m / s, (1 - m) / s
            root = mpmath.sqrt(2)
            area = mpmath.sqrt(mpmath.pi / 2) * (mpmath.erfc(a / root) - mpmath.erfc(b / root))
            if area < mpmath.mpf(10) ** -40 and m > 1:  # by the mirror image, which keeps its digits
                area = mpmath.sqrt(mpmath.pi / 2) * (mpmath.erfc(-b / root) - mpmath.erfc(-a / root))
            exact = m + s * (mpmath.exp(-(a**2) / 2) - mpmath.exp(-(b**2) / 2)) / area
        found = lik.mean(torch.tensor([[loc]]))
        nearest = min(float(exact), 1 - float(exact))
        assert abs(float(found) - float(exact)) < 2e-5 * nearest + 1e-7


def test_truncated_draws_far_outside_crowd_at_the_edge() -> None:
    """μ = −50, σ = 0.1: an exponential of rate μ/σ² = 5000 at 0."""
    lik = likelihoods.make("truncated_gaussian", sigma=0.1)
    draws = lik.sample(torch.full((20_000, 1), -50.0), torch.Generator().manual_seed(0)).flatten()
    assert ((draws >= 0) & (draws <= 1)).all()
    assert stats.kstest(draws.double().numpy(), stats.expon(scale=1 / 5000).cdf).pvalue > 1e-3


# -- logit-normal --------------------------------------------------------------------------------------------------


@BOTH
def test_logit_normal_density_is_finite_on_dequantised_data_at_the_ends(dtype: torch.dtype) -> None:
    """0, and what rounds to 1, count as half a step of the float format from it: at both ends alike."""
    step = torch.finfo(dtype).eps / 2
    x = torch.tensor([[0.0], [step / 8], [step], [1 - step], [1.0]], dtype=dtype)
    raw = torch.zeros(5, 1, dtype=dtype).requires_grad_()
    for sigma in (0.02, 1.0):
        score = likelihoods.make("logit_normal", sigma=sigma).log_prob(x, raw)
        assert torch.isfinite(score).all()
        assert torch.isfinite(torch.autograd.grad(score.sum(), raw)[0]).all()
        torch.testing.assert_close(score[:3], score[2].expand(3))
        torch.testing.assert_close(score[3:], score[2].expand(2))


def test_logit_normal_masses_are_those_of_the_normal_between_logits() -> None:
    """Every level of 2, 3, 17 and 256, by scipy's normal from the smaller tail."""
    lik = likelihoods.make("logit_normal", sigma=0.7)
    loc = torch.linspace(-9, 9, 37, dtype=torch.float64).unsqueeze(-1)
    for levels in (2, 3, 17, 256):
        edges = special.logit(np.arange(levels + 1) / levels)
        z = (edges[None, :] - loc.numpy()) / 0.7
        right = z[:, :-1] > 0
        mass = np.where(right, stats.norm.sf(z[:, :-1]) - stats.norm.sf(z[:, 1:]), np.diff(stats.norm.cdf(z)))
        np.testing.assert_allclose(every_mass(lik, loc, levels).numpy(), np.log(mass), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sigma", [0.01, 0.5, 2.0])
def test_logit_normal_mean_is_the_integral(sigma: float) -> None:
    for loc in (-6.0, -1.0, 0.0, 2.5):
        exact = integrate.quad(
            lambda e, loc=loc: special.expit(loc + sigma * e) * stats.norm.pdf(e), -12, 12, epsabs=1e-12
        )[0]
        found = likelihoods.make("logit_normal", sigma=sigma).mean(torch.tensor([[loc]], dtype=torch.float64))
        assert float(found) == pytest.approx(exact, abs=1e-7)


def test_logit_normal_optimal_sigma_maximises_the_likelihood_of_the_batch() -> None:
    """In logit space: the root mean square of logit x − μ; the running value scores test data."""
    generator = torch.Generator().manual_seed(0)
    x, loc = torch.rand(40, 8, generator=generator), torch.randn(40, 8, generator=generator)
    lik = likelihoods.make("logit_normal", sigma="optimal")
    best = float(lik.train_log_prob(x, loc).sum())
    sigma = float(lik.sigma_in_use(loc))  # type: ignore[arg-type]
    assert sigma == pytest.approx(float((torch.logit(x) - loc).square().mean().sqrt()), rel=1e-4)
    for factor in (0.98, 0.999, 1.001, 1.02):
        assert float(likelihoods.make("logit_normal", sigma=sigma * factor).log_prob(x, loc).sum()) < best
    assert float(lik.log_prob(x, loc).sum()) == pytest.approx(best, rel=1e-6)
    with pytest.raises(ValueError, match=r"'binned' has none .*: take 'dequantised'"):
        lik.require_objective("binned")


# -- options -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("student_t", {"sigma": "optimal"}, "no closed form for a Student-t: take sigma='shared'"),
        ("truncated_gaussian", {"sigma": "optimal"}, "no closed form for a Gaussian truncated to [0, 1]: take"),
        ("student_t", {"df": 0}, "a number from 0.1 to 1e+06, or 'shared'"),
        ("student_t", {"df": -1.0}, "a number from 0.1 to 1e+06, or 'shared'"),
        ("student_t", {"df": math.nan}, "a number from 0.1 to 1e+06, or 'shared'"),
        ("student_t", {"df": "pixel"}, "a number from 0.1 to 1e+06, or 'shared'"),
        ("student_t", {"df": True}, "a number from 0.1 to 1e+06, or 'shared'"),
        ("student_t", {"link": "tanh"}, "allowed: identity, sigmoid"),
        ("truncated_gaussian", {"link": "tanh"}, "allowed: identity, sigmoid"),
        ("beta", {"sigma": 0.1}, "it takes none"),
        ("logit_normal", {"link": "sigmoid"}, "takes no option 'link' (allowed: sigma, levels)"),
    ],
)
def test_wrong_options_are_refused_with_the_remedy(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        likelihoods.make(name, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["beta", "student_t", "truncated_gaussian", "logit_normal"])
def test_training_on_the_bins_is_allowed(name: str) -> None:
    likelihoods.make(name).require_objective("binned")
