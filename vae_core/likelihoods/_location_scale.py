"""Families on the real line with a location and a scale: everything but the standard distribution itself.

With z = (x − μ)/σ, ln p(x) = ln f(z) − ln σ, f the standard density. The mass of level k of K is the integral over its
bin [k/K, (k+1)/K], the first bin open to −∞ and the last to +∞, so that the K masses sum to 1 (docs/RULES.md, rule 2).

With ends = "renormalised" the bins are closed, and each mass is divided by the sum of all: f is truncated to [0, 1].
Every logarithm is then taken over the peak of its interval, p the point of it nearest to μ and P that of [0, 1]:

    ln P(k) = ln f(p)/f(P) + ln ∫_bin f/f(p) − ln ∫_[0,1] f/f(P),

three numbers that stay small and exact where μ lies many σ outside [0, 1] and all masses before division vanish.

It is one file: density, masses, mean and draw of one distribution, with its ends open and closed.
"""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from vae_core.likelihoods._base import Density, Layout
from vae_core.likelihoods._ends import RENORMALISED, checked_ends
from vae_core.likelihoods._logspace import choose
from vae_core.likelihoods._parameters import SIGMA, Parameters, as_it_is, one_sigma, probability
from vae_core.likelihoods._quadrature import gauss_legendre
from vae_core.likelihoods._scale import MODES, Optimal, Scale, _against, make_scale
from vae_core.numerics.visible import beneath_gradients, underived

if TYPE_CHECKING:
    from torch import Tensor

#: the open end of a bin, in units of σ: so far that nothing is left, and its square is a number in float32
BEYOND = 1e18
#: halvings of [0, 1] in a draw from what is truncated to it: 2⁻⁵⁰ lies far below the narrowest σ
_HALVINGS = 50
#: pieces of the way from the peak to an end of [0, 1] over which a truncated mean is taken, each half as long as the
#: next; and nodes in each: to 1e-9 of [0, 1] at σ from 1e-3 on
_PIECES, _NODES = 24, 8

#: a class that defines the first anew does not inherit the second from its base, where it may stand for another first
_DERIVED = (
    ("_log_standard", "_sum_log_standard"),
    ("_log_standard", "_log_prob"),
    ("_sum_log_standard", "_log_prob"),
    ("_log_cdf", "_log_bin"),
    ("_log_interval", "_log_bin"),
    ("_log_bin", "_sum_log_masses"),
    ("binned_log_masses", "_sum_log_masses"),
)

LINKS: dict[str, Callable[[Tensor], Tensor]] = {"identity": lambda raw: raw, "sigmoid": lambda raw: torch.sigmoid(raw)}


def checked_link(link: str) -> str:
    """The link's name; raises ValueError for an unknown one."""
    if link not in LINKS:
        raise ValueError(f"link={link!r} is unknown (allowed: {', '.join(LINKS)})")
    return link


class LocationScale(Density):
    """A symmetric location-scale density on the real line.

    Args:
        sigma: the scale: a number > 0, or "shared", "image", "pixel", "optimal".
        link: how the location μ follows from its raw output: "identity" (the default: a plain linear layer) or
            "sigmoid" (μ in (0, 1), as in Kingma & Welling 2014, appendix C.2, for Frey Faces).
        ends: how far the first and the last bin reach: "open" (the default: to −∞ and +∞, so that they have the whole
            tails) or "renormalised" (to 0 and 1; the masses are divided by their sum over the K bins, the density is
            truncated to [0, 1]).
        levels: K, the data's number of levels: a learned σ then stays above a 64th of a bin, 1/(64 K); without it above
            2.4e-7, that of K = 65,536.

    Raw outputs: the location before its link, [..., D]; then, of sigma="pixel", [..., D] of ln σ, and of
    sigma="image" one, each bent only near that floor (vae_core/likelihoods/_scale.py has the formula). `raw(mean=…,
    sigma=…)` makes them.

    Raises:
        ValueError: a scale, a link, ends or levels that are none of these; sigma="optimal" with ends="renormalised".
    """

    view = "real"
    takes_sigma = True
    sigma_modes: ClassVar[tuple[str, ...]] = MODES
    open_ends = True
    closes_ends = True
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"link": "sigmoid"}, {"ends": RENORMALISED})

    def __init__(
        self,
        sigma: float | str = "shared",
        link: str = "identity",
        ends: str = "open",
        levels: int | None = None,
    ) -> None:
        self.scale: Scale = make_scale(sigma, levels)
        self.levels = levels
        self.link = checked_link(link)
        self.open_ends = checked_ends(ends)
        if sigma == "optimal" and not self.open_ends:
            raise ValueError(
                "sigma='optimal' has no closed form for a density truncated to [0, 1]: take sigma='shared', which "
                "learns the same scalar by gradient, or ends='open'"
            )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for new, derived in _DERIVED:
            if new in vars(cls) and derived not in vars(cls):
                setattr(cls, derived, getattr(LocationScale, derived))

    # -- the standard distribution: what a family is -----------------------------------------------------------------

    @abstractmethod
    def _log_standard(self, z: Tensor) -> Tensor:
        """ln f(z), elementwise."""

    def _sum_log_standard(self, z: Tensor) -> Tensor:
        """Σ_d ln f(z_d): [..., D] -> [...]."""
        return self._log_standard(z).sum(-1)

    @abstractmethod
    def _log_cdf(self, z: Tensor) -> Tensor:
        """ln F(z), elementwise, accurate in the far left tail; by symmetry ln(1 − F(z)) = ln F(−z)."""

    @abstractmethod
    def _log_interval(self, middle: Tensor, half: Tensor, log_width: Tensor) -> Tensor:
        """ln ∫ f over [middle − half, middle + half], elementwise; log_width = ln(2 half)."""

    def _log_fall(self, near: Tensor, step: Tensor) -> Tensor:
        """ln f(near + step) − ln f(near), elementwise, near ≥ 0 and step ≥ 0; a family overrides it where that
        difference of large numbers has a form without."""
        return self._log_standard(near + step) - self._log_standard(near)

    def _log_area(self, edge: Tensor, half: Tensor, log_width: Tensor) -> Tensor:
        """ln ∫ f/f(p) over [edge, edge + 2 half], edge ≥ −half, p its point nearest 0; log_width = ln(2 half). As
        `_log_fall`."""
        return self._log_interval(edge + half, half, log_width) - self._log_standard(edge.clamp(min=0))

    @abstractmethod
    def _standard_sample(self, like: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draws of the standard distribution in the shape of `like`."""

    @abstractmethod
    def _statistic(self, residual: Tensor, over: tuple[int, ...]) -> Tensor:
        """The mean over axes `over` from whose average the maximum-likelihood σ follows."""

    @abstractmethod
    def _log_sigma(self, statistic: Tensor) -> Tensor:
        """ln σ from an average of `_statistic`."""

    # -- what follows from it ----------------------------------------------------------------------------------------

    def outputs(self, dims: int) -> int:
        return self.scale.outputs(dims)

    def layout(self) -> Layout:
        return self.scale.layout("μ, in units of the data's range", self.link)

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        loc, log_scale = self._split(raw)
        return self._log_prob(x, loc, log_scale)

    def _split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """raw [..., R] -> location [..., D] behind the link, and ln σ, broadcastable against it."""
        linear, log_scale = self.scale.split(raw)
        return LINKS[self.link](linear), log_scale

    def _log_prob(self, x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
        if not self.open_ends:
            return self._truncated_log_prob(x, loc, log_scale)
        z = (x - loc) * torch.exp(-log_scale)
        total = self._sum_log_standard(z)
        if log_scale.shape[-1:] == z.shape[-1:] and log_scale.ndim:
            return total - log_scale.sum(-1)
        return total - z.shape[-1] * (log_scale.squeeze(-1) if log_scale.ndim else log_scale)

    def train_log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        """With sigma="optimal": σ is the batch's own maximum-likelihood value, held constant for the gradient in μ
        (the envelope theorem: d max_σ L / dμ = ∂L/∂μ at σ*), and enters the running mean."""
        if not isinstance(self.scale, Optimal):
            return self.log_prob(x, raw)
        loc = LINKS[self.link](raw)
        return self._log_prob(x, loc, self._observed(self.scale, x, loc, self.models))

    def _observed(self, scale: Optimal, x: Tensor, loc: Tensor, models: int | None) -> Tensor:
        """The batch's own ln σ, broadcastable against loc; its residuals enter the running mean."""
        with torch.no_grad():
            statistic = self._statistic_of(x - loc.detach(), models)  # of which no forward derivative is one either
            with beneath_gradients():
                scale.set_log(self._log_sigma(scale.observe(underived(statistic))))
            return _against(self._log_sigma(statistic), loc)

    def _statistic_of(self, residual: Tensor, models: int | None) -> Tensor:
        return self._statistic(residual, tuple(range(0 if models is None else 1, residual.ndim)))

    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        loc, log_scale = self._split(raw)
        return self.binned_log_masses(k, loc, log_scale, levels)

    def binned_log_masses(self, k: Tensor, loc: Tensor, log_scale: Tensor, levels: int) -> Tensor:
        """ln P(k) for location and ln σ in units of the `real` view: k, loc [..., D] -> [..., D], nats."""
        if not self.open_ends:
            k = k.to(loc.dtype)
            return self._log_share(k / levels, (k + 1) / levels, 1 / levels, loc, log_scale)
        return self._log_bin(*self._bin(k, loc, log_scale, levels))

    def _bin(self, k: Tensor, loc: Tensor, log_scale: Tensor, levels: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Bins as intervals of z whose far end may be open: (middle [..., D], half their width, ln of the width,
        opened), the last three broadcastable against the first; opened is 1 for an end bin, which reaches from
        middle − half to +∞, and 0 for any other. By symmetry the middle of an inner bin is turned to be ≥ 0, the first
        bin to be the last."""
        log_width = -math.log(levels) - log_scale
        width = torch.exp(log_width)
        first = (k == 0).to(loc.dtype)
        opened = torch.maximum(first, (k == levels - 1).to(loc.dtype))
        # in units of a bin, in which k is exact: two bins see the edge between them alike, however small σ is, but for
        # the rounding of half a bin in units of σ
        middle = torch.sub(k.to(loc.dtype) + 0.5, loc, alpha=levels) * width
        turned = torch.addcmul((1 - opened) * middle.abs(), opened - 2 * first, middle)
        return turned, 0.5 * width, log_width, opened

    def _log_bin(self, middle: Tensor, half: Tensor, log_width: Tensor, opened: Tensor) -> Tensor:
        """ln of the masses of `_bin`'s intervals, elementwise; a family overrides it where one formula holds for both
        kinds."""
        return choose(
            (opened == 1).expand_as(middle),
            lambda: self._log_cdf(half - middle),
            lambda: self._log_interval(middle, half, log_width),
        )

    def mean(self, raw: Tensor) -> Tensor:
        loc, log_scale = self._split(raw)
        return loc if self.open_ends else self._truncated_mean(loc, log_scale)

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self._sample_at(*self._split(raw), generator)

    def _sample_at(self, loc: Tensor, log_scale: Tensor, generator: torch.Generator | None) -> Tensor:
        if not self.open_ends:
            return self._truncated_sample(loc, log_scale, generator)
        return loc + torch.exp(log_scale) * self._standard_sample(loc, generator)

    def sigma_in_use(self, raw: Tensor) -> Tensor | None:
        return torch.exp(self.scale.split(raw)[1].detach()).mean()

    def raw(self, **parameters: Any) -> Tensor:
        """Raw outputs [..., R] of a location and a scale.

        Args:
            parameters: `mean`, the location μ [..., D] behind the link, in units of the data's range; and where the
                decoder gives σ (pixel: [..., D], image: [..., 1]) one of `sigma`, `log_sigma`, `variance`,
                `log_variance`, of σ itself: the standard deviation of a Gaussian, the scale of any other.

        Raises:
            ValueError: a parameter that is missing, unknown, given twice, not finite or out of range; shapes that do
                not broadcast; a σ at its floor or below; a σ that is no raw output (a number, shared, optimal).
        """
        given = Parameters(self.name, parameters)
        location = given.need(mean=as_it_is if self.link == "identity" else probability("mean"))
        log_sigma = given.one(SIGMA, needed=False)
        given.done()
        return self.scale.join(location, log_sigma)

    def set_sigma(self, sigma: float | Tensor) -> None:
        self.scale.set_log(one_sigma(sigma))

    def refusal(self, objective: str) -> str:
        return self.scale.refusal(objective) or super().refusal(objective)

    def residual_statistic(self, x: Tensor, raw: Tensor) -> Tensor:
        return self._statistic_of(x - LINKS[self.link](raw), self.models)

    def set_residual_statistic(self, average: Tensor) -> None:
        self.scale.set_log(self._log_sigma(average))

    # -- truncated to [0, 1] -----------------------------------------------------------------------------------------

    def _log_share(self, low: Tensor, high: Tensor, width: Tensor | float, loc: Tensor, log_scale: Tensor) -> Tensor:
        """ln P(low < x < high) of what is truncated to [0, 1], elementwise, 0 ≤ low < high ≤ 1, width = high − low."""
        inverse = torch.exp(-log_scale)
        peak, near, whole = self._truncated(loc, inverse, log_scale)
        step = (torch.minimum(torch.maximum(loc, low), high) - peak).abs() * inverse
        log_width = torch.log(width) if isinstance(width, torch.Tensor) else math.log(width)
        edge = torch.maximum(low - loc, loc - high) * inverse
        area = self._log_area(edge, (0.5 * width) * inverse, log_width - log_scale)
        return self._log_fall(near, step) + (area - whole)

    def _truncated(self, loc: Tensor, inverse: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """P, the point of [0, 1] nearest to μ, its distance from μ in units of σ, and ln ∫ f/f(P) over [0, 1]: each
        [..., D]."""
        peak = loc.clamp(0, 1)
        near = (loc - peak).abs() * inverse
        inside = torch.minimum(peak, 1 - peak) * inverse  # from μ to the nearer end; 0 where it is outside
        return peak, near, self._log_area(near - inside, 0.5 * inverse, -log_scale)

    def _truncated_log_prob(self, x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
        inverse = torch.exp(-log_scale)
        peak, near, whole = self._truncated(loc, inverse, log_scale)
        return (self._log_fall(near, (x - peak).abs() * inverse) - (whole + log_scale)).sum(-1)

    def _truncated_mean(self, loc: Tensor, log_scale: Tensor) -> Tensor:
        """P + ∫ (x − P) f/f(P) / ∫ f/f(P) over [0, 1], by Gauss–Legendre over pieces that halve towards P, on either
        side of it; in float64."""
        wide, log_wide = loc.double(), log_scale.double()
        inverse = torch.exp(-log_wide)
        peak = wide.clamp(0, 1)
        near = (wide - peak).abs() * inverse
        area, first = torch.zeros_like(peak), torch.zeros_like(peak)
        ends = [0.0, *(2.0**-piece for piece in reversed(range(_PIECES)))]
        nodes, weights = gauss_legendre(_NODES)
        for start, end in itertools.pairwise(ends):
            for node, weight in zip(nodes, weights, strict=True):
                share = start + (end - start) * node
                for reach, sign in ((1 - peak, 1), (peak, -1)):
                    step = share * reach
                    height = torch.exp(self._log_fall(near, step * inverse)) * reach * (weight * (end - start))
                    area, first = area + height, first + sign * step * height
        # where σ is so narrow that no node meets any of the mass, it lies at the peak
        return (peak + torch.where(area > 0, first / area.clamp(min=torch.finfo(area.dtype).tiny), 0.0)).to(loc.dtype)

    def _truncated_sample(self, loc: Tensor, log_scale: Tensor, generator: torch.Generator | None) -> Tensor:
        """By the inverse CDF: halving of [0, 1] on ln F(x) = ln u, in float64."""
        u = torch.rand(loc.shape, generator=generator, dtype=loc.dtype, device=loc.device).double()
        log_u = torch.log(u.clamp(min=torch.finfo(loc.dtype).tiny))
        wide, log_wide = loc.detach().double(), log_scale.detach().double()
        low, step = torch.zeros_like(wide), 1.0
        for _ in range(_HALVINGS):
            step *= 0.5
            upto = low + step
            low = low + step * (self._log_share(torch.zeros_like(low), upto, upto, wide, log_wide) < log_u)
        return low.to(loc.dtype)
