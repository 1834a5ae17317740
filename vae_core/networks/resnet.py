"""Residual blocks (He et al. 2016) whose normalisation looks at one image alone (Wu & He 2018)."""

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
    Residual,
    Sides,
    ToMaps,
    ToRow,
    Upsample,
    dense_layers,
    dropped,
    halvings,
    normalised,
)
from vae_core.networks._places import Places, in_blocks, sides_and_channels


class ResNet(Network):
    """Stages of `channels`, each of `depth` residual blocks, the first of which halves the sides; then the dense layers
    -> 2 Z. Z -> the dense layers mirrored, then the stages mirrored, each of which doubles the sides (nearest
    neighbour) before its blocks; a last convolution gives what each pixel has of the R outputs."""

    reads: ClassVar[tuple[str, ...]] = (
        *("hidden", "activation", "latent"),
        *("channels", "depth", "kernel", "normalisation", "dropout"),
    )
    placed: ClassVar[bool] = True

    @staticmethod
    def require(architecture: Architecture) -> None:
        """Raises ValueError for a width or a depth below 1, a kernel below 2, too few channels to be normalised, or an
        unknown activation."""
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
        encoder = LayeredStack.create("encoder", _encoder(architecture, sides, channels), seeds)
        decoder = LayeredStack.create("decoder", _decoder(architecture, sides, maps_of(places)), seeds, places)
        return encoder, decoder


def _encoder(architecture: Architecture, sides: Sequence[Sides], channels: int) -> Chain:
    """Images, the channel fastest -> 2 Z."""
    layers: list[Layer] = [ToMaps(sides[0], channels)]
    for out, (before, after) in zip(architecture.channels, itertools.pairwise(sides), strict=True):
        layers += _block(architecture, channels, out, before, stride=2)
        layers += _blocks(architecture, out, after)
        channels = out
    widths = (math.prod(sides[-1]) * channels, *architecture.hidden)
    dense = dense_layers(widths, architecture.activation, architecture.dropout)
    return Chain([*layers, ToRow(), *dense, Dense(widths[-1], 2 * architecture.latent)])


def _decoder(architecture: Architecture, sides: Sequence[Sides], maps: int) -> Chain:
    """Z -> maps of the image's sides."""
    widths = (architecture.latent, *reversed(architecture.hidden))
    layers = dense_layers(widths, architecture.activation, architecture.dropout)
    channels = architecture.channels[-1]
    layers += [Dense(widths[-1], math.prod(sides[-1]) * channels), Activation(architecture.activation)]
    layers += [ToMaps(sides[-1], channels)]
    for out, large in zip(reversed(architecture.channels), reversed(sides[:-1]), strict=True):
        layers += [Upsample(large), *_block(architecture, channels, out, large)]
        layers += _blocks(architecture, out, large)
        channels = out
    return Chain([*layers, Conv(channels, maps, architecture.kernel, sides[0])])


def _block(architecture: Architecture, channels: int, out: int, sides: Sides, stride: int = 1) -> list[Layer]:
    """One block and the activation behind it; what goes past it is brought to its shape by a 1×1 convolution, where it
    has another."""
    kind, activation = _normalisation(architecture), architecture.activation
    first = Conv(channels, out, architecture.kernel, sides, stride)
    main = [
        first,
        *normalised(kind, out),
        Activation(activation),
        *dropped(architecture.dropout, out),
        Conv(out, out, architecture.kernel, first.sides),
        *normalised(kind, out),
    ]
    skip = [Conv(channels, out, 1, sides, stride)] if stride > 1 or channels != out else []
    return [Residual(Chain(main), Chain(skip)), Activation(activation)]


def _blocks(architecture: Architecture, channels: int, sides: Sides) -> list[Layer]:
    """What else a stage has: blocks that change no shape."""
    each = [_block(architecture, channels, channels, sides) for _ in range(architecture.depth - 1)]
    return list(itertools.chain.from_iterable(each))


def _normalisation(architecture: Architecture) -> str:
    return "group" if architecture.normalisation == "usual" else architecture.normalisation
