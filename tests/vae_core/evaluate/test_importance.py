"""The streaming importance-weighted bound against exact values, the one-shot formula, and repetition."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.vae_core.likelihoods.cases import Case, few, suitable_levels
from tests.vae_core.likelihoods.oracles import ppca_log_likelihood, quadrature_log_likelihood
from vae_core import likelihoods
from vae_core.evaluate import importance_bounds, log_likelihood
from vae_core.evaluate.annealing.exact import ppca_posterior
from vae_core.evaluate.importance import Tiling, _Groups

DIMS, LATENT, SIGMA = 6, 2, 0.5


@pytest.fixture(scope="module")
def ppca() -> dict[str, Any]:
    """A linear decoder, data from it, its exact posterior, and a proposal that is not exact."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(LATENT, DIMS, generator=generator, dtype=torch.float64)
    bias = torch.randn(DIMS, generator=generator, dtype=torch.float64)
    z = torch.randn(40, LATENT, generator=generator, dtype=torch.float64)
    x = z @ weight + bias + SIGMA * torch.randn(40, DIMS, generator=generator, dtype=torch.float64)
    mean, covariance = ppca_posterior(x, weight, bias, SIGMA)
    log_variance = covariance.diagonal().log().expand_as(mean)

    def encode(given: Tensor) -> tuple[Tensor, Tensor]:
        rows = [int((x == row).all(1).nonzero()[0, 0]) for row in given]
        return mean[rows] + 0.1, log_variance[rows] + 0.4

    return {
        "x": x,
        "encode": encode,
        "decode": lambda latents: latents @ weight + bias,
        "likelihood": likelihoods.make("gaussian", sigma=SIGMA),
        "exact": torch.from_numpy(ppca_log_likelihood(x, weight, bias, SIGMA)),
    }


def score(ppca: dict[str, Any], samples: tuple[int, ...], **kwargs: Any) -> Any:
    return log_likelihood(ppca["x"], ppca["encode"], ppca["decode"], ppca["likelihood"], samples, **kwargs)


def test_linear_decoder_gives_the_exact_ppca_likelihood(ppca: dict[str, Any]) -> None:
    estimate = score(ppca, (5000,))
    off = (estimate.bound[5000] - ppca["exact"]) / estimate.standard_error[5000]
    assert off.abs().max() < 4.5
    assert off.abs().mean() < 1.3  # E|N(0,1)| = 0.80
    assert estimate.standard_error[5000].max() < 0.05


def test_the_bound_rises_with_samples_towards_the_exact_value(ppca: dict[str, Any]) -> None:
    """E[bound_L] rises with L and stays below ln p(x) (Burda et al. 2016, theorem 1), each within its error."""
    grid = (1, 3, 10, 100, 1000, 4000)
    estimate = score(ppca, grid)
    means = [float(estimate.bound[size].mean()) for size in grid]
    errors = [float(estimate.standard_error[size].square().sum().sqrt() / 40) for size in grid]
    exact = float(ppca["exact"].mean())
    assert all(later > earlier for earlier, later in itertools.pairwise(means))
    assert all(mean < exact + 4 * error for mean, error in zip(means, errors, strict=True))
    assert means[0] < exact - 0.1
    assert exact - means[-1] < 0.01


def test_the_standard_error_is_what_repetition_shows(ppca: dict[str, Any]) -> None:
    """Spread of the bound over 200 seeds against the reported error, at an L with one group and one with many."""
    runs = [score(ppca, (10, 300), seed=seed) for seed in range(200)]
    for size in (10, 300):
        spread = torch.stack([run.bound[size] for run in runs]).std(0)
        claimed = torch.stack([run.standard_error[size] for run in runs]).mean(0)
        assert float((claimed / spread).median()) == pytest.approx(1.0, abs=0.1)


def test_elbo_and_the_bound_of_one_sample_are_the_same_expectation(ppca: dict[str, Any]) -> None:
    estimate = score(ppca, (1, 3000))
    error = estimate.standard_error[1]
    assert ((estimate.elbo - estimate.bound[1]) / error).abs().max() < 6
    assert (estimate.elbo < ppca["exact"] + 4 * error).all()


def test_ess_is_all_of_the_samples_for_the_exact_posterior() -> None:
    """With q = p(z|x) every weight is p(x): bound exact at L = 1, error 0, ESS = L."""
    weight = torch.eye(2, dtype=torch.float64)
    bias = torch.zeros(2, dtype=torch.float64)
    x = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mean, covariance = ppca_posterior(x, weight, bias, 1.0)
    estimate = log_likelihood(
        x,
        lambda given: ((given - bias) @ weight.T / 2, covariance.diagonal().log().expand(len(given), 2)),
        lambda z: z @ weight + bias,
        likelihoods.make("gaussian", sigma=1.0),
        (1, 64),
    )
    exact = torch.from_numpy(ppca_log_likelihood(x, weight, bias, 1.0))
    for size in (1, 64):
        torch.testing.assert_close(estimate.bound[size], exact)
        assert estimate.standard_error[size].max() < 1e-6
    torch.testing.assert_close(estimate.ess, torch.full((5,), 64.0, dtype=torch.float64))
    torch.testing.assert_close(mean, x / 2)


@pytest.mark.parametrize("case", few(), ids=str)
@pytest.mark.parametrize("latent", [1, 2])
def test_agrees_with_quadrature(case: Case, latent: int) -> None:
    """Every family and mode with a 1- or 2-dimensional latent, scored on integers."""
    levels = suitable_levels(case.make())[0] if case.make().view == "binary" else 5
    lik = case.make(levels)
    generator = torch.Generator().manual_seed(3)
    dims = 3
    weight = 0.5 * torch.randn(latent, lik.outputs(dims), generator=generator, dtype=torch.float64)
    bias = 0.3 * torch.randn(lik.outputs(dims), generator=generator, dtype=torch.float64)
    k = torch.randint(levels, (4, dims), generator=generator)

    def decode(z: Tensor) -> Tensor:
        return torch.tanh(z) @ weight + bias

    points = 801 if latent == 1 else 281
    with torch.no_grad():
        exact = quadrature_log_likelihood(
            lambda z: lik.log_mass(k.unsqueeze(1), decode(z).unsqueeze(0), levels), latent, points=points
        )
    wide = (torch.zeros(4, latent, dtype=torch.float64), torch.zeros(4, latent, dtype=torch.float64))
    estimate = log_likelihood(k, lambda given: (wide[0], wide[1]), decode, lik, (20_000,), levels=levels)
    error, off = estimate.standard_error[20_000], estimate.bound[20_000] - exact
    assert (off < 4.5 * error + 1e-5).all()
    # with a handful of effective samples the bound may lie below by more than its standard error says
    trusted = estimate.ess > 20
    assert (off[trusted] > -4.5 * error[trusted] - 1e-5).all()
    assert trusted.sum() >= 2 or dict(case.options).get("sigma") == 0.02


@given(
    chunks=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    samples=st.integers(1, 50),
    seed=st.integers(0, 1000),
)
def test_groups_do_not_depend_on_the_chunks(chunks: list[int], samples: int, seed: int) -> None:
    """Against the one-shot formula: disjoint groups in order, an incomplete last group dropped, not counted."""
    total = sum(chunks)
    log_weights = 5 * torch.randn(3, total, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    groups = _Groups(samples, torch.zeros(3), total)
    for part in torch.split(log_weights, chunks, dim=1):
        groups.push(part)
    whole = total // samples
    assert groups.groups == whole
    if whole:
        reference = log_weights[:, : whole * samples].reshape(3, whole, samples).logsumexp(-1) - math.log(samples)
        torch.testing.assert_close(groups.bound(), reference.mean(1))
        if whole >= 10:
            expected = reference.std(1) / math.sqrt(whole)
            torch.testing.assert_close(groups.standard_error(), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("samples", [(1, 7, 100), (64,), (3, 130)])
def test_streamed_equals_one_shot_whatever_the_pieces(ppca: dict[str, Any], samples: tuple[int, ...]) -> None:
    """Pieces that do not divide L, nor the images: the same numbers; the one shot computes all weights at once."""
    whole = Tiling(images=7, samples=16, floats=1 << 30)
    reference = score(ppca, samples, tiling=whole)
    for floats in (1, 13, 50, 100, 997):
        pieces = score(ppca, samples, tiling=Tiling(images=7, samples=16, floats=floats))
        for size in samples:
            torch.testing.assert_close(pieces.bound[size], reference.bound[size])
        torch.testing.assert_close(pieces.ess, reference.ess)


def test_one_shot_formula(ppca: dict[str, Any]) -> None:
    """One tile holds all: ln mean w from the weights written out by hand."""
    tiling = Tiling(images=40, samples=50, floats=1 << 30)
    seen: list[Tensor] = []

    def decode(z: Tensor) -> Tensor:
        if z.shape[:2] == (40, 50):
            seen.append(z)
        return ppca["decode"](z)

    estimate = log_likelihood(ppca["x"], ppca["encode"], decode, ppca["likelihood"], (50,), tiling=tiling)
    (z,) = seen
    mean, log_variance = ppca["encode"](ppca["x"])
    normal = torch.distributions.Normal
    log_q = normal(mean[:, None], (0.5 * log_variance)[:, None].exp()).log_prob(z).sum(-1)
    log_prior = normal(0.0, 1.0).log_prob(z).sum(-1)
    log_x = normal(ppca["decode"](z), SIGMA).log_prob(ppca["x"][:, None]).sum(-1)
    log_w = log_x + log_prior - log_q
    torch.testing.assert_close(estimate.bound[50], log_w.logsumexp(-1) - math.log(50))
    w = (log_w - log_w.max(-1, keepdim=True).values).exp()
    torch.testing.assert_close(estimate.ess, w.sum(-1).square() / w.square().sum(-1))
    se = w.std(-1) / math.sqrt(50) / w.mean(-1)
    torch.testing.assert_close(estimate.standard_error[50], se)


def test_an_image_scores_the_same_in_a_smaller_set(ppca: dict[str, Any]) -> None:
    all_images = score(ppca, (1, 100))
    first = log_likelihood(ppca["x"][:5], ppca["encode"], ppca["decode"], ppca["likelihood"], (1, 100))
    torch.testing.assert_close(all_images.bound[100][:5], first.bound[100])


def test_several_scorers_share_one_pass(ppca: dict[str, Any]) -> None:
    x, lik = ppca["x"], ppca["likelihood"]
    other = likelihoods.make("laplace", sigma=0.4)
    both = importance_bounds(
        x,
        ppca["encode"],
        ppca["decode"],
        {
            "a": lambda raw, rows: lik.log_prob(x[rows].unsqueeze(1), raw),
            "b": lambda raw, rows: other.log_prob(x[rows].unsqueeze(1), raw),
        },
        (1, 50),
    )
    torch.testing.assert_close(both["a"].bound[50], score(ppca, (1, 50)).bound[50])
    alone = log_likelihood(x, ppca["encode"], ppca["decode"], other, (1, 50))
    torch.testing.assert_close(both["b"].bound[50], alone.bound[50])


def test_mass_bound_is_at_least_the_dequantised_bound() -> None:
    """For the same z (docs/RULES.md, rule 2): averaged over u, each image's dequantised bound lies below."""
    generator = torch.Generator().manual_seed(0)
    levels, dims = 5, 4
    k = torch.randint(levels, (6, dims), generator=generator)
    weight = torch.randn(2, dims, generator=generator)
    lik = likelihoods.make("logistic", sigma=0.2)

    def encode(given: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(len(given), 2), torch.zeros(len(given), 2)

    def decode(z: Tensor) -> Tensor:
        return 0.5 + 0.3 * z @ weight

    mass = log_likelihood(k, encode, decode, lik, (256,), levels=levels).bound[256]
    draws = []
    for _ in range(300):
        y = (k + torch.rand(k.shape, generator=generator)) / levels
        draws.append(log_likelihood(y, encode, decode, lik, (256,)).bound[256] - dims * math.log(levels))
    dequantised, error = torch.stack(draws).mean(0), torch.stack(draws).std(0) / math.sqrt(300)
    assert (mass > dequantised - 4 * error).all()
    assert (mass > dequantised + 4 * error).sum() >= 4


@pytest.mark.parametrize("samples", [(), (0,), (-1, 10)])
def test_samples_out_of_range_are_refused(ppca: dict[str, Any], samples: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="integers of 1 or more"):
        score(ppca, samples)


def test_wrong_shapes_are_refused(ppca: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="flatten the images"):
        log_likelihood(torch.zeros(2, 3, 3), ppca["encode"], ppca["decode"], ppca["likelihood"])
    pixel = likelihoods.make("gaussian", sigma="pixel")
    with pytest.raises(ValueError, match="decode gave 6 outputs, gaussian needs 12 for D=6"):
        log_likelihood(ppca["x"], ppca["encode"], ppca["decode"], pixel)


def test_memory_does_not_grow_with_samples() -> None:
    """The largest raw output ever asked of the decoder is the same at L = 100 and L = 2000."""
    largest = {}
    for size in (100, 2000):
        seen: list[int] = []

        def decode(z: Tensor, seen: list[int] = seen) -> Tensor:
            seen.append(z.shape[0] * z.shape[1])
            return z

        log_likelihood(torch.zeros(3, 2), lambda x: (x, x), decode, likelihoods.make("gaussian", sigma=1.0), (1, size))
        largest[size] = max(seen)
    assert largest[100] * np.ceil(512 / 100) >= largest[2000]  # a CPU's tile has 512 samples
