"""Closed forms and quadrature, each against the other, against scipy and against a plain wide lattice."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tests.vae_core.likelihoods import oracles
from tests.vae_core.likelihoods.cases import Case, cases, suitable_levels
from vae_core import likelihoods
from vae_core.evaluate.annealing.exact import ppca_log_likelihood, ppca_posterior, quadrature
from vae_core.evaluate.conditional import Decode


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """On tensors of this size a second thread costs more than it gives, and tenfold on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def linear(latent: int, dims: int, sigma: float, images: int = 3, oblique: bool = False) -> tuple[Tensor, ...]:
    """Weight, bias, and data of a linear decoder; with `oblique` two nearly equal rows: a long, slanting posterior."""
    generator = torch.Generator().manual_seed(latent + dims)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    weight, bias = normal(latent, dims), normal(dims)
    if oblique:
        weight[1] = weight[0] + 0.02 * weight[1]
    x = normal(images, latent) @ weight + bias + sigma * normal(images, dims)
    return weight, bias, x


@pytest.mark.parametrize("sigma", [0.05, 0.5, 3.0])
@pytest.mark.parametrize(("latent", "dims"), [(1, 4), (2, 3), (5, 30)])
def test_ppca_agrees_with_scipy(latent: int, dims: int, sigma: float) -> None:
    weight, bias, x = linear(latent, dims, sigma)
    expected = torch.from_numpy(oracles.ppca_log_likelihood(x, weight, bias, sigma))
    torch.testing.assert_close(ppca_log_likelihood(x, weight, bias, sigma), expected, rtol=1e-9, atol=1e-9)


def test_ppca_posterior_is_bayes_rule() -> None:
    """ln p(z) + ln p(x|z) − ln p(z|x) is ln p(x), whatever z."""
    weight, bias, x = linear(3, 7, 0.3)
    mean, covariance = ppca_posterior(x, weight, bias, 0.3)
    z = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    normal = torch.distributions.Normal
    joint = normal(0.0, 1.0).log_prob(z).sum(-1) + normal(z @ weight + bias, 0.3).log_prob(x).sum(-1)
    posterior = torch.distributions.MultivariateNormal(mean, covariance).log_prob(z)
    torch.testing.assert_close(joint - posterior, ppca_log_likelihood(x, weight, bias, 0.3))


def test_ppca_of_stacked_models_is_each_models_own() -> None:
    made = [linear(2, 4, 0.4), linear(2, 4, 0.4, oblique=True)]
    weight, bias, x = (torch.stack(parts) for parts in zip(*made, strict=True))
    together = ppca_log_likelihood(x, weight, bias.unsqueeze(-2), 0.4)
    for index, (own_weight, own_bias, own_x) in enumerate(made):
        torch.testing.assert_close(together[index], ppca_log_likelihood(own_x, own_weight, own_bias, 0.4))


@pytest.mark.parametrize("sigma", [1e-4, 0.003, 0.02, 0.1, 0.5, 3.0])
@pytest.mark.parametrize(("latent", "oblique"), [(1, False), (2, False), (2, True)])
def test_quadrature_agrees_with_ppca(latent: int, oblique: bool, sigma: float) -> None:
    """Posteriors a hundred-thousandth as wide as the first box, as wide as the prior, and a thousand times as long as
    wide; the error that is reported says so."""
    weight, bias, x = linear(latent, 3, sigma, oblique=oblique)
    lik = likelihoods.make("gaussian", sigma=sigma)
    value, error = quadrature(lambda z, rows: lik.log_prob(x[rows].unsqueeze(-2), z @ weight + bias), (len(x),), latent)
    torch.testing.assert_close(value, ppca_log_likelihood(x, weight, bias, sigma), rtol=1e-10, atol=1e-9)
    assert error.max() < 1e-9


def bent(case: Case, latent: int) -> tuple[likelihoods.Likelihood, Tensor, int, Decode]:
    """A small decoder with a bend in it, and integers that it may have given."""
    levels = suitable_levels(case.make())[0] if case.make().view == "binary" else 5
    lik = case.make(levels)
    generator = torch.Generator().manual_seed(3)
    weight = 0.5 * torch.randn(latent, lik.outputs(3), generator=generator, dtype=torch.float64)
    bias = 0.3 * torch.randn(lik.outputs(3), generator=generator, dtype=torch.float64)
    k = torch.randint(levels, (4, 3), generator=generator)
    return lik, k, levels, lambda z: torch.tanh(z) @ weight + bias


@pytest.mark.parametrize("case", cases(), ids=str)
def test_quadrature_agrees_with_a_plain_wide_lattice(case: Case) -> None:
    """Every family, one latent dimension: against 20,001 points over [−10, 10], and within the error reported."""
    lik, k, levels, decode = bent(case, 1)
    with torch.no_grad():
        plain = oracles.quadrature_log_likelihood(
            lambda z: lik.log_mass(k.unsqueeze(1), decode(z).unsqueeze(0), levels), 1, half_width=10, points=20_001
        )
    value, error = quadrature(lambda z, rows: lik.log_mass(k[rows].unsqueeze(-2), decode(z), levels), (4,), 1)
    assert ((value - plain).abs() < error + 1e-6).all()
    # a mean that is moved inside (0, 1) to be a chance has a kink, which a lattice sees to first order
    assert error.max() < (1e-3 if lik.recipe and not lik.open_ends else 1e-4)


def test_the_error_is_seen_where_points_are_too_few() -> None:
    """Two peaks far apart, each far narrower than the lattice's spacing."""

    def two_peaks(z: Tensor, rows: slice) -> Tensor:
        return torch.logaddexp(*(-0.5 * ((z[..., 0] - at) / 1e-4).square() for at in (-1.3, 1.1)))

    _, error = quadrature(two_peaks, (1,), 1, points=129)
    assert error > 0.01
    value, error = quadrature(two_peaks, (1,), 1, points=(1 << 17) + 1)
    peaks = [-0.5 * at**2 - 0.5 * math.log(2 * math.pi) for at in (-1.3, 1.1)]
    expected = math.log(1e-4 * math.sqrt(2 * math.pi)) + math.log(sum(map(math.exp, peaks)))
    assert value.item() == pytest.approx(expected, abs=1e-7)
    assert error < 1e-6


def test_where_the_density_is_zero_nothing_is_counted() -> None:
    """p(x|z) = 1 on z > 0.3, 0 elsewhere: Φ(−0.3), to the accuracy of a jump, which the error covers."""

    def jump(z: Tensor, rows: slice) -> Tensor:
        return torch.where(z[..., 0] > 0.3, 0.0, -math.inf).double()

    value, error = quadrature(jump, (1,), 1)
    expected = 0.5 * math.log(0.25) + math.log(math.erfc(0.3 / math.sqrt(2)))
    assert abs(value.item() - expected) < max(2 * error.item(), 5e-3)


def test_neither_blocks_nor_stacking_change_the_value() -> None:
    made = [linear(2, 3, sigma) for sigma in (0.02, 0.5)]
    sigmas = torch.tensor([0.02, 0.5], dtype=torch.float64)
    weight, bias, x = (torch.stack(parts) for parts in zip(*made, strict=True))

    def score(x: Tensor, weight: Tensor, bias: Tensor, sigma: Tensor, z: Tensor) -> Tensor:
        mean = (z.flatten(-3, -2) @ weight).unflatten(-2, z.shape[-3:-1]) + bias
        return torch.distributions.Normal(mean, sigma).log_prob(x).sum(-1)

    def stacked(z: Tensor, rows: slice) -> Tensor:
        wide = sigmas.reshape(2, 1, 1, 1)
        return score(x[:, rows].unsqueeze(-2), weight, bias.reshape(2, 1, 1, -1), wide, z)

    together = quadrature(stacked, (2, 3), 2, points=65)
    in_pieces = quadrature(stacked, (2, 3), 2, points=65, rows=9000)
    torch.testing.assert_close(together.log_likelihood, in_pieces.log_likelihood)
    for m, sigma in enumerate(sigmas):

        def alone(z: Tensor, rows: slice, m: int = m, sigma: Tensor = sigma) -> Tensor:
            return score(x[m, rows].unsqueeze(-2), weight[m], bias[m], sigma, z)

        value = quadrature(alone, (3,), 2, points=65).log_likelihood
        torch.testing.assert_close(together.log_likelihood[m], value)


def flat(z: Tensor, rows: slice) -> Tensor:
    return torch.zeros_like(z[..., 0])


@pytest.mark.parametrize("latent", [1, 2])
def test_a_constant_likelihood_gives_the_constant(latent: int) -> None:
    value, error = quadrature(lambda z, rows: flat(z, rows) - 700.0, (2,), latent)
    torch.testing.assert_close(value, torch.full((2,), -700.0, dtype=torch.float64))
    assert error.max() < 1e-9


def test_float32_decoders_are_given_float32() -> None:
    def narrow(z: Tensor, rows: slice) -> Tensor:
        assert z.dtype == torch.float32
        return -0.5 * (z / 0.1).square().sum(-1)

    value, _ = quadrature(narrow, (1,), 2, dtype=torch.float32)
    assert value.item() == pytest.approx(-math.log(1 + 1 / 0.01), abs=1e-4)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="takes 1 or 2 dimensions"):
        quadrature(flat, (1,), 3)
    for points in (4, 3, 100):
        with pytest.raises(ValueError, match="odd number of 5 or more"):
            quadrature(flat, (1,), 1, points=points)
    with pytest.raises(ValueError, match="mend the likelihood"):
        quadrature(lambda z, rows: z[..., 0] * math.nan, (1,), 1)
    with pytest.raises(ValueError, match="is 0 at every point"):
        quadrature(lambda z, rows: flat(z, rows) - math.inf, (1,), 1)
    with pytest.raises(ValueError, match="give a scale > 0"):
        ppca_log_likelihood(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(2), 0.0)
