"""The top bin found by x > 0.999, as PixelCNN code does on x = k/255: under k/256 scaling 255/256 is below it."""

from __future__ import annotations

import torch
from torch import Tensor

from vae_core.likelihoods.logistic import Logistic


class TopBin(Logistic):
    def binned_log_masses(self, k: Tensor, loc: Tensor, log_scale: Tensor, levels: int) -> Tensor:
        x = k.to(loc.dtype) / levels
        inverse = torch.exp(-log_scale)
        middle, half = (x + 0.5 / levels - loc) * inverse, (0.5 / levels) * inverse
        inner = self._log_interval(middle, half, torch.log(2 * half))
        first, last = self._log_cdf(middle + half), self._log_cdf(half - middle)
        return torch.where(x < 0.001, first, torch.where(x > 0.999, last, inner))
