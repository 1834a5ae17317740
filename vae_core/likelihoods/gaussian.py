"""Gaussian on the real line: ln p(x|z) = −½ ((x−μ)/σ)² − ln σ − ½ ln 2π per dimension.

With sigma="pixel" it is the "Gaussian MLP" decoder of Kingma & Welling (2014, appendix C.2); with σ² = ½ and no
normaliser it is the folk "MSE + KL" (see mse_sum). With channels="coupled" it has a full covariance of each pixel's
red, green and blue (see _coupled_gaussian). It is one file: one family, its channels coupled or not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods import _coupled_gaussian
from vae_core.likelihoods._base import Card, Layout
from vae_core.likelihoods._channels import COLOURS, COUPLED, INDEPENDENT, checked_channels, no_oracle
from vae_core.likelihoods._location_scale import BEYOND, LocationScale
from vae_core.likelihoods._logspace import choose, choose_above
from vae_core.likelihoods._parameters import as_it_is, probability
from vae_core.numerics.elementwise import log1p, sum_squares
from vae_core.numerics.visible import visible

if TYPE_CHECKING:
    from torch import Tensor

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_LOG_HALF_ROOT = _HALF_LOG_2PI - math.log(2)


#: its own in the location-scale families' docstring, each with what it goes before
_OWN = {
    "\n    Raw outputs:": """        channels: "independent" (the default) or "coupled": a full 3 x 3 covariance of each
            pixel's red, green and blue, whose masses are integrals over the cube of their bins; D coefficients more
            among the raw outputs, and σ is what the earlier channels leave of each. For data of three channels, with
            open ends, and σ a number up to e^12, shared, image or pixel (which a full covariance of its own for every
            pixel takes). A σ of the decoder's beyond e^12 counts as e^12 in masses.
""",
    "\n    Raises:\n": """
    With coupled channels the coefficients, [..., D], stand between the location and ln σ: `raw(mean=…,
    coefficients=…, sigma=…)`, or of sigma="pixel" `raw(mean=…, covariance=…)`, makes them.
""",
    '.\n    """': """;
            channels that are neither word; channels="coupled" with sigma="optimal", with ends="renormalised" or with a
            σ above e^12""",
}


def _documented(base: str | None) -> str | None:
    """The location-scale families' docstring with `_OWN` in it; None where python -OO has left none. Raises ValueError
    where it has no place for one of them any more."""
    if base is None:
        return None
    said = f'{base.rstrip()}\n    """'  # the closing quotes are where the last sentence ends
    for mark, own in _OWN.items():
        place = said.index(mark)
        said = said[:place] + own + said[place:]
    return said.removesuffix('"""')


class Gaussian(LocationScale):
    __doc__ = _documented(LocationScale.__doc__)
    card = Card(
        title="Gaussian",
        summary="Symmetric noise with light tails: squared error weighted by 1/(2σ²), and ln σ, the weight's price.",
        formula="ln p(x|z) = −(x−μ)²/(2σ²) − ln σ − ½ ln 2π",
        support="the real line (view real: dequantised levels (k+u)/K), whose tails the end bins have",
        parameters="μ: D outputs; σ: a number, or learned (shared, image: +1 output, pixel: +D outputs, optimal); "
        "channels coupled: +D outputs",
        source="Kingma & Welling 2014, Auto-Encoding Variational Bayes, appendix C.2; σ-VAE: Rybkin et al. 2021, eq. 6",
        users="the default of most VAE code for real-valued data, nearly always with σ fixed unawares",
    )
    examples = (*LocationScale.examples, {"sigma": "pixel", "channels": COUPLED}, {"channels": COUPLED})

    def __init__(
        self,
        sigma: float | str = "shared",
        link: str = "identity",
        ends: str = "open",
        levels: int | None = None,
        channels: str = INDEPENDENT,
    ) -> None:
        super().__init__(sigma, link, ends, levels)
        self.channels = checked_channels(channels, (INDEPENDENT, COUPLED))
        if channels == COUPLED:
            if sigma == "optimal":
                raise ValueError(
                    "sigma='optimal' has no closed form with channels='coupled': take sigma='shared', which learns the "
                    "same scalar by gradient, or channels='independent'"
                )
            if not self.open_ends:
                raise ValueError(
                    "channels='coupled' has masses with open ends only: take ends='open', or channels='independent'"
                )
            if why := _coupled_gaussian.refusal_of_sigma(sigma):
                raise ValueError(why)
            self.couples_channels, self.coupled_channels, self.closes_ends = True, COLOURS, False
            self.looks_at_numbers = True

    # -- with coupled channels ---------------------------------------------------------------------------------------

    def outputs(self, dims: int) -> int:
        return _coupled_gaussian.outputs(self, dims) if self.couples_channels else super().outputs(dims)

    def layout(self) -> Layout:
        return _coupled_gaussian.layout(self) if self.couples_channels else super().layout()

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        return _coupled_gaussian.log_prob(self, x, raw) if self.couples_channels else super().log_prob(x, raw)

    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        if self.couples_channels:
            return _coupled_gaussian.log_masses(self, k, raw, levels)
        return super().log_masses(k, raw, levels)

    def log_masses_of(self, channel: int, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        if self.couples_channels:
            return _coupled_gaussian.log_masses_of(self, channel, k, raw, levels)
        return super().log_masses_of(channel, k, raw, levels)

    def masses_of(self, channel: int, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        if self.couples_channels:
            return _coupled_gaussian.masses_of(self, channel, k, raw, levels)
        return super().masses_of(channel, k, raw, levels)

    def _sum_log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        if self.couples_channels:
            return _coupled_gaussian.sum_log_masses(self, k, raw, levels)
        return super()._sum_log_masses(k, raw, levels)

    def mean(self, raw: Tensor) -> Tensor:
        return super().mean(_coupled_gaussian.own(self, raw)[0] if self.couples_channels else raw)

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if self.couples_channels:
            return _coupled_gaussian.sample(self, raw, generator)
        return super().sample(raw, generator)

    def sigma_in_use(self, raw: Tensor) -> Tensor | None:
        return super().sigma_in_use(_coupled_gaussian.own(self, raw)[0] if self.couples_channels else raw)

    def set_sigma(self, sigma: float | Tensor) -> None:
        if self.couples_channels and (why := _coupled_gaussian.refusal_of_sigma(float(torch.as_tensor(sigma).max()))):
            raise ValueError(why)
        super().set_sigma(sigma)

    def residual_statistic(self, x: Tensor, raw: Tensor) -> Tensor:
        """Of coupled channels that of what the earlier ones leave of each, whose Gaussians' product the density is."""
        if not self.couples_channels:
            return super().residual_statistic(x, raw)
        return self._statistic_of(_coupled_gaussian.residuals(self, x, raw), self.models)

    def raw(self, **parameters: Any) -> Tensor:
        """As of any location-scale family; where channels are coupled also `coefficients` [..., D]: of a pixel what
        green moves with red, blue with red and blue with green, in the places of its red, green and blue; `sigma` is
        then what is left of each. Or `covariance` [..., P, 3, 3] in place of both, of sigma="pixel", told its shape."""
        if not self.couples_channels:
            return super().raw(**parameters)
        mean_of = as_it_is if self.link == "identity" else probability("mean")
        return _coupled_gaussian.raw(self, parameters, mean_of)

    # -- the standard distribution -----------------------------------------------------------------------------------

    def _log_standard(self, z: Tensor) -> Tensor:
        return -0.5 * z.square() - _HALF_LOG_2PI

    def _sum_log_standard(self, z: Tensor) -> Tensor:
        return -0.5 * sum_squares(z) - z.shape[-1] * _HALF_LOG_2PI

    def _log_prob(self, x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
        """With one σ for all dimensions σ enters after the sum. The gradient needs 1/σ²: in float32 σ above 1e-19."""
        if not self.open_ends or (log_scale.shape[-1:] == loc.shape[-1:] and log_scale.ndim):
            return super()._log_prob(x, loc, log_scale)
        scale = log_scale.squeeze(-1) if log_scale.ndim else log_scale
        inverse, residual = torch.exp(-scale), x - loc
        constant = -residual.shape[-1] * (scale + _HALF_LOG_2PI)
        return torch.addcmul(constant, sum_squares(residual) * inverse, inverse, value=-0.5)

    def _log_cdf(self, z: Tensor) -> Tensor:
        """ln ½ erfc(t), t = −z/√2: in the left half from erfc itself, in the right half from its complement, and where
        erfc underflows from its asymptotic series."""
        t = z * -math.sqrt(0.5)
        edge = _last_erfc(t.dtype)

        def near() -> Tensor:
            smaller_half = 0.5 * torch.erfc(t.abs().clamp(max=edge + 0.5))
            return choose(t > 0, lambda: torch.log(smaller_half), lambda: log1p(-smaller_half))

        def tail() -> Tensor:
            far = t.clamp(min=edge - 0.5)
            return torch.log(0.5 * _erfcx_tail(far)) - far.square()

        return choose(t > edge, tail, near)

    def _log_bin(self, middle: Tensor, half: Tensor, log_width: Tensor, opened: Tensor) -> Tensor:
        """The three regimes of `_log_interval`, with the far edge beyond all numbers where the bin is open: a half line
        is no narrow bin, and its mass is ½ erfc of one edge."""
        last, tiny = _last_erfc(middle.dtype), torch.finfo(middle.dtype).tiny
        widest, steepest = _narrow_limits(middle.dtype)
        u = (middle - half) * math.sqrt(0.5)
        tilt = middle * half

        def half_line() -> Tensor:
            def near() -> Tensor:
                return torch.log((0.5 * torch.erfc(u.clamp(max=last + 0.5))).clamp(min=tiny))

            def tail() -> Tensor:
                far = u.clamp(min=last - 0.5)
                return torch.log(0.5 * _erfcx_tail(far)) - far.square()

            return choose_above(u, last, tail, near)

        def wide() -> Tensor:
            # erfc of large numbers is slow, and nothing is left of it beyond where it is asked for
            v = torch.addcmul(middle + half, opened, opened.new_full((), BEYOND)) * math.sqrt(0.5)

            def near() -> Tensor:
                difference = torch.erfc(u.clamp(max=last + 0.5)) - torch.erfc(v.clamp(max=last + 1))
                return torch.log((0.5 * difference).clamp(min=tiny))

            def tail() -> Tensor:
                u_far, v_far = u.clamp(min=last - 0.5), v.clamp(min=last - 0.5)
                fall = (1 - opened) * torch.exp(-2 * tilt.clamp(min=0))
                rest = _erfcx_tail(u_far) - fall * _erfcx_tail(v_far)
                return torch.log((0.5 * rest).clamp(min=tiny)) - u_far.square()

            return choose_above(u, last, tail, near)

        def narrow() -> Tensor:
            log_tilt, moments = _narrow_terms(half, tilt)
            return (log_tilt - 0.5 * middle.square()) + (moments + (log_width - _HALF_LOG_2PI))

        if visible(half) and middle.numel():
            if half.amin() > widest:
                return wide()
            if half.amax() <= widest and ((1 - opened) * tilt).amax() <= steepest:
                return choose((opened == 1).expand_as(middle), half_line, narrow)
        is_narrow = (half <= widest) & (tilt <= steepest) & (opened == 0)
        return choose(is_narrow, narrow, wide)

    def _log_interval(self, middle: Tensor, half: Tensor, log_width: Tensor, edge: Tensor | None = None) -> Tensor:
        """Three regimes, by symmetry for middle ≥ 0:

        * narrow bins (half and middle·half small): e^{−½(a+t)²} expanded in t, ∫ e^{−at} e^{−½t²} dt over |t| ≤ h, with
          ln sinhc(ah) and the second and fourth moments of t (no difference of near-equal numbers);
        * elsewhere ½ erfc(u) − ½ erfc(v), u < v the edges over √2, until erfc underflows;
        * beyond: e^{−u²} taken out, the asymptotic series of erfcx on what remains.

        edge: |middle| − half, where the caller knows it better than as this difference. The result is then without
        ln f(p), p the interval's point nearest 0: for ratios of intervals far out, whose logarithms are nearly equal.
        """
        a = middle.abs()
        tilt = a * half
        widest, steepest = _narrow_limits(a.dtype)
        last, tiny = _last_erfc(a.dtype), torch.finfo(a.dtype).tiny

        def narrow() -> Tensor:
            log_tilt, moments = _narrow_terms(half, tilt)
            if edge is not None:  # ½ (a² − p²), a − p being the smaller of a and h
                inward = torch.minimum(a, half)
                return (log_tilt - inward * (a - 0.5 * inward)) + (moments + log_width)
            return (log_tilt - 0.5 * a.square()) + (moments + (log_width - _HALF_LOG_2PI))

        def wide() -> Tensor:
            u = (a - half if edge is None else edge) * math.sqrt(0.5)
            v = (a + half if edge is None else edge + 2 * half) * math.sqrt(0.5)

            def near() -> Tensor:
                difference = torch.erfc(u.clamp(max=last + 0.5)) - torch.erfc(v.clamp(max=last + 1))
                if edge is not None:
                    return (
                        torch.log((difference * _exp_square(u.clamp(0, last + 0.5))).clamp(min=tiny)) + _LOG_HALF_ROOT
                    )
                return torch.log((0.5 * difference).clamp(min=tiny))

            def tail() -> Tensor:
                u_far, v_far = u.clamp(min=last - 0.5), v.clamp(min=last - 0.5)
                rest = _erfcx_tail(u_far) - torch.exp(-2 * tilt) * _erfcx_tail(v_far)
                if edge is not None:
                    return torch.log(rest.clamp(min=tiny)) + _LOG_HALF_ROOT
                return torch.log((0.5 * rest).clamp(min=tiny)) - u_far.square()

            return choose(u > last, tail, near)

        return choose((half <= widest) & (tilt <= steepest), narrow, wide)

    def _log_fall(self, near: Tensor, step: Tensor) -> Tensor:
        return -step * torch.add(near, step, alpha=0.5)

    def _log_area(self, edge: Tensor, half: Tensor, log_width: Tensor) -> Tensor:
        return self._log_interval(edge + half, half, log_width, edge=edge)

    def _standard_sample(self, like: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)

    def _statistic(self, residual: Tensor, over: tuple[int, ...]) -> Tensor:
        return residual.square().mean(over)

    def _log_sigma(self, statistic: Tensor) -> Tensor:
        return 0.5 * torch.log(statistic)

    def oracle(self, raw: Tensor) -> Any:
        """The scipy distribution, elementwise [..., D], that it must agree with. Raises ValueError where channels are
        coupled, of which there is none elementwise."""
        if why := no_oracle(self):
            raise ValueError(why)
        from scipy import stats

        loc, log_scale = self._split(raw)
        return stats.norm(loc.detach().numpy(), log_scale.detach().exp().numpy())


def _last_erfc(dtype: torch.dtype) -> float:
    """Where erfc nears underflow: 8 in float32 (1e-29), 25 in float64 (8e-274)."""
    return 25.0 if dtype == torch.float64 else 8.0


def _narrow_limits(dtype: torch.dtype) -> tuple[float, float]:
    """Up to which half width, and which middle × half width, a bin is narrow."""
    return (2e-3, 0.03) if dtype == torch.float64 else (0.05, 0.3)


def _narrow_terms(half: Tensor, tilt: Tensor) -> tuple[Tensor, Tensor]:
    """Of a narrow bin: ln sinhc(tilt), and what the second and fourth moments over it add."""
    widest, steepest = _narrow_limits(tilt.dtype)
    h2 = half.clamp(max=2 * widest).square()
    s = tilt.clamp(min=-2 * steepest, max=2 * steepest).square()
    log_tilt = s * (1 / 6 + s * (-1 / 180 + s * (1 / 2835)))
    return log_tilt, h2.square() / 90 - (0.5 * h2) * (1 / 3 + s * (2 / 45 - s * (4 / 945)))


def _exp_square(u: Tensor) -> Tensor:
    """e^{u²} to the last digit: u² in two parts, the first exact since u is rounded to sixteenths for it."""
    coarse = torch.round(16 * u.detach()) / 16
    return torch.exp(coarse.square()) * torch.exp((u - coarse) * (u + coarse))


def _erfcx_tail(u: Tensor) -> Tensor:
    """e^{u²} erfc(u) for u ≥ 8 by its asymptotic series (Abramowitz & Stegun 1964, 7.1.23), error below 1e-8 at 8."""
    q = 1 / u.square()
    series = 1 + q * (-0.5 + q * (0.75 + q * (-1.875 + q * (6.5625 - q * 29.53125))))
    return series / (u * math.sqrt(math.pi))
