"""The catalogue of likelihoods as the harness reads it: without loading torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from types import ModuleType
from typing import Any

from bench import lazy_torch
from bench.cell import Cell, Scalar

NOMINAL_LEVELS = 251  # stands for the data's number of levels while no data is at hand


def registry() -> ModuleType:
    """vae_core.likelihoods, without loading torch."""
    lazy_torch.install()
    from vae_core import likelihoods

    return likelihoods


def make(family: str, options: Mapping[str, Scalar], levels: int = NOMINAL_LEVELS) -> Any:
    """The likelihood of a cell while no data is at hand; `levels` reaches the families that need it."""
    known = registry()
    needed = {"levels": levels} if known.get(family).takes_levels else {}
    return known.make(family, **options, **needed)


def option_names(families: Iterable[str] | None = None) -> list[str]:
    """Names of the options that any of the families takes (of all, if none are given): σ, but not the data's levels."""
    known = registry()
    taken = (name for family in families or known.names() for name in known.get(family).option_names())
    return [name for name in dict.fromkeys(taken) if name != "levels"]


def cards(cells: Iterable[Cell]) -> dict[str, dict[str, str]]:
    """The card of every family among the cells, as plain text: the report shows them without knowing the registry."""
    known = registry()
    return {family: asdict(known.get(family).card) for family in sorted({cell.family for cell in cells})}
