"""A network without hidden layers: what a new file of vae_core/networks must give, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from vae_core.networks._base import Architecture, Cost, Network, Stack
from vae_core.numerics.random import generator_for

if TYPE_CHECKING:
    from torch import Tensor

    from vae_core.numerics.precision import Product


class Linear(Network):
    """D -> 2 Z, and Z -> R."""

    @staticmethod
    def require(architecture: Architecture) -> None:
        if architecture.hidden:
            raise ValueError(f"linear has no hidden layers, given hidden={list(architecture.hidden)}: leave it empty")

    @staticmethod
    def create(
        architecture: Architecture, shape: Sequence[int], outputs: int, seeds: Sequence[int]
    ) -> tuple[StackedLinear, StackedLinear]:
        dims, latent = math.prod(shape), architecture.latent
        return StackedLinear.create("encoder", dims, 2 * latent, seeds), StackedLinear.create(
            "decoder", latent, outputs, seeds
        )


class StackedLinear(Stack):
    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight = weight  #: [M, in, out]
        self.bias = bias  #: [M, 1, out]

    @classmethod
    def create(cls, name: str, fan_in: int, fan_out: int, seeds: Sequence[int]) -> StackedLinear:
        drawn = [
            torch.randn(fan_in, fan_out, generator=generator_for("cpu", "linear", name, seed)) / math.sqrt(fan_in)
            for seed in seeds
        ]
        return cls(torch.stack(drawn), torch.zeros(len(seeds), 1, fan_out))

    def __call__(self, x: Tensor, product: Product | None = None) -> Tensor:
        return (product or torch.baddbmm)(self.bias, x, self.weight)

    def parameters(self) -> list[Tensor]:
        return [self.weight, self.bias]

    def to(self, device: torch.device | str) -> StackedLinear:
        return StackedLinear(self.weight.to(device), self.bias.to(device))

    def select(self, index: int) -> StackedLinear:
        part = slice(index, index + 1)
        return StackedLinear(self.weight[part].detach().clone(), self.bias[part].detach().clone())

    def cost(self) -> Cost:
        _, fan_in, fan_out = self.weight.shape
        return Cost(2 * fan_in * fan_out, 2 * fan_in * fan_out, numbers=fan_out, parameters=(fan_in + 1) * fan_out)
