"""A folder of pictures as one array: exactly the numbers that the files hold, or one sentence.

| in a file | read as |
|---|---|
| grey or RGB of 8 bits | uint8 |
| grey of 16 bits | uint16, as it is |
| one bit | bool |
| grey of 2 or 4 bits | uint8, as Pillow spreads it over 0…255: `lattice` then asks for `quantise = 4` or `16` |
| PGM or PPM of another maxval than 255 and 65535 | uint8 or uint16, as they are, of maxval + 1 levels |
| several pages or frames | an image each, in their order |
| turned by its EXIF orientation | upright |
| colours of more than 8 bits (PNG, TIFF, PPM) | refused, for Pillow cuts them to 8 |
| a palette, transparency, CMYK, floats | refused, for their numbers are no grey levels or not all of the picture |
"""

from __future__ import annotations

import itertools
import math
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vae_core.data.dataset import DataError, Remark, expanded, named, reason
from vae_core.data.sources.headers import DAMAGED, ROOM, free_memory

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".webp")
OTHERS = (".gif", ".tga", ".jp2", ".avif", ".heic", ".ico", ".dds", ".npy", ".npz")  # left out, which is said
GREY = {"1": np.bool_, "L": np.uint8, "I": np.uint16, "I;16": np.uint16, "I;16L": np.uint16, "I;16B": np.uint16}
ORIENTATION = 0x0112  # of EXIF
PNG = b"\x89PNG\r\n\x1a\n"
BITS = 0x0102  # of a value in each channel, the tag of a TIFF
PNM = re.compile(rb"P[2356][\s#]")  # grey or colours, in decimals or raw: Pillow spreads them over 0…255 or 0…65535
GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
PNM_HEAD = re.compile(GAP.join([rb"P([2356])", rb"(\d{1,9})", rb"(\d{1,9})", rb"(\d{1,9})"]) + rb"\s")


MOST_FILES = 1_000_000  # of a folder, pictures or not
MOST_PIXELS = 89_478_485  # of a picture, where Pillow says no other number
LONGEST_HEAD = 2**16  # bytes of a PGM's or PPM's, with its comments
MOST_LETTERS = 64  # of a number in decimals, with what lies before it: comments, that is
OF_DECIMALS = 64  # bytes that a number in decimals takes while it is read


class Page(NamedTuple):
    """A picture of a file, upright."""

    pixels: np.ndarray
    turned: bool  # to be so
    levels: int  # that the file allows


def read_folder(folder: Path | str) -> np.ndarray:
    """bool, uint8 or uint16 [N, H, W], or uint8 [N, H, W, 3], from all pictures of a folder and its subfolders, in the
    order of their paths. Raises DataError."""
    return questioned(expanded(folder))[0]


def questioned(folder: Path) -> tuple[np.ndarray, int, list[Remark]]:
    """The same, with the levels that the files allow and what a reader of the numbers should know of how they were
    read."""
    found = itertools.islice(folder.rglob("*"), MOST_FILES + 1)
    seen = sorted(
        (file for file in found if not file.name.startswith(".")),
        key=lambda file: file.relative_to(folder).as_posix(),
    )
    if len(seen) > MOST_FILES:
        raise DataError(f"{named(folder)} holds more than {MOST_FILES:,} files: give a folder of images alone.")
    files = [file for file in seen if file.suffix.lower() in PICTURES]
    if not files:
        raise DataError(f"{named(folder)} holds no images: put {', '.join(PICTURES)} files of one size there.")
    pictures: list[Page] = []
    paged = taken = 0
    room = int(ROOM * free_memory())
    for file in files:
        pages = _pages(file, room - taken)
        for page in pages:
            if pictures and _kind(page) != _kind(pictures[0]):
                raise DataError(_differs(file, page, files[0], pictures[0]))
            pictures.append(page)
            taken += page.pixels.nbytes
        paged += len(pages) > 1
        if len(files) * pictures[0].pixels.nbytes > room:  # all are of one size
            each = pictures[0].pixels.nbytes
            raise DataError(
                f"{named(folder)} holds {len(files) * each / 1e9:.1f} GB of pixels, and {room / 1e9:.1f} GB is the "
                f"most that is read here: give a folder of {max(room // each, 1)} of its {len(files)} pictures."
            )
    turned = sum(page.turned for page in pictures)
    remarks = list(_remarks(seen, len(files), len(pictures), turned, paged))
    return np.stack([page.pixels for page in pictures]), pictures[0].levels, remarks


def _kind(page: Page) -> tuple[Any, ...]:
    """What is one and the same in all pictures of a folder."""
    return page.pixels.shape, page.pixels.dtype, page.levels


def _remarks(seen: list[Path], files: int, images: int, turned: int, paged: int) -> Iterator[Remark]:
    if turned:
        yield Remark("reading", f"{turned} of {images} pictures were turned upright, as their EXIF orientation says")
    if paged:
        what = "file holds" if paged == 1 else "files hold"
        yield Remark("reading", f"{paged} of {files} {what} several pages, each read as an image: {images} in all")
    if left := [file.suffix.lower() for file in seen if file.suffix.lower() in OTHERS]:
        kinds = ", ".join(sorted(set(left)))
        what = "file was" if len(left) == 1 else "files were"
        yield Remark("reading", f"{len(left)} {what} left out ({kinds}): a folder is read for {', '.join(PICTURES)}")


def _pages(file: Path, room: int) -> list[Page]:
    """Every page of a file, whose pixels have no more bytes than there is room for."""
    if not file.is_file() and not file.is_dir():
        raise DataError(f"{named(file)} is no file that has an end: remove it.")
    try:
        with file.open("rb") as opened:  # by a path, Pillow would map a TIFF to memory by the size that it has upright
            head = opened.read(26)
            opened.seek(0)
            return [_portable(file, opened, room)] if PNM.match(head) else _opened(file, head, opened, room)
    except DataError:
        raise
    except (*DAMAGED, *_of_pillow()) as error:  # every decoder has its own ways to fail
        raise DataError(f"{named(file)} cannot be read as an image ({reason(error)}): mend or remove it.") from error


def _of_pillow() -> tuple[type[Exception], ...]:
    from PIL import Image

    return Image.DecompressionBombError, Image.DecompressionBombWarning


def _require_room(file: Path, width: int, height: int, values: int, pages: int, room: int) -> None:
    """Raises DataError for pictures of more than there is room for, by what their header says of them."""
    from PIL import Image

    size = width * height * values * pages
    most = Image.MAX_IMAGE_PIXELS or MOST_PIXELS
    if width * height > most or size > room:
        of = f" of {pages:,} pages" if pages > 1 else ""
        raise DataError(
            f"{named(file)} says that it has {width:,} × {height:,} pixels{of}, {size / 1e9:.1f} GB, and "
            f"{min(room, most * values) / 1e9:.1f} GB is the most that is read here: make it smaller, or remove it."
        )


def _opened(file: Path, head: bytes, opened: Any, room: int) -> list[Page]:
    """By Pillow. Raises DataError where that would change numbers."""
    from PIL import Image, ImageOps

    if head[:8] == PNG and head[24:25] == b"\x10" and head[25:26] != b"\x00":
        raise DataError(_deep(file, 16, 2**16))
    pages: list[Page] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # more pixels than a picture has
        picture = Image.open(opened)
    with picture:
        count = getattr(picture, "n_frames", 1)
        for page in range(count):
            picture.seek(page)
            wide = 4 if picture.mode in ("I", "F") else 2 if picture.mode.startswith("I;16") else 1
            values = wide * len(picture.getbands())
            _require_room(file, *picture.size, values, count - page, room - sum(page.pixels.nbytes for page in pages))
            bits = max(getattr(picture, "tag_v2", {}).get(BITS, (8,)))
            if bits > 8 and (picture.mode.startswith("RGB") or picture.mode == "LA"):
                raise DataError(_deep(file, bits, 2**bits))
            turned = picture.getexif().get(ORIENTATION, 1) not in (0, 1)
            pixels = _pixels(file, ImageOps.exif_transpose(picture) if turned else picture)
            pages.append(Page(pixels, turned, 2 if pixels.dtype == np.bool_ else 2 ** (8 * pixels.dtype.itemsize)))
    return pages


def _portable(file: Path, opened: Any, room: int) -> Page:
    """A PGM or PPM (netpbm.sourceforge.net/doc/ppm.html), whose numbers are 0…maxval. Raises DataError for colours of
    more than 8 bits, ValueError where the file is not as its head has it."""
    start = opened.read(LONGEST_HEAD)
    head = PNM_HEAD.match(start)
    if not head:
        raise ValueError("its head lacks a width, a height or a maxval")
    kind, width, height, most = map(int, head.groups())
    if not 0 < most < 2**16:
        raise ValueError(f"its maxval {most} is not 1…65535")
    colours = kind in (3, 6)
    if colours and most > 255:
        raise DataError(_deep(file, most.bit_length(), most + 1))
    shape = (height, width, 3) if colours else (height, width)
    count = math.prod(shape)
    decimals = kind in (2, 3)
    stored = np.dtype("u1" if most < 256 else ">u2")
    values = 3 if colours else 1
    _require_room(file, width, height, values * (OF_DECIMALS if decimals else stored.itemsize), 1, room)
    opened.seek(head.end())
    if decimals:
        content = opened.read(MOST_LETTERS * count)  # and one more of each at least lies between
        words = re.sub(rb"#[^\r\n]*", b" ", content).split(None, count)[:count]
        numbers = np.array([int(word) for word in words], np.int64)
    else:
        numbers = np.frombuffer(opened.read(count * stored.itemsize), stored)
    if len(numbers) < count or not count:
        raise ValueError(f"it ends after {len(numbers)} of {count} values")
    if numbers.min() < 0 or numbers.max() > most:
        raise ValueError(f"it has values {numbers.min()}…{numbers.max()}, beyond its maxval {most}")
    return Page(numbers.astype(np.uint8 if most < 256 else np.uint16).reshape(shape), False, most + 1)


def _deep(file: Path, bits: int, levels: int) -> str:
    return (
        f"{named(file)} has colours of {bits} bits, of which no more than 8 would be read: save the numbers of the "
        f"pictures as an array, numpy.savez(path, images=x, levels={levels})."
    )


def _pixels(file: Path, picture: Any) -> np.ndarray:
    """[H, W] or [H, W, 3]. Raises DataError where the numbers of the file are no grey levels."""
    mode, pixels = picture.mode, np.asarray(picture)
    if mode == "RGB":
        return pixels
    if mode not in GREY or (mode == "I" and (pixels.min() < 0 or pixels.max() >= 2**16)):
        raise DataError(f"{named(file)} {_refused(mode, picture, pixels)}.")
    return pixels.astype(GREY[mode])


def _refused(mode: str, picture: Any, pixels: np.ndarray) -> str:
    if mode in ("P", "PA"):
        if "transparency" in picture.info or mode == "PA":
            return f"has a palette with transparency (mode {mode}): {_composite('RGBA')}"
        return (
            "has a palette (mode P), whose numbers are places in it and no grey levels: "
            'picture.convert("RGB") has the same colours'
        )
    if mode in ("RGBA", "LA"):
        plain = mode.removesuffix("A")
        if (pixels[..., -1] == 255).all():
            return f'has mode {mode}, but its alpha is 255 everywhere: picture.convert("{plain}") loses nothing'
        return f"is transparent in part (mode {mode}): {_composite(mode)}"
    if mode == "CMYK":
        return (
            "has mode CMYK, amounts of ink, which become RGB by a colour profile only: give the RGB pictures that it "
            "was made from, or convert it by the profile of your choice"
        )
    if mode == "F":
        return "has mode F, real numbers, and only integers are read: give the pictures that it was made from"
    return f"has mode {mode}, but only grey and RGB are read: give the pictures that it was made from"


def _composite(mode: str) -> str:
    laid = 'Image.alpha_composite(Image.new("RGBA", picture.size, COLOUR), picture.convert("RGBA"))'
    return f'lay it over a background of your choice, {laid}.convert("{"L" if mode == "LA" else "RGB"}")'


def _differs(file: Path, page: Page, first: Path, other: Page) -> str:
    same_size = page.pixels.shape[:2] == other.pixels.shape[:2]
    what, of_others = _size(page.pixels), _size(other.pixels)
    if same_size and page.pixels.dtype == other.pixels.dtype and page.levels == other.levels:
        remedy = 'turn the grey ones into RGB, picture.convert("RGB"), which loses nothing'
    else:
        remedy = f"give each {'kind' if same_size else 'size'} a folder of its own"
    if page.levels != other.levels and what == of_others:
        what, of_others = f"of {page.levels} levels", f"of {other.levels}"
    return (
        f"{named(file)} is {what} and {named(first.name, 40)} is {of_others}, but all images of a folder must have one "
        f"size and mode: {remedy}."
    )


def _size(pixels: np.ndarray) -> str:
    bits = {np.dtype(np.bool_): "1-bit ", np.dtype(np.uint16): "16-bit "}.get(pixels.dtype, "")
    return f"{pixels.shape[1]}×{pixels.shape[0]} {bits}{'RGB' if pixels.ndim == 3 else 'grey'}"
