"""What a drawer says of single test images: where the configuration does worst and best, and what its pictures show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.report.numbers import number
from bench.report.pictures import MOST, strip
from vae_core.statistics.intervals import Floats

ENDS = 4  # images at either end
HEAVIEST = 15_000  # bytes of a drawer's pictures, encoded; fewer images are shown where they would be more
KINDS = {
    "reconstruction": "Reconstructions, E[x|z]",
    "sample": "Samples, E[x|z] for z from the prior",
    "draw": "The same z, drawn with noise",
}
Pictures = Mapping[tuple[str, str], np.ndarray]


@dataclass(frozen=True)
class Noted:
    """A test image by its place among those that are scored, from 0, with a number; `picture` where the run has it."""

    place: int
    text: str
    picture: str = ""


@dataclass(frozen=True)
class Ends:
    """The images at either end of a measure."""

    title: str
    images: list[Noted]


@dataclass(frozen=True)
class Shown:
    """Strips of one seed's pictures: `kinds` are (what, PNG); the originals, `count` of them, lie in a shared store."""

    seed: int
    count: int
    originals: str  # a key of the store
    kinds: list[tuple[str, str]]


class Store:
    """Strips that many drawers show, kept once: by key, what is shown and its size in pixels."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._keys: dict[str, str] = {}
        self.kept: dict[str, tuple[str, int, int]] = {}

    def key(self, images: np.ndarray) -> str:
        uri = strip(images)
        if uri not in self._keys:
            name = f"{self._prefix}-originals-{len(self._keys) + 1}"
            count, height, width = images.shape[:3]
            self._keys[uri] = name
            self.kept[name] = (uri, count * (width + 1) - 1, height)
        return self._keys[uri]


def places(count: int, shown: int) -> list[int]:
    """Which of so many test images the run keeps pictures of: `vae_core.evaluate.conditional.spaced`, without torch."""
    return [place * count // shown for place in range(shown)]


def with_pictures(cells: Sequence[str], pictures: Pictures) -> str | None:
    """The first of the cells that has pictures."""
    return next((cell for cell in cells if (cell, "original") in pictures), None)


def shown(cell: str, seed: int, pictures: Pictures, store: Store) -> Shown:
    """Its strips, as many images as are light enough."""
    originals = pictures[cell, "original"]
    count = min(MOST, len(originals))
    kinds = _strips(cell, count, pictures)
    size = sum(len(uri) for _, uri in kinds)
    if size > HEAVIEST and count > 1:
        count = max(1, count * HEAVIEST // size)
        kinds = _strips(cell, count, pictures)
    return Shown(seed, count, store.key(originals[:count]), kinds)


def _strips(cell: str, count: int, pictures: Pictures) -> list[tuple[str, str]]:
    return [(title, strip(pictures[cell, kind][:count])) for kind, title in KINDS.items() if (cell, kind) in pictures]


def ends(worse: Floats, digits: int, originals: np.ndarray | None) -> list[Ends]:
    """The images that are worst, and best, by what they are worse by [N]; of each the farthest first."""
    order = np.argsort(worse, kind="stable")
    some = min(ENDS, len(worse) // 2)
    farthest = {"Worst": order[::-1][:some], "Best": order[:some]}
    return [
        Ends(title, [_noted(int(place), worse, digits, originals) for place in at]) for title, at in farthest.items()
    ]


def heaviest(khat: Floats, originals: np.ndarray | None) -> Ends:
    """The images whose weights have the heaviest tails."""
    some = min(ENDS, int(np.isfinite(khat).sum()))
    order = np.argsort(-np.nan_to_num(khat, nan=-np.inf), kind="stable")[:some]
    return Ends("Largest k̂", [_noted(int(place), khat, 2, originals, sign=False) for place in order])


def _noted(place: int, values: Floats, digits: int, originals: np.ndarray | None, *, sign: bool = True) -> Noted:
    text = number(float(values[place]), digits)
    text = f"+{text}" if sign and values[place] > 0 else text
    kept = [] if originals is None else places(len(values), len(originals))
    picture = strip(originals[[kept.index(place)]]) if originals is not None and place in kept else ""
    return Noted(place, text, picture)
