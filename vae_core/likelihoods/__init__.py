"""The catalogue: each public module of this folder is one likelihood family, and its file name is its name.

A family of one's own is a file like theirs, anywhere: vae_core.plugins takes it in.

>>> from vae_core import likelihoods
>>> lik = likelihoods.make("gaussian", sigma=0.1)
>>> lik.outputs(784)
784
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from vae_core.likelihoods import _module, _plugins
from vae_core.likelihoods._base import Card, Density, Likelihood, Mass, Recipe, Seen, stack
from vae_core.likelihoods._channels import told
from vae_core.likelihoods._plugins import Plugin

__all__ = [
    "ALIASES",
    "Alias",
    "Card",
    "Density",
    "Likelihood",
    "Mass",
    "Plugin",
    "Recipe",
    "Seen",
    "add",
    "describe",
    "get",
    "make",
    "names",
    "plugins",
    "stack",
    "told",
]


def _discover() -> dict[str, type[Likelihood]]:
    """Imports every public module of this folder; each must define exactly one concrete likelihood."""
    families: dict[str, type[Likelihood]] = {}
    for info in pkgutil.iter_modules(__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{__name__}.{info.name}")
        try:
            families[info.name] = _plugins.the_likelihood_of(module)
        except ValueError as error:
            raise ImportError(f"{module.__name__} {error}") from None
    return families


#: what every family takes besides its own options
TOLD = ("shape", "validate_args")
_FAMILIES = _discover()
_PLUGINS: dict[str, Plugin] = {}


@dataclass(frozen=True)
class Alias:
    """A second name for a family trained in one particular way; what is made is the family itself."""

    family: str  #: one of `names()`
    objective: str  #: what it must be trained on to be what the alias says; a likelihood alone does not know it


#: names of the literature that are no family of their own: `get` and `make` take them, `names` does not list them
ALIASES = {"discretised_logistic": Alias("logistic", objective="binned")}


def add(plugin: Plugin, family: type[Likelihood]) -> None:
    """Takes a family from outside into the catalogue, in place of one of its name (vae_core.plugins says when)."""
    _FAMILIES[plugin.name], _PLUGINS[plugin.name] = family, plugin


def plugins() -> dict[str, Plugin]:
    """The families from outside, by name: where each came from, and which code it was."""
    _find_installed()
    return dict(_PLUGINS)


@functools.cache
def _find_installed() -> None:
    """Takes in what installed packages offer; when first needed, so that a broken one spoils no shipped family."""
    offered = list(_plugins.installed())
    for plugin, _ in offered:
        if plugin.name in (*_FAMILIES, *ALIASES):
            raise ValueError(f"the installed plug-in {plugin.file.name}: there is a family {plugin.name!r} already")
    for plugin, family in offered:
        add(plugin, family)


def names() -> list[str]:
    """Every family's name, plug-ins included, in alphabetical order; aliases are not families."""
    _find_installed()
    return sorted(_FAMILIES)


def get(name: str) -> type[Likelihood]:
    """The class of a family, by its name or an alias. Raises ValueError for an unknown name."""
    if name in ALIASES:
        name = ALIASES[name].family
    if name not in _FAMILIES:
        _find_installed()
    if name not in _FAMILIES:
        near = difflib.get_close_matches(str(name), [*_FAMILIES, *ALIASES], n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown family {name!r} ({hint}vae-bench list likelihoods)")
    return _FAMILIES[name]


def _by_name() -> dict[str, type[Likelihood]]:
    return {name: get(name) for name in names()}


_module.know(_by_name)


def make(name: str, **options: Any) -> Likelihood:
    """A likelihood by its family's name: a torch.nn.Module, whose learned scales are parameters, and whose fitted ones
    are buffers, of the model that it is an attribute of.

    >>> import torch
    >>> model = torch.nn.Module()
    >>> model.lik = make("gaussian", sigma="shared")
    >>> list(model.state_dict())
    ['lik.scale.theta']

    Args:
        name: one of `names()` or of `ALIASES`; an alias gives its family, and the objective it asks for is up to the
            training.
        options: the family's own, e.g. sigma=0.1 or sigma="pixel" for location-scale families, levels=17 for
            categorical; and two that every family takes:
            shape: (channels, rows, columns) of the data, where they and the raw outputs are given as pictures:
            x [..., C, H, W] and raw [..., P C, H, W], parameters × channels as planes, the parameter slowest; what is
            flat is taken too (vae_core/likelihoods/_layout.py).
            validate_args: whether shapes and, in eager mode, values of what is given are checked, as
            torch.distributions does (True, the default); an attribute, too.

    Raises:
        ValueError: unknown family, unknown or missing option, or a value out of range: one sentence with the remedy.
    """
    family = get(name)
    _require_options(name, family, [option for option in options if option not in TOLD])
    return family(**options)


def describe(name: str, **options: Any) -> Likelihood:
    """What `make` makes a Module of, for a process that never executes torch: it tells widths, refusals and layout.
    Raises ValueError as `make` does."""
    family = get(name)
    _require_options(name, family, options)
    return family.described(**options)


def _require_options(name: str, family: type[Likelihood], options: Collection[str]) -> None:
    defaults = family.option_defaults()
    allowed = list(defaults)
    for option in options:
        if option not in allowed:
            offer = f"allowed: {', '.join(allowed)}" if allowed else "it takes none"
            raise ValueError(f"{name} takes no option {option!r} ({offer})")
    for option in allowed:
        if defaults[option] is inspect.Parameter.empty and option not in options:
            if option == "levels":
                raise ValueError(
                    f"{name} needs levels=K, the number of levels of the data (digits: 17, 8-bit images: 256)"
                )
            raise ValueError(f"{name} needs the option {option}")
