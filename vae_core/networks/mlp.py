"""Multilayer perceptrons for M models at once: weights [M, in, out], one `baddbmm` a layer.

Axes: models M, rows B (batch, or batch × samples), features.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vae_core.numerics.elementwise import softplus, tanh

if TYPE_CHECKING:
    from torch import Tensor

    from vae_core.numerics.precision import Product

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": tanh,
    "relu": lambda x: torch.relu_(x),
    "gelu": lambda x: torch.nn.functional.gelu(x),
    "sigmoid": lambda x: torch.sigmoid(x),
    "softplus": softplus,
    "silu": lambda x: torch.nn.functional.silu(x),
}


def _tanh_layer(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    from vae_core.numerics.fused_functions import tanh_layer

    return tanh_layer(bias, x, weight)


#: activations that a CPU computes in one piece with the float32 product before them
CPU_LAYERS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"tanh": _tanh_layer}


@dataclass(frozen=True)
class Architecture:
    """Widths of the encoder's hidden layers (the decoder mirrors them), activation, latent size Z.

    Raises ValueError for a width below 1 or an unknown activation.
    """

    hidden: tuple[int, ...]
    activation: str
    latent: int

    def __post_init__(self) -> None:
        if any(width < 1 for width in (*self.hidden, self.latent)):
            raise ValueError(f"widths must be 1 or more, given hidden={list(self.hidden)} latent={self.latent}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {self.activation!r} (allowed: {', '.join(ACTIVATIONS)})")


def seed_for(*parts: object) -> int:
    """A 63-bit seed that depends on all parts: equal streams for equal names, whatever else is in the bundle."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator_for(device: torch.device | str, *parts: object) -> torch.Generator:
    """A generator on `device`, seeded by `seed_for`."""
    generator = torch.Generator(device=device)
    generator.manual_seed(seed_for(*parts))
    return generator


class StackedMLP:
    """M perceptrons of one shape: x [M, B, widths[0]] -> [M, B, widths[-1]]; no activation after the last layer."""

    def __init__(self, weights: list[Tensor], biases: list[Tensor], activation: str) -> None:
        self.weights = weights  #: each [M, in, out]
        self.biases = biases  #: each [M, 1, out]
        self.activation = activation

    @classmethod
    def create(cls, name: str, widths: Sequence[int], activation: str, seeds: Sequence[int]) -> StackedMLP:
        """Glorot & Bengio's (2010, eq. 16) uniform weights and zero biases, model m from seeds[m].

        A layer's weights depend on its seed, its place and its shape alone: models with one seed share them.
        """
        weights, biases = [], []
        for index, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
            bound = math.sqrt(6 / (fan_in + fan_out))
            drawn = {
                seed: torch.rand(fan_in, fan_out, generator=generator_for("cpu", "weights", name, index, seed))
                for seed in set(seeds)
            }
            weights.append(torch.stack([(2 * drawn[seed] - 1) * bound for seed in seeds]))
            biases.append(torch.zeros(len(seeds), 1, fan_out))
        return cls(weights, biases, activation)

    def __call__(self, x: Tensor, product: Product = torch.baddbmm) -> Tensor:
        layers = list(zip(self.weights, self.biases, strict=True))
        for weight, bias in layers[:-1]:
            x = self._hidden(bias, x, weight, product)
        weight, bias = layers[-1]
        return product(bias, x, weight)

    def _hidden(self, bias: Tensor, x: Tensor, weight: Tensor, product: Product) -> Tensor:
        if self.activation in CPU_LAYERS and product is torch.baddbmm and x.device.type == "cpu":
            return CPU_LAYERS[self.activation](bias, x, weight)
        return ACTIVATIONS[self.activation](product(bias, x, weight))

    def parameters(self) -> list[Tensor]:
        return [*self.weights, *self.biases]

    def to(self, device: torch.device | str) -> StackedMLP:
        return StackedMLP([w.to(device) for w in self.weights], [b.to(device) for b in self.biases], self.activation)

    def select(self, index: int) -> StackedMLP:
        """One model of the stack as a stack of one; shares no memory with it."""
        part = slice(index, index + 1)
        return StackedMLP(
            [w[part].detach().clone() for w in self.weights],
            [b[part].detach().clone() for b in self.biases],
            self.activation,
        )


def create_pair(
    architecture: Architecture, dims: int, outputs: int, seeds: Sequence[int]
) -> tuple[StackedMLP, StackedMLP]:
    """Encoders D -> hidden -> (mean, ln variance) [2 Z], and decoders Z -> mirrored hidden -> raw [R]."""
    hidden, latent, activation = architecture.hidden, architecture.latent, architecture.activation
    encoder = StackedMLP.create("encoder", (dims, *hidden, 2 * latent), activation, seeds)
    decoder = StackedMLP.create("decoder", (latent, *reversed(hidden), outputs), activation, seeds)
    return encoder, decoder
