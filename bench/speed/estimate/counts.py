"""What was counted, as functions of models, batch, images and samples: plain numbers, for a process that executes no
torch. `training` and `evaluation` make them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from bench.speed.estimate.cuts import Cut, split
from bench.speed.estimate.passes import Bookkeeping, told
from bench.speed.estimate.tally import KERNELS, NOTHING, Tally, largest, total, weighed

ROWS = 1000  # of one batch of a validation (vae_core.training.loop)
#: looks of a fit (vae_core.evaluate.refine.STEPS, and one more), and images whose gap is split (assess)
LOOKS = {"full": 16, "diagonal": 31}
#: images at most whose calibration is looked at (vae_core.evaluate.calibration), and whose gap is split (assess)
CALIBRATED, GAPPED = 200, 24


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
    seeds: tuple[Tally, Tally] = (NOTHING, NOTHING)  #: of a step: a seed, a seed and image
    seen_seeds: tuple[Tally, Tally] = (NOTHING, NOTHING)  #: of a validation
    rate: Tally = NOTHING  #: of a rate of learning, where there are several
    tuned: int = 0  #: 1: candidates, all of one seed and each with its rate
    #: what a step does more, or less, where the likelihood goes by programs: of the stack, of a model and image
    by_program: tuple[Tally, Tally] = (NOTHING, NOTHING)

    @property
    def compiled(self) -> TrainingCounts:
        """With steps by programs."""
        constant, model, image = self.step
        calls, of_image = self.by_program
        return replace(self, step=(constant + calls, model, image + of_image))


class StackCounts:
    """Of models of several kinds side by side, so many of each. What all share, which each kind's own counts have too,
    is what two kinds launch less side by side than apart; what is besides for each model, what they move more."""

    def __init__(
        self,
        kinds: Sequence[tuple[TrainingCounts, int]],
        two: Sequence[TrainingCounts] = (),
        both: TrainingCounts | None = None,
        *,
        seeds: int | None = None,
        rates: int | None = None,
    ) -> None:
        """two: counts of two kinds each by itself; both: of the two side by side. `seeds`, `rates` of learning: of all
        models, how many different ones; if not given, as many seeds as a kind has models at most, and a rate a kind;
        candidates have one seed, and a rate each."""
        self.kinds, self._two, self._both = kinds, two, both
        most, tuned = max(models for _, models in kinds), any(counts.tuned for counts, _ in kinds)
        self._seeds = (1 if tuned else most) if seeds is None else seeds
        self._rates = (sum(m for _, m in kinds) if tuned else len(kinds)) if rates is None else rates

    def _shared(self, of: Callable[[TrainingCounts], Tally]) -> Tally:
        """What is launched once, times the kinds that have it besides the first."""
        if self._both is None or len(self.kinds) < 2:
            return NOTHING
        once = (total(map(of, self._two)) - of(self._both)).of_calls().positive()
        return (len(self.kinds) - 1) * once

    def _besides(self, of: Callable[[TrainingCounts], Tally]) -> Tally:
        """What a model, or an image of one, moves more where there are several kinds."""
        if self._both is None or len(self.kinds) < 2:
            return NOTHING
        return (of(self._both) - 0.5 * total(map(of, self._two))).of_elements()

    def _sum(
        self,
        of: Callable[[TrainingCounts], Parts],
        of_seeds: Callable[[TrainingCounts], tuple[Tally, Tally]],
        images: int,
    ) -> Tally:
        """Constant, a model, a model and image; a seed, a seed and image."""
        constant = total(of(counts)[0] for counts, _ in self.kinds) - self._shared(lambda counts: of(counts)[0])
        models = total(m * (of(counts)[1] + images * of(counts)[2]) for counts, m in self.kinds)
        count = sum(m for _, m in self.kinds)
        models += count * (self._besides(lambda c: of(c)[1]) + images * self._besides(lambda c: of(c)[2]))
        seeds = [of_seeds(counts)[0] + images * of_seeds(counts)[1] for counts, _ in self.kinds]
        return (constant.positive() + models + self._seeds * largest(seeds)).positive()

    def of_step(self, images: int) -> Tally:
        """A step on batches of so many images."""
        of_rate, more = largest([counts.rate for counts, _ in self.kinds]), self._rates - 1
        rates = (self._rates * of_rate).but(**{KERNELS: more * of_rate[KERNELS]}) if more else NOTHING
        return self._sum(lambda counts: counts.step, lambda counts: counts.seeds, images) + rates

    def of_validation(self, images: int) -> Tally:
        """A validation of so many."""
        more = total(counts.batch for counts, _ in self.kinds) - self._shared(lambda counts: counts.batch)
        batches = max(0, math.ceil(images / ROWS) - 1)
        whole = self._sum(lambda counts: counts.validation, lambda counts: counts.seen_seeds, images)
        return whole + batches * more.positive()

    def of_setup(self) -> Tally:
        """The making of the stack."""
        return total(counts.setup[0] + m * counts.setup[1] for counts, m in self.kinds).positive()

    def bytes(self, images: int) -> float:
        """At their most, in training."""
        each = sum(m * (counts.memory[1] + images * counts.memory[2]) for counts, m in self.kinds)
        return max(0.0, max(counts.memory[0] for counts, _ in self.kinds) + each)


@dataclass(frozen=True)
class Sized:
    """Of calls with n images each, and c numbers or samples of each: amounts of a call, of an image of a call, and of
    one of its numbers."""

    call: Tally
    image: Tally
    each: Tally = NOTHING

    def told(self, calls: float, images: float, each: float = 0.0) -> Iterator[tuple[float, Tally]]:
        """Of so many calls, all their images, all their numbers."""
        return iter([(calls, self.call), (images, self.image), (each, self.each)])

    def of(self, calls: float, images: float, each: float = 0.0) -> Tally:
        return weighed(self.told(calls, images, each))

    def __sub__(self, other: Sized) -> Sized:
        return Sized(self.call - other.call, self.image - other.image, self.each - other.each)

    def __add__(self, other: Sized) -> Sized:
        return Sized(self.call + other.call, self.image + other.image, self.each + other.each)


NO_CALLS = Sized(NOTHING, NOTHING)


@dataclass(frozen=True)
class PassCounts:
    """Of a pass, by its calls: what is once in a block of images, once in a tile of them and of samples, the noise of a
    tile (which is drawn whole), a piece that is decoded and scored at once, what is besides where a tile has several,
    and where they must be copied to be decoded, and what `scorers` do with their weights."""

    block: Sized
    tile: Sized
    noise: tuple[Tally, Tally]  #: of a tile, and of each place in it
    piece: Sized
    cut_up: Sized
    copied: Sized
    sliced: Tally  #: of a piece that has not all images of its tile
    weights: Bookkeeping
    scorers: int

    def of(self, images: int, samples: int, cut: Cut, width: int, grid: Sequence[int] = ()) -> Tally:
        """Of so many images and L; `grid`: the L at which bounds are given, that one if none."""
        sizes = sorted({*(size for size in grid if size < samples), samples})
        parts = cut.parts(images, samples, width)
        blocks, tiles = math.ceil(images / cut.images), math.ceil(samples / cut.samples)
        places = blocks * tiles * cut.images * cut.samples
        of_weights = told(self.weights, split(images, cut.images), samples, sizes, cut.samples)
        return weighed(
            itertools.chain(
                self.block.told(blocks, images),
                self.tile.told(blocks * tiles, images * tiles, images * samples),
                [(blocks * tiles, self.noise[0]), (places, self.noise[1])],
                self.piece.told(*parts.all),
                self.cut_up.told(*parts.cut),
                self.copied.told(*parts.copied),
                [(parts.sliced.calls, self.sliced)],
                ((self.scorers * times, tally) for times, tally in of_weights),
            )
        ).positive()


@dataclass(frozen=True)
class FitCounts:
    """Of fits of proposals: the directions of a look, for all images of a fit; a block of images; a look at them; the
    score at z of a look, with its slope, and at the last look without. Bytes of an image at their most."""

    directions: Tally
    block: Sized
    look: Sized
    slope: Sized
    value: Sized
    draws: int
    bytes: float

    def of(self, images: int, looks: int, cut: Cut, width: int) -> Tally:
        blocks = math.ceil(images / cut.fitted_at_once(width, self.draws))
        return weighed(
            itertools.chain(
                [(looks, self.directions)],
                self.block.told(blocks, images),
                self.look.told(blocks * (looks - 1), images * (looks - 1)),
                self.slope.told(blocks * (looks - 1), images * (looks - 1)),
                self.value.told(blocks, images),
            )
        ).positive()


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
    #: share of the masses of a score, at least, z of every image, at most, raw outputs kept
    summed: tuple[float, float, float, float, float]
    bytes: float  #: of a piece of a pass, a raw output
    fused: EvaluationCounts | None = None  #: the same where a compiler makes one kernel of each scorer
    is_fused: int = 0  #: 1: it is that

    def masses(self, images: int, to_come: int, scored: int) -> float:
        """That are summed where so many z an image are expected, and so many scored (vae_core.laws.where_used)."""
        usual, least, each, most, kept = self.summed
        pair, expected = self.dims * self.levels, images * self.dims * to_come
        half = min(most / expected, max(usual, max(least, each * images * pair) / expected)) / 2
        best = max(1, math.floor(min(half * expected / pair, kept / self.width, images))) * pair
        beyond = images * self.dims * max(0, scored - to_come)
        drawn = half * (images * self.dims * scored - beyond) + min(half, usual / 2) * beyond
        return best + min(drawn, images * scored * pair)

    def of_checks(self, images: int, to_come: int, scored: int, cut: Cut) -> Tally:
        constant, mass = self.checks
        summed = self.masses(images, to_come, scored)
        calls = math.ceil(summed / max(cut.summed, self.dims * self.levels))
        return (constant + summed * mass.of_elements() + calls * mass.of_calls()).positive()


def fused_pass(plain: PassCounts, empty: Sized) -> PassCounts:
    """A pass whose scorers are one kernel each: what a piece is that only sums its raw outputs, and the functions of
    the scorers, computed while they are read."""
    more = plain.piece - empty
    of_functions = Sized(NOTHING, more.image.of_functions(), more.each.of_functions())
    return replace(plain, piece=empty + of_functions)


def fused_fit(plain: FitCounts, empty: FitCounts) -> FitCounts:
    """Fits, likewise."""

    def fused(whole: Sized, empty: Sized) -> Sized:
        return replace(empty, image=empty.image + (whole.image - empty.image).of_functions())

    return replace(empty, slope=fused(plain.slope, empty.slope), value=fused(plain.value, empty.value))
