"""The data on which a board ranks, and what networks are called, as its run recorded them (docs/RULES.md, rule 15). The
rest of a scope (families, settings of networks, budget, seeds) is in the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.statistics.contests import Contest, specs
from bench.store import RunTables


@dataclass(frozen=True)
class Scope:
    """What its run recorded of the data and the networks, () and 0 where it did not."""

    shape: tuple[int, ...] = ()  # of an image
    levels: int = 0  # of the data, before any view of them
    train: int = 0  # images
    networks: Mapping[str, Any] = field(default_factory=dict)  # of each network of the run, by name, how to speak of it


def scope(contest: Contest, tables: RunTables) -> Scope:
    """The scope of a contest."""
    facts = _facts(contest, tables)
    return Scope(
        shape=tuple(int(size) for size in facts.get("shape") or ()),
        levels=int(facts.get("levels") or 0),
        train=int(facts.get("train") or 0),
        networks=dict(tables.meta.get("networks") or {}),
    )


def _facts(contest: Contest, tables: RunTables) -> dict[str, Any]:
    """What the run recorded of the contest's data set."""
    known = tables.meta.get("data") or {}
    mine = (spec for spec in specs(tables.cells) if (spec.dataset, spec.made) == (contest.dataset, contest.made))
    return next((dict(known[spec.key]) for spec in mine if spec.key in known), {})
