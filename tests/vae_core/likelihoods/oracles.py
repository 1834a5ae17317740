"""Exact log-likelihoods by other means than vae_core/evaluate/annealing/exact.py: scipy, and a plain lattice."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor


def ppca_log_likelihood(x: Tensor, weight: Tensor, bias: Tensor, sigma: float) -> np.ndarray:
    """ln N(x; b, WᵀW + σ²I) for a linear decoder μ = z W + b, z ~ N(0, I) (Tipping & Bishop 1999, eq. 3); [N], nats.

    x [N, D], weight [Z, D], bias [D].
    """
    covariance = (weight.T @ weight + sigma**2 * torch.eye(weight.shape[1], dtype=weight.dtype)).numpy()
    return np.atleast_1d(stats.multivariate_normal(bias.numpy(), covariance).logpdf(x.numpy()))


def quadrature_log_likelihood(
    log_likelihood: Callable[[Tensor], Tensor], latent: int, half_width: float = 7.0, points: int = 801
) -> Tensor:
    """ln ∫ p(x|z) N(z; 0, I) dz for a latent of 1 or 2 dimensions by the trapezoid rule on a wide, fine lattice.

    log_likelihood: z [G, Z] -> ln p(x|z) [N, G]. Returns [N], nats.
    """
    axis = torch.linspace(-half_width, half_width, points, dtype=torch.float64)
    z = torch.cartesian_prod(*[axis] * latent).reshape(-1, latent)
    log_prior = -0.5 * z.square().sum(-1) - 0.5 * latent * math.log(2 * math.pi)
    total = torch.full((0,), -math.inf, dtype=torch.float64)
    for some in torch.split(torch.arange(len(z)), 20_000):
        part = (log_likelihood(z[some]) + log_prior[some]).logsumexp(-1)
        total = part if not len(total) else torch.logaddexp(total, part)
    return total + latent * math.log(2 * half_width / (points - 1))


class TruncatedToUnit:
    """A frozen scipy distribution on the line, elementwise, given that its value lies in [0, 1]."""

    dist = None  # no name of a discrete one

    def __init__(self, whole: Any) -> None:
        self.whole = whole

    def _log_mass(self, low: Any, high: Any) -> np.ndarray:
        """ln P(low < x < high), from the tail on whose side it is exact."""
        by_cdf = self.whole.cdf(high) - self.whole.cdf(low)
        by_sf = self.whole.sf(low) - self.whole.sf(high)
        return np.log(np.where(self.whole.median() > 0.5 * (low + high), by_cdf, by_sf))

    def logpdf(self, x: np.ndarray) -> np.ndarray:
        return self.whole.logpdf(x) - self._log_mass(0.0, 1.0)

    def log_masses(self, levels: int) -> np.ndarray:
        """ln of what each of K equal bins holds, stacked last: [..., K]."""
        bins = [self._log_mass(k / levels, (k + 1) / levels) for k in range(levels)]
        return np.stack(bins, -1) - self._log_mass(0.0, 1.0)[..., None]
