"""Families from outside: where one came from, what it must say of itself, and those that installed packages offer.

A module holds one family, as each of this folder does, and its name is the family's name. An installed package offers
its modules as entry points (a user's own file is taken in by vae_core.plugins), and is imported when its family is
named, not before:

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
LONGEST = 80  # letters of what somebody else's code says
MEASURES = ("density", "pmf", "unnormalised")


@dataclass(frozen=True)
class Plugin:
    """Where a family from outside came from, and which code it was."""

    name: str  #: the family's
    file: Path  #: absolute
    sha256: str  #: of the file's bytes
    installed: bool = False  #: an entry point of an installed package, found again without being told of it


@dataclass(frozen=True, order=True)
class Offer:
    """A family that an installed package offers, by the package's own words: nothing of it was imported."""

    name: str  #: the family's, which is the module's
    module: str
    package: str  #: '' where the installation does not say
    version: str = ""

    @property
    def of(self) -> str:
        """`my_package.tent of my-package`."""
        return f"{self.module} of {self.package}" if self.package else self.module

    def broken(self, why: str) -> str:
        """The sentence, without its end, for one that cannot be used."""
        return f"the installed plug-in {self.of} {why} (mend it, or uninstall it)"


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


def offers() -> list[Offer]:
    """The families that installed packages offer, by what is written of the packages: none of them is imported."""
    found = []
    for point in importlib.metadata.entry_points(group=GROUP):
        module = point.value.split("[")[0].strip()
        named = module.rpartition(".")[2]
        if named.isidentifier() and not named.startswith("_"):
            found.append(
                Offer(named, module, point.dist.name if point.dist else "", point.dist.version if point.dist else "")
            )
    return sorted(set(found))


def load(offer: Offer) -> tuple[Plugin, type[Likelihood]]:
    """Imports the family of an installed package. Raises ValueError, which names it, for one that is broken."""
    try:
        with importing():
            module = importlib.import_module(offer.module)
        family = declared(module)
        file = Path(module.__file__ or "")
        source = file.read_bytes()
    except (ValueError, OSError) as error:
        raise ValueError(offer.broken(str(error))) from error.__cause__
    return Plugin(family.name, file, hashlib.sha256(source).hexdigest(), installed=True), family


def declared(module: ModuleType) -> type[Likelihood]:
    """The one likelihood of a module, which says of itself what it must. Raises ValueError."""
    family = the_likelihood_of(module)
    if missing := undeclared(family):
        raise ValueError(missing)
    return family


@contextmanager
def importing(file: str = "") -> Iterator[None]:
    """Whatever somebody else's code raises while it is imported, its own kinds and its end among them, as a ValueError
    of one line. Ctrl-C is not of its making."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        where = f" (line {own[-1].lineno}: {_short(own[-1].line or '')})" if own else ""
        text = str(traceback.TracebackException(type(error), error, None))  # whatever its own __str__ does
        raise ValueError(f"cannot be imported: {type(error).__name__}: {_short(text)}{where}") from error


def _short(text: str) -> str:
    text = " ".join(text[: 4 * LONGEST].split())
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
