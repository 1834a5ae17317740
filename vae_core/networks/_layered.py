"""Stacks of convolutional networks: M models, one after the other inside of one step.

Measured (one core with AVX-512, torch 2.14, batch of 128, two strided 3×3 layers of 32 and 64 forward and backward,
each way in turn with the others in one process; speed as a multiple of the loop over models on maps whose channel is
fastest, which is what is done here):

============ === ================ ======= ======================= ================
images       M   loop, rows       grouped grouped, channel        im2col and
                 fastest                  fastest                 batched products
============ === ================ ======= ======================= ================
8×8          1   0.88             1.06    1.06                    0.88
8×8          4   0.94             1.06    1.17                    0.71
8×8          16  1.01             0.93    0.93                    0.40
28×28        1   0.92             0.95    0.89                    0.40
28×28        4   0.97             0.62    0.65                    0.21
28×28        16  0.99             0.30    0.41                    (not tried)
32×32×3      1   0.79             1.00    0.85                    0.22
32×32×3      4   0.93             0.54    0.55                    (not tried)
32×32×3      16  0.74             0.23    0.36                    (not tried)
============ === ================ ======= ======================= ================

So the loop is what is taken in every case; at 8×8 grouped convolutions are up to 17 % faster than it for 4 models and 7
% slower for 16, of convolutions that are a small part of a step there. A whole training step of `conv` with its
defaults (relu, latent 20, a Gaussian, Adam included, the machine busy with others) beside a plain PyTorch loop of the
same networks, in turn: 28×28, bundles of 1, 4 and 16: 1.22, 1.09 and 1.02 times its images/s, 70, 75 and 66 % of the
machine's rate of matrix products; 8×8: 0.98, 1.24, 1.48 times, 30, 39, 47 %; 32×32×3: 1.02, 1.05, 1.01 times, 76, 75,
70 %.

A convolution is large enough to fill a core by itself, which the product of a small perceptron is not. On one thread
what a model gives is, to the bit, what it gives alone; its gradients are so where its slices of the stacked weights lie
as those of a model alone do, and else to rounding, which Adam makes more of (`Trainer`). On a GPU nothing was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import torch

from vae_core.networks._base import Architecture, Cost, Stack
from vae_core.networks._layers import LEAST_OF_GROUP, Chain, Pass
from vae_core.networks._places import sides_and_channels
from vae_core.networks.mlp import ACTIVATIONS
from vae_core.numerics.random import generator_for

if TYPE_CHECKING:
    from torch import Tensor

    from vae_core.networks._places import Places
    from vae_core.numerics.precision import Product

#: numbers that layers give for the rows that go through them at once where no gradient is wanted: 16 MB as floats
AT_ONCE = 1 << 22


class LayeredStack(Stack):
    """M models of one chain of layers: x [M, B, in] -> [M, B, out]. `places`: of each model, where its outputs belong,
    for maps that are laid flat so."""

    def __init__(self, chain: Chain, tensors: dict[str, Tensor], places: Sequence[Places] | None = None) -> None:
        self.chain, self.tensors, self.places = chain, tensors, places
        self.noise = chain.noise

    @classmethod
    def create(
        cls, name: str, chain: Chain, seeds: Sequence[int], places: Sequence[Places] | None = None
    ) -> LayeredStack:
        """Glorot & Bengio's (2010, eq. 16) uniform weights, the fans those of a unit; zero biases. A tensor depends on
        its seed, its place and its shape alone: models with one seed share it."""
        tensors = {}
        for key, draw in chain.draws().items():
            if not draw.bound:
                tensors[key] = torch.full((len(seeds), *draw.shape), draw.value)
                continue
            drawn = {
                seed: torch.rand(draw.shape, generator=generator_for("cpu", "weights", name, key, seed))
                for seed in set(seeds)
            }
            tensors[key] = torch.stack([(2 * drawn[seed] - 1) * draw.bound for seed in seeds])
        return cls(chain, tensors, places)

    def __call__(self, x: Tensor, product: Product | None = None) -> Tensor:
        rows = x.shape[1]
        most = max(1, AT_ONCE // max(self.chain.numbers, 1))
        if torch.is_grad_enabled() or rows <= most:
            return self.train(x, product)
        return torch.cat([self.train(some, product) for some in x.split(most, 1)], 1)

    def train(self, x: Tensor, product: Product | None = None, noise: Tensor | None = None) -> Tensor:
        from vae_core.numerics.convolutions import convolution_with  # executes torch, which importing this does not

        product = product or torch.baddbmm
        convolve = convolution_with(product)
        unbound = {name: tensor.unbind() for name, tensor in self.tensors.items()}  # whose gradient is one stack
        models = []
        for model, of_model in enumerate(x.unbind()):
            on = Pass(product, convolve, None if noise is None else noise[model])
            out = self.chain(of_model, {name: tensors[model] for name, tensors in unbound.items()}, on)
            models.append(self.places[model].laid_flat(out) if self.places else out)
        return torch.stack(models) if len(models) > 1 else models[0].unsqueeze(0)

    def parameters(self) -> list[Tensor]:
        return list(self.tensors.values())

    def names(self) -> list[str]:
        return list(self.tensors)

    def to(self, device: torch.device | str) -> Self:
        places = self.places and [place.to(device) for place in self.places]
        return type(self)(self.chain, {name: t.to(device) for name, t in self.tensors.items()}, places)

    def select(self, index: int) -> Self:
        part = slice(index, index + 1)
        tensors = {name: tensor[part].detach().clone() for name, tensor in self.tensors.items()}
        return type(self)(self.chain, tensors, self.places and self.places[part])

    def cost(self) -> Cost:
        return Cost(
            operations=self.chain.operations,
            first_operations=self.chain.first_operations,
            numbers=self.chain.numbers,
            parameters=sum(math.prod(draw.shape) for draw in self.chain.draws().values()),
        )


def require_maps(architecture: Architecture, *, normalised: bool) -> None:
    """Raises ValueError for what no network of convolutions can be built from."""
    widths, hidden, latent = architecture.widths, architecture.hidden, architecture.latent
    if not widths or any(width < 1 for width in (*widths, *hidden, latent)):
        raise ValueError(
            f"widths must be 1 or more, of one stage at least, given widths={list(widths)} hidden={list(hidden)} "
            f"latent={latent}"
        )
    if architecture.activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {architecture.activation!r} (allowed: {', '.join(ACTIVATIONS)})")
    if architecture.depth < 1 or architecture.kernel < 2:
        raise ValueError(
            f"depth must be 1 or more and kernel 2 or more, given depth={architecture.depth} "
            f"kernel={architecture.kernel}"
        )
    if normalised and min(widths) < LEAST_OF_GROUP:
        raise ValueError(
            f"widths={list(widths)} are too few to be normalised: give each stage {LEAST_OF_GROUP} or more, or "
            "normalisation = 'none'"
        )


def require_sides(architecture: Architecture, shape: Sequence[int]) -> None:
    """Raises ValueError for images that the stages make a single row or column of before the last of them."""
    height, width, _ = sides_and_channels(shape)
    stages = len(architecture.widths)
    able = (min(height, width) - 1).bit_length()
    if able < stages:
        remedy = f"list {able} widths at most" if able else "take network = 'mlp'"
        raise ValueError(
            f"images of {height} x {width} are too small for network = {architecture.network!r} with {stages} stages "
            f"(widths = {list(architecture.widths)}), each of which halves them: {remedy}"
        )


def maps_of(places: Sequence[Places]) -> int:
    """How many maps the decoders end with. Raises ValueError where they differ."""
    counts = {place.each + place.whole for place in places}
    if len(counts) != 1:
        raise ValueError(
            f"the members' outputs of a pixel differ in number ({sorted(counts)}): give each its own bundle"
        )
    return counts.pop()
