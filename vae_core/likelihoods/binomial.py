"""Binomial: the level as the number of heads in K−1 throws of one coin, ln P(k|z) = ln C(n,k) + k η − n ln(1 + e^η)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods._base import Card, Layout
from vae_core.likelihoods._integers import IntegerMass
from vae_core.likelihoods._parameters import Parameters, as_it_is, probability
from vae_core.likelihoods._raw import logits

if TYPE_CHECKING:
    from torch import Tensor

#: beyond it e^d nears float32's overflow (e^88), and ln(1 + q (e^d − 1)) is d + ln q to the last digit
_STEEPEST = 60.0


class Binomial(IntegerMass):
    __doc__ = IntegerMass.__doc__
    card = Card(
        title="binomial",
        summary="Heads in K−1 throws of one coin: one output sets the mean and the width, which it cannot choose.",
        formula="ln P(k|z) = ln C(n,k) + k η − n ln(1 + e^η), n = K−1",
        support="the integers 0…K−1 (view levels)",
        parameters="η (logits, mean n/(1+e^{−η})): D outputs",
        source="BCE on grey pixels, times K−1, with its normaliser ln C(n,k): the probability that it stands for",
        users="count data of a known total; grey images read as counts of 255 throws",
    )

    def outputs(self, dims: int) -> int:
        return dims

    def layout(self) -> Layout:
        return logits("the coin's chance")

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        return binomial_log_masses(k, raw, self.levels)

    def raw(self, **parameters: Any) -> Tensor:
        """Raw outputs [..., D] of `logits` η or of `probs`, the coin's, each [..., D].

        Raises ValueError for an unknown or missing parameter, and for a probability outside of (0, 1).
        """
        given = Parameters(self.name, parameters)
        logits = given.need(logits=as_it_is, probs=probability("probs"))
        given.done()
        return logits

    def mean(self, raw: Tensor) -> Tensor:
        return (self.levels - 1) * torch.sigmoid(raw)

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        throws = torch.full_like(raw, self.levels - 1)
        return torch.binomial(throws, torch.sigmoid(raw), generator=generator)

    def oracle(self, raw: Tensor) -> Any:
        """The scipy distribution, elementwise [..., D], that it must agree with."""
        from scipy import stats

        return stats.binom(self.levels - 1, torch.sigmoid(raw.detach()).numpy())


def binomial_log_masses(k: Tensor, raw: Tensor, levels: int) -> Tensor:
    """ln P(k) of each dimension: k [..., D] in 0…levels−1, logits raw [..., D] -> [..., D], nats.

    About the logit θ at which the level is most likely (the deviance form of C. Loader 2000, Fast and accurate
    computation of binomial probabilities): with q = e^θ/(1 + e^θ) = k/n and d = η − θ,

        ln P(k) = [ln C(n,k) + k ln q + (n−k) ln(1−q)] + k d − n ln(1 + q (e^d − 1)).

    The plain formula is a difference of hundreds of nats, and its 256 masses in float32 sum to 1 ± 1.5e-5; these to
    1 ± 5e-7. By symmetry the rarer of heads and tails is counted, j = min(k, n−k) with the sign of η turned, so
    that j d cancels nothing. The identity holds for any q: where j = 0 it is ½/n, for θ to be finite.
    """
    n = levels - 1
    level, k = k.long(), k.to(raw.dtype)
    rarer = torch.minimum(k, n - k)
    turned = 1 - 2 * (k > n / 2).to(raw.dtype)
    q = rarer.clamp(min=0.5) / n
    d = turned * raw - torch.logit(q)
    growth = torch.log1p(q * torch.expm1(d.clamp(max=_STEEPEST))) + (d - _STEEPEST).clamp(min=0)
    per_dim = rarer * d - n * growth
    return per_dim + _log_at_best(levels, raw)[level]


def _log_at_best(levels: int, like: Tensor) -> Tensor:
    """ln C(n,k) + j ln q + (n−j) ln(1−q) of every level, [K]: in float64, since ln C(255,127) = 173."""
    n = levels - 1
    k = torch.arange(levels, dtype=torch.float64, device=like.device)
    j = torch.minimum(k, n - k)
    q = j.clamp(min=0.5) / n
    log_choose = torch.lgamma(k[-1] + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
    return (log_choose + j * torch.log(q) + (n - j) * torch.log1p(-q)).to(like.dtype)
