"""Laplace on the real line: ln p(x|z) = −|x−μ|/σ − ln 2σ per dimension."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods._base import Card
from vae_core.likelihoods._location_scale import LocationScale
from vae_core.likelihoods._logspace import choose, choose_above, log_sinhc
from vae_core.numerics.elementwise import log1p

if TYPE_CHECKING:
    from torch import Tensor


class Laplace(LocationScale):
    __doc__ = LocationScale.__doc__
    card = Card(
        title="Laplace",
        summary="Symmetric noise with exponential tails: absolute error weighted by 1/σ; large misses cost little.",
        formula="ln p(x|z) = −|x−μ|/σ − ln 2σ",
        support="the real line (view real: dequantised levels (k+u)/K), whose tails the end bins have",
        parameters="μ: D outputs; σ (the mean absolute deviation): a number, or learned as for the Gaussian",
        source="Laplace 1774; Johnson, Kotz & Balakrishnan 1995, Continuous Univariate Distributions 2, ch. 24",
        users="those who write an L1 reconstruction loss",
    )

    def _log_standard(self, z: Tensor) -> Tensor:
        return -z.abs() - math.log(2)

    def _log_cdf(self, z: Tensor) -> Tensor:
        return choose(z < 0, lambda: z - math.log(2), lambda: log1p(-0.5 * torch.exp(-z.abs())))

    def _log_interval(self, middle: Tensor, half: Tensor, log_width: Tensor) -> Tensor:
        """With a = |middle|: e^{−a} sinh h beside the peak, 1 − ½e^{−(h+a)} − ½e^{−(h−a)} across it."""
        a = middle.abs()

        def across() -> Tensor:
            inner = torch.minimum(a, half)
            mass = -0.5 * (torch.expm1(-(half + inner)) + torch.expm1(inner - half))
            return torch.log(mass.clamp(min=torch.finfo(a.dtype).tiny))

        def beside() -> Tensor:
            return (log_sinhc(half) + log_width - math.log(2)) - a

        return choose(a < half, across, beside)

    def _log_bin(self, middle: Tensor, half: Tensor, log_width: Tensor, opened: Tensor) -> Tensor:
        """The same two, each with the open bins among it: ½ e^{h−middle} beside the peak, 1 − ½ e^{middle−h} across it.
        Across, 1 − e^{−h} cosh(middle) is (1 − e^{−h}) − ½ (e^{(middle−h)/2} − e^{−(middle+h)/2})², whose difference of
        near-equal numbers is squared."""
        closed = 1 - opened

        def across() -> Tensor:
            inner = torch.minimum(middle, half)
            root = torch.exp(0.5 * (inner - half)) - closed * torch.exp(-0.5 * (inner.clamp(min=0) + half))
            mass = (opened - closed * torch.expm1(-half)) - 0.5 * root.square()
            return torch.log(mass.clamp(min=torch.finfo(mass.dtype).tiny))

        def beside() -> Tensor:
            height = torch.lerp(log_sinhc(half) + log_width, half, opened)
            return (height - math.log(2)) - middle

        return choose_above(half - middle, 0.0, across, beside)

    def _log_fall(self, near: Tensor, step: Tensor) -> Tensor:
        return -step

    def _log_area(self, edge: Tensor, half: Tensor, log_width: Tensor) -> Tensor:
        """With l and r what lies on either side of p, ln[(1 − e^{−l}) + (1 − e^{−r})]."""
        left = (-edge).clamp(min=0)
        area = -(torch.expm1(-left) + torch.expm1(left - 2 * half))
        return torch.log(area.clamp(min=torch.finfo(area.dtype).tiny))

    def _standard_sample(self, like: Tensor, generator: torch.Generator | None) -> Tensor:
        u = torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)
        centred = (u - 0.5).clamp(min=-0.5 + torch.finfo(like.dtype).eps)
        return -torch.sign(centred) * torch.log1p(-2 * centred.abs())

    def _statistic(self, residual: Tensor, over: tuple[int, ...]) -> Tensor:
        return residual.abs().mean(over)

    def _log_sigma(self, statistic: Tensor) -> Tensor:
        return torch.log(statistic)

    def oracle(self, raw: Tensor) -> Any:
        """The scipy distribution, elementwise [..., D], that it must agree with."""
        from scipy import stats

        loc, log_scale = self._split(raw)
        return stats.laplace(loc.detach().numpy(), log_scale.detach().exp().numpy())
