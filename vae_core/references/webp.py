"""WebP without loss: what a lossless image format of 2012 makes of the test images, 8·bytes/(N·D) bits/dim."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from vae_core.numerics import progress
from vae_core.references._base import Card, Codec, LeftOut
from vae_core.references._strip import pictures, stacked
from vae_core.references._tables import Integers

TALLEST = 16383  # rows or columns of a picture


class Webp(Codec):
    label = "WebP"
    card = Card(
        title="WebP without loss",
        summary="Predicts from neighbours, finds what was there before and packs the rest: all test images below one "
        "another, in pictures of at most 16,383 rows.",
        source="Google 2012, WebP lossless bitstream; written by Pillow, lossless, quality 100, method 4",
    )

    def encoded(self, strip: Integers, levels: int) -> Sequence[bytes]:
        if levels > 256:
            raise LeftOut(f"WebP has 8 bits a value, and {levels} levels need more")
        if strip.shape[1] > TALLEST:
            raise LeftOut(f"WebP has at most {TALLEST:,} columns, and the images {strip.shape[1]:,}")
        files = []
        rows = TALLEST // stacked(strip, levels)
        for start in range(0, len(strip), rows):
            for picture in pictures(strip[start : start + rows], levels):
                buffer = BytesIO()
                picture.save(buffer, "WEBP", lossless=True, quality=100, method=4, exact=True)
                files.append(buffer.getvalue())
                progress.made()
        return files
