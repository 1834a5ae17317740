"""Other pictures of the same images: exact arithmetic, and what is said of the data that they make."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_core import data
from vae_core.data import pixels

RNG = np.random.default_rng(16)


def by_fractions(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The mean of each area, halves up, one pixel at a time."""
    height, width = image.shape

    def overlap(old: int, of_old: int, new: int, of_new: int) -> Fraction:
        begins, ends = (Fraction(place * of_old, of_new) for place in (new, new + 1))
        return max(Fraction(0), min(ends, Fraction(old + 1)) - max(begins, Fraction(old)))

    made = np.empty((rows, columns), np.int64)
    for row, column in itertools.product(range(rows), range(columns)):
        down = [overlap(old, height, row, rows) for old in range(height)]
        across = [overlap(old, width, column, columns) for old in range(width)]
        total = sum(a * b * int(image[i, j]) for i, a in enumerate(down) for j, b in enumerate(across) if a and b)
        mean = Fraction(total) / (sum(down) * sum(across))
        made[row, column] = (2 * mean.numerator + mean.denominator) // (2 * mean.denominator)
    return made


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.integers(1, 12), st.sampled_from([2, 256, 2**16]))
def test_a_new_pixel_is_the_mean_of_its_area_halves_up(h: int, w: int, rows: int, columns: int, levels: int) -> None:
    images = RNG.integers(0, levels, (2, h, w), dtype=np.int64)
    made = pixels.resized(images, rows, columns)
    assert np.array_equal(made, [by_fractions(image, rows, columns) for image in images])


def test_twice_the_size_repeats_every_pixel_and_half_of_that_is_what_it_was() -> None:
    images = RNG.integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    twice = pixels.resized(images, 8, 12)
    assert twice.dtype == np.uint8
    assert np.array_equal(twice, images.repeat(2, axis=1).repeat(2, axis=2))
    assert np.array_equal(pixels.resized(twice, 4, 6), images)


def test_halves_are_rounded_up_and_the_levels_stay() -> None:
    pairs = np.array([[[0, 1]], [[254, 255]], [[255, 255]], [[0, 0]]], np.uint8)
    assert pixels.resized(pairs, 1, 1).ravel().tolist() == [1, 255, 255, 0]


def test_images_are_resized_alike_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    images = RNG.integers(0, 2**16, (7, 5, 4), dtype=np.int64)
    together = pixels.resized(images, 3, 3)
    monkeypatch.setattr(pixels, "AT_ONCE", 1)
    assert np.array_equal(pixels.resized(images, 3, 3), together)
    colours = RNG.integers(0, 256, (7, 5, 4, 3), dtype=np.uint8)
    assert np.array_equal(pixels.grey(colours[2:3]), pixels.grey(colours)[2:3])


def test_grey_is_what_pillow_makes_of_every_colour() -> None:
    from PIL import Image

    steps = np.arange(0, 256, 5, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(1, len(steps), -1, 3)
    assert np.array_equal(pixels.grey(cube)[0], np.asarray(Image.fromarray(cube[0]).convert("L")))


def test_grey_keeps_to_the_levels_whatever_they_are() -> None:
    for top in (1, 16, 2**16 - 1):
        corners = np.array(list(itertools.product((0, top), repeat=3)), np.int64).reshape(1, 2, 4, 3)
        made = pixels.grey(corners)
        assert (made.min(), made.max()) == (0, top)


@pytest.mark.parametrize(("size", "where"), [(3, (1, 1)), (2, (1, 1)), (4, (0, 0))])
def test_a_crop_is_the_middle_above_and_left_where_there_is_none(size: int, where: tuple[int, int]) -> None:
    image = np.arange(25).reshape(1, 5, 5)
    top, left = where
    assert np.array_equal(pixels.middle(image, size, size), image[:, top : top + size, left : left + size])


@pytest.mark.parametrize(
    ("given", "meant"),
    [(24, (24, 24)), ("24", (24, 24)), ("28x20", (28, 20)), ("28 × 20", (28, 20)), ((3, 5), (3, 5))],
)
def test_sizes_are_read_as_people_write_them(given: Any, meant: tuple[int, int]) -> None:
    assert pixels.sides(given) == meant


# ---------------------------------------------------------------- data sets made of them


def saved(folder: Path, images: np.ndarray, name: str = "images.npz", **beside: Any) -> str:
    np.savez(folder / name, images=images, **beside)
    return str(folder / name)


def pictures(folder: Path, shape: Sequence[int], count: int = 30) -> str:
    """A folder of PNG files."""
    from PIL import Image

    folder.mkdir()
    for place, image in enumerate(RNG.integers(0, 256, (count, *shape), dtype=np.uint8)):
        Image.fromarray(image).save(folder / f"{place:03}.png")
    return str(folder)


def test_an_array_is_cropped_then_resized_then_grey_then_quantised(tmp_path: Path) -> None:
    path = saved(tmp_path, RNG.integers(0, 256, (60, 12, 10, 3), dtype=np.uint8))
    made = data.load(path, crop="8x6", resize="4x3", grey=True, quantise=16)
    whole = data.load(path)
    for split in ("train", "valid", "test"):
        images = getattr(whole, split).numpy().reshape(-1, 12, 10, 3)
        wanted = pixels.grey(pixels.resized(images[:, 2:10, 2:8], 4, 3)) // 16
        assert np.array_equal(getattr(made, split).numpy().reshape(-1, 4, 3), wanted)
    assert (made.shape, made.levels, made.name) == ((4, 3), 16, whole.name)
    steps = ["cropped to the middle 8×6", "resized from 8×6 to 4×3", "made grey", "k·16 // 256"]
    places = [made.about.index(step) for step in steps]
    assert places == sorted(places)


def test_a_folder_of_pictures_takes_every_key(tmp_path: Path) -> None:
    path = pictures(tmp_path / "faces", (10, 8, 3))
    asked: list[dict[str, Any]] = [{}, {"crop": 6}, {"resize": "5x4"}, {"grey": True}, {"quantise": 4}]
    made = [data.load(path, **one) for one in asked]
    assert [one.shape for one in made] == [(10, 8, 3), (6, 6, 3), (5, 4, 3), (10, 8), (10, 8, 3)]
    assert len({one.checksum for one in made}) == 5, "each is other data"


@pytest.mark.parametrize("name", ["digits", "patches"])
def test_data_sets_known_by_name_take_them_too(name: str) -> None:
    whole, made = data.load(name), data.load(name, crop=6, resize=3)
    assert made.shape == (3, 3, *whole.shape[2:])
    assert made.levels == whole.levels
    assert (len(made.train), len(made.valid), len(made.test)) == (len(whole.train), len(whole.valid), len(whole.test))
    assert made.checksum != whole.checksum
    assert made.test_blocks == whole.test_blocks


def test_two_levels_are_resized_by_majority(tmp_path: Path) -> None:
    images = RNG.integers(0, 2, (40, 4, 4)).astype(bool)
    made = data.load(saved(tmp_path, images), resize=2)
    assert made.levels == 2
    assert set(np.unique(made.train.numpy())) == {0, 1}


def test_stretching_is_remarked_with_a_size_that_keeps_proportions(tmp_path: Path) -> None:
    path = saved(tmp_path, RNG.integers(0, 256, (40, 28, 20), dtype=np.uint8))
    (remark,) = [one for one in data.load(path, resize=16).remarks if "stretches" in one.text]
    assert "resize = 22x16 keeps their proportions" in remark.text
    assert not [one for one in data.load(path, resize="22x16").remarks if "stretches" in one.text]
    assert not [one for one in data.load(path, resize="14x10").remarks if "stretches" in one.text]


REFUSED = [
    ("digits", {"crop": 9}, "8x8 .* crop = 9x9 is larger than them: give 8x8 at most"),
    ("digits", {"crop": "4x12"}, "crop = 4x12 is larger"),
    ("digits", {"crop": 8}, "crop = 8x8 is all of them"),
    ("digits", {"resize": 8}, "8x8 already, as resize = 8x8 says: leave it out"),
    ("digits", {"resize": 10**4}, "GB of memory with resize = 10000x10000"),
    ("digits", {"grey": True}, r"images without colour \(8×8\), of which grey = true makes nothing"),
    ("patches", {"grey": True, "crop": 40}, "crop = 40x40 is larger"),
    ("patches", {"quantise": 7}, "cannot be joined evenly to quantise = 7: give 4 or 8"),
    ("digits", {"patch_size": 8}, "patch_size = 8 is for patches alone: leave it out"),
    ("digits", {"crop": "x4"}, "'x4' is no size: give rows and columns as 28x20"),
    ("digits", {"resize": "0x4"}, "is no size"),
    ("digits", {"resize": 99_999}, "is no size of a picture: give 1 to 16,384"),
]


@pytest.mark.parametrize(("name", "asked", "sentence"), REFUSED)
def test_what_cannot_be_is_refused_in_a_sentence(name: str, asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(data.DataError, match=sentence) as refusal:
        data.load(name, **asked)
    assert len(str(refusal.value)) <= 300
    assert "\n" not in str(refusal.value)


def test_the_size_that_a_refusal_for_memory_gives_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from vae_core.data import catalogue

    monkeypatch.setattr(catalogue, "free_memory", lambda: 4 * 10**6)
    with pytest.raises(data.DataError, match=r"give (\d+)x\1") as refusal:
        data.load("digits", resize=64)
    side = int(str(refusal.value).rpartition("give ")[2].partition("x")[0])
    assert data.load("digits", resize=side).shape == (side, side)
    with pytest.raises(data.DataError, match="GB of memory"):
        data.load("digits", resize=side + 1)


def test_rows_of_numbers_are_no_pictures(tmp_path: Path) -> None:
    path = saved(tmp_path, RNG.integers(0, 256, (40, 7), dtype=np.uint8))
    refused: list[dict[str, Any]] = [{"crop": "1x4"}, {"resize": "1x4"}]
    for asked in refused:
        with pytest.raises(data.DataError, match=r"rows of 7 numbers and no pictures, of which .* makes nothing"):
            data.load(path, **asked)
    with pytest.raises(data.DataError, match="without colour"):
        data.load(path, grey=True)


def test_a_crop_to_what_never_changes_is_refused(tmp_path: Path) -> None:
    images = np.zeros((40, 9, 9), np.uint8)
    images[:, 0] = RNG.integers(0, 256, (40, 9))
    with pytest.raises(data.DataError, match=r"cropped to the middle 3×3 of 9×9, is 0 everywhere: ask for more"):
        data.load(saved(tmp_path, images), crop=3)


def test_real_numbers_are_refused_before_anything_is_made_of_them(tmp_path: Path) -> None:
    with pytest.raises(data.DataError, match="real-valued data, which are not scored here"):
        data.load(saved(tmp_path, RNG.normal(size=(40, 6, 6))), resize=3)
