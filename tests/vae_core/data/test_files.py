"""A user's own images: what is taken for what, and one clear sentence for everything else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vae_core import data
from vae_core.data.splits import three_ways

RNG = np.random.default_rng(7)
GREY = RNG.integers(0, 256, size=(12, 5, 4), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, size=(12, 5, 4, 3), dtype=np.uint8)


def whole(held: data.Dataset) -> np.ndarray:
    """All images in their original order."""
    flat = torch.cat([held.train, held.valid, held.test]).numpy()
    return flat[np.argsort(np.concatenate(three_ways(len(flat))))].reshape(-1, *held.shape)


# ---------------------------------------------------------------- what is taken


@pytest.mark.parametrize("images", [GREY, COLOUR, GREY[..., None]], ids=["grey", "colour", "one channel"])
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_arrays_of_bytes_have_256_levels(images: np.ndarray, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, images)
    else:
        np.savez_compressed(path, anything=images)  # a single array needs no particular name
    held = data.load(str(path))
    assert held.levels == 256
    assert held.name == str(path)
    assert [len(held.train), len(held.valid), len(held.test)] == [8, 2, 2]
    assert held.shape == images.shape[1:][: 2 if images.shape[-1] == 1 else 3]
    assert np.array_equal(whole(held), images.reshape(whole(held).shape))


@pytest.mark.parametrize(("dims", "shape"), [(20, (1, 20)), (16, (4, 4))])
def test_flat_images_are_drawn_square_where_they_can(dims: int, shape: tuple[int, ...], tmp_path: Path) -> None:
    flat = RNG.integers(0, 256, size=(12, dims), dtype=np.uint8)
    np.save(tmp_path / "a.npy", flat)
    held = data.load(str(tmp_path / "a.npy"))
    assert held.shape == shape
    assert np.array_equal(whole(held).reshape(12, dims), flat)


def test_the_images_of_an_npz_are_the_ones_called_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=GREY, labels=np.zeros(12))
    assert np.array_equal(whole(data.load(str(tmp_path / "a.npz"))), GREY)


@pytest.mark.parametrize(
    ("images", "stated", "asked", "levels", "dtype"),
    [
        (GREY > 100, None, None, 2, torch.uint8),
        (GREY // 16, None, 17, 17, torch.uint8),
        (GREY // 16, 17, None, 17, torch.uint8),
        (GREY // 16, 17, 17, 17, torch.uint8),
        (GREY.astype(np.int64), 256, None, 256, torch.uint8),
        (GREY.astype(">u2") * 3 + GREY.astype(">u2") % 5, None, 1024, 1024, torch.int16),
        (GREY.astype(">u4") * 250 + GREY[::-1], None, 65536, 65536, torch.int32),
    ],
)
def test_levels_come_from_the_type_the_file_or_the_caller(
    images: np.ndarray, stated: int | None, asked: int | None, levels: int, dtype: torch.dtype, tmp_path: Path
) -> None:
    arrays = {"images": images} if stated is None else {"images": images, "levels": stated}
    held = data.load(str(npz(**arrays)(tmp_path)), levels=asked)
    assert held.levels == levels
    assert held.train.dtype == dtype
    assert np.array_equal(whole(held), images)


@pytest.mark.parametrize(("images", "suffix"), [(GREY, "png"), (COLOUR, "png"), (GREY, "pgm"), (COLOUR, "BMP")])
def test_a_folder_is_read_in_the_order_of_its_paths(images: np.ndarray, suffix: str, tmp_path: Path) -> None:
    for i in reversed(range(12)):
        folder = tmp_path / ("a" if i < 6 else "b")
        folder.mkdir(exist_ok=True)
        Image.fromarray(images[i]).save(folder / f"{i:02}.{suffix}")
    (tmp_path / "README.txt").write_text("no image")
    (tmp_path / "a" / "._00.png").write_text("a file manager's shadow of an image")
    held = data.load(str(tmp_path))
    assert (held.levels, held.shape) == (256, images.shape[1:])
    assert np.array_equal(whole(held), images)


def test_a_path_may_start_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    np.save(tmp_path / "a.npy", GREY)
    assert np.array_equal(whole(data.load("~/a.npy")), GREY)


def test_a_known_name_is_never_taken_for_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert data.load("digits").shape == (8, 8)
    with pytest.raises(data.DataError, match="holds no images"):
        data.load("./digits")


def test_the_shared_tiny_file_loads(tiny_npz: Path, tiny_images: np.ndarray) -> None:
    held = data.load(str(tiny_npz))
    assert (held.levels, held.shape, len(held.train)) == (5, (4, 3), 80)
    assert np.array_equal(whole(held), tiny_images)


# ---------------------------------------------------------------- what is refused


def npz(**arrays: object) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.savez(folder / "a.npz", allow_pickle=True, **{name: np.asarray(array) for name, array in arrays.items()})
        return folder / "a.npz"

    return write


def content(name: str, held: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(held)
        return folder / name

    return write


def cut_short(folder: Path) -> Path:
    whole_file = npz(images=GREY)(folder)
    whole_file.write_bytes(whole_file.read_bytes()[:-300])
    return whole_file


def scribbled(folder: Path) -> Path:
    np.savez_compressed(folder / "a.npz", images=GREY)
    held = bytearray((folder / "a.npz").read_bytes())
    held[120:160] = b"x" * 40
    (folder / "a.npz").write_bytes(held)
    return folder / "a.npz"


def pictures(**images: np.ndarray) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        for i in range(12):
            Image.fromarray(GREY[i]).save(folder / f"{i:02}.png")
        for name, image in images.items():
            Image.fromarray(image).save(folder / f"{name}.png")
        return folder

    return write


def broken_picture(folder: Path) -> Path:
    pictures()(folder)
    held = (folder / "05.png").read_bytes()
    (folder / "05.png").write_bytes(held[: len(held) // 2])
    return folder


UNIT = RNG.random((12, 5, 4)).astype(np.float32)
NAN = np.where(UNIT > 0.9, np.nan, UNIT)

REFUSED: dict[str, tuple[Callable[[Path], Path], int | None, str]] = {
    "no such file": (lambda folder: folder / "a.npz", None, "was not found: give the path of an .npz or .npy file or"),
    "no such folder": (lambda folder: folder / "a" / "b", None, "was not found: give the path"),
    "another kind of file": (content("a.csv", b"1,2"), None, "is no .npz, no .npy and no folder: save the images with"),
    "floats": (npz(images=UNIT), None, "holds float32 values .*, but images must be integers 0…K−1: these are"),
    "NaN": (npz(images=NAN), None, "holds float.* values, NaN among them, in [0-9]+ of 12 images: "),
    "text": (npz(images=np.full((12, 5, 4), "a")), None, "holds <U1 values, but images must be integers"),
    "complex": (npz(images=UNIT + 1j), None, "holds complex64 values"),
    "no image": (npz(images=GREY[:0]), None, "holds no images, but at least 10"),
    "one image": (npz(images=GREY[:1]), None, "holds 1 image, but at least 10"),
    "too few images": (npz(images=GREY[:9]), None, "holds 9 images, but at least 10 are needed to cut training"),
    "one number": (npz(images=5), 256, r"has shape \[\], but images must be"),
    "a vector": (npz(images=GREY[:, 0, 0]), None, r"has shape \[12\], but images must be \[N, H, W\]"),
    "empty images": (npz(images=GREY[:, :0]), None, r"has shape \[12, 0, 4\]"),
    "two channels": (npz(images=COLOUR[..., :2]), None, r"has shape \[12, 5, 4, 2\]"),
    "the channel first": (npz(images=COLOUR.transpose(0, 3, 1, 2)), None, "the channel last"),
    "five axes": (npz(images=COLOUR[None]), None, r"has shape \[1, 12, 5, 4, 3\]"),
    "several arrays": (npz(x=GREY, y=GREY), None, "holds x, y, but none is called images"),
    "no array": (npz(levels=5), None, "holds no array, but none is called images"),
    "levels not clear": (npz(images=GREY.astype(int)), None, "holds int64 values, .*state it as levels = K"),
    "a value too large": (
        npz(images=GREY % 17 + 1, levels=17),
        None,
        "has values 1…17, but 17 levels allow 0…16: save levels=18",
    ),
    "a value below zero": (npz(images=GREY.astype(np.int16) - 300), 256, "has values -[0-9]+…-[0-9]+, but 256"),
    "contradicting levels": (npz(images=GREY, levels=256), 17, "states 256 levels, but 17 were asked for"),
    "levels that are none": (npz(images=GREY, levels=2.5), None, "states levels as float64.*must be one integer"),
    "several levels": (npz(images=GREY, levels=[2, 3]), None, "must be one integer"),
    "one level": (npz(images=GREY), 1, "cannot have 1 levels: 2…65536 are allowed"),
    "too many levels": (
        npz(images=GREY.astype(np.uint16)),
        65537,
        "cannot have 65537 levels: 2…65536 .* the largest value",
    ),
    "pickled objects": (npz(images=np.array([{}] * 12)), None, "holds pickled objects, .*stack.list.x"),
    "a pickle": (content("a.npy", b"\x80\x04K\x01."), None, "cannot be read .*pickled"),
    "an empty file": (content("a.npz", b""), None, "cannot be read"),
    "no zip file": (content("a.npz", b"PK\x03\x04 and nothing else"), None, "cannot be read"),
    "a broken header": (content("a.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': oops}\n"), None, "cannot be read"),
    "a file cut short": (cut_short, None, "cannot be read .*damaged"),
    "a file written over": (scribbled, None, "cannot be read .*damaged"),
    "a folder without images": (lambda folder: folder, None, "holds no images: put .png"),
    "mixed sizes": (pictures(b=GREY[0, :4]), None, "b.png is 4×4 grey and .*00.png is 4×5 grey, but all"),
    "mixed modes": (pictures(b=COLOUR[0]), None, "b.png is 4×5 RGB and .*00.png is 4×5 grey, but all .*: turn"),
    "another mode": (
        pictures(b=np.dstack([COLOUR[0], GREY[0]])),
        None,
        "b.png is transparent in part .mode RGBA.: lay",
    ),
    "a broken picture": (broken_picture, None, "05.png cannot be read as an image .*: mend or remove it"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("error")
def test_bad_input_gets_one_clear_sentence(case: str, tmp_path: Path) -> None:
    write, levels, message = REFUSED[case]
    path = write(tmp_path)
    with pytest.raises(data.DataError, match=message) as caught:
        data.load(str(path), levels=levels)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert not re.search(r"[.!?] [A-Z]", sentence)
