"""What every reference is: its card, the images that it may look at, and what it gives."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, final

import numpy as np

from vae_core.references._tables import Floats, Integers, Tables

LARGEST = 2**24  # of D·K, such as 16 × 16 values of 16 bits: a table of 128 MiB
NATS_OF_A_BYTE = 8 * math.log(2)
ANY = 0.3  # s that any takes


class LeftOut(ValueError):
    """A reference that there is not for such data; the message says why, in one clause."""


@dataclass(frozen=True)
class Card:
    """What a person wants to know of a reference before reading its number."""

    title: str
    summary: str  #: one sentence: what it knows of the data
    source: str  #: author, year; or whose software it is


@dataclass(frozen=True)
class Images:
    """What a reference is fitted to and chosen by: integers 0…levels−1, [N, D] a split, D = the product of `shape`."""

    train: Integers
    valid: Integers
    levels: int
    shape: tuple[int, ...]


class Sizes(NamedTuple):
    """D, K, and images of the splits."""

    dims: int
    levels: int
    train: int
    test: int


def require_room(images: Images) -> None:
    """Raises LeftOut where a table [D, K] of float64, of which a fit has about ten, is too large."""
    if images.train.shape[1] * images.levels > LARGEST:
        raise LeftOut(
            f"{images.train.shape[1]:,} values an image of {images.levels:,} levels make tables of more than "
            f"{LARGEST:,} numbers"
        )


@dataclass(frozen=True)
class Outcome:
    """What a reference gives for N test images: mean ln P of an image in nats; of each image [N], where it gives images
    their own; a label for people; what was chosen and measured on the way, as plain values."""

    nats: float
    label: str
    per_image: Floats | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)  #: of the family, where it is a family's


class Reference(ABC):
    """Something to hold scores against. One public module of `vae_core.references` holds one reference; use
    `Distribution`, `OfFamily` or `Codec` as base."""

    name: str
    card: ClassVar[Card]
    of_families: ClassVar[bool] = False  #: whether there is one for every family that is compared

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = cls.__module__.rpartition(".")[2]

    @classmethod
    def seconds(cls, sizes: Sizes) -> float:
        """About how long one takes on one core, for who predicts a run: a rough figure, of that for a value of a codec
        and a table where nothing else is said."""
        return ANY + 2.5e-7 * sizes.test * sizes.dims

    @abstractmethod
    def outcome(self, images: Images, test: Integers) -> Outcome:
        """From training and validation images to the score of the test images [N, D]. Raises LeftOut."""


@dataclass(frozen=True)
class Fitted:
    """Tables of log-masses, and how they came about."""

    tables: Tables
    label: str
    details: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


class Distribution(Reference):
    """A distribution of images whose masses are tables: it scores each image, exactly."""

    @abstractmethod
    def fit(self, images: Images) -> Fitted:
        """Fitted to training images; what is chosen is chosen on validation images."""

    @final
    def outcome(self, images: Images, test: Integers) -> Outcome:
        fitted = self.fit(images)
        scores = fitted.tables.score(test)
        return Outcome(float(scores.mean()), fitted.label, scores, fitted.details, fitted.options)


class OfFamily(Distribution):
    """A distribution that there is for every family of likelihoods: `settings` are the options that it is tried at."""

    of_families = True

    def __init__(self, family: str, settings: Sequence[Mapping[str, Any]]) -> None:
        if not settings:
            raise ValueError(f"{type(self).name}:{family} needs one setting of the family or more, such as {{}}")
        self.name = f"{type(self).name}:{family}"
        self.family, self.settings = family, [dict(setting) for setting in settings]


class Codec(Reference):
    """A lossless codec of all test images as one strip, below one another: one number, to which every image owes its
    share. It learns on the way and is fitted to nothing."""

    label: ClassVar[str]

    @abstractmethod
    def encoded(self, strip: Integers, levels: int) -> Sequence[bytes]:
        """The strip [N·H, W] or [N·H, W, C] in as many files as it takes. Raises LeftOut."""

    @final
    def outcome(self, images: Images, test: Integers) -> Outcome:
        strip = strip_of(test, images.shape)
        files = self.encoded(strip, images.levels)
        size = sum(map(len, files))
        details = {"bytes": size, "strip": list(strip.shape), **({"files": len(files)} if len(files) > 1 else {})}
        return Outcome(-NATS_OF_A_BYTE * size / len(test), self.label, details=details)


def strip_of(images: Integers, shape: Sequence[int]) -> Integers:
    """Images [N, D] of H × W (× C) values below one another, [N·H, W] or [N·H, W, C]."""
    height, *rest = shape if len(shape) > 1 else (1, *shape)
    return np.ascontiguousarray(images).reshape(len(images) * height, *rest)
