"""What is trained, and how long: the members of a bundle and the schedule that they share."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vae_core.likelihoods import Likelihood
from vae_core.numerics.precision import PRODUCTS
from vae_core.objectives import OBJECTIVES, Bound


@dataclass(frozen=True)
class Member:
    """One model of a bundle: its likelihood (single, unstacked), its objective's name, its seed, and its learning rate
    where it is not the schedule's.

    Raises ValueError where the likelihood cannot be trained on that objective, or the learning rate is no number > 0.
    """

    likelihood: Likelihood
    objective: str = "elbo"
    seed: int = 0
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        if self.learning_rate is not None:
            _require_rate(self.learning_rate)
        self.likelihood.require_objective(self.objective)

    @property
    def bound(self) -> Bound:
        """What is raised, as a formula."""
        return OBJECTIVES[self.objective]


@dataclass(frozen=True)
class Schedule:
    """How long and how: Adam (Kingma & Ba 2015), one learning rate, batches of `batch_size` images, L = train_samples.

    An epoch is ⌊N / batch_size⌋ steps over a fresh permutation; the remainder of each permutation is left out.
    `precision` is that of the networks' products in training (vae_core.numerics.precision).
    Raises ValueError for values out of range.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    train_samples: int = 1
    binarisation: str = "stochastic"
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "train_samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, given {getattr(self, name)}")
        _require_rate(self.learning_rate)
        if self.precision not in PRODUCTS:
            raise ValueError(f"unknown precision {self.precision!r} (allowed: {', '.join(PRODUCTS)})")


def _require_rate(rate: float) -> None:
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"learning_rate must be a finite number > 0, given {rate}")
