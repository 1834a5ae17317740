"""How a run is cut on a kind of device: sizes that vae_core chooses by the device's type, for those who ask about a
device that is not there. tests/bench/speed/estimate/test_counts.py holds them to what vae_core takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple


class Calls(NamedTuple):
    """How many, their images one after the other, and the pairs of those and their samples."""

    calls: int = 0
    images: int = 0
    pairs: int = 0

    def and_so(self, often: int, calls: int, images: int, pairs: int) -> Calls:
        """And so many more, so often."""
        return Calls(self.calls + often * calls, self.images + often * images, self.pairs + often * pairs)


class Parts(NamedTuple):
    """The pieces of a pass: all of them, those that have not all the samples of their tile, those of them that do not
    lie in one piece of memory, and those that have not all its images."""

    all: Calls
    cut: Calls
    copied: Calls
    sliced: Calls


@dataclass(frozen=True)
class Cut:
    """Images and samples of a tile of an importance pass, raw outputs of one of its pieces, raw outputs that are
    decoded together with their gradients, masses of a calibration and of a check that are held at once."""

    images: int
    samples: int
    floats: int
    with_gradients: int
    calibrated: int
    summed: int
    by_program: int = 0  #: with their gradients from a program: 0, as without
    points: int = 0  #: z, of those, at most

    def parts(self, images: int, samples: int, width: int) -> Parts:
        """Of a whole pass, for raw outputs of that width (vae_core.evaluate.importance)."""
        pieces = cut = copied = sliced = Calls()
        for n, blocks in split(images, self.images):
            at_once = max(1, min(n, self.floats // width))
            step = max(1, self.floats // (width * at_once))
            for c, tiles in split(samples, self.samples):
                often, spans = blocks * tiles, math.ceil(c / step)
                of_tile = (math.ceil(n / at_once) * spans, n * spans, n * c)
                pieces = pieces.and_so(often, *of_tile)
                if c > step:
                    cut = cut.and_so(often, *of_tile)
                    if step > 1 and at_once > 1:
                        copied = copied.and_so(often, *of_tile)
                if n > at_once:
                    sliced = sliced.and_so(often, *of_tile)
        return Parts(pieces, cut, copied, sliced)

    def fitted_at_once(self, width: int, draws: int) -> int:
        """Images whose proposals are fitted together, of so many z an image (vae_core.evaluate.refine)."""
        return max(1, self.decoded_at_once(width) // draws)

    def decoded_at_once(self, width: int) -> int:
        """z that are decoded together with their gradients."""
        by_program = min(self.by_program // width, self.points)
        return max(1, self.with_gradients // width, by_program)

    def without_programs(self) -> Cut:
        return replace(self, by_program=0)


def split(count: int, size: int) -> list[tuple[int, int]]:
    """Sizes of the parts of at most `size` that a count is cut in, each with how many there are."""
    whole, rest = divmod(count, size)
    return [(size, whole)] * (whole > 0) + [(rest, 1)] * (rest > 0)


CUTS = {
    "cpu": Cut(32, 512, 1 << 18, 1 << 21, 1 << 16, 1 << 16),
    "cuda": Cut(2000, 128, 1 << 24, 1 << 25, 1 << 26, 1 << 26),
}
LARGE = 60e9  # bytes of a GPU on which more is decoded at once (vae_core.evaluate.scoring)


def cut_of(kind: str, memory: float) -> Cut:
    """On a device of that kind and memory, where gradients come from programs."""
    if kind == "cpu":
        return CUTS[kind]
    large = memory >= LARGE
    return replace(CUTS[kind], with_gradients=1 << 25 + large, by_program=1 << (29 if large else 27), points=1 << 15)
