"""ν, the degrees of freedom of a Student-t: a number, or one learned scalar for each model."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods._base import Part
from vae_core.likelihoods._parameters import require_one_each
from vae_core.likelihoods._scale import GAIN
from vae_core.numerics.visible import constant, readable, transformed

if TYPE_CHECKING:
    from torch import Tensor

#: a number may lie here: the tail's polynomial is tested from end to end, and at 10⁶ the t is a Gaussian to 1e-6
LEAST, MOST = 0.1, 1e6
#: a learned ν stays between these: 1 is the Cauchy, which has no mean, and above 100 an image cannot tell it from ∞
FLOOR, CEILING = 1.0, 100.0
#: where learning starts
START = 5.0

_MIDDLE, _REACH = 0.5 * math.log(FLOOR * CEILING), 0.5 * math.log(CEILING / FLOOR)
_START = _REACH * math.atanh((math.log(START) - _MIDDLE) / _REACH) / GAIN


class DegreesOfFreedom(Part):
    """ν as a part of a likelihood."""

    @abstractmethod
    def value(self, device: torch.device) -> Tensor:
        """ν in float64, [] or [M]."""

    def set(self, value: Tensor) -> None:
        """Sets a learned ν, [] or [M]. Raises ValueError where it is none."""
        raise ValueError("df is a number, not learned: make the likelihood with the ν that is wanted")


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
    option = "df"

    def __init__(self, df: float) -> None:
        self.dfs: tuple[float, ...] = (df,)
        self.stacked = False
        self._value: Tensor | None = None

    def value(self, device: torch.device) -> Tensor:
        kept = self._value  # read once: threads of other devices may change it meanwhile
        if kept is None or kept.device != device:
            kept = constant(list(self.dfs) if self.stacked else self.dfs[0], torch.float64, device)
            if not transformed():
                self._value = kept
        return kept

    def numbers(self, like: Tensor) -> dict[str, Tensor]:
        return {"_value": self.value(like.device)}

    def stack(self, parts: Sequence[Any]) -> Given:
        stacked = Given(1.0)
        stacked.dfs, stacked.stacked = tuple(part.dfs[0] for part in parts), True
        return stacked

    def select(self, index: int) -> Given:
        return Given(self.dfs[index])


class Learned(DegreesOfFreedom):
    """One learned scalar θ: ln ν = middle + reach tanh(GAIN θ / reach), between ln FLOOR and ln CEILING."""

    mode = "shared"
    theta: Tensor

    def learned(self) -> dict[str, Tensor]:
        return {"theta": torch.full((), _START)}

    def value(self, device: torch.device) -> Tensor:
        return torch.exp(_MIDDLE + _REACH * torch.tanh(GAIN / _REACH * self.theta.double()))

    def set(self, value: Tensor) -> None:
        if not bool(((value > FLOOR) & (value < CEILING)).all()):
            given = " to ".join(dict.fromkeys(f"{float(end):g}" for end in value.aminmax()))
            raise ValueError(f"a learned ν lies between {FLOOR:g} and {CEILING:g}, given {given}")
        require_one_each("df", value, self.theta)
        with torch.no_grad():
            self.theta.copy_(_REACH * torch.atanh((torch.log(value) - _MIDDLE) / _REACH) / GAIN)
        self._moved = True

    def untouched(self) -> str:
        if self._moved or not readable(self.theta):
            return ""
        self._moved = not bool((self.theta == torch.full_like(self.theta, _START)).any())
        return "" if self._moved else f"df='shared' (ν = {START:g}, where it starts)"
