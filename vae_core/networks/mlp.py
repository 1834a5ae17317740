"""Multilayer perceptrons: weights [M, in, out], one product a layer, no activation after the last."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

import torch

from vae_core.networks._base import Architecture, Cost, Network, Stack
from vae_core.numerics.accelerators import at_hand
from vae_core.numerics.elementwise import softplus, tanh
from vae_core.numerics.random import generator_for

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
    from vae_core.numerics.fused_functions import tanh_layer  # executes torch, which importing this file does not

    return tanh_layer(bias, x, weight)


#: activations that a CPU computes in one piece with the float32 product before them
CPU_LAYERS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"tanh": _tanh_layer}


class MLP(Network):
    """D -> hidden -> 2 Z, and Z -> hidden mirrored -> R; pixels in no order."""

    reads: ClassVar[tuple[str, ...]] = ("hidden", "activation", "latent", "dropout")
    spoken: ClassVar[str] = "MLP"
    dense: ClassVar[bool] = True

    @staticmethod
    def require(architecture: Architecture) -> None:
        """Raises ValueError for a width below 1 or an unknown activation."""
        hidden, latent = architecture.hidden, architecture.latent
        if any(width < 1 for width in (*hidden, latent)):
            raise ValueError(f"widths must be 1 or more, given hidden={list(hidden)} latent={latent}")
        if architecture.activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {architecture.activation!r} (allowed: {', '.join(ACTIVATIONS)})")

    @staticmethod
    def create(
        architecture: Architecture, shape: Sequence[int], outputs: int, seeds: Sequence[int]
    ) -> tuple[StackedMLP, StackedMLP]:
        hidden, latent, activation = architecture.hidden, architecture.latent, architecture.activation
        encoder = StackedMLP.create("encoder", (math.prod(shape), *hidden, 2 * latent), activation, seeds)
        decoder = StackedMLP.create("decoder", (latent, *reversed(hidden), outputs), activation, seeds)
        return encoder.dropping(architecture.dropout), decoder.dropping(architecture.dropout)


class StackedMLP(Stack):
    """M perceptrons of one shape: x [M, B, widths[0]] -> [M, B, widths[-1]]."""

    def __init__(self, weights: list[Tensor], biases: list[Tensor], activation: str) -> None:
        self.weights = weights  #: each [M, in, out]
        self.biases = biases  #: each [M, 1, out]
        self.activation = activation
        self.dropout = 0.0  #: the share of hidden units that is left out in training

    def dropping(self, share: float) -> StackedMLP:
        """Itself, with this share of hidden units left out in training (Srivastava et al. 2014)."""
        self.dropout = share
        self.noise = sum(weight.shape[-1] for weight in self.weights[:-1]) if share else 0
        return self

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

    def __call__(self, x: Tensor, product: Product | None = None) -> Tensor:
        product = product or torch.baddbmm
        layers = list(zip(self.weights, self.biases, strict=True))
        for weight, bias in layers[:-1]:
            x = self._hidden(bias, x, weight, product)
        weight, bias = layers[-1]
        return product(bias, x, weight)

    def train(self, x: Tensor, product: Product | None = None, noise: Tensor | None = None) -> Tensor:
        if not self.noise or noise is None:
            return self(x, product)
        product = product or torch.baddbmm
        *hidden, (weight, bias) = zip(self.weights, self.biases, strict=True)
        for of_layer, uniform in zip(hidden, noise.split([w.shape[-1] for w, _ in hidden], -1), strict=True):
            stays = (uniform >= self.dropout).to(x.dtype) / (1 - self.dropout)
            x = self._hidden(of_layer[1], x, of_layer[0], product) * stays
        return product(bias, x, weight)

    def _hidden(self, bias: Tensor, x: Tensor, weight: Tensor, product: Product) -> Tensor:
        if self.activation in CPU_LAYERS and product is torch.baddbmm and at_hand(x.device):
            return CPU_LAYERS[self.activation](bias, x, weight)
        return ACTIVATIONS[self.activation](product(bias, x, weight))

    def parameters(self) -> list[Tensor]:
        return [*self.weights, *self.biases]

    def names(self) -> list[str]:
        return [f"{layer}.{kind}" for kind in ("weight", "bias") for layer in range(len(self.weights))]

    def to(self, device: torch.device | str) -> StackedMLP:
        moved = StackedMLP([w.to(device) for w in self.weights], [b.to(device) for b in self.biases], self.activation)
        return moved.dropping(self.dropout)

    def select(self, index: int) -> StackedMLP:
        part = slice(index, index + 1)
        return StackedMLP(
            [w[part].detach().clone() for w in self.weights],
            [b[part].detach().clone() for b in self.biases],
            self.activation,
        ).dropping(self.dropout)

    def cost(self) -> Cost:
        layers = [(weight.shape[-2], weight.shape[-1]) for weight in self.weights]
        operations = [2 * fan_in * fan_out for fan_in, fan_out in layers]
        return Cost(
            operations=sum(operations),
            first_operations=operations[0],
            numbers=sum(fan_out for _, fan_out in layers),
            parameters=sum(fan_in * fan_out + fan_out for fan_in, fan_out in layers),
        )
