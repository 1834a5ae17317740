"""The cells that gave no result, those of one reason together: a grid that fails mostly fails of a few things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.report.numbers import listed, several
from bench.report.text.run import by_reason

OPEN = 6  # cells of the only group, up to which they are shown without a click


@dataclass(frozen=True)
class Lost:
    """One cell."""

    label: str
    seed: int
    status: str
    reason: str  # '' where it is that of its group, word by word
    cell: str


@dataclass(frozen=True)
class Failure:
    """Cells that ended for one reason."""

    reason: str  # of the first; others may have other numbers in it
    status: str
    count: str
    configurations: str
    alike: bool  # whether some have other numbers in it
    cells: list[Lost]
    open: bool


def failures(failed: pd.DataFrame, configs: pd.Series) -> list[Failure]:
    """Most cells first. `failed` is what `unusable` gives, `configs` the configuration of each cell by its name."""
    found = by_reason(list(failed.itertuples(index=False)))
    return [_failure(group, configs, alone=len(found) == 1) for group in found]


def _failure(rows: Sequence[Lost], configs: pd.Series, *, alone: bool) -> Failure:
    reason = rows[0].reason
    return Failure(
        reason=reason,
        status=listed(list(dict.fromkeys(row.status for row in rows))),
        count=several(len(rows), "cell"),
        configurations=several(len({configs[row.cell] for row in rows}), "configuration"),
        alike=any(row.reason != reason for row in rows),
        cells=[
            Lost(row.label, row.seed, row.status, row.reason if row.reason != reason else "", row.cell) for row in rows
        ],
        open=alone and len(rows) <= OPEN,
    )
