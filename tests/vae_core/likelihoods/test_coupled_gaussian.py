"""The Gaussian with a full covariance a pixel: against integrals over cubes that are taken in another way."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize, special, stats

from vae_core import likelihoods
from vae_core.likelihoods import _coupled_gaussian, _cube, _small_cube
from vae_core.likelihoods.gaussian import Gaussian, _documented

DIAGONAL, SHARED = ((0, 0), (1, 1), (2, 2)), ((0, 1), (0, 2), (1, 2))


def made(**options: Any) -> Any:
    return likelihoods.make("gaussian", **{"sigma": "pixel", "channels": "coupled", "shape": (3, 1, 1), **options})


def covariance(sigma: tuple[float, ...], rho: tuple[float, float, float]) -> np.ndarray:
    """Of three numbers σ and the correlations of red with green, red with blue, green with blue."""
    r = np.array([[1, rho[0], rho[1]], [rho[0], 1, rho[2]], [rho[1], rho[2], 1]])
    return np.diag(sigma) @ r @ np.diag(sigma)


def axis(low: float, high: float, narrow: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of a composite rule: panels no wider than `narrow`, and ever shorter towards the ends."""
    x, w = np.polynomial.legendre.leggauss(8)
    span = high - low
    cuts = np.linspace(low, high, 2 + int(span / narrow))
    cuts = np.unique(
        [*cuts, *(end + sign * span * 2.0**-j for end, sign in ((low, 1), (high, -1)) for j in range(1, 30))]
    )
    half, middle = np.diff(cuts) / 2, (cuts[1:] + cuts[:-1]) / 2
    return (middle[:, None] + half[:, None] * x).ravel(), (half[:, None] * w).ravel()


def by_quadrature(mean: np.ndarray, cov: np.ndarray, k: tuple[int, ...], levels: int) -> float:
    """ln ∫ over the pixel's bins: blue is conditioned on green and red, by matrices, and those two are integrated."""
    sd = np.sqrt(np.diag(cov))
    low = np.array([-np.inf if each == 0 else each / levels for each in k])
    high = np.array([np.inf if each == levels - 1 else (each + 1) / levels for each in k])
    factor = np.linalg.inv(np.linalg.cholesky(cov))
    peak = optimize.lsq_linear(factor, factor @ mean, (low, high), tol=1e-14).x
    ends = [(max(a, p - 8 * s), min(b, p + 8 * s)) for a, b, p, s in zip(low, high, peak, sd, strict=True)]
    narrow = 1.5 / np.sqrt(np.diag(np.linalg.inv(cov)))
    (r, wr), (g, wg) = (axis(*ends[c], narrow[c]) for c in range(2))
    grid = np.stack(np.broadcast_arrays(r[:, None], g[None]), -1) - mean[:2]
    inverse = np.linalg.inv(cov[:2, :2])
    slope = cov[2, :2] @ inverse
    left = math.sqrt(cov[2, 2] - slope @ cov[:2, 2])
    centre = mean[2] + grid @ slope
    a, b = (low[2] - centre) / left, (high[2] - centre) / left
    near, far = np.where(a + b > 0, -a, b), np.where(a + b > 0, -b, a)
    with np.errstate(invalid="ignore", divide="ignore"):
        last = special.log_ndtr(near) + np.log1p(-np.exp(special.log_ndtr(far) - special.log_ndtr(near)))
    exponent = last - 0.5 * np.einsum("...i,ij,...j->...", grid, inverse, grid)
    top = exponent.max()
    total = math.log((np.exp(exponent - top) * wr[:, None] * wg).sum()) + top
    return total - 0.5 * math.log(np.linalg.det(2 * math.pi * cov[:2, :2]))


def found(mean: np.ndarray, cov: np.ndarray, k: tuple[int, ...], levels: int, **options: Any) -> float:
    lik = made(levels=levels, **options)
    raw = lik.raw(mean=torch.tensor(mean)[None], covariance=torch.tensor(cov)[None, None])
    score = lik.log_mass(torch.tensor(k)[None], raw, levels)
    torch.testing.assert_close(lik.log_masses(torch.tensor(k)[None], raw, levels).sum(-1), score)
    return float(score)


#: σ in bins, correlations, and where the mean lies from the bin's middle, in bins
PLACES = {
    "the issue's": ((0.3, 0.3, 0.3), (0.9, 0.9, 0.9), (0.0, 0.0, 0.0)),
    "between bins": ((0.3, 0.3, 0.3), (0.9, 0.9, 0.9), (0.5, -0.3, 0.1)),
    "wide": ((6.0, 9.0, 4.0), (0.99, 0.95, 0.97), (3.0, 2.0, 4.0)),
    "a slope of 20": ((0.2, 4.0, 1.0), (0.95, -0.3, -0.2), (0.3, 2.0, 1.0)),
    "narrow ridges": ((3.0, 3.0, 3.0), (0.999, 0.999, 0.999), (1.0, 1.2, 0.9)),
    "against the correlation": ((1.0, 1.0, 1.0), (0.9, 0.9, 0.9), (4.0, -4.0, 4.0)),
    "far out": ((1.0, 2.0, 1.5), (0.6, 0.3, -0.5), (60.0, -50.0, 40.0)),
    "farther": ((0.25, 0.5, 1.5), (0.8, 0.3, -0.2), (100.0, 80.0, 90.0)),
}


@pytest.mark.parametrize("bins", [(100, 120, 140), (0, 0, 0), (255, 255, 255), (255, 0, 3), (7, 255, 0)], ids=str)
@pytest.mark.parametrize("place", PLACES)
def test_a_mass_is_the_integral_over_the_cube(place: str, bins: tuple[int, ...]) -> None:
    sigma, rho, off = PLACES[place]
    cov = covariance(tuple(s / 256 for s in sigma), rho)
    mean = (np.array(bins) + 0.5 + np.array(off)) / 256
    expected = by_quadrature(mean, cov, bins, 256)
    assert found(mean, cov, bins, 256) == pytest.approx(expected, rel=1e-9, abs=2e-7)


def test_the_reference_is_right_where_scipy_is() -> None:
    cov, mean = covariance((0.3, 0.2, 0.25), (0.5, -0.3, 0.4)), np.array([0.4, 0.5, 0.6])
    theirs = stats.multivariate_normal(mean, cov).cdf(np.array([0.5] * 3), lower_limit=np.array([-np.inf] * 3))
    assert by_quadrature(mean, cov, (0, 0, 0), 2) == pytest.approx(math.log(theirs), abs=1e-4)


def test_conditioning_on_the_middle_of_a_bin_is_something_else() -> None:
    """0.3 nats a pair at σ = 0.3 bins and a correlation of 0.9: what an approximation would show."""
    levels, rho = 16, 0.9
    cov = covariance((0.3 / 16,) * 3, (rho, 0.0, 0.0))
    probability = {}
    for k in itertools.product(range(6, 10), repeat=2):
        mean = np.array([8.0, 8.0, 8.5]) / 16
        probability[k] = found(mean, cov, (*k, 8), levels) - found(mean, cov, (8, 8, 8), levels)
    sd = 0.3 * math.sqrt(1 - rho**2)
    own, below, above = (stats.norm.cdf((edge - 8 - rho * 0.5) / sd) for edge in (8, 7, 9))
    approximate = math.log((own - below) / (above - own))
    assert abs(approximate - (probability[8, 7])) > 0.3


@pytest.mark.parametrize("levels", [2, 3, 5])
def test_masses_of_all_colours_sum_to_one(levels: int) -> None:
    lik = made(levels=levels)
    raw = torch.randn(6, lik.outputs(3), generator=torch.Generator().manual_seed(levels), dtype=torch.float64)
    raw[3:, 3:6] -= 2.5
    k = torch.tensor(list(itertools.product(range(levels), repeat=3)))
    total = lik.log_mass(k.unsqueeze(0).expand(6, -1, -1), raw.unsqueeze(1).expand(-1, len(k), -1), levels)
    assert (total.logsumexp(1).exp() - 1).abs().max() < 1e-7


@pytest.mark.parametrize("slope", [10.0, 200.0])
def test_masses_sum_to_one_at_scales_that_no_image_has(slope: float) -> None:
    """σ from its floor to its ceiling beside one another, in one pixel, and slopes that make ridges of them."""
    lik, rng = made(levels=2), np.random.default_rng(8)
    parts = [rng.uniform(-1, 2, (120, 3)), rng.normal(size=(120, 3)) * slope, rng.uniform(-50, 50, (120, 3))]
    parts[1][60:, 2] = 0
    raw = torch.tensor(np.concatenate(parts, 1))
    k = torch.tensor(list(itertools.product(range(2), repeat=3)))
    total = lik.log_mass(k.expand(120, -1, -1), raw.unsqueeze(1).expand(-1, len(k), -1), 2)
    assert (total.logsumexp(1).exp() - 1).abs().max() < 5e-7


@pytest.mark.parametrize(
    ("sigma", "far", "slope", "dtype"),
    [
        ("pixel", 1e3, 1e5, torch.float32),
        ("pixel", 1e5, 1e3, torch.float64),
        ("image", 1e3, 1e3, torch.float64),
        ("image", 1e5, 1e3, torch.float32),
    ],
)
def test_masses_and_gradients_are_numbers_of_any_outputs(
    sigma: str, far: float, slope: float, dtype: torch.dtype
) -> None:
    """Of a network that diverges: means a thousand ranges out, where an exponent's last digit is worth many nats."""
    lik, rng, n = made(sigma=sigma, levels=256), np.random.default_rng(6), 600
    parts = [rng.choice([-1, 0, 1, 0.3, 0.7], size=(n, 3)) * size for size in (far, slope)]
    parts.append(rng.choice([-50.0, 0, 50, 3, -6], size=(n, lik.outputs(3) - 6)))
    raw = torch.tensor(np.concatenate(parts, 1)).to(dtype).requires_grad_()
    k = torch.tensor(rng.choice([0, 1, 128, 255], size=(n, 3)))
    score = lik.log_masses(k, raw, 256)
    assert torch.isfinite(score).all()
    assert torch.isfinite(torch.autograd.grad(score.sum(), raw)[0]).all()


@pytest.mark.parametrize("sigma", ["pixel", "image", "shared", 0.1])
def test_without_coefficients_it_is_the_gaussian_of_independent_channels(sigma: Any) -> None:
    plain = likelihoods.make("gaussian", sigma=sigma, levels=17)
    coupled = made(sigma=sigma, levels=17, shape=(3, 2, 2))
    if sigma == "shared":
        plain.set_sigma(0.07)
        coupled.set_sigma(0.07)
    raw = torch.randn(7, plain.outputs(12), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    both = torch.cat([raw[:, :12], torch.zeros(7, 12), raw[:, 12:]], -1)
    k = torch.randint(17, (7, 12), generator=torch.Generator().manual_seed(1))
    x = torch.rand(7, 12, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(coupled.log_masses(k, both, 17), plain.log_masses(k, raw, 17), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(coupled.log_prob(x, both), plain.log_prob(x, raw))
    torch.testing.assert_close(coupled.mean(both), plain.mean(raw))


@pytest.mark.parametrize("last", [False, True])
def test_density_and_draws_are_those_of_the_covariance(last: bool) -> None:
    lik = made(shape=(3, 1, 2), levels=17)
    lik.channels_last = last
    covs = np.stack([covariance((0.1, 0.3, 0.2), (0.9, -0.2, 0.1)), covariance((0.5, 0.05, 0.3), (-0.7, 0.1, 0.5))])
    means = np.array([[0.2, 0.4, 0.6], [0.7, 0.1, 0.5]])  # [P, C]
    flat = means.ravel() if last else means.T.ravel()
    raw = lik.raw(mean=torch.tensor(flat)[None], covariance=torch.tensor(covs)[None])
    x = np.random.default_rng(0).normal(0.5, 0.4, (9, 2, 3))
    expected = sum(stats.multivariate_normal(means[p], covs[p]).logpdf(x[:, p]) for p in range(2))
    given = torch.tensor(x if last else x.transpose(0, 2, 1)).reshape(9, 6)
    np.testing.assert_allclose(lik.log_prob(given, raw.expand(9, -1)).numpy(), expected, rtol=1e-10)
    draws = lik.sample(raw.expand(40_000, -1), torch.Generator().manual_seed(0)).numpy()
    draws = draws.reshape(-1, 2, 3) if last else draws.reshape(-1, 3, 2).transpose(0, 2, 1)
    for p in range(2):
        np.testing.assert_allclose(draws[:, p].mean(0), means[p], atol=0.012)
        np.testing.assert_allclose(np.cov(draws[:, p].T), covs[p], atol=0.006)


@pytest.mark.parametrize("sigma", ["pixel", "image", 0.02])
def test_gradients_agree_with_finite_differences(sigma: Any) -> None:
    lik = made(sigma=sigma, levels=17)
    raw = torch.randn(4, lik.outputs(3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    if sigma == "pixel":
        raw[:2, 6:] -= 3.5
    k = torch.randint(17, (4, 3), generator=torch.Generator().manual_seed(1))
    k[0], k[1] = 0, 16
    for score in (lik.log_mass, lambda k, r, levels: lik.log_masses(k, r, levels)):
        check = torch.autograd.gradcheck(lambda r, s=score: s(k, r, 17), raw.requires_grad_(), eps=1e-6, atol=1e-5)
        assert check


def around(n: int) -> dict[str, torch.Tensor]:
    """Of n pixels of level 128: regressions of any sign, σ from 1 to 30 bins, up to several of them from the mean."""
    rng = np.random.default_rng(0)
    sigma = np.exp(rng.uniform(0, 3.4, (n, 3)))
    phi, noise = rng.normal(size=(n, 3)), rng.normal(size=(n, 3)) * rng.uniform(0, 1.5, (n, 1)) * sigma
    apart = [noise[:, 0], phi[:, 0] * noise[:, 0] + noise[:, 1]]
    apart.append(phi[:, 1] * apart[0] + phi[:, 2] * apart[1] + noise[:, 2])
    given = {"mean": (128.5 - np.stack(apart, 1)) / 256, "coefficients": phi, "sigma": sigma / 256}
    return {name: torch.tensor(value) for name, value in given.items()}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_small_cube_in_closed_form_is_the_integral_within_its_bound(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the same cubes by quadrature with panels so short that it is exact to 1e-9; gradients too."""
    lik, n = made(levels=256), 3000
    raw = lik.raw(**around(n)).to(dtype)
    k = torch.full((n, 3), 128)
    box = _coupled_gaussian._box(lik, k, raw, 256).flat()
    holds = _small_cube.holds(box)
    assert 0.3 < holds.double().mean() < 0.9
    diagonal, _, slope, _ = _small_cube._Exponent.of(box.at(holds.nonzero()[:, 0]))
    assert torch.stack(diagonal).norm(dim=0).max() > 0.7 * _small_cube.MOST_CURVED  # to the edges of where it is used
    assert torch.stack(slope).abs().max() > 0.9 * _small_cube.MOST_STEEP
    k, leaf = k[holds], raw[holds].clone().requires_grad_()
    score = _cube.log_masses(_coupled_gaussian._box(lik, k, leaf, 256), dtype)[:, 0]
    slopes = torch.autograd.grad(score.sum(), leaf)[0]
    monkeypatch.setattr(_small_cube, "holds", lambda box: torch.zeros_like(box.low1, dtype=torch.bool))
    monkeypatch.setattr(_cube, "_GENTLE", (1.0, 2.0, 14))
    monkeypatch.setattr(_cube, "_STEEP", (1.0, 2.0, 12))
    exact = _cube.log_masses(_coupled_gaussian._box(lik, k, leaf, 256), dtype)[:, 0]
    expected = torch.autograd.grad(exact.sum(), leaf)[0]
    assert (score - exact).abs().max() < _small_cube.ERROR
    assert ((slopes - expected).abs() / (1 + expected.abs())).max() < 2e-4


def test_the_closed_form_is_within_its_bound_at_the_corners_of_where_it_is_used() -> None:
    """Curved in one direction, and steep along all: against a product rule of 14 nodes a side."""
    x, w = (each / 2 for each in np.polynomial.legendre.leggauss(14))
    t = np.stack(np.meshgrid(x, x, x, indexing="ij"), -1).reshape(-1, 3)
    weights = (w[:, None, None] * w[:, None] * w).ravel()
    rng = np.random.default_rng(1)
    along = np.concatenate([np.eye(3), rng.choice([-1, 1], (40, 3)), rng.normal(size=(40, 3))])
    curved = np.einsum("ni,nj->nij", along, along)
    curved *= _small_cube.MOST_CURVED / np.linalg.norm(curved, axis=(1, 2))[:, None, None]
    worst = 0.0
    for signs in itertools.product((-1, 0, 1), repeat=3):
        slope = _small_cube.MOST_STEEP * np.array(signs)
        exact = np.log(np.exp(-t @ slope - 0.5 * np.einsum("ti,nij,tj->nt", t, curved, t)) @ weights)
        entries = [torch.tensor(curved[:, i, j]) for i, j in (*DIAGONAL, *SHARED)]
        q1, q2, q3 = (torch.full((len(along),), each, dtype=torch.float64) for each in slope)
        h11, h22, h33, h12, h13, h23 = entries
        found = _small_cube._beside((h11, h22, h33), (h12, h13, h23), (q1, q2, q3))
        worst = max(worst, float(np.abs(found.numpy() - exact).max()))
    assert 0.8 * _small_cube.ERROR < worst < _small_cube.ERROR


@pytest.mark.parametrize("channel", range(3))
def test_masses_for_sums_are_the_masses_but_for_what_is_next_to_none(channel: int) -> None:
    lik = made(levels=256)
    raw = lik.raw(**around(6)).unsqueeze(-2)
    k = torch.full((6, 256, 3), 128)
    k[..., channel] = torch.arange(256)
    exact = lik.log_masses(k, raw, 256)[..., channel : channel + 1].exp()
    found = lik.masses_of(channel, k, raw, 256)
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-19)
    torch.testing.assert_close(lik.log_masses_of(channel, k, raw, 256).exp(), exact)
    assert (found == 0).any()


def test_where_numbers_cannot_be_looked_at_it_is_the_same_but_for_the_rule() -> None:
    lik = made(levels=17, shape=(3, 1, 2))
    raw = torch.randn(5, lik.outputs(6), generator=torch.Generator().manual_seed(0))
    k = torch.randint(17, (5, 6), generator=torch.Generator().manual_seed(1))
    mapped = torch.func.vmap(lambda k, r: lik.log_mass(k, r, 17))(k, raw)
    torch.testing.assert_close(mapped, lik.log_mass(k, raw, 17), rtol=1e-4, atol=1e-4)


def unseen(lik: Any, k: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
    """By how much ln P is off where numbers cannot be looked at, nats a pixel."""
    parts = zip(k.split(500), raw.split(500), strict=True)
    mapped = torch.cat([torch.func.vmap(lambda k, r: lik.log_mass(k, r, 256))(*each) for each in parts])
    return (mapped - lik.log_mass(k, raw, 256)).abs()


def test_there_the_rule_is_off_by_no_more_than_is_said_of_it() -> None:
    """At the places above, and where one channel of 0.145 bins follows one of 2 or 4.7 bins by -3.9."""
    lik, given = made(levels=256), []
    for bins in ((100, 120, 140), (0, 0, 0), (255, 255, 255), (255, 0, 3), (7, 255, 0)):
        middle = np.array(bins) + 0.5
        for sigma, rho, off in PLACES.values():
            cov = torch.tensor(covariance(tuple(s / 256 for s in sigma), rho))[None]
            given.append((bins, lik.raw(mean=torch.tensor((middle + off) / 256), covariance=cov)))
        for place, off in itertools.product(range(3), [(0, 0, 0), (0.4, 0.3, -0.2), (3, 1, 0), (-4, 2, 0.3)]):
            phi, own = -3.9 * torch.eye(3, dtype=torch.float64)[place], torch.tensor([4.7, 2.0, 0.145]) / 256
            given.append((bins, lik.raw(mean=torch.tensor((middle + off) / 256), coefficients=phi, sigma=own)))
    found = unseen(lik, torch.tensor([bins for bins, _ in given]), torch.stack([raw for _, raw in given]))
    assert 0.0030 < float(found.max()) < 0.0045


def test_nor_is_it_of_boxes_at_random() -> None:
    rng, n, lik = np.random.default_rng(0), 6000, made(levels=256)
    sigma = np.exp(rng.uniform(math.log(0.05), math.log(30), (n, 3)))
    phi = rng.normal(size=(n, 3)) * rng.choice([0.3, 1, 4], (n, 1))
    off = rng.normal(size=(n, 3)) * rng.choice([0.3, 1, 3], (n, 1))
    k = rng.choice([0, 7, 128, 255], (n, 3))
    given = {"mean": (k + 0.5 + off) / 256, "coefficients": phi, "sigma": sigma / 256}
    found = unseen(lik, torch.tensor(k), lik.raw(**{name: torch.tensor(each) for name, each in given.items()}))
    assert float(found.max()) < 0.047
    assert float(found.quantile(0.99)) < 0.0095
    assert float(found.mean()) < 4.5e-4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sigma": "optimal"}, "take sigma='shared'"),
        ({"ends": "renormalised"}, "take ends='open'"),
        ({"sigma": 162_755.0}, r"sigma=162755 is above 162755 \(e\^12\) of the data's range.*: give one below"),
        ({"sigma": 10**7}, "sigma=1e\\+07 is above"),
        ({"channels": "full"}, r"channels='full' is unknown \(allowed: independent, coupled\)"),
    ],
)
def test_what_it_cannot_be_made_of_is_refused_in_a_sentence(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        made(**options)
    assert len(str(caught.value)) <= 300


def test_a_covariance_that_is_none_is_refused() -> None:
    lik = made(levels=17)
    tiny = 1e-9 * torch.eye(3, dtype=torch.float64)[None]
    tiny[0, 0, 1] = 4e-10  # whose mirror image is 0
    uneven = torch.tensor([[1e-8, 2e-6, 0], [1e-6, 1e-2, 0], [0, 0, 1.0]])[None]
    for wrong, words in (
        (torch.eye(3), "one a pixel"),
        (-torch.eye(3)[None], "positive definite"),
        (tiny, "symmetric"),
        (uneven, "symmetric"),
    ):
        with pytest.raises(ValueError, match=words):
            lik.raw(mean=torch.zeros(3), covariance=wrong)


@pytest.mark.parametrize("size", [1e-7, 1.0, 1e6])
def test_a_covariance_that_is_symmetric_but_for_rounding_is_taken_at_any_size(size: float) -> None:
    cov = torch.tensor(covariance((0.3, 0.02, 1.0), (0.9, -0.5, -0.3)) * size, dtype=torch.float32)
    cov[0, 1] *= 1 + 1e-6
    lik = made()
    assert lik.raw(mean=torch.zeros(3), covariance=cov[None]).shape == (9,)


@pytest.mark.parametrize(
    ("sigma", "what"), [("shared", "one learned scalar"), ("image", "one number an image"), (0.1, "a number")]
)
def test_a_covariance_beside_another_sigma_is_refused_with_what_to_do(sigma: Any, what: str) -> None:
    lik = made(sigma=sigma)
    with pytest.raises(ValueError, match=rf"here σ is {what}.*: take sigma='pixel', or give coefficients") as caught:
        lik.raw(mean=torch.zeros(3), covariance=torch.eye(3)[None])
    assert len(str(caught.value)) <= 300
    given = {"sigma": torch.full((1,), 0.1)} if sigma == "image" else {}
    lik.raw(mean=torch.zeros(3), coefficients=0.0, **given)  # as it says


def test_no_sigma_is_held_at_another_without_a_word() -> None:
    """Beyond e^12 a number is refused, wherever it is given; a decoder's is in the density and in draws what it is."""
    with pytest.raises(ValueError, match=r"sigma=1e\+06 is above 162755"):
        made(sigma="shared").set_sigma(1e6)
    with pytest.raises(ValueError, match="sigma=200000 is above 162755"):
        made().raw(mean=torch.zeros(3), coefficients=0.0, sigma=2e5)
    with pytest.raises(ValueError, match="is above 162755"):
        made().raw(mean=torch.zeros(3), covariance=1e11 * torch.eye(3)[None])
    lik, plain = made(), likelihoods.make("gaussian", sigma="pixel")
    raw = torch.cat([torch.zeros(6), torch.full((3,), 14.0)]).expand(2000, -1)
    x = torch.rand(2000, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(lik.log_prob(x, raw), plain.log_prob(x, raw[:, 3:]))
    draws = lik.sample(raw, torch.Generator().manual_seed(0))
    assert float(draws.std()) == pytest.approx(math.exp(14), rel=0.05)
    assert torch.isfinite(lik.log_mass(torch.zeros(2000, 3).long(), raw, 17)).all()


def test_it_has_no_oracle_of_each_dimension() -> None:
    mixture: Any = likelihoods.make("logistic_mixture", levels=8, channels="joint", shape=(3, 1, 1))
    for lik in (made(), mixture):
        with pytest.raises(ValueError, match=r"has no oracle, a distribution of each dimension alone") as caught:
            lik.oracle(torch.zeros(1, lik.outputs(3)))
        assert len(str(caught.value)) <= 300


def test_its_docstring_says_what_it_adds_or_is_none() -> None:
    said = Gaussian.__doc__ or ""
    assert "coefficients, [..., D], stand between the location and ln σ" in said
    assert 'sigma="optimal" with ends="renormalised";\n            channels that are neither word' in said
    assert _documented(None) is None
    with pytest.raises(ValueError, match="substring not found"):
        _documented("another docstring")
