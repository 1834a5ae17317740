"""The data set: three splits of integer images, with the facts that make them reproducible."""

from __future__ import annotations

import dataclasses
import hashlib
import math

import numpy as np
import torch

MOST_LEVELS = 2**15  # the largest value, K − 1, must fit int16


class DataError(ValueError):
    """A data set that cannot be had or cannot be used; the message is one sentence with the remedy."""


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Integer images with values 0…K−1, cut into training, validation and test.

    `train`, `valid`, `test` are [N, D], uint8 for K ≤ 256 and int16 beyond; D = H·W·C with the channel fastest, so
    that `split.reshape(-1, *shape)` gives pictures. `checksum` is the SHA-256 (hex) over levels, shape, split sizes
    and the bytes of the three splits: two data sets with one checksum are the same numbers in the same order.
    """

    name: str
    levels: int
    shape: tuple[int, ...]  # (H, W) or (H, W, C)
    train: torch.Tensor
    valid: torch.Tensor
    test: torch.Tensor
    checksum: str
    about: str

    @classmethod
    def from_arrays(
        cls, name: str, levels: int, train: np.ndarray, valid: np.ndarray, test: np.ndarray, *, about: str = ""
    ) -> Dataset:
        """Builds one from integer images [N, H, W] or [N, H, W, C] per split.

        Raises DataError where a value lies outside 0…levels−1 or a split is empty.
        """
        shape = train.shape[1:]
        dtype = np.dtype("u1") if levels <= 256 else np.dtype("<i2")
        digest = hashlib.sha256(f"levels {levels} shape {shape} splits".encode())
        digest.update(f" {len(train)} {len(valid)} {len(test)}:".encode())
        tensors: list[torch.Tensor] = []
        for split in (train, valid, test):
            if not len(split) or split.shape[1:] != shape:
                shapes = ", ".join(str(list(part.shape)) for part in (train, valid, test))
                raise DataError(f"{name} needs images of one shape in each of its three splits, but has {shapes}.")
            require_values(name, split, levels)
            flat = np.ascontiguousarray(split.reshape(len(split), math.prod(shape)), dtype=dtype)
            digest.update(flat.data)
            tensors.append(torch.from_numpy(flat.astype(dtype.newbyteorder("="), copy=not flat.flags.writeable)))
        parts = dict(zip(("train", "valid", "test"), tensors, strict=True))
        return cls(name, levels, shape, **parts, checksum=digest.hexdigest(), about=about)

    @property
    def dims(self) -> int:
        """D, the number of data dimensions."""
        return math.prod(self.shape)

    def to(self, device: torch.device | str) -> Dataset:
        """The same data set with its splits on `device`."""
        moved = {split: getattr(self, split).to(device) for split in ("train", "valid", "test")}
        return dataclasses.replace(self, **moved)


def require_values(name: str, images: np.ndarray, levels: int) -> None:
    """Raises DataError unless every value of `images` (integers, not empty) lies in 0…levels−1."""
    low, high = int(images.min()), int(images.max())
    if low < 0 or high >= levels:
        raise DataError(
            f"{name} has values {low}…{high}, but {levels} levels allow 0…{levels - 1}: shift or rescale the images, "
            "or state the right number of levels."
        )


def reason(error: BaseException, most: int = 120) -> str:
    """The first sentence of a foreign error, cut to fit into a sentence of ours; its type where it says nothing."""
    line = next(iter(str(error).strip().splitlines()), "").partition(". ")[0].rstrip(". :") or type(error).__name__
    return line if len(line) <= most else line[: most - 1] + "…"
