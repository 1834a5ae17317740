"""References that stand in a ranking, unranked: numbers that no trained model gave, which winners are held against.

A kind of reference is one function here, from a contest and the tables of the run to rows, listed in KINDS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bench.statistics.contests import Contest
from bench.statistics.rows import Estimate, Row
from bench.store import RunTables

KINDS: tuple[Callable[[Contest, RunTables], Iterable[Row]], ...] = ()


def reference(label: str, value: float) -> Row:
    """The row of one number, in the unit of the contest."""
    return Row(label=label, value=Estimate(value), reference=True)


def references(contest: Contest, tables: RunTables) -> tuple[Row, ...]:
    """All references of a contest, best first."""
    rows = (row for kind in KINDS for row in kind(contest, tables))
    return tuple(sorted(rows, key=lambda row: -contest.sign * row.value.mean))
