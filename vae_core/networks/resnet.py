"""Residual blocks (He et al. 2016) whose normalisation looks at one image alone (Wu & He 2018)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

from vae_core.networks._base import Architecture
from vae_core.networks._layers import Activation, Chain, Conv, Layer, Residual, Sides, Upsample, dropped, normalised
from vae_core.networks._maps import OfMaps


class ResNet(OfMaps):
    """Stages of `widths`, each of `depth` residual blocks, the first of which halves the sides; then the dense layers
    -> 2 Z. Z -> the dense layers mirrored, then the stages mirrored, each of which doubles the sides (nearest
    neighbour) before its blocks; a last convolution gives what each pixel has of the R outputs."""

    spoken: ClassVar[str] = "ResNet"
    usual: ClassVar[str] = "group"

    @classmethod
    def stage(cls, architecture: Architecture, channels: int, out: int, before: Sides, after: Sides) -> list[Layer]:
        halving = cls._block(architecture, channels, out, before, stride=2)
        return [*halving, *cls._blocks(architecture, out, after)]

    @classmethod
    def up(cls, architecture: Architecture, sides: Sequence[Sides], maps: int) -> list[Layer]:
        layers: list[Layer] = []
        channels = architecture.widths[-1]
        for out, large in zip(reversed(architecture.widths), reversed(sides[:-1]), strict=True):
            layers += [Upsample(large), *cls._block(architecture, channels, out, large)]
            layers += cls._blocks(architecture, out, large)
            channels = out
        return [*layers, Conv(channels, maps, architecture.kernel, sides[0])]

    @classmethod
    def _block(cls, architecture: Architecture, channels: int, out: int, sides: Sides, stride: int = 1) -> list[Layer]:
        """One block and the activation behind it; what goes past it is brought to its shape by a 1×1 convolution, where
        it has another."""
        kind, activation = cls.normalisation(architecture), architecture.activation
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

    @classmethod
    def _blocks(cls, architecture: Architecture, channels: int, sides: Sides) -> list[Layer]:
        """What else a stage has: blocks that change no shape."""
        each = [cls._block(architecture, channels, channels, sides) for _ in range(architecture.depth - 1)]
        return list(itertools.chain.from_iterable(each))
