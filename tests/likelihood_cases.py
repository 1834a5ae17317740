"""Every family at every setting of its options: what the laws of tests/test_likelihoods.py run over.

A new family appears here by being in the registry; its settings follow from what it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vae_core import likelihoods
from vae_core.likelihoods import Likelihood

SIGMAS = (0.02, 0.3, 2.0)
LEVELS = (2, 17, 256)


@dataclass(frozen=True)
class Case:
    """One family at one setting, made anew for each test."""

    family: str
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return "-".join([self.family, *(f"{key}={value}" for key, value in self.options)])

    def make(self, levels: int = 17) -> Likelihood:
        """The likelihood, with learned scalars at 0.2 so that it can be used at once."""
        options = dict(self.options)
        if likelihoods.get(self.family).takes_levels:
            options["levels"] = levels
        lik = likelihoods.make(self.family, **options)
        lik.initialise(0.2)
        if lik.needs_fit or options.get("sigma") == "optimal":
            lik.set_residual_statistic(torch.tensor(0.04))
        return lik


def cases() -> list[Case]:
    """Every family at each of its examples, with every scale that it takes."""
    found = []
    for name in likelihoods.names():
        family = likelihoods.get(name)
        for index, example in enumerate(family.examples):
            options = tuple(example.items())
            if not family.takes_sigma:
                found.append(Case(name, options))
            elif index == 0:
                found += [Case(name, (("sigma", s), *options)) for s in (*SIGMAS, *family.sigma_modes)]
            else:
                found.append(Case(name, (("sigma", 0.1), *options)))
    return found


def raw_for(lik: Likelihood, dims: int, kind: str, rows: int = 6, seed: int = 0, dtype: Any = torch.float32) -> Tensor:
    """Raw outputs [rows, R]: "random" as a network gives them, or "extreme" (±50 and 0 mixed)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, lik.outputs(dims))
    if kind == "random":
        return torch.randn(shape, generator=generator, dtype=dtype)
    picks = torch.tensor([-50.0, 50.0, 0.0, 1e-4, -20.0, 7.0], dtype=dtype)
    return picks[torch.randint(len(picks), shape, generator=generator)]


def suitable_levels(lik: Likelihood) -> tuple[int, ...]:
    """The numbers of levels that it can score."""
    return (2,) if lik.view == "binary" else LEVELS
