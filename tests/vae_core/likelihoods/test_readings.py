"""Recipes read as true distributions about their mean: each against scipy, and its scale against what it maximises."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from torch import Tensor

from vae_core import laws, likelihoods
from vae_core.likelihoods import _readings
from vae_core.numerics.maximum import PRECISION, highest

RECIPES = ("bce_sum", "mse_sum")
LINE: dict[str, Any] = {"gaussian": stats.norm, "laplace": stats.laplace, "logistic": stats.logistic}
READINGS = [(recipe, reading) for recipe in RECIPES for reading in likelihoods.get(recipe).scorings]
BY = {word: [(r, s) for r, s in READINGS if s.endswith(f"_{word}")] for word in ("fitted", "binned")}


def mean_of(recipe: str, raw: Tensor) -> np.ndarray:
    """The mean of grey values that a recipe's decoder gives, by hand."""
    numbers = raw.double().numpy()
    return 1 / (1 + np.exp(-numbers)) if recipe.startswith("bce") else numbers


def read(recipe: str, reading: str, levels: int = 17, sigma: float = 0.2) -> Any:
    """The recipe read so, its fitted scale set."""
    lik: Any = likelihoods.make(recipe, levels=levels).scored(reading)
    if lik.needs_fit:
        lik.fitted.set_log(torch.tensor(math.log(sigma)))
    return lik


def grey_bins(k: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """[g − ½/(K−1), g + ½/(K−1)] about g = k/(K−1), open at both ends."""
    low = np.where(k == 0, -np.inf, (k - 0.5) / (levels - 1))
    high = np.where(k == levels - 1, np.inf, (k + 0.5) / (levels - 1))
    return low, high


def by_scipy(recipe: str, reading: str, k: np.ndarray, raw: Tensor, levels: int, sigma: float) -> np.ndarray:
    """ln P(k) of each dimension, by scipy."""
    mean = mean_of(recipe, raw)
    chance = np.clip(mean, 1e-3, 1 - 1e-3) if recipe.startswith("mse") else mean
    if reading == "binomial":
        return stats.binom(levels - 1, chance).logpmf(k)
    if reading == "continuous_bernoulli":
        slope = np.log(chance / (1 - chance))
        return np.log((np.exp(slope * (k + 1) / levels) - np.exp(slope * k / levels)) / np.expm1(slope))
    shape = LINE[reading.partition("_")[0]](mean, math.sqrt(0.5) if reading.endswith("implied") else sigma)
    low, high = grey_bins(k, levels)
    far = low > mean  # on the side where the tail is small
    return np.log(np.where(far, shape.sf(low) - shape.sf(high), shape.cdf(high) - shape.cdf(low)))


# -- what each reading is ----------------------------------------------------------------------------------------------


def test_the_list_is_the_rule_s() -> None:
    """docs/RULES.md, rule 14: five distributions, three of them with a scale, by residuals and by masses."""
    fitted = {f"{shape}_{how}" for shape in LINE for how in ("fitted", "binned")}
    of_mean = {"continuous_bernoulli", "binomial", *fitted}
    assert set(likelihoods.get("bce_sum").scorings) == of_mean
    for name in ("mse_sum", "mse_mean", "beta_mse"):
        assert set(likelihoods.get(name).scorings) == {"gaussian_implied", *of_mean}
    assert likelihoods.get("bce_mean").scorings == likelihoods.get("bce_sum").scorings


@pytest.mark.parametrize(("recipe", "reading"), READINGS)
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_masses_agree_with_scipy_and_sum_to_one(recipe: str, reading: str, levels: int) -> None:
    lik = read(recipe, reading, levels)
    raw = laws.raw_outputs(lik, 1, 40, "random", torch.float64)
    k = np.arange(levels)[None]
    found = laws.masses(lik, raw, levels)
    np.testing.assert_allclose(found.logsumexp(1).numpy(), 0.0, atol=1e-9)
    expected = by_scipy(recipe, reading, k, raw, levels, 0.2)
    held = np.exp(expected) > 1e-12  # what differences of scipy's probabilities hold to nine digits is above that
    np.testing.assert_allclose(found.numpy()[held], expected[held], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("recipe", "reading"), READINGS)
def test_what_it_says_of_itself_is_so(recipe: str, reading: str) -> None:
    lik = read(recipe, reading)
    shape, _, how = reading.partition("_")
    assert lik.open_ends == (shape in LINE)
    assert lik.has_density == (reading != "binomial")
    assert lik.needs_fit == (how in ("fitted", "binned"))
    raw = laws.raw_outputs(lik, 5, 3, "random")
    sigma = lik.sigma_in_use(raw)
    if shape in LINE:
        assert float(sigma) == pytest.approx(math.sqrt(0.5) if how == "implied" else 0.2)
    else:
        assert sigma is None
    np.testing.assert_allclose(lik.mean(raw).numpy(), mean_of(recipe, raw), rtol=1e-6)
    assert lik.scoring_said(reading) not in (reading, reading.replace("_", " "))


@pytest.mark.parametrize(("recipe", "reading"), READINGS)
def test_with_closed_ends_masses_are_the_inner_ones_over_their_sum(recipe: str, reading: str) -> None:
    levels = 17
    lik = read(recipe, reading, levels)
    closed = lik.renormalised()
    if not lik.open_ends:
        assert closed is None
        return
    raw = torch.linspace(-1.5, 1.7, 9, dtype=torch.float64).unsqueeze(-1)
    k = np.arange(levels)
    mean, sigma = mean_of(recipe, raw), math.sqrt(0.5) if reading.endswith("implied") else 0.2
    shape = LINE[reading.partition("_")[0]](mean, sigma)
    low, high = (k - 0.5) / (levels - 1), (k + 0.5) / (levels - 1)
    inner = np.where(low > mean, shape.sf(low) - shape.sf(high), shape.cdf(high) - shape.cdf(low))
    given = closed.log_masses(torch.arange(levels).reshape(1, -1, 1), raw.unsqueeze(1), levels).squeeze(-1)
    np.testing.assert_allclose(given.exp().numpy(), inner / inner.sum(-1, keepdims=True), rtol=1e-4)
    draws = closed.sample(raw[3].expand(20_000, 1), torch.Generator().manual_seed(1))
    share = torch.bincount(closed.level_of(draws, levels).flatten(), minlength=levels).double() / len(draws)
    expected = given[3].exp()
    assert float(((share - expected).abs() / ((expected * (1 - expected) / len(draws)).sqrt() + 1e-4)).max()) < 6


def test_a_mean_outside_is_moved_inside_to_be_a_chance() -> None:
    k = torch.arange(17).reshape(-1, 1)
    for beyond, at in ((1.7, 0.999), (-0.3, 0.001), (1.0, 0.999)):
        raw = torch.full((17, 1), beyond, dtype=torch.float64)
        found = likelihoods.make("mse_sum").scored("binomial").log_masses(k, raw, 17)
        np.testing.assert_allclose(found.numpy(), stats.binom(16, at).logpmf(k.numpy()), rtol=1e-9)


def test_the_binomial_has_no_density_and_draws_only_where_the_levels_are_known() -> None:
    lik = likelihoods.make("bce_sum").scored("binomial")
    with pytest.raises(NotImplementedError, match="bce_sum read as binomial has no density"):
        lik.log_density(torch.rand(2, 3), torch.zeros(2, 3), 17)
    with pytest.raises(ValueError, match=r"make it with levels=K"):
        lik.sample(torch.zeros(2, 3))
    draws = likelihoods.make("bce_sum", levels=17).scored("binomial").sample(torch.zeros(500, 3))
    assert torch.equal((16 * draws).round(), 16 * draws)
    assert float(draws.std()) == pytest.approx(0.125, rel=0.1)  # √(16 ¼)/16


# -- a scale by residuals ----------------------------------------------------------------------------------------------


def planted(recipe: str, seed: int = 0, noise: float = 0.15, rows: int = 300, levels: int = 17) -> Any:
    """Training images with Laplace noise about a mean, as `fit` is given them in two blocks; and k and the mean."""
    generator = torch.Generator().manual_seed(seed)
    raw = 0.5 + 0.4 * torch.randn(rows, 6, generator=generator)
    mean = torch.as_tensor(mean_of(recipe, raw))
    u = torch.rand(rows, 6, generator=generator) - 0.5
    x = mean - noise * torch.sign(u) * torch.log1p(-2 * u.abs().clamp(max=0.4999))
    k = (x * (levels - 1)).round().clamp(0, levels - 1).long()
    grey = k.float() / (levels - 1)
    blocks = [(k[some], grey[some], raw[some]) for some in (slice(0, rows // 2), slice(rows // 2, rows))]
    return blocks, k.numpy(), mean.numpy()


@pytest.mark.parametrize(("recipe", "reading"), BY["fitted"])
def test_by_residuals_it_is_the_maximum_likelihood_sigma_of_the_density(recipe: str, reading: str) -> None:
    blocks, k, mean = planted(recipe)
    lik = likelihoods.make(recipe).scored(reading)
    lik.fit(iter(blocks), 17)
    residual = (k / 16 - mean).ravel()
    shape = reading.partition("_")[0]
    expected = {
        "gaussian": math.sqrt(np.mean(residual**2)),
        "laplace": np.mean(np.abs(residual)),
        "logistic": stats.logistic.fit(residual, floc=0)[1],
    }[shape]
    assert float(lik.sigma_in_use(torch.zeros(1, 6))) == pytest.approx(expected, rel=2e-3)  # type: ignore[arg-type]


def test_a_perfect_fit_leaves_a_scale_above_nothing() -> None:
    raw = torch.full((4, 3), 0.5)
    k = torch.full((4, 3), 8)
    for reading in ("gaussian_fitted", "laplace_fitted", "gaussian_binned"):
        lik = likelihoods.make("mse_sum").scored(reading)
        lik.fit([(k, raw, raw)], 17)
        assert float(lik.log_mass(k, raw, 17).abs().max()) < 1e-6
        assert torch.isfinite(lik.log_mass(k + 3, raw, 17)).all()


# -- a scale by masses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("recipe", "reading"), BY["binned"])
def test_by_masses_it_is_the_sigma_at_which_they_are_highest(recipe: str, reading: str) -> None:
    """Against a fine grid of σ, the masses by scipy."""
    blocks, k, mean = planted(recipe)
    lik = likelihoods.make(recipe).scored(reading)
    lik.fit(iter(blocks), 17)
    found = float(lik.sigma_in_use(torch.zeros(1, 6)))  # type: ignore[arg-type]
    low, high = grey_bins(k, 17)
    shape = LINE[reading.partition("_")[0]]

    def total(sigma: float) -> float:
        at = shape(mean, sigma)
        return float(np.log(np.where(low > mean, at.sf(low) - at.sf(high), at.cdf(high) - at.cdf(low))).sum())

    grid = np.exp(np.linspace(math.log(0.06), math.log(2.0), 120))
    best = optimize.minimize_scalar(
        lambda log: -total(math.exp(log)), bounds=(math.log(0.06), math.log(2.0)), method="bounded"
    )
    assert total(found) >= max(map(total, grid)) - 1e-3
    assert math.log(found) == pytest.approx(best.x, abs=2 * PRECISION)
    other = likelihoods.make(recipe).scored(reading.replace("binned", "fitted"))
    other.fit(iter(blocks), 17)
    assert total(found) > total(float(other.sigma_in_use(torch.zeros(1, 6)))) + 1  # type: ignore[arg-type]


@given(st.integers(0, 10_000), st.floats(0.03, 0.6), st.sampled_from(BY["binned"]))
@settings(max_examples=15, deadline=None)
def test_no_other_sigma_makes_the_training_images_more_probable(seed: int, noise: float, which: Any) -> None:
    blocks, *_ = planted(which[0], seed, noise, rows=40)
    lik: Any = likelihoods.make(which[0]).scored(which[1])
    lik.fit(iter(blocks), 17)

    def total() -> float:
        return float(sum(lik.log_mass(k, raw.double(), 17).sum() for k, _, raw in blocks))

    best, log_sigma = total(), float(lik.fitted.log)
    for other in (-2.0, -0.5, -0.05, 0.05, 0.5, 2.0):
        lik.fitted.set_log(torch.tensor(log_sigma + other))
        assert total() <= best + 1e-4 * abs(best)


@given(st.floats(-4, 2), st.floats(0.3, 20))
@settings(max_examples=50, deadline=None)
def test_the_highest_place_is_found_between_and_at_the_ends(place: float, steep: float) -> None:
    found = highest(lambda at: -steep * abs(at - place) ** 1.5, -3.0, 1.0)
    assert found == pytest.approx(min(max(place, -3.0), 1.0), abs=PRECISION)


def test_the_highest_of_two_humps_is_taken() -> None:
    assert highest(lambda at: max(1 - (at + 2) ** 2, 1.5 - 4 * (at - 0.7) ** 2), -5.0, 2.0) == pytest.approx(
        0.7, abs=PRECISION
    )


# -- in stacks, and of other people ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reading", ["laplace_fitted", "logistic_binned"])
def test_a_stack_is_read_with_a_scale_for_each_model(reading: str) -> None:
    models = [read("bce_sum", reading, sigma=sigma) for sigma in (0.1, 0.3)]
    stacked = likelihoods.stack(models)
    raw = laws.raw_outputs(models[0], 4, 6, "random").expand(2, 6, -1)
    k = torch.arange(24).reshape(6, 4) % 17
    together = stacked.log_mass(k, raw, 17)
    for index, model in enumerate(models):
        torch.testing.assert_close(together[index], model.log_mass(k, raw[index], 17))
        assert float(stacked.select(index).sigma_in_use(raw)) == pytest.approx((0.1, 0.3)[index])  # type: ignore[arg-type]
    again = stacked.scored("gaussian_fitted")
    again.set_residual_statistic(torch.tensor([0.01, 0.04]))
    np.testing.assert_allclose(again.sigma_in_use(raw).flatten().numpy(), [0.1, 0.2], rtol=1e-6)  # type: ignore[union-attr]


def test_a_reading_shares_no_scale_with_another() -> None:
    lik = likelihoods.make("mse_sum")
    one, other = lik.scored("gaussian_fitted"), lik.scored("gaussian_fitted")
    one.set_residual_statistic(torch.tensor(0.04))
    with pytest.raises(ValueError, match="has not seen training data"):
        other.log_mass(torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 2), 17)
    assert lik.named_state() == one.scored("continuous_bernoulli").named_state() == {}


def test_a_recipe_of_one_s_own_gets_the_readings_from_its_mean() -> None:
    """A loss that is none of the shipped ones: what it must give is a mean, logits, and which readings it has."""

    class Absolute(_readings.MeanRecipe):
        readings: ClassVar[dict[str, Any]] = {**_readings.FITTED, **_readings.SETTLED}
        scorings = tuple(readings)
        chance = "the mean"

        def __init__(self, score: str = "laplace_fitted", levels: int | None = None) -> None:
            super().__init__(score, levels)

        def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
            return -(x - self.mean(raw)).abs().sum(-1)

        def mean(self, raw: Tensor) -> Tensor:
            return torch.sigmoid(raw)

        def logits(self, raw: Tensor) -> Tensor:
            return raw

    ours, theirs = Absolute("laplace_binned"), likelihoods.make("bce_sum").scored("laplace_binned")
    blocks, *_ = planted("bce_sum")
    ours.fit(iter(blocks), 17)
    theirs.fit(iter(blocks), 17)
    k, _, raw = blocks[0]
    assert torch.equal(ours.log_mass(k, raw, 17), theirs.log_mass(k, raw, 17))
    with pytest.raises(ValueError, match="score='gaussian_implied' is unknown"):
        Absolute("gaussian_implied")


def test_a_recipe_with_scorings_of_its_own_is_fitted_as_before() -> None:
    """A plug-in that knows nothing of readings: `residual_statistic` averaged over blocks, words from its names."""

    class Own(likelihoods.Recipe):
        scorings = ("some_thing",)
        needs_fit = True
        given: Tensor

        def outputs(self, dims: int) -> int:
            return dims

        def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
            return x.sum(-1)

        def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
            return raw

        def mean(self, raw: Tensor) -> Tensor:
            return raw

        def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
            return raw

        def residual_statistic(self, x: Tensor, raw: Tensor) -> Tensor:
            return (x - raw).mean()

        def set_residual_statistic(self, average: Tensor) -> None:
            self.given = average

    lik = Own()
    blocks = [(torch.zeros(n, 2), torch.full((n, 2), n / 4), torch.zeros(n, 2)) for n in (1, 3)]
    lik.fit(iter(blocks), 17)
    assert float(lik.given) == pytest.approx((1 * 1 + 3 * 3) / 16)
    assert Own.scoring_said("some_thing") == "some thing"


def test_a_twin_has_the_recipes_loss_but_for_a_constant_of_the_data() -> None:
    """At one raw output the loss and the family's −ln p change alike from one image to another; no recipe that weighs
    its loss otherwise has a twin."""
    raw, (x, y) = torch.randn(5, 64), torch.rand(2, 5, 64)
    found = {}
    for name in likelihoods.names():
        recipe: Any = likelihoods.get(name)
        for scoring in recipe.scorings if issubclass(recipe, likelihoods.Recipe) else ():
            twin = recipe.twin(scoring)
            if twin is None:
                continue
            found[name] = family, sigma = twin
            lik = likelihoods.make(family, **({"sigma": math.sqrt(0.5)} if sigma else {}))
            own = likelihoods.make(name)
            changes = [one.log_prob(x, raw) - one.log_prob(y, raw) for one in (lik, own)]
            torch.testing.assert_close(*changes, rtol=1e-4, atol=1e-3)
    assert found == {"bce_sum": ("continuous_bernoulli", ""), "mse_sum": ("gaussian", "shared")}
