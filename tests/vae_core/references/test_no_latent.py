"""A family's own best without a latent, against closed forms, scipy's optimiser, and the entropy of planted data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

from tests.vae_core.references.made import bits, counts, images
from vae_core import likelihoods, references
from vae_core.references import Images, OfFamily, no_latent
from vae_core.references._tables import counted
from vae_core.references.no_latent import NoLatent, Problem


def outcome(family: str, settings: list[dict[str, object]], k: np.ndarray, levels: int) -> references.Outcome:
    given, test = images(k, levels)
    return references.make(f"no_latent:{family}", settings).outcome(given, test)


def levels_of_digits(seed: int = 0, number: int = 1200) -> np.ndarray:
    """Rounded Gaussians of several places, means and widths, on 17 levels."""
    rng = np.random.default_rng(seed)
    values = rng.normal(np.linspace(0, 16, 8), np.linspace(0.8, 5, 8), size=(number, 8))
    return np.clip(np.floor(values), 0, 16).astype(int)


def test_a_categorical_is_the_histogram_without_smoothing_on_training_images():
    k = np.random.default_rng(0).choice(5, p=[0.4, 0.3, 0.15, 0.1, 0.05], size=(800, 6))
    frequencies = counted(k, 5) / len(k)
    problem = Problem(likelihoods.make("categorical", levels=5), 6, 5)
    best = problem.raised(frequencies, frequencies)
    assert best is not None
    assert np.exp(best.masses) == pytest.approx(frequencies, abs=2e-3)
    assert best.value == pytest.approx(float((frequencies * np.log(frequencies)).sum()), abs=1e-3)


def test_a_bernoulli_is_the_share_of_ones():
    k = (np.random.default_rng(0).random((900, 10)) < np.linspace(0.05, 0.9, 10)).astype(int)
    found = outcome("bernoulli", [{}], k, 2)
    given, test = images(k, 2)
    share = given.train.mean(axis=0)
    by_hand = (test * np.log(share) + (1 - test) * np.log1p(-share)).sum(axis=1)
    assert found.per_image == pytest.approx(by_hand, abs=0.05)


@pytest.mark.parametrize("mode", ["pixel", "shared"])
def test_a_gaussian_is_what_scipy_finds(mode):
    k = levels_of_digits()
    frequencies = counted(k, 17) / len(k)
    edges = np.linspace(0, 1, 18)
    edges[0], edges[-1] = -np.inf, np.inf

    def masses(at: np.ndarray) -> np.ndarray:
        width = np.exp(at[8:]) + 1e-3
        cdf = stats.norm.cdf(edges, at[:8, None], np.broadcast_to(width, 8)[:, None])
        return np.log(np.maximum(np.diff(cdf, axis=1), 1e-300))

    start = np.concatenate([np.full(8, 0.5), np.full(8 if mode == "pixel" else 1, -1.5)])
    expected = minimize(
        lambda at: -(frequencies * masses(at)).sum(), start, method="L-BFGS-B", options={"maxiter": 999}
    )
    likelihood = likelihoods.make("gaussian", sigma=mode)
    likelihood.initialise(0.2)
    best = Problem(likelihood, 8, 17).raised(frequencies, frequencies)
    assert best is not None
    assert best.value == pytest.approx(-expected.fun, abs=8 * np.log(2) * 1e-3)


def test_a_beta_binomial_comes_to_the_entropy_of_counts():
    """The counts of which a page said "beta_binomial fits best" at one bit more than this."""
    k, entropy = counts(number=6000, levels=128)
    found = outcome("beta_binomial", [{}], k, 128)
    assert bits(found.nats, 30) == pytest.approx(entropy, abs=0.04)


@pytest.mark.parametrize(
    ("family", "settings"),
    [("logistic", [{"sigma": "pixel"}]), ("student_t", [{"sigma": "shared"}]), ("logistic_mixture", [{}])],
)
def test_it_is_never_better_than_what_the_data_are_made_of(family, settings):
    k = levels_of_digits()
    given, test = images(k, 17)
    table = references.make("histogram").outcome(given, test)
    found = references.make(f"no_latent:{family}", settings).outcome(given, test)
    assert bits(table.nats, 8) - 0.02 < bits(found.nats, 8) < bits(table.nats, 8) + 0.6


def test_a_fit_that_is_cut_says_so_and_one_that_settled_does_not(monkeypatch):
    """Means far from the first raw output, which a few steps do not reach."""
    k = levels_of_digits()
    whole = outcome("gaussian", [{"sigma": "pixel"}], k, 17)
    assert whole.details["ended"] == "settled"
    assert "settled" not in whole.label
    monkeypatch.setattr(no_latent, "MOST", 3)
    cut = outcome("gaussian", [{"sigma": "pixel"}], k, 17)
    assert cut.details["ended"] == "limit"
    assert cut.label == "gaussian σ=pixel, no latent (not settled)"
    assert cut.nats < whole.nats


def test_a_large_fit_is_not_cut_before_it_settles():
    """As MNIST has it: K·D of 200,704, many values that are nearly always black, and others that are seldom."""
    rng = np.random.default_rng(0)
    ink = np.clip(rng.normal(0.0, 0.25, size=784), 0, 1)
    k = np.where(rng.random((300, 784)) < ink, rng.integers(100, 256, (300, 784)), 0)
    found = outcome("continuous_bernoulli", [{}], k, 256)
    assert found.details["ended"] == "settled"
    assert found.details["steps"] > 60, "the fit is not one that 60 steps would cut"


def test_the_best_setting_on_validation_images_is_named():
    k = levels_of_digits()
    found = outcome("gaussian", [{"sigma": "shared"}, {"sigma": "pixel"}], k, 17)
    assert found.options == {"sigma": "pixel"}
    assert found.label == "gaussian σ=pixel, no latent"
    tried = found.details["validation bits/dim by setting"]
    assert tried["σ=pixel"] < tried["σ=shared"]


def test_scales_that_are_one_number_without_a_latent_are_tried_once():
    def apart(*settings: dict[str, object]) -> list[dict[str, object]]:
        return NoLatent("gaussian", settings).apart()

    assert apart({"sigma": "image"}, {"sigma": "optimal"}, {"sigma": "shared"}) == [{"sigma": "shared"}]
    assert apart({"sigma": 0.1}, {"sigma": "shared"}) == [{"sigma": "shared"}], "a learned σ has every number within"
    assert apart({"sigma": 0.1}, {"sigma": 0.2}) == [{"sigma": 0.1}, {"sigma": 0.2}]
    other = {"sigma": 0.1, "link": "sigmoid"}
    assert apart(other, {"sigma": "shared"}) == [other, {"sigma": "shared"}], "of other options it has not"


def test_levels_that_training_images_never_have_keep_a_finite_mass():
    train = np.zeros((200, 3), int)
    given = Images(train, train.copy(), 17, (1, 3))
    test = np.array([[16, 0, 0]])
    for family, settings in (("categorical", [{}]), ("gaussian", [{"sigma": "pixel"}])):
        scores = references.make(f"no_latent:{family}", settings).outcome(given, test).per_image
        assert scores is not None
        assert np.isfinite(scores).all()


def test_every_family_that_is_no_recipe_has_one():
    k = levels_of_digits(number=120)
    for family in likelihoods.names():
        kind = likelihoods.get(family)
        if kind.recipe or kind.view == "binary":
            continue
        settings = [{**kind.examples[0], **({"sigma": "shared"} if kind.takes_sigma else {})}]
        reference = references.make(f"no_latent:{family}", settings)
        assert isinstance(reference, OfFamily)
        given, test = images(k, 17)
        found = reference.outcome(given, test)
        assert 1.5 < bits(found.nats, 8) < 6.0, family
