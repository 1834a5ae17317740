"""The open end bins the wrong way round: the first holds what lies above the data, the last what lies below."""

from __future__ import annotations

from torch import Tensor

from vae_core.likelihoods.laplace import Laplace


class SwappedEnds(Laplace):
    def binned_log_masses(self, k: Tensor, loc: Tensor, log_scale: Tensor, levels: int) -> Tensor:
        last = levels - 1
        swapped = k + (k == 0).to(k.dtype) * last - (k == last).to(k.dtype) * last
        return super().binned_log_masses(swapped, loc, log_scale, levels)
