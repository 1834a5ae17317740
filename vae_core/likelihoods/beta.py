"""Beta on [0, 1]: ln p(x|z) = (α−1) ln x + (β−1) ln(1−x) − ln B(α, β) per dimension.

Its CDF is the incomplete beta function, which torch has not: see _incomplete_beta for how bins are integrated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods._base import Card, Density, Layout
from vae_core.likelihoods._incomplete_beta import log_bin, log_kernel
from vae_core.likelihoods._parameters import Parameters, as_it_is, together

if TYPE_CHECKING:
    from torch import Tensor

#: α and β stay above this: at 0.02 each end bin of 17 holds 47 % of a U (of 256: 45 %), and half as much adds 1 % to it
FLOOR = 0.02
#: α + β stays below this: a bell in the middle is then 0.4 of an 8-bit level wide, and a density gains nothing by less
CEILING = 1e5


class Beta(Density):
    """A beta density in each dimension, by the logit of (nearly) its mean and the logarithm of its concentration.

    With raw = (η, λ): n = 1/(1/CEILING + e^{−λ}/(2 − 2 FLOOR)), α = FLOOR + n sigmoid(η), β = FLOOR + n sigmoid(−η).
    At 0 it is uniform; α and β ≥ 0.02, α + β ≤ 10⁵.
    """

    view = "unit"
    card = Card(
        title="beta",
        summary="Bells, slopes and U on [0, 1] with mean and concentration free: a pixel may be sure of either end.",
        formula="ln p(x|z) = (α−1) ln x + (β−1) ln(1−x) − ln B(α, β)",
        support="[0, 1] (view unit: dequantised levels (k+u)/K)",
        parameters="2 D outputs η, λ: α, β = 0.02 + n sigmoid(±η), n = 1.96 e^λ below 10⁵ (at 0 it is uniform)",
        source="Johnson, Kotz & Balakrishnan 1995, Continuous Univariate Distributions 2, ch. 25; DLMF 8.17",
        users="VAEs for data in [0, 1], such as methylation fractions and grey values (Loaiza-Ganem & Cunningham 2019)",
    )

    def outputs(self, dims: int) -> int:
        return 2 * dims

    def layout(self) -> Layout:
        lines = (
            "eta, lam = raw[..., :D], raw[..., D:]",
            f"n = 1 / ({1 / CEILING:g} + torch.exp(-lam) / {2 - 2 * FLOOR:g})",
            f"alpha = {FLOOR:g} + n * torch.sigmoid(eta)",
            f"beta = {FLOOR:g} + n * torch.sigmoid(-eta)",
        )
        return Layout(lines, (("alpha",), ("beta",)))

    def _split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """raw [..., 2 D] -> α, β, each [..., D]."""
        mean_logit, log_concentration = raw.chunk(2, dim=-1)
        # e^{−λ} at λ = −60 is a number in float32, and FLOOR is all that is left of α and β
        n = 1 / (1 / CEILING + torch.exp(-log_concentration.clamp(min=-60)) / (2 - 2 * FLOOR))
        return FLOOR + n * torch.sigmoid(mean_logit), FLOOR + n * torch.sigmoid(-mean_logit)

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        """x is kept off 0 and 1, where the density is 0 or ∞: u = 0 is drawn once in 2²⁴ at float32, and stands for the
        numbers between 0 and the least one (so small that any draw lies above it, so large that the gradient's α/x is
        a number); likewise 1 for those that round to it."""
        alpha, beta = self._split(raw)
        info = torch.finfo(alpha.dtype)
        x = x.to(alpha.dtype).clamp(info.tiny / info.eps, 1 - info.eps / 2)
        rest = 1 - x
        return (log_kernel(alpha, beta, x, rest) - torch.log(x) - torch.log(rest)).sum(-1)

    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        alpha, beta = self._split(raw)
        return log_bin(k, alpha, beta, levels)

    def raw(self, **parameters: Any) -> Tensor:
        """Raw outputs [..., 2 D] of `alpha` and `beta`, each [..., D]. Raises ValueError for an unknown or missing
        parameter, and for α or β not above 0.02, or an α + β − 0.04 that is not below 10⁵."""
        given = Parameters(self.name, parameters)
        alpha, beta = together(alpha=given.need(alpha=as_it_is), beta=given.need(beta=as_it_is))
        given.done()
        first, second = alpha - FLOOR, beta - FLOOR
        n = first + second
        if not bool(((first > 0) & (second > 0) & (n < CEILING)).all()):
            raise ValueError(
                f"alpha and beta must be above {FLOOR:g}, and alpha + beta - {2 * FLOOR:g} below {CEILING:g}"
            )
        log_concentration = -torch.log((2 - 2 * FLOOR) * (1 / n - 1 / CEILING))
        return torch.cat([torch.log(first) - torch.log(second), log_concentration], -1)

    def mean(self, raw: Tensor) -> Tensor:
        alpha, beta = self._split(raw)
        return alpha / (alpha + beta)

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """X/(X+Y) of two gamma variables, their logarithms from the shape raised by 1, ln X = ln X' + ln(u)/α (Stuart
        1962): a gamma variable of shape 0.02 itself is 0 in float32 more often than not."""
        alpha, beta = (shape.detach() for shape in self._split(raw))
        u, w = torch.rand((2, *alpha.shape), generator=generator, dtype=raw.dtype, device=raw.device)
        tiny = torch.finfo(raw.dtype).tiny
        log_x = torch.log(torch._standard_gamma(alpha + 1, generator=generator)) + torch.log(u.clamp(min=tiny)) / alpha
        log_y = torch.log(torch._standard_gamma(beta + 1, generator=generator)) + torch.log(w.clamp(min=tiny)) / beta
        return torch.sigmoid(log_x - log_y)

    def oracle(self, raw: Tensor) -> Any:
        """The scipy distribution, elementwise [..., D], that it must agree with."""
        from scipy import stats

        alpha, beta = self._split(raw.detach())
        return stats.beta(alpha.numpy(), beta.numpy())
