"""What a law is tried on: a family at one setting of its options, and raw outputs as networks give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vae_core.likelihoods import Likelihood
from vae_core.likelihoods._channels import by_channel

LEVELS = (2, 17, 256)


class LawBroken(ValueError):
    """A likelihood that is none: the message says which law it breaks, and where.

    Args:
        said: what was found.
        remedy: what to do, a clause without a full stop; "" where that is clear.
    """

    def __init__(self, said: str, remedy: str = "") -> None:
        super().__init__(said)
        self.remedy = remedy


@dataclass(frozen=True)
class Setting:
    """A family at one setting of its options.

    Calling it gives the likelihood for K levels, learned scalars set so that it can be used at once; members 0, 1, 2 of
    a stack differ in their scale.
    """

    family: type[Likelihood]
    options: Mapping[str, Any]

    def __str__(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self.options.items()) or "no options"

    def __call__(self, levels: int, member: int = 0) -> Likelihood:
        apart = 1.0 + 0.5 * member
        options = dict(self.options) | ({"levels": levels} if self.family.takes_levels else {})
        if isinstance(options.get("sigma"), float):
            options["sigma"] *= apart
        lik = self.family(**options)
        lik.initialise(0.2 * apart)
        for part in lik._parts().values():
            part.put(part.tensors())  # set, and not only where learning starts
        if lik.needs_fit or options.get("sigma") == "optimal":
            lik.set_residual_statistic(torch.tensor(0.04 * apart))
        return lik


def settings(family: type[Likelihood]) -> Iterator[Setting]:
    """The family at each of its examples, the first of them with each kind of scale that it takes."""
    for index, example in enumerate(family.examples):
        if not family.takes_sigma:
            yield Setting(family, example)
            continue
        for sigma in (0.02, 0.3, 2.0, *family.sigma_modes) if index == 0 else (0.1,):
            yield Setting(family, {"sigma": sigma, **example})


def levels_of(lik: Likelihood) -> tuple[int, ...]:
    """The numbers of levels that a likelihood can score."""
    return (2,) if lik.view == "binary" else LEVELS


def at_17_levels(make: Setting) -> tuple[Likelihood, int]:
    """The likelihood for 17 levels, or for 2 in the binary view."""
    levels = 2 if make(2).view == "binary" else 17
    return make(levels), levels


def seen(lik: Likelihood, k: Tensor, levels: int) -> Tensor:
    """Integer levels as float data in the likelihood's own view, without noise."""
    return k.float() if lik.view in ("levels", "binary") else (k + 0.5) / levels


def raw_outputs(
    lik: Likelihood, dims: int, rows: int, kind: str, dtype: torch.dtype = torch.float32, seed: int = 0
) -> Tensor:
    """Raw outputs [rows, R]: "random" as a network gives them, "wide" (rows from a tenth to eight times as large), or
    "extreme" (±50 and 0 mixed)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, lik.outputs(dims))
    if kind == "extreme":
        picks = torch.tensor([-50.0, 50.0, 0.0, 1e-4, -20.0, 7.0], dtype=dtype)
        return picks[torch.randint(len(picks), shape, generator=generator)]
    raw = torch.randn(shape, generator=generator, dtype=dtype)
    return raw if kind == "random" else raw * torch.logspace(-1, 0.9, rows, dtype=dtype).unsqueeze(1)


CHANNELS = 3  #: of a pixel, where a family that couples them is tried


def sized(lik: Likelihood, pixels: int) -> int:
    """D for so many pixels: as many, or CHANNELS times as many where the family couples channels, which is told so."""
    if not lik.couples_channels:
        return pixels
    lik.shape = (CHANNELS, 1, pixels)
    return CHANNELS * pixels


def earlier(lik: Likelihood, dims: int) -> Tensor:
    """[D, D], whether the masses of the first dimension may depend on the level of the second: its own, and where the
    family couples channels the earlier ones of its pixel."""
    if not lik.couples_channels:
        return torch.eye(dims, dtype=torch.bool)
    place = by_channel(lik, torch.arange(dims))  # [C, P] -> which dimension
    allowed = torch.zeros(dims, dims, dtype=torch.bool)
    for channel in range(len(place)):
        for before in place[: channel + 1]:
            allowed[place[channel], before] = True
    return allowed


def masses(lik: Likelihood, raw: Tensor, levels: int) -> Tensor:
    """ln P(k) of every level for one dimension: raw [rows, R(1)] -> [rows, levels]."""
    return every_level(lik, raw, levels, 1).squeeze(-1)


def every_level(lik: Likelihood, raw: Tensor, levels: int, dims: int, held: Tensor | None = None) -> Tensor:
    """ln P(k) of every level for every dimension: raw [rows, R(D)] -> [rows, levels, D].

    held: levels [rows, D] of the other channels where the family couples them; drawn by default.
    """
    if held is None:
        held = torch.randint(levels, (len(raw), dims), generator=torch.Generator().manual_seed(9)).to(raw.device)
    return lik.log_level_masses(torch.arange(levels, device=raw.device), held, raw, levels).detach()
