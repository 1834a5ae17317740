"""Configurations that gave no score in any seed: where they would stand, and why they do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.statistics.contests import Contest, specs
from bench.statistics.scored import unusable
from bench.store import RunTables

BINARY = "binary"  # the view of 0 and 1 that are drawn from grey values


@dataclass(frozen=True)
class Failed:
    """A configuration that gave no score in any seed."""

    label: str
    config: str
    family: str
    recipe: bool
    seeds: int  # that were trained
    reason: str  # of the first
    view: str = ""


def lost(tables: RunTables, scored_cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of configurations without a score in any seed, the reason of each and what was made of its data."""
    reasons = unusable(tables).set_index("cell")["reason"]
    cells = tables.cells[tables.cells["cell"].isin(reasons.index)]
    cells = cells[~cells["config"].isin(scored_cells["config"])]
    return cells.assign(reason=cells["cell"].map(reasons), made=[spec.made for spec in specs(cells)])


def failed(board: Contest, without: pd.DataFrame, found: Sequence[Contest]) -> tuple[Failed, ...]:
    """The configurations `without` a score that would stand on this board: of its data and, if that tells, its view.

    Where no board of its view is left, one stands on whichever there is, to be named there and not to be counted among
    what could have been ranked (`view`).
    """
    of_data = [other for other in found if (other.dataset, other.made) == (board.dataset, board.made)]
    here = without[(without["dataset"] == board.dataset) & (without["made"] == board.made)]

    def at_home(cell: pd.Series) -> list[Contest]:
        currency = "pmf-2" if cell["view"] == BINARY else "pmf-K"
        alike = [other for other in of_data if other.currency == currency] or of_data
        return [other for other in alike if other.binarisation == cell["binarisation"]] or alike

    firsts = [(group.iloc[0], len(group)) for _, group in here.groupby("config", sort=False)]
    return tuple(
        Failed(
            label=str(one["label"]),
            config=str(one["config"]),
            family=str(one["family"]),
            recipe=bool(one["recipe"]),
            seeds=count,
            reason=str(one["reason"]),
            view=str(one["view"]),
        )
        for one, count in firsts
        if any(other is board for other in at_home(one))
    )
