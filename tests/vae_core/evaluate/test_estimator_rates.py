"""What the estimators claim of themselves, over many repetitions: bias of order 1/L, intervals that cover at their
nominal rate, memory that does not depend on L.

A repetition is an image: the same image many times, each with noise of its own.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tests.tensor_counts import Bytes
from vae_core import likelihoods
from vae_core.evaluate import log_likelihood, ppca_log_likelihood, ppca_posterior

SIGMA, DIMS, LATENT = 0.4, 8, 2


class Repeated:
    """One image of a linear decoder, `times` over; a proposal with `wide` times the posterior's deviations."""

    def __init__(self, times: int, wide: float = 1.5, shift: float = 0.5) -> None:
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(LATENT, DIMS, generator=generator, dtype=torch.float64)
        self.bias = torch.randn(DIMS, generator=generator, dtype=torch.float64)
        x = torch.randn(1, LATENT, generator=generator, dtype=torch.float64) @ self.weight + self.bias
        x = x + SIGMA * torch.randn(1, DIMS, generator=generator, dtype=torch.float64)
        self.x = x.expand(times, -1)
        mean, covariance = ppca_posterior(x, self.weight, self.bias, SIGMA)
        deviation = covariance.diagonal().sqrt()
        self.mean = mean[0] + shift * deviation
        self.log_variance = 2 * torch.log(wide * deviation)
        self.exact = float(ppca_log_likelihood(x, self.weight, self.bias, SIGMA))

    def score(self, samples: tuple[int, ...], **options: Any) -> Any:
        return log_likelihood(
            self.x,
            lambda x: (self.mean.expand(len(x), -1), self.log_variance.expand(len(x), -1)),
            lambda z: z @ self.weight + self.bias,
            likelihoods.make("gaussian", sigma=SIGMA),
            samples,
            **options,
        )


@pytest.mark.slow
def test_the_bound_s_error_falls_as_one_over_L() -> None:
    """E[bound] − ln p(x) = −Var(w/p)/(2L) + O(1/L²) (Domke & Sheldon 2018, theorem 3): over 20,000 repetitions."""
    model, grid = Repeated(20_000), (8, 16, 32, 64, 128)
    bounds = model.score(grid).bound
    bias = {size: model.exact - float(bounds[size].mean()) for size in grid}
    error = {size: float(bounds[size].std()) / math.sqrt(20_000) for size in grid}
    assert all(bias[size] > 4 * error[size] for size in grid)
    logs = torch.tensor([[math.log(size), math.log(bias[size])] for size in grid[1:]])
    slope = float(torch.linalg.lstsq(torch.stack([logs[:, 0], torch.ones(4)], 1), logs[:, 1:]).solution[0])
    assert slope == pytest.approx(-1, abs=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("refine", ["never", "always"])
def test_intervals_cover_the_exact_value_at_their_nominal_rate(refine: str) -> None:
    """Bound ± z standard errors, over 4,000 repetitions at L = 400: 50 % and 95 % of them hold ln p(x)."""
    model = Repeated(4000)
    estimate = model.score((400,), refine=refine)
    off = (estimate.bound[400] - model.exact) / estimate.standard_error[400]
    for nominal, reach in ((0.5, 0.6745), (0.95, 1.96)):
        covered = float((off.abs() < reach).double().mean())
        assert covered == pytest.approx(nominal, abs=3.5 * math.sqrt(nominal * (1 - nominal) / 4000) + 0.005)


@pytest.mark.slow
def test_the_jackknife_is_centred() -> None:
    model = Repeated(20_000)
    estimate = model.score((16,))
    left = float(estimate.jackknife.mean()) - model.exact
    assert abs(left) < 0.25 * (model.exact - float(estimate.bound[16].mean()))


def peak_bytes(samples: int) -> int:
    """Of 40 images of 200 pixels."""
    generator = torch.Generator().manual_seed(0)
    first, last = (torch.randn(*shape, generator=generator) / 8 for shape in ((20, 64), (64, 200)))
    k = torch.randint(256, (40, 200), generator=generator)
    with Bytes() as counted:
        log_likelihood(
            k,
            lambda k: (k[:, :20] / 255, torch.zeros(len(k), 20) - 3),
            lambda z: torch.relu(z @ first) @ last,
            likelihoods.make("gaussian", sigma=0.3),
            (1, samples),
            levels=256,
        )
    return counted.peak


@pytest.mark.slow
def test_memory_at_fifty_thousand_samples_is_that_of_a_thousand() -> None:
    few, many = peak_bytes(1000), peak_bytes(50_000)
    assert few > 1 << 20
    assert many < 1.1 * few
