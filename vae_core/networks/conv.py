"""Strided convolutions down, transposed ones up (Dumoulin & Visin 2016 for their sizes): an image's pixels in order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

from vae_core.networks._base import Architecture
from vae_core.networks._layers import Activation, Conv, Layer, Sides, Transposed, dropped, normalised
from vae_core.networks._maps import OfMaps


class Convolutional(OfMaps):
    """Stages of `widths`, each a strided convolution and depth − 1 others, then the dense layers -> 2 Z; Z -> the
    dense layers mirrored, then the stages mirrored, the last of which gives what each pixel has of the R outputs."""

    spoken: ClassVar[str] = "convolutional network"
    usual: ClassVar[str] = "none"

    @classmethod
    def stage(cls, architecture: Architecture, channels: int, out: int, before: Sides, after: Sides) -> list[Layer]:
        halving = Conv(channels, out, architecture.kernel, before, stride=2)
        return [halving, *cls._after(architecture, out), *cls._alike(architecture, out, after)]

    @classmethod
    def up(cls, architecture: Architecture, sides: Sequence[Sides], maps: int) -> list[Layer]:
        layers: list[Layer] = []
        ups = list(zip(reversed(architecture.widths), itertools.pairwise(reversed(sides)), strict=True))
        into = [*reversed(architecture.widths[:-1]), maps]
        for (channels, (small, large)), out in zip(ups, into, strict=True):
            layers += cls._alike(architecture, channels, small)
            layers += [Transposed(channels, out, architecture.kernel, small, large)]
            layers += cls._after(architecture, out) if large != sides[0] else []
        return layers

    @classmethod
    def _alike(cls, architecture: Architecture, channels: int, sides: Sides) -> list[Layer]:
        """What else a stage has: convolutions that change no shape."""
        each = [
            [Conv(channels, channels, architecture.kernel, sides), *cls._after(architecture, channels)]
            for _ in range(architecture.depth - 1)
        ]
        return list(itertools.chain.from_iterable(each))

    @classmethod
    def _after(cls, architecture: Architecture, channels: int) -> list[Layer]:
        """What follows a convolution."""
        return [
            *normalised(cls.normalisation(architecture), channels),
            Activation(architecture.activation),
            *dropped(architecture.dropout, channels),
        ]
