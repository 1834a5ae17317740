"""What an importance sampler draws z from: one distribution for each image, with ln p(z) − ln q(z) at what it drew.

Axes: models M (leading, where there is more than one), images N, samples C, latent Z. The prior is N(0, I).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_core.objectives import Posterior

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Proposal(ABC):
    """q(z|x) of a block of images, as importance sampling needs it."""

    mixture: bool = False  #: whether `draw` uses its uniforms

    @abstractmethod
    def draw(self, eps: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Standard normals [..., n, C, Z] and uniforms [..., n, C] -> z [..., n, C, Z] and ln p(z) − ln q(z)
        [..., n, C], nats."""

    @abstractmethod
    def rows(self, rows: slice) -> Proposal:
        """The proposal of some of the images."""


@dataclass(frozen=True)
class Encoded(Proposal):
    """The encoder's diagonal Gaussian."""

    posterior: Posterior

    def draw(self, eps: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        z = self.posterior.sample(eps)
        return z, self.posterior.log_ratio(z, eps)

    def rows(self, rows: slice) -> Encoded:
        mean, log_variance = self.posterior.mean, self.posterior.log_variance
        return Encoded(Posterior(mean[..., rows, :], log_variance[..., rows, :]))


@dataclass(frozen=True)
class Gaussian:
    """N(mean, T Tᵀ) of each image: mean [..., N, Z], T [..., N, Z, Z] lower triangular, in float64."""

    mean: Tensor
    scale_tril: Tensor

    @staticmethod
    def diagonal(mean: Tensor, log_variance: Tensor) -> Gaussian:
        """From an encoder's output."""
        return Gaussian(mean.double(), torch.diag_embed(torch.exp(0.5 * log_variance.double())))

    @staticmethod
    def prior_like(mean: Tensor) -> Gaussian:
        """N(0, I) for every image of mean [..., N, Z]."""
        eye = torch.eye(mean.shape[-1], dtype=torch.float64, device=mean.device)
        return Gaussian(torch.zeros_like(mean, dtype=torch.float64), eye.expand(*mean.shape, -1))

    def covariance(self) -> Tensor:
        """[..., N, Z, Z]."""
        return self.scale_tril @ self.scale_tril.mT

    def widened(self, factor: float) -> Gaussian:
        """The same with its standard deviations times a factor."""
        return Gaussian(self.mean, factor * self.scale_tril)

    def rows(self, rows: slice) -> Gaussian:
        return Gaussian(self.mean[..., rows, :], self.scale_tril[..., rows, :, :])

    def sample(self, eps: Tensor) -> Tensor:
        """mean + T ε: eps [..., N, C, Z] -> [..., N, C, Z], in the type of eps."""
        return self.mean.to(eps.dtype).unsqueeze(-2) + eps @ self.scale_tril.to(eps.dtype).mT

    def log_prob(self, z: Tensor) -> Tensor:
        """ln N(z): z [..., N, C, Z] -> [..., N, C], float64, nats."""
        white = torch.linalg.solve_triangular(
            self.scale_tril, (z.double() - self.mean.unsqueeze(-2)).mT, upper=False
        ).square()
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * white.sum(-2) - (log_det + z.shape[-1] * _HALF_LOG_2PI).unsqueeze(-1)

    def log_ratio(self, z: Tensor, eps: Tensor) -> Tensor:
        """ln p(z) − ln q(z) at z = sample(eps): [..., N, C, Z] -> [..., N, C], float64, nats."""
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1, keepdim=True)
        return 0.5 * (eps.double().square() - z.double().square()).sum(-1) + log_det

    def kl(self) -> Tensor:
        """KL(q ‖ N(0, I)) in closed form, [..., N], nats."""
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        traces = self.scale_tril.square().sum((-2, -1)) + self.mean.square().sum(-1)
        return 0.5 * (traces - self.mean.shape[-1]) - log_det


@dataclass(frozen=True)
class Mixture(Proposal):
    """Σ_j π_j q_j, its component chosen afresh for every draw, so that any group of draws is one of the mixture's.

    With a component that covers what the others miss the weights are bounded by 1/π_j times that component's own
    ("defensive" mixture: Hesterberg 1995; Owen & Zhou 2000, eq. 7, without control variates).
    """

    components: tuple[Gaussian, ...]
    weights: tuple[float, ...]  #: π, which sum to 1
    mixture = True

    def draw(self, eps: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        edges = torch.tensor(self.weights[:-1], dtype=torch.float64, device=uniform.device).cumsum(0)
        chosen = (uniform.double().unsqueeze(-1) >= edges).sum(-1, keepdim=True)
        z = self.components[0].sample(eps)
        for index, component in enumerate(self.components[1:], start=1):
            z = torch.where(chosen == index, component.sample(eps), z)
        parts = [math.log(w) + q.log_prob(z) for w, q in zip(self.weights, self.components, strict=True)]
        log_prior = -0.5 * z.double().square().sum(-1) - z.shape[-1] * _HALF_LOG_2PI
        return z, log_prior - torch.stack(parts).logsumexp(0)

    def rows(self, rows: slice) -> Mixture:
        return Mixture(tuple(q.rows(rows) for q in self.components), self.weights)


def join(parts: Sequence[Gaussian]) -> Gaussian:
    """The proposals of several blocks of images as one."""
    return Gaussian(torch.cat([p.mean for p in parts], -2), torch.cat([p.scale_tril for p in parts], -3))
