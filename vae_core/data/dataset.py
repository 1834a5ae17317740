"""The data set: three splits of integer images, with the facts that make them reproducible."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from vae_core.data import pixels
from vae_core.data.splits import order

MOST_LEVELS = 2**16  # of 16-bit pictures
STRETCHED = 0.02  # more of one side than of the other by so much is remarked


class DataError(ValueError):
    """A data set that cannot be had or cannot be used; the message is one sentence with the remedy."""


@dataclasses.dataclass(frozen=True)
class Remark:
    """Something about data that a reader of their numbers should know, in one sentence.

    `topic` is one word: levels, copies, neighbours, constant, shape, size, scope or reading. A `loud` one bears on
    every number of the data: it stands above the ranking too.
    """

    topic: str
    text: str
    loud: bool = False


class Parts(NamedTuple):
    """Images [N, H, W] or [N, H, W, C] of each split, and what there is to know of them: how many test images in a row
    are of one block, block by block, where images of a block are alike and blocks are what was drawn."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    test_blocks: tuple[int, ...] = ()
    remarks: tuple[Remark, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Integer images with values 0…K−1, cut into training, validation and test.

    `train`, `valid`, `test` are [N, D], uint8 for K ≤ 256, int16 for K ≤ 32768 and int32 beyond; D = H·W·C with the
    channel fastest, so that `split.reshape(-1, *shape)` gives pictures. `checksum` is the SHA-256 (hex) over levels,
    shape, split sizes and the bytes of the three splits: two data sets with one checksum are the same numbers in the
    same order. `remarks` is what was noticed while they were read; `questions.remarks` asks the rest.
    `test_blocks`: how many test images in a row are alike for one cause, block by block; then an interval is one over
    blocks. Empty where each image stands for itself.
    """

    name: str
    levels: int
    shape: tuple[int, ...]  # (H, W) or (H, W, C)
    train: torch.Tensor
    valid: torch.Tensor
    test: torch.Tensor
    checksum: str
    about: str
    remarks: tuple[Remark, ...] = ()
    test_blocks: tuple[int, ...] = ()

    @classmethod
    def from_arrays(
        cls,
        name: str,
        levels: int,
        train: np.ndarray,
        valid: np.ndarray,
        test: np.ndarray,
        *,
        about: str = "",
        remarks: Iterable[Remark] = (),
        test_blocks: tuple[int, ...] = (),
    ) -> Dataset:
        """Builds one from integer images [N, H, W] or [N, H, W, C] per split.

        Raises DataError where a value lies outside 0…levels−1 or a split is empty, ValueError where blocks are not all
        of the test images.
        """
        if test_blocks and sum(test_blocks) != len(test):
            raise ValueError(f"blocks of {sum(test_blocks)} images in all, but {len(test)} test images")
        shape = train.shape[1:]
        dtype = np.dtype("u1" if levels <= 2**8 else "<i2" if levels <= 2**15 else "<i4")
        digest = hashlib.sha256(f"levels {levels} shape {shape} splits".encode())
        digest.update(f" {len(train)} {len(valid)} {len(test)}:".encode())
        tensors: list[torch.Tensor] = []
        for split in (train, valid, test):
            if not len(split) or split.shape[1:] != shape:
                shapes = ", ".join(str(list(part.shape)) for part in (train, valid, test))
                raise DataError(
                    f"{named(name)} needs images of one shape in each of its three splits, but has {shapes}."
                )
            require_values(name, split, levels)
            flat = np.ascontiguousarray(split.reshape(len(split), math.prod(shape)), dtype=dtype)
            digest.update(flat.data)
            tensors.append(torch.from_numpy(flat.astype(dtype.newbyteorder("="), copy=not flat.flags.writeable)))
        return cls(
            name,
            levels,
            shape,
            train=tensors[0],
            valid=tensors[1],
            test=tensors[2],
            checksum=digest.hexdigest(),
            about=about,
            remarks=tuple(remarks),
            test_blocks=tuple(test_blocks),
        )

    @property
    def dims(self) -> int:
        """D, the number of data dimensions."""
        return math.prod(self.shape)

    def fewer(self, train_images: int) -> Dataset:
        """With so many training images, and as large a share of the validation images, rounded up, two at the least.

        They are the first ones in the order of `splits.order`, so that a smaller number gives some of those of a larger
        one, and stand in the order in which they stood. The test split stays whole. Raises DataError where there are
        not so many.
        """
        there = len(self.train)
        if not 1 <= train_images <= there:
            raise DataError(
                f"{named(self.name)} has {there} training images, but train_images = {train_images}: give 1…{there}, "
                "or leave it out for all of them."
            )
        share = max(2, -(-len(self.valid) * train_images // there))
        train, valid = _some(self._pictures(self.train), train_images), _some(self._pictures(self.valid), share)
        kept = f"{train_images} of {there} training and {len(valid)} of {len(self.valid)} validation images"
        return self._as(kept, self.levels, train, valid, self._pictures(self.test))

    def quantised(self, levels: int) -> Dataset:
        """With so many levels, each of K / levels neighbouring ones joined: k becomes k·levels // K.

        A probability of these is no probability of the K levels: it is of coarser events, and so larger, and is to be
        compared with its like alone. Raises DataError where K is no multiple of `levels`, or the same.
        """
        if not 2 <= levels < self.levels or self.levels % levels:
            raise DataError(
                f"{named(self.name)} has {self.levels} levels, which cannot be joined evenly to quantise = {levels}: "
                f"{_fewer_levels(self.levels, levels)}."
            )
        splits = [split // (self.levels // levels) for split in self._splits()]
        return self._as(f"quantised to {levels} levels, k·{levels} // {self.levels}", levels, *splits)

    def cropped(self, rows: int, columns: int) -> Dataset:
        """The middle of every image (`pixels`). Raises DataError where images are no larger, or would be all alike."""
        height, width = self._height_and_width(f"crop = {rows}x{columns}")
        if rows > height or columns > width or (rows, columns) == (height, width):
            most = f"give {height}x{width} at most, and less of one side" if height * width > 1 else "there is no less"
            larger = "is larger than" if rows > height or columns > width else "is all of"
            raise DataError(
                f"{named(self.name)} has images of {height}x{width} (rows x columns), and crop = {rows}x{columns} "
                f"{larger} them: {most}, or leave it out."
            )
        return self._of_pictures(
            f"cropped to the middle {rows}×{columns} of {height}×{width}",
            *(pixels.middle(split, rows, columns) for split in self._splits()),
        )

    def resized(self, rows: int, columns: int) -> Dataset:
        """Every image in another size, by the mean of areas (`pixels`): 2 levels by majority. Raises DataError where
        that is the size that they have, or they would be all alike."""
        asked = f"resize = {rows}x{columns}"
        height, width = self._height_and_width(asked)
        if (rows, columns) == (height, width):
            raise DataError(
                f"{named(self.name)} has images of {height}x{width} already, as {asked} says: leave it out."
            )
        made = self._of_pictures(
            f"resized from {height}×{width} to {rows}×{columns} by the mean of areas, halves up",
            *(pixels.resized(split, rows, columns) for split in self._splits()),
        )
        upright = max(1, round(height * columns / width)), columns
        if abs(rows * width / (height * columns) - 1) > STRETCHED and upright[0] != rows:
            text = f"resize stretches images of {height}×{width} to {rows}×{columns}"
            remark = Remark("shape", f"{text}: resize = {upright[0]}x{upright[1]} keeps their proportions")
            return dataclasses.replace(made, remarks=(*made.remarks, remark))
        return made

    def in_grey(self) -> Dataset:
        """One grey value for each pixel in colour (`pixels`). Raises DataError where there is no colour."""
        if len(self.shape) != 3 or self.shape[2] != len(pixels.LUMA):
            has = "images without colour" if len(self.shape) < 3 else f"images of {self.shape[2]} channels"
            raise DataError(
                f"{named(self.name)} has {has} ({'×'.join(map(str, self.shape))}), of which grey = true makes nothing: "
                "leave it out."
            )
        said = "made grey, 0.299 R + 0.587 G + 0.114 B rounded (ITU-R BT.601)"
        return self._of_pictures(said, *(pixels.grey(split) for split in self._splits()))

    def _height_and_width(self, asked: str) -> tuple[int, int]:
        """Raises DataError for rows of numbers."""
        height, width = self.shape[:2]
        if height == 1 and width > 1:
            raise DataError(
                f"{named(self.name)} has rows of {width} numbers and no pictures, of which {asked} makes nothing: "
                "leave it out, or save the array as [N, H, W]."
            )
        return height, width

    def _of_pictures(self, said: str, train: np.ndarray, valid: np.ndarray, test: np.ndarray) -> Dataset:
        """What was made of the pictures. Raises DataError where nothing is left to be seen."""
        if min(int(part.min()) for part in (train, valid, test)) == max(
            int(part.max()) for part in (train, valid, test)
        ):
            raise DataError(
                f"{named(self.name)}, {said}, is {int(train.min())} everywhere: ask for more of its images."
            )
        return self._as(said, self.levels, train, valid, test)

    def _as(self, said: str, levels: int, train: np.ndarray, valid: np.ndarray, test: np.ndarray) -> Dataset:
        """What was made of it."""
        about, remarks, blocks = f"{self.about}; {said}", self.remarks, self.test_blocks
        return Dataset.from_arrays(
            self.name, levels, train, valid, test, about=about, remarks=remarks, test_blocks=blocks
        )

    def _splits(self) -> Iterator[np.ndarray]:
        return map(self._pictures, (self.train, self.valid, self.test))

    def _pictures(self, split: torch.Tensor) -> np.ndarray:
        """[N, *shape]"""
        pictures: np.ndarray = split.cpu().numpy().reshape(-1, *self.shape)
        return pictures

    def to(self, device: torch.device | str) -> Dataset:
        """The same data set with its splits on `device`."""
        moved = {split: getattr(self, split).to(device) for split in ("train", "valid", "test")}
        return dataclasses.replace(self, **moved)


def _some(images: np.ndarray, count: int) -> np.ndarray:
    """The first `count` images of the fixed order, standing as they stood."""
    return images[np.sort(order(len(images))[:count])]


def _fewer_levels(levels: int, asked: int) -> str:
    """What to ask for instead."""
    able = [count for count in range(2, levels) if levels % count == 0]
    near = [*[count for count in able if count <= asked][-1:], *[count for count in able if count > asked][:1]]
    if not near:
        return "leave it out, for no fewer levels divide them"
    return f"give {' or '.join(map(str, near))}, or leave it out"


def require_values(name: str, images: np.ndarray, levels: int) -> None:
    """Raises DataError unless every value of `images` (integers, not empty) lies in 0…levels−1."""
    low, high = int(images.min()), int(images.max())
    if low < 0 or high >= levels:
        raise DataError(f"{named(name)} has values {low}…{high}, but {levels} levels allow 0…{levels - 1}.")


def named(name: object, most: int = 120) -> str:
    """A name in a sentence: in one line, what a terminal would obey escaped, a long one cut in its middle."""
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(name)[: 2**14])
    return text if len(text) <= most else f"{text[: most - 1 - most // 2]}…{text[len(text) - most // 2 :]}"


def expanded(path: Path | str) -> Path:
    """A path with its ~ in full. Raises DataError where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise DataError(
            f"{named(path)} begins with the home of somebody who has none: give the path from / on."
        ) from None


def reason(error: BaseException, most: int = 120) -> str:
    """The first sentence of a foreign error, cut to fit into a sentence of ours; its type where it says nothing."""
    line = next(iter(str(error).strip().splitlines()), "").partition(". ")[0].rstrip(". :") or type(error).__name__
    line = named(line[: 2 * most], 2 * most)
    return line if len(line) <= most else line[: most - 1] + "…"
