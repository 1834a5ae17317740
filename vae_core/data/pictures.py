"""A folder of pictures as one array: exactly the numbers that the files hold, or one sentence.

| in a file | read as |
|---|---|
| grey or RGB of 8 bits | uint8 |
| grey of 16 bits | uint16, as it is |
| one bit | bool |
| grey of 2 or 4 bits | uint8, as Pillow spreads it over 0…255: `lattice` then asks for `quantise = 4` or `16` |
| several pages or frames | an image each, in their order |
| turned by its EXIF orientation | upright |
| colours of 16 bits (PNG) | refused, for Pillow cuts them to 8 |
| a palette, transparency, CMYK, floats | refused, for their numbers are no grey levels or not all of the picture |
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vae_core.data.dataset import DataError, Remark, reason

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".webp")
OTHERS = (".gif", ".tga", ".jp2", ".avif", ".heic", ".ico", ".dds", ".npy", ".npz")  # left out, which is said
GREY = {"1": np.bool_, "L": np.uint8, "I": np.uint16, "I;16": np.uint16, "I;16L": np.uint16, "I;16B": np.uint16}
ORIENTATION = 0x0112  # of EXIF
PNG = b"\x89PNG\r\n\x1a\n"


def read_folder(folder: Path | str) -> np.ndarray:
    """bool, uint8 or uint16 [N, H, W], or uint8 [N, H, W, 3], from all pictures of a folder and its subfolders, in the
    order of their paths. Raises DataError."""
    return questioned(Path(folder).expanduser())[0]


def questioned(folder: Path) -> tuple[np.ndarray, list[Remark]]:
    """The same, with what a reader of the numbers should know of how they were read."""
    seen = sorted(
        (file for file in folder.rglob("*") if not file.name.startswith(".")),
        key=lambda file: file.relative_to(folder).as_posix(),
    )
    files = [file for file in seen if file.suffix.lower() in PICTURES]
    if not files:
        raise DataError(f"{folder} holds no images: put {', '.join(PICTURES)} files of one size there.")
    pictures: list[np.ndarray] = []
    turned, paged = 0, 0
    for file in files:
        pages = _pages(file)
        for pixels, is_turned in pages:
            if pictures and (pixels.shape, pixels.dtype) != (pictures[0].shape, pictures[0].dtype):
                raise DataError(_differs(file, pixels, files[0], pictures[0]))
            turned += is_turned
            pictures.append(pixels)
        paged += len(pages) > 1
    return np.stack(pictures), list(_remarks(seen, len(files), len(pictures), turned, paged))


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


def _pages(file: Path) -> list[tuple[np.ndarray, bool]]:
    """Every page of a file upright, and whether it had to be turned."""
    from PIL import Image, ImageOps

    try:
        if _is_deep_colour(file):
            raise DataError(
                f"{file} has colours of 16 bits, of which no more than 8 would be read: save the numbers of the "
                "pictures as an array, numpy.savez(path, images=x, levels=65536)."
            )
        pages = []
        with Image.open(file) as picture:
            for page in range(getattr(picture, "n_frames", 1)):
                picture.seek(page)
                turned = picture.getexif().get(ORIENTATION, 1) not in (0, 1)
                upright = ImageOps.exif_transpose(picture) if turned else picture
                pages.append((_pixels(file, upright), turned))
        return pages
    except DataError:
        raise
    except Exception as error:  # every decoder has its own ways to fail
        raise DataError(f"{file} cannot be read as an image ({reason(error)}): mend or remove it.") from error


def _pixels(file: Path, picture: Any) -> np.ndarray:
    """[H, W] or [H, W, 3]. Raises DataError where the numbers of the file are no grey levels."""
    mode, pixels = picture.mode, np.asarray(picture)
    if mode == "RGB":
        return pixels
    if mode not in GREY or (mode == "I" and (pixels.min() < 0 or pixels.max() >= 2**16)):
        raise DataError(f"{file} {_refused(mode, picture, pixels)}.")
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


def _is_deep_colour(file: Path) -> bool:
    """Whether it is a PNG of 16 bits with colour, which Pillow would cut to 8 without a word."""
    with file.open("rb") as opened:
        head = opened.read(26)
    return head[:8] == PNG and head[24:25] == b"\x10" and head[25:26] != b"\x00"


def _differs(file: Path, pixels: np.ndarray, first: Path, others: np.ndarray) -> str:
    same_size = pixels.shape[:2] == others.shape[:2]
    if same_size and pixels.dtype == others.dtype:
        remedy = 'turn the grey ones into RGB, picture.convert("RGB"), which loses nothing'
    else:
        remedy = f"give each {'kind' if same_size else 'size'} a folder of its own"
    return (
        f"{file} is {_size(pixels)} and {first} is {_size(others)}, but all images of a folder must have one size and "
        f"mode: {remedy}."
    )


def _size(pixels: np.ndarray) -> str:
    bits = {np.dtype(np.bool_): "1-bit ", np.dtype(np.uint16): "16-bit "}.get(pixels.dtype, "")
    return f"{pixels.shape[1]}×{pixels.shape[0]} {bits}{'RGB' if pixels.ndim == 3 else 'grey'}"
