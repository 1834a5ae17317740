"""The course of one model through validation: which epoch is its best, when nothing more comes, what it still gained.

All of it goes by the objective that is trained, the KL at its whole weight, on the validation images, with noise that
is the same at every look; what was seen while that weight still rose is written down, and is nobody's best. So two
epochs are compared image by image. Where a model ends by itself (patience > 0) the comparison is a trimmed mean of
those differences. Under a sharp likelihood the score of a single image moves by hundreds of bits from one look to the
next, and in a plain mean over some hundred images it would decide alone: keep a model going that has ended, or hide
what all the others gain. A median would be robust too, but where most images stand still it does not see the others
rise; the trimmed mean uses nine images in ten, and cannot be moved far by the few that it leaves out at either end.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from vae_core.training.recipe import VALIDATIONS_OF_A_STRETCH, Schedule

if TYPE_CHECKING:
    from torch import Tensor

#: share of the images that a trimmed mean leaves out at either end, one image at least
TRIM = 0.05
#: what a model gained in the second half of its epochs, so many times, is the most that it is thought to gain yet. A
#: bound that comes closer to its end as t^−α has 1 / (2^α − 1) times that before it: 1 for α = 1, 2.4 for α = ½
REACH = 3.0
NOISE = 2.0  #: standard errors that a deficit must exceed besides


def trimmed_mean(values: Tensor) -> float:
    """The mean of values [N] without the TRIM share at either end (Tukey 1962): ⌈TRIM N⌉ each, if any are left."""
    kept = _kept(len(values))
    return float(values.double().sort().values[kept].mean())


def trimmed_error(values: Tensor) -> float:
    """The standard error of `trimmed_mean`, from the winsorised deviation (Tukey & McLaughlin 1963); NaN of fewer than
    three values."""
    count = len(values)
    kept = _kept(count)
    within = values.double().sort().values[kept]
    if len(within) < 2:
        return math.nan
    winsorised = values.double().clamp(float(within[0]), float(within[-1]))
    return float(winsorised.std()) * math.sqrt(count) / len(within)


def _kept(count: int) -> slice:
    """Which of `count` values in order a trimmed mean keeps."""
    left_out = min(math.ceil(TRIM * count), (count - 1) // 2)
    return slice(left_out, count - left_out)


class _Best(NamedTuple):
    """An epoch that was the best so far: the images' bounds there, and those that rivals are compared by, [N]."""

    epoch: int
    each: Tensor
    judged: Tensor


class Course:
    """What validation saw of one model.

    Remembered for each image are the best bounds of the second half of the epochs so far and, where that reaches
    further back, of the last `patience`: at most two float32 an image for each validation in it.
    """

    def __init__(self, schedule: Schedule, dims: int, warmup: float = 0.0) -> None:
        """warmup: epochs over which the KL's weight rises: none of them is chosen, and patience begins after them."""
        self._schedule, self._dims, self._warmup = schedule, dims, warmup
        self.history: list[tuple[int, float, float]] = []  #: epoch, training and validation objective, nats
        self.best_epoch, self.validation = 0, -math.inf  #: and the validation objective there, nats
        self.epochs_run = 0
        self.ended_by: str | None = None  #: "patience", "behind", "limit" or "diverged"
        self.failed_at = -1  #: the step, counted from 0, at which the training objective was no longer finite
        self._bests: list[_Best] = []  # every best epoch so far

    def look(self, epoch: int, training: float, validation: float, each: Tensor, judged: Tensor | None = None) -> bool:
        """Takes in an epoch: mean training objective since the last look, mean validation objective, and that of each
        image, [N] on a CPU, nats; `judged` is what it is compared by with rivals, [N], where that is another bound.
        Returns whether it is the best so far."""
        self.history.append((epoch, training, validation))
        if epoch <= self._warmup:
            return False
        better = self._is_better(validation, each)
        if better:
            self.best_epoch, self.validation = epoch, validation
            copy = each.clone()  # `each` may be a row of all models' bounds
            self._bests.append(_Best(epoch, copy, copy if judged is None or judged is each else judged.clone()))
        # no later look asks for a best before this epoch
        asked = min(epoch // 2, epoch - self._schedule.patience)
        while len(self._bests) > 1 and self._bests[1].epoch <= asked:
            del self._bests[0]
        return better

    def _is_better(self, validation: float, each: Tensor) -> bool:
        if not self._schedule.patience:
            return validation > self.validation
        if not math.isfinite(validation):
            return False
        return not self._bests or trimmed_mean(each - self._bests[-1].each) > 0

    def has_ended(self, epoch: int) -> bool:
        """Whether the best bound exceeds that of `patience` epochs ago by no more than the tolerance."""
        before = self._best_by(epoch - self._schedule.patience)
        if before is None:
            return False
        return trimmed_mean(self._bests[-1].each - before.each) <= self._schedule.tolerance * self._dims * math.log(2)

    def beats(self, other: Course) -> bool:
        """Whether its best bound is the higher one."""
        if not self._bests or not other._bests:
            return bool(self._bests)
        return trimmed_mean(self._bests[-1].judged - other._bests[-1].judged) > 0

    def is_beyond_reach_of(self, other: Course, epoch: int) -> bool:
        """Whether `other`, of which only the better one is wanted, would stay behind beyond noise though it gained
        REACH times again what it has gained in the second half of the epochs so far.

        A rate that is too high leads early on and is overtaken, so the present deficit alone would stop the wrong one.
        Nor does it say anything before the model has been looked at for two stretches. It must be so by the trimmed
        mean, which single images do not move, and by the plain one, by which models are chosen and scored.
        """
        looks = sum(looked > other._warmup for looked, _, _ in other.history)
        if not self._bests or not other._bests or looks < 2 * VALIDATIONS_OF_A_STRETCH:
            return False
        before = other._best_by(other._half(epoch))
        if before is None:
            return False
        here = other._bests[-1].judged
        missing = (self._bests[-1].judged - here - REACH * (here - before.judged)).double()
        by_trimmed = trimmed_mean(missing) > NOISE * trimmed_error(missing)
        return by_trimmed and float(missing.mean()) > NOISE * float(missing.std()) / math.sqrt(len(missing))

    def _half(self, epoch: int) -> int:
        """Where the second half of the epochs so far begins, those of the warm-up apart."""
        return math.floor((epoch + self._warmup) / 2)

    def _best_by(self, epoch: int) -> _Best | None:
        """The best epoch up to this one."""
        return next((best for best in reversed(self._bests) if best.epoch <= epoch), None)

    def end(self, by: str, epoch: int) -> None:
        """Nothing is taken in afterwards."""
        self.ended_by, self.epochs_run = by, epoch

    def diverge(self, step: int, steps: int) -> None:
        """Ends where the training objective was no longer finite; `steps` make an epoch."""
        self.failed_at = step
        self.end("diverged", step // steps + 1)

    def last_gain(self) -> tuple[float, float]:
        """The best bound minus the best within the first half of the epochs run, a warm-up apart, and its standard
        error, bits/dim.

        Plain mean and standard error of the mean over images, paired; (0, 0) where the best lies in the first half. NaN
        where unknown: no look in the first half, a single image, or a model that diverged.
        """
        before = self._best_by(self._half(self.epochs_run))
        if before is None or self.ended_by == "diverged":
            return math.nan, math.nan
        gains = (self._bests[-1].each - before.each).double() / (self._dims * math.log(2))
        error = float(gains.std()) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
        return float(gains.mean()), error

    def failure(self, steps: int) -> str | None:
        """Why the model is of no use, or None; `steps` make an epoch."""
        if self.failed_at >= 0:
            return (
                f"the training objective was no longer finite at step {self.failed_at + 1} "
                f"(epoch {self.failed_at // steps + 1})"
            )
        return None if math.isfinite(self.validation) else "the validation objective was never finite"
