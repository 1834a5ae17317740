"""A Gaussian about a sigmoid that keeps another likelihood as an attribute: its learned σ is in no Part of this one, so
nobody stacks, moves or saves it."""

from __future__ import annotations

import torch
from torch import Tensor

from vae_core.likelihoods import Card, Density
from vae_core.likelihoods.gaussian import Gaussian


class Held(Density):
    view = "real"
    open_ends = True
    card = Card(*["a Gaussian that is held"] * 7)

    def __init__(self) -> None:
        self.inner = Gaussian("shared")

    def outputs(self, dims: int) -> int:
        return dims

    def initialise(self, spread: float) -> None:
        self.inner.initialise(spread)

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        return self.inner.log_prob(x, torch.sigmoid(raw))

    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        return self.inner.log_masses(k, torch.sigmoid(raw), levels)

    def mean(self, raw: Tensor) -> Tensor:
        return torch.sigmoid(raw)

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.inner.sample(torch.sigmoid(raw), generator)
