"""What other settings changed between two runs: how trainings ended, which scores moved, which verdicts turn round.

A verdict here is one of a pair of configurations of one board: that one is better than the other, paired by seed and
image, with an interval that leaves zero out, its own, not corrected for how many pairs there are. It turns round where
the two runs say opposite things, each beyond noise. Bounds that cannot be trusted have no verdicts.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum

import pandas as pd

from bench.statistics.boards import Board, boards
from bench.statistics.contests import LN2, Contest
from bench.statistics.rows import Estimate, Row
from bench.statistics.scored import scored
from bench.statistics.two_runs.differences import Change, Comparison
from bench.statistics.two_runs.pairing import Varied
from bench.store import RunTables

MOVED = 0.01  #: bits/dim: one unit of the last digit that people quote
AT_ONCE = 200  # pairs whose differences are held at one time


class End(StrEnum):
    """How the trainings of a configuration ended, in its worst seed."""

    ENDED = "ended"
    LIMIT = "at its limit"
    IMPROVING = "still improving"
    UNKNOWN = "not recorded"


@dataclass(frozen=True)
class Turned:
    """A verdict that turns round: `better` is the better one in A, and the worse one in B."""

    board: str
    unit: str
    better: str  # labels
    worse: str
    before: Estimate  # by how much `better` is better, in the unit
    after: Estimate
    unended: tuple[str, ...]  # those of the two that were still improving in A


@dataclass(frozen=True)
class Retrained:
    """What two runs of other settings say of one another beyond their differences.

    configurations: the compared ones by `config`: moved (bits/dim that B's number differs by), beyond (noise), before
    and after (an End each). Counts are of pairs of configurations: all that both runs can judge; with a verdict in A;
    of these, those that stand in B and those within noise there; and those that have one in B alone.
    """

    ignored: tuple[Varied, ...]
    configurations: pd.DataFrame
    pairs: int
    judged: int
    stand: int
    faded: int
    new: int
    turned: tuple[Turned, ...]
    untrusted: int  # configurations without verdicts, in A or B

    def moved(self, among: pd.Series | None = None) -> int:
        """How many configurations moved by more than MOVED, of all or of some."""
        beyond = self.configurations["moved"].abs() > MOVED
        return int((beyond if among is None else beyond & among).sum())

    def ended(self, run: str, end: End) -> pd.Series:
        """Which configurations ended so in a run, "before" or "after"."""
        return self.configurations[run] == end


def retrained(before: RunTables, after: RunTables, found: Comparison, ignored: Sequence[Varied] = ()) -> Retrained:
    """What other settings changed, from two runs whose cells have one set of names (`pairing.pair`), and what was
    `found` of them (`differences`): of both runs the cells are taken that could be compared."""
    shared = (set(scored(before)[0]["cell"]) & set(scored(after)[0]["cell"])) - set(found.left_out["cell"])
    meta = after.meta or before.meta
    a, b = (boards(_only(replace(tables, meta=meta), shared)) for tables in (before, after))
    rows = [{row.config: row for board in side for row in (*board.everything, *board.readings)} for side in (a, b)]
    bits = {
        row.config: 1 / (board.scale * board.dims * LN2) for board in b for row in (*board.everything, *board.readings)
    }
    changes = found.configurations
    by_config = pd.DataFrame(
        {
            "moved": [
                change * bits[config] for config, change in zip(changes["config"], changes["difference"], strict=True)
            ],
            "beyond": ~changes["change"].isin([Change.NONE, Change.IDENTICAL]).to_numpy(dtype=bool),
            "before": [_end(rows[0][config]) for config in changes["config"]],
            "after": [_end(rows[1][config]) for config in changes["config"]],
        },
        index=pd.Index(changes["config"], name="config"),
    )
    of_a = {_contest(board): board for board in a}
    verdicts = [verdict for board in b if board.judged for verdict in _verdicts(of_a[_contest(board)], board)]
    signs = [(_sign(one), _sign(two)) for *_, one, two in verdicts]
    trusted = [{row.config for board in side for row in board.ranked} for side in (a, b)]
    return Retrained(
        ignored=tuple(ignored),
        configurations=by_config,
        pairs=len(verdicts),
        judged=sum(was != 0 for was, _ in signs),
        stand=sum(was != 0 and was == now for was, now in signs),
        faded=sum(was != 0 and now == 0 for was, now in signs),
        new=sum(was == 0 and now != 0 for was, now in signs),
        turned=tuple(_turned(*verdict) for verdict in verdicts if _sign(verdict[-2]) * _sign(verdict[-1]) < 0),
        untrusted=len({row.config for board in b for row in board.everything} - (trusted[0] & trusted[1])),
    )


def _only(tables: RunTables, cells: set[str]) -> RunTables:
    """The tables that boards are made of, of some cells alone."""
    return replace(
        tables,
        cells=tables.cells[tables.cells["cell"].isin(cells)],
        bounds=tables.bounds[tables.bounds["cell"].isin(cells)],
        per_image=tables.per_image[tables.per_image["cell"].isin(cells)],
    )


def _contest(board: Board) -> tuple[object, ...]:
    return tuple(getattr(board, item.name) for item in fields(Contest))


def _end(row: Row) -> End:
    if not row.ending.most > 0:
        return End.UNKNOWN
    if row.ending.improving:
        return End.IMPROVING
    return End.ENDED if row.ending.ended == row.seeds else End.LIMIT


def _verdicts(before: Board, after: Board) -> Iterator[tuple[Board, Row, Row, Estimate, Estimate]]:
    """Every pair of a board that both runs can judge, with its lead in A and in B; the better one in A comes first."""
    trusted = {row.config for row in after.ranked}
    rows = [row for row in before.ranked if row.config in trusted]
    pairs = itertools.combinations(rows, 2)
    for some in iter(lambda: list(itertools.islice(pairs, AT_ONCE)), []):
        names = [(one.config, other.config) for one, other in some]
        for (one, other), was, now in zip(some, before.leads(names), after.leads(names), strict=True):
            if was is not None and now is not None:
                yield (after, one, other, was, now)


def _sign(lead: Estimate) -> int:
    """Which of two is better, beyond noise."""
    return int(lead.low > 0) - int(lead.high < 0)


def _turned(board: Board, one: Row, other: Row, was: Estimate, now: Estimate) -> Turned:
    if was.high < 0:
        one, other, was, now = other, one, was.times(-1), now.times(-1)
    unended = tuple(row.label for row in (one, other) if row.ending.improving)
    return Turned(board.name, board.unit, one.label, other.label, was, now, unended)
