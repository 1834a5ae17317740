"""What is trained, and how long: the members of a bundle and the schedule that they share."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vae_core.likelihoods import Likelihood
from vae_core.numerics.precision import PRODUCTS
from vae_core.objectives import BOUNDS


@dataclass(frozen=True)
class Member:
    """One model of a bundle: its likelihood (single, unstacked), what it is trained on (one of the likelihood's
    `objectives`, its first where none is given), which of BOUNDS is raised, its seed, and its learning rate where it is
    not the schedule's.

    Raises ValueError where the likelihood cannot be trained on that objective, where there is no such bound, or the
    learning rate is no number > 0.
    """

    likelihood: Likelihood
    objective: str = ""
    bound: str = "elbo"
    seed: int = 0
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        if self.learning_rate is not None:
            _require_rate(self.learning_rate)
        if not self.objective:
            object.__setattr__(self, "objective", self.likelihood.objectives[0])
        self.likelihood.require_objective(self.objective)
        if self.bound not in BOUNDS:
            raise ValueError(f"unknown bound {self.bound!r} (allowed: {', '.join(BOUNDS)})")


#: validations of a training of fixed length
VALIDATIONS = 25
#: validations within the stretch over which a model must gain, where it is at least as many epochs long
VALIDATIONS_OF_A_STRETCH = 10


@dataclass(frozen=True)
class Schedule:
    """How long and how: Adam (Kingma & Ba 2015), one learning rate, batches of `batch_size` images, L = train_samples.

    An epoch is ⌊N / batch_size⌋ steps over a fresh permutation; the remainder of each permutation is left out.
    `precision` is that of the networks' products in training (vae_core.numerics.precision).

    With `patience` 0 every model is trained for `epochs` epochs. With more, `epochs` is a limit on which nothing
    depends but where training stops at the latest: a model ends when its validation objective has not risen by more
    than `tolerance` bits/dim over the last `patience` epochs (vae_core.training.course).

    With `averaging` above 0 what is validated, kept and returned are exponentially averaged weights e, of all that
    training changes: after each step, of weights w, e ← d e + (1 − d) w with d = min(averaging, (1 + t) / (10 + t)),
    t the steps taken before it, so that the start is soon forgotten (Polyak & Juditsky 1992 for the idea; the formula
    is that of TensorFlow's ExponentialMovingAverage).

    Raises ValueError for values out of range.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    train_samples: int = 1
    binarisation: str = "stochastic"
    precision: str = "float32"
    patience: int = 0  #: epochs
    tolerance: float = 0.001  #: bits/dim
    averaging: float = 0.0  #: weight of the past after a step; 0 is no averaging

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "train_samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, given {getattr(self, name)}")
        _require_rate(self.learning_rate)
        if self.precision not in PRODUCTS:
            raise ValueError(f"unknown precision {self.precision!r} (allowed: {', '.join(PRODUCTS)})")
        if self.patience < 0:
            raise ValueError(f"patience must be 0 (train for all epochs) or more epochs, given {self.patience}")
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise ValueError(f"tolerance must be a finite number of bits/dim, 0 or more, given {self.tolerance}")
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging must be 0 (none) or more and below 1, such as 0.995, given {self.averaging}")

    @property
    def validated_every(self) -> int:
        """Epochs from one validation to the next; where `epochs` is only a limit it does not depend on it."""
        if self.patience:
            return max(1, self.patience // VALIDATIONS_OF_A_STRETCH)
        return max(1, self.epochs // VALIDATIONS)


def _require_rate(rate: float) -> None:
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"learning_rate must be a finite number > 0, given {rate}")
