"""BCE on grey pixels, the folk recipe: trained on a cross-entropy that no distribution has. Its decoder gives
sigmoid(η) as the mean of a grey value, about which it is read as true distributions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from vae_core.likelihoods._base import Layout
from vae_core.likelihoods._parameters import Parameters, as_it_is, probability
from vae_core.likelihoods._raw import logits
from vae_core.likelihoods._readings import FITTED, SETTLED, MeanRecipe, Reading
from vae_core.numerics.elementwise import sum_bernoulli_terms

if TYPE_CHECKING:
    from torch import Tensor


class CrossEntropy(MeanRecipe):
    """Cross-entropy against grey values k/(K−1), times a weight.

    Args:
        score: as which true distribution about sigmoid(η) `log_mass` scores it; a σ to be fitted is given by `fit`.
            Raises ValueError for one that is not among its `scorings`.
        levels: K, the data's number of levels, without which the binomial draws no samples. Raises ValueError if
            below 2 or no integer.
    """

    readings: ClassVar[Mapping[str, Reading]] = {**SETTLED, **FITTED}
    scorings = tuple(readings)
    chance = "sigmoid(η)"
    examples: ClassVar[tuple[dict[str, Any], ...]] = tuple({"score": name} for name in scorings)

    def __init__(self, score: str = "continuous_bernoulli", levels: int | None = None) -> None:
        super().__init__(score, levels)

    @abstractmethod
    def weight(self, dims: int) -> float:
        """Factor on the summed cross-entropy for D = dims."""

    def layout(self) -> Layout:
        return logits("the mean of a grey value")

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        return self.weight(raw.shape[-1]) * sum_bernoulli_terms(x, raw)

    def logits(self, raw: Tensor) -> Tensor:
        return raw

    def raw(self, **parameters: Any) -> Tensor:
        """Raw outputs [..., D] of `logits` η or of `probs`, the mean of a grey value, each [..., D].

        Raises ValueError for an unknown or missing parameter, and for a probability outside of (0, 1).
        """
        given = Parameters(self.name, parameters)
        logits = given.need(logits=as_it_is, probs=probability("probs"))
        given.done()
        return logits

    def mean(self, raw: Tensor) -> Tensor:
        """What folk show as the reconstruction, the sigmoid: that of every reading but the continuous Bernoulli, whose
        mean lies nearer ½."""
        return torch.sigmoid(raw)
