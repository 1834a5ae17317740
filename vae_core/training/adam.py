"""Adam over stacked tensors, each model with its own learning rate."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from vae_core.numerics.fused_functions import WeightedSum
from vae_core.training.program import copy_staying


class Adam:
    """Adam over stacked tensors (Kingma & Ba 2015, algorithm 1; β₁ = 0.9, β₂ = 0.999, ε = 1e-8), each model with its
    own learning rate: torch's fused update, once for each run of neighbouring models with one rate, on views of the
    stacks. The kernel is called directly: for a small bundle torch.optim.Adam takes several times as long around it.
    """

    def __init__(self, placed: Sequence[tuple[Tensor, int]], rates: Sequence[float], device: torch.device) -> None:
        """placed: each tensor, its models axis first, with the place of its first model; rates: of all M models."""
        self._tensors = [tensor for tensor, _ in placed]
        self._parts = [slice(first, first + len(tensor)) for tensor, first in placed]
        self._rates, self._device = list(rates), device
        self._steps = torch.zeros((), dtype=torch.float32, device=device)
        self._first_moments = [torch.zeros_like(tensor.detach()) for tensor in self._tensors]
        self._second_moments = [torch.zeros_like(tensor.detach()) for tensor in self._tensors]
        self._runs: list[_Run] = []
        edges = [m for m in range(len(rates) + 1) if m in (0, len(rates)) or rates[m] != rates[m - 1]]
        for low, high in itertools.pairwise(edges):
            parts = [slice(max(low - first, 0), min(high - first, len(tensor))) for tensor, first in placed]
            stacks = zip(self._tensors, self._first_moments, self._second_moments, parts, strict=True)
            self._runs.append(_Run(rates[low], [one for one in stacks if one[-1].start < one[-1].stop]))

    def state(self) -> list[Tensor]:
        """All that it keeps from step to step."""
        return [self._steps, *self._first_moments, *self._second_moments]

    def of(self, placed: Sequence[tuple[Tensor, int]], places: Sequence[int]) -> Adam:
        """The optimiser of a bundle of the models at these places, ascending, whose tensors are `placed`: their rates,
        moments and steps are those of here."""
        fewer = Adam(placed, [self._rates[place] for place in places], self._device)
        fewer._steps.copy_(self._steps)
        for own, of_fewer in (
            (self._first_moments, fewer._first_moments),
            (self._second_moments, fewer._second_moments),
        ):
            copy_staying(list(zip(own, self._parts, strict=True)), of_fewer, places)
        return fewer

    def step(self, value: Tensor, weight: Tensor) -> None:
        """One update that lowers the sum of weight · value, two tensors of one shape."""
        for tensor in self._tensors:
            tensor.grad = None
        WeightedSum.apply(value, weight.to(value.dtype)).backward()  # a plug-in may score in float64
        self._steps += 1
        for run in self._runs:
            run.update(self._steps)


class _Run:
    """Neighbouring models with one learning rate: their parts of the stacks, and the moments of their gradients."""

    def __init__(self, rate: float, stacks: Sequence[tuple[Tensor, Tensor, Tensor, slice]]) -> None:
        """stacks: a tensor, its two moments, and the part of them that the run has."""
        self.rate = rate
        self.views = [(tensor, part) for tensor, _, _, part in stacks]
        self.whole = all(part == slice(0, len(tensor)) for tensor, part in self.views)
        self.parameters = [tensor.detach()[part] for tensor, _, _, part in stacks]
        self.first_moments = [first[part] for _, first, _, part in stacks]
        self.second_moments = [second[part] for _, _, second, part in stacks]

    def update(self, steps: Tensor) -> None:
        gradients = [tensor.grad for tensor, _ in self.views]
        moved = [index for index, gradient in enumerate(gradients) if gradient is not None]
        torch._fused_adam_(
            [self.parameters[index] for index in moved],
            [
                gradient if self.whole else gradient[part]
                for gradient, (_, part) in zip(gradients, self.views, strict=True)
                if gradient is not None
            ],
            [self.first_moments[index] for index in moved],
            [self.second_moments[index] for index in moved],
            [],
            [steps] * len(moved),
            lr=self.rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )
