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
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vae_core.likelihoods import _module, _plugins
from vae_core.likelihoods._base import Card, Density, Layout, Likelihood, Mass, Recipe, Seen, stack
from vae_core.likelihoods._channels import refusal, told
from vae_core.likelihoods._plugins import Offer, Plugin

__all__ = [
    "ALIASES",
    "Alias",
    "Card",
    "Density",
    "Layout",
    "Likelihood",
    "Mass",
    "Offer",
    "Plugin",
    "Recipe",
    "Seen",
    "add",
    "describe",
    "get",
    "known",
    "make",
    "names",
    "offers",
    "plugins",
    "refusal",
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
    """The families from outside that are in the catalogue, by name: where each came from, and which code it was. What
    an installed package offers is among them once it was named (`offers`)."""
    return dict(_PLUGINS)


def offers() -> dict[str, tuple[Offer, ...]]:
    """What installed packages offer, by the family's name, as the packages say of themselves: nothing is imported."""
    return dict(_find_installed())


@functools.cache
def _find_installed() -> dict[str, tuple[Offer, ...]]:
    found: dict[str, tuple[Offer, ...]] = {}
    for offer in _plugins.offers():
        found[offer.name] = (*found.get(offer.name, ()), offer)
    return found


def _take_in(name: str) -> None:
    """Imports what an installed package offers under this name. Raises ValueError for one that is broken, and where
    several offer it."""
    first, *others = _find_installed()[name]
    if others:
        raise ValueError(f"{first.of} and {others[0].of} both offer a family {name!r} (uninstall one)")
    plugin, family = _plugins.load(first)
    add(plugin, family)


def known() -> list[str]:
    """The families that are in the catalogue: what is shipped, what was registered, and what was named of installed
    packages; in alphabetical order."""
    return sorted(_FAMILIES)


def names() -> list[str]:
    """Every family's name, plug-ins included, those that installed packages offer and nobody has named yet too; in
    alphabetical order; aliases are not families."""
    return sorted({*_FAMILIES, *(name for name in _find_installed() if name not in ALIASES)})


def get(name: str) -> type[Likelihood]:
    """The class of a family, by its name or an alias; one that an installed package offers is imported. Raises
    ValueError for an unknown name, and for a plug-in that is broken."""
    if name in ALIASES:
        name = ALIASES[name].family
    if name not in _FAMILIES and name in _find_installed():
        _take_in(name)
    if name not in _FAMILIES:
        near = difflib.get_close_matches(str(name)[:100], [*_FAMILIES, *ALIASES], n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown family {name!r} ({hint}vae-bench list likelihoods)")
    return _FAMILIES[name]


class _ByName(Mapping[str, type[Likelihood]]):
    """The catalogue as pickles read it: a family is looked up when it is met."""

    def __getitem__(self, name: str) -> type[Likelihood]:
        if name not in names():
            raise KeyError(name)
        return get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(names())

    def __len__(self) -> int:
        return len(names())

    def __contains__(self, name: object) -> bool:
        return name in names()


_module.know(_ByName)


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
