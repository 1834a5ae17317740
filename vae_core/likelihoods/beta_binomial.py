"""Beta-binomial: heads in n = K−1 throws of a coin whose bias is itself drawn, from a beta distribution.

With mean μ and concentration s (α = s μ, β = s (1−μ)),

    P(k|z) = C(n,k) (α)_k (β)_{n−k} / (s)_n,    (x)_k = x (x+1) … (x+k−1) = Γ(x+k)/Γ(x).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods._base import Card, Layout
from vae_core.likelihoods._integers import IntegerMass
from vae_core.likelihoods._parameters import Parameters, positive, together

if TYPE_CHECKING:
    from torch import Tensor

#: s stays within 2 e^{±10}, 1e-4 to 4e4. At the upper end 255 throws are a binomial's to 1e-5 nats on the average, at
#: the lower all but 3e-4 of the mass is on the two end levels; between them float32 holds the formula below to 2e-5 of
#: its value.
_WIDEST = 10.0


class BetaBinomial(IntegerMass):
    __doc__ = IntegerMass.__doc__
    card = Card(
        title="beta-binomial",
        summary="A binomial with a width of its own: U-shaped, flat or a bell over the levels, with two outputs.",
        formula="ln P(k|z) = ln C(n,k) + ln B(k+α, n−k+β) − ln B(α, β), n = K−1, α = s μ, β = s (1−μ)",
        support="the integers 0…K−1 (view levels)",
        parameters="2 D outputs: η, the logit of μ; r, with ln s = ln 2 + 10 tanh(r/10) (at 0 all levels are alike)",
        source="Skellam 1948, A probability distribution derived from the binomial distribution; here by mean and s",
        users="over-dispersed counts of a known total; bits-back compression of grey MNIST (Townsend et al. 2019)",
    )

    def outputs(self, dims: int) -> int:
        return 2 * dims

    def layout(self) -> Layout:
        lines = (
            "eta, r = raw[..., :D], raw[..., D:]",
            f"s = 2 * torch.exp({_WIDEST:g} * torch.tanh(r / {_WIDEST:g}))",
            "alpha, beta = s * torch.sigmoid(eta), s * torch.sigmoid(-eta)",
        )
        return Layout(lines, (("alpha",), ("beta",)))

    def _split(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """raw [..., 2 D] -> ln μ, ln(1−μ), ln s, each [..., D]."""
        logit, width = raw.chunk(2, dim=-1)
        logsigmoid = torch.nn.functional.logsigmoid
        return logsigmoid(logit), logsigmoid(-logit), math.log(2) + _WIDEST * torch.tanh(width / _WIDEST)

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        """Without a difference of large numbers, which lgamma would give (6 digits lost at s = 4e4).

        1. The first factor of each (x)_k is taken out, in log space, since α or β may be e^{−50}: with i = [k > 0] and
           j = [k < n], (α)_k = α^i (α+i)_{k−i}, and likewise for β and s. What remains has arguments a, b, c of 1 or
           more, or no factor.
        2. By Stirling, ln Γ(x) = (x−½) ln x − x + ½ ln 2π + ε(x). With A = a + k', B = b + k'', C = A + B (k' and k''
           the heads and tails that remain), the terms x ln x of the six gamma functions are those of two divergences,
           of the throws and of (a, b), from their common mean A/C. All four are x ln(1 ± Δ/x), Δ = (k' b − k'' a)/C.
        """
        n = self.levels - 1
        level, k = k.long(), k.to(raw.dtype)
        log_mean, log_rest, log_total = self._split(raw)
        i, j = (k > 0).to(raw.dtype), (k < n).to(raw.dtype)
        heads, tails = k - i, n - k - j
        first = i * log_mean + j * log_rest + i * j * torch.nn.functional.logsigmoid(log_total)

        least = torch.finfo(raw.dtype).tiny ** 0.75  # a divisor: only ever one where nothing remains to be multiplied
        a = torch.exp(log_mean + log_total).clamp(min=least) + i
        b = torch.exp(log_rest + log_total).clamp(min=least) + j
        a_end, b_end, total = a + heads, b + tails, a + b
        end = a_end + b_end
        delta = (heads * b - tails * a) / end
        divergences = _moved(heads, -delta, heads.clamp(min=1)) + _moved(tails, delta, tails.clamp(min=1))
        divergences = divergences + _moved(a, delta, a) + _moved(b, -delta, b)
        roots = -0.5 * torch.log((a_end / a) * (b_end / b) * (total / end))
        starts = _stirling_error(a) + _stirling_error(b) + _stirling_error(end)
        ends = _stirling_error(a_end) + _stirling_error(b_end) + _stirling_error(total)
        per_dim = first + divergences + roots + (ends - starts)
        return per_dim + self._log_of_level(raw)[level]

    def _log_of_level(self, like: Tensor) -> Tensor:
        """ln C(n,k) + k' ln(k'/n') + k'' ln(k''/n') of every level, [K], with n' = k' + k''; in float64."""
        n = self.levels - 1
        k = torch.arange(self.levels, dtype=torch.float64, device=like.device)
        heads, tails = (k - 1).clamp(min=0), (n - k - 1).clamp(min=0)
        log_choose = torch.lgamma(k[-1] + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
        both = (heads + tails).clamp(min=1)
        return (log_choose + torch.xlogy(heads, heads / both) + torch.xlogy(tails, tails / both)).to(like.dtype)

    def raw(self, **parameters: Any) -> Tensor:
        """Raw outputs [..., 2 D] of `alpha` and `beta`, each [..., D]. Raises ValueError for an unknown or missing
        parameter, one that is not > 0, and a sum α + β outside of 2 e^{±10}."""
        given = Parameters(self.name, parameters)
        log_alpha, log_beta = together(
            alpha=given.need(alpha=positive("alpha")), beta=given.need(beta=positive("beta"))
        )
        given.done()
        excess = torch.logaddexp(log_alpha, log_beta) - math.log(2)
        if not bool((excess.abs() < _WIDEST).all()):
            raise ValueError(f"alpha + beta must lie strictly within 2 e^±{_WIDEST:g} (9.1e-5 to 4.4e4)")
        width = _WIDEST * torch.atanh(excess / _WIDEST)
        return torch.cat([log_alpha - log_beta, width], -1)

    def mean(self, raw: Tensor) -> Tensor:
        return (self.levels - 1) * torch.exp(self._split(raw)[0])

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Pólya's urn, exact at any α and β: throw t is heads with probability (α + heads so far)/(s + t)."""
        log_mean, _, log_total = self._split(raw)
        mean, total = torch.exp(log_mean), torch.exp(log_total)
        heads = torch.zeros_like(mean)
        for throw in range(self.levels - 1):
            u = torch.rand(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
            heads = heads + (u * (total + throw) < mean * total + heads).to(mean.dtype)
        return heads

    def oracle(self, raw: Tensor) -> Any:
        """The scipy distribution, elementwise [..., D], that it must agree with."""
        from scipy import stats

        log_mean, log_rest, log_total = self._split(raw.detach())
        return stats.betabinom(
            self.levels - 1, torch.exp(log_mean + log_total).numpy(), torch.exp(log_rest + log_total).numpy()
        )


def _moved(x: Tensor, by: Tensor, divisor: Tensor) -> Tensor:
    """x ln(1 + by/x); `divisor` is x, or 1 where x = 0."""
    return x * torch.log1p(by / divisor)


#: numerator and denominator in t = 1/x, lowest power first: the rational function that meets ε(1/t)/t at the Chebyshev
#: nodes of [0, 1], where it is off by less than 2e-11
_UPPER = (0.0, 0.083333333150485262, 0.14420339014036206, 0.12895592548122806, 0.043164712144343797, 1.1991380225714e-3)
_LOWER = (1.0, 1.730440321048958, 1.5808147596936573, 0.57553776008180261, 0.058300244332281911)


def _stirling_error(x: Tensor) -> Tensor:
    """ε(x) = ln Γ(x) − (x−½) ln x + x − ½ ln 2π, about 1/(12 x), for x ≥ 1; below, what it is at 1.

    The derivative is given by hand, as a line through the value: autograd would keep twenty tensors of the size of x.
    """
    with torch.no_grad():
        t = 1 / x.clamp(min=1)
        lower = _polynomial(_LOWER, t)
        value = _polynomial(_UPPER, t) / lower
        if not x.requires_grad:
            return value
        slope = (_polynomial(_derived(_UPPER), t) - value * _polynomial(_derived(_LOWER), t)) / lower
        slope *= -t.square() * (x >= 1)
    return value + slope * (x - x.detach())


def _polynomial(coefficients: Sequence[float], t: Tensor) -> Tensor:
    """By Horner's rule, in one buffer."""
    total = t * coefficients[-1]
    for coefficient in reversed(coefficients[1:-1]):
        total.add_(coefficient).mul_(t)
    return total.add_(coefficients[0])


def _derived(coefficients: Sequence[float]) -> list[float]:
    return [power * coefficient for power, coefficient in enumerate(coefficients)][1:]
