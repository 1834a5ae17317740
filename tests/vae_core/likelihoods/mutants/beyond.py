"""A binomial whose `sample` goes one beyond the last level."""

from __future__ import annotations

import torch
from torch import Tensor

from vae_core.likelihoods.binomial import Binomial


class Beyond(Binomial):
    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return super().sample(raw, generator) + 1
