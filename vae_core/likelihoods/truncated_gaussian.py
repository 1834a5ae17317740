"""Gaussian truncated to [0, 1]: ln p(x|z) = −½ ((x−μ)/σ)² − ln σ − ½ ln 2π − ln[Φ((1−μ)/σ) − Φ(−μ/σ)] per dimension.

Every logarithm here is taken over the peak of its interval: with q(x) = e^{−((x−μ)² − (p−μ)²)/(2σ²)}, p the point of
[0, 1] nearest to μ, ln p(x|z) = ln q(x) − ln ∫₀¹ q, which holds for μ far outside [0, 1], where Φ(b) − Φ(a) vanishes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods._base import Card, Density, Layout
from vae_core.likelihoods._location_scale import LINKS, checked_link
from vae_core.likelihoods._parameters import SIGMA, Parameters, as_it_is, one_sigma, probability
from vae_core.likelihoods._scale import Scale, make_scale
from vae_core.likelihoods.gaussian import Gaussian

if TYPE_CHECKING:
    from torch import Tensor

#: halvings of [0, 1] in `sample`: 2⁻⁵⁰ lies far below the narrowest σ
_HALVINGS = 50


class TruncatedGaussian(Density):
    """A Gaussian conditioned on lying in [0, 1], in each dimension.

    Args:
        sigma: the scale before truncation: a number > 0, or "shared", "image", "pixel".
        link: how the location μ follows from its raw output: "identity" (the default; μ may lie outside [0, 1], which
            gives one-sided shapes) or "sigmoid" (μ in (0, 1)).
        levels: K, the data's number of levels: a learned σ then stays above a 64th of a bin, 1/(64 K); without it above
            2.4e-7, that of K = 65,536.

    Raw outputs: as of a Gaussian; `raw(mean=…, sigma=…)` makes them, of μ and σ before truncation.

    Raises:
        ValueError: a scale, a link or levels that are none of these; sigma="optimal".
    """

    view = "unit"
    takes_sigma = True
    sigma_modes = ("shared", "image", "pixel")
    examples = ({}, {"link": "sigmoid"})
    card = Card(
        title="truncated Gaussian",
        summary="A Gaussian that knows that pixels end at 0 and 1: what lies outside is cut off and the rest rescaled.",
        formula="ln p(x|z) = −(x−μ)²/(2σ²) − ln σ − ½ ln 2π − ln[Φ((1−μ)/σ) − Φ(−μ/σ)]",
        support="[0, 1] (view unit: dequantised levels (k+u)/K)",
        parameters="μ: D outputs; σ: a number, or learned (shared, image: +1 output, pixel: +D outputs)",
        source="Johnson, Kotz & Balakrishnan 1994, Continuous Univariate Distributions 1, ch. 13, section 10.1",
        users="those who find a Gaussian's mass outside [0, 1] wasted; a baseline for the continuous Bernoulli",
    )
    _gaussian = Gaussian.described(1.0)

    def __init__(self, sigma: float | str = "shared", link: str = "identity", levels: int | None = None) -> None:
        if sigma == "optimal":
            raise ValueError(
                "sigma='optimal' has no closed form for a Gaussian truncated to [0, 1]: take sigma='shared', which "
                "learns the same scalar by gradient"
            )
        self.scale: Scale = make_scale(sigma, levels)
        self.levels = levels
        self.link = checked_link(link)

    def outputs(self, dims: int) -> int:
        return self.scale.outputs(dims)

    def layout(self) -> Layout:
        return self.scale.layout("μ before truncation, in units of the data's range", self.link)

    def _split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """raw [..., R] -> location μ [..., D] behind the link, and ln σ, broadcastable against it."""
        linear, log_scale = self.scale.split(raw)
        return LINKS[self.link](linear), log_scale

    def _log_area(self, low: Tensor | float, high: Tensor | float, loc: Tensor, log_scale: Tensor) -> Tensor:
        """ln ∫ over [low, high] of e^{−((x−μ)² − (p−μ)²)/(2σ²)} dx/σ, p the interval's own point nearest to μ."""
        inverse = torch.exp(-log_scale)
        width = high - low if isinstance(low, torch.Tensor) else loc.new_full((), float(high - low))  # no copy to a GPU
        middle, half = (0.5 * (low + high) - loc) * inverse, 0.5 * width * inverse
        outside = torch.maximum(low - loc, loc - high) * inverse
        return self._gaussian._log_interval(middle, half, torch.log(width) - log_scale, edge=outside)

    def _log_fall(self, x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
        """ln q(x): −((x−μ)² − (p−μ)²)/(2σ²) as a product, no difference of large squares."""
        peak = loc.clamp(0, 1)
        inverse = torch.exp(-log_scale)
        return ((peak - x) * inverse) * (((x - loc) + (peak - loc)) * (0.5 * inverse))

    def _log_share(self, low: Tensor, high: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
        """ln P(low < x < high), elementwise, 0 ≤ low < high ≤ 1."""
        peak = torch.minimum(torch.maximum(loc, low), high)
        area = self._log_area(low, high, loc, log_scale)
        return self._log_fall(peak, loc, log_scale) + area - self._log_area(0.0, 1.0, loc, log_scale)

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        loc, log_scale = self._split(raw)
        per_dim = self._log_fall(x, loc, log_scale) - (self._log_area(0.0, 1.0, loc, log_scale) + log_scale)
        return per_dim.sum(-1)

    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        loc, log_scale = self._split(raw)
        k = k.to(loc.dtype)
        return self._log_share(k / levels, (k + 1) / levels, loc, log_scale)

    def mean(self, raw: Tensor) -> Tensor:
        """μ + σ (φ(a) − φ(b))/(Φ(b) − Φ(a)) (Johnson et al. 1994, ch. 13), for the mirror image with μ ≤ ½.

        In float64, since μ and what is added to it cancel where μ lies many σ outside [0, 1].
        """
        loc, log_scale = (part.double() for part in self._split(raw))
        mirrored = torch.minimum(loc, 1 - loc)
        variance = torch.exp(2 * log_scale)
        fall = torch.exp(-0.5 * mirrored.clamp(min=0).square() / variance)
        drop = -torch.expm1((mirrored - 0.5) / variance)
        area = torch.exp(self._log_area(0.0, 1.0, mirrored, log_scale))
        mean = (mirrored + torch.exp(log_scale) * fall * drop / area).clamp(0, 1)
        return torch.lerp(mean, 1 - mean, (loc > 0.5).double()).to(raw.dtype)

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """By the inverse CDF: halving of [0, 1] on ln F(x) = ln u, in float64."""
        loc, log_scale = (part.detach().double() for part in self._split(raw))
        u = torch.rand(loc.shape, generator=generator, dtype=raw.dtype, device=raw.device).double()
        log_u = torch.log(u.clamp(min=torch.finfo(raw.dtype).tiny))
        low, step = torch.zeros_like(loc), 1.0
        for _ in range(_HALVINGS):
            step *= 0.5
            below = self._log_share(torch.zeros_like(low), low + step, loc, log_scale) < log_u
            low = low + step * below
        return low.to(raw.dtype)

    def sigma_in_use(self, raw: Tensor) -> Tensor | None:
        return torch.exp(self.scale.split(raw)[1].detach()).mean()

    def raw(self, **parameters: Any) -> Tensor:
        """Raw outputs [..., R] of `mean`, the location μ before truncation [..., D], and where the decoder gives σ one
        of `sigma`, `log_sigma`, `variance`, `log_variance`, before truncation too. Raises ValueError as a Gaussian's
        does."""
        given = Parameters(self.name, parameters)
        location = given.need(mean=as_it_is if self.link == "identity" else probability("mean"))
        log_sigma = given.one(SIGMA, needed=False)
        given.done()
        return self.scale.join(location, log_sigma)

    def set_sigma(self, sigma: float | Tensor) -> None:
        self.scale.set_log(one_sigma(sigma))

    def oracle(self, raw: Tensor) -> Any:
        """The scipy distribution, elementwise [..., D], that it must agree with."""
        from scipy import stats

        loc, log_scale = self._split(raw)
        mu, sigma = loc.detach().numpy(), log_scale.detach().exp().numpy()
        return stats.truncnorm(-mu / sigma, (1 - mu) / sigma, mu, sigma)
