"""Layers of convolutional networks: each computes one model's part of a batch, from weights that it is given."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from vae_core.networks.mlp import ACTIVATIONS

if TYPE_CHECKING:
    from torch import Tensor

    from vae_core.numerics.convolutions import Convolution, Way
    from vae_core.numerics.precision import Product

Weights = Mapping[str, "Tensor"]
Sides = tuple[int, int]

GROUPS = 8  # of channels that are normalised together, at most
LEAST_OF_GROUP = 4  # channels of one


@dataclass(frozen=True)
class Draw:
    """How a parameter begins: uniform in ±bound, or all of one value."""

    shape: tuple[int, ...]
    bound: float = 0.0
    value: float = 0.0


@dataclass
class Pass:
    """What the layers of one model need on the way of a batch: how products are made, and what is left of the noise
    [B, …]; none of it in evaluation."""

    product: Product
    convolve: Convolution
    noise: Tensor | None = None
    taken: int = 0

    def take(self, count: int) -> Tensor | None:
        """The next so many uniforms of each row."""
        if self.noise is None:
            return None
        self.taken += count
        return self.noise[:, self.taken - count : self.taken]


class Layer(ABC):
    """One layer of one model. Costs are of one row."""

    operations = 0
    numbers = 0
    noise = 0

    @abstractmethod
    def __call__(self, x: Tensor, weights: Weights, on: Pass) -> Tensor: ...

    def draws(self) -> dict[str, Draw]:
        """Its parameters by name."""
        return {}

    @property
    def first_operations(self) -> int:
        """Those that the layer's input enters."""
        return self.operations


class Dense(Layer):
    """[B, in] -> [B, out]."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        self.fan_in, self.fan_out = fan_in, fan_out
        self.operations, self.numbers = 2 * fan_in * fan_out, fan_out

    def draws(self) -> dict[str, Draw]:
        bound = math.sqrt(6 / (self.fan_in + self.fan_out))
        return {"weight": Draw((self.fan_in, self.fan_out), bound), "bias": Draw((self.fan_out,))}

    def __call__(self, x: Tensor, weights: Weights, on: Pass) -> Tensor:
        if on.product is torch.baddbmm:
            return torch.addmm(weights["bias"], x, weights["weight"])
        return on.product(weights["bias"].view(1, 1, -1), x.unsqueeze(0), weights["weight"].unsqueeze(0))[0]


class Conv(Layer):
    """Maps of some sides to maps of the sides divided by the stride, rounded up: what an even kernel gives beyond them
    is cropped."""

    def __init__(self, channels: int, out: int, kernel: int, sides: Sides, stride: int = 1) -> None:
        self.channels, self.out, self.kernel = channels, out, kernel
        self.way = _way(stride, kernel // 2)
        self.sides: Sides = (-(-sides[0] // stride), -(-sides[1] // stride))
        made = math.prod((side + 2 * self.way.padding - kernel) // stride + 1 for side in sides)
        self.operations = 2 * kernel**2 * channels * out * made
        self.numbers = out * made

    def draws(self) -> dict[str, Draw]:
        taps = self.kernel**2
        bound = math.sqrt(6 / (self.channels * taps + self.out * taps / self.way.stride**2))
        return {
            "weight": Draw((self.out, self.channels, self.kernel, self.kernel), bound),
            "bias": Draw((self.out,)),
        }

    def __call__(self, x: Tensor, weights: Weights, on: Pass) -> Tensor:
        return cropped(on.convolve(x, weights["weight"], weights["bias"], self.way), self.sides)


class Transposed(Layer):
    """Maps to maps of sides about twice as long, which are said: what is beyond them is cropped."""

    def __init__(self, channels: int, out: int, kernel: int, sides: Sides, wanted: Sides) -> None:
        self.channels, self.out, self.kernel, self.wanted = channels, out, kernel, wanted
        self.way = _way(2, (kernel - 1) // 2, transposed=True, output_padding=kernel % 2)
        self.operations = 2 * kernel**2 * channels * out * math.prod(sides)
        self.numbers = out * 4 * math.prod(sides)

    def draws(self) -> dict[str, Draw]:
        taps = self.kernel**2
        bound = math.sqrt(6 / (self.channels * taps / 4 + self.out * taps))
        return {
            "weight": Draw((self.channels, self.out, self.kernel, self.kernel), bound),
            "bias": Draw((self.out,)),
        }

    def __call__(self, x: Tensor, weights: Weights, on: Pass) -> Tensor:
        return cropped(on.convolve(x, weights["weight"], weights["bias"], self.way), self.wanted)


class Upsample(Layer):
    """Each pixel as two by two, cropped to the sides that are wanted (nearest neighbour)."""

    def __init__(self, wanted: Sides) -> None:
        self.wanted = wanted

    def __call__(self, x: Tensor, weights: Weights, on: Pass) -> Tensor:
        return cropped(torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest"), self.wanted)


class Norm(Layer):
    """Features of an image to mean 0 and deviation 1, in groups of channels, then scaled and shifted by channel
    (Wu & He 2018, Group Normalization, eqs. 1-2): no other image takes part."""

    def __init__(self, kind: str, channels: int) -> None:
        able = [g for g in range(1, GROUPS + 1) if channels % g == 0 and channels // g >= LEAST_OF_GROUP]
        self.groups = max(able, default=1) if kind == "group" else 1
        self.channels = channels

    def draws(self) -> dict[str, Draw]:
        return {"gain": Draw((self.channels,), value=1.0), "shift": Draw((self.channels,))}

    def __call__(self, x: Tensor, weights: Weights, on: Pass) -> Tensor:
        return torch.nn.functional.group_norm(x, self.groups, weights["gain"], weights["shift"])


class Activation(Layer):
    def __init__(self, name: str) -> None:
        self.function = ACTIVATIONS[name]

    def __call__(self, x: Tensor, weights: Weights, on: Pass) -> Tensor:
        return self.function(x)


class Dropout(Layer):
    """Leaves out units, or whole maps (Tompson et al. 2015): neighbouring pixels of a map say nearly the same."""

    def __init__(self, share: float, channels: int) -> None:
        self.share, self.noise = share, channels

    def __call__(self, x: Tensor, weights: Weights, on: Pass) -> Tensor:
        uniform = on.take(self.noise)
        if uniform is None:
            return x
        stays = (uniform >= self.share).to(x.dtype) / (1 - self.share)
        return x * stays.reshape(*stays.shape, *[1] * (x.ndim - 2))


class ToMaps(Layer):
    """[B, H W C], the channel fastest, -> [B, C, H, W]; no number moves."""

    def __init__(self, sides: Sides, channels: int) -> None:
        self.shape = (*sides, channels)

    def __call__(self, x: Tensor, weights: Weights, on: Pass) -> Tensor:
        return x.reshape(len(x), *self.shape).permute(0, 3, 1, 2)


class ToRow(Layer):
    """Back: [B, C, H, W] -> [B, H W C]."""

    def __call__(self, x: Tensor, weights: Weights, on: Pass) -> Tensor:
        return x.permute(0, 2, 3, 1).reshape(len(x), -1)


class Chain(Layer):
    """One layer after the other. A parameter's name begins with the number of its layer; only those that weigh what
    comes in are counted, so that what lies between them changes no name, and no weights that are drawn by it."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = list(layers)
        self.operations = sum(layer.operations for layer in layers)
        self.numbers = sum(layer.numbers for layer in layers)
        self.noise = sum(layer.noise for layer in layers)
        weighing = [layer.operations > 0 for layer in layers]
        numbers = [sum(weighing[: place + 1]) - 1 for place in range(len(layers))]
        #: of each layer, the names of its parameters here and as it calls them
        self._names = [
            [(f"{number}.{name}", name) for name in layer.draws()]
            for number, layer in zip(numbers, layers, strict=True)
        ]

    def draws(self) -> dict[str, Draw]:
        return {
            name: layer.draws()[own]
            for names, layer in zip(self._names, self.layers, strict=True)
            for name, own in names
        }

    @property
    def first_operations(self) -> int:
        return next((layer.first_operations for layer in self.layers if layer.operations), 0)

    def __call__(self, x: Tensor, weights: Weights, on: Pass) -> Tensor:
        for names, layer in zip(self._names, self.layers, strict=True):
            x = layer(x, {own: weights[name] for name, own in names}, on)
        return x


class Residual(Layer):
    """main(x) + skip(x) (He et al. 2016)."""

    def __init__(self, main: Chain, skip: Chain) -> None:
        self.parts = {"main": main, "skip": skip}
        self.operations = main.operations + skip.operations
        self.numbers = main.numbers + skip.numbers
        self.noise = main.noise + skip.noise

    def draws(self) -> dict[str, Draw]:
        return {f"{part}.{name}": d for part, chain in self.parts.items() for name, d in chain.draws().items()}

    @property
    def first_operations(self) -> int:
        return sum(chain.first_operations for chain in self.parts.values())

    def __call__(self, x: Tensor, weights: Weights, on: Pass) -> Tensor:
        main, skip = (
            chain(x, {name.removeprefix(f"{part}."): t for name, t in weights.items() if name.startswith(part)}, on)
            for part, chain in self.parts.items()
        )
        return main + skip


def _way(stride: int, padding: int, **others: Any) -> Way:
    from vae_core.numerics.convolutions import Way  # executes torch, which importing this file does not

    return Way(stride, padding, **others)


def cropped(maps: Tensor, sides: Sides) -> Tensor:
    """[B, C, H, W] to the first rows and columns."""
    return maps if tuple(maps.shape[-2:]) == sides else maps[..., : sides[0], : sides[1]]


# -- parts that encoders and decoders share ----------------------------------------------------------------------------


def dense_layers(widths: Sequence[int], activation: str, dropout: float) -> list[Layer]:
    """Dense layers through these widths, each followed by the activation."""
    layers: list[Layer] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [Dense(fan_in, fan_out), Activation(activation), *dropped(dropout, fan_out)]
    return layers


def dropped(share: float, channels: int) -> list[Layer]:
    return [Dropout(share, channels)] if share else []


def normalised(kind: str, channels: int) -> list[Layer]:
    return [] if kind == "none" else [Norm(kind, channels)]


def halvings(sides: Sides, stages: int) -> list[Sides]:
    """The sides before each stage and after the last."""
    found = [sides]
    for _ in range(stages):
        found.append((-(-found[-1][0] // 2), -(-found[-1][1] // 2)))
    return found
