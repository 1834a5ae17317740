"""How many samples a bound takes: a pilot decides, and the pass that is reported is another.

From weights of relative variance v = Var(w)/E(w)² the bound at L lies below ln p(x) by v/(2L), with a Monte-Carlo
variance of v/L, both to first order in 1/L (delta method; Nowozin 2018, Debiasing evidence approximations, prop. 1;
that the bound rises with L at all: Burda, Grosse & Salakhutdinov 2016, theorem 1). So a pilot of PILOT weights, whose v
is known, predicts what any other L would give, as far as the tail of the weights has the variance that this takes, of
which k̂ tells (how many samples heavier tails take: Chatterjee & Diaconis 2018, The sample size required in importance
sampling).

What was measured, of 14 kinds of models of digits (learned and fixed scales, pmfs, binned training, recipes; 300
images, latent 10) with fitted proposals, whose v is 0.4 to 0.7: the bound at L = 100 is 0.000 to 0.012 nats below that
at 4000, 0.0003 bits/dim at most. Its k̂ is what asks for more. That of few weights is noise about a prior of ½, and is
held to a strict threshold: at L = 50 a bad share of 0.04 to 0.35 is found where at L = 1000 there is none, at L = 100
still 0.00 to 0.14, from L = 200 on 0.02 at most. But above TAIL, the threshold of the largest L, lie no more than 0.01
of the pilot's k̂ in any of them. Therefore

* no pass below the pilot's own L is tried: half of the good ones would be refused;
* the pilot's own L is expected to do where its k̂ are good by its own threshold, any larger one where they are below
  TAIL, and where they are not the largest is taken at once;
* the fresh pass is held to the same criteria with its own weights. Where it misses them, the next larger L of the grid
  follows, fresh again. That looks at the weights' spread and tail, and never at the bound.

A bound so chosen is of one L for all images, and with that L an image's score is what it is in any other set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vae_core.evaluate.importance import Estimate
from vae_core.evaluate.pareto import khat_threshold

Key = TypeVar("Key")
Kind = TypeVar("Kind")

#: weights of each image that a pilot looks at
PILOT = 100
#: names of a pilot's noise, and of that of passes without one; a pass that a pilot has chosen is of neither
PILOT_NOISE, NOISE = "pilot", "importance"
#: share of images with a bad k̂ above which a bound is not believed, and `refine="auto"` fits proposals to all of them
BAD_SHARE = 0.05
#: effective samples in the median image below which a bound is not believed
ESS_FLOOR = 10.0
#: k̂ above it are bad whatever L
TAIL = 0.7


@dataclass(frozen=True)
class Effort:
    """What a pass is held to: the grid of L that it may take, and the error that it may have."""

    grid: tuple[int, ...]  #: smallest first
    nats: float = 0.0  #: at most so much bias, and standard error, of the mean over images; 0: the largest L is taken

    @staticmethod
    def of(grid: Sequence[int], tolerance: float | None, dims: int) -> Effort:
        """For a tolerance in bits/dim; with none, or with no L above PILOT, there is nothing to decide.

        Raises ValueError for one that is no number of 0 or more.
        """
        if tolerance is not None and not 0 <= tolerance < math.inf:
            raise ValueError(f"tolerance must be a number of bits/dim of 0 or more, given {tolerance!r}")
        return Effort(tuple(grid), (tolerance or 0.0) * dims * math.log(2) if max(grid) > PILOT else 0.0)

    @property
    def decides(self) -> bool:
        """Whether a pilot does."""
        return self.nats > 0

    @property
    def first(self) -> tuple[list[int], str]:
        """L of the encoder's own pass, and the name of its noise: the pilot's where there is one."""
        return (self.sizes(PILOT), PILOT_NOISE) if self.decides else (list(self.grid), NOISE)

    def sizes(self, samples: int) -> list[int]:
        """The L of the grid that a pass of so many samples gives, and that one."""
        return sorted({*(size for size in self.grid if size <= samples), samples})

    @property
    def candidates(self) -> list[int]:
        """The L that a pass may take, smallest first."""
        return [size for size in self.grid if size >= PILOT] if self.decides else [self.grid[-1]]

    def least(self, pilot: Estimate) -> int:
        """The smallest of them at which the bound can be expected to do; the largest where none can."""
        fit = (size for size in self.candidates if enough(pilot, size, self.nats))
        return next(fit, self.grid[-1])

    def carry_out(
        self,
        pilots: Mapping[Key, Estimate | None],
        sample: Callable[[Sequence[Key], Sequence[int], str], Mapping[Key, Mapping[Kind, Estimate]]],
        judge: Kind,
    ) -> dict[Key, Mapping[Kind, Estimate]]:
        """The passes that are reported, none of whose noise the pilots have seen.

        Args:
            pilots: by what is scored, each its own pilot; None: as many samples as the grid has.
            sample: (some of these, L, a name for the noise) -> their estimates; those of one L share a pass.
            judge: which of an estimate's kinds is held to the criteria.
        """
        waiting = {key: self.grid[-1] if pilot is None else self.least(pilot) for key, pilot in pilots.items()}
        done: dict[Key, Mapping[Kind, Estimate]] = {}
        while waiting:
            size = min(waiting.values())
            together = [key for key, wanted in waiting.items() if wanted == size]
            for key, estimates in sample(together, self.sizes(size), self._noise(size)).items():
                if size == self.grid[-1] or enough(estimates[judge], size, self.nats):
                    done[key] = estimates
                    del waiting[key]
                else:
                    waiting[key] = min(larger for larger in self.grid if larger > size)
        return done

    def _noise(self, samples: int) -> str:
        return f"{NOISE}, {samples} reported" if self.decides else NOISE


def enough(estimate: Estimate, samples: int, nats: float) -> bool:
    """Whether a bound of so many samples can be expected to have a bias and a standard error of `nats` at most, over
    its images, and weights that it can be believed by; from the weights of an estimate of so many or fewer."""
    variance = estimate.relative_variance
    bias = float(variance.mean()) / (2 * samples)
    error = math.sqrt(float(variance.sum()) / samples) / variance.numel()
    effective = float((samples / (1 + variance)).median())
    tail = TAIL if samples > estimate.samples else khat_threshold(samples)
    bad = float((~(estimate.khat <= tail)).double().mean())
    return bias <= nats and error <= nats and effective >= ESS_FLOOR and bad <= BAD_SHARE  # False where one is NaN
