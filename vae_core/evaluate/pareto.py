"""Pareto k̂: the shape of the tail of importance weights, and with it whether their mean can be trusted.

The largest weights above a threshold follow a generalised Pareto distribution, whose shape k says how many moments the
weights have: k < ½ a variance, k < 1 a mean. From L weights, the estimate is reliable where k̂ < min(1 − 1/log10 L, 0.7)
(Vehtari, Simpson, Gelman, Yao & Gabry 2024, Pareto smoothed importance sampling, JMLR 25:72, eq. 13).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: the tail holds at most so many weights, so that memory does not depend on L (3√L reaches it at L = 7,282)
TAIL_AT_MOST = 256
#: at least so many of the largest weights enter the jackknife one by one
ONE_BY_ONE = 64
#: with fewer weights in the tail no shape is fitted
TAIL_AT_LEAST = 5
#: the fit's prior: k = ½, with the weight of so many observations (Vehtari et al. 2024, appendix G)
_PRIOR_SHAPE, _PRIOR_WEIGHT = 0.5, 10
#: numbers of the fit held at once
_AT_ONCE = 1 << 18


def tail_length(samples: int) -> int:
    """How many of L weights make up the tail: min(0.2 L, 3 √L), at most TAIL_AT_MOST (Vehtari et al. 2024, eq. 10)."""
    return min(int(min(0.2 * samples, 3 * math.sqrt(samples))), TAIL_AT_MOST)


def khat_threshold(samples: int) -> float:
    """Above it k̂ is bad for L samples: min(1 − 1/log10 L, 0.7)."""
    return min(1 - 1 / math.log10(samples), 0.7) if samples > 1 else -math.inf


def pareto_khat(log_weights: Tensor) -> Tensor:
    """k̂ from the largest log weights and the one below them: [..., T + 1] in any order -> [...], float64.

    The fit of Zhang & Stephens (2009, Technometrics 51:316) with the prior of Vehtari et al. (2024). Only ratios of the
    weights matter, not their scale. NaN with fewer than TAIL_AT_LEAST weights above the lowest (too few to say), 0
    where all weights are equal to rounding (no tail at all).
    """
    ordered = log_weights.double().sort(-1).values
    relative = torch.exp(ordered - ordered[..., -1:])
    excess = relative[..., 1:] - relative[..., :1]
    count = excess.shape[-1]
    if count < TAIL_AT_LEAST:
        return torch.full_like(ordered[..., 0], math.nan)
    flat = excess[..., -1] < 1e-12
    spread = torch.linspace(0.1, 1, count, dtype=excess.dtype, device=excess.device)  # for what has none, unused
    excess = torch.where(flat.unsqueeze(-1), spread, excess)

    # a grid of candidates for b = −k/σ, and each one's profile likelihood as its weight
    candidates = 30 + int(math.sqrt(count))
    steps = torch.arange(1, candidates + 1, dtype=torch.float64, device=excess.device) - 0.5
    quartile = excess[..., int(count / 4 + 0.5) - 1, None].clamp(min=1e-300)
    b = (1 - torch.sqrt(candidates / steps)) / (3 * quartile) + 1 / excess[..., -1:]
    at_once = max(1, _AT_ONCE // max(1, excess.numel()))
    shape = torch.cat(
        [torch.log1p(-some.unsqueeze(-1) * excess.unsqueeze(-2)).mean(-1) for some in b.split(at_once, -1)], -1
    )
    profile = count * (torch.log(-b / shape) - shape - 1)
    weight = torch.softmax(profile, -1)
    best = (b * torch.where(weight < 10 * torch.finfo(torch.float64).eps, 0.0, weight)).sum(-1, keepdim=True)
    k = torch.log1p(-best * excess).mean(-1)
    k = (count * k + _PRIOR_WEIGHT * _PRIOR_SHAPE) / (count + _PRIOR_WEIGHT)
    return torch.where(flat, 0.0, k)


class Tail:
    """The largest of a stream of log weights [..., c], and what must be known of the rest for a jackknife.

    `top` holds the `capacity` largest; what falls out of it is summed in its first three powers.
    """

    def __init__(self, samples: int, like: Tensor) -> None:
        """For a stream of L = samples weights for each element of `like` [...]."""
        self.samples = samples
        self.capacity = min(max(tail_length(samples) + 1, ONE_BY_ONE), samples)
        self._held = like.new_empty((*like.shape, 0), dtype=torch.float64)
        self._peak = torch.full_like(like, -math.inf, dtype=torch.float64)
        self._powers = [torch.zeros_like(like, dtype=torch.float64) for _ in range(3)]  # relative to the peak

    def push(self, log_weights: Tensor) -> None:
        """Takes ln w [..., c], c of any size."""
        self._held = torch.cat([self._held, log_weights.double()], -1)
        if self._held.shape[-1] > self.capacity + 256:
            self._settle()

    def _settle(self) -> None:
        """Keeps the largest, sums up the rest."""
        if self._held.shape[-1] <= self.capacity:
            return
        top = self._held.topk(self.capacity, -1, sorted=False)
        rest = self._held.scatter_(-1, top.indices, -math.inf)
        self._held = top.values
        peak = torch.maximum(self._peak, rest.amax(-1))
        finite = torch.where(torch.isfinite(peak), peak, 0.0)
        past, now = torch.exp(self._peak - finite), torch.exp(rest - finite.unsqueeze(-1))
        self._peak = peak
        powers = (now, now * now, now * now * now)
        self._powers = [
            before * past**order + power.sum(-1)
            for order, (before, power) in enumerate(zip(self._powers, powers, strict=True), start=1)
        ]

    def khat(self) -> Tensor:
        """k̂ of the weights so far, [...]."""
        self._settle()
        tail = min(tail_length(self.samples) + 1, self._held.shape[-1])
        return pareto_khat(self._held.topk(tail, -1).values)

    def jackknife(self) -> Tensor:
        """The bound without its bias of order 1/L: L ln w̄ − (L−1) mean_i ln w̄₋ᵢ, [...], nats, no bound any more
        (Nowozin 2018, Debiasing evidence approximations, eq. 8 with m = 1); NaN for one weight.

        ln w̄₋ᵢ − ln w̄ = ln(1 − wᵢ/Σw) − ln(1 − 1/L): the largest weights one by one, the rest, each below 1/capacity of
        the sum, by the series of the logarithm to its third power (error below ¼ capacity⁻³, 1e-6 nats).
        """
        if self.samples == 1:
            return torch.full_like(self._peak, math.nan)
        self._settle()
        rest = self._peak + torch.log(self._powers[0])
        total = torch.logaddexp(self._held.logsumexp(-1), rest)
        largest, others = self._held.max(-1, keepdim=True), self._held
        without = others.scatter(-1, largest.indices, -math.inf).logsumexp(-1)
        without_largest = torch.logaddexp(without, rest) - total
        shares = torch.exp(others - total.unsqueeze(-1)).scatter(-1, largest.indices, 0.0)
        log_left = torch.log1p(-shares).sum(-1) + without_largest
        share = torch.exp(self._peak - total)
        share = torch.where(torch.isfinite(share), share, 0.0)
        for order, power in enumerate(self._powers, start=1):
            log_left = log_left - power * share**order / order
        count = self.samples
        bound = total - math.log(count)
        return bound - (count - 1) * (log_left / count - math.log1p(-1 / count))
