"""What was counted, as functions of models, batch, images and samples: plain numbers, for a process that executes no
torch. `training` and `evaluation` make them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bench.speed.estimate.cuts import Cut
from bench.speed.estimate.tally import DRAWN, NOTHING, Tally, total

ROWS = 1000  # of one batch of a validation (vae_core.training.loop)
#: looks of a fit (vae_core.evaluate.refine.STEPS, and one more), and images whose gap is split (assess)
LOOKS = {"full": 16, "diagonal": 31}


Parts = tuple[Tally, Tally, Tally]


@dataclass(frozen=True)
class TrainingCounts:
    """Of models of one kind, or of two side by side. Amounts of a step and of a validation: constant, a model, a model
    and image. Bytes at their most likewise."""

    step: Parts
    validation: Parts
    batch: Tally  #: a further batch of a validation, its launches alone
    setup: tuple[Tally, Tally]  #: the making of a bundle: constant, a model
    memory: tuple[float, float, float]


class StackCounts:
    """Of models of several kinds side by side, so many of each. What all share, which each kind's own counts have too,
    is what two kinds launch less side by side than apart."""

    def __init__(
        self,
        kinds: Sequence[tuple[TrainingCounts, int]],
        two: Sequence[TrainingCounts] = (),
        both: TrainingCounts | None = None,
    ) -> None:
        """two: counts of two kinds each by itself; both: of the two side by side."""
        self.kinds, self._two, self._both = kinds, two, both

    def _shared(self, of: Callable[[TrainingCounts], Tally]) -> Tally:
        """What is launched once, times the kinds that have it besides the first."""
        if self._both is None or len(self.kinds) < 2:
            return NOTHING
        once = (total(map(of, self._two)) - of(self._both)).of_calls().positive()
        return (len(self.kinds) - 1) * once

    def _sum(self, of: Callable[[TrainingCounts], Parts], images: int) -> Tally:
        """Constant, a model, a model and image."""
        constant = total(of(counts)[0] for counts, _ in self.kinds) - self._shared(lambda counts: of(counts)[0])
        models = total(m * (of(counts)[1] + images * of(counts)[2]) for counts, m in self.kinds)
        return (constant.positive() + models).positive()

    def of_step(self, images: int) -> Tally:
        """A step on batches of so many images."""
        return self._sum(lambda counts: counts.step, images)

    def of_validation(self, images: int) -> Tally:
        """A validation of so many."""
        more = total(counts.batch for counts, _ in self.kinds) - self._shared(lambda counts: counts.batch)
        batches = max(0, math.ceil(images / ROWS) - 1)
        return self._sum(lambda counts: counts.validation, images) + batches * more.positive()

    def of_setup(self) -> Tally:
        """The making of the stack."""
        return total(counts.setup[0] + m * counts.setup[1] for counts, m in self.kinds).positive()

    def bytes(self, images: int) -> float:
        """At their most, in training."""
        each = sum(m * (counts.memory[1] + images * counts.memory[2]) for counts, m in self.kinds)
        return max(0.0, max(counts.memory[0] for counts, _ in self.kinds) + each)


@dataclass(frozen=True)
class PassCounts:
    """Of a pass: constant a block, a tile, an image, a pair of an image and a tile's samples; a further piece."""

    block: Tally
    tile: Tally
    image: Tally
    pair: Tally  #: of an image and a sample
    piece: Tally
    drawn: int  #: numbers for a pair

    def of(self, images: int, samples: int, cut: Cut, width: int) -> Tally:
        """Of so many images and L."""
        blocks, tiles = math.ceil(images / cut.images), math.ceil(samples / cut.samples)
        pieces = cut.pieces(images, samples, width) - blocks * tiles
        amounts = images * self.image + images * samples * self.pair
        calls = blocks * self.block + blocks * tiles * self.tile + pieces * self.piece.of_calls()
        drawn = blocks * tiles * cut.images * cut.samples * self.drawn
        return (amounts + calls).but(**{DRAWN: drawn}).positive()


@dataclass(frozen=True)
class FitCounts:
    """Of fits of proposals: constant a block and look, an image and look, besides; bytes of an image at their most."""

    block: Tally
    look: Tally
    image: Tally
    each: Tally  #: of an image and a look
    draws: int
    bytes: float

    def of(self, images: int, looks: int, cut: Cut, width: int) -> Tally:
        blocks = math.ceil(images / cut.fitted_at_once(width, self.draws))
        amounts = images * self.image + images * looks * self.each
        return (amounts + blocks * self.block + blocks * looks * self.look).positive()


@dataclass(frozen=True)
class EvaluationCounts:
    """Of one model scored in one way; tallies as they are, or as functions of images."""

    width: int
    dims: int
    levels: int
    encoder: PassCounts  #: of the exact mass, from the encoder's q
    fitted: PassCounts  #: from fitted proposals
    besides: PassCounts  #: what the other scorers of a pass add: the density, the renormalised mass
    fit: FitCounts
    gaps: Tally
    calibration: Tally
    checks: tuple[Tally, Tally]  #: constant, of a mass that is summed
    pictures: Tally
    scale: tuple[Tally, float]  #: of a scale that is fitted to training images: an image, and how many
    scorers: int
    summed: tuple[float, float, float, float]  #: share of the masses of a score, at least, z of every image, at most
    bytes: float  #: of a piece of a pass, a raw output
    fused: EvaluationCounts | None = None  #: the same where a compiler makes one kernel of each scorer

    def masses(self, images: int, samples: int) -> float:
        """That are summed where so many z an image are to come (vae_core.laws.where_used)."""
        to_score = images * self.dims * samples
        share, least, each, most = self.summed
        return min(most, max(share * to_score, least, each * images * self.dims * self.levels))

    def of_checks(self, images: int, samples: int, cut: Cut) -> Tally:
        constant, mass = self.checks
        summed = self.masses(images, samples)
        calls = math.ceil(summed / max(cut.summed, self.dims * self.levels))
        return (constant + summed * mass.of_elements() + calls * mass.of_calls()).positive()


def difference(full: PassCounts, part: PassCounts) -> PassCounts:
    """What `full` does besides."""
    return PassCounts(
        full.block - part.block,
        full.tile - part.tile,
        full.image - part.image,
        full.pair - part.pair,
        full.piece - part.piece,
        0,
    )


def fused_pass(plain: PassCounts, empty: PassCounts) -> PassCounts:
    """A pass whose scorers are one kernel each: what a pass does that only sums its raw outputs, and the functions of
    the scorers, computed while they are read."""
    return replace(empty, pair=empty.pair + (plain.pair - empty.pair).of_functions())


def fused_fit(plain: FitCounts, empty: FitCounts) -> FitCounts:
    """Fits, likewise."""
    return replace(empty, each=empty.each + (plain.each - empty.each).of_functions())
