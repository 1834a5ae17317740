"""The scale σ of a location-scale family: a number, or learned in one of four ways (docs/RULES.md).

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
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import torch

from vae_core.likelihoods._base import Part
from vae_core.numerics.elementwise import softplus

if TYPE_CHECKING:
    from torch import Tensor

#: learned scales stay above this, a quarter of an 8-bit level: a density of dequantised data gains nothing below it
FLOOR = 1e-3
#: Adam moves a parameter by about its learning rate a step: a lone scalar ln σ would need a thousand steps for a factor
#: e, so the learned scalar is θ with ln σ = GAIN θ
GAIN = 10.0
#: weight of the past in the running mean of "optimal"
DECAY = 0.99

MODES = ("shared", "image", "pixel", "optimal")


class Scale(Part):
    """ln σ as a function of the raw output, with what is learned of it."""

    @abstractmethod
    def outputs(self, dims: int) -> int:
        """Raw width R."""

    @abstractmethod
    def split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """raw [..., R] -> location [..., D] (before the link) and ln σ, broadcastable against it."""

    def stack(self, parts: Sequence[Any]) -> Self:
        return copy.copy(self)

    def select(self, index: int) -> Self:
        return copy.copy(self)


def make_scale(sigma: float | str) -> Scale:
    """The scale that `sigma` names. Raises ValueError with what is allowed."""
    if isinstance(sigma, str):
        if sigma not in MODES:
            raise ValueError(f"sigma={sigma!r} is no scale (allowed: a number > 0, or one of {', '.join(MODES)})")
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


def _log_exp_plus_floor(raw: Tensor) -> Tensor:
    """ln σ from a raw output for σ = e^raw + FLOOR: ln(e^raw + FLOOR) = ln FLOOR + softplus(raw − ln FLOOR)."""
    log_floor = math.log(FLOOR)
    return log_floor + softplus(raw - log_floor)


class Fixed(Scale):
    """σ is a number."""

    mode = "number"

    def __init__(self, sigma: float) -> None:
        self.sigmas: tuple[float, ...] = (sigma,)
        self.stacked = False
        self._log: Tensor | None = None

    def outputs(self, dims: int) -> int:
        return dims

    def split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        if self._log is None or self._log.device != raw.device or self._log.dtype != raw.dtype:
            logs = [math.log(s) for s in self.sigmas]
            self._log = torch.tensor(logs if self.stacked else logs[0], dtype=raw.dtype, device=raw.device)
        return raw, _against(self._log, raw)

    def stack(self, parts: Sequence[Any]) -> Fixed:
        stacked = Fixed(1.0)
        stacked.sigmas, stacked.stacked = tuple(part.sigmas[0] for part in parts), True
        return stacked

    def select(self, index: int) -> Fixed:
        return Fixed(self.sigmas[index])


class Shared(Scale):
    """One learned scalar, ln σ = GAIN θ."""

    mode = "shared"
    state_names = ("theta",)

    def __init__(self) -> None:
        self.start = 1.0
        self.count: int | None = None
        self._theta: Tensor | None = None

    @property
    def theta(self) -> Tensor:
        if self._theta is None:
            shape = () if self.count is None else (self.count,)
            self._theta = torch.full(shape, math.log(self.start) / GAIN).requires_grad_()
        return self._theta

    def outputs(self, dims: int) -> int:
        return dims

    def split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        return raw, _against(_log_exp_plus_floor(GAIN * self.theta.to(raw.dtype)), raw)

    def parameters(self) -> list[Tensor]:
        return [self.theta]

    def initialise(self, spread: float) -> None:
        with torch.no_grad():
            self.theta.fill_(math.log(max(spread, 2 * FLOOR)) / GAIN)

    def stack(self, parts: Sequence[Any]) -> Shared:
        stacked = Shared()
        stacked.count = len(parts)
        with torch.no_grad():
            stacked.theta.copy_(torch.stack([part.theta for part in parts]))
        return stacked

    def select(self, index: int) -> Shared:
        selected = Shared()
        selected._theta = self.theta[index].detach().clone().requires_grad_()
        return selected

    def to(self, device: torch.device | str) -> Shared:
        self._theta = self.theta.detach().to(device).requires_grad_()
        return self


class Image(Scale):
    """One σ per image: the decoder's last output."""

    mode = "image"

    def outputs(self, dims: int) -> int:
        return dims + 1

    def split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        return raw[..., :-1], _log_exp_plus_floor(raw[..., -1:])


class Pixel(Scale):
    """One σ per dimension: the second half of the decoder's outputs."""

    mode = "pixel"

    def outputs(self, dims: int) -> int:
        return 2 * dims

    def split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        loc, log_scale = raw.chunk(2, dim=-1)
        return loc, _log_exp_plus_floor(log_scale)


class Optimal(Scale):
    """σ in closed form from the residuals: of the batch in training, their running mean (of the family's residual
    statistic) afterwards."""

    mode = "optimal"
    state_names = ("log", "mean", "weight")

    def __init__(self) -> None:
        self.count: int | None = None
        self._log: Tensor | None = None
        self._mean: Tensor | None = None
        self._weight: Tensor | None = None

    def outputs(self, dims: int) -> int:
        return dims

    def split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        if self._log is None:
            raise ValueError(
                "sigma='optimal' has not seen training data: train with train_log_prob, or call set_residual_statistic"
            )
        return raw, _against(self._log.to(raw.dtype), raw)

    def state(self) -> list[Tensor]:
        return [self.log, self.mean, self.weight]

    def _zeros(self) -> Tensor:
        return torch.zeros(() if self.count is None else (self.count,))

    @property
    def log(self) -> Tensor:
        """ln σ in use, [] or [M]."""
        if self._log is None:
            self._log = self._zeros()
        return self._log

    @property
    def mean(self) -> Tensor:
        """Running sum of the residual statistic, discounted, [] or [M]."""
        if self._mean is None:
            self._mean = self._zeros()
        return self._mean

    @property
    def weight(self) -> Tensor:
        """Sum of the discounted weights, [] or [M]."""
        if self._weight is None:
            self._weight = self._zeros()
        return self._weight

    def observe(self, statistic: Tensor) -> Tensor:
        """Adds a batch's statistic [] or [M]; returns the running mean, without the start's bias."""
        self.mean.mul_(DECAY).add_(statistic, alpha=1 - DECAY)
        self.weight.mul_(DECAY).add_(1 - DECAY)
        return self.mean / self.weight

    def set_log(self, value: Tensor) -> None:
        self.log.copy_(value)

    def stack(self, parts: Sequence[Any]) -> Optimal:
        stacked = Optimal()
        stacked.count = len(parts)
        stacked._log = torch.stack([part.log for part in parts])
        stacked._mean = torch.stack([part.mean for part in parts])
        stacked._weight = torch.stack([part.weight for part in parts])
        return stacked

    def select(self, index: int) -> Optimal:
        selected = Optimal()
        selected._log, selected._mean, selected._weight = (t[index].detach().clone() for t in self.state())
        return selected

    def to(self, device: torch.device | str) -> Optimal:
        self._log, self._mean, self._weight = (t.to(device) for t in (self.log, self.mean, self.weight))
        return self
