"""Reconstructions and samples as rows of small images: one strip a family, the same test images in all of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from bench.statistics.boards import Board
from bench.statistics.rows import Row, by_family

MOST = 8  # images in a strip


@dataclass(frozen=True)
class Strip:
    """One row: PNG data URIs of a family's pictures, '' where there are none: reconstructions E[x|z] of test images,
    for z from the prior E[x|z] (`sample`), and for the same z a draw from p(x|z) with its noise (`draw`)."""

    family: str
    label: str
    recipe: bool
    ranked: bool
    reconstruction: str
    sample: str
    draw: str


@dataclass(frozen=True)
class Gallery:
    """Strips that share their originals; `aspect` is width over height of one image."""

    board: str
    seed: int
    count: int
    originals: str
    height: int
    strips: list[Strip] = field(default_factory=list)


def galleries(board: Board, pictures: Mapping[tuple[str, str], np.ndarray]) -> list[Gallery]:
    """The first configuration of each family that has pictures, in the board's order, grouped by their originals."""
    by_originals: dict[bytes, Gallery] = {}
    for family, rows in by_family(board.everything).items():
        shown = _first_with_pictures(board, rows, pictures)
        if shown is None:
            continue
        row, cell, seed = shown
        original = pictures[cell, "original"][:MOST]
        gallery = by_originals.setdefault(
            original.tobytes() + bytes([seed % 256]),
            Gallery(board.name, seed, len(original), strip(original), 34 if original.shape[1] < 40 else 48),
        )
        gallery.strips.append(
            Strip(
                family,
                row.label,
                row.recipe,
                row.trusted,
                *(
                    strip(pictures[cell, kind][:MOST]) if (cell, kind) in pictures else ""
                    for kind in ("reconstruction", "sample", "draw")
                ),
            )
        )
    return list(by_originals.values())


def strip(images: np.ndarray) -> str:
    """uint8 [n, H, W] or [n, H, W, C] side by side, a transparent pixel between them, as a PNG data URI.

    C may be 1, 3 or 4. Raises ValueError for anything else.
    """
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3, 4) or images.dtype != np.uint8:
        raise ValueError(f"pictures are uint8 [n, H, W] or [n, H, W, C], got {images.dtype} {list(images.shape)}")
    count, height, width, channels = images.shape
    solid = channels < 4
    canvas = np.zeros((height, count, width + 1, channels + solid), dtype=np.uint8)
    canvas[:, :, :width, :channels] = images.transpose(1, 0, 2, 3)
    if solid:
        canvas[:, :, :width, channels] = 255
    data = io.BytesIO()
    Image.fromarray(canvas.reshape(height, count * (width + 1), -1)[:, :-1]).save(data, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def _first_with_pictures(
    board: Board, rows: list[Row], pictures: Mapping[tuple[str, str], np.ndarray]
) -> tuple[Row, str, int] | None:
    """The first configuration that has pictures, with the cell of its lowest seed that has them, and that seed."""
    for row in rows:
        sample = board.samples[row.config]
        for seed, cell in zip(sample.seeds, sample.cells, strict=True):
            if (cell, "original") in pictures:
                return row, cell, seed
    return None
