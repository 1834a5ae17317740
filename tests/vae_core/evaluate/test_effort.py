"""A bound goes as far as it must: what the pilot decides, what is kept of it, and that the reported pass is another."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from vae_core import likelihoods
from vae_core.evaluate import Assessment, Estimate, Scoring, Trained, assess, importance_bounds, log_likelihood
from vae_core.evaluate.annealing.exact import ppca_log_likelihood, ppca_posterior
from vae_core.evaluate.effort import PILOT, TAIL, Effort, enough
from vae_core.evaluate.importance import grid_of
from vae_core.evaluate.pareto import khat_threshold
from vae_core.numerics import random
from vae_core.objectives import BOUNDS

IMAGES, DIMS, LATENT, LEVELS = 60, 12, 2, 5
GRID = (1, 10, 100, 200, 500, 1000)
SIGMA = 0.4
TOLERANCE = 0.02  # bits/dim


class Linear:
    """A linear decoder with Gaussian noise and data from it; an encoder whose deviations are the posterior's times
    `wide`: 1 would be exact but for correlations."""

    def __init__(self, wide: float) -> None:
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(LATENT, DIMS, generator=generator, dtype=torch.float64)
        self.bias = torch.randn(DIMS, generator=generator, dtype=torch.float64)
        z = torch.randn(IMAGES, LATENT, generator=generator, dtype=torch.float64)
        noise = torch.randn(IMAGES, DIMS, generator=generator, dtype=torch.float64)
        self.x = z @ self.weight + self.bias + SIGMA * noise
        self.likelihood = likelihoods.make("gaussian", sigma=SIGMA)
        self.exact = ppca_log_likelihood(self.x, self.weight, self.bias, SIGMA)
        self.mean, covariance = ppca_posterior(self.x, self.weight, self.bias, SIGMA)
        self.log_variance = (covariance.diagonal() * wide**2).log()

    def score(self, tolerance: float | None = TOLERANCE, images: int = IMAGES, **named: Any) -> Estimate:
        def encode(x: Tensor) -> tuple[Tensor, Tensor]:
            mean, _ = ppca_posterior(x, self.weight, self.bias, SIGMA)
            return mean, self.log_variance.expand_as(mean)

        def decode(z: Tensor) -> Tensor:
            return z @ self.weight + self.bias

        given: dict[str, Any] = {"samples": GRID, "tolerance": tolerance, **named}
        return log_likelihood(self.x[:images], encode, decode, self.likelihood, **given)


def same(left: Estimate, right: Estimate) -> None:
    for field in dataclasses.fields(Estimate):
        one, other = getattr(left, field.name), getattr(right, field.name)
        pairs = zip(one.values(), other.values(), strict=True) if isinstance(one, dict) else [(one, other)]
        for a, b in pairs:
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the noise that passes draw, in order, each once in a row."""
    seen: list[str] = []

    def noted(device: Any, *parts: object) -> torch.Generator:
        if not seen or seen[-1] != parts[0]:
            seen.append(str(parts[0]))
        return random.generator_for(device, *parts)

    monkeypatch.setattr("vae_core.evaluate.importance.generator_for", noted)
    return seen


# -- against what is exact ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wide", "refine"), [(1.2, "never"), (0.4, "auto"), (1.2, "always")])
@pytest.mark.parametrize("tolerance", [0.02, 0.002])
def test_bias_and_error_are_those_that_were_allowed(wide: float, refine: str, tolerance: float) -> None:
    model = Linear(wide)
    estimate = model.score(tolerance, refine=refine)
    nats = tolerance * DIMS * math.log(2)
    error = float(estimate.standard_error[estimate.samples].square().sum().sqrt()) / IMAGES
    assert error < 1.5 * nats
    assert abs(float((estimate.bound[estimate.samples] - model.exact).mean())) < nats + 4 * error
    assert estimate.bad_share <= 0.05
    assert max(estimate.bound) < GRID[-1]


def test_the_bias_and_error_that_are_predicted_are_those_that_come() -> None:
    """v/(2L) and √(v/L) of the pilot, over many seeds of a pass at another L."""
    model = Linear(1.4)
    pilot = model.score(None, samples=(PILOT,), seed=99)
    variance = pilot.relative_variance
    passes = [model.score(None, samples=(200,), seed=seed).bound[200] - model.exact for seed in range(60)]
    found = torch.stack(passes)
    predicted = float(variance.mean()) / 400
    assert -float(found.mean()) == pytest.approx(predicted, abs=4 * float(found.mean(1).std()) / math.sqrt(60))
    assert float(found.mean(1).std()) == pytest.approx(float((variance.sum() / 200).sqrt()) / IMAGES, rel=0.4)


def test_a_smaller_tolerance_goes_further() -> None:
    model = Linear(1.4)
    variance = model.score(None, samples=(1000,)).relative_variance
    error = float((variance.sum() / PILOT).sqrt()) / IMAGES / (DIMS * math.log(2))  # of the pilot, bits/dim
    taken = [model.score(share * error, refine="never").samples for share in (2, 0.8, 0.5, 1e-6)]
    assert taken == [100, 200, 500, 1000]


# -- what decides ------------------------------------------------------------------------------------------------------


def estimate_of(khat: Sequence[float], samples: int, variance: float = 0.5) -> Estimate:
    nothing, ess = torch.zeros(len(khat)), samples / (1 + variance * (samples - 1) / samples)
    return Estimate(
        {samples: nothing}, {samples: nothing}, nothing + ess, torch.tensor(khat), nothing, nothing, nothing
    )


def test_what_is_enough() -> None:
    good = estimate_of([0.1] * 50, PILOT)
    assert good.relative_variance == pytest.approx(0.5)
    assert enough(good, 100, nats=0.0101)
    assert not enough(good, 100, nats=0.0099)  # the standard error of the mean, √(0.5/100/50) = 0.01
    few = estimate_of([0.1], PILOT, 0.5)
    assert not enough(few, 100, nats=0.07)
    assert not enough(estimate_of([0.1] * 50, PILOT, 20.0), 100, nats=1)  # 5 effective samples
    assert enough(estimate_of([0.1] * 50, PILOT, 20.0), 500, nats=1)


def test_a_tail_between_the_thresholds_asks_for_more_and_a_bad_one_for_the_most() -> None:
    effort = Effort.of(GRID, 1.0, DIMS)
    between = (khat_threshold(PILOT) + TAIL) / 2
    for khat, least in ((0.1, 100), (between, 200), (TAIL + 0.1, 1000), (math.nan, 1000)):
        assert effort.least(estimate_of([khat] * 50, PILOT)) == least
    assert effort.least(estimate_of([TAIL + 0.1] * 2 + [0.1] * 48, PILOT)) == 100  # 4 % of the images


def test_one_image_without_a_finite_weight_takes_the_largest() -> None:
    lost = estimate_of([0.1] * 50, PILOT)
    lost.ess[3] = math.nan
    assert Effort.of(GRID, 1.0, DIMS).least(lost) == GRID[-1]


def test_a_pass_that_misses_the_criteria_is_followed_by_a_longer_one() -> None:
    effort, asked = Effort.of(GRID, 1.0, DIMS), []
    good, bad = ([khat] * 50 for khat in (0.1, 0.9))

    def sample(keys: Sequence[str], samples: Sequence[int], noise: str) -> dict[str, dict[str, Estimate]]:
        asked.append((list(keys), list(samples), noise))
        return {
            key: {"mass": estimate_of(good if key == "a" or samples[-1] == 500 else bad, samples[-1])} for key in keys
        }

    pilot = estimate_of(good, PILOT)
    done = effort.carry_out({"a": pilot, "b": pilot}, sample, "mass")
    assert {key: estimates["mass"].samples for key, estimates in done.items()} == {"a": 100, "b": 500}
    assert [(keys, samples[-1]) for keys, samples, _ in asked] == [(["a", "b"], 100), (["b"], 200), (["b"], 500)]
    assert len({noise for *_, noise in asked}) == 3


def test_a_bad_proposal_goes_to_the_largest() -> None:
    estimate = Linear(0.15).score(refine="never")
    assert estimate.samples == GRID[-1]
    assert estimate.bad_share > 0.5


def test_the_reported_noise_is_not_the_pilot_s(streams: list[str]) -> None:
    encoder = Linear(1.2).score(refine="never")
    assert streams == ["pilot", f"importance, {encoder.samples} reported"]
    streams.clear()
    refined = Linear(0.3).score(refine="always")
    assert streams == ["pilot", f"importance, {refined.samples} reported"]
    assert encoder.samples == refined.samples == PILOT
    streams.clear()
    Linear(1.2).score(None, refine="never")
    assert streams == ["importance"]


def test_an_image_scores_the_same_in_a_smaller_set_at_the_same_samples() -> None:
    for wide, refine in ((1.2, "never"), (0.4, "always")):
        whole, some = (Linear(wide).score(images=images, refine=refine) for images in (IMAGES, 40))
        assert whole.samples == some.samples
        size = whole.samples
        torch.testing.assert_close(whole.bound[size][:40], some.bound[size])


@pytest.mark.parametrize("refine", ["never", "always"])
def test_without_a_tolerance_or_with_a_grid_below_the_pilot_nothing_changes(refine: str) -> None:
    model = Linear(1.2)
    same(model.score(0, refine=refine), model.score(None, refine=refine))
    short: dict[str, Any] = {"samples": (1, 10, PILOT), "refine": refine}
    same(model.score(0.01, **short), model.score(None, **short))
    assert sorted(model.score(0.01, samples=(1, 1000), refine=refine).bound) == [1, 1000]


@pytest.mark.parametrize("tolerance", [-0.1, math.nan, math.inf])
def test_what_is_no_tolerance_is_refused(tolerance: float) -> None:
    with pytest.raises(ValueError, match="tolerance must be a number of bits/dim of 0 or more"):
        Linear(1.2).score(tolerance)


# -- an assessment -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def k() -> Tensor:
    return torch.randint(LEVELS, (IMAGES, DIMS), generator=torch.Generator().manual_seed(0))


def assessed(k: Tensor, scorings: Sequence[Scoring], tolerance: float | None, **named: Any) -> list[Assessment]:
    """Of a small linear model whose encoder is the prior."""
    outputs = scorings[0].likelihood.outputs(DIMS)
    weight = 0.5 * torch.randn(LATENT, outputs, generator=torch.Generator().manual_seed(1))

    def encode(k: Tensor) -> tuple[Tensor, Tensor]:
        nothing = torch.zeros(len(k), LATENT)
        return nothing, nothing

    given: dict[str, Any] = {"levels": LEVELS, "samples": GRID, "tolerance": tolerance, "seed": 3, **named}
    return assess(k, encode, lambda z: z @ weight, scorings, **given)


FAMILIES: dict[str, dict[str, Any]] = {
    **{f"gaussian {sigma}": {"sigma": sigma} for sigma in (0.1, 0.3, "pixel")},
    "logistic 0.2": {"sigma": 0.2},
    **{name: {"levels": LEVELS} for name in ("categorical", "beta_binomial", "binomial")},
    **{name: {} for name in ("continuous_bernoulli", "beta", "laplace")},
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_tolerance_is_kept(k: Tensor, name: str) -> None:
    likelihood = likelihoods.make(name.split()[0], **FAMILIES[name])
    tolerance = 0.01
    (whole,), (needed,) = (assessed(k, [Scoring(likelihood)], how) for how in (None, tolerance))
    assert abs(needed.bits_per_dim - whole.bits_per_dim) < tolerance
    assert needed.samples == tuple(size for size in GRID if size <= needed.samples[-1])
    assert needed.encoder_samples == PILOT
    assert sorted(needed.encoder.bound) == [1, 10, 100]
    assert needed.samples[-1] < GRID[-1] or needed.mass.bad_share > 0.0
    assert set(needed.samples) <= set(needed.mass.bound)
    if needed.density is not None:
        assert needed.density.samples == needed.samples[-1]


def test_ways_of_one_model_are_each_what_they_are_alone(k: Tensor) -> None:
    """One encoder's pass, and each its own words and L; the ELBO and what was trained on are the same for all."""
    narrow, wide = (likelihoods.make("gaussian", sigma=sigma) for sigma in (0.1, 3.0))
    ways = [Scoring(narrow, "auto"), Scoring(narrow, "never"), Scoring(wide, "never"), Scoring(wide, "always")]
    trained = Trained(narrow, bound=BOUNDS["iwae"], samples=7)
    together = assessed(k, ways, TOLERANCE, trained=trained)
    assert [way.refined for way in together] == [True, False, False, True]
    assert [way.samples[-1] for way in together][1:3] == [1000, 100]
    for way, scoring in zip(together, ways, strict=True):
        (alone,) = assessed(k, [scoring], TOLERANCE, trained=trained)
        same(way.mass, alone.mass)
        same(way.encoder, alone.encoder)
        assert way.trained_on is not None
        torch.testing.assert_close(way.trained_on, together[0].trained_on, rtol=0, atol=0)
    same(together[0].encoder, together[1].encoder)
    assert 7 not in together[2].samples


def test_no_tolerance_is_bit_for_bit_what_it_was(k: Tensor) -> None:
    """By hand, as it was before there was a tolerance."""
    likelihood = likelihoods.make("gaussian", sigma=0.3)
    (zero,), (none,) = (assessed(k, [Scoring(likelihood, "never")], how) for how in (0.0, None))
    weight = 0.5 * torch.randn(LATENT, DIMS, generator=torch.Generator().manual_seed(1))
    nothing = torch.zeros(IMAGES, LATENT)
    by_hand = importance_bounds(
        k,
        lambda k: (nothing[: len(k)], nothing[: len(k)]),
        lambda z: z @ weight,
        {"": lambda raw, rows: likelihood.log_mass(k[rows].unsqueeze(1), raw, LEVELS)},
        grid_of(GRID),
        seed=3,
    )[""]
    same(zero.mass, by_hand)
    same(none.mass, by_hand)
    assert zero.mass is zero.encoder
    assert (zero.encoder_samples, zero.samples) == (1000, GRID)
