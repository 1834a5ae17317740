"""What is asked of a data set before anything is trained on it: what a reader of its numbers should know.

    >>> from vae_core import data
    >>> [remark.topic for remark in data.questions.remarks(data.load("digits"))]
    ['constant']

What cannot be right is refused when a data set is read (`arrays`, `lattice`, `pictures`), with its remedy. Here is what
may be right and has to be known: nobody but the user can tell a film from a sorted collection, or a sprite that returns
from a copy. So copies are never refused, however many they are: they stand above the ranking instead (`loud`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from vae_core.data.dataset import Dataset, Remark
from vae_core.data.lattice import Levels
from vae_core.numerics import progress
from vae_core.statistics.blocks import FEWEST_IMAGES as FEWEST_JUDGED

FEWEST_TRAINING = 100
LOUD_SHARE = 0.05  # of test images: copies beyond it bear on every number
#: of the distance between two images of the data, within which two are all but equal; the nearest training images of
#: MNIST, Fashion-MNIST, the Frey Faces and digits are no nearer than 0.11 (256 test images of each)
NEAR = 0.05
FEW_STATES = 32.0  # bits an image: below, images are few enough to return by chance
PRODUCTS = 1.5e10  # multiplications at most, a second of one core
LOOKED_AT = 256  # test images at most
#: share of consecutive images, beyond that of random ones, that are nearer than half the usual distance: 0.50 in the
#: Frey Faces, 0.09 in MNIST and 0.07 in Fashion-MNIST sorted by class
IN_RUNS = 0.2
NEIGHBOURLY = 5 / 6  # of the distance of images that are further apart in the file
FEWEST_IN_ORDER = 40  # images, below which nothing is said of their order
PAIRS = 400
OFTEN = 2  # times the levels that occur, at most, are expected of more images, where the rest is said never to
SEEN_DIMS = 1024  # of an image in which neighbours are compared


def remarks(data: Dataset) -> tuple[Remark, ...]:
    """All that was noticed: while the data set was read, and in what it holds. The loud ones first.

    Takes about a second where there are 50,000 images of 784 values.
    """
    asked = [*data.remarks, *_copies(data), *_levels(data), *_constant(data), *_sizes(data)]
    return tuple(sorted(asked, key=lambda remark: not remark.loud))


# ---------------------------------------------------------------- the order of the images


def neighbours(images: np.ndarray, block: int | None, *, rows: bool = False) -> Iterator[Remark]:
    """Whether consecutive images [N, …] of a file are much nearer to one another than any two, as the frames of a film
    or the copies of one image are, and `block` keeps them together."""
    run = _run(images)
    if run is None or (block is not None and 2 * block >= run):
        return
    of_rows = " (or is this one picture, whose rows were taken for images?)" if rows else ""
    if block is not None:
        yield Remark(
            "neighbours", f"blocks of {block} are shorter than the runs of like images, about {run} long{of_rows}"
        )
        return
    yield Remark(
        "neighbours",
        "images that follow one another in the file are much nearer than any two are, and the random split parts them: "
        f"where they share a cause (frames of a film, copies of one image), block = {run} keeps them in one "
        f"split{of_rows}",
        loud=True,
    )


def _run(images: np.ndarray) -> int | None:
    """How many consecutive images are alike; None where they are not, or nothing can be said.

    At each lag: how many of 400 pairs of images so far apart are nearer than half the median distance of random pairs.
    Where many neighbours are, they are a run if that share halves within a thirtieth of the file, or if neighbours are
    nearer than images so far apart by a sixth in the median: neither is so of images sorted by ten classes or fewer,
    which are alike for longer and whose neighbours are no nearer than others of their class. The run ends where a tenth
    of the share is left, after an eighteenth of the file at the latest, so that three blocks make a test split.
    """
    count = len(images)
    if count < FEWEST_IN_ORDER:
        return None
    flat = images.reshape(count, -1)
    flat = flat[:, :: -(-flat.shape[1] // SEEN_DIMS)]
    rng = np.random.default_rng(0)

    def apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        distances: np.ndarray = np.linalg.norm(flat[first].astype(np.float32) - flat[second].astype(np.float32), axis=1)
        return distances

    first, second = rng.integers(count, size=(2, 4 * PAIRS))
    usual = apart(first, second)[first != second]
    half = float(np.median(usual)) / 2
    if half == 0:
        return None
    chance = float((usual < half).mean())

    def at(lag: int) -> np.ndarray:
        start = rng.choice(count - lag, size=min(PAIRS, count - lag), replace=False)
        return apart(start, start + lag)

    at_once = at(1)
    share = float((at_once < half).mean()) - chance
    if share < IN_RUNS:
        return None
    soon, longest = max(8, count // 30), max(2, count // 18)
    left = {lag: float((at(lag) < half).mean()) - chance for lag in _lags(longest)}
    halves = any(rest <= share / 2 for lag, rest in left.items() if lag <= soon)
    if not halves and np.median(at_once) > NEIGHBOURLY * np.median(at(soon)):
        return None
    return next((lag for lag, rest in left.items() if rest <= share / 10), longest)


def _lags(longest: int) -> list[int]:
    """2, 3, … 64, then a quarter further each, `longest` the last."""
    lags = list(range(2, min(longest, 64) + 1))
    while lags[-1] < longest:
        lags.append(min(longest, lags[-1] * 5 // 4))
    return lags


# ---------------------------------------------------------------- copies


def _copies(data: Dataset) -> Iterator[Remark]:
    """Test and validation images that occur in training, exactly or nearly."""
    natural = data.dims * math.log2(data.levels) <= FEW_STATES
    place = {row.tobytes(): index for index, row in reversed(list(enumerate(_array(data.train))))}
    copied = {
        split: [(index, place[row.tobytes()]) for index, row in enumerate(_array(images)) if row.tobytes() in place]
        for split, images in (("test", data.test), ("validation", data.valid))
    }
    patterned = [pair for pair in copied["test"] if len(np.unique(data.test[pair[0]].cpu().numpy())) > 1]
    if copied["test"] or copied["validation"]:
        loud = len(patterned) > LOUD_SHARE * len(data.test) and not natural
        counts = " and ".join(
            f"{len(pairs)} of {len(images)} {split} images"
            for (split, pairs), images in zip(copied.items(), (data.test, data.valid), strict=True)
            if pairs
        )
        blank = len(copied["test"]) - len(patterned)
        text = f"{counts} occur in training, value for value"
        text += f" ({blank} of one value only)" if blank else ""
        text += f": test[{patterned[0][0]}] is train[{patterned[0][1]}]" if patterned else ""
        if natural:
            text += f"; with {data.levels} levels and {data.dims} values an image they may do so by chance"
        elif loud:
            text += (
                "; what they score is memory: keep one of each, of an array x by "
                "x[numpy.sort(numpy.unique(x, axis=0, return_index=True)[1])]"
            )
        yield Remark("copies", text, loud)
    if not natural:
        yield from _near_copies(data, {index for index, _ in copied["test"]})


def _near_copies(data: Dataset, known: set[int]) -> Iterator[Remark]:
    """Test images that are all but equal to a training image and no copy of one; of some test images, where they are
    many, beside some training images, where those are very many."""
    others = torch.tensor([index for index in range(len(data.test)) if index not in known])
    train = data.train[: max(1, int(PRODUCTS / (64 * data.dims)))]
    room = max(64, int(PRODUCTS / (len(train) * data.dims)))
    asked = others[_spread(len(others), min(LOOKED_AT, room))] if len(others) else others
    if not len(asked):
        return
    centre = train.float().mean(0)
    test = data.test[asked].float() - centre
    nearest, which = torch.full((len(asked),), math.inf), torch.zeros(len(asked), dtype=torch.int64)
    for start in range(0, len(train), 8192):
        part = train[start : start + 8192].float() - centre
        squares = (test**2).sum(1, keepdim=True) + (part**2).sum(1) - 2 * test @ part.T
        best, index = squares.min(1)
        closer = best < nearest
        nearest, which = torch.where(closer, best, nearest), torch.where(closer, index + start, which)
        progress.made()
    some = train[_spread(len(train), LOOKED_AT)].float() - centre
    usual = float(torch.cdist(test, some).median())
    exact = (data.test[asked].float() - train[which].float()).norm(dim=1)
    near = (exact <= NEAR * usual).nonzero()[:, 0].tolist()
    if near:
        first = near[int(exact[near].argmin())]
        at, of = int(asked[first]), int(which[first])
        difference = float((data.test[at].float() - train[of].float()).abs().mean())
        looked = "test images" if len(asked) == len(data.test) else "test images looked at"
        yield Remark(
            "copies",
            f"{len(near)} of {len(asked)} {looked} are all but equal to a training image, within a "
            f"{1 / NEAR:.0f}th of the usual distance: test[{at}] differs from train[{of}] by {difference:.2g} "
            "levels a value",
            loud=len(near) > LOUD_SHARE * len(asked),
        )


# ---------------------------------------------------------------- levels, constant values, sizes


def _levels(data: Dataset) -> Iterator[Remark]:
    """Levels that never occur, where more images would not bring them."""
    found = Levels.of(np.concatenate([_array(split) for split in (data.train, data.valid, data.test)]))
    absent = data.levels - len(found.values)
    if found.doubtful(data.levels):
        few = f"{found.groups} images differ" if found.groups > 1 else "1 image is there, many times"
        yield Remark(
            "levels",
            f"only {len(found.values):,} of {data.levels:,} levels occur ({found.said}), and only {few}, too few to "
            "tell whether there are others: where there are not, every number here is wrong, and levels = K has to be "
            "stated",
            loud=True,
        )
        return
    if not absent or found.expected > min(OFTEN * len(found.values), data.levels - absent / 2):
        return
    low, high = int(found.values[0]), int(found.values[-1])
    between = high - low + 1 - len(found.values)
    occur = "level never occurs" if absent == 1 else "levels never occur"
    gaps = f", {between} of them between others" if between else ""
    yield Remark("levels", f"{absent:,} of {data.levels:,} {occur}: values are {low:,}…{high:,}{gaps}")


def _constant(data: Dataset) -> Iterator[Remark]:
    """Values that are the same in all training images."""
    low, high = data.train.amin(0), data.train.amax(0)
    fixed = low == high
    count = int(fixed.sum())
    if not count:
        return
    move = int(((data.test != low) & fixed).any(0).sum())
    text = (
        f"{count} of {data.dims} values of an image never change in training{_border(fixed.cpu().numpy(), data.shape)}"
    )
    text += f", and {move} of them do in test images" if move else ", nor in test images"
    yield Remark("constant", f"{text}: bits/dim counts them, and they cost next to nothing")


def _border(fixed: np.ndarray, shape: tuple[int, ...]) -> str:
    """Which whole rows and columns at the border do not change."""
    if min(shape[:2]) < 2:
        return ""
    grid = fixed.reshape(shape[0], shape[1], -1)
    down, across = np.asarray(grid.all((1, 2))), np.asarray(grid.all((0, 2)))
    sides = {"above": down, "below": down[::-1], "left": across, "right": across[::-1]}
    widths = {side: len(line) if line.all() else int(np.argmin(line)) for side, line in sides.items()}
    said = [f"{width} {side}" for side, width in widths.items() if width]
    return f" (rows and columns at the border: {', '.join(said)})" if said else ""


def _sizes(data: Dataset) -> Iterator[Remark]:
    """Too few images."""
    if len(data.test) < FEWEST_JUDGED:
        yield Remark(
            "size",
            f"{len(data.test)} test images are too few for an interval over images, which takes {FEWEST_JUDGED}: no "
            "verdict can rest on them",
            loud=True,
        )
    if len(data.valid) < FEWEST_JUDGED:
        yield Remark(
            "size", f"what is tuned, and when training ends, is decided by {len(data.valid)} validation images"
        )
    if len(data.train) < FEWEST_TRAINING:
        yield Remark("size", f"{len(data.train)} training images are few: what is best on them may not be on more")


def _array(split: torch.Tensor) -> np.ndarray:
    rows: np.ndarray = split.cpu().numpy()
    return rows


def _spread(count: int, most: int) -> torch.Tensor:
    """Indices of at most so many of them, evenly spaced."""
    return torch.linspace(0, count - 1, min(count, most)).round().long()
