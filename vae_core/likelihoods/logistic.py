"""Logistic on the real line: ln p(x|z) = −z − ln σ − 2 ln(1+e^{−z}), z = (x−μ)/σ.

Its bin masses are differences of sigmoids: trained on them it is the discretised logistic of Kingma et al. (2016).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods._base import Card
from vae_core.likelihoods._location_scale import BEYOND, LocationScale
from vae_core.likelihoods._logspace import log_sinhc
from vae_core.numerics.elementwise import logsigmoid, sum_logsigmoid

if TYPE_CHECKING:
    from torch import Tensor


class Logistic(LocationScale):
    __doc__ = LocationScale.__doc__
    card = Card(
        title="Logistic",
        summary="A bell with exponential tails whose CDF is the sigmoid, so that bin masses are exact and cheap.",
        formula="ln p(x|z) = −z − 2 ln(1+e^{−z}) − ln σ, z = (x−μ)/σ",
        support="the real line (view real: dequantised levels (k+u)/K), whose tails the end bins have",
        parameters="μ: D outputs; σ (its standard deviation is πσ/√3): a number, or learned as for the Gaussian",
        source="Kingma et al. 2016, Improved Variational Inference with Inverse Autoregressive Flow, appendix D",
        users="deep hierarchical VAEs and PixelCNN++ (there as a mixture), on its bins",
    )

    def _log_standard(self, z: Tensor) -> Tensor:
        return logsigmoid(z) + logsigmoid(-z)

    def _sum_log_standard(self, z: Tensor) -> Tensor:
        a = z.abs()
        return 2 * sum_logsigmoid(a) - a.sum(-1)

    def _log_cdf(self, z: Tensor) -> Tensor:
        return logsigmoid(z)

    def _log_interval(self, middle: Tensor, half: Tensor, log_width: Tensor) -> Tensor:
        """s(b) − s(a) = (1 − e^{−w}) s(b) s(−a), with no difference of near-equal numbers:
        ln(1 − e^{−w}) = ln w − w/2 + ln sinhc(w/2)."""
        log_one_minus = log_width - half + log_sinhc(half)
        return log_one_minus + logsigmoid(middle + half) + logsigmoid(half - middle)

    def _log_bin(self, middle: Tensor, half: Tensor, log_width: Tensor, opened: Tensor) -> Tensor:
        """The same; without its first two factors where the bin is open."""
        log_one_minus = (1 - opened) * (log_width - half + log_sinhc(half))
        return log_one_minus + logsigmoid(middle + (half + BEYOND * opened)) + logsigmoid(half - middle)

    def _sum_log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        if not self.open_ends:
            return self.log_masses(k, raw, levels).sum(-1)
        loc, log_scale = self._split(raw)
        middle, half, log_width, opened = self._bin(k, loc, log_scale, levels)
        log_one_minus = (1 - opened) * (log_width - half + log_sinhc(half))
        far = sum_logsigmoid(middle + (half + BEYOND * opened))
        return log_one_minus.sum(-1) + far + sum_logsigmoid(half - middle)

    def _log_fall(self, near: Tensor, step: Tensor) -> Tensor:
        return 2 * (logsigmoid(near + step) - logsigmoid(near)) - step

    def _log_area(self, edge: Tensor, half: Tensor, log_width: Tensor) -> Tensor:
        """As `_log_interval`, over f(p) = s(p) s(−p): all that is large has fallen out."""
        size = edge.abs()
        beside, across = 0.5 * (size + edge), 0.5 * (size - edge)
        log_one_minus = torch.log(-torch.expm1(-2 * half))  # not half − half of a width of many σ
        return log_one_minus + logsigmoid(edge + 2 * half) - logsigmoid(beside) + (logsigmoid(across) + math.log(2))

    def _standard_sample(self, like: Tensor, generator: torch.Generator | None) -> Tensor:
        u = torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)
        eps = torch.finfo(like.dtype).eps
        return torch.logit(u.clamp(eps, 1 - eps))

    def _statistic(self, residual: Tensor, over: tuple[int, ...]) -> Tensor:
        """The maximum-likelihood σ itself: it has no closed form, but solves mean[(r/σ) tanh(r/2σ)] = 1, here by
        Newton's method in ln σ from the moment estimate (converges quadratically; 6 steps reach float32 accuracy)."""
        shape = [1 if axis in over else size for axis, size in enumerate(residual.shape)]
        log_s = 0.5 * torch.log(residual.square().mean(over) * (3 / torch.pi**2))
        for _ in range(6):
            z = residual * torch.exp(-log_s).reshape(shape)
            t = torch.tanh(0.5 * z)
            gap = (z * t).mean(over) - 1
            slope = -(z * t + 0.5 * z.square() * (1 - t.square())).mean(over)
            log_s = log_s - gap / slope
        return torch.exp(log_s)

    def _log_sigma(self, statistic: Tensor) -> Tensor:
        return torch.log(statistic)

    def oracle(self, raw: Tensor) -> Any:
        """The scipy distribution, elementwise [..., D], that it must agree with."""
        from scipy import stats

        loc, log_scale = self._split(raw)
        return stats.logistic(loc.detach().numpy(), log_scale.detach().exp().numpy())
