"""Draws from a normal distribution where the density is a Laplace's."""

from __future__ import annotations

import torch
from torch import Tensor

from vae_core.likelihoods.laplace import Laplace


class OtherSampler(Laplace):
    def _standard_sample(self, like: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
