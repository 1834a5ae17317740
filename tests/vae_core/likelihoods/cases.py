"""Every family at every setting of its options: what test_likelihoods.py runs over, from the laws' own settings.

A new family appears here by being in the registry; its settings follow from what it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vae_core import laws, likelihoods
from vae_core.likelihoods import Likelihood


@dataclass(frozen=True)
class Case:
    """One family at one setting, made anew for each test; a name that pytest can show."""

    family: str
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return "-".join([self.family, *(f"{key}={value}" for key, value in self.options)])

    @property
    def setting(self) -> laws.Setting:
        return laws.Setting(likelihoods.get(self.family), dict(self.options))

    def make(self, levels: int = 17) -> Likelihood:
        """The likelihood, with learned scalars at 0.2 so that it can be used at once."""
        return self.setting(levels)


def cases(coupled: bool = False) -> list[Case]:
    """Every family at each of its examples, with every scale that it takes: those whose dimensions are independent
    given z, or those that couple the channels of a pixel, which are told a shape before they are used."""
    return [
        Case(name, tuple(setting.options.items()))
        for name in likelihoods.names()
        for setting in laws.settings(likelihoods.get(name))
        if bool(setting(2).couples_channels) is coupled
    ]


def few() -> list[Case]:
    """Of each family those that take another way through its code, for what takes a second a case: every example, and
    of the kinds of scale the first number and "pixel", the Gaussian's all."""
    found: dict[tuple[Any, ...], Case] = {}
    for case in cases():
        options = dict(case.options)
        sigma = options.pop("sigma", None)
        kind = (case.family, *options, options.get("score"), sigma if isinstance(sigma, str) else None)
        if sigma not in ("shared", "image", "optimal") or case.family == "gaussian":
            found.setdefault(kind, case)
    return list(found.values())


def few_and_coupled() -> list[Case]:
    """Those, and all that couple channels."""
    return [*few(), *cases(coupled=True)]


def raw_for(lik: Likelihood, dims: int, kind: str, rows: int = 6, seed: int = 0, dtype: Any = torch.float32) -> Tensor:
    """Raw outputs [rows, R]: "random" as a network gives them, or "extreme" (±50 and 0 mixed)."""
    return laws.raw_outputs(lik, dims, rows, kind, dtype, seed)


suitable_levels = laws.levels_of
