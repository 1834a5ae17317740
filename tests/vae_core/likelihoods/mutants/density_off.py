"""A density off by a factor of two: the ln 2 of the Laplace's normaliser is forgotten, in the density alone."""

from __future__ import annotations

from torch import Tensor

from vae_core.likelihoods.laplace import Laplace


class DensityOff(Laplace):
    def _log_prob(self, x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
        return super()._log_prob(x, loc, log_scale) + 0.6931471805599453 * x.shape[-1]
