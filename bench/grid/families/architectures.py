"""What a run keeps of each network, as plain text: what reads the run later speaks of it rightly without its file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from bench.grid.errors import masked
from bench.grid.families import networks

ALWAYS = frozenset({"network", "latent"})  #: keys that every network looks at: which it is, and how large its latent is


@dataclass(frozen=True)
class Spoken:
    """How a network is spoken of.

    said: as people write it: "MLP", "network of own.py".
    reads: the keys of a grid for networks that it looks at, `ALWAYS` among them; None where that is not known.
    dense: whether it is dense layers alone, so that their widths are its shape.
    """

    said: str
    reads: frozenset[str] | None = None
    dense: bool = False

    def looks_at(self, told: Iterable[str]) -> frozenset[str]:
        """`reads`; where that is not known, the keys that are told of it, being other than where nobody asks for them:
        a grid leaves all else of a network's cells as it is."""
        return ALWAYS | frozenset(told) if self.reads is None else self.reads


def looks_at(name: str) -> frozenset[str]:
    """The keys of a grid for networks that a network looks at as it is here and now; a user's own is read, and not
    executed. Raises ValueError for one that is not there."""
    return ALWAYS | frozenset(networks().get(name).reads)


def facts(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What a run file says of each of these networks, by its name. Raises ValueError for one that is not there."""
    found = {}
    for name in sorted(set(names)):
        network = networks().get(name)
        # what a class says of itself is not said of those that are made of it
        said = vars(network).get("spoken") or _said(name)
        found[name] = {"spoken": said, "reads": list(network.reads), "dense": bool(vars(network).get("dense"))}
    return found


def spoken(name: str, recorded: Mapping[str, Any]) -> Spoken:
    """Of a network of a run by what that recorded of its networks. Run files of before have none of it, or of a user's
    own its file alone: of such no more is known than what a name of this house says."""
    one = recorded.get(name) or {}
    if "reads" not in one and not networks().is_own(name) and name in networks().names():
        one = facts([name])[name]
    reads = ALWAYS | frozenset(one["reads"]) if "reads" in one else None
    return Spoken(masked(one.get("spoken") or _said(name)), reads, bool(one.get("dense")))


def _said(name: str) -> str:
    """By the name alone."""
    return f"network of {PurePath(name).name}" if networks().is_own(name) else f"{name.replace('_', ' ')} network"
