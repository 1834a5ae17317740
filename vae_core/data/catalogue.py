"""The data sets known by name: where each comes from and how it is split.

Where there is an official test split, it is the test split, and validation is cut from the end of the training images;
the rest is cut by `splits.three_ways`, or into regions (`sources/photographs.py`). A new data set is one more entry
in `SOURCES`.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from vae_core.data import files
from vae_core.data.dataset import DataError, Dataset, Parts, expanded, named
from vae_core.data.pixels import sides
from vae_core.data.sources import photographs, scikit_learn, torchvision_root
from vae_core.data.sources.headers import ROOM, free_memory
from vae_core.data.splits import order, three_ways

Size = int | str | tuple[int, int]
"""Rows and columns: 24 (of both), "28x20" or (28, 20)."""

FREY_BLOCK = 50  # frames


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set that is known by name; `read(root, download)` gives its parts or raises DataError. `sized`: the same
    cut into images of another size, where there is such a choice."""

    levels: int
    about: str
    read: Callable[[Path, bool], Parts]
    sized: Callable[[int], Source] | None = None


def names() -> list[str]:
    """Every data set that `load` knows by name, the default first."""
    return list(SOURCES)


def describe(name: str) -> str:
    """One line on a data set: what it is, its size and levels, its splits. Raises DataError for an unknown name."""
    return _source(name).about


def load(
    name: str,
    *,
    root: Path | str | None = None,
    levels: int | None = None,
    quantise: int | None = None,
    train_images: int | None = None,
    block: int | None = None,
    crop: Size | None = None,
    resize: Size | None = None,
    grey: bool = False,
    patch_size: int | None = None,
    download: bool = True,
) -> Dataset:
    """Loads a data set by its name, or from a path to an .npz, an .npy or a folder of images (`files` has the rules).

    `root` is a torchvision root (`data_root` says which one if not given): a data set that is there is read, one that
    is not is downloaded into it, unless `download` is False. `levels` (K) is for paths; a named data set has its own.
    `block`, for paths too, has whole blocks of so many consecutive images in one split, as frames of a film should be.
    `patch_size` is for `patches` alone: how many pixels a side they have.

    What is made of the images, of any data set, in this order: `train_images` keeps so many of the training images and
    as large a share of the validation images (`Dataset.fewer`); `crop` takes their middle (24, or "28x20": rows x
    columns), `resize` gives them another size by the mean of areas, `grey` makes one value of three colours (`pixels`);
    `quantise` joins neighbouring levels to so many, k to k·quantise // K (`Dataset.quantised`). They are other data
    then, with a checksum of their own.

    Raises DataError, one sentence with the remedy, for whatever stands in the way.
    """
    try:
        cropped, other_size = (None if given is None else sides(given) for given in (crop, resize))
    except ValueError as error:
        raise DataError(f"{named(name)}: {error}.") from None
    data = _whole(name, root, levels, quantise, block, patch_size, download)
    data = data if train_images is None else data.fewer(train_images)
    data = data if cropped is None else data.cropped(*cropped)
    if other_size is not None:
        _require_room(data, *other_size)
        data = data.resized(*other_size)
    data = data.in_grey() if grey else data
    return data if quantise is None else data.quantised(quantise)


def _require_room(data: Dataset, rows: int, columns: int) -> None:
    """Raises DataError where images of another size are more than there is room for."""
    values = rows * columns * data.dims // math.prod(data.shape[:2])
    count = len(data.train) + len(data.valid) + len(data.test)
    need, room = 3 * count * values * data.train.element_size(), ROOM * free_memory()  # arrays, and as tensors
    if need > room:
        side = math.isqrt(max(1, int(rows * columns * room / need)))
        raise DataError(
            f"{named(data.name)} would take {need / 1e9:.1f} GB of memory with resize = {rows}x{columns}, and "
            f"{room / 1e9:.1f} GB is the most that is taken: give {side}x{side}, or fewer train_images."
        )


def _whole(
    name: str,
    root: Path | str | None,
    levels: int | None,
    quantise: int | None,
    block: int | None,
    patch_size: int | None,
    download: bool,
) -> Dataset:
    if patch_size is not None and (name not in SOURCES or SOURCES[name].sized is None):
        cut = ", ".join(name for name, source in SOURCES.items() if source.sized)
        raise DataError(
            f"{named(name)} has images of one size, and patch_size = {patch_size} is for {cut} alone: leave it out; "
            "crop and resize make images smaller."
        )
    if name not in SOURCES and files.looks_like_path(name):
        return files.load_path(name, levels, quantise=quantise, block=block)
    source = _source(name)
    if levels not in (None, source.levels):
        raise DataError(
            f"{name} has {source.levels} levels, not {levels}: levels can be stated for paths only; quantise = K joins "
            "them to fewer."
        )
    if block is not None:
        raise DataError(
            f"{name} has splits of its own (vae-bench list datasets), and block can be stated for paths only: leave it "
            "out."
        )
    if patch_size is not None and source.sized is not None:
        source = source.sized(patch_size)
    parts = source.read(data_root(root), download)
    return Dataset.from_arrays(
        name,
        source.levels,
        parts.train,
        parts.valid,
        parts.test,
        about=source.about,
        remarks=parts.remarks,
        test_blocks=parts.test_blocks,
    )


def data_root(root: Path | str | None = None) -> Path:
    """The folder that holds data sets: `root` if given, else $VAE_BENCH_DATA, else ~/.cache/vae-bench."""
    return expanded(root or os.environ.get("VAE_BENCH_DATA") or "~/.cache/vae-bench")


def _source(name: str) -> Source:
    if name in SOURCES:
        return SOURCES[name]
    near = difflib.get_close_matches(name[:100], SOURCES, n=1)
    meant = f"did you mean '{near[0]}'? " if near else ""
    raise DataError(
        f"unknown data set '{named(name, 60)}' ({meant}vae-bench list datasets): give one of {', '.join(SOURCES)}, or "
        "the path of an .npz or .npy file or of a folder of images."
    )


def _digits(_root: Path, _download: bool) -> Parts:
    images = scikit_learn.digits()
    cut = three_ways(len(images))
    return Parts(images[cut.train], images[cut.valid], images[cut.test])


def _frey(root: Path, _download: bool) -> Parts:
    path = root / "frey_faces.npz"
    if not path.is_file():
        raise DataError(
            f"frey is not in {root} and no server offers it: put frey_faces.npz there (`images`, uint8 [1965, 28, 20], "
            "from the frey_rawface.mat of Roweis), or set VAE_BENCH_DATA to a folder that has it."
        )
    images, _ = files.read_array(path)
    files.require_shape(path, images, (28, 20))
    cut = three_ways(len(images), block=FREY_BLOCK)
    return Parts(images[cut.train], images[cut.valid], images[cut.test])


def _official(name: str, reader: torchvision_root.Reader, wanted: str, *, last: int) -> Callable[[Path, bool], Parts]:
    """Official test split; validation is the last `last` training images."""

    def read(root: Path, download: bool) -> Parts:
        train, test = torchvision_root.read(name, reader, wanted, root, download)
        if len(train) <= last:
            raise DataError(
                f"{name} in {root} has only {len(train)} training images, of which {last} would be the validation "
                f"split: put the original files there ({wanted})."
            )
        return Parts(train[:-last], train[-last:], test)

    return read


def _omniglot(root: Path, download: bool) -> Parts:
    """Validation: every tenth character of the background alphabets, all twenty drawings of it."""
    train, test = torchvision_root.read("omniglot", torchvision_root.omniglot, _OMNIGLOT_FILES, root, download)
    characters = order(-(-len(train) // _DRAWINGS))
    held_out = np.isin(np.arange(len(train)) // _DRAWINGS, characters[: max(1, len(characters) // 10)])
    return Parts(train[~held_out], train[held_out], test)


def _patches(size: int = photographs.SIZE) -> Source:
    return Source(
        photographs.LEVELS, photographs.about(size), lambda root, download: photographs.patches(size), _patches
    )


def _idx_files(folder: str, prefixes: tuple[str, str] = ("train", "t10k")) -> str:
    kinds = ("images-idx3-ubyte", "labels-idx1-ubyte")
    return f"{', '.join(f'{prefix}-{kind}' for prefix in prefixes for kind in kinds)} in {folder}/raw"


_DRAWINGS = 20  # of each Omniglot character
_OMNIGLOT_FILES = "images_background.zip and images_evaluation.zip, packed and unpacked, in omniglot-py"
_EMNIST_FILES = _idx_files("EMNIST", ("emnist-balanced-train", "emnist-balanced-test"))

SOURCES: Mapping[str, Source] = {
    "digits": Source(
        17,
        "handwritten digits of scikit-learn (Alpaydin & Kaynak 1998), 8×8, 17 levels; fixed random split 1197/300/300; "
        "needs no download",
        _digits,
    ),
    "mnist": Source(
        256,
        "handwritten digits (LeCun et al. 1998), 28×28, 256 levels; official test split, validation = last 10,000 of "
        "training: 50,000/10,000/10,000",
        _official("mnist", torchvision_root.idx("MNIST"), _idx_files("MNIST"), last=10_000),
    ),
    "fashion_mnist": Source(
        256,
        "clothes (Xiao et al. 2017), 28×28, 256 levels; official test split, validation = last 10,000 of training: "
        "50,000/10,000/10,000",
        _official("fashion_mnist", torchvision_root.idx("FashionMNIST"), _idx_files("FashionMNIST"), last=10_000),
    ),
    "kmnist": Source(
        256,
        "cursive Japanese characters (Clanuwat et al. 2018), 28×28, 256 levels; official test split, validation = last "
        "10,000 of training: 50,000/10,000/10,000",
        _official("kmnist", torchvision_root.idx("KMNIST"), _idx_files("KMNIST"), last=10_000),
    ),
    "emnist": Source(
        256,
        "handwritten letters and digits (Cohen et al. 2017, split balanced, upright), 28×28, 256 levels; official test "
        "split, validation = last 10,000 of training: 102,800/10,000/18,800",
        _official("emnist", torchvision_root.emnist, _EMNIST_FILES, last=10_000),
    ),
    "cifar10": Source(
        256,
        "photographs of ten kinds of things (Krizhevsky 2009), 32×32×3, 256 levels; official test split, validation = "
        "last 5,000 (a tenth) of training: 45,000/5,000/10,000",
        _official("cifar10", torchvision_root.cifar10, "cifar-10-batches-py (unpacked)", last=5_000),
    ),
    "svhn": Source(
        256,
        "house numbers (Netzer et al. 2011, cropped, without the extra part), 32×32×3, 256 levels; official test "
        "split, validation = last 7,257 (about a tenth) of training: 66,000/7,257/26,032",
        _official("svhn", torchvision_root.svhn, "train_32x32.mat and test_32x32.mat", last=7_257),
    ),
    "omniglot": Source(
        256,
        "handwritten characters of 50 alphabets (Lake et al. 2015), box-filtered from 105×105 to 28×28, bright on "
        "black, 256 levels; test = the 20 evaluation alphabets, validation = all drawings of a fixed tenth of the "
        "background characters: 17,360/1,920/13,180",
        _omniglot,
    ),
    "frey": Source(
        256,
        "1965 video frames of one face (Roweis & Saul 2000), 28×20, 256 levels; neighbouring frames are "
        f"near-duplicates, so whole blocks of {FREY_BLOCK} consecutive frames go to one split: random but fixed, "
        "1265/350/350",
        _frey,
    ),
    "patches": _patches(),
}
