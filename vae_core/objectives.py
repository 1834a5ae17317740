"""Training objectives: on what a model is trained, and lower bounds on ln p(x), in nats, higher is better.

Axes: models M, batch B, samples L. Each bound maps ln p(x|z) [M, B, L], and what q says, to [M, B].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Posterior:
    """q(z|x) = N(mean, diag e^{log_variance}), both [..., Z]; prior N(0, I)."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, eps: Tensor) -> Tensor:
        """z = mean + e^{½ log_variance} ε: eps [..., L, Z] -> [..., L, Z] (Kingma & Welling 2014, eq. 9)."""
        return self.mean.unsqueeze(-2) + torch.exp(0.5 * self.log_variance).unsqueeze(-2) * eps

    def log_ratio(self, z: Tensor, eps: Tensor) -> Tensor:
        """ln p(z) − ln q(z|x) at z = sample(eps): [..., L, Z] -> [..., L], nats."""
        squares = 0.5 * (eps.square() - z.square()).sum(-1)
        return squares + 0.5 * self.log_variance.sum(-1, keepdim=True)

    def kl(self) -> Tensor:
        """KL(q ‖ N(0, I)) in closed form, [...], nats (Kingma & Welling 2014, appendix B)."""
        return self.kl_per_dimension().sum(-1)

    def kl_per_dimension(self) -> Tensor:
        """The same per latent dimension, [..., Z], nats."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance)


def split_posterior(encoded: Tensor) -> Posterior:
    """The encoder's output [..., 2 Z] as a posterior."""
    mean, log_variance = encoded.chunk(2, dim=-1)
    return Posterior(mean, log_variance)


def elbo(log_likelihood: Tensor, kl: Tensor) -> Tensor:
    """mean_l ln p(x|z_l) − KL(q ‖ p), the KL in closed form (Kingma & Welling 2014, eq. 7): [M, B, L] and kl [M, B]
    (`Posterior.kl`) -> [M, B]."""
    single_sample = log_likelihood.shape[-1] == 1
    return (log_likelihood.squeeze(-1) if single_sample else log_likelihood.mean(-1)) - kl


def iwae(log_likelihood: Tensor, log_ratio: Tensor) -> Tensor:
    """ln (1/L) Σ_l p(x|z_l) p(z_l) / q(z_l|x) (Burda, Grosse & Salakhutdinov 2016, eq. 8): [M, B, L] and log_ratio
    [M, B, L] (`Posterior.log_ratio`) -> [M, B]."""
    log_weights = log_likelihood + log_ratio
    return log_weights.logsumexp(-1) - math.log(log_weights.shape[-1])


@dataclass(frozen=True)
class Bound:
    """A formula of ln p(x|z) [M, B, L] and of the KL [M, B] or, where it is weighted, of ln p(z)/q(z|x) [M, B, L]."""

    formula: Callable[[Tensor, Tensor], Tensor]
    weighted: bool = False  #: importance-weighted over the L samples; else an expectation over them


#: the bounds by name, as members and grids give them
BOUNDS = {"elbo": Bound(elbo), "iwae": Bound(iwae, weighted=True)}

#: of which ln p(x|z) they are bounds: a density's of dequantised data, or the exact masses of its bins; or the own
#: log-probability of what has no such choice, a recipe's number as people write it
OBJECTIVES = ("dequantised", "binned", "own")
