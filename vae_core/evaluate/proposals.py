"""What an importance sampler draws z from: one distribution for each image, with ln p(z) − ln q(z) at what it drew.

Axes: models M (leading, where there is more than one), images N, samples C, latent Z. The prior is N(0, I).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
class Weighed(Encoded):
    """The encoder's Gaussian with `weight` times its ln p(z) − ln q(z), as a training has it that weighs the KL."""

    weight: float = 1.0

    def draw(self, eps: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        z, ratio = super().draw(eps, uniform)
        return z, self.weight * ratio

    def rows(self, rows: slice) -> Weighed:
        return Weighed(super().rows(rows).posterior, self.weight)


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

    def rows(self, rows: slice) -> Gaussian:
        return Gaussian(self.mean[..., rows, :], self.scale_tril[..., rows, :, :])

    def sample(self, eps: Tensor) -> Tensor:
        """mean + T ε: eps [..., N, C, Z] -> [..., N, C, Z], in the type of eps."""
        return self.mean.to(eps.dtype).unsqueeze(-2) + eps @ self.scale_tril.to(eps.dtype).mT

    def log_prob(self, z: Tensor) -> Tensor:
        """ln N(z): z [..., N, C, Z] -> [..., N, C], float64, nats."""
        return self.log_probs(z, (1.0,))[0]

    def log_probs(self, z: Tensor, widths: Sequence[float]) -> list[Tensor]:
        """The same with the deviations times each width."""
        white = torch.linalg.solve_triangular(self.scale_tril, (z.double() - self.mean.unsqueeze(-2)).mT, upper=False)
        squares = white.square().sum(-2)
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1, keepdim=True)
        latent = z.shape[-1]
        return [-0.5 * squares / w**2 - (log_det + latent * (math.log(w) + _HALF_LOG_2PI)) for w in widths]

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
class Part:
    """A Gaussian's part of a mixture: its share at each of some widths, factors on its deviations."""

    gaussian: Gaussian
    shares: Mapping[float, float]  #: width -> share


@dataclass(frozen=True)
class Mixture(Proposal):
    """Σ_j π_j q_j over parts and widths, j chosen afresh for every draw, so that any group of draws is the mixture's.

    With a part that covers what the others miss the weights are bounded by 1/π_j times that part's own ("defensive"
    mixture: Hesterberg 1995; Owen & Zhou 2000, without their control variates).
    """

    parts: tuple[Part, ...]  #: whose shares sum to 1
    #: which part each component is of, its width and its share, [J] each, where the parts are: copied there once
    components: tuple[Tensor, Tensor, Tensor] | None = field(default=None, repr=False, compare=False)
    mixture = True

    def __post_init__(self) -> None:
        if self.components is None:
            flat = [(index, w, share) for index, part in enumerate(self.parts) for w, share in part.shares.items()]
            device = self.parts[0].gaussian.mean.device
            columns = tuple(torch.tensor(column, device=device) for column in zip(*flat, strict=True))
            object.__setattr__(self, "components", columns)

    def draw(self, eps: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        assert self.components is not None
        owners, widths, shares = self.components
        edges = shares[:-1].cumsum(0).to(uniform.dtype)
        chosen = torch.bucketize(uniform.contiguous(), edges, right=True).unsqueeze(-1)
        owner, scaled = owners[chosen], widths.to(eps.dtype)[chosen] * eps
        z, log_q = torch.zeros_like(eps), []
        for index, part in enumerate(self.parts):
            z = torch.where(owner == index, part.gaussian.sample(scaled), z)
        for part in self.parts:
            densities = part.gaussian.log_probs(z, list(part.shares))
            log_q += [math.log(share) + density for share, density in zip(part.shares.values(), densities, strict=True)]
        log_prior = -0.5 * z.double().square().sum(-1) - z.shape[-1] * _HALF_LOG_2PI
        return z, log_prior - torch.stack(log_q).logsumexp(0)

    def rows(self, rows: slice) -> Mixture:
        return Mixture(tuple(Part(part.gaussian.rows(rows), part.shares) for part in self.parts), self.components)


def join(parts: Sequence[Gaussian]) -> Gaussian:
    """The proposals of several blocks of images as one."""
    return Gaussian(torch.cat([p.mean for p in parts], -2), torch.cat([p.scale_tril for p in parts], -3))
