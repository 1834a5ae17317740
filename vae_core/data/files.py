"""A user's own images: an .npz or .npy of integers, or a folder of pictures.

| what | read as |
|---|---|
| array [N, H, W], [N, H, W, 1] or [N, H, W, 3] | N images of that shape, the channel last |
| array [N, D] | N images of D numbers, drawn √D × √D where that is whole and 1 × D elsewhere |
| bool | 2 levels |
| uint8 | 256 levels unless `levels` is stated |
| any other integer type | `levels` must be stated |
| folder | all its .png, .jpg, .bmp, .tif, .pgm, .ppm, .webp, subfolders too, in the order of their paths; 256 levels |

An .npz has its images under `images`, or is one single array; it may state `levels` beside it.
Nothing pickled is ever unpickled.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vae_core.data.dataset import MOST_LEVELS, DataError, Dataset, reason, require_values
from vae_core.data.splits import three_ways

FEWEST_IMAGES = 10  # below this a sixth is one picture, and no standard error can be had from it
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".webp")
MODES = {"L": "grey", "RGB": "RGB"}


def looks_like_path(name: str) -> bool:
    """Whether a data set's name is meant as a path."""
    path = Path(name).expanduser()
    return bool(name) and (os.sep in name or "/" in name or path.suffix in (".npz", ".npy") or path.exists())


def load_path(name: str, levels: int | None) -> Dataset:
    """The data set in a file or folder, cut in sixths by the fixed order (train 4, valid 1, test 1).

    Raises DataError, one sentence, for everything that is not as the table above has it.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        images, stated = read_folder(path), None
    elif path.is_file():
        images, stated = read_array(path)
    else:
        raise DataError(f"{name} was not found: give the path of an .npz or .npy file or of a folder of images.")
    images = _as_images(name, images)
    levels = _levels_of(name, images.dtype, levels, stated)
    images = images.astype(np.uint8) if images.dtype == np.bool_ else images
    require_values(name, images, levels)
    cut = three_ways(len(images))
    about = (
        f"{len(images)} images from {path.name}, values {images.min()}…{images.max()} of {levels} levels; fixed random "
        f"split {'/'.join(str(len(part)) for part in cut)}"
    )
    return Dataset.from_arrays(name, levels, images[cut.train], images[cut.valid], images[cut.test], about=about)


def read_array(path: Path) -> tuple[np.ndarray, int | None]:
    """The one array of images in an .npz or .npy, and the levels stated beside it, if any."""
    if path.suffix not in (".npz", ".npy"):
        raise DataError(f"{path} is no .npz, no .npy and no folder: save the images with numpy.savez(path, images=…).")
    try:
        with path.open("rb") as file:
            held = np.load(file, allow_pickle=False)
            arrays = {path.stem: held} if isinstance(held, np.ndarray) else {key: held[key] for key in held.files}
    except Exception as error:  # a damaged file can fail anywhere in zip, zlib, the header's parser or numpy
        raise DataError(
            f"{path} cannot be read ({reason(error)}): it may be damaged or hold pickled objects; save a plain "
            "integer array with numpy.savez(path, images=…)."
        ) from error
    stated = arrays.pop("levels", None)
    if stated is not None and (stated.size != 1 or stated.dtype.kind not in "iu"):
        raise DataError(f"{path} states levels as {stated.dtype}{list(stated.shape)}, but it must be one integer.")
    if "images" not in arrays and len(arrays) != 1:
        array_names = ", ".join(sorted(arrays)) or "no array"
        raise DataError(f"{path} holds {array_names}, but none is called images: name the array of images so.")
    images = arrays["images"] if "images" in arrays else next(iter(arrays.values()))
    return images, None if stated is None else int(stated.item())


def read_folder(folder: Path) -> np.ndarray:
    """uint8 [N, H, W] or [N, H, W, 3] from all pictures of a folder and its subfolders, in the order of their paths."""
    from PIL import Image

    files = sorted(
        (f for f in folder.rglob("*") if f.suffix.lower() in PICTURES and not f.name.startswith(".")),
        key=lambda f: f.relative_to(folder).as_posix(),
    )
    if not files:
        raise DataError(f"{folder} holds no images: put {', '.join(PICTURES)} files of one size there.")
    pictures: list[np.ndarray] = []
    for file in files:
        try:
            with Image.open(file) as picture:
                mode, pixels = picture.mode, np.asarray(picture)
        except Exception as error:  # every decoder has its own ways to fail
            raise DataError(f"{file} cannot be read as an image ({reason(error)}): mend or remove it.") from error
        if mode not in MODES:
            raise DataError(f"{file} has mode {mode}, but only grey (L) and RGB are read: convert it.")
        if pictures and pixels.shape != pictures[0].shape:
            raise DataError(
                f"{file} is {_size(pixels)} and {files[0]} is {_size(pictures[0])}, but all images of a folder must "
                "have one size and mode: resize or convert them."
            )
        pictures.append(pixels)
    return np.stack(pictures)


def _as_images(name: str, images: np.ndarray) -> np.ndarray:
    """`images` as integers or bools [N, H, W] or [N, H, W, 3], enough of them to split; DataError elsewhere."""
    if images.dtype.kind == "f":
        nan = ", NaN among them" if np.isnan(images).any() else ""
        raise DataError(
            f"{name} holds {images.dtype} values{nan}, but images must be integers 0…K−1: quantise them first, for "
            "example (x * 255).round().astype('uint8')."
        )
    if images.dtype.kind not in "iub":
        raise DataError(f"{name} holds {images.dtype} values, but images must be integers 0…K−1: convert them first.")
    channels = images.shape[3] if images.ndim == 4 else 1
    if images.ndim not in (2, 3, 4) or channels not in (1, 3) or (len(images) and not images.size):
        raise DataError(
            f"{name} has shape {list(images.shape)}, but images must be [N, H, W], [N, H, W, 1 or 3] or [N, D]: "
            "reshape them, the channel last."
        )
    if len(images) < FEWEST_IMAGES:
        count = {0: "no images", 1: "1 image"}.get(len(images), f"{len(images)} images")
        raise DataError(
            f"{name} holds {count}, but at least {FEWEST_IMAGES} are needed to cut training, validation and test from."
        )
    if images.ndim == 2:
        side = math.isqrt(images.shape[1])
        return images.reshape(-1, side, side) if side**2 == images.shape[1] else images[:, None, :]
    return images[..., 0] if images.ndim == 4 and channels == 1 else images


def _levels_of(name: str, dtype: np.dtype, asked: int | None, stated: int | None) -> int:
    """K from what was asked for, what the file states and what the type says, which must agree."""
    if asked is not None and stated is not None and asked != stated:
        raise DataError(f"{name} states {stated} levels, but {asked} were asked for: leave one of the two out.")
    of_type = {np.dtype(np.bool_): 2, np.dtype(np.uint8): 256}.get(dtype)
    levels = next((k for k in (asked, stated, of_type) if k is not None), None)
    if levels is None:
        raise DataError(
            f"{name} holds {dtype} values, from which the number of levels is not clear: state it as levels = K, or "
            "save levels=K beside the images."
        )
    if not 2 <= levels <= MOST_LEVELS:
        raise DataError(f"{name} cannot have {levels} levels: 2…{MOST_LEVELS} are allowed; quantise more coarsely.")
    return levels


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]}×{pixels.shape[0]} {MODES['RGB' if pixels.ndim == 3 else 'L']}"


def require_shape(path: Path, images: np.ndarray, shape: Sequence[int]) -> None:
    """Raises DataError unless `images` is uint8 [N, *shape]."""
    if images.dtype != np.uint8 or images.shape[1:] != tuple(shape) or len(images) < FEWEST_IMAGES:
        raise DataError(
            f"{path} holds {images.dtype}{list(images.shape)}, but uint8[N, {', '.join(map(str, shape))}] is expected: "
            "put the original file there."
        )
