"""PNG: what a lossless image format of 1996 makes of the test images, 8·bytes/(N·D) bits/dim."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from vae_core.references._base import Card, Codec
from vae_core.references._strip import pictures
from vae_core.references._tables import Integers


class Png(Codec):
    label = "PNG"
    card = Card(
        title="PNG",
        summary="Predicts a byte from its neighbours and packs what is left (deflate): all test images below one "
        "another in one picture, of 1 bit a value where there are 2 levels, of 16 above 256.",
        source="ISO/IEC 15948; written by Pillow, optimize=True",
    )

    def encoded(self, strip: Integers, levels: int) -> Sequence[bytes]:
        files = []
        for picture in pictures(strip, levels):
            buffer = BytesIO()
            picture.save(buffer, "PNG", optimize=True)
            files.append(buffer.getvalue())
        return files
