"""An assessment is what the estimators give when they are called by hand, for any torch model."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vae_core import likelihoods
from vae_core.data import VIEWS, dequantise
from vae_core.evaluate import (
    Assessment,
    Scoring,
    Trained,
    assess,
    calibration,
    importance_bounds,
    latents,
    log_likelihood,
    refined_bounds,
)
from vae_core.evaluate.conditional import spaced
from vae_core.likelihoods import Likelihood
from vae_core.numerics.random import generator_for
from vae_core.objectives import BOUNDS, Posterior

IMAGES, DIMS, LATENT, LEVELS = 40, 12, 2, 5
SAMPLES = (1, 5, 30)


class VAE(nn.Module):
    """Somebody's own: parameters that want gradients, no stack, no view."""

    def __init__(self, outputs: int, levels: int = LEVELS) -> None:
        super().__init__()
        self.levels = levels
        self.encoder, self.decoder = nn.Linear(DIMS, 2 * LATENT), nn.Linear(LATENT, outputs)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(
                    0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(parameter)))
                )

    def encode(self, k: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(k / (self.levels - 1)).chunk(2, -1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        raw: Tensor = self.decoder(z)
        return raw


@pytest.fixture
def k() -> Tensor:
    return torch.randint(LEVELS, (IMAGES, DIMS), generator=torch.Generator().manual_seed(0))


def one(k: Tensor, model: VAE, likelihood: Likelihood, refine: str = "never", **named: Any) -> Assessment:
    given: dict[str, Any] = {"levels": LEVELS, "samples": SAMPLES, "seed": 3, **named}
    (assessment,) = assess(k, model.encode, model.decode, [Scoring(likelihood, refine)], **given)
    return assessment


OPTIONS: dict[str, dict[str, Any]] = {"categorical": {"levels": LEVELS}, "gaussian": {"sigma": 0.3}}


def family(name: str) -> Likelihood:
    return likelihoods.make(name, **OPTIONS.get(name, {}))


def same(left: Tensor, right: Tensor) -> None:
    torch.testing.assert_close(left, right, rtol=0, atol=0, equal_nan=True)


# -- by hand -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gaussian", "categorical", "continuous_bernoulli"])
@pytest.mark.parametrize("refine", ["never", "always"])
def test_bounds_are_those_of_log_likelihood(k: Tensor, name: str, refine: str) -> None:
    likelihood = family(name)
    model = VAE(likelihood.outputs(DIMS))
    assessment = one(k, model, likelihood, refine)
    plain, asked = (
        log_likelihood(k, model.encode, model.decode, likelihood, SAMPLES, LEVELS, refine=word, seed=3)
        for word in ("never", refine)
    )
    assert assessment.samples == SAMPLES
    assert assessment.refined == (refine == "always")
    for size in SAMPLES:
        same(assessment.encoder.bound[size], plain.bound[size])
        same(assessment.mass.bound[size], asked.bound[size])
        same(assessment.mass.standard_error[size], asked.standard_error[size])
    same(assessment.log_likelihood, asked.bound[30])
    same(assessment.mass.khat, asked.khat)
    same(assessment.encoder.elbo, plain.elbo)
    assert assessment.bits_per_dim == pytest.approx(-float(asked.bound[30].mean()) / (DIMS * math.log(2)))


def test_the_density_is_of_dequantised_data(k: Tensor) -> None:
    likelihood = family("gaussian")
    model = VAE(likelihood.outputs(DIMS))
    y = dequantise(k, LEVELS, torch.rand(k.shape, generator=generator_for("cpu", "test noise", 3)))
    scorers = {
        "mass": lambda raw, rows: likelihood.log_mass(k[rows].unsqueeze(1), raw, LEVELS),
        "density": lambda raw, rows: likelihood.log_prob(y[rows].unsqueeze(1), raw),
    }
    for refine in ("never", "always"):
        assessment = one(k, model, likelihood, refine)
        if refine == "never":
            expected = importance_bounds(k, model.encode, model.decode, scorers, SAMPLES, seed=3)
        else:
            expected = refined_bounds(k, model.encode, model.decode, scorers, SAMPLES, fit="mass", seed=3)
        assert assessment.density is not None
        same(assessment.density.bound[30], expected["density"].bound[30])
    assert one(k, VAE(DIMS * LEVELS), family("categorical")).density is None


@pytest.mark.parametrize("tolerance", [None, 10.0])
@pytest.mark.parametrize("name", ["gaussian", "mse_sum", "logistic_mixture"])
def test_open_ends_are_renormalised_in_the_pass_that_is_reported(k: Tensor, name: str, tolerance: float | None) -> None:
    """From the same noise as a model that is scored so; with a tolerance not from the pilot's."""
    options: dict[str, Any] = {"levels": LEVELS} if likelihoods.get(name).takes_levels else OPTIONS.get(name, {})
    likelihood = likelihoods.make(name, **options)
    closed = likelihood.renormalised()
    assert closed is not None
    model = VAE(likelihood.outputs(DIMS))
    samples = SAMPLES if tolerance is None else (1, 100, 400)
    for refine in ("never", "always") if tolerance is None else ("never",):
        given: dict[str, Any] = {"samples": samples, "tolerance": tolerance}
        assessment = one(k, model, likelihood, refine, **given)
        assert assessment.renormalised is not None
        size = assessment.samples[-1]
        if refine == "never":
            expected = one(k, model, closed, refine, **given).mass.bound[size]
            same(assessment.renormalised.bound[size], expected)
        else:
            scorers = {
                part: lambda raw, rows, lik=lik: lik.log_mass(k[rows].unsqueeze(1), raw, LEVELS)
                for part, lik in (("open", likelihood), ("closed", closed))
            }
            passes = refined_bounds(k, model.encode, model.decode, scorers, samples, fit="open", seed=3)
            same(assessment.renormalised.bound[size], passes["closed"].bound[size])
        assert (assessment.renormalised.bound[size] - assessment.mass.bound[size]).abs().max() > 0.1
        assert one(k, model, closed, refine, **given).renormalised is None
    assert one(k, VAE(DIMS * LEVELS), family("categorical")).renormalised is None


def test_calibration_and_latents_are_those_called_by_hand(k: Tensor) -> None:
    likelihood = family("gaussian")
    model = VAE(likelihood.outputs(DIMS))
    assessment = one(k, model, likelihood)
    mean, log_variance = (part.detach() for part in model.encode(k))
    eps = torch.randn(mean.shape, generator=generator_for("cpu", "calibration", 3))
    raw = model.decode(Posterior(mean, log_variance).sample(eps.unsqueeze(-2))[:, 0])
    for left, right in zip(assessment.calibration, calibration(k, raw, likelihood, LEVELS), strict=True):
        same(left, right)
    for left, right in zip(assessment.latents, latents(mean, log_variance), strict=True):
        same(left, right)
    assert assessment.sigma == pytest.approx(0.3)
    assert one(k, VAE(DIMS * LEVELS), family("categorical")).sigma is None


def test_the_gap_is_split_where_proposals_are_fitted(k: Tensor) -> None:
    likelihood = family("gaussian")
    model = VAE(likelihood.outputs(DIMS))
    assert one(k, model, likelihood, "never").gaps is None
    assessment = one(k, model, likelihood, "always", samples=(200,))
    assert assessment.gaps is not None
    parts = assessment.gaps.amortisation + assessment.gaps.approximation
    some = spaced(IMAGES, 24)
    assert len(parts) == 24
    whole = (assessment.log_likelihood - assessment.encoder.elbo)[some]
    torch.testing.assert_close(parts.mean(), whole.mean(), rtol=0.1, atol=0.1)
    assert (assessment.gaps.amortisation >= 0).all()


def test_what_is_refined_is_decided_by_khat(k: Tensor) -> None:
    """A narrow decoder far from what the encoder says has bad weights; one whose posterior is nearly q has not."""
    narrow = likelihoods.make("gaussian", sigma=0.02)
    wide = likelihoods.make("gaussian", sigma=20.0)
    model = VAE(DIMS)
    prior = VAE(DIMS)
    with torch.no_grad():
        prior.encoder.weight.zero_()
        prior.encoder.bias.zero_()
    assert one(k, model, narrow, "auto", samples=(1, 100)).refined
    assert not one(k, prior, wide, "auto", samples=(1, 100)).refined


def test_pictures_are_bytes_of_the_shape_that_is_given(k: Tensor) -> None:
    likelihood = family("gaussian")
    model = VAE(DIMS)
    shown = one(k, model, likelihood, shape=(4, 3)).pictures
    assert all(picture.shape == (8, 4, 3) and picture.dtype == np.uint8 for picture in shown)
    np.testing.assert_array_equal(shown.original[1], np.round(k[5].reshape(4, 3).numpy() / 4 * 255))
    raw = model.decode(model.encode(k)[0])[5].detach()
    grey = VIEWS["real"].to_grey(raw, LEVELS)
    np.testing.assert_array_equal(shown.reconstruction[1], (grey * 255).round().reshape(4, 3).numpy())
    assert one(k, model, likelihood).pictures.draw.shape == (8, DIMS)


# -- what it was trained on --------------------------------------------------------------------------------------------


def test_the_training_objective_of_test_images(k: Tensor) -> None:
    """That of a density is of its density, on its bins of its mass; weighted it is the bound at its L, though not
    asked for."""
    likelihood = family("gaussian")
    model = VAE(DIMS)
    assert one(k, model, likelihood).trained_on is None
    elbo, binned, iwae, both = (
        one(k, model, likelihood, trained=Trained(likelihood, objective, BOUNDS[bound], 4))
        for bound, objective in itertools.product(("elbo", "iwae"), ("dequantised", "binned"))
    )
    for assessment in (elbo, binned, iwae, both):
        assert assessment.density is not None
        assert assessment.trained_on is not None
        assert assessment.samples == SAMPLES
    assert elbo.density is not None
    assert iwae.density is not None
    same(elbo.trained_on, elbo.density.elbo)  # type: ignore[arg-type]
    same(binned.trained_on, binned.encoder.elbo)  # type: ignore[arg-type]
    same(iwae.trained_on, iwae.density.bound[4])  # type: ignore[arg-type]
    four = one(k, model, likelihood, samples=(*SAMPLES, 4))
    same(both.trained_on, four.encoder.bound[4])  # type: ignore[arg-type]
    same(one(k, model, likelihood, trained=Trained(likelihood)).trained_on, elbo.trained_on)  # type: ignore[arg-type]


def test_the_objective_of_bins_is_the_iwae_bound_of_masses(k: Tensor) -> None:
    """By the plain formula: ln (1/L) Σ_l P(k|z_l) p(z_l) / q(z_l|k), over many draws of the L samples."""
    likelihood = likelihoods.make("gaussian", sigma=1.0)
    model = VAE(DIMS)
    found = one(k, model, likelihood, trained=Trained(likelihood, "binned", BOUNDS["iwae"], 3), samples=(600,))
    mean, log_variance = (part.detach() for part in model.encode(k))
    q = torch.distributions.Normal(mean.unsqueeze(1), (0.5 * log_variance).exp().unsqueeze(1))
    torch.manual_seed(0)
    z = q.sample((3 * 500,)).squeeze(2).transpose(0, 1)  # [N, 1500, Z]
    with torch.no_grad():
        loc = model.decode(z)
    edges = [torch.distributions.Normal(loc.double(), 1.0).cdf((k.unsqueeze(1) + side) / LEVELS) for side in (0, 1)]
    low = torch.where(k.unsqueeze(1) == 0, 0.0, edges[0])
    high = torch.where(k.unsqueeze(1) == LEVELS - 1, 1.0, edges[1])
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    log_weights = (high - low).log().sum(-1) + prior - q.log_prob(z).sum(-1)
    expected = log_weights.reshape(len(k), 500, 3).logsumexp(-1) - math.log(3)
    error = (expected.std(1) / math.sqrt(500)).square() + (expected.std(1) / math.sqrt(200)).square()
    off = (found.trained_on - expected.mean(1)) / error.sqrt()
    assert float(off.abs().max()) < 5
    assert float(off.square().mean()) < 2


def test_what_training_made_of_the_kl_is_in_its_objective_and_in_nothing_else(k: Tensor) -> None:
    """w times the KL; with free bits Σ_j max(λ, mean KL_j); weights with w times ln p(z)/q(z|x). Scores stay."""
    likelihood, model = family("gaussian"), VAE(DIMS)
    plain, weighed, free = (
        one(k, model, likelihood, trained=Trained(likelihood, "binned", BOUNDS["elbo"], 1, weight, bits))
        for weight, bits in ((1.0, 0.0), (3.0, 0.0), (0.5, 2.0))
    )
    parts, each = plain.encoder, Posterior(*model.encode(k)).kl_per_dimension().detach()
    assert weighed.trained_on is not None
    assert free.trained_on is not None
    torch.testing.assert_close(weighed.trained_on, parts.reconstruction - 3 * parts.kl)
    floored = each.mean(0).clamp(min=2.0).sum().double()
    torch.testing.assert_close(free.trained_on.mean(), parts.reconstruction.mean() - 0.5 * floored, rtol=1e-6, atol=0)
    for assessment in (weighed, free):
        same(assessment.encoder.elbo, parts.elbo)
        same(assessment.log_likelihood, plain.log_likelihood)
    iwae, none = (
        one(k, model, likelihood, trained=Trained(likelihood, "binned", BOUNDS["iwae"], 3, weight)).trained_on
        for weight in (1.0, 1e-9)
    )
    assert none is not None
    assert iwae is not None
    wide = one(k, model, likelihood, trained=Trained(likelihood, "binned", BOUNDS["iwae"], 1, 0.5)).trained_on
    middle = parts.reconstruction - 0.5 * parts.kl  # of one sample it is the ELBO so weighed, but for noise
    torch.testing.assert_close(wide.mean(), middle.mean(), rtol=0.02, atol=0)  # type: ignore[union-attr]
    assert float((none - iwae).mean()) > 0.5 * float(parts.kl.mean())  # nothing of the ratio is left
    with pytest.raises(ValueError, match=r"free_bits = 0\.5 is a floor of the KL"):
        Trained(likelihood, bound=BOUNDS["iwae"], free_bits=0.5)


def test_what_a_likelihood_cannot_be_trained_on_is_refused(k: Tensor) -> None:
    with pytest.raises(ValueError, match=r"categorical cannot be trained on 'binned'.*: take 'own'"):
        Trained(family("categorical"), "binned")
    with pytest.raises(ValueError, match=r"gaussian cannot be trained on 'own'.*: take 'dequantised' or 'binned'"):
        Trained(family("gaussian"), "own")
    mass = family("categorical")
    model = VAE(mass.outputs(DIMS))
    found = one(k, model, mass, trained=Trained(mass, "own", BOUNDS["iwae"], 5))
    same(found.trained_on, found.encoder.bound[5])  # type: ignore[arg-type]


def test_a_model_may_be_scored_as_what_it_was_not_trained_on(k: Tensor) -> None:
    trained, other = (likelihoods.make("gaussian", sigma=sigma) for sigma in (0.3, 0.6))
    model = VAE(DIMS)
    alone = one(k, model, trained, trained=Trained(trained))
    as_other = one(k, model, other, trained=Trained(trained))
    same(as_other.trained_on, alone.trained_on)  # type: ignore[arg-type]
    assert not torch.equal(as_other.log_likelihood, alone.log_likelihood)


def test_a_recipe_s_ways_share_a_pass_and_its_own_number(k: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = likelihoods.make("mse_sum")
    implied, fitted = (recipe.scored(how) for how in recipe.scorings[:2])
    fitted.set_residual_statistic(torch.tensor(0.05))
    model, calls = VAE(DIMS), []

    def counted(z: Tensor) -> Tensor:
        calls.append(len(z))
        return model.decode(z)

    scorings = [Scoring(implied, "never"), Scoring(fitted, "never")]
    named: dict[str, Any] = {"levels": LEVELS, "samples": SAMPLES, "seed": 3, "trained": Trained(recipe)}
    both = assess(k, model.encode, counted, scorings, **named)
    together = len(calls)
    alone = [assess(k, model.encode, counted, [scoring], **named)[0] for scoring in scorings]
    assert together < len(calls) - together
    for left, right in zip(both, alone, strict=True):
        same(left.log_likelihood, right.log_likelihood)
        same(left.trained_on, right.trained_on)  # type: ignore[arg-type]
    same(both[0].trained_on, both[1].trained_on)  # type: ignore[arg-type]
    assert both[0].sigma != both[1].sigma
    posterior = Posterior(*(part.detach() for part in model.encode(k)))
    eps = torch.randn(IMAGES, 2000, LATENT, generator=torch.Generator().manual_seed(1))
    squares = (k.unsqueeze(1) / 4 - model.decode(posterior.sample(eps)).detach()).square()
    expected = -squares.sum(-1).mean(1) - posterior.kl()
    assert float(both[0].trained_on.mean()) == pytest.approx(float(expected.mean()), rel=0.05)  # type: ignore[union-attr]


def test_zeros_and_ones_are_scored_by_the_binary_view(k: Tensor) -> None:
    likelihood = likelihoods.make("bernoulli")
    model = VAE(DIMS, levels=2)
    x = (k > 2).to(torch.uint8)
    assessment = one(x, model, likelihood, levels=2, trained=Trained(likelihood))
    expected = log_likelihood(x, model.encode, model.decode, likelihood, SAMPLES, 2, seed=3)
    same(assessment.log_likelihood, expected.bound[30])
    same(assessment.trained_on, expected.elbo)  # type: ignore[arg-type]
    assert assessment.density is None


# -- what is refused ---------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no scoring": ({"scorings": []}, "at least one scoring"),
    "not flat": ({"k": torch.zeros(4, 3, 4, dtype=torch.long)}, r"x must be \[N, D\], given shape \[4, 3, 4\]"),
    "no images": ({"k": torch.zeros(0, DIMS, dtype=torch.long)}, "no images"),
    "floats": ({"k": torch.rand(4, DIMS)}, "must be integers 0…4"),
    "too bright": ({"k": torch.full((4, DIMS), 5)}, "must be integers 0…4"),
    "no L": ({"samples": ()}, "samples must be one or more integers"),
    "L below 1": ({"samples": (0, 5)}, "samples must be one or more integers"),
    "refine": ({"scorings": [Scoring(family("gaussian"), "perhaps")]}, "refine='perhaps' is unknown"),
    "stack": (
        {"scorings": [Scoring(likelihoods.stack([family("gaussian")] * 2))]},
        "gaussian is a stack of 2 models: select one",
    ),
    "binary": ({"scorings": [Scoring(family("bernoulli"))]}, "bernoulli scores 0 and 1: binarise k and give levels=2"),
    "width": ({"scorings": [Scoring(family("categorical"))]}, "decode gave 12 outputs, categorical needs 60 for D=12"),
    "shape": ({"shape": (4, 4)}, r"images of shape \[4, 4\] have 16 values, but k is \[4, 12\]"),
    "encode": ({"encode": lambda k: (torch.zeros(2), torch.zeros(2))}, "encode must give mean and ln variance"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_input_is_refused_in_one_sentence(what: str) -> None:
    changes, sentence = WRONG[what]
    model = VAE(DIMS)
    given: dict[str, Any] = {
        "k": torch.zeros(4, DIMS, dtype=torch.long),
        "encode": model.encode,
        "decode": model.decode,
        "scorings": [Scoring(family("gaussian"))],
        "levels": LEVELS,
        "samples": SAMPLES,
        **changes,
    }
    with pytest.raises(ValueError, match=sentence) as caught:
        assess(**given)
    assert "\n" not in str(caught.value)
