"""Data sets that torchvision knows: read from a torchvision root, downloaded into it where they are missing.

A download goes to a folder of its own inside the root and is moved into place when all of it is there and was read,
so that one that fails or is interrupted leaves no half-written file that a later run would take for the real one.
"""

from __future__ import annotations

import contextlib
import http.client
import pickle
import shutil
import socket
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from vae_core.data.dataset import DataError, reason
from vae_core.data.sources.headers import DAMAGED, require_idx
from vae_core.numerics.progress import waiting

Reader = Callable[[Path, bool], tuple[np.ndarray, np.ndarray]]
"""(root, download) -> the official training and test images, uint8 [N, H, W] or [N, H, W, C]."""

#: what torchvision, and what it reads and downloads with, raise for files and servers
FOREIGN: tuple[type[Exception], ...] = (
    *(*DAMAGED, ImportError),
    *(http.client.HTTPException, pickle.PickleError, tarfile.TarError),
)
PATIENCE_S = 10.0  # without an answer for so long, a server counts as not there


def idx(kind: str) -> Reader:
    """MNIST and its drop-in replacements (torchvision's class `kind`), 28×28."""

    def read(root: Path, download: bool) -> tuple[np.ndarray, np.ndarray]:
        from torchvision import datasets

        if not download:
            _require_files(root / kind / "raw", ("train", "t10k"))
        official = getattr(datasets, kind)
        train, test = (official(str(root), train=train, download=download).data.numpy() for train in (True, False))
        return train, test

    return read


def emnist(root: Path, download: bool) -> tuple[np.ndarray, np.ndarray]:
    """EMNIST, split `balanced`; its files hold every image transposed, here it stands upright."""
    from torchvision import datasets

    if not download:
        _require_files(root / "EMNIST" / "raw", ("emnist-balanced-train", "emnist-balanced-test"))
    train, test = (
        datasets.EMNIST(str(root), split="balanced", train=train, download=download).data.numpy().transpose(0, 2, 1)
        for train in (True, False)
    )
    return train, test


def _require_files(folder: Path, prefixes: Iterable[str]) -> None:
    """Raises ValueError for an IDX file that is not what its header says, which torchvision would take whole first."""
    for prefix in prefixes:
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
            require_idx(folder / f"{prefix}-{kind}")


def cifar10(root: Path, download: bool) -> tuple[np.ndarray, np.ndarray]:
    """CIFAR-10, 32×32×3."""
    from torchvision import datasets

    train, test = (datasets.CIFAR10(str(root), train=train, download=download).data for train in (True, False))
    return train, test


def svhn(root: Path, download: bool) -> tuple[np.ndarray, np.ndarray]:
    """SVHN, cropped digits without the `extra` part, 32×32×3."""
    from torchvision import datasets

    train, test = (
        datasets.SVHN(str(root), split=split, download=download).data.transpose(0, 2, 3, 1)
        for split in ("train", "test")
    )
    return train, test


def omniglot(root: Path, download: bool) -> tuple[np.ndarray, np.ndarray]:
    """Omniglot, the `background` and `evaluation` alphabets, as 28×28 grey: see `shrink`."""
    from torchvision import datasets

    train, test = (
        np.stack([shrink(np.asarray(drawing)) for drawing, _ in datasets.Omniglot(str(root), part, download=download)])
        for part in (True, False)
    )
    return train, test


def shrink(drawing: np.ndarray) -> np.ndarray:
    """A black-on-white drawing [105, 105] as bright ink on black, uint8 [28, 28].

    Every output pixel is the share of ink in its 3.75 × 3.75 square of the drawing (a box filter, so no aliasing),
    times 255, rounded. Counted in quarters of a pixel it is a whole number of 225, the same on every platform.
    """
    ink = (drawing < 128).astype(np.float32)
    sixteenths = _COVER @ ink @ _COVER.T  # of a pixel, 0…225: exact in float32
    return np.rint(sixteenths * 17 / 15).astype(np.uint8)  # 255/225; never halfway between two integers


def _cover(fine: int = 105, coarse: int = 28, quarters: int = 4) -> np.ndarray:
    """[coarse, fine]: how many quarters of each fine pixel lie in each coarse one (rows sum to 15, columns to 4)."""
    of_quarter = np.arange(fine * quarters) // (fine * quarters // coarse)
    cover = np.zeros((coarse, fine), np.float32)
    np.add.at(cover, (of_quarter, np.arange(fine * quarters) // quarters), 1)
    return cover


_COVER = _cover()


def read(name: str, reader: Reader, files: str, root: Path, download: bool) -> tuple[np.ndarray, np.ndarray]:
    """The official training and test images of a data set: read where they are there, else downloaded.

    `files` says which files belong where, relative to the root. Raises DataError, one sentence that repeats it, where
    the data set is not there and cannot be downloaded.
    """
    try:
        return reader(root, False)
    except FOREIGN as error:  # missing, incomplete or damaged: torchvision has a different error for each data set
        missing = reason(error)
    failed = ""
    if download:
        try:
            with _staging(root) as staging, _impatience():
                images = reader(staging, True)
                _move(staging, root)
                return images
        except FOREIGN as error:  # network, disk, permissions, checksum: whatever it was, the remedy is the same
            failed = f" and cannot be downloaded ({_last_line(error)})"
    raise DataError(
        f"{name} cannot be read from {root} ({missing}){failed}: put {files} there, or set VAE_BENCH_DATA "
        "to a torchvision root that has it, or use digits, which needs no download."
    )


@contextlib.contextmanager
def _staging(root: Path) -> Iterator[Path]:
    """A fresh folder inside `root`; it goes at the end, and so do the parents made for it where they stayed empty."""
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".download-", dir=root))
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # not empty: the download is there
                folder.rmdir()


@contextlib.contextmanager
def _impatience() -> Iterator[None]:
    """A time limit for the connections that torchvision opens, which have none of their own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE_S)
    try:
        with waiting():
            yield
    finally:
        socket.setdefaulttimeout(before)


def _move(staging: Path, root: Path) -> None:
    """Moves every file into place, each in one step; the packed halves of unpacked files are left behind."""
    for file in sorted(staging.rglob("*")):
        if file.is_file() and not file.name.endswith(".gz"):
            target = root / file.relative_to(staging)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)


def _last_line(error: BaseException) -> str:
    """The cause in a message of torchvision's, which lists its mirrors first."""
    return reason(OSError(str(error).strip().rpartition("\n")[2]))
