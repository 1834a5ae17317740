"""How a run is cut on a kind of device: sizes that vae_core chooses by the device's type, for those who ask about a
device that is not there. tests/bench/speed/estimate/test_cuts.py holds them to what vae_core takes."""

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

    def pieces(self, width: int) -> int:
        """Of a whole tile, for raw outputs of that width (vae_core.evaluate.importance)."""
        images = max(1, min(self.images, self.floats // width))
        samples = max(1, self.floats // (width * images))
        return math.ceil(self.images / images) * math.ceil(self.samples / samples)

    def fitted_at_once(self, width: int, draws: int) -> int:
        """Images whose proposals are fitted together, of so many z an image (vae_core.evaluate.refine)."""
        return max(1, max(1, self.with_gradients // width) // draws)


CUTS = {
    "cpu": Cut(32, 512, 1 << 18, 1 << 21, 1 << 16, 1 << 16),
    "cuda": Cut(500, 128, 1 << 24, 1 << 28, 1 << 26, 1 << 26),
}
