"""A user's own images: an .npz or .npy of integers, or a folder of pictures.

| what | read as |
|---|---|
| array [N, H, W], [N, H, W, 1] or [N, H, W, 3] | N images of that shape, the channel last |
| array [N, D] | N images of D numbers, drawn √D × √D where that is whole and 1 × D elsewhere |
| bool | 2 levels |
| uint8 | 256 levels unless `levels` is stated |
| any other integer type | `levels` must be stated |
| folder | all its .png, .jpg, .bmp, .tif, .pgm, .ppm, .webp, subfolders too, in the order of their paths: 256 levels, |
| | 65,536 of 16-bit and 2 of 1-bit pictures, maxval + 1 of PGM and PPM, unless `levels` is stated (`pictures`) |

An .npz has its images under `images`, or is one single array; it may state `levels` beside it.
Nothing pickled is ever unpickled. What is not so gets one sentence, with the formula that makes it so where one keeps
apart what is apart (`arrays`); levels that are not those stated are refused (`lattice`).
"""

from __future__ import annotations

import math
import os
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vae_core.data import pictures, questions
from vae_core.data.arrays import FEWEST_IMAGES, as_images
from vae_core.data.dataset import MOST_LEVELS, DataError, Dataset, Remark, expanded, named, reason
from vae_core.data.lattice import Levels, require_levels
from vae_core.data.sources import headers
from vae_core.data.sources.headers import DAMAGED, ROOM
from vae_core.data.splits import FEWEST_BLOCKS, three_ways


def looks_like_path(name: str) -> bool:
    """Whether a data set's name is meant as a path."""
    if not name or os.sep in name or "/" in name or name.endswith((".npz", ".npy")):
        return bool(name)
    return _kind(Path(name)) != 0


def _kind(path: Path) -> int:
    """What stands at a path, as stat has it; 0 where nothing does, or nothing could."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except (OSError, ValueError):  # not there, not to be seen, too long for a name, a NUL in it
        return 0


def load_path(name: str, levels: int | None, *, quantise: int | None = None, block: int | None = None) -> Dataset:
    """The data set in a file or folder, cut in sixths by the fixed order (train 4, valid 1, test 1), whole blocks of
    `block` consecutive images to one split. `quantise`: what its levels will be joined to, which may mend a lattice.

    Raises DataError, one sentence, for everything that is not as the table above has it.
    """
    path = expanded(name)
    whole, name = name, named(name)
    remarks: list[Remark] = []
    stated, of_pictures, held = None, None, "array"
    kind = _kind(path)
    if kind == stat.S_IFDIR:
        images, of_pictures, remarks = pictures.questioned(path)
        held = "folder"
    elif kind == stat.S_IFREG:
        images, stated = read_array(path)
        held = held if stated is None else "stated"
    elif kind:
        raise DataError(f"{name} is neither a file nor a folder: give an .npz or .npy file or a folder of images.")
    else:
        raise DataError(f"{name} was not found: give the path of an .npz or .npy file or of a folder of images.")
    rows = images.ndim == 2
    images, doubtful = as_images(name, images)
    levels = _levels_of(name, images.dtype, levels, stated, of_pictures)
    images = images.astype(np.uint8) if images.dtype == np.bool_ else images
    require_levels(name, Levels.of(images), levels, held=held, quantise=quantise)
    _require_blocks(name, len(images), block)
    remarks += [*doubtful, *questions.neighbours(images, block, rows=rows)]
    cut = three_ways(len(images), block or 1)
    about = (
        f"{len(images)} images from {named(path.name)}, values {images.min()}…{images.max()} of {levels} levels; fixed "
        f"random split {'/'.join(str(len(part)) for part in cut)}"
        f"{f', whole blocks of {block} consecutive images in each' if block else ''}"
    )
    return Dataset.from_arrays(
        whole, levels, images[cut.train], images[cut.valid], images[cut.test], about=about, remarks=remarks
    )


def read_array(path: Path) -> tuple[np.ndarray, int | None]:
    """The one array of images in an .npz or .npy, and the levels stated beside it, if any. Headers are read first, and
    of an .npz no more than these two."""
    name = named(path)
    if path.suffix not in (".npz", ".npy"):
        raise DataError(f"{name} is no .npz, no .npy and no folder: save the images with numpy.savez(path, images=…).")
    try:
        return _of_npy(path, name) if path.suffix == ".npy" else _of_npz(path, name)
    except DataError:
        raise
    except DAMAGED as error:
        raise DataError(
            f"{name} cannot be read ({reason(error)}): it may be damaged or hold pickled objects; save a plain "
            "integer array with numpy.savez(path, images=…)."
        ) from error


def _of_npy(path: Path, name: str) -> tuple[np.ndarray, None]:
    with path.open("rb") as file:
        header = headers.npy(file, path.stat().st_size)
        _require_readable(name, header, some=True)
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False), None


def _of_npz(path: Path, name: str) -> tuple[np.ndarray, int | None]:
    arrays = headers.members(path)
    stated = arrays.pop("levels", None)
    if "images" not in arrays and len(arrays) != 1:
        array_names = named(", ".join(sorted(arrays))) or "no array"
        raise DataError(f"{name} holds {array_names}, but none is called images: name the array of images so.")
    item = arrays["images"] if "images" in arrays else next(iter(arrays.values()))
    with zipfile.ZipFile(path) as archive:
        levels = None if stated is None else _levels_in(name, archive, stated)
        return _member(name, archive, item), levels


def _levels_in(name: str, archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> int:
    headers.require_plain(item)
    with archive.open(item) as file:
        header = headers.npy(file, item.file_size)
    if math.prod(header.shape) != 1 or header.dtype.kind not in "iu":
        raise DataError(
            f"{name} states levels as {named(header.dtype, 40)}{list(header.shape[:4])}, but it must be one integer."
        )
    return int(_member(name, archive, item).item())


def _member(name: str, archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> np.ndarray:
    headers.require_plain(item)
    with archive.open(item) as file:
        _require_readable(name, headers.npy(file, item.file_size), some=False)
    with archive.open(item) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        file.read(1)  # to its end, where its checksum is looked at
    return array


def _require_readable(name: str, header: headers.Header, *, some: bool) -> None:
    """Raises DataError for pickled objects, and for what is more than memory has room for."""
    if header.dtype.hasobject:
        raise DataError(
            f"{name} holds pickled objects, which are never unpickled here: save them as one plain array, "
            "numpy.stack(list(x)), which takes images of one size."
        )
    count = header.shape[0] if header.shape else 1
    room = ROOM * headers.free_memory()
    first = max(FEWEST_IMAGES, int(count * room / header.size)) if header.size else FEWEST_IMAGES
    few = f'numpy.load(PATH, mmap_mode="r")[:{first}]' if some and count else "fewer"
    headers.require_room(name, header.size, few, ROOM)


def _require_blocks(name: str, count: int, block: int | None) -> None:
    """Raises DataError where blocks are too long for three splits."""
    most = count // FEWEST_BLOCKS
    if block is not None and not 1 <= block <= most:
        raise DataError(
            f"{name} has {count} images, too few for blocks of {block}: give block = 1…{most}, so that there are "
            f"{FEWEST_BLOCKS}, or leave it out."
        )


def _levels_of(name: str, dtype: np.dtype, asked: int | None, stated: int | None, of_pictures: int | None) -> int:
    """K from what was asked for and what the file states, which must agree; else from what pictures allow or the type
    says."""
    if asked is not None and stated is not None and asked != stated:
        raise DataError(f"{name} states {stated} levels, but {asked} were asked for: leave one of the two out.")
    of_type = {np.dtype(np.bool_): 2, np.dtype(np.uint8): 256}
    levels = next((k for k in (asked, stated, of_pictures, of_type.get(dtype)) if k is not None), None)
    if levels is None:
        raise DataError(
            f"{name} holds {dtype} values, from which the number of levels is not clear: state it as levels = K, or "
            "save levels=K beside the images."
        )
    if not 2 <= levels <= MOST_LEVELS:
        raise DataError(
            f"{name} cannot have {levels} levels: 2…{MOST_LEVELS} are allowed, and levels = K is one more than the "
            "largest value that can occur."
        )
    return levels


def require_shape(path: Path, images: np.ndarray, shape: Sequence[int]) -> None:
    """Raises DataError unless `images` is uint8 [N, *shape]."""
    if images.dtype != np.uint8 or images.shape[1:] != tuple(shape) or len(images) < FEWEST_IMAGES:
        raise DataError(
            f"{path} holds {images.dtype}{list(images.shape)}, but uint8[N, {', '.join(map(str, shape))}] is expected: "
            "put the original file there."
        )
