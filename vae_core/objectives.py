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


def free_bits_kl(per_dimension: Tensor, free: Tensor | float) -> Tensor:
    """The KL with free bits (Kingma, Salimans et al. 2016, eq. 15, each latent dimension a group of its own), nats:
    per_dimension [..., B, Z] (`Posterior.kl_per_dimension`), `free` λ nats a dimension -> [..., B].

    Its mean over the batch is Σ_j max(λ, mean_B KL_j): a dimension that carries less than λ in the mean over the batch
    counts as λ for every image, and is not pulled towards the prior.
    """
    carries = per_dimension.detach().mean(-2, keepdim=True) > free
    return torch.where(carries, per_dimension, free).sum(-1)


def iwae(log_likelihood: Tensor, log_ratio: Tensor) -> Tensor:
    """ln (1/L) Σ_l p(x|z_l) p(z_l) / q(z_l|x) (Burda, Grosse & Salakhutdinov 2016, eq. 8): [M, B, L] and log_ratio
    [M, B, L] (`Posterior.log_ratio`) -> [M, B]."""
    log_weights = log_likelihood + log_ratio
    return log_weights.logsumexp(-1) - math.log(log_weights.shape[-1])


@dataclass(frozen=True)
class Bound:
    """A formula of ln p(x|z) [M, B, L] and of the KL [M, B] or, where it is weighted, of ln p(z)/q(z|x) [M, B, L].

    A training may give it another number in the second place: w times the KL (Higgins et al. 2017, eq. 4), or times
    ln p(z)/q(z|x); or the KL with free bits. Then it is no bound any more, but of the ELBO with w ≥ 1 a looser one.
    """

    formula: Callable[[Tensor, Tensor], Tensor]
    weighted: bool = False  #: importance-weighted over the L samples; else an expectation over them


#: the bounds by name, as members and grids give them
BOUNDS = {"elbo": Bound(elbo), "iwae": Bound(iwae, weighted=True)}


def require_kl(weight: float, warmup: float, free_bits: float, bound: Bound) -> None:
    """Raises ValueError for a weight of the KL, a warm-up or free bits that training cannot take."""
    if not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f"kl_weight must be a finite number, 0 or more, given {weight}")
    if not (math.isfinite(warmup) and warmup >= 0 and (warmup < 1 or warmup == int(warmup))):
        raise ValueError(f"kl_warmup must be a share of the epochs below 1 or a whole number of epochs, given {warmup}")
    if not (math.isfinite(free_bits) and free_bits >= 0):
        raise ValueError(f"free_bits must be a finite number of nats a latent dimension, 0 or more, given {free_bits}")
    if free_bits and bound.weighted:
        raise ValueError(
            f"free_bits = {free_bits:g} is a floor of the KL, which importance-weighted bounds do not have: raise the "
            "elbo, or leave free_bits out"
        )


#: of which ln p(x|z) they are bounds: a density's of dequantised data, or the exact masses of its bins; or the own
#: log-probability of what has no such choice, a recipe's number as people write it
OBJECTIVES = ("dequantised", "binned", "own")
