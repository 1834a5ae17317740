"""ν, the degrees of freedom of a Student-t: a number, or one learned scalar for each model."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods._base import Part
from vae_core.likelihoods._scale import GAIN

if TYPE_CHECKING:
    from torch import Tensor

#: a number may lie here: the tail's polynomial is tested from end to end, and at 10⁶ the t is a Gaussian to 1e-6
LEAST, MOST = 0.1, 1e6
#: a learned ν stays between these: 1 is the Cauchy, which has no mean, and above 100 an image cannot tell it from ∞
FLOOR, CEILING = 1.0, 100.0
#: where learning starts
START = 5.0

_MIDDLE, _REACH = 0.5 * math.log(FLOOR * CEILING), 0.5 * math.log(CEILING / FLOOR)


class DegreesOfFreedom(Part):
    """ν as a part of a likelihood."""

    @abstractmethod
    def value(self, device: torch.device) -> Tensor:
        """ν in float64, [] or [M]."""


def make_degrees(df: float | str) -> DegreesOfFreedom:
    """The ν that `df` names. Raises ValueError with what is allowed."""
    if df == "shared":
        return Learned()
    if isinstance(df, bool) or not isinstance(df, int | float) or not LEAST <= df <= MOST:
        raise ValueError(f"df={df!r} is out of range (allowed: a number from {LEAST:g} to {MOST:g}, or 'shared')")
    return Given(float(df))


class Given(DegreesOfFreedom):
    """ν is a number."""

    mode = "number"

    def __init__(self, df: float) -> None:
        self.dfs: tuple[float, ...] = (df,)
        self.stacked = False
        self._value: Tensor | None = None

    def value(self, device: torch.device) -> Tensor:
        if self._value is None or self._value.device != device:
            dfs = list(self.dfs) if self.stacked else self.dfs[0]
            self._value = torch.tensor(dfs, dtype=torch.float64, device=device)
        return self._value

    def stack(self, parts: Sequence[Any]) -> Given:
        stacked = Given(1.0)
        stacked.dfs, stacked.stacked = tuple(part.dfs[0] for part in parts), True
        return stacked

    def select(self, index: int) -> Given:
        return Given(self.dfs[index])


class Learned(DegreesOfFreedom):
    """One learned scalar θ: ln ν = middle + reach tanh(GAIN θ / reach), between ln FLOOR and ln CEILING."""

    mode = "shared"
    state_names = ("theta",)

    def __init__(self) -> None:
        self.count: int | None = None
        self._theta: Tensor | None = None

    @property
    def theta(self) -> Tensor:
        if self._theta is None:
            start = _REACH * math.atanh((math.log(START) - _MIDDLE) / _REACH) / GAIN
            self._theta = torch.full(() if self.count is None else (self.count,), start).requires_grad_()
        return self._theta

    def value(self, device: torch.device) -> Tensor:
        return torch.exp(_MIDDLE + _REACH * torch.tanh(GAIN / _REACH * self.theta.double()))

    def parameters(self) -> list[Tensor]:
        return [self.theta]

    def stack(self, parts: Sequence[Any]) -> Learned:
        stacked = Learned()
        stacked.count = len(parts)
        with torch.no_grad():
            stacked.theta.copy_(torch.stack([part.theta for part in parts]))
        return stacked

    def select(self, index: int) -> Learned:
        selected = Learned()
        selected._theta = self.theta[index].detach().clone().requires_grad_()
        return selected

    def to(self, device: torch.device | str) -> Learned:
        self._theta = self.theta.detach().to(device).requires_grad_()
        return self
