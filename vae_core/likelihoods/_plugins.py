"""Families from outside: where one came from, what it must say of itself, and those that installed packages offer.

A module holds one family, as each of this folder does, and its name is the family's name. An installed package offers
its modules as entry points (a user's own file is taken in by vae_core.plugins):

    [project.entry-points."vae_likelihood_bench.likelihoods"]
    triangular = "my_package.triangular"
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import inspect
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType

from vae_core import VIEW_NAMES
from vae_core.likelihoods._base import Card, Likelihood

GROUP = "vae_likelihood_bench.likelihoods"
MEASURES = ("density", "pmf", "unnormalised")


@dataclass(frozen=True)
class Plugin:
    """Where a family from outside came from, and which code it was."""

    name: str  #: the family's
    file: Path  #: absolute
    sha256: str  #: of the file's bytes
    installed: bool = False  #: an entry point of an installed package, found again without being told of it


def the_likelihood_of(module: ModuleType) -> type[Likelihood]:
    """The one concrete likelihood that a module defines. Raises ValueError if there is none, or more than one, or one
    that overrides what is final."""
    defined = [
        item
        for item in vars(module).values()
        if inspect.isclass(item) and issubclass(item, Likelihood) and item.__module__ == module.__name__
    ]
    for item in defined:
        if "log_mass" in vars(item):
            raise ValueError(
                f"defines {item.__name__}.log_mass, which is final: define log_masses(k, raw, levels) in its place, "
                "the same without the sum over dimensions, [..., D]"
            )
    concrete = list(dict.fromkeys(item for item in defined if not inspect.isabstract(item)))
    if len(concrete) == 1:
        return concrete[0]
    if concrete:
        listed = ", ".join(item.__name__ for item in concrete)
        raise ValueError(f"defines {len(concrete)} concrete likelihoods ({listed}): one file, one family")
    lacking = [f"{item.__name__} lacks {', '.join(sorted(item.__abstractmethods__))}" for item in defined]
    hint = "; ".join(lacking) or "make it a class on likelihoods.Density, Mass or Recipe"
    raise ValueError(f"defines no concrete likelihood ({hint}): one file, one family")


def undeclared(family: type[Likelihood]) -> str:
    """All that a family does not say of itself though it must, "" where it says all."""
    missing: list[str] = []
    card = getattr(family, "card", None)
    if not isinstance(card, Card):
        missing.append("has no card: give it card = likelihoods.Card(...)")
    else:
        empty = [field.name for field in fields(Card) if not str(getattr(card, field.name)).strip()]
        missing += [f"has a card without {', '.join(empty)}"] if empty else []
    for name, allowed in (("view", VIEW_NAMES), ("measure", MEASURES)):
        given = getattr(family, name, None)
        if given not in allowed:
            missing.append(f"has {name} = {given!r}, allowed: {', '.join(allowed)}")
    return "; it ".join(missing)


def installed() -> Iterator[tuple[Plugin, type[Likelihood]]]:
    """The families that installed packages offer. Raises ValueError for one that is broken."""
    for point in importlib.metadata.entry_points(group=GROUP):
        try:
            with importing():
                module = importlib.import_module(point.module)
            family = declared(module)
        except ValueError as error:
            package = f" of {point.dist.name}" if point.dist else ""
            raise ValueError(
                f"the installed plug-in {point.module}{package} {error} (mend it, or uninstall it)"
            ) from error.__cause__
        file = Path(module.__file__ or "")
        yield Plugin(family.name, file, hashlib.sha256(file.read_bytes()).hexdigest(), installed=True), family


def declared(module: ModuleType) -> type[Likelihood]:
    """The one likelihood of a module, which says of itself what it must. Raises ValueError."""
    family = the_likelihood_of(module)
    if missing := undeclared(family):
        raise ValueError(missing)
    return family


@contextmanager
def importing(file: str = "") -> Iterator[None]:
    """Whatever somebody else's code raises while it is imported, as a ValueError of one line."""
    try:
        yield
    except (Exception, SystemExit) as error:
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        where = f" (line {own[-1].lineno}: {own[-1].line})" if own else ""
        text = " ".join(str(error).split())
        raise ValueError(f"cannot be imported: {type(error).__name__}: {text}{where}") from error
