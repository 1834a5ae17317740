"""Mixture of discretised logistics: P(k|z) = Σ_i π_i [F((k+1−m_i)/s_i) − F((k−m_i)/s_i)], F the sigmoid.

The likelihood of PixelCNN++ (Salimans et al. 2017), the first and the last bin open to −∞ and +∞. By default each
dimension has a mixture of its own; with channels = "coupled" or "joint" green is conditioned on red, and blue on both,
as PixelCNN++ does (see _coupled_mixture).

With ends = "renormalised" the end bins are closed and the masses are divided by their sum: with M_i what component i
has in [0, K], P(k|z) = Σ_i w_i m_i(k)/M_i, w_i ∝ π_i M_i, where no ratio is of numbers that vanish.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods import _coupled_mixture
from vae_core.likelihoods._base import Card, Layout
from vae_core.likelihoods._channels import COLOURS, COUPLED, INDEPENDENT, checked_channels, no_oracle
from vae_core.likelihoods._coupled_mixture import JOINT, Mixture
from vae_core.likelihoods._ends import RENORMALISED, checked_ends
from vae_core.likelihoods._integers import IntegerMass
from vae_core.likelihoods._parameters import Parameters, as_it_is, positive, probabilities, together
from vae_core.numerics.elementwise import logsigmoid

if TYPE_CHECKING:
    from torch import Tensor

#: s stays above a sixteenth of a bin: there a component in a bin's middle has 0.9993 of its mass in that bin already
_LOG_FLOOR = -math.log(16)
#: a wider s than e^60 bins is as flat as one can be, and 1 − e^{−1/s} would underflow in float32 at e^88
_LOG_CEILING = 60.0
#: stands for ∞, and unlike it leaves a gradient of 0 and not NaN; at the widest s it is still e^9 scales away
_OUTSIDE = 1e30
#: scales beyond the last edge at which a logistic is an exponential to the last digit, and F = e^−600 a float64 still
_FAR = 600.0


class LogisticMixture(IntegerMass):
    """n logistics in each dimension, each on the bins of the levels; raw [..., 3 n D] is read as [..., 3, n, D].

    With the three raw outputs (a, b, c) of component i of n: π = softmax over i of a; the location is b + (i+½)/n and
    the logistic's scale e^c/(2n), both in units of the data's range [0, 1]. So the output 0 is a nearly flat
    distribution, its components side by side and not on one spot.

    Args:
        levels: K ≥ 2, the number of levels of the data. Raises ValueError if smaller or no integer.
        components: n ≥ 1, the number of logistics. Raises ValueError if smaller or no integer.
        ends: how far the first and the last bin reach: "open" (the default: to −∞ and +∞, so that they have the whole
            tails) or "renormalised" (the masses of closed bins are divided by their sum over the K bins). Raises
            ValueError for another word.
        channels: "independent" (the default), or, for data of three channels, "coupled": the locations of green move
            linearly with red's level, and those of blue with red's and green's, by coefficients of each component, n D
            more among the raw outputs; or "joint": the same, and a pixel draws one component for its three channels, as
            the program of PixelCNN++ does. Raises ValueError for another word.
    """

    examples = (
        {},
        {"components": 1},
        {"ends": RENORMALISED},
        {"channels": COUPLED},
        {"channels": JOINT},
        {"channels": COUPLED, "ends": RENORMALISED},
        {"channels": JOINT, "ends": RENORMALISED},
    )
    open_ends = True
    closes_ends = True
    card = Card(
        title="mixture of discretised logistics",
        summary="Several bells on the levels' own bins: asymmetric, many-peaked, with spikes at black and white.",
        formula="ln P(k|z) = ln Σ_i π_i [F((k+1−m_i)/s_i) − F((k−m_i)/s_i)], F(t) = 1/(1+e^{−t}), end bins open",
        support="the integers 0…K−1 (view levels), of which the first and the last have the whole tails",
        parameters="3 n D outputs (n = components, 5): ln π up to a constant, m (location), ln s (s > 1/16 of a bin); "
        "channels coupled or joint: n D more, what green's m moves with red, blue's with red and with green",
        source="Salimans et al. 2017, PixelCNN++, sections 2.1 and, where channels are coupled, 2.2",
        users="PixelCNN++ and deep hierarchical VAEs (VDVAE) on 8-bit images",
    )

    def __init__(self, levels: int, components: int = 5, ends: str = "open", channels: str = INDEPENDENT) -> None:
        super().__init__(levels)
        if isinstance(components, bool) or not isinstance(components, int) or components < 1:
            raise ValueError(f"components={components!r} is no number of components: give an integer of 1 or more")
        self.components = components
        self.open_ends = checked_ends(ends)
        self.channels = checked_channels(channels, (INDEPENDENT, COUPLED, JOINT))
        if channels != INDEPENDENT:
            self.couples_channels, self.coupled_channels = True, COLOURS

    def outputs(self, dims: int) -> int:
        return (4 if self.couples_channels else 3) * self.components * dims

    def layout(self) -> Layout:
        n, finest = self.components, round(math.exp(-_LOG_FLOOR)) * self.levels
        lines = (
            f"n, floor = {n}, 1 / {finest}  # components; a {round(math.exp(-_LOG_FLOOR))}th of a bin",
            "logits, b, c = raw.unflatten(-1, (3, n, D)).unbind(-3)  # [..., n, D]"
            if not self.couples_channels
            else "logits, b, c, coefficients = raw.unflatten(-1, (4, n, D)).unbind(-3)",
            "start = (torch.arange(n).to(raw) + 0.5).unsqueeze(-1) / n  # side by side",
            "mean = b + start  # in units of the data's range",
            "scale = torch.exp(c) / (2 * n) + floor  # the logistic's",
        )
        names: tuple[tuple[str, ...], ...] = (("logits", "weights"), ("mean",), ("scale", "log_scale"))
        if not self.couples_channels:
            return Layout(lines, names)
        one = "; a pixel's logits are the mean of its channels'" if self.channels == JOINT else ""
        beside = (
            "Channels are coupled: mean is where red, green and blue of mid-grey pixels lie; of a pixel, coefficients "
            "are in the place of red what green's mean moves with red's (k + 1/2)/K - 1/2, of green what blue's moves "
            f"with red's, of blue what blue's moves with green's{one}"
        )
        return Layout(lines, (*names, ("coefficients",)), (beside,))

    def _split(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """raw [..., 3 n D] -> logits of π, m and ln s in units of a bin (level k is [k, k+1]), each [..., n, D].

        In these units the two bins that share an edge compute it alike, so that the masses sum to 1 in float32 too.
        """
        n, levels = self.components, self.levels
        logits, location, log_scale = raw.unflatten(-1, (3, n, -1)).unbind(-3)
        start = (torch.arange(n, dtype=raw.dtype, device=raw.device).unsqueeze(-1) + 0.5) * (levels / n)
        # at 40, and not at 20, float64 cannot tell it from its argument
        excess = torch.nn.functional.softplus(log_scale + (math.log(levels / (2 * n)) - _LOG_FLOOR), threshold=40)
        return logits, location * levels + start, (excess + _LOG_FLOOR).clamp(max=_LOG_CEILING)

    def raw(self, **parameters: Any) -> Tensor:
        """Raw outputs [..., 3 n D] of the components' `logits` or `weights`, their locations `mean` and their
        logistic scales `scale` or `log_scale`, each [..., n, D], the latter two in units of the data's range [0, 1];
        where channels are coupled [..., 4 n D], with `coefficients` [..., n, D] too (as `layout` has them).
        Raises ValueError for an unknown or missing parameter, another n, weights that are not > 0 or whose sum over n
        is off 1 by 1e-4 (what is less is normalised), and scales that are not above a 16th of a bin, 1/(16 K), or not
        below e^60 bins."""
        given = Parameters(self.name, parameters)
        logits = given.need(logits=as_it_is, weights=probabilities("weights", "n components", -2))
        mean = given.need(mean=as_it_is)
        log_scale = given.need(scale=positive("scale"), log_scale=as_it_is) + math.log(self.levels)
        coupling = {"coefficients": given.need(coefficients=as_it_is)} if self.couples_channels else {}
        given.done()
        n = self.components
        parts = together(weights=logits, mean=mean, scale=log_scale, **coupling)
        if parts[0].ndim < 2 or parts[0].shape[-2] != n:
            raise ValueError(f"the parameters of {n} components are [..., {n}, D], not {list(parts[0].shape)}")
        excess = parts[2] - _LOG_FLOOR
        if not bool(((excess > 0) & (parts[2] < _LOG_CEILING)).all()):
            raise ValueError(
                f"scales must lie above a 16th of a bin, {math.exp(_LOG_FLOOR) / self.levels:.3g}, and below "
                f"e^{_LOG_CEILING:g} bins"
            )
        start = (torch.arange(n, dtype=mean.dtype, device=mean.device).unsqueeze(-1) + 0.5) / n
        width = excess + torch.log(-torch.expm1(-excess)) - (math.log(self.levels / (2 * n)) - _LOG_FLOOR)
        return torch.stack([parts[0], parts[1] - start, width, *parts[3:]], -3).flatten(-3)

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        if self.couples_channels:
            return _coupled_mixture.log_masses(self, k, raw)
        k, mixture = k.to(raw.dtype).unsqueeze(-2), self._split(raw)
        if not self.open_ends:
            log_weights, log_share, _ = self._shares(k, k + 1, 1.0, mixture)
            return (log_weights + log_share).logsumexp(-2)
        logits, location, log_scale = mixture
        return self._component_log_masses(k, location, log_scale, onto=logits).logsumexp(-2) - logits.logsumexp(-2)

    def log_masses_of(self, channel: int, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        if not self.couples_channels:
            return super().log_masses_of(channel, k, raw, levels)
        self._of_these(levels)
        return _coupled_mixture.log_masses_of(self, channel, k, raw.float() if raw.dtype.itemsize < 4 else raw)

    def _mixture_log_masses(self, k: Tensor, mixture: Mixture) -> tuple[Tensor, Tensor]:
        """ln P(k), [..., D], of what `_split` gives, k [..., 1, D]; and the `_component_log_masses` that it is of."""
        if not self.open_ends:
            log_weights, log_share, log_whole = self._shares(k, k + 1, 1.0, mixture)
            return (log_weights + log_share).logsumexp(-2), log_share + log_whole
        logits, location, log_scale = mixture
        own = self._component_log_masses(k, location, log_scale)
        return (logits + own).logsumexp(-2) - logits.logsumexp(-2), own

    def _component_log_masses(
        self, k: Tensor, location: Tensor, log_scale: Tensor, onto: Tensor | float = 0.0
    ) -> Tensor:
        """ln of what each component has in the bin of k, with closed ends before division by what all levels have.
        `onto` begins the sum, which rounds by the order of its terms: a seed's training is repeated to the bit by it.

        F(b) − F(a) = (1 − e^{−(b−a)}) F(b) F(−a), which subtracts no near-equal numbers; here b − a = 1/s. The first
        bin is F(b) alone and the last F(−a): their outer edges are a number so far out that its factor is 1."""
        if not self.open_ends:
            _, log_share, log_whole = self._shares(k, k + 1, 1.0, (torch.zeros_like(location), location, log_scale))
            return onto + log_share + log_whole
        first, last = (k == 0).to(location.dtype), (k == self.levels - 1).to(location.dtype)
        per_bin = torch.exp(-log_scale)
        above = (k + 1 + _OUTSIDE * last - location) * per_bin
        below = (location - (k - _OUTSIDE * first)) * per_bin
        logsigmoid = torch.nn.functional.logsigmoid
        inner = (1 - first - last) * torch.log(-torch.expm1(-per_bin))
        return onto + inner + logsigmoid(above) + logsigmoid(below)

    def _shares(self, low: Tensor, high: Tensor, width: float, mixture: Mixture) -> tuple[Tensor, Tensor, Tensor]:
        """ln w_i, w_i ∝ π_i M_i with M_i what component i has in [0, K], ln of what it has in [low, high] over M_i, and
        ln M_i, each [..., n, D]; width = high − low, in units of a bin. Of each ln F(t) = min(t, 0) + ln F(|t|) in
        the shares the first parts, which may be large, are taken off as edges less edges."""
        logits, location, log_scale = mixture
        per_bin = torch.exp(-log_scale)
        bottom, top = location.clamp(min=0), location.clamp(max=self.levels)
        rest = logsigmoid(location.abs() * per_bin) + logsigmoid((self.levels - location).abs() * per_bin)
        rest = rest + torch.log(-torch.expm1(-self.levels * per_bin))
        beyond = (location - bottom + (top - location)) * per_bin
        log_weights = (logits + rest + beyond).log_softmax(-2)  # in this order, to repeat trained models to the bit
        linear = torch.minimum(high, location) - top + (bottom - torch.maximum(low, location))
        own = logsigmoid((low - location).abs() * per_bin) + logsigmoid((high - location).abs() * per_bin)
        own = own + torch.log(-torch.expm1(-width * per_bin))
        return log_weights, linear * per_bin + (own - rest), rest + beyond

    def _at_least(self, mixture: Mixture) -> tuple[Tensor, Iterator[Tensor]]:
        """Weights of the components, and P(k ≥ j) of each for j = 1 … K−1, one j after the other, all [..., n, D]; with
        renormalised ends in float64."""
        logits, location, log_scale = mixture
        per_bin = torch.exp(-log_scale)
        if self.open_ends:
            return logits.softmax(-2), (torch.sigmoid((location - edge) * per_bin) for edge in range(1, self.levels))
        like = torch.zeros_like(location[..., :1, :])
        weights = self._shares(like, like + 1, 1.0, mixture)[0].exp().double()
        return weights, self._closed_at_least(location.double(), per_bin.double())

    def _closed_at_least(self, location: Tensor, per_bin: Tensor) -> Iterator[Tensor]:
        """1 − r_j F((j−m)/s)/F((K−m)/s), r_j = (1 − e^{−j/s})/(1 − e^{−K/s}): the factors of `_component_log_masses`
        over those of all bins. r_j = r_1 + e^{−1/s} r_{j−1} subtracts nothing, so that s may be of any size."""
        place = torch.minimum(location * per_bin, self.levels * per_bin + _FAR)
        fall, one = torch.exp(-per_bin), torch.ones_like(place)
        first = (
            torch.expm1(-per_bin) / torch.expm1(-self.levels * per_bin) / torch.sigmoid(self.levels * per_bin - place)
        )
        ratio = first
        for edge in range(1, self.levels):
            yield torch.addcmul(one, torch.sigmoid(torch.add(-place, per_bin, alpha=edge)), ratio, value=-1)
            ratio = torch.addcmul(first, fall, ratio)

    def _mean(self, mixture: Mixture) -> Tensor:
        """Σ_{j=1}^{K−1} P(k ≥ j), [..., D], one level at a time since there is no closed form."""
        weights, each = self._at_least(mixture)
        total = torch.zeros_like(mixture[1])
        for at_least in each:
            total = total + at_least
        return (weights * total.clamp(min=0)).sum(-2).to(mixture[1].dtype)

    def _uniforms(self, like: Tensor, generator: torch.Generator | None) -> Tensor:
        """The numbers that one `_draw` of the shape of `like` takes."""
        shape = (2 if self.open_ends else 1, *like.shape)
        return torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device)

    def _draw(self, mixture: Mixture, u: Tensor) -> Tensor:
        """A component, a logistic draw from it, the level whose bin holds it; with renormalised ends by the inverse of
        the distribution function, over all levels. [..., D]"""
        if not self.open_ends:
            weights, each = self._at_least(mixture)
            level = torch.zeros_like(u[0])
            for at_least in each:
                level += (weights * at_least).sum(-2) > u[0]
            return level
        logits, location, log_scale = mixture
        upto = logits.softmax(-2).cumsum(-2)[..., :-1, :]
        chosen = (u[0].unsqueeze(-2) > upto).sum(-2, keepdim=True)
        noise = torch.logit(u[1], eps=torch.finfo(u.dtype).eps)
        drawn = location.gather(-2, chosen).squeeze(-2) + torch.exp(log_scale.gather(-2, chosen).squeeze(-2)) * noise
        return torch.floor(drawn).clamp(0, self.levels - 1)

    def mean(self, raw: Tensor) -> Tensor:
        return _coupled_mixture.mean(self, raw) if self.couples_channels else self._mean(self._split(raw))

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if self.couples_channels:
            return _coupled_mixture.sample(self, raw, generator)
        mixture = self._split(raw)
        return self._draw(mixture, self._uniforms(mixture[1][..., 0, :], generator))

    def oracle(self, raw: Tensor) -> Any:
        """ln P(k) of an independent formula, [..., D, K]: differences of scipy's tails, each on its smaller side.
        Raises ValueError where channels are coupled."""
        if why := no_oracle(self):
            raise ValueError(why)
        import numpy as np
        from scipy import special, stats

        logits, location, log_scale = (part.unsqueeze(-1).numpy() for part in self._split(raw.detach()))
        logistic = stats.logistic(location, np.exp(log_scale))
        edges = np.arange(self.levels + 1.0)
        if self.open_ends:
            edges[0], edges[-1] = -np.inf, np.inf
        low, high = edges[:-1], edges[1:]
        left = logistic.cdf(high) - logistic.cdf(low)
        right = logistic.sf(low) - logistic.sf(high)
        mass = np.where(np.arange(self.levels) + 0.5 < location, left, right)
        total = (special.softmax(logits, axis=-3) * mass).sum(-3)
        return np.log(total if self.open_ends else total / total.sum(-1, keepdims=True))
