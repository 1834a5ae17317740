"""Pictures as strips of small images."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from bench.report import pictures, ranking
from bench.store import RunTables
from tests.bench.report.page_reader import Element
from tests.bench.report.runs import section


def test_pictures_share_one_row_of_originals(tables: RunTables, shown: Element) -> None:
    grey = section(shown, "pictures").all("table")[0]
    images = grey.one("tbody").all("img")
    families = ranking(tables).query("currency == 'pmf-K'")["family"].nunique()
    assert len(images) == 1 + 3 * families
    pixels = Image.open(io.BytesIO(base64.b64decode(images[0].attributes["src"].partition(",")[2])))
    cell = next(cell for cell, kind in tables.pictures if kind == "original")
    first = np.asarray(pixels)[:, :8, 0]
    assert np.array_equal(first, tables.pictures[cell, "original"][0])


@pytest.mark.parametrize("shape", [(3, 5, 4), (3, 5, 4, 1), (2, 4, 7, 3), (1, 6, 6)])
def test_a_strip_is_the_images_side_by_side(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, size=shape, dtype=np.uint8)
    uri = pictures.strip(images)
    back = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGBA"))
    count, height, width = shape[:3]
    assert back.shape == (height, count * (width + 1) - 1, 4)
    colours = images[..., 0] if images.shape[-1] == 1 and images.ndim == 4 else images
    for place in range(count):
        start = place * (width + 1)
        block = back[:, start : start + width, :3]
        assert np.array_equal(
            block, np.broadcast_to(colours[place] if colours.ndim == 4 else colours[place][..., None], block.shape)
        )
        assert (back[:, start : start + width, 3] == 255).all()


@pytest.mark.parametrize("images", [np.zeros((2, 4)), np.zeros((2, 4, 4)), np.zeros((2, 4, 4, 2), np.uint8)])
def test_other_arrays_are_no_pictures(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pictures are uint8"):
        pictures.strip(images)
