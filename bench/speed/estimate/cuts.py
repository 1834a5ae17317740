"""How a run is cut on a kind of device: sizes that vae_core chooses by the device's type, for those who ask about a
device that is not there. tests/bench/speed/estimate/test_counts.py holds them to what vae_core takes."""

from __future__ import annotations

import math
from dataclasses import dataclass


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

    def pieces(self, images: int, samples: int, width: int) -> int:
        """Of a whole pass, for raw outputs of that width (vae_core.evaluate.importance)."""
        return sum(
            blocks * tiles * self._pieces(n, c, width)
            for n, blocks in _cut(images, self.images)
            for c, tiles in _cut(samples, self.samples)
        )

    def _pieces(self, images: int, samples: int, width: int) -> int:
        """Of one tile."""
        at_once = max(1, min(images, self.floats // width))
        return math.ceil(images / at_once) * math.ceil(samples / max(1, self.floats // (width * at_once)))

    def fitted_at_once(self, width: int, draws: int) -> int:
        """Images whose proposals are fitted together, of so many z an image (vae_core.evaluate.refine)."""
        return max(1, max(1, self.with_gradients // width) // draws)


def _cut(count: int, size: int) -> list[tuple[int, int]]:
    """Sizes of the parts of at most `size` that a count is cut in, each with how many there are."""
    whole, rest = divmod(count, size)
    return [(size, whole)] * (whole > 0) + [(rest, 1)] * (rest > 0)


CUTS = {
    "cpu": Cut(32, 512, 1 << 18, 1 << 21, 1 << 16, 1 << 16),
    "cuda": Cut(2000, 128, 1 << 24, 1 << 25, 1 << 26, 1 << 26),
}
