"""Arrays that are no images yet: the formula that a refusal gives is followed, and gives the original integers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vae_core.data.remedies import follow, formula, refused, whole
from vae_core import data
from vae_core.data import files
from vae_core.data.arrays import as_images

RNG = np.random.default_rng(5)
BYTES = RNG.integers(0, 256, size=(40, 9, 8), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, size=(40, 5, 4, 3), dtype=np.uint8)
DIGITS = BYTES % 17

#: floats, the integers that they were made from, and what the refusal says
FLOATS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], np.ndarray, str]] = {
    "0…1": (lambda k: k / np.float32(255), BYTES, 'values 0…1, but .*: save (x * 255).round().astype("uint8").'),
    "0…1 in half": (lambda k: (k / 255).astype(np.float16), BYTES, 'save (x * 255).round().astype("uint8").'),
    "0…1 of seventeen": (lambda k: k / 16, DIGITS, 'save (x * 16).round().astype("uint8") and state levels = 17.'),
    "0…255/256": (lambda k: k / 256, BYTES, 'save (x * 256).round().astype("uint8").'),
    "-1…1": (
        lambda k: (k / np.float32(255) - np.float32(0.5)) / np.float32(0.5),
        BYTES,
        'values -1…1, but .*: save ((x + 1) * 127.5).round().astype("uint8").',
    ),
    "-½…½": (lambda k: k / 255 - 0.5, BYTES, 'save ((x + 0.5) * 255).round().astype("uint8").'),
    "0…255": (lambda k: k.astype(np.float32), BYTES, 'values 0…255, but .*: save x.astype("uint8").'),
    "written with four digits": (lambda k: (k / 255).round(4), BYTES, 'save (x * 255).round().astype("uint8").'),
    "standardised by one mean": (
        lambda k: (k / 255 - 0.1307) / 0.3081,
        BYTES,
        "values -0.424213…2.82149, but .*: save ((x + 0.42421",
    ),
    "binary": (lambda k: (k % 2).astype(float), BYTES % 2, 'save x.astype("uint8") and state levels = 2.'),
    "spins": (
        lambda k: k % 2 * 2.0 - 1,
        BYTES % 2,
        'save ((x + 1) * 0.5).round().astype("uint8") and state levels = 2',
    ),
    "below zero": (lambda k: k - 128.0, BYTES, 'values -128…127, but .*: save (x + 128).astype("uint8").'),
    "16 bits": (lambda k: k.astype(np.uint16) * np.float64(257) / 65535, BYTES, "save (x * 255)"),
}


@pytest.mark.parametrize("case", FLOATS)
def test_floats_on_a_lattice_get_the_formula_of_their_integers(case: str, tmp_path: Path) -> None:
    make, integers, said = FLOATS[case]
    x = make(integers)
    np.save(tmp_path / "x.npy", x)
    sentence = refused(tmp_path / "x.npy")
    where, _, remedy = said.rpartition(", but .*: ")
    assert where in sentence
    assert remedy in sentence
    assert np.array_equal(whole(follow(sentence, x, tmp_path)), integers)


def test_floats_that_are_far_apart_integers_are_mended_in_one_step(tmp_path: Path) -> None:
    for x, right in (
        (BYTES % 2 * 255.0, BYTES % 2),
        (np.array([0.0, 128.0, 255.0])[BYTES % 3], BYTES % 3),
        (np.array([0.0, 128.0, 255.0])[BYTES % 3] / 255, BYTES % 3),
        (BYTES * 10.0, BYTES.astype(int)),
    ):
        np.save(tmp_path / "x.npy", x)
        assert np.array_equal(whole(follow(refused(tmp_path / "x.npy"), x, tmp_path)), right)


@given(
    steps=st.sampled_from([1, 2, 3, 7, 10, 15, 16, 31, 63, 99, 127, 200, 255, 256, 1023, 4095, 65535]),
    low=st.sampled_from([0.0, -1.0, -0.5]),
    kind=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 1000),
)
def test_any_lattice_of_the_usual_ranges_is_found_and_turned_back(
    steps: int, low: float, kind: type, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    k: np.ndarray = rng.integers(0, steps + 1, size=(30, 20))
    x: np.ndarray
    k[0, :2] = 0, steps
    k[1, :2] = 1, steps - 1
    x = (k / steps * (2 if low == -1 else 1) + low).astype(kind)
    with pytest.raises(data.DataError) as caught:
        as_images("x", x)
    sentence = str(caught.value)
    assert "save" in sentence, sentence
    made = formula(sentence, x)
    assert made.dtype.kind in "ui"
    _, place = np.unique(k, return_inverse=True)
    assert np.array_equal(np.unique(made, return_inverse=True)[1], place), "values were joined, or changed places"
    if steps in (255, 65535):
        assert np.array_equal(made, k)


def test_real_numbers_are_told_that_rounding_would_destroy_them(tmp_path: Path) -> None:
    per_pixel = (BYTES - BYTES.mean(0)) / BYTES.std(0)
    resized = (BYTES[:, :-1] * 0.3137 + BYTES[:, 1:] * (1 - 0.3137)) / 255
    for x in (per_pixel, resized, RNG.random((40, 9, 8)), RNG.standard_normal((400, 200)).astype(np.float32)):
        np.save(tmp_path / "x.npy", x)
        sentence = refused(tmp_path / "x.npy")
        assert (
            "on no lattice, real-valued data, which are not scored here, and rounding them would make other" in sentence
        )
        assert sentence.endswith("give the integers that they were made from.")
        assert "astype" not in sentence
        assert f"{x.min():.6g}…{x.max():.6g}" in sentence
    assert "more than 65,536 different numbers" in sentence


def test_nan_and_infinity_are_counted_and_the_others_named(tmp_path: Path) -> None:
    x = BYTES / 255
    x[3, 1, 1] = x[5, 0, 0] = np.nan
    x[5, 2, 2] = np.inf
    np.save(tmp_path / "x.npy", x)
    sentence = refused(tmp_path / "x.npy")
    assert "holds float64 values, NaN and infinite ones among them, in 2 of 40 images: x[numpy.isfinite(x)" in sentence
    others = formula(sentence, x)
    np.save(tmp_path / "x.npy", others)
    rest = np.delete(BYTES, [3, 5], 0)
    assert np.array_equal(whole(follow(refused(tmp_path / "x.npy"), others, tmp_path)), rest)
    np.save(tmp_path / "x.npy", np.full((40, 9), -np.inf))
    assert "infinite ones among them, in 40 of 40 images: give images without." in refused(tmp_path / "x.npy")


# ---------------------------------------------------------------- shapes

SHAPES: dict[str, tuple[np.ndarray, np.ndarray, str]] = {
    "channel first": (COLOUR.transpose(0, 3, 1, 2), COLOUR, "x.transpose(0, 2, 3, 1) has the channel last."),
    "one channel first": (BYTES[:, None], BYTES, "x.transpose(0, 2, 3, 1) has the channel last."),
    "opaque alpha": (
        np.concatenate([COLOUR, np.full((40, 5, 4, 1), 255, np.uint8)], 3),
        COLOUR,
        "x[..., :3] leaves out the last channel, which is 255 everywhere.",
    ),
    "opaque alpha first": (
        np.concatenate([COLOUR, np.full((40, 5, 4, 1), 255, np.uint8)], 3).transpose(0, 3, 1, 2),
        COLOUR,
        "x[:, :3].transpose(0, 2, 3, 1) leaves out the last channel",
    ),
    "grey and opaque": (
        np.stack([BYTES, np.full_like(BYTES, 255)], 3),
        BYTES,
        "x[..., :1] leaves out the last channel, which is 255 everywhere.",
    ),
    "seven channels": (
        BYTES.reshape(40, 9, 1, 8)[..., :7],
        BYTES.reshape(40, 9, 8)[..., :7].reshape(40, 1, 63),
        "x.reshape(len(x), -1) has every number of an image in a row.",
    ),
    "six axes": (COLOUR[None, None], COLOUR, "x.reshape(-1, *x.shape[-3:]) has 40 images."),
    "five axes, grey": (
        BYTES.reshape(2, 4, 5, 9, 8),
        BYTES,
        "x.reshape(-1, *x.shape[-2:]) has 40 images.",
    ),
    "a row": (BYTES[:, 0, 0], BYTES[:, :1, :1], "x[:, None] has images of one number each."),
}


@pytest.mark.parametrize("case", SHAPES)
def test_a_shape_gets_the_formula_that_mends_it(case: str, tmp_path: Path) -> None:
    x, right, said = SHAPES[case]
    np.save(tmp_path / "x.npy", x)
    sentence = refused(tmp_path / "x.npy")
    assert said in sentence
    assert np.array_equal(whole(follow(sentence, x, tmp_path)), right)


def test_transparency_that_varies_is_not_thrown_away() -> None:
    x = np.concatenate([COLOUR, COLOUR[..., :1]], 3)
    with pytest.raises(data.DataError, match=r": x\.reshape\(len\(x\), -1\) has every number of an image in a row"):
        as_images("x", x)


@pytest.mark.parametrize(
    ("x", "said", "escape"),
    [
        (RNG.integers(0, 256, (28, 28)), "is one picture, or 28 images of 28 numbers", "x[:, None, :]"),
        (RNG.integers(0, 256, (64, 64)), "is one picture, or 64 images of 64 numbers", "x[:, None, :]"),
        (RNG.integers(0, 256, (48, 64, 3)), "is one picture in colour, or 48 grey ones", "x[..., None]"),
        (RNG.integers(0, 256, (30, 16, 3)), "is one picture in colour, or 30 grey ones", "x[..., None]"),
    ],
)
def test_one_picture_is_no_data_set_unless_it_is_said_to_be(
    x: np.ndarray, said: str, escape: str, tmp_path: Path
) -> None:
    x = x.astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    sentence = refused(tmp_path / "x.npy")
    assert said in sentence
    assert f"by {escape}." in sentence
    np.save(tmp_path / "y.npy", eval(escape, {"x": x}))
    assert np.array_equal(whole(data.load(str(tmp_path / "y.npy"))).reshape(x.shape), x)


def test_a_column_of_labels_is_found_at_either_end(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = digits.data.astype(np.uint8)
    labels = digits.target.astype(np.uint8)[:, None]
    for columns, place, rest in (
        ([labels, pixels], "first", "x[:, 1:]"),
        ([pixels, labels], "last", "x[:, :-1]"),
    ):
        x = np.hstack(columns)
        np.save(tmp_path / "x.npy", x)
        sentence = refused(tmp_path / "x.npy", levels=17)
        assert "has rows of 65 numbers, 8 × 8 and one, of which the " + place + " looks like a label (0…9)" in sentence
        assert f": {rest} leaves it out; if all of them belong to the images, x[:, None, :] says so." in sentence
        assert np.array_equal(whole(follow(sentence, x, tmp_path, levels=17)).reshape(-1, 64), pixels)
        np.save(tmp_path / "all.npy", x[:, None, :])
        assert data.load(str(tmp_path / "all.npy"), levels=17).shape == (1, 65)


def test_a_label_beside_binary_and_coloured_pictures_is_found(tmp_path: Path) -> None:
    binary = RNG.integers(0, 2, (500, 785), dtype=np.uint8)
    binary[:, 0] = RNG.integers(0, 10, 500)
    np.save(tmp_path / "x.npy", binary)
    sentence = refused(tmp_path / "x.npy", levels=2)
    assert "28 × 28 and one, of which the first looks like a label (0…9)" in sentence
    colour = RNG.integers(0, 256, (500, 3 * 64 + 1), dtype=np.uint8)
    colour[:, -1] = RNG.integers(1, 11, 500)
    np.save(tmp_path / "x.npy", colour)
    assert "8 × 8 × 3 and one, of which the last looks like a label (1…10)" in refused(tmp_path / "x.npy")


def test_a_doubtful_length_of_rows_is_a_remark(tmp_path: Path) -> None:
    for dims, said in (
        (
            17,
            "rows of 17 numbers are 4 × 4 and one: where the first or the last is a label, save x[:, 1:] or x[:, :-1]",
        ),
        (
            48,
            "rows of 48 numbers are 4 × 4 × 3: if these are pictures, save x.reshape(-1, 4, 4, 3), or, with the",
        ),
    ):
        np.save(tmp_path / "x.npy", RNG.integers(0, 256, (120, dims), dtype=np.uint8))
        (remark,) = (r for r in data.load(str(tmp_path / "x.npy")).remarks if r.topic == "shape")
        assert remark.text.startswith(said)
        assert not remark.loud
    for dims in (16, 20, 64):
        np.save(tmp_path / "x.npy", RNG.integers(0, 256, (120, dims), dtype=np.uint8))
        assert not data.load(str(tmp_path / "x.npy")).remarks


# ---------------------------------------------------------------- other kinds, and files


@pytest.mark.parametrize(
    ("x", "said", "right"),
    [
        (BYTES.astype(str), ': x.astype("int64") has the integers that they spell.', BYTES),
        ((BYTES / 4).astype(str), ': x.astype("float64") has the numbers that they spell.', BYTES / 4),
        (np.full((40, 4), "cat"), ": text is no image.", None),
        (BYTES + 0j, ": x.real has all of them.", BYTES),
        (BYTES + 1j, ": complex numbers are no grey levels.", None),
        (np.full((40, 4), np.datetime64("2020-01-01")), ": give grey levels.", None),
    ],
)
def test_other_kinds_of_values_get_one_sentence(x: np.ndarray, said: str, right: np.ndarray | None) -> None:
    with pytest.raises(data.DataError, match="but images must be integers 0…K−1") as caught:
        as_images("x", x)
    assert str(caught.value).endswith(said)
    if right is not None:
        assert np.array_equal(formula(str(caught.value), x), right)


def test_a_list_of_images_that_was_pickled_can_be_stacked(tmp_path: Path) -> None:
    held = np.empty(40, object)
    held[:] = list(BYTES)
    np.save(tmp_path / "x.npy", held, allow_pickle=True)
    sentence = refused(tmp_path / "x.npy")
    assert "save them as one plain array, numpy.stack(list(x)), which" in sentence
    assert "\n" not in sentence
    assert np.array_equal(np.stack(list(held)), BYTES)


def test_what_memory_has_no_room_for_is_told_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = np.lib.format.header_data_from_array_1_0(np.empty((0, 100, 100), np.uint8)) | {"shape": (10**9, 100, 100)}
    path = tmp_path / "big.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 10**13)  # with nothing in it, so that it takes no room
    sentence = refused(path)
    assert "holds 10000.0 GB, and " in sentence
    count = int(sentence.partition(")[:")[2].partition("]")[0])
    assert 10_000 < count < 10**9
    np.save(tmp_path / "x.npy", BYTES)
    np.savez_compressed(tmp_path / "x.npz", images=BYTES)
    monkeypatch.setattr(files, "ROOM", 1e-12)
    assert 'numpy.load(PATH, mmap_mode="r")[:10], as a file' in refused(tmp_path / "x.npy")
    assert "save some of its images, fewer, as a file" in refused(tmp_path / "x.npz")
