"""The scale σ of a location-scale family: a number, or learned in one of four ways (docs/RULES.md).

A raw output of σ is ln σ itself. Only far below what data can tell it is bent, so that σ stays above a floor: a 64th of
a bin, 1/(64 K), where K was told (`levels`), else that of the finest lattice of the suite, K = 65,536: 2.4e-7 of the
data's range. With f = ln floor,

    ln σ = f + ln(1 + e^{4 (raw − f)})/4,

which is raw to float32's last digit from σ of one bin on, and off by 6e-5 at an eighth of a bin. Its inverse, exact:
raw = ln σ + ln(1 − e^{−4 (ln σ − f)})/4 (`raw_of`).

=========== ============================================================ ===============
mode        meaning                                                      raw width R
=========== ============================================================ ===============
a number    fixed                                                        D
"shared"    one learned scalar                                           D
"image"     one per image, the decoder's last output                     D + 1
"pixel"     one per dimension: "Gaussian MLP" (Kingma & Welling 2014, C.2) 2 D
"optimal"   maximum-likelihood σ of the batch in training (σ-VAE,        D
            Rybkin et al. 2021, eq. 6), a running mean of it at test
=========== ============================================================ ===============

It is one file: five ways of a few lines each, and the map that they share.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch

from vae_core.likelihoods._base import Layout, Part
from vae_core.likelihoods._parameters import require_one_each, together
from vae_core.likelihoods._raw import location, of_decoder
from vae_core.numerics.elementwise import floored
from vae_core.numerics.visible import constant, mapped, readable, transformed, underived

if TYPE_CHECKING:
    from torch import Tensor

#: learned scales stay above this share of a bin: in the middle of a bin its mass is 1 to the last digit there, whatever
#: the family but a Student-t
FLOOR_OF_A_BIN = 1 / 64
#: K where none is told: the finest lattice of the suite
FINEST = 1 << 16
#: how sharply the map to ln σ bends at the floor
SHARPNESS = 4.0
#: Adam moves a parameter by about its learning rate a step: a lone scalar ln σ would need a thousand steps for a factor
#: e, so the learned scalar is θ with ln σ = GAIN θ
GAIN = 10.0
#: weight of the past in the running mean of "optimal"
DECAY = 0.99

MODES = ("shared", "image", "pixel", "optimal")

_NO_VMAP = (
    "train_log_prob of sigma='optimal' remembers one σ of all that it is given, which vmap over data would make many: "
    "give it the batch without vmap, or map log_prob (models side by side: torch.func.functional_call with buffers "
    "stacked like the parameters)"
)


class Scale(Part):
    """ln σ as a function of the raw output, with what is learned of it."""

    notes = (*Part.notes, "floor", "sharpness")
    floor: float = math.log(FLOOR_OF_A_BIN / FINEST)  #: ln of what a learned σ stays above
    sharpness: float = SHARPNESS

    @abstractmethod
    def outputs(self, dims: int) -> int:
        """Raw width R."""

    @abstractmethod
    def split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """raw [..., R] -> location [..., D] (before the link) and ln σ, broadcastable against it."""

    def join(self, location: Tensor, log_sigma: Tensor | None) -> Tensor:
        """The inverse of `split`: location [..., D] before the link, ln σ where the decoder gives it. Raises ValueError
        where one is wanted and not given, or given and not wanted."""
        if log_sigma is not None:
            raise ValueError(f"σ is {self.said}, no raw output: leave sigma out here, and set it by {self.way}")
        return location

    def refusal(self, objective: str) -> str:
        """Why a family with this scale cannot be trained on `objective`, "" where it can."""
        return ""

    said: ClassVar[str]  #: what σ is, where it is no raw output
    way: ClassVar[str]  #: how it is set

    def from_raw(self, raw: Tensor) -> Tensor:
        """ln σ of a raw output, elementwise."""
        return floored(raw, self.floor, self.sharpness)

    def raw_of(self, log_sigma: Tensor) -> Tensor:
        """The raw output of ln σ, elementwise. Raises ValueError for σ at its floor or below."""
        above = self.sharpness * (log_sigma - self.floor)
        if not bool((above > 0).all()):
            raise ValueError(
                f"sigma={float(log_sigma.exp().min()):.3g} is not above its floor, {math.exp(self.floor):.3g}"
                ", a 64th of a bin (levels=K tells how wide one is)"
            )
        return log_sigma + torch.log(-torch.expm1(-above)) / self.sharpness

    def layout(self, said: str, link: str = "identity") -> Layout:
        """Of raw outputs that are the location behind its link, `said` being its unit, and σ where `split` takes it
        from them."""
        if not self.per:
            return location(said, link) + Layout(beside=(f"sigma is {self.said}, no raw output: set by {self.way}",))
        return location(said, link) + of_decoder(self.per, self.floor, self.sharpness)

    per: ClassVar[str] = ""  #: the shape of σ, where the decoder gives it

    def set_log(self, value: Tensor) -> None:
        """Sets ln σ, [] or [M], where σ is one learned number. Raises ValueError where it is none."""
        raise ValueError(f"σ is {self.said}, which is not set: only sigma='shared' or 'optimal' is one learned number")


def make_scale(sigma: float | str, levels: int | None = None) -> Scale:
    """The scale that `sigma` names, above the floor that K levels give. Raises ValueError with what is allowed."""
    scale = _scale_of(sigma)
    if levels is not None:
        if isinstance(levels, bool) or not isinstance(levels, int) or levels < 2:
            raise ValueError(f"levels={levels!r} is no number of levels: give an integer of 2 or more")
        scale.floor = math.log(FLOOR_OF_A_BIN / levels)
    return scale


def _scale_of(sigma: float | str) -> Scale:
    if isinstance(sigma, str) and sigma in MODES:
        modes: dict[str, Callable[[], Scale]] = {"shared": Shared, "image": Image, "pixel": Pixel, "optimal": Optimal}
        return modes[sigma]()
    if isinstance(sigma, bool) or not isinstance(sigma, int | float):
        raise ValueError(f"sigma={sigma!r} is no scale (allowed: a number > 0, or one of {', '.join(MODES)})")
    if not (math.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma={sigma!r} is not a finite number > 0: give a positive scale such as 0.1")
    return Fixed(float(sigma))


def _against(value: Tensor, like: Tensor) -> Tensor:
    """[M] -> [M, 1, …, 1] with the number of axes of `like`; a scalar stays one."""
    return value.reshape(value.shape + (1,) * (like.ndim - value.ndim)) if value.ndim else value


class Fixed(Scale):
    """σ is a number."""

    mode = "number"
    said, way = "a number", "the option sigma"
    option = "sigma"

    def __init__(self, sigma: float) -> None:
        self.sigmas: tuple[float, ...] = (sigma,)
        self.stacked = False
        self._log: Tensor | None = None

    def outputs(self, dims: int) -> int:
        return dims

    def split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        return raw, _against(self._log_for(raw), raw)

    def _log_for(self, raw: Tensor) -> Tensor:
        """ln σ in raw's type and on its device, kept from one call to the next."""
        kept = self._log  # read once: threads of other devices may change it meanwhile
        if kept is None or kept.device != raw.device or kept.dtype != raw.dtype:
            logs = [math.log(s) for s in self.sigmas]
            kept = constant(logs if self.stacked else logs[0], raw.dtype, raw.device)
            if not transformed():
                self._log = kept
        return kept

    def numbers(self, like: Tensor) -> dict[str, Tensor]:
        return {"_log": self._log_for(like)}

    def stack(self, parts: Sequence[Any]) -> Fixed:
        stacked = Fixed(1.0)
        stacked.sigmas, stacked.stacked = tuple(part.sigmas[0] for part in parts), True
        return stacked

    def select(self, index: int) -> Fixed:
        return Fixed(self.sigmas[index])


class Shared(Scale):
    """One learned scalar: GAIN θ is its raw output, ln σ but for the floor."""

    mode = "shared"
    said, way = "one learned scalar", "set_sigma"
    notes = (*Scale.notes, "_start")
    theta: Tensor

    def __init__(self) -> None:
        self._start = 0.0  # θ as it was made, or set by `initialise`

    def learned(self) -> dict[str, Tensor]:
        return {"theta": torch.full((), self._start)}

    def outputs(self, dims: int) -> int:
        return dims

    def split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        return raw, _against(self.from_raw(GAIN * self.theta.to(raw.dtype)), raw)

    def initialise(self, spread: float) -> None:
        self._start = math.log(max(spread, 2 * math.exp(self.floor))) / GAIN
        with torch.no_grad():
            self.theta.fill_(self._start)
        self._moved = False

    def stack(self, parts: Sequence[Any]) -> Self:
        stacked = super().stack(parts)
        stacked._start = next((part._start for part in parts if part.untouched()), self._start)
        return stacked

    def set_log(self, value: Tensor) -> None:
        require_one_each("sigma", value, self.theta)
        with torch.no_grad():
            self.theta.copy_(self.raw_of(value.double()) / GAIN)
        self._moved = True

    def untouched(self) -> str:
        if self._moved or not readable(self.theta):
            return ""
        self._moved = not bool((self.theta == torch.full_like(self.theta, self._start)).any())
        return "" if self._moved else f"sigma='shared' (σ = {math.exp(GAIN * self._start):.3g}, where it starts)"


class Image(Scale):
    """One σ per image: the decoder's last output."""

    mode, per = "image", "[..., 1]"

    def outputs(self, dims: int) -> int:
        return dims + 1

    def split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        return raw[..., :-1], self.from_raw(raw[..., -1:])

    def join(self, location: Tensor, log_sigma: Tensor | None) -> Tensor:
        if log_sigma is None:
            raise ValueError("sigma='image' has its σ among the raw outputs: give sigma, [..., 1]")
        if log_sigma.shape[-1] != 1:
            raise ValueError(f"sigma='image' has one σ an image: give sigma [..., 1], not {list(log_sigma.shape)}")
        one_each = together(mean=location[..., :1], sigma=self.raw_of(log_sigma))[1]
        return torch.cat([location.expand(*one_each.shape[:-1], -1), one_each], -1)

    said, way = "one number an image, from the decoder", "raw"


class Pixel(Scale):
    """One σ per dimension: the second half of the decoder's outputs."""

    mode, per = "pixel", "[..., D]"

    def outputs(self, dims: int) -> int:
        return 2 * dims

    def split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        loc, log_scale = raw.chunk(2, dim=-1)
        return loc, self.from_raw(log_scale)

    def join(self, location: Tensor, log_sigma: Tensor | None) -> Tensor:
        if log_sigma is None:
            raise ValueError("sigma='pixel' has its σ among the raw outputs: give sigma, [..., D]")
        return torch.cat(together(mean=location, sigma=self.raw_of(log_sigma)), -1)

    said, way = "one number a dimension, from the decoder", "raw"


class Optimal(Scale):
    """σ in closed form from the residuals: of the batch in training, their running mean (of the family's residual
    statistic) afterwards."""

    mode = "optimal"
    said, way = "the residuals' own", "set_sigma, fit_scale or training with train_log_prob"
    log: Tensor  #: ln σ in use, [] or [M]; NaN before there is one
    mean: Tensor  #: running sum of the residual statistic, discounted, [] or [M]
    weight: Tensor  #: sum of the discounted weights, [] or [M]

    def __init__(self) -> None:
        self._known = False

    def fitted(self) -> dict[str, Tensor]:
        return {"log": torch.full((), math.nan), "mean": torch.zeros(()), "weight": torch.zeros(())}

    def outputs(self, dims: int) -> int:
        return dims

    def split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        if why := self.untouched():
            raise ValueError(why)
        return raw, _against(self.log.to(raw.dtype), raw)

    def untouched(self) -> str:
        if self._known or not readable(self.log):
            return ""
        self._known = not bool(self.log.isnan().any())
        return (
            ""
            if self._known
            else "sigma='optimal' has not seen training data: train with train_log_prob, or call set_sigma, "
            "set_residual_statistic or vae_core.training.fit_scale"
        )

    def refusal(self, objective: str) -> str:
        if objective == "binned":
            return "sigma='optimal' is a closed form of the density's, 'binned' has none (sigma='shared' takes both)"
        return ""

    def stack(self, parts: Sequence[Any]) -> Self:
        """Of parts that have seen nothing σ = 1, for a bundle that is looked at before it is trained."""
        stacked = super().stack(parts)
        stacked.put({"log": stacked.log.nan_to_num(nan=0.0)})
        return stacked

    def observe(self, statistic: Tensor) -> Tensor:
        """Adds a batch's statistic [] or [M]; returns the running mean, without the start's bias. Raises ValueError
        inside of a vmap over data."""
        mean, weight = underived(self.mean), underived(self.weight)
        if mapped(statistic) and not mapped(mean):
            raise ValueError(_NO_VMAP)
        mean.mul_(DECAY).add_(statistic, alpha=1 - DECAY)
        weight.mul_(DECAY).add_(1 - DECAY)
        return mean / weight

    def set_log(self, value: Tensor) -> None:
        require_one_each("sigma", value, self.log)
        underived(self.log).copy_(value)
