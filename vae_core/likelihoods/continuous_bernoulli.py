"""Continuous Bernoulli on [0, 1]: ln p(x|z) = x η − ln ∫₀¹ e^{ηt} dt, η the logit.

The density that BCE on grey pixels leaves unnormalised (Loaiza-Ganem & Cunningham 2019). With c(η) = ln sinhc(η/2),
ln p(x) = η (x − ½) − c(η), which holds through λ = ½ (η = 0) in value and gradient.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods._base import Card, Density, Layout
from vae_core.likelihoods._logspace import langevin, log_sinhc
from vae_core.likelihoods._parameters import Parameters, as_it_is, probability
from vae_core.likelihoods._raw import logits

if TYPE_CHECKING:
    from torch import Tensor


class ContinuousBernoulli(Density):
    """An exponential density on the unit interval in each dimension."""

    view = "unit"
    card = Card(
        title="continuous Bernoulli",
        summary="BCE on grey pixels with the missing normaliser put back: a density on [0,1], monotone in each pixel.",
        formula="ln p(x|z) = η (x − ½) − ln [sinh(η/2) / (η/2)]",
        support="[0, 1] (view unit: dequantised levels (k+u)/K)",
        parameters="η (logits, η = ln λ/(1−λ)): D outputs",
        source="Loaiza-Ganem & Cunningham 2019, The continuous Bernoulli, eqs. 6–8",
        users="those who found that BCE on grey images is no likelihood",
    )

    def outputs(self, dims: int) -> int:
        return dims

    def layout(self) -> Layout:
        return logits("λ, which is not the mean")

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        return (raw * (x - 0.5) - log_sinhc(0.5 * raw)).sum(-1)

    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        middle = (k.to(raw.dtype) + 0.5) / levels - 0.5
        log_width = torch.full((), -math.log(levels), dtype=raw.dtype, device=raw.device)
        return torch.addcmul(log_width, raw, middle) + log_sinhc(raw * (0.5 / levels)) - log_sinhc(0.5 * raw)

    def raw(self, **parameters: Any) -> Tensor:
        """Raw outputs [..., D] of `logits` η or of `probs`, λ (not the mean), each [..., D].

        Raises ValueError for an unknown or missing parameter, and for a probability outside of (0, 1).
        """
        given = Parameters(self.name, parameters)
        logits = given.need(logits=as_it_is, probs=probability("probs"))
        given.done()
        return logits

    def mean(self, raw: Tensor) -> Tensor:
        return 0.5 + 0.5 * langevin(0.5 * raw)

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """By the inverse CDF, ln(1 + u(e^η − 1))/η for η < 0, mirrored for η > 0."""
        u = torch.rand(raw.shape, generator=generator, dtype=raw.dtype, device=raw.device)
        flat = raw.abs() < 1e-4
        slope = torch.where(flat, -torch.ones_like(raw), -raw.abs())
        x = torch.log1p(u * torch.expm1(slope)) / slope
        x = torch.where(flat, u, x)
        return torch.where(raw > 0, 1 - x, x)
