"""The catalogue: each public module of this folder is one likelihood family, and its file name is its name.

>>> from vae_core import likelihoods
>>> lik = likelihoods.make("gaussian", sigma=0.1)
>>> lik.outputs(784)
784
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from typing import Any

from vae_core.likelihoods._base import Card, Density, Likelihood, Mass, Recipe, stack

__all__ = ["Card", "Density", "Likelihood", "Mass", "Recipe", "get", "make", "names", "stack"]


def _discover() -> dict[str, type[Likelihood]]:
    """Imports every public module of this folder; each must define exactly one concrete likelihood."""
    found: dict[str, type[Likelihood]] = {}
    for info in pkgutil.iter_modules(__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{__name__}.{info.name}")
        concrete = [
            item
            for item in vars(module).values()
            if inspect.isclass(item)
            and issubclass(item, Likelihood)
            and item.__module__ == module.__name__
            and not inspect.isabstract(item)
        ]
        if len(concrete) != 1:
            raise ImportError(f"{module.__name__} defines {len(concrete)} concrete likelihoods: one file, one family")
        found[info.name] = concrete[0]
    return found


_FAMILIES = _discover()


def names() -> list[str]:
    """Every family's name, in alphabetical order."""
    return sorted(_FAMILIES)


def get(name: str) -> type[Likelihood]:
    """The class of a family. Raises ValueError for an unknown name."""
    if name not in _FAMILIES:
        near = difflib.get_close_matches(str(name), _FAMILIES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown family {name!r} ({hint}vae-bench list likelihoods)")
    return _FAMILIES[name]


def make(name: str, **options: Any) -> Likelihood:
    """A likelihood by its family's name.

    Args:
        name: one of `names()`.
        options: the family's own, e.g. sigma=0.1 or sigma="pixel" for location-scale families, levels=17 for
            categorical.

    Raises:
        ValueError: unknown family, unknown or missing option, or a value out of range: one sentence with the remedy.
    """
    family = get(name)
    allowed = family.option_names()
    for option in options:
        if option not in allowed:
            offer = f"allowed: {', '.join(allowed)}" if allowed else "it takes none"
            raise ValueError(f"{name} takes no option {option!r} ({offer})")
    if family.takes_levels and "levels" not in options:
        raise ValueError(f"{name} needs levels=K, the number of levels of the data (digits: 17, 8-bit images: 256)")
    return family(**options)
