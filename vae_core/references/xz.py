"""xz: what a general packer makes of the bytes of the test images, 8·bytes/(N·D) bits/dim."""

from __future__ import annotations

import lzma
from collections.abc import Sequence

import numpy as np

from vae_core.numerics import progress
from vae_core.references._base import Card, Codec
from vae_core.references._tables import Integers

AT_ONCE = 1 << 22  # bytes between two words of progress; the file is the same


class Xz(Codec):
    label = "xz"
    card = Card(
        title="xz",
        summary="Finds bytes that were there before and packs the rest, and does not know that they are pictures: all "
        "test images one after another, a byte a value (8 values where there are 2 levels; two bytes above 256).",
        source="LZMA2: Pavlov 2001; Python's lzma, preset 6",
    )

    def encoded(self, strip: Integers, levels: int) -> Sequence[bytes]:
        if levels == 2:
            content = np.packbits(strip.astype(np.uint8)).tobytes()
        else:
            content = strip.astype("u1" if levels <= 256 else "<u2").tobytes()
        packer, packed = lzma.LZMACompressor(preset=6), []
        for start in range(0, len(content), AT_ONCE):
            packed.append(packer.compress(content[start : start + AT_ONCE]))
            progress.made()
        return [b"".join([*packed, packer.flush()])]
