"""What is trained, and how long: the members of a bundle and the schedule that they share."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vae_core.likelihoods import Likelihood
from vae_core.numerics.precision import PRODUCTS
from vae_core.objectives import BOUNDS, require_kl


@dataclass(frozen=True)
class Member:
    """One model of a bundle: its likelihood (single, unstacked), what it is trained on (one of the likelihood's
    `objectives`, its first where none is given), which of BOUNDS is raised, its seed, and its learning rate where it is
    not the schedule's.

    What is raised may have another KL than the bound. `kl_weight` times it (β-VAE: Higgins et al. 2017, eq. 4); of
    an importance-weighted bound, that times ln p(z)/q(z|x) of each sample. With `kl_warmup` the weight rises from 0 at
    the first step to `kl_weight`, linearly in the steps, over so many epochs, or below 1 over that share of the
    schedule's (Bowman et al. 2016; linear as in Sønderby et al. 2016); of the epochs until then none is chosen, and
    patience begins after them. `free_bits` are nats a latent dimension that cost nothing (`objectives.free_bits_kl`);
    the weight is on what is left. Epochs are chosen, and trainings end, by what is raised at its whole weight, on
    validation images; what is reported of a model (vae_core.evaluate) has the KL as it is.

    Raises ValueError where the likelihood cannot be trained on that objective, where there is no such bound, or a
    number is out of range.
    """

    likelihood: Likelihood
    objective: str = ""
    bound: str = "elbo"
    seed: int = 0
    learning_rate: float | None = None
    kl_weight: float = 1.0
    kl_warmup: float = 0.0  #: epochs, or a share of the schedule's below 1; 0 is none
    free_bits: float = 0.0  #: nats a latent dimension

    def __post_init__(self) -> None:
        if self.learning_rate is not None:
            _require_rate(self.learning_rate)
        if not self.objective:
            object.__setattr__(self, "objective", self.likelihood.objectives[0])
        self.likelihood.require_objective(self.objective)
        if self.bound not in BOUNDS:
            raise ValueError(f"unknown bound {self.bound!r} (allowed: {', '.join(BOUNDS)})")
        require_kl(self.kl_weight, self.kl_warmup, self.free_bits, BOUNDS[self.bound])

    @property
    def raises_bound(self) -> bool:
        """Whether what it raises in the end is the bound itself, the KL as it is."""
        return self.kl_weight == 1 and not self.free_bits

    def warmup_epochs(self, schedule: Schedule) -> float:
        """Over how many epochs the KL's weight rises. Raises ValueError where none would have the whole weight."""
        epochs = self.kl_warmup * schedule.epochs if self.kl_warmup < 1 else self.kl_warmup
        if epochs >= schedule.epochs:
            raise ValueError(
                f"kl_warmup = {self.kl_warmup:g} leaves none of {schedule.epochs} epochs the whole weight of the KL: "
                "give more epochs, or a shorter warm-up"
            )
        return epochs


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
    depends but where training stops at the latest, and a warm-up that is given as a share: a model ends when its
    validation objective has not risen by more than `tolerance` bits/dim over the last `patience` epochs
    (vae_core.training.course).

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
