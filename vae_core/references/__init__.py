"""What scores are held against: each public module of this folder is one reference, and its file name is its name.

A reference knows no network and no latent. It is fitted to training images, what it may choose is chosen on validation
images, and it scores the test images exactly: there is no Monte-Carlo error (docs/RULES.md, rule 13).

>>> from vae_core import references
>>> references.make("histogram").name
'histogram'
>>> references.make("no_latent:gaussian", [{"sigma": "pixel"}]).name
'no_latent:gaussian'
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any

from vae_core.references._base import Card, Codec, Distribution, Images, LeftOut, OfFamily, Outcome, Reference, Sizes
from vae_core.references._tables import Tables

__all__ = [
    "Card",
    "Codec",
    "Distribution",
    "Images",
    "LeftOut",
    "OfFamily",
    "Outcome",
    "Reference",
    "Sizes",
    "Tables",
    "get",
    "make",
    "names",
]


def _discover() -> dict[str, type[Reference]]:
    """Imports every public module of this folder; each must define exactly one concrete reference."""
    found: dict[str, type[Reference]] = {}
    for info in pkgutil.iter_modules(__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{__name__}.{info.name}")
        own = [
            item
            for item in vars(module).values()
            if inspect.isclass(item) and issubclass(item, Reference) and not inspect.isabstract(item)
            if item.__module__ == module.__name__
        ]
        if len(own) != 1:
            raise ImportError(f"{module.__name__} defines {len(own)} references: a file holds one")
        found[info.name] = own[0]
    return found


_REFERENCES = _discover()


def names() -> list[str]:
    """Every reference's name, in alphabetical order; of one that there is for each family the name before the colon."""
    return sorted(_REFERENCES)


def get(name: str) -> type[Reference]:
    """The class of a reference, by its name or that of one of a family. Raises ValueError for an unknown name."""
    kind = name.partition(":")[0]
    if kind not in _REFERENCES:
        raise ValueError(f"unknown reference {name!r} (there are: {', '.join(names())})")
    return _REFERENCES[kind]


def make(name: str, settings: Sequence[Mapping[str, Any]] = ()) -> Reference:
    """A reference by its name, of a family as `no_latent:gaussian` with the options that it is tried at.

    Raises ValueError for an unknown name, and for a family where none is taken or none is given.
    """
    found, family = get(name), name.partition(":")[2]
    if issubclass(found, OfFamily):
        if not family:
            raise ValueError(f"{name} is a reference of a family: say of which, such as {name}:gaussian")
        return found(family, settings)
    if family:
        raise ValueError(f"{found.name} is no reference of a family: leave out {family!r}")
    return found()
