"""A σ fitted to training data, by masses and by residuals, for models of this suite and of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from vae_core import likelihoods
from vae_core.data import Dataset
from vae_core.training import fit_scale

LEVELS, DIMS = 17, 6
SHAPES = {"gaussian": stats.norm, "laplace": stats.laplace, "logistic": stats.logistic}


def images(count: int = 400, seed: int = 0) -> torch.Tensor:
    """Levels about 8, of a spread of some levels."""
    rng = np.random.default_rng(seed)
    return torch.as_tensor(np.clip(np.round(8 + 1.7 * rng.standard_normal((count, DIMS))), 0, LEVELS - 1)).long()


def encode(k: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """q of one latent that decoding leaves out of account."""
    return torch.zeros(len(k), 1), torch.zeros(len(k), 1)


def decode(z: torch.Tensor) -> torch.Tensor:
    return torch.full((*z.shape[:-1], DIMS), 0.5)


def sigma_of(lik: Any) -> float:
    return float(lik.sigma_in_use(torch.zeros(1, DIMS)))


@pytest.mark.parametrize("family", list(SHAPES))
@pytest.mark.parametrize("sigma", ["shared", "optimal"])
def test_by_masses_no_other_sigma_has_higher_masses(family: str, sigma: str) -> None:
    """Against scipy's own optimum of the same bins, open at both ends."""
    lik, k = likelihoods.make(family, sigma=sigma, levels=LEVELS), images()
    fit_scale(lik, k, encode, decode, by="masses", levels=LEVELS)
    edges = np.concatenate([[-np.inf], np.arange(1, LEVELS) / LEVELS, [np.inf]])
    counts = np.bincount(k.flatten().numpy(), minlength=LEVELS)

    def loss(log_sigma: float) -> float:
        masses = np.diff(SHAPES[family].cdf(edges, 0.5, np.exp(log_sigma)))
        return -float(counts @ np.log(masses.clip(1e-300)))

    best = optimize.minimize_scalar(loss, bounds=(-6, 1), method="bounded", options={"xatol": 1e-6})
    assert sigma_of(lik) == pytest.approx(np.exp(best.x), rel=2e-3)


@pytest.mark.parametrize("family", list(SHAPES))
def test_by_residuals_it_is_scipys_maximum_likelihood_scale(family: str) -> None:
    x = torch.rand(300, DIMS, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    for sigma in ("shared", "optimal"):
        lik = likelihoods.make(family, sigma=sigma)
        fit_scale(lik, x, encode, decode, by="residuals")
        expected = SHAPES[family].fit(x.numpy().ravel().astype(float), floc=0.5)[1]
        assert sigma_of(lik) == pytest.approx(expected, rel=1e-3)


COEFFICIENTS = (0.8, -0.4, 0.6)


def of_colours(z: torch.Tensor) -> torch.Tensor:
    """Raw outputs of two pixels: means of 0.5, and how green moves with red, blue with red and blue with green."""
    phi = torch.tensor(COEFFICIENTS).repeat_interleave(2)
    return torch.cat([torch.full((6,), 0.5), phi]).expand(*z.shape[:-1], -1)


def colours(sigma: float, count: int = 4000) -> torch.Tensor:
    """Draws of that, [N, 6], as the Gaussian says, by numpy."""
    red, green, blue = sigma * np.random.default_rng(3).standard_normal((3, count, 2))
    green = green + COEFFICIENTS[0] * red
    blue = blue + COEFFICIENTS[1] * red + COEFFICIENTS[2] * green
    return torch.as_tensor(0.5 + np.concatenate([red, green, blue], -1), dtype=torch.float32)


@pytest.mark.parametrize("sigma", [0.03, 0.4])
def test_of_coupled_channels_by_residuals_it_is_what_the_earlier_ones_leave(sigma: float) -> None:
    """Where no other σ has a higher density, and not the spread about the mean, which is wider."""
    lik: Any = likelihoods.make("gaussian", sigma="shared", channels="coupled", shape=(3, 1, 2))
    x, raw = colours(sigma), of_colours(torch.zeros(4000, 1))
    fit_scale(lik, x, encode, of_colours, by="residuals")
    here = float(lik.sigma_in_use(raw))
    assert here == pytest.approx(sigma, rel=0.02)
    assert float((x - 0.5).std()) > 1.15 * here
    score = lik.log_prob(x, raw).sum(dtype=torch.float64)
    for factor in (0.98, 1.02):
        lik.set_sigma(here * factor)
        assert lik.log_prob(x, raw).sum(dtype=torch.float64) < score


def test_of_a_data_set_in_colour_its_own_order_of_channels_counts() -> None:
    """Whose channel is fastest, whatever the likelihood was told: raw outputs are in that order too."""
    k = (colours(0.1, 500).double() * 64).floor().clamp(0, 63).long()
    splits = [k.reshape(-1, 3, 1, 2).permute(0, 2, 3, 1).numpy()] * 3

    def decode(z: torch.Tensor) -> torch.Tensor:
        phi = torch.tensor(COEFFICIENTS).repeat(2)
        return torch.cat([torch.full((6,), 0.5), phi]).expand(*z.shape[:-1], -1)

    for by in ("residuals", "masses"):
        lik: Any = likelihoods.make("gaussian", sigma="shared", channels="coupled", shape=(3, 1, 2))
        fit_scale(lik, Dataset.from_arrays("colours", 64, *splits), encode, decode, by=by)
        assert lik.channels_last
        assert float(lik.sigma_in_use(torch.zeros(1, 12))) == pytest.approx(0.1, rel=0.05)
    grey = Dataset.from_arrays("grey", 64, *(split[..., 0] for split in splits))
    with pytest.raises(ValueError, match="these data have 1 channel: take channels='independent'"):
        fit_scale(lik, grey, encode, decode)


def test_of_coupled_channels_the_two_ways_agree_where_levels_are_many() -> None:
    k = (colours(0.05, 400) * 256).floor().clamp(0, 255).long()
    found = []
    for by in ("residuals", "masses"):
        lik: Any = likelihoods.make("gaussian", sigma="shared", channels="coupled", shape=(3, 1, 2), levels=256)
        fit_scale(lik, k, encode, of_colours, by=by, levels=256)
        found.append(float(lik.sigma_in_use(torch.zeros(1, 12))))
    assert found[0] == pytest.approx(found[1], rel=2e-3)


def test_the_two_ways_differ_where_pixels_are_exact() -> None:
    """All images alike, and decoded exactly: a mass is 1 at any narrow σ, while dequantised residuals spread over their
    bin."""
    k = torch.full((50, DIMS), 8)
    exact, spread = (likelihoods.make("gaussian", sigma="shared", levels=LEVELS) for _ in range(2))
    fit_scale(exact, k, encode, decode, by="masses", levels=LEVELS)
    fit_scale(spread, k, encode, decode, by="residuals", levels=LEVELS)
    assert sigma_of(spread) == pytest.approx(1 / LEVELS / np.sqrt(12), rel=0.05)
    assert sigma_of(exact) < sigma_of(spread) / 2
    masses = [lik.log_mass(k[:1], decode(torch.zeros(1, 1)), LEVELS) for lik in (exact, spread)]
    assert float(masses[0]) > float(masses[1]) + 0.1


def test_of_a_data_set_the_training_split_alone_is_read() -> None:
    splits = [images(60, seed).reshape(-1, 2, 3).numpy() for seed in range(3)]
    data = Dataset.from_arrays("some", LEVELS, *splits)
    other = Dataset.from_arrays("others", LEVELS, splits[0], 16 - splits[1], splits[2] // 2)
    found = []
    for one in (data, other, data.train):
        lik = likelihoods.make("laplace", sigma="shared", levels=LEVELS)
        fit_scale(lik, one, encode, decode, levels=LEVELS if isinstance(one, torch.Tensor) else None)
        found.append(sigma_of(lik))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(("family", "options"), [("student_t", {"df": 3.0}), ("truncated_gaussian", {})])
def test_families_without_a_closed_form_are_fitted_by_masses(family: str, options: dict[str, Any]) -> None:
    lik, k = likelihoods.make(family, sigma="shared", levels=LEVELS, **options), images()
    fit_scale(lik, k, encode, decode, levels=LEVELS)
    raw, here = decode(torch.zeros(len(k), 1)), sigma_of(lik)
    score = float(lik.log_mass(k, raw, LEVELS).sum())
    for factor in (0.97, 1.03):
        lik.set_sigma(here * factor)
        assert float(lik.log_mass(k, raw, LEVELS).sum()) < score
    with pytest.raises(ValueError, match="no closed form of σ: take by='masses'"):
        fit_scale(lik, k, encode, decode, by="residuals", levels=LEVELS)


def test_a_recipe_is_fitted_as_its_reading_says() -> None:
    k = images()
    recipe: Any = likelihoods.make("mse_sum", levels=LEVELS)
    grey = (k / (LEVELS - 1)).float()
    by_hand = float((grey - 0.5).square().mean().sqrt())
    fitted = recipe.scored("gaussian_fitted")
    fit_scale(fitted, k, encode, decode, levels=LEVELS)
    assert sigma_of(fitted) == pytest.approx(by_hand, rel=1e-5)
    with pytest.raises(ValueError, match="fitted by residuals: take another of its scorings"):
        fit_scale(fitted, k, encode, decode, by="masses", levels=LEVELS)
    with pytest.raises(ValueError, match="mse_sum has no σ to be fitted"):
        fit_scale(recipe, k, encode, decode, levels=LEVELS)


def test_fitting_takes_the_parameter_that_an_optimiser_holds() -> None:
    """In place: the tensor is the same, and it still learns."""
    lik: Any = likelihoods.make("gaussian", sigma="shared", levels=LEVELS)
    held = dict(lik.named_parameters())["scale.theta"]
    fit_scale(lik, images(), encode, decode, levels=LEVELS)
    assert dict(lik.named_parameters())["scale.theta"] is held
    assert held.requires_grad
    assert not lik.untouched()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"by": "moments"}, "by='moments' is unknown \\(allowed: masses, residuals\\)"),
        ({"data": images().float() / 16, "levels": None, "by": "masses"}, "needs integers 0..K-1 and levels=K"),
        ({"levels": None}, "training data are torch.int64: with integers 0..K-1 give levels=K"),
        ({"data": images().reshape(-1, 2, 3)}, "must be \\[N, D\\]"),
        ({"data": images()[:0]}, "must be \\[N, D\\] with N >= 1"),
        ({"lik": ("gaussian", {"sigma": 0.1})}, "only sigma='shared' or 'optimal' is one learned number"),
        ({"lik": ("gaussian", {"sigma": "pixel"})}, "only sigma='shared' or 'optimal' is one learned number"),
        ({"lik": ("bernoulli", {})}, "bernoulli has no σ to be fitted"),
        (
            {"lik": ("laplace", {"ends": "renormalised"}), "by": "residuals"},
            "with renormalised ends has no closed form",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_the_remedy(given: dict[str, Any], message: str) -> None:
    name, options = given.pop("lik", ("gaussian", {"sigma": "shared"}))
    lik = likelihoods.make(name, **options)
    asked: dict[str, Any] = {"data": images(), "encode": encode, "decode": decode, "levels": LEVELS} | given
    if options.get("sigma") == "pixel":
        asked["decode"] = lambda z: torch.zeros(*z.shape[:-1], 2 * DIMS)
    with pytest.raises(ValueError, match=message):
        fit_scale(lik, **asked)


def test_a_stack_is_refused() -> None:
    both = likelihoods.stack([likelihoods.make("gaussian") for _ in range(2)])
    with pytest.raises(ValueError, match="select one"):
        fit_scale(both, images(), encode, decode, levels=LEVELS)
