"""What was counted, as functions of models, batch, images and samples: plain numbers, for a process that executes no
torch. `training` and `evaluation` make them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from bench.speed.estimate.cuts import Cut
from bench.speed.estimate.tally import BYTES, DRAWN, FUNCTION_BYTES, PRODUCT_BYTES, Tally

ROWS = 1000  # of one batch of a validation (vae_core.training.loop)
#: looks of a fit (vae_core.evaluate.refine.STEPS, and one more), and images whose gap is split (assess)
LOOKS = {"full": 16, "diagonal": 31}


@dataclass(frozen=True)
class TrainingCounts:
    """Of bundles whose models are of some kinds, so many of each. Amounts of a step and of a validation: constant, a
    model, a model and image. Bytes at their most likewise."""

    kinds: int
    step: tuple[Tally, Tally, Tally]
    validation: tuple[Tally, Tally, Tally]
    batch: Tally  #: a further batch of a validation, its launches alone
    setup: tuple[Tally, Tally]  #: the making of a bundle: constant, a model
    memory: tuple[float, float, float]

    def of_step(self, models: float, images: int) -> Tally:
        constant, each, of_image = self.step
        return (constant + models * each + models * images * of_image).positive()

    def of_validation(self, models: float, images: int) -> Tally:
        constant, each, of_image = self.validation
        more = max(0, -(-images // ROWS) - 1) * self.batch
        return (constant + models * each + models * images * of_image + more).positive()

    def state_bytes(self, models: float) -> float:
        """That a step of so many models moves whatever its images: parameters, gradients, moments."""
        return models * sum(max(0.0, self.step[1][key]) for key in (BYTES, PRODUCT_BYTES, FUNCTION_BYTES))

    def of_setup(self, models: float) -> Tally:
        return (self.setup[0] + models * self.setup[1]).positive()

    def bytes(self, models: float, images: int) -> float:
        """At their most, of a bundle in training."""
        constant, each, of_image = self.memory
        return max(0.0, constant + models * each + models * images * of_image)


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
        pieces = blocks * tiles * (self._pieces(images, samples, cut, width) - 1)
        amounts = images * self.image + images * samples * self.pair
        calls = blocks * self.block + blocks * tiles * self.tile + pieces * self.piece.of_calls()
        drawn = blocks * tiles * cut.images * cut.samples * self.drawn
        return (amounts + calls).but(**{DRAWN: drawn}).positive()

    def _pieces(self, images: int, samples: int, cut: Cut, width: int) -> int:
        tile = replace(cut, images=min(images, cut.images), samples=min(samples, cut.samples))
        return tile.pieces(width)


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
