"""What was tried where a board ranks: the data, and which configurations never came to a score (docs/RULES.md, rule
15). The rest of a scope (families, network, budget, seeds) is in the rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from bench.statistics.contests import Contest, specs
from bench.store import RunTables


@dataclass(frozen=True)
class Lost:
    """A configuration without a score in any seed."""

    label: str
    family: str
    recipe: bool


@dataclass(frozen=True)
class Scope:
    """Of the data what its run recorded, () and 0 where it did not; and what was tried in vain."""

    shape: tuple[int, ...] = ()  # of an image
    levels: int = 0  # of the data, before any view of them
    train: int = 0  # images
    lost: tuple[Lost, ...] = ()


def scope(contest: Contest, tables: RunTables, scored: Collection[str]) -> Scope:
    """The scope of a contest; `scored` are the configurations that have a score in some seed."""
    facts = _facts(contest, tables)
    levels = int(facts.get("levels") or 0)
    return Scope(
        shape=tuple(int(size) for size in facts.get("shape") or ()),
        levels=levels,
        train=int(facts.get("train") or 0),
        lost=tuple(_lost(contest, tables.cells, scored, levels)),
    )


def _facts(contest: Contest, tables: RunTables) -> dict[str, object]:
    """What the run recorded of the contest's data set."""
    known = tables.meta.get("data") or {}
    mine = (spec for spec in specs(tables.cells) if (spec.dataset, spec.made) == (contest.dataset, contest.made))
    return next((dict(known[spec.key]) for spec in mine if spec.key in known), {})


def _lost(contest: Contest, cells: pd.DataFrame, scored: Collection[str], levels: int) -> list[Lost]:
    """Each once, in the order of the cells. A cell that failed has no measure: it would have had that of its view."""
    found: dict[str, Lost] = {}
    for spec, cell in zip(specs(cells), cells.to_dict("records"), strict=True):
        binary = cell["view"] == "binary" or levels == 2
        of_this = (spec.dataset, spec.made) == (contest.dataset, contest.made) and binary == (contest.levels == 2)
        if of_this and contest.binarisation and cell.get("binarisation", contest.binarisation) != contest.binarisation:
            continue
        if of_this and cell["config"] not in scored:
            found.setdefault(cell["config"], Lost(str(cell["label"]), str(cell["family"]), bool(cell["recipe"])))
    return list(found.values())
