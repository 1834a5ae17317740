"""Proposals fitted to each image, against exact posteriors and log-likelihoods."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.vae_core.likelihoods.cases import Case, few, suitable_levels
from vae_core import likelihoods
from vae_core.evaluate import defensive, gaps, importance_bounds, log_likelihood, refine, refined_bounds
from vae_core.evaluate.annealing.exact import ppca_log_likelihood, ppca_posterior, quadrature
from vae_core.evaluate.conditional import conditional
from vae_core.evaluate.proposals import Encoded, Gaussian, Mixture, Part
from vae_core.evaluate.refine import elbo
from vae_core.objectives import Posterior

DIMS, LATENT = 12, 4


class Linear:
    """A linear decoder with Gaussian noise, data from it, and an encoder that is off by `shift` and `wide`."""

    def __init__(self, sigma: float = 0.05, images: int = 30, shift: float = 0.3, wide: float = 0.7) -> None:
        generator = torch.Generator().manual_seed(0)
        self.sigma = sigma
        self.weight = torch.randn(LATENT, DIMS, generator=generator, dtype=torch.float64)
        self.bias = torch.randn(DIMS, generator=generator, dtype=torch.float64)
        z = torch.randn(images, LATENT, generator=generator, dtype=torch.float64)
        noise = torch.randn(images, DIMS, generator=generator, dtype=torch.float64)
        self.x = z @ self.weight + self.bias + sigma * noise
        self.mean, self.covariance = ppca_posterior(self.x, self.weight, self.bias, sigma)
        self.exact = ppca_log_likelihood(self.x, self.weight, self.bias, sigma)
        self.likelihood = likelihoods.make("gaussian", sigma=sigma, validate_args=False)
        self.shift, self.wide = shift, wide

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, covariance = ppca_posterior(x, self.weight, self.bias, self.sigma)
        return mean + self.shift, covariance.diagonal().log().expand_as(mean) + self.wide

    def decode(self, z: Tensor) -> Tensor:
        return z @ self.weight + self.bias

    def score(self, raw: Tensor, rows: slice) -> Tensor:
        return self.likelihood.log_prob(self.x[rows].unsqueeze(1), raw)

    @property
    def conditional(self) -> Any:
        return conditional(self.decode, self.score)

    @property
    def posterior(self) -> Posterior:
        return Posterior(*self.encode(self.x))


@pytest.mark.parametrize("sigma", [0.01, 0.05, 1.0])
def test_a_linear_decoder_s_posterior_is_found_exactly(sigma: float) -> None:
    """From an encoder a hundred posterior deviations away: mean, covariance, and the ELBO is ln p(x) itself."""
    model = Linear(sigma)
    fitted = refine(model.conditional, model.posterior, steps=25)
    deviation = model.covariance.diagonal().sqrt()
    assert ((fitted.mean - model.mean) / deviation).abs().max() < 1e-3
    torch.testing.assert_close(fitted.covariance(), model.covariance.expand(30, -1, -1), rtol=1e-3, atol=1e-12)
    torch.testing.assert_close(elbo(model.conditional, fitted, torch.float64), model.exact, rtol=0, atol=0.01)


def test_the_diagonal_fit_is_the_best_diagonal_gaussian() -> None:
    """For a Gaussian posterior: the true mean, and the inverse of the precision's diagonal (Bishop 2006, eq. 10.13)."""
    model = Linear(0.05)
    fitted = refine(model.conditional, model.posterior, covariance="diagonal", steps=120)
    precision = torch.linalg.inv(model.covariance).diagonal()
    off = (fitted.mean - model.mean) / precision.rsqrt()
    assert off.abs().max() < 0.05
    torch.testing.assert_close(fitted.covariance(), torch.diag(1 / precision).expand(30, -1, -1), rtol=0.02, atol=1e-9)


def test_the_refined_bound_is_exact_where_the_encoder_s_is_far_off() -> None:
    model = Linear(0.05)
    plain = log_likelihood(model.x, model.encode, model.decode, model.likelihood, (1000,))
    fitted = log_likelihood(model.x, model.encode, model.decode, model.likelihood, (1000,), refine="auto")
    assert plain.bad_share > 0.9
    assert float((model.exact - plain.bound[1000]).mean()) > 10
    error, noise = model.exact - fitted.bound[1000], fitted.standard_error[1000]
    assert noise.max() < 0.04
    assert (error.abs() < 4 * noise).all()
    assert error.mean().abs() < 0.02
    assert fitted.bad_share == 0
    assert fitted.ess.min() > 500
    torch.testing.assert_close(fitted.elbo, plain.elbo)  # it stays the encoder's


def test_auto_leaves_alone_what_can_be_trusted() -> None:
    model = Linear(0.5, shift=0.0, wide=0.2)
    scored = [
        log_likelihood(model.x, model.encode, model.decode, model.likelihood, (500,), refine=word)
        for word in ("never", "auto", "always")
    ]
    assert torch.equal(scored[0].bound[500], scored[1].bound[500])
    assert not torch.equal(scored[0].bound[500], scored[2].bound[500])
    with pytest.raises(ValueError, match="allowed: never, auto, always"):
        log_likelihood(model.x, model.encode, model.decode, model.likelihood, (5,), refine="yes")


def test_the_gaps_add_up() -> None:
    """Encoder ≤ diagonal ≤ ln p(x); a diagonal Gaussian's approximation gap is ½ (ln Π Λ_dd − ln |Λ|)."""
    model = Linear(0.05)
    found = gaps(model.conditional, model.posterior)
    assert (found.encoder < found.diagonal).all()
    assert (found.diagonal < model.exact).all()
    precision = torch.linalg.inv(model.covariance)
    expected = 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))
    torch.testing.assert_close(model.exact - found.diagonal, expected.expand(30), rtol=0.1, atol=0.02)


@pytest.mark.parametrize("case", few(), ids=str)
def test_agrees_with_quadrature(case: Case) -> None:
    """Every family and mode with a 2-dimensional latent, scored on integers: the refined bound within its error."""
    levels = suitable_levels(case.make())[0] if case.make().view == "binary" else 5
    lik = case.make(levels)
    generator = torch.Generator().manual_seed(3)
    dims, latent, samples = 3, 2, 2000
    weight = 0.5 * torch.randn(latent, lik.outputs(dims), generator=generator, dtype=torch.float64)
    bias = 0.3 * torch.randn(lik.outputs(dims), generator=generator, dtype=torch.float64)
    k = torch.randint(levels, (4, dims), generator=generator)

    def decode(z: Tensor) -> Tensor:
        return torch.tanh(z) @ weight + bias

    def mass(raw: Tensor, rows: slice) -> Tensor:
        return lik.log_mass(k[rows].unsqueeze(1), raw, levels)

    with torch.no_grad():
        exact = quadrature(conditional(decode, mass), (4,), latent).log_likelihood
    wide = (torch.zeros(4, latent, dtype=torch.float64), torch.zeros(4, latent, dtype=torch.float64))
    estimate = log_likelihood(k, lambda _: wide, decode, lik, (samples,), levels=levels, refine="always")
    error, off = estimate.standard_error[samples], estimate.bound[samples] - exact
    good = ~estimate.bad
    # the tanh saturates: a narrow σ may leave a posterior far from any Gaussian, which k̂ then says
    assert good.sum() >= 3 or dict(case.options).get("sigma") in (0.02, 0.1)
    assert (off[good].abs() < 5 * error[good] + 0.01).all()
    assert (off < 5 * error + 0.01).all()


def test_several_scorers_and_models_are_each_what_they_are_alone() -> None:
    """[M] models at once, each with its own weights and seed, against each alone; and the fit under one scorer serves
    the others."""
    model, generator = Linear(0.1), torch.Generator().manual_seed(5)
    weights = torch.stack([model.weight, 0.7 * model.weight])
    shifts = 0.1 * torch.randn(2, 1, LATENT, generator=generator, dtype=torch.float64)
    narrow, wide = likelihoods.make("gaussian", sigma=0.1), likelihoods.make("laplace", sigma=0.1)

    def bounds(chosen: slice | int, seeds: Any) -> Any:
        """With a leading models axis for a slice, without one for an integer."""

        def encode(x: Tensor) -> tuple[Tensor, Tensor]:
            mean, log_variance = model.encode(x)
            return mean + shifts[chosen], (log_variance + 0 * shifts[chosen])

        def decode(z: Tensor) -> Tensor:
            weight = weights[chosen]
            return (z.flatten(-3, -2) @ weight if z.ndim > 2 else z @ weight).reshape(*z.shape[:-1], DIMS) + model.bias

        scorers = {
            "narrow": lambda raw, rows: narrow.log_prob(model.x[rows].unsqueeze(1), raw),
            "wide": lambda raw, rows: wide.log_prob(model.x[rows].unsqueeze(1), raw),
        }
        return refined_bounds(model.x, encode, decode, scorers, (10, 200), fit="narrow", seed=seeds)

    together = bounds(slice(0, 2), [3, 8])
    for index, seed in enumerate((3, 8)):
        alone = bounds(index, seed)
        for name in ("narrow", "wide"):
            for field in ("ess", "khat", "jackknife"):
                torch.testing.assert_close(getattr(together[name], field)[index], getattr(alone[name], field))
            torch.testing.assert_close(together[name].bound[10][index], alone[name].bound[10])
            torch.testing.assert_close(together[name].standard_error[200][index], alone[name].standard_error[200])


def test_proposals_say_the_density_of_what_they_draw() -> None:
    """E_q exp(ln p − ln q) = 1 and E_q[z exp(ln p − ln q)] = 0, for every proposal: the prior's own moments."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.tensor([[0.4, -0.3], [0.0, 0.8]], dtype=torch.float64)
    log_variance = torch.tensor([[0.2, 0.5], [0.3, 0.1]], dtype=torch.float64)
    tilted = torch.tensor([[1.3, 0.0], [-0.6, 1.1]], dtype=torch.float64).expand(2, -1, -1)
    full, encoder = Gaussian(mean, tilted), Posterior(mean, log_variance)
    proposals = {
        "encoder": Encoded(encoder),
        "diagonal": Mixture((Part(Gaussian.diagonal(mean, log_variance), {1.0: 1.0}),)),
        "full": Mixture((Part(full, {1.0: 1.0}),)),
        "wide": Mixture((Part(full, {0.9: 0.5, 1.5: 0.5}),)),
        "defensive": defensive(full, encoder),
    }
    samples = 400_000
    eps = torch.randn(2, samples, 2, generator=generator, dtype=torch.float64)
    uniform = torch.rand(2, samples, generator=generator, dtype=torch.float64)
    for name, proposal in proposals.items():
        z, log_ratio = proposal.draw(eps, uniform)
        weight = log_ratio.exp()
        error = weight.std(-1) / math.sqrt(samples)
        assert ((weight.mean(-1) - 1).abs() < 5 * error).all(), name
        moment = (weight.unsqueeze(-1) * z).mean(1)
        spread = (weight.unsqueeze(-1) * z).std(1) / math.sqrt(samples)
        assert (moment.abs() < 5 * spread).all(), name
        one, _ = proposal.rows(slice(1, 2)).draw(eps[1:], uniform[1:])
        torch.testing.assert_close(one, z[1:])


def test_gaussians_against_torch_s() -> None:
    generator = torch.Generator().manual_seed(1)
    tril = torch.randn(3, 4, 4, generator=generator, dtype=torch.float64).tril(-1) + 2 * torch.eye(4).double()
    ours = Gaussian(torch.randn(3, 4, generator=generator, dtype=torch.float64), tril)
    theirs = torch.distributions.MultivariateNormal(ours.mean, scale_tril=tril)
    z = torch.randn(3, 7, 4, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z.transpose(0, 1)).T)
    eps = torch.randn(3, 7, 4, generator=generator, dtype=torch.float64)
    drawn = ours.sample(eps)
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(drawn).sum(-1)
    torch.testing.assert_close(ours.log_ratio(drawn, eps), prior - ours.log_prob(drawn))
    standard = torch.distributions.MultivariateNormal(torch.zeros(4, dtype=torch.float64), torch.eye(4).double())
    torch.testing.assert_close(ours.kl(), torch.distributions.kl_divergence(theirs, standard))


def test_the_defensive_weights_are_bounded() -> None:
    """Where the fit is hopeless, a hundred deviations away and tiny, the encoder's share still covers the posterior."""
    model = Linear(0.5, shift=0.0, wide=0.2)
    lost = Gaussian(model.mean + 5, torch.diag_embed(torch.full_like(model.mean, 1e-3)))
    proposal = defensive(lost, model.posterior)
    scorers = {"": model.score}
    bound = importance_bounds(model.x, model.encode, model.decode, scorers, (5000,), proposal=proposal)[""]
    assert ((bound.bound[5000] - model.exact).abs() < 5 * bound.standard_error[5000] + 0.02).all()
    assert bound.bad_share == 0


def test_a_step_that_fails_is_taken_back() -> None:
    """A decoder that is not finite away from the encoder's mean: the fit stays where ln p(x|z) is finite."""
    model = Linear(1.0, shift=0.0, wide=0.0)

    def broken(z: Tensor, rows: slice) -> Tensor:
        value = model.conditional(z, rows)
        return torch.where((z - model.mean[rows].unsqueeze(-2)).norm(dim=-1) > 6, torch.nan, value)

    fitted = refine(broken, model.posterior)
    assert torch.isfinite(fitted.mean).all()
    assert torch.isfinite(fitted.scale_tril).all()


def test_what_is_decoded_together_changes_nothing() -> None:
    model = Linear(0.1)
    whole = refine(model.conditional, model.posterior)
    judged = elbo(model.conditional, whole, torch.float64)
    for points in (1, 20, 100):
        pieces = refine(model.conditional, model.posterior, points=points)
        torch.testing.assert_close(pieces.mean, whole.mean)
        torch.testing.assert_close(pieces.scale_tril, whole.scale_tril)
        torch.testing.assert_close(elbo(model.conditional, whole, torch.float64, points=points), judged)


@pytest.mark.parametrize("latent", [1, 2, 3])
def test_a_small_latent(latent: int) -> None:
    """One direction only, or few: a posterior that is not Gaussian, against quadrature where there is one."""

    def cube(z: Tensor, rows: slice) -> Tensor:
        return -0.5 * ((z.pow(3).sum(-1) - 0.7) / 0.3).square()

    encoder = Posterior(torch.zeros(2, latent, dtype=torch.float64), torch.zeros(2, latent, dtype=torch.float64))
    fitted = refine(cube, encoder)
    proposal = defensive(fitted, encoder)
    x = torch.zeros(2, 1)
    bound = importance_bounds(
        x,
        lambda x: (encoder.mean, encoder.log_variance),
        lambda z: z,
        {"": lambda raw, rows: cube(raw, rows)},
        (20_000,),
        proposal=proposal,
    )[""]
    if latent < 3:
        exact = quadrature(cube, (2,), latent).log_likelihood
        assert ((bound.bound[20_000] - exact).abs() < 5 * bound.standard_error[20_000] + 0.01).all()
    assert torch.isfinite(bound.bound[20_000]).all()


def test_an_image_that_is_not_finite_spoils_no_other() -> None:
    model = Linear(0.1)
    alone = refine(model.conditional, model.posterior)
    mean, log_variance = (part.clone() for part in (model.posterior.mean, model.posterior.log_variance))
    log_variance[3], log_variance[4] = torch.nan, 900.0
    fitted = refine(model.conditional, Posterior(mean, log_variance))
    others = [row for row in range(30) if row not in (3, 4)]
    torch.testing.assert_close(fitted.mean[others], alone.mean[others])


def test_one_image_without_a_finite_weight_does_not_switch_refinement_off() -> None:
    model = Linear(0.05)

    def impossible(raw: Tensor, rows: slice) -> Tensor:
        score = model.score(raw, rows)
        return torch.where(torch.arange(30)[rows].unsqueeze(1) == 7, -torch.inf, score)

    plain = importance_bounds(model.x, model.encode, model.decode, {"": impossible}, (100,))[""]
    assert plain.bad_share > 0.9
    few = importance_bounds(model.x, model.encode, model.decode, {"": impossible}, (10,))[""]
    assert math.isnan(few.bad_share)


def test_bad_input_of_log_likelihood_is_refused() -> None:
    model = Linear()

    def scored(x: Tensor, encode: Any = model.encode, levels: int | None = None) -> Any:
        return log_likelihood(x, encode, model.decode, model.likelihood, (5,), levels=levels)

    with pytest.raises(ValueError, match="no images"):
        scored(model.x[:0])
    with pytest.raises(ValueError, match="must be integers 0…16"):
        scored(torch.rand(3, DIMS), levels=17)
    with pytest.raises(ValueError, match="must be integers 0…16"):
        scored(torch.full((3, DIMS), 200), levels=17)
    with pytest.raises(ValueError, match=r"not \[1, 4\] and \[4\]"):
        scored(model.x, lambda x: (model.encode(x)[0], torch.zeros(LATENT)))


def test_bad_input_is_refused() -> None:
    model = Linear()
    shared = likelihoods.make("gaussian", sigma="shared")  # its own parameter has a gradient, z has none
    shared.initialise(0.3)
    with pytest.raises(ValueError, match="no gradient in z"):
        refine(lambda z, rows: shared.log_prob(model.x[rows].unsqueeze(1), model.decode(z.detach())), model.posterior)
    with pytest.raises(ValueError, match="allowed: full, diagonal"):
        refine(model.conditional, model.posterior, covariance="low rank")
    with pytest.raises(ValueError, match="steps must be 1 or more"):
        refine(model.conditional, model.posterior, steps=0)
    with pytest.raises(ValueError, match="no gradient in z"):
        refine(lambda z, rows: model.conditional(z.detach(), rows), model.posterior)
