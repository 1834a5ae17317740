"""Kumaraswamy on [0, 1]: p(x|z) = a b x^{a−1} (1 − x^a)^{b−1}, with the closed CDF F(x) = 1 − (1 − x^a)^b.

It has the shapes of the beta distribution (bells, slopes, U), and bins that are exact without an incomplete beta
function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods._base import Card, Density, Layout
from vae_core.likelihoods._log1mexp import log1mexp, log1mexp_of_exp, log_log1pexp
from vae_core.likelihoods._logspace import choose
from vae_core.likelihoods._parameters import Parameters, as_it_is, positive, together

if TYPE_CHECKING:
    from torch import Tensor

#: a stays within e^{±7}, b within e^{±60}, so that b E below and its sum over an image are numbers in float32. A bell
#: of width w at x needs a = 1.3 x/w and b = x^{−a}: at the worst place, x = 1/e, the narrowest has w = 2/256.
_WIDEST_A, _WIDEST_B = 7.0, 60.0


class Kumaraswamy(Density):
    """A density on the unit interval in each dimension; both shapes in log space (Wasserman & Mateos 2024, Stabilizing
    the Kumaraswamy Distribution)."""

    view = "unit"
    card = Card(
        title="Kumaraswamy",
        summary="The shapes of a beta distribution with a CDF in closed form: bells, slopes and U on [0, 1].",
        formula="ln p(x|z) = ln a + ln b + (a−1) ln x + (b−1) ln(1 − x^a)",
        support="[0, 1] (view unit: dequantised levels (k+u)/K)",
        parameters="2 D outputs r, t: ln a = 7 tanh(r/7), ln b = 60 tanh(t/60) (at 0 it is uniform)",
        source="Kumaraswamy 1980, A generalized probability density function for double-bounded random processes",
        users="stick-breaking VAEs (Nalisnick & Smyth 2017), where a reparametrised beta is wanted",
    )

    def outputs(self, dims: int) -> int:
        return 2 * dims

    def layout(self) -> Layout:
        lines = (
            f"log_a = {_WIDEST_A:g} * torch.tanh(raw[..., :D] / {_WIDEST_A:g})",
            f"log_b = {_WIDEST_B:g} * torch.tanh(raw[..., D:] / {_WIDEST_B:g})",
        )
        return Layout(lines, (("log_a", "a"), ("log_b", "b")))

    def _split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """raw [..., 2 D] -> ln a, ln b, each [..., D]."""
        first, second = raw.chunk(2, dim=-1)
        return _WIDEST_A * torch.tanh(first / _WIDEST_A), _WIDEST_B * torch.tanh(second / _WIDEST_B)

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        """x is kept off 0 and 1, where the density is 0 or ∞: u = 0 is drawn once in 2²⁴ at float32, and stands for the
        numbers between 0 and the least one; likewise 1 for those that round to it."""
        log_a, log_b = self._split(raw)
        a = torch.exp(log_a)
        info = torch.finfo(raw.dtype)
        log_x = torch.log(x.to(raw.dtype).clamp(info.tiny, 1 - info.eps / 2))
        rest = log1mexp(a * log_x)
        return (log_a + log_b + (a - 1) * log_x + torch.expm1(log_b) * rest).sum(-1)

    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        """With E(x) = −ln(1 − x^a), the survival 1 − F(x) is e^{−b E(x)}, and the mass of the bin [x, y]

            e^{−b E(x)} (1 − e^{−b (E(y)−E(x))}),   E(y) − E(x) = ln(1 + y^a (1 − (x/y)^a)/(1 − y^a)):

        no difference of near-equal numbers, and each factor's logarithm alone. The last bin's mass is its survival.
        """
        log_a, log_b = self._split(raw)
        a = torch.exp(log_a)
        k = k.to(raw.dtype)
        start = k == 0
        last = k == levels - 1
        # stand-ins for ln 0 = −∞, whose x^a is 0 at any a, and for the last bin's y = 1, whose term is masked
        far = 1e30
        log_low = torch.log(k.clamp(min=1) / levels) - far * start
        log_high = torch.log((k + 1).clamp(max=levels - 1) / levels)
        log_ratio = -torch.log1p(1 / k.clamp(min=1)) - far * start

        survival = torch.exp(log_b) * log1mexp(a * log_low)
        step = a * log_high + log1mexp(a * log_ratio) - log1mexp(a * log_high)
        within = log1mexp_of_exp(log_b + log_log1pexp(step))
        return survival + ~last * within

    def raw(self, **parameters: Any) -> Tensor:
        """Raw outputs [..., 2 D] of `a` or `log_a`, and `b` or `log_b`, each [..., D]. Raises ValueError for an unknown
        or missing parameter, and where |ln a| is not below 7, or |ln b| below 60."""
        given = Parameters(self.name, parameters)
        log_a, log_b = together(
            a=given.need(a=positive("a"), log_a=as_it_is), b=given.need(b=positive("b"), log_b=as_it_is)
        )
        given.done()
        parts = []
        for name, value, widest in (("a", log_a, _WIDEST_A), ("b", log_b, _WIDEST_B)):
            if not bool((value.abs() < widest).all()):
                raise ValueError(
                    f"ln {name} must lie strictly within ±{widest:g}, given up to {float(value.abs().max()):g}"
                )
            parts.append(widest * torch.atanh(value / widest))
        return torch.cat(parts, -1)

    def mean(self, raw: Tensor) -> Tensor:
        """b B(1 + 1/a, b) = Γ(1+c) Γ(1+b)/Γ(1+b+c), c = 1/a. In float64; the ratio of the last two by lgamma up to
        b = 1000, beyond by Stirling's series with ln(1 + c/b), since the two would agree in all digits."""
        log_a, log_b = (part.double() for part in self._split(raw))
        c, b = torch.exp(-log_a), torch.exp(log_b)

        def small() -> Tensor:
            y = 1 + b.clamp(max=2e3)
            return torch.lgamma(y) - torch.lgamma(y + c)

        def large() -> Tensor:
            y = 1 + b.clamp(min=500)
            curved = c - (y - 0.5) * torch.log1p(c / y)
            return curved - c * torch.log(y + c) + (1 / y - 1 / (y + c)) / 12

        return torch.exp(torch.lgamma(1 + c) + choose(b > 1e3, large, small)).to(raw.dtype)

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """By the inverse CDF, x = (1 − (1−u)^{1/b})^{1/a}, with −ln(1−u) an exponential draw."""
        log_a, log_b = self._split(raw)
        u = torch.rand(log_a.shape, generator=generator, dtype=raw.dtype, device=raw.device)
        info = torch.finfo(raw.dtype)
        z = torch.log1p(-u) * torch.exp(-log_b)
        return torch.exp(log1mexp(z.clamp(max=-info.tiny)) * torch.exp(-log_a))
