"""The mass of a whole image shared out among its dimensions: the sum is right, and no dimension's mass is its own."""

from __future__ import annotations

from torch import Tensor

from vae_core.likelihoods.continuous_bernoulli import ContinuousBernoulli


class SharedOut(ContinuousBernoulli):
    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        each = super().log_masses(k, raw, levels)
        return each.mean(-1, keepdim=True).expand_as(each)
