"""Student's t on the real line: ln p(x|z) = −(ν+1)/2 ln(1 + z²/ν) − ln σ + ln C(ν), z = (x−μ)/σ.

ν degrees of freedom: 1 is the Cauchy distribution, ∞ the Gaussian. Its CDF is an incomplete beta function, which torch
has not: see _student_tail for how the tail becomes one polynomial.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods import _student_tail
from vae_core.likelihoods._base import Card, Layout
from vae_core.likelihoods._degrees_of_freedom import DegreesOfFreedom, make_degrees
from vae_core.likelihoods._location_scale import LocationScale
from vae_core.likelihoods._logspace import choose
from vae_core.likelihoods._quadrature import gauss_legendre
from vae_core.likelihoods._scale import _against
from vae_core.numerics.elementwise import log1p

if TYPE_CHECKING:
    from torch import Tensor

_NO_OPTIMUM = (
    "sigma='optimal' has no closed form for a Student-t: take sigma='shared', which learns the same scalar by gradient"
)


class StudentT(LocationScale):
    """A symmetric location-scale density on the real line whose tails fall as |x|^{−ν−1}.

    Args:
        sigma: the scale: a number > 0, or "shared", "image", "pixel".
        link: how the location μ follows from its raw output: "identity" (the default) or "sigmoid" (μ in (0, 1)).
        df: ν: a number from 0.1 to 10⁶ (the default is 5), or "shared": one scalar, learned between 1 and 100.
        ends: how far the first and the last bin reach: "open" (the default: to −∞ and +∞, so that they have the whole
            tails) or "renormalised" (to 0 and 1; the masses are divided by their sum over the K bins, the density is
            truncated to [0, 1]).
        levels: K, the data's number of levels: a learned σ then stays above a 64th of a bin, 1/(64 K); without it above
            2.4e-7, that of K = 65,536.

    Raw outputs: as of a Gaussian; `raw(mean=…, sigma=…)` makes them. ν is none of them: an option, or `set_df`.

    Raises:
        ValueError: a scale, link, ν, ends or levels that are none of these; sigma="optimal".
    """

    sigma_modes = ("shared", "image", "pixel")
    examples = ({}, {"df": "shared"}, {"df": 2.5, "link": "sigmoid"}, {"df": 200}, {"ends": "renormalised", "df": 200})
    card = Card(
        title="Student-t",
        summary="A bell with heavy tails of learnable weight: a pixel that is far off costs a logarithm, not a square.",
        formula="ln p(x|z) = ln Γ((ν+1)/2) − ln Γ(ν/2) − ½ ln νπ − ln σ − (ν+1)/2 ln(1 + (x−μ)²/(νσ²))",
        support="the real line (view real: dequantised levels (k+u)/K), whose tails the end bins have",
        parameters="μ: D outputs; σ: a number, or learned (shared, image, pixel); ν: a number, or one learned scalar",
        source="Student 1908; Takahashi et al. 2018, Student-t variational autoencoder for robust density estimation",
        users="those whose data have outliers that drag a Gaussian's mean; robust anomaly detection",
    )

    def __init__(
        self,
        sigma: float | str = "shared",
        link: str = "identity",
        df: float | str = 5.0,
        ends: str = "open",
        levels: int | None = None,
    ) -> None:
        if sigma == "optimal":
            raise ValueError(_NO_OPTIMUM)
        super().__init__(sigma, link, ends, levels)
        self.df: DegreesOfFreedom = make_degrees(df)

    def layout(self) -> Layout:
        return super().layout() + Layout(beside=("df, ν, is a number or, with df='shared', learned: set by set_df",))

    def set_df(self, df: float | Tensor) -> None:
        """Sets a learned ν: [], of a stack [M]. Raises ValueError where it is no learned one, or out of its range."""
        self.df.set(torch.as_tensor(df, dtype=torch.float64))

    def _nu(self, like: Tensor) -> Tensor:
        """ν against `like`: [] or [M, 1, …, 1]."""
        return _against(self.df.value(like.device).to(like.dtype), like)

    def _log_standard(self, z: Tensor) -> Tensor:
        constant = _against(_student_tail.log_constant(self.df.value(z.device)).to(z.dtype), z)
        nu = self._nu(z)
        return constant - (0.5 * (nu + 1)) * log1p(z.square() / nu)

    def _log_cdf(self, z: Tensor) -> Tensor:
        """ln S(−z) in the left half, ln(1 − S(z)) in the right."""
        tail = self._log_tail(z.abs())
        return choose(z < 0, lambda: tail, lambda: log1p(-torch.exp(tail)))

    def _log_tail(self, z: Tensor) -> Tensor:
        """ln S(z) = ln P(T > z), z ≥ 0."""
        log_rest, power = self._tail_parts(z)
        return log_rest - power

    def _tail_parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """ln S(z) + ½ν ln(1 + z²/ν), which is never large, and ½ν ln(1 + z²/ν), z ≥ 0."""
        nu = self.df.value(z.device)
        b = _against(_student_tail.offset(nu).to(z.dtype), z)
        powers = _student_tail.coefficients(nu, _student_tail.degree(z.dtype)).to(z.dtype)
        nu = self._nu(z)
        square = z.square()
        r = z * torch.rsqrt(nu + square)
        inverse = 1 / (r + b)
        t = (2 * (1 + b)) * (r * inverse) - 1
        polynomial = _against(powers[0], z)
        for power in powers[1:]:
            polynomial = polynomial * t + _against(power, z)
        return polynomial + torch.log(inverse), (0.5 * nu) * log1p(square / nu)

    def _log_interval(self, middle: Tensor, half: Tensor, log_width: Tensor) -> Tensor:
        """Two regimes, by symmetry for middle ≥ 0:

        * narrow bins (against the slope and the curvature of ln f, and the distance √(ν + middle²) to its
          singularities ±i√ν): Gauss–Legendre over the bin of f relative to its middle, 6 nodes (10 in float64);
        * elsewhere S(u) − S(v), u < v the edges, where S(v)/S(u) is well below 1; 1 − S(−u) − S(v) across the peak.
        """
        a = middle.abs()
        nu = self._nu(a)
        distance = nu + a.square()
        is_narrow = _is_narrow(a, half, nu, distance)

        def narrow() -> Tensor:
            return _log_height(a, half * is_narrow, nu, distance) + log_width + self._log_standard(a)

        def wide() -> Tensor:
            u, v = a - half, a + half
            beside = (u >= 0).to(a.dtype)
            log_u, log_v = self._log_tail(u.abs()), self._log_tail(v)
            start = beside * log_u
            lost = torch.exp(log_v - start) + (1 - beside) * torch.exp(log_u)
            return start + log1p(-lost.clamp(max=1 - torch.finfo(a.dtype).eps))

        return choose(is_narrow, narrow, wide)

    def _log_fall(self, near: Tensor, step: Tensor) -> Tensor:
        nu = self._nu(near)
        return (-0.5 * (nu + 1)) * log1p(step * (2 * near + step) / (nu + near.square()))

    def _log_area(self, edge: Tensor, half: Tensor, log_width: Tensor) -> Tensor:
        """The two regimes of `_log_interval`, over f(p); of S(u) − S(v) over f(u) the powers of 1 + u²/ν fall out."""
        a = (edge + half).abs()
        nu = self._nu(a)
        distance = nu + a.square()
        is_narrow = _is_narrow(a, half, nu, distance)

        def narrow() -> Tensor:
            inward = torch.minimum(a, half)
            height = _log_height(a, half * is_narrow, nu, distance)
            return height + log_width + self._log_fall(a - inward, inward)

        def wide() -> Tensor:
            u, v = edge.abs(), edge + 2 * half
            beside = (edge >= 0).to(edge.dtype)
            (log_u, power_u), (log_v, _) = self._tail_parts(u), self._tail_parts(v)
            square = u.square()
            fall = (0.5 * nu) * log1p((4 * half) * a / (nu + square))
            lost = torch.exp(log_v - fall - torch.lerp(power_u, log_u, beside))
            lost = lost + (1 - beside) * torch.exp(log_u - power_u)
            start = beside * (log_u + 0.5 * log1p(square / nu))
            at_peak = self._log_standard(torch.zeros_like(u))
            return (start - at_peak) + log1p(-lost.clamp(max=1 - torch.finfo(u.dtype).eps))

        return choose(is_narrow, narrow, wide)

    def _standard_sample(self, like: Tensor, generator: torch.Generator | None) -> Tensor:
        """√(ν (u^{−2/ν} − 1)) cos 2πw (Bailey 1994, Polar generation of random variates with the t-distribution)."""
        nu = self._nu(like)
        u, w = torch.rand((2, *like.shape), generator=generator, dtype=like.dtype, device=like.device)
        u = u.clamp(min=0.5 * torch.finfo(like.dtype).eps)
        return torch.sqrt(nu * torch.expm1(torch.log(u) * (-2 / nu))) * torch.cos(2 * math.pi * w)

    def _statistic(self, residual: Tensor, over: tuple[int, ...]) -> Tensor:
        raise ValueError(_NO_OPTIMUM)

    def _log_sigma(self, statistic: Tensor) -> Tensor:
        raise ValueError(_NO_OPTIMUM)

    def oracle(self, raw: Tensor) -> Any:
        """The scipy distribution, elementwise [..., D], that it must agree with."""
        from scipy import stats

        loc, log_scale = self._split(raw)
        nu = self.df.value(raw.device).detach().numpy()
        return stats.t(nu, loc.detach().numpy(), log_scale.detach().exp().numpy())


def _is_narrow(a: Tensor, half: Tensor, nu: Tensor, distance: Tensor) -> Tensor:
    steepness = (nu + 1) / distance
    h2 = half.square()
    return (half * a * steepness <= 1.5) & (h2 * steepness <= 1) & (h2 <= 0.1 * distance)


def _log_height(a: Tensor, half: Tensor, nu: Tensor, distance: Tensor) -> Tensor:
    """ln of the mean of f/f(a) over a narrow [a − half, a + half], distance = ν + a²; half is 0 where it is not narrow:
    no overflow of what is not chosen."""
    nodes, weights = gauss_legendre(10 if a.dtype == torch.float64 else 6)
    total = torch.zeros_like(half)
    for node, weight in zip(nodes, weights, strict=True):
        t = half * (2 * node - 1)
        rise = log1p(t * (2 * a + t) / distance)
        total = total + weight * torch.exp((-0.5 * (nu + 1)) * rise)
    return torch.log(total)
