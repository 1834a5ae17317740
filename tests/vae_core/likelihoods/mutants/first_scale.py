"""A stack that scores every model with the scale of the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from vae_core.likelihoods._scale import Fixed
from vae_core.likelihoods.gaussian import Gaussian


class Forgetful(Fixed):
    def stack(self, parts: Sequence[Any]) -> Self:
        stacked = type(self)(1.0)
        stacked.sigmas, stacked.stacked = self.sigmas * len(parts), True
        return stacked


class FirstScale(Gaussian):
    sigma_modes = ()

    def __init__(self, sigma: float = 0.1, link: str = "identity") -> None:
        super().__init__(sigma, link)
        self.scale = Forgetful(sigma)
