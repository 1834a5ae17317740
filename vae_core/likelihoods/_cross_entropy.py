"""BCE on grey pixels, the folk recipe: trained on a cross-entropy that no distribution has, scored as the continuous
Bernoulli with the same logits."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch

from vae_core.likelihoods._base import Recipe
from vae_core.likelihoods.continuous_bernoulli import ContinuousBernoulli
from vae_core.numerics.elementwise import sum_bernoulli_terms

if TYPE_CHECKING:
    from torch import Tensor


class CrossEntropy(Recipe):
    """Cross-entropy against grey values k/(K−1), times a weight."""

    scorings = ("continuous_bernoulli",)
    _distribution = ContinuousBernoulli()

    @abstractmethod
    def weight(self, dims: int) -> float:
        """Factor on the summed cross-entropy for D = dims."""

    def outputs(self, dims: int) -> int:
        return dims

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        return self.weight(raw.shape[-1]) * sum_bernoulli_terms(x, raw)

    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        return self._distribution.log_masses(k, raw, levels)

    def log_density(self, y: Tensor, raw: Tensor, levels: int) -> Tensor:
        return self._distribution.log_prob(y, raw)

    def mean(self, raw: Tensor) -> Tensor:
        """What folk show as the reconstruction: the sigmoid (not the scored distribution's mean)."""
        return torch.sigmoid(raw)

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self._distribution.sample(raw, generator)
