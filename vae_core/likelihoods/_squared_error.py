"""MSE plus KL, the folk recipe: a Gaussian whose σ nobody chose. Trained as written, scored as a Gaussian with the σ
that the weight of the squared error implies, or with the σ fitted to training residuals."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch

from vae_core.likelihoods._base import Recipe
from vae_core.likelihoods._scale import Optimal
from vae_core.likelihoods.gaussian import Gaussian
from vae_core.numerics.elementwise import sum_squares

if TYPE_CHECKING:
    from torch import Tensor

_IMPLIED, _FITTED = "gaussian_implied", "gaussian_fitted"


class SquaredError(Recipe):
    """Squared error against grey values g = k/(K−1), times a weight w: a Gaussian of g with σ² = 1/(2w).

    Its masses are exact in the grey values' own bins, [g − ½/(K−1), g + ½/(K−1)], open at both ends: with
    y = (g (K−1) + ½)/K the same bins as every other family's.

    Args:
        score: which σ `log_mass` uses: "gaussian_implied" or "gaussian_fitted" (`set_residual_statistic` gives it).
            Raises ValueError for anything else.
    """

    scorings = (_IMPLIED, _FITTED)
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({"score": _IMPLIED}, {"score": _FITTED})
    open_ends = True
    _distribution = Gaussian(1.0)

    def __init__(self, score: str = _IMPLIED) -> None:
        if score not in self.scorings:
            raise ValueError(f"score={score!r} is unknown (allowed: {', '.join(self.scorings)})")
        self.needs_fit = score == _FITTED
        self.fitted = Optimal()

    @abstractmethod
    def weight(self, dims: int) -> float:
        """Factor on the summed squared error for D = dims."""

    def scored(self, scoring: str) -> Self:
        rescored = copy.copy(super().scored(scoring))
        rescored.needs_fit = scoring == _FITTED
        rescored.fitted = Optimal()
        return rescored

    def outputs(self, dims: int) -> int:
        return dims

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        return -self.weight(raw.shape[-1]) * sum_squares(x - raw)

    def log_sigma(self, raw: Tensor) -> Tensor:
        """ln σ, in units of the grey values, that this one is scored with."""
        if self.needs_fit:
            return self.fitted.split(raw)[1]
        return torch.full((), -0.5 * math.log(2 * self.weight(raw.shape[-1])), dtype=raw.dtype, device=raw.device)

    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        loc, log_scale = self._unit(raw, levels)
        return self._distribution.binned_log_masses(k, loc, log_scale, levels)

    def log_density(self, y: Tensor, raw: Tensor, levels: int) -> Tensor:
        loc, log_scale = self._unit(raw, levels)
        return self._distribution._log_prob(y, loc, log_scale)

    def _unit(self, raw: Tensor, levels: int) -> tuple[Tensor, Tensor]:
        """Location and ln σ carried from grey values g to the unit view's y = (g (K−1) + ½)/K."""
        return (raw * (levels - 1) + 0.5) / levels, self.log_sigma(raw) + math.log((levels - 1) / levels)

    def mean(self, raw: Tensor) -> Tensor:
        return raw

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        noise = torch.randn(raw.shape, generator=generator, dtype=raw.dtype, device=raw.device)
        return raw + torch.exp(self.log_sigma(raw)) * noise

    def level_of(self, value: Tensor, levels: int) -> Tensor:
        """From a grey value, at y = (g (K−1) + ½)/K of the unit view."""
        return super().level_of((value * (levels - 1) + 0.5) / levels, levels)

    def sigma_in_use(self, raw: Tensor) -> Tensor | None:
        return torch.exp(self.log_sigma(raw))

    def residual_statistic(self, x: Tensor, raw: Tensor) -> Tensor:
        """Mean squared residual against grey values x."""
        return (x - raw).square().mean()

    def set_residual_statistic(self, average: Tensor) -> None:
        self.fitted.set_log(0.5 * torch.log(average))
