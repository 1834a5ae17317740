"""What networks of maps share: stages of `widths` that halve the sides on the way down and double them on the way
up, with dense layers between them and z."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from vae_core.networks._base import Architecture, Network
from vae_core.networks._layered import LayeredStack, maps_of, require_maps, require_sides
from vae_core.networks._layers import Activation, Chain, Dense, Layer, Sides, ToMaps, ToRow, dense_layers, halvings
from vae_core.networks._places import Places, in_blocks, sides_and_channels


class OfMaps(Network):
    """A network of maps: what its stages are made of is its own."""

    reads: ClassVar[tuple[str, ...]] = (
        *("hidden", "activation", "latent"),
        *("widths", "depth", "kernel", "normalisation", "dropout"),
    )
    placed: ClassVar[bool] = True
    usual: ClassVar[str]  #: its normalisation, where an architecture asks for the usual one

    @classmethod
    @abstractmethod
    def stage(cls, architecture: Architecture, channels: int, out: int, before: Sides, after: Sides) -> list[Layer]:
        """From maps of so many channels and the sides before to `out` of them of half these sides."""

    @classmethod
    @abstractmethod
    def up(cls, architecture: Architecture, sides: Sequence[Sides], maps: int) -> list[Layer]:
        """From maps of the last stage back to so many of the image's sides; `sides` before each stage and at last."""

    @classmethod
    def normalisation(cls, architecture: Architecture) -> str:
        """The one that is meant."""
        return cls.usual if architecture.normalisation == "usual" else architecture.normalisation

    @classmethod
    def require(cls, architecture: Architecture) -> None:
        """Raises ValueError for a width or a depth below 1, a kernel below 2, too few channels to be normalised, or an
        unknown activation."""
        require_maps(architecture, normalised=cls.normalisation(architecture) != "none")

    @staticmethod
    def fit(architecture: Architecture, shape: Sequence[int]) -> None:
        """Raises ValueError for images that are too small for so many stages."""
        require_sides(architecture, shape)

    @classmethod
    def create(
        cls,
        architecture: Architecture,
        shape: Sequence[int],
        outputs: int,
        seeds: Sequence[int],
        places: Sequence[Places] | None = None,
    ) -> tuple[LayeredStack, LayeredStack]:
        height, width, channels = sides_and_channels(shape)
        sides = halvings((height, width), len(architecture.widths))
        places = places or [in_blocks(shape, outputs)] * len(seeds)
        down: list[Layer] = [ToMaps(sides[0], channels)]
        for out, (before, after) in zip(architecture.widths, itertools.pairwise(sides), strict=True):
            down += cls.stage(architecture, channels, out, before, after)
            channels = out
        down += _to_code(architecture, sides[-1])
        up = [*_from_code(architecture, sides[-1]), *cls.up(architecture, sides, maps_of(places))]
        encoder = LayeredStack.create("encoder", Chain(down), seeds)
        return encoder, LayeredStack.create("decoder", Chain(up), seeds, places)


def _to_code(architecture: Architecture, sides: Sides) -> list[Layer]:
    """Maps of the last stage -> 2 Z."""
    widths = (math.prod(sides) * architecture.widths[-1], *architecture.hidden)
    dense = dense_layers(widths, architecture.activation, architecture.dropout)
    return [ToRow(), *dense, Dense(widths[-1], 2 * architecture.latent)]


def _from_code(architecture: Architecture, sides: Sides) -> list[Layer]:
    """Z -> maps of the last stage."""
    widths, last = (architecture.latent, *reversed(architecture.hidden)), architecture.widths[-1]
    dense = dense_layers(widths, architecture.activation, architecture.dropout)
    into = [Dense(widths[-1], math.prod(sides) * last), Activation(architecture.activation), ToMaps(sides, last)]
    return [*dense, *into]
