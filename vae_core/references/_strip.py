"""A strip of images as pictures that image formats take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from vae_core.references._tables import Integers

if TYPE_CHECKING:
    from PIL.Image import Image

COLOURS = 3


def stacked(strip: Integers, levels: int) -> int:
    """How many planes of a strip [H, W] or [H, W, C] lie below one another in its picture."""
    if strip.ndim == 2 or (strip.shape[2] == COLOURS and 2 < levels <= 256):
        return 1
    return int(strip.shape[2])


def pictures(strip: Integers, levels: int) -> Iterator[Image]:
    """One picture of a strip [H, W] or [H, W, C]: of 1 bit a value for 2 levels, of 8 up to 256, of 16 beyond; in three
    colours where C is 3 and they have 8 bits, else the channels' planes below one another. Values stay as they are."""
    from PIL import Image

    if stacked(strip, levels) == 1 and strip.ndim == 3:
        yield Image.fromarray(strip.astype(np.uint8))
        return
    plane = strip if strip.ndim == 2 else np.concatenate([strip[..., c] for c in range(strip.shape[2])])
    if levels == 2:
        yield Image.fromarray(plane.astype(bool))
    elif levels <= 256:
        yield Image.fromarray(plane.astype(np.uint8))
    else:
        yield Image.fromarray(plane.astype(np.uint16))
