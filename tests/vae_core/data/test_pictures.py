"""Folders of pictures: the very numbers that the files hold, or a sentence whose remedy works."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.vae_core.data.remedies import groups, refused, whole
from vae_core import data

RNG = np.random.default_rng(3)
GREY = RNG.integers(0, 256, (24, 6, 5), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (24, 6, 5, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 2**16, (24, 60, 50), dtype=np.uint16)
BITS = RNG.integers(0, 2, (24, 6, 5)).astype(bool)


def write(folder: Path, images: Iterable[Any], suffix: str = "png", **options: Any) -> Path:
    for number, image in enumerate(images):
        picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
        picture.save(folder / f"{number:03}.{suffix}", **options)
    return folder


def png(path: Path, pixels: np.ndarray, bits: int, colour: int) -> None:
    """A PNG by its specification, of any depth and type of colour (0 grey, 2 RGB, 6 RGBA); pixels [H, W·channels]."""

    def chunk(kind: bytes, held: bytes) -> bytes:
        return struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held))

    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in pixels]
    else:
        rows = [
            np.packbits(np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, -bits:]).tobytes() for row in pixels
        ]
    width = pixels.shape[1] // {0: 1, 2: 3, 6: 4}[colour]
    head = struct.pack(">IIBBBBB", width, len(pixels), bits, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_pictures_of_16_bits_are_read_as_they_are(suffix: str, tmp_path: Path) -> None:
    held = data.load(str(write(tmp_path, DEEP, suffix)))
    assert held.levels == 65536
    assert np.array_equal(whole(held), DEEP)
    assert held.train.numpy().dtype == np.int32
    assert data.load(str(tmp_path), quantise=256).levels == 256


@pytest.mark.parametrize("colour", [2, 6])
def test_colour_of_16_bits_is_not_cut_to_8(colour: int, tmp_path: Path) -> None:
    images = RNG.integers(0, 2**16, (24, 30, 20, {2: 3, 6: 4}[colour]), dtype=np.uint16)
    for number, image in enumerate(images):
        png(tmp_path / f"{number:02}.png", image.reshape(30, -1), 16, colour)
    assert np.asarray(Image.open(tmp_path / "00.png")).dtype == np.uint8, "Pillow reads them by now"
    sentence = refused(tmp_path)
    assert "has colours of 16 bits, of which no more than 8 would be read: save the numbers of the pictures" in sentence
    assert "numpy.savez(path, images=x, levels=65536)." in sentence
    np.savez(tmp_path / "x.npz", images=images[..., :3], levels=65536)
    assert np.array_equal(whole(data.load(str(tmp_path / "x.npz"))), images[..., :3])


def test_a_camera_of_12_bits_is_asked_for_its_levels(tmp_path: Path) -> None:
    write(tmp_path, DEEP >> 4)
    sentence = refused(tmp_path)
    assert "is said to have 65536 levels, but only" in sentence
    least, most = map(int, groups(r"state levels = (\d+), or as many as there can be, up to (\d+)\.$", sentence))
    assert least <= 4096 <= most
    for levels in (least, 4096):
        assert np.array_equal(whole(data.load(str(tmp_path), levels=levels)), DEEP >> 4)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_are_the_bits_that_they_were(bits: int, tmp_path: Path) -> None:
    k = RNG.integers(0, 2**bits, (24, 6, 8))
    for number, image in enumerate(k):
        png(tmp_path / f"{number:02}.png", image, bits, 0)
    if bits == 1:
        held = data.load(str(tmp_path))
    else:
        assert f"state quantise = {2**bits}" in refused(tmp_path)
        held = data.load(str(tmp_path), quantise=2**bits)
    assert held.levels == 2**bits
    assert np.array_equal(whole(held), k)


def tiff(path: Path, pixels: np.ndarray, bits: int) -> None:
    """An uncompressed TIFF of three colours [H, W, 3], little-endian, by its specification (6.0, section 6)."""
    height, width, _ = pixels.shape
    body = pixels.astype("<u2" if bits > 8 else "u1").tobytes()
    after = 8 + 2 + 12 * 9 + 4
    fields = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, after), (259, 3, 1, 1), (262, 3, 1, 2)]
    fields += [(273, 4, 1, after + 6), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(body))]
    head = b"II*\0" + struct.pack("<IH", 8, len(fields)) + b"".join(struct.pack("<HHII", *field) for field in fields)
    path.write_bytes(head + struct.pack("<IHHH", 0, bits, bits, bits) + body)


def test_colour_of_16_bits_in_a_tiff_is_not_cut_to_8(tmp_path: Path) -> None:
    images = RNG.integers(0, 2**16, (24, 30, 20, 3), dtype=np.uint16)
    for number, image in enumerate(images):
        tiff(tmp_path / f"{number:02}.tif", image, 16)
    assert np.asarray(Image.open(tmp_path / "00.tif")).dtype == np.uint8, "Pillow reads them by now"
    assert "has colours of 16 bits, of which no more than 8 would be read" in refused(tmp_path)
    for number, image in enumerate(COLOUR):
        tiff(tmp_path / f"{number:02}.tif", image, 8)
    assert np.array_equal(whole(data.load(str(tmp_path))), COLOUR)


@pytest.mark.parametrize(("most", "bits"), [(65535, 16), (1000, 10)])
@pytest.mark.parametrize("kind", [3, 6])
def test_deep_colour_in_a_ppm_is_not_cut_to_8(kind: int, most: int, bits: int, tmp_path: Path) -> None:
    portable(tmp_path / "a.ppm", RNG.integers(0, most + 1, (30, 20, 3)), kind, most)
    sentence = refused(tmp_path)
    assert f"has colours of {bits} bits, of which no more than 8 would be read" in sentence
    assert sentence.endswith(f"numpy.savez(path, images=x, levels={most + 1}).")


def portable(path: Path, k: np.ndarray, kind: int, most: int) -> None:
    """A PGM or PPM, P2, P3, P5 or P6, with a comment in its head."""
    head = f"P{kind}\n# made by hand, 7 8 9\n{k.shape[1]} {k.shape[0]}\n{most}\n".encode()
    raw = k.astype("u1" if most < 256 else ">u2").tobytes()
    path.write_bytes(head + (raw if kind >= 5 else "\n".join(map(str, k.reshape(-1))).encode() + b" # the end\n"))


@pytest.mark.parametrize("most", [1, 15, 100, 200, 255, 1023, 4095, 65535])
@pytest.mark.parametrize("kind", [2, 5])
def test_a_pgm_is_the_numbers_that_it_holds_of_maxval_and_one_levels(kind: int, most: int, tmp_path: Path) -> None:
    k = RNG.integers(0, most + 1, (24, 40, 30))
    if most > 10_000:
        k = k[:, :20]
    for number, image in enumerate(k):
        portable(tmp_path / f"{number:02}.pgm", image, kind, most)
    held = data.load(str(tmp_path))
    assert held.levels == most + 1
    assert np.array_equal(whole(held), k)


@pytest.mark.parametrize(("kind", "most"), [(3, 255), (3, 20), (6, 100)])
def test_a_ppm_is_the_numbers_that_it_holds(kind: int, most: int, tmp_path: Path) -> None:
    k = RNG.integers(0, most + 1, (24, 6, 5, 3))
    for number, image in enumerate(k):
        portable(tmp_path / f"{number:02}.ppm", image, kind, most)
    held = data.load(str(tmp_path))
    assert held.levels == most + 1
    assert np.array_equal(whole(held), k)


def test_a_pgm_that_only_uses_some_of_its_levels_is_mended_by_stating_them(tmp_path: Path) -> None:
    k = RNG.integers(0, 8, (24, 6, 5))
    for number, image in enumerate(k):
        portable(tmp_path / f"{number:02}.pgm", image, 5, 200)
    assert "is said to have 201 levels, but only 8 occur (0, 1, 2, … 7): state levels = 8" in refused(tmp_path)
    assert np.array_equal(whole(data.load(str(tmp_path), levels=8)), k)


def test_a_pgm_of_another_maxval_is_of_another_kind(tmp_path: Path) -> None:
    portable(tmp_path / "a.pgm", GREY[0] % 101, 5, 100)
    portable(tmp_path / "b.pgm", GREY[0] % 101, 5, 200)
    sentence = refused(tmp_path)
    assert "b.pgm is of 201 levels and" in sentence
    assert sentence.endswith("give each kind a folder of its own.")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"P5 5 6 100\n" + bytes(29), "it ends after 29 of 30 values"),
        (b"P5 5 6 100\n" + bytes([101] * 30), "beyond its maxval 100"),
        (b"P2 2 1 9\n3 -1", "beyond its maxval 9"),
        (b"P2 2 1 9\n3 x", "invalid literal"),
        (b"P5 5 6 70000\n" + bytes(60), "maxval 70000 is not 1"),
        (b"P5 5 6", "lacks a width, a height or a maxval"),
    ],
)
def test_a_pgm_that_is_not_as_its_head_has_it_cannot_be_read(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(content)
    sentence = refused(tmp_path)
    assert "a.pgm cannot be read as an image (" in sentence
    assert said in sentence


def test_a_formula_for_a_folder_takes_its_pictures_from_a_function(tmp_path: Path) -> None:
    three = np.array([0, 128, 255], np.uint8)[GREY % 3]
    sentence = refused(write(tmp_path, three))
    called = "as images of an .npz with levels=3, where x = vae_core.data.read_folder(PATH)."
    assert sentence.endswith(f"save numpy.unique(x, return_inverse=True)[1].reshape(x.shape) {called}")
    x = data.read_folder(str(tmp_path))
    assert np.array_equal(x, three)
    np.savez(tmp_path / "m.npz", images=np.unique(x, return_inverse=True)[1].reshape(x.shape), levels=3)
    assert np.array_equal(whole(data.load(str(tmp_path / "m.npz"))), GREY % 3)


def test_pictures_of_one_bit_have_two_levels(tmp_path: Path) -> None:
    held = data.load(str(write(tmp_path, BITS, "tif")))
    assert held.levels == 2
    assert np.array_equal(whole(held), BITS)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_pictures_stand_upright_as_their_exif_says(orientation: int, tmp_path: Path) -> None:
    turns = {3: 2, 6: 1, 8: 3}[orientation]  # quarter turns to the left of what is shown, in which it is stored
    square = RNG.integers(0, 256, (24, 6, 6), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    write(tmp_path, [np.rot90(image, turns) for image in square[:10]], exif=exif)
    for number, image in enumerate(square[10:], 10):
        Image.fromarray(image).save(tmp_path / f"{number:03}.png")
    held = data.load(str(tmp_path))
    assert np.array_equal(whole(held), square)
    assert "10 of 24 pictures were turned upright, as their EXIF orientation says" in [r.text for r in held.remarks]


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_a_tiff_that_is_not_square_stands_upright(orientation: int, compression: str, tmp_path: Path) -> None:
    """What is stored of an upright picture, by the meaning of the orientations (TIFF 6.0, page 36)."""
    stored = {
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.T,
        6: lambda x: np.rot90(x, 1),
        7: lambda x: x[::-1, ::-1].T,
        8: lambda x: np.rot90(x, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    write(tmp_path, [np.ascontiguousarray(stored(image)) for image in GREY], "tif", exif=exif, compression=compression)
    assert np.array_equal(whole(data.load(str(tmp_path))), GREY)


@pytest.mark.parametrize("suffix", ["tif", "webp", "png"])
def test_every_page_is_an_image(suffix: str, tmp_path: Path) -> None:
    pictures = [Image.fromarray(image) for image in (COLOUR if suffix == "webp" else GREY)]
    lossless: dict[str, Any] = {"lossless": True, "exact": True} if suffix == "webp" else {}
    pictures[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=pictures[1:12], **lossless)
    write(tmp_path, pictures[12:], suffix, **lossless)
    (tmp_path / "001.gif").write_bytes(b"left out, and said")
    held = data.load(str(tmp_path))
    found = {image.tobytes() for image in whole(held).astype(np.uint8)}
    assert found == {np.asarray(picture).tobytes() for picture in pictures}
    said = [remark.text for remark in held.remarks]
    assert "1 of 13 file holds several pages, each read as an image: 24 in all" in said
    assert any(text.startswith("1 file was left out (.gif): a folder is read for .png, .jpg") for text in said)


def with_alpha(image: np.ndarray, alpha: int | np.ndarray) -> np.ndarray:
    return np.dstack([image, np.broadcast_to(np.uint8(alpha), image.shape[:2])])


def test_a_palette_is_no_scale_of_grey_and_its_colours_are_kept_by_the_remedy(tmp_path: Path) -> None:
    few = np.array([[0, 0, 0], [10, 200, 30], [255, 255, 0]], np.uint8)[GREY % 3]
    indexed = [Image.fromarray(image).quantize(3) for image in few]
    sentence = refused(write(tmp_path, indexed))
    assert (
        "000.png has a palette (mode P), whose numbers are places in it and no grey levels: picture.convert" in sentence
    )
    remade = [picture.convert("RGB") for picture in indexed]
    assert all(np.array_equal(np.asarray(picture), image) for picture, image in zip(remade, few, strict=True))
    write(tmp_path, remade)
    assert "is said to have 256 levels, but only 5 occur" in refused(tmp_path)  # the next honest question


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: with_alpha(COLOUR[0], 255),
            'mode RGBA, but its alpha is 255 everywhere: picture.convert("RGB") loses',
        ),
        (lambda: with_alpha(GREY[0], 255), 'mode LA, but its alpha is 255 everywhere: picture.convert("L") loses'),
        (
            lambda: with_alpha(COLOUR[0], GREY[1]),
            "is transparent in part (mode RGBA): lay it over a background of your",
        ),
        (lambda: with_alpha(GREY[0], GREY[1]), "is transparent in part (mode LA): lay it over a background of your"),
        (lambda: Image.fromarray(COLOUR[0]).convert("CMYK"), "has mode CMYK, amounts of ink, which become RGB by"),
        (lambda: GREY[0].astype(np.float32), "has mode F, real numbers, and only integers are read"),
    ],
)
def test_modes_that_are_no_grey_levels_are_told_why(make: Any, said: str, tmp_path: Path) -> None:
    made = make()
    picture = made if isinstance(made, Image.Image) else Image.fromarray(made)
    picture.save(tmp_path / "a.tif")
    sentence = refused(tmp_path)
    assert said in sentence
    if formula := re.search(r'picture\.convert\("(RGB|L)"\) loses nothing|choice, (Image.+)\.$', sentence):
        names: dict[str, Any] = {"Image": Image, "picture": Image.open(tmp_path / "a.tif"), "COLOUR": "white"}
        remade = eval(formula[2], names) if formula[2] else names["picture"].convert(formula[1])
        write(tmp_path, [remade] * 12)
        (tmp_path / "a.tif").unlink()
        assert len(whole(data.load(str(tmp_path)))) == 12
        if formula[1]:
            assert np.array_equal(np.asarray(remade), np.asarray(picture)[..., :3] if formula[1] == "RGB" else GREY[0])


def test_unlike_pictures_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path, GREY)
    for other, said in (
        (COLOUR[0], '5×6 RGB and .* is 5×6 grey, but .*: turn the grey ones into RGB, picture.convert."RGB".'),
        (GREY[0, :4], "5×4 grey and .* is 5×6 grey, but .*: give each size a folder of its own"),
        (DEEP[0, :6, :5], "5×6 16-bit grey and .* is 5×6 grey, but .*: give each kind a folder of its own"),
    ):
        Image.fromarray(other).save(tmp_path / "z.png")
        assert re.search(said, refused(tmp_path))
    (tmp_path / "of_one_kind").mkdir()
    remade = [Image.fromarray(image).convert("RGB") for image in GREY]
    held = data.load(str(write(tmp_path / "of_one_kind", remade)))
    assert np.array_equal(whole(held), np.repeat(GREY[..., None], 3, 3))
