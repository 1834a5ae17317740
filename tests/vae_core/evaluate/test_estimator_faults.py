"""Faults that published estimators of ln p(x) have, each written as people write it, against exact values.

The data come from a linear decoder (pPCA), so ln p(x) is known; its weights have orthogonal rows, so the posterior is
diagonal and a proposal q with RATIO times its variance has one known law of weights, the same for every image:
ln w − ln p(x) = Σ_z [½ ln r − ½ (r − 1) ε²], ε ~ N(0, 1). What a bound at L ought to give is therefore known too. Each
test holds the faulty number and this library's to one yardstick: the first must fail it, the second must pass.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from vae_core import likelihoods
from vae_core.evaluate import Estimate, log_likelihood
from vae_core.evaluate.annealing.exact import ppca_log_likelihood
from vae_core.evaluate.importance import Tiling

DIMS, LATENT, SIGMA = 6, 2, 0.5
RATIO = 20.0  # the variance of q over the posterior's: (ESS/L is about 1/10)


@dataclass(frozen=True)
class Ppca:
    """μ = z W + b, W with orthogonal rows, z ~ N(0, I), x ~ N(μ, σ²)."""

    weight: Tensor  #: [Z, D]
    bias: Tensor  #: [D]
    ratio: float  #: variance of q(z|x) over that of p(z|x)

    @property
    def variance(self) -> Tensor:
        """Of p(z|x), per latent dimension (Tipping & Bishop 1999, eq. 7), [Z]."""
        return SIGMA**2 / (self.weight.square().sum(1) + SIGMA**2)

    def draw(self, images: int, seed: int = 1) -> Tensor:
        """Data [N, D] of this model."""
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(images, LATENT, generator=generator, dtype=torch.float64)
        return self.decode(z) + SIGMA * torch.randn(images, DIMS, generator=generator, dtype=torch.float64)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = (x - self.bias) @ self.weight.T / SIGMA**2 * self.variance
        return mean, (self.ratio * self.variance).log().expand_as(mean)

    def decode(self, z: Tensor) -> Tensor:
        return z @ self.weight + self.bias

    def exact(self, x: Tensor) -> Tensor:
        """ln p(x), [N]."""
        return ppca_log_likelihood(x, self.weight, self.bias, SIGMA)

    def log_weights(self, x: Tensor, samples: int, generator: torch.Generator) -> Tensor:
        """ln p(x|z) p(z) / q(z|x) of fresh z ~ q, as one writes it with torch.distributions: [N, L]."""
        mean, log_variance = self.encode(x)
        normal = torch.distributions.Normal
        q = normal(mean.unsqueeze(1), (0.5 * log_variance).exp().unsqueeze(1))
        z = q.loc + q.scale * torch.randn(len(x), samples, LATENT, generator=generator, dtype=x.dtype)
        log_x = normal(self.decode(z), SIGMA).log_prob(x.unsqueeze(1)).sum(-1)
        return log_x + normal(0.0, 1.0).log_prob(z).sum(-1) - q.log_prob(z).sum(-1)


def ppca(ratio: float) -> Ppca:
    generator = torch.Generator().manual_seed(0)
    rows = torch.linalg.qr(torch.randn(DIMS, LATENT, generator=generator, dtype=torch.float64)).Q.T
    lengths = torch.tensor([[1.5], [0.8]], dtype=torch.float64)
    return Ppca(lengths * rows, torch.randn(DIMS, generator=generator, dtype=torch.float64), ratio)


def ours(model: Ppca, x: Tensor, samples: int, chunk: int = 128, batch: int = 500) -> Estimate:
    """This library's estimate, its pass cut into `chunk` samples and `batch` images."""
    likelihood = likelihoods.make("gaussian", sigma=SIGMA)
    tiling = Tiling(images=batch, samples=chunk, floats=1 << 20)
    return log_likelihood(x, model.encode, model.decode, likelihood, (samples,), tiling=tiling)


@functools.cache
def expected_gap(samples: int, ratio: float, runs: int = 40_000) -> tuple[float, float]:
    """E[bound at L] − ln p(x) ≤ 0 from the known law of the weights, and its standard error."""
    generator = torch.Generator().manual_seed(99)
    squares = torch.randn(runs, samples, LATENT, generator=generator, dtype=torch.float64).square().sum(-1)
    log_weights = 0.5 * LATENT * math.log(ratio) - 0.5 * (ratio - 1) * squares
    gap = log_weights.logsumexp(1) - math.log(samples)
    return float(gap.mean()), float(gap.std()) / math.sqrt(runs)


def is_the_bound(bound: Tensor, exact: Tensor, samples: int, ratio: float) -> bool:
    """Whether per-image bounds [N] have the mean that L = samples gives, to 4.5 standard errors."""
    gap = bound - exact
    expected, error = expected_gap(samples, ratio)
    return abs(float(gap.mean()) - expected) < 4.5 * math.hypot(error, float(gap.std()) / math.sqrt(len(gap)))


def is_the_mean(number: float, exact: Tensor, error: Tensor) -> bool:
    """Whether a number for the whole data set is the mean of the exact values, to 4.5 Monte-Carlo standard errors."""
    return abs(number - float(exact.mean())) < 4.5 * float(error.square().sum().sqrt()) / len(exact) + 1e-6


def test_the_known_gap_at_one_sample_is_minus_the_kl() -> None:
    """The yardstick itself: E[bound at L = 1] = ELBO = ln p(x) − KL(q ‖ p(z|x))."""
    kl = 0.5 * LATENT * (RATIO - 1 - math.log(RATIO))
    gap, error = expected_gap(1, RATIO)
    assert abs(gap + kl) < 4 * error
    assert error < 0.01 * kl


# -- a chunk that does not divide L -----------------------------------------------------------------------------------


def whole_chunks_only(model: Ppca, x: Tensor, samples: int, chunk: int, generator: torch.Generator) -> Tensor:
    """One chunk where L ≤ chunk, else ⌊L/chunk⌋ of them: every chunk is drawn whole, whatever L was asked for."""
    chunks = 1 if samples <= chunk else samples // chunk
    log_weights = torch.cat([model.log_weights(x, chunk, generator) for _ in range(chunks)], 1)
    return log_weights.logsumexp(1) - math.log(log_weights.shape[1])


@pytest.mark.parametrize(("samples", "chunk", "drawn"), [(19, 10, 10), (3, 10, 10), (1, 10, 10)])
def test_a_dropped_remainder_is_the_bound_of_another_number_of_samples(samples: int, chunk: int, drawn: int) -> None:
    """Too few samples where L > chunk, too many where L < chunk: the number under the heading "L = 1", which a reader
    takes for the ELBO, is the bound at a whole chunk.

    Seen in clementchadebec/benchmark_VAE, src/pythae/models/vae/vae_model.py, `get_nll` (Pythae 0.1.2, with the default
    n_samples=1, batch_size=100); the floor also in jmtomczak/vae_vampprior, models/VAE.py, `calculate_likelihood`.
    """
    model = ppca(RATIO)
    x = model.draw(2000)
    exact = model.exact(x)
    faulty = whole_chunks_only(model, x, samples, chunk, torch.Generator().manual_seed(2))
    assert not is_the_bound(faulty, exact, samples, RATIO)
    assert is_the_bound(faulty, exact, drawn, RATIO)
    assert is_the_bound(ours(model, x, samples, chunk).bound[samples], exact, samples, RATIO)


def rounded_up_but_not_counted(model: Ppca, x: Tensor, samples: int, chunk: int, generator: torch.Generator) -> Tensor:
    """⌈L/chunk⌉ whole chunks are summed, and the sum is divided by L."""
    chunks = math.ceil(samples / chunk)
    log_weights = torch.cat([model.log_weights(x, chunk, generator) for _ in range(chunks)], 1)
    return log_weights.logsumexp(1) - math.log(samples)


@pytest.mark.parametrize(("samples", "chunk", "drawn"), [(25, 10, 30), (11, 10, 20)])
def test_samples_drawn_but_not_counted_lift_the_bound_above_the_truth(samples: int, chunk: int, drawn: int) -> None:
    """With q the exact posterior every weight is p(x), so any right estimate is exact; this one is ln(drawn/L) above
    ln p(x), a "lower bound" that no model can have.

    Seen in scverse/scvi-tools, src/scvi/module/_vae.py, `marginal_ll` (n_mc_samples not a multiple of
    n_mc_samples_per_pass).
    """
    model = ppca(1.0)
    x = model.draw(200)
    exact = model.exact(x)
    faulty = rounded_up_but_not_counted(model, x, samples, chunk, torch.Generator().manual_seed(2))
    torch.testing.assert_close(faulty, exact + math.log(drawn / samples))
    torch.testing.assert_close(ours(model, x, samples, chunk).bound[samples], exact)


def mean_of_the_chunks(model: Ppca, x: Tensor, samples: int, chunk: int, generator: torch.Generator) -> Tensor:
    """Each chunk's ln mean w, the short last one as well, averaged as if all chunks were of one size."""
    sizes = [chunk] * (samples // chunk) + ([samples % chunk] if samples % chunk else [])
    log_means = [model.log_weights(x, size, generator).logsumexp(1) - math.log(size) for size in sizes]
    return torch.stack(log_means, 1).logsumexp(1) - math.log(len(sizes))


def test_a_short_last_chunk_that_counts_as_a_whole_one_wastes_the_others() -> None:
    """L = 101 in chunks of 100: half of the estimate is one sample. Its expectation as a probability is still right, so
    only the bound shows it: far below that of 101 samples."""
    model = ppca(RATIO)
    x = model.draw(2000)
    exact = model.exact(x)
    faulty = mean_of_the_chunks(model, x, 101, 100, torch.Generator().manual_seed(2))
    assert not is_the_bound(faulty, exact, 101, RATIO)
    assert float((faulty - exact).mean()) < 5 * expected_gap(101, RATIO)[0]
    assert is_the_bound(ours(model, x, 101, 100).bound[101], exact, 101, RATIO)


@pytest.mark.parametrize(("samples", "chunk"), [(1, 10), (10, 10), (11, 10), (19, 10), (30, 10), (25, 7)])
def test_every_sample_asked_for_is_drawn_once_and_counted_once(samples: int, chunk: int) -> None:
    """The z that the decoder saw: L of them for each image, and the bound is ln of their weights' mean."""
    model = ppca(RATIO)
    x = model.draw(20)
    seen: list[Tensor] = []

    def decode(z: Tensor) -> Tensor:
        if len(z) == len(x):  # a first call with one z asks for the width
            seen.append(z)
        return model.decode(z)

    likelihood = likelihoods.make("gaussian", sigma=SIGMA)
    tiling = Tiling(images=20, samples=chunk, floats=1 << 20)
    bound = log_likelihood(x, model.encode, decode, likelihood, (samples,), tiling=tiling).bound[samples]
    z = torch.cat(seen, 1)
    assert z.shape == (20, samples, LATENT)
    assert len(z.flatten(0, 1).unique(dim=0)) == 20 * samples
    mean, log_variance = model.encode(x)
    normal = torch.distributions.Normal
    log_q = normal(mean.unsqueeze(1), (0.5 * log_variance).exp().unsqueeze(1)).log_prob(z).sum(-1)
    log_joint = normal(model.decode(z), SIGMA).log_prob(x.unsqueeze(1)).sum(-1) + normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(bound, (log_joint - log_q).logsumexp(1) - math.log(samples))


# -- a batch that does not divide the data set ------------------------------------------------------------------------


def mean_of_batch_means(bound: Tensor, batch: int) -> float:
    """Each batch's mean, averaged over the batches."""
    means = [float(part.mean()) for part in bound.split(batch)]
    return sum(means) / len(means)


def last_batch(bound: Tensor, batch: int) -> float:
    """A variable of the loop, overwritten by each batch and returned after the last."""
    mean = math.nan
    for part in bound.split(batch):
        mean = float(part.mean())
    return mean


def first_batch_over_all(bound: Tensor, batch: int) -> float:
    """A `return` one indentation too deep: the first batch's mean, divided by the number of batches."""
    total = 0.0
    for part in bound.split(batch):
        total += float(part.mean())
        return total / len(bound.split(batch))
    return math.nan


@pytest.mark.parametrize(
    ("faulty", "weight_of_the_last_image"),
    [(mean_of_batch_means, 1 / 6), (last_batch, 1.0), (first_batch_over_all, 0.0)],
)
def test_a_number_for_the_whole_set_that_forgets_how_large_its_batches_are(
    faulty: Callable[[Tensor, int], float], weight_of_the_last_image: float
) -> None:
    """101 images in batches of 20. What is given here are per-image values, so the mean is one over all images.

    Seen: a short last batch over-weighted in scverse/scvi-tools, scvi/model/base/_vaemixin.py, `get_marginal_ll`
    (np.mean of the batches' means), in jmtomczak/vae_vampprior, utils/evaluation.py, `evaluate_vae`, and in Pythae's
    trainers/base_trainer/base_trainer.py, `eval_step`; only the last batch scored in scverse/scvi-tools, issue 1032;
    only the first, over the number of batches, in YannDubs/disentangling-vae, disvae/evaluate.py, issue 70.
    """
    model = ppca(RATIO)
    x = model.draw(101)
    exact = model.exact(x)
    estimate = ours(model, x, 1000, batch=20)
    assert estimate.bound[1000].shape == (101,)
    number = faulty(estimate.bound[1000], 20)
    assert not is_the_mean(number, exact, estimate.standard_error[1000])
    assert is_the_mean(float(estimate.bound[1000].mean()), exact, estimate.standard_error[1000])
    # the fault is as described: the last image's share in the number
    lifted = estimate.bound[1000].clone()
    lifted[-1] += 1.0
    assert faulty(lifted, 20) - number == pytest.approx(weight_of_the_last_image, abs=1e-9)


def test_the_batch_does_not_matter_here() -> None:
    """Batches of 20, 101 and 7: one number, to Monte-Carlo error, and each image's own."""
    model = ppca(RATIO)
    x = model.draw(101)
    exact = model.exact(x)
    for batch in (7, 20, 101):
        estimate = ours(model, x, 1000, batch=batch)
        off = (estimate.bound[1000] - exact) / estimate.standard_error[1000]
        assert off.abs().max() < 5
        assert is_the_mean(float(estimate.bound[1000].mean()), exact, estimate.standard_error[1000])


# -- the sign ---------------------------------------------------------------------------------------------------------


def nll_without_the_minus(bound: Tensor) -> float:
    """The mean of ln p(x) under the name `nll`."""
    return float(bound.mean())


def test_an_nll_without_its_minus_prefers_the_worse_model() -> None:
    """`bound` is ln p(x), higher is better; what people call nll is its negative. Of the model that made the data and
    one with a wrong bias, the "lowest nll" without the minus picks the wrong one.

    Seen in clementchadebec/benchmark_VAE, src/pythae/models/vae/vae_model.py, `get_nll`, which returns np.mean(log_p);
    and asked about in scverse/scvi-tools, issue 730 ("I believe this is actually the negative marginal LL").
    """
    model = ppca(1.0)
    x = model.draw(300)
    wrong = Ppca(model.weight, model.bias + 1.0, 1.0)
    bounds = {name: ours(m, x, 10).bound[10] for name, m in (("right", model), ("wrong", wrong))}
    exact = {name: m.exact(x) for name, m in (("right", model), ("wrong", wrong))}
    assert exact["right"].mean() > exact["wrong"].mean() + 1
    for name, bound in bounds.items():
        torch.testing.assert_close(bound, exact[name])
        assert nll_without_the_minus(bound) == pytest.approx(float(exact[name].mean()))
        assert abs(nll_without_the_minus(bound) - float(-exact[name].mean())) > 1
    assert min(bounds, key=lambda name: nll_without_the_minus(bounds[name])) == "wrong"
    assert max(bounds, key=lambda name: float(bounds[name].mean())) == "right"
