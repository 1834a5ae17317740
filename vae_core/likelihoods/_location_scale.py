"""Families on the real line with a location and a scale: everything but the standard distribution itself.

With z = (x − μ)/σ, ln p(x) = ln f(z) − ln σ, f the standard density. The mass of level k of K is the integral over its
bin [k/K, (k+1)/K], the first bin open to −∞ and the last to +∞, so that the K masses sum to 1 (docs/RULES.md, rule 2).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from vae_core.likelihoods._base import Density
from vae_core.likelihoods._logspace import choose
from vae_core.likelihoods._scale import MODES, Optimal, Scale, make_scale

if TYPE_CHECKING:
    from torch import Tensor

#: the open end of a bin, in units of σ: so far that nothing is left, and its square is a number in float32
BEYOND = 1e18

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

    Raises:
        ValueError: a scale or a link that is none of these.
    """

    view = "real"
    takes_sigma = True
    sigma_modes: ClassVar[tuple[str, ...]] = MODES
    open_ends = True
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"link": "sigmoid"})

    def __init__(self, sigma: float | str = "shared", link: str = "identity") -> None:
        self.scale: Scale = make_scale(sigma)
        self.link = checked_link(link)

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

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        loc, log_scale = self._split(raw)
        return self._log_prob(x, loc, log_scale)

    def _split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """raw [..., R] -> location [..., D] behind the link, and ln σ, broadcastable against it."""
        linear, log_scale = self.scale.split(raw)
        return LINKS[self.link](linear), log_scale

    def _log_prob(self, x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
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
        with torch.no_grad():
            statistic = self.residual_statistic(x, raw)
            self.scale.set_log(self._log_sigma(self.scale.observe(statistic)))
            now = self._log_sigma(statistic)
        return self._log_prob(
            x, LINKS[self.link](raw), now.reshape(now.shape + (1,) * (raw.ndim - now.ndim)) if now.ndim else now
        )

    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        loc, log_scale = self._split(raw)
        return self.binned_log_masses(k, loc, log_scale, levels)

    def binned_log_masses(self, k: Tensor, loc: Tensor, log_scale: Tensor, levels: int) -> Tensor:
        """ln P(k) for location and ln σ in units of the `real` view: k, loc [..., D] -> [..., D], nats."""
        return self._log_bin(*self._bin(k, loc, log_scale, levels))

    def _bin(self, k: Tensor, loc: Tensor, log_scale: Tensor, levels: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Bins as intervals of z whose far end may be open: (middle [..., D], half their width, ln of the width,
        opened), the last three broadcastable against the first; opened is 1 for an end bin, which reaches from
        middle − half to +∞, and 0 for any other. By symmetry the middle of an inner bin is turned to be ≥ 0, the first
        bin to be the last."""
        inverse = torch.exp(-log_scale)
        first = (k == 0).to(loc.dtype)
        opened = torch.maximum(first, (k == levels - 1).to(loc.dtype))
        middle = ((k.to(loc.dtype) + 0.5) / levels - loc) * inverse
        turned = torch.addcmul((1 - opened) * middle.abs(), opened - 2 * first, middle)
        return turned, (0.5 / levels) * inverse, -math.log(levels) - log_scale, opened

    def _log_bin(self, middle: Tensor, half: Tensor, log_width: Tensor, opened: Tensor) -> Tensor:
        """ln of the masses of `_bin`'s intervals, elementwise; a family overrides it where one formula holds for both
        kinds."""
        return choose(
            (opened == 1).expand_as(middle),
            lambda: self._log_cdf(half - middle),
            lambda: self._log_interval(middle, half, log_width),
        )

    def mean(self, raw: Tensor) -> Tensor:
        return self._split(raw)[0]

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        loc, log_scale = self._split(raw)
        return loc + torch.exp(log_scale) * self._standard_sample(loc, generator)

    def sigma_in_use(self, raw: Tensor) -> Tensor | None:
        return torch.exp(self.scale.split(raw)[1].detach()).mean()

    def refusal(self, objective: str) -> str:
        if objective == "binned" and isinstance(self.scale, Optimal):
            return "sigma='optimal' is a closed form of the density's, 'binned' has none (sigma='shared' takes both)"
        return super().refusal(objective)

    def residual_statistic(self, x: Tensor, raw: Tensor) -> Tensor:
        residual = x - LINKS[self.link](raw)
        return self._statistic(residual, tuple(range(0 if self.models is None else 1, residual.ndim)))

    def set_residual_statistic(self, average: Tensor) -> None:
        if not isinstance(self.scale, Optimal):
            raise ValueError(f"only sigma='optimal' takes its scale from residuals, this is {self.scale.mode!r}")
        self.scale.set_log(self._log_sigma(average))
