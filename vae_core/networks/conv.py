"""Strided convolutions down, transposed ones up (Dumoulin & Visin 2016 for their sizes): an image's pixels in order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import ClassVar

from vae_core.networks._base import Architecture, Network
from vae_core.networks._layered import LayeredStack, maps_of, require_maps, require_sides
from vae_core.networks._layers import (
    Activation,
    Chain,
    Conv,
    Dense,
    Layer,
    Sides,
    ToMaps,
    ToRow,
    Transposed,
    dense_layers,
    dropped,
    halvings,
    normalised,
)
from vae_core.networks._places import Places, in_blocks, sides_and_channels


class Convolutional(Network):
    """Stages of `channels`, each a strided convolution and depth − 1 others, then the dense layers -> 2 Z; Z -> the
    dense layers mirrored, then the stages mirrored, the last of which gives what each pixel has of the R outputs."""

    reads: ClassVar[tuple[str, ...]] = (
        *("hidden", "activation", "latent"),
        *("channels", "depth", "kernel", "normalisation", "dropout"),
    )
    placed: ClassVar[bool] = True

    @staticmethod
    def require(architecture: Architecture) -> None:
        """Raises ValueError for a width or a depth below 1, a kernel below 2, or an unknown activation."""
        require_maps(architecture, normalised=_normalisation(architecture) != "none")

    @staticmethod
    def fit(architecture: Architecture, shape: Sequence[int]) -> None:
        """Raises ValueError for images that are too small for so many stages."""
        require_sides(architecture, shape)

    @staticmethod
    def create(
        architecture: Architecture,
        shape: Sequence[int],
        outputs: int,
        seeds: Sequence[int],
        places: Sequence[Places] | None = None,
    ) -> tuple[LayeredStack, LayeredStack]:
        height, width, channels = sides_and_channels(shape)
        sides = halvings((height, width), len(architecture.channels))
        places = places or [in_blocks(shape, outputs)] * len(seeds)
        encoder = LayeredStack.create("encoder", encoder_of(architecture, sides, channels), seeds)
        decoder = LayeredStack.create("decoder", decoder_of(architecture, sides, maps_of(places)), seeds, places)
        return encoder, decoder


def encoder_of(architecture: Architecture, sides: Sequence[Sides], channels: int) -> Chain:
    """Images, the channel fastest -> 2 Z."""
    layers: list[Layer] = [ToMaps(sides[0], channels)]
    for stage, out in enumerate(architecture.channels):
        layers += [Conv(channels, out, architecture.kernel, sides[stage], stride=2), *_after(architecture, out)]
        layers += _alike(architecture, out, sides[stage + 1])
        channels = out
    widths = (math.prod(sides[-1]) * channels, *architecture.hidden)
    dense = dense_layers(widths, architecture.activation, architecture.dropout)
    return Chain([*layers, ToRow(), *dense, Dense(widths[-1], 2 * architecture.latent)])


def decoder_of(architecture: Architecture, sides: Sequence[Sides], maps: int) -> Chain:
    """Z -> maps of the image's sides."""
    widths = (architecture.latent, *reversed(architecture.hidden))
    layers = dense_layers(widths, architecture.activation, architecture.dropout)
    last = architecture.channels[-1]
    layers += [Dense(widths[-1], math.prod(sides[-1]) * last), Activation(architecture.activation)]
    layers += [ToMaps(sides[-1], last)]
    ups = list(zip(reversed(architecture.channels), itertools.pairwise(reversed(sides)), strict=True))
    into = [*reversed(architecture.channels[:-1]), maps]
    for (channels, (small, large)), out in zip(ups, into, strict=True):
        layers += _alike(architecture, channels, small)
        layers += [Transposed(channels, out, architecture.kernel, small, large)]
        layers += _after(architecture, out) if large != sides[0] else []
    return Chain(layers)


def _alike(architecture: Architecture, channels: int, sides: Sides) -> list[Layer]:
    """What else a stage has: convolutions that change no shape."""
    each = [
        [Conv(channels, channels, architecture.kernel, sides), *_after(architecture, channels)]
        for _ in range(architecture.depth - 1)
    ]
    return list(itertools.chain.from_iterable(each))


def _after(architecture: Architecture, channels: int) -> list[Layer]:
    """What follows a convolution."""
    return [
        *normalised(_normalisation(architecture), channels),
        Activation(architecture.activation),
        *dropped(architecture.dropout, channels),
    ]


def _normalisation(architecture: Architecture) -> str:
    return "none" if architecture.normalisation == "usual" else architecture.normalisation
