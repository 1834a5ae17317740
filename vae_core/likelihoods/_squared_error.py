"""MSE plus KL, the folk recipe: a Gaussian whose σ nobody chose. Trained as written; its decoder gives the mean μ of a
grey value, about which it is read as true distributions, at the σ that the weight of the squared error implies or at
one that is fitted to training data."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from vae_core.likelihoods._base import Layout
from vae_core.likelihoods._parameters import Parameters, as_it_is
from vae_core.likelihoods._raw import location
from vae_core.likelihoods._readings import CLIP, FITTED, IMPLIED, SETTLED, MeanRecipe, Reading
from vae_core.numerics.elementwise import sum_squares

if TYPE_CHECKING:
    from torch import Tensor


class SquaredError(MeanRecipe):
    """Squared error against grey values g = k/(K−1), times a weight w: a Gaussian of g with σ² = 1/(2w).

    Args:
        score: as which true distribution about μ `log_mass` scores it; a σ to be fitted is given by `fit`. Raises
            ValueError for one that is not among its `scorings`.
        levels: K, the data's number of levels, without which the binomial draws no samples. Raises ValueError if
            below 2 or no integer.
    """

    readings: ClassVar[Mapping[str, Reading]] = {**IMPLIED, **FITTED, **SETTLED}
    scorings = tuple(readings)
    chance = f"μ, moved into [{CLIP:g}, {1 - CLIP:g}]"
    examples: ClassVar[tuple[dict[str, Any], ...]] = tuple({"score": name} for name in scorings)

    def __init__(self, score: str = "gaussian_implied", levels: int | None = None) -> None:
        super().__init__(score, levels)

    @abstractmethod
    def weight(self, dims: int) -> float:
        """Factor on the summed squared error for D = dims."""

    def layout(self) -> Layout:
        return location("μ of a grey value k/(K−1)")

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        return -self.weight(raw.shape[-1]) * sum_squares(x - raw)

    def implied_log_sigma(self, dims: int) -> float:
        return -0.5 * math.log(2 * self.weight(dims))

    def logits(self, raw: Tensor) -> Tensor:
        """Of μ, moved into [CLIP, 1 − CLIP]: a squared error lets it be anything."""
        return torch.logit(raw, CLIP)

    def raw(self, **parameters: Any) -> Tensor:
        """Raw outputs [..., D] of `mean`, the μ of a grey value k/(K−1) [..., D]. Raises ValueError for an unknown or
        missing parameter."""
        given = Parameters(self.name, parameters)
        mean = given.need(mean=as_it_is)
        given.done()
        return mean

    def mean(self, raw: Tensor) -> Tensor:
        return raw
