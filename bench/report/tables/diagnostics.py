"""The table of what lies behind the score of a configuration.

What needs more than its number has a column written here; every other column of results that is declared with
`table="diagnostics"` follows by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.report.figures import Looks
from bench.report.numbers import number, times
from bench.report.tables.entries import NONE, Column, Entry, Named, key, known, plain, share, some_seeds
from bench.report.tables.ranking import named
from bench.statistics.boards import Board
from bench.statistics.rows import Row
from bench.store.columns import columns

PLACED = ("reconstruction_nats", "kl_nats", "amortisation_gap_nats", "approximation_gap_nats")  # and explained by hand


@dataclass(frozen=True)
class Diagnostics:
    """The table of a board, of ranked configurations and of others."""

    columns: list[Column[Row]]
    lines: list[Named]


def diagnostics(board: Board, looks: Looks) -> Diagnostics:
    """Every configuration of a board; what none of them has is not shown."""
    declared = {
        name: Column(column.head, column.unit, _number(name, column.unit, column.digits))
        for name, column in columns()
        if column.table == "diagnostics"
    }
    offered = [
        *((name, declared.pop(name)) for name in PLACED[:2]),
        ("active_units", Column("Active", "units", _units)),
        ("active_units", Column("Collapsed", "", _collapsed)),
        *((name, declared.pop(name)) for name in PLACED[2:]),
        ("jackknife_nats", Column("Jackknife − bound", "nats", _bias)),
        ("noise_predicted", Column("Noise", "× of what is there", _noise)),
        ("coverage_50", Column("In 50 %", "of the values", share(lambda row: row.results.coverage_50))),
        ("coverage_95", Column("In 95 %", "of the values", share(lambda row: row.results.coverage_95))),
        ("pit_deviation", Column("Lie elsewhere", "of the values", share(lambda row: row.results.pit_deviation))),
        *declared.items(),
    ]
    shown = [column for name, column in offered if known(board.everything, _result(name))]
    return Diagnostics(shown, named(board.everything, shown, looks, board.unit))


def meanings(boards: Sequence[Board]) -> list[tuple[str, str]]:
    """What the columns are that follow from their declaration, by their heads; of those that some board shows."""
    return [
        (column.head, f"{column.meaning[:1].upper()}{column.meaning[1:]}.")
        for name, column in columns()
        if column.table == "diagnostics" and name not in PLACED
        if any(known(board.everything, _result(name)) for board in boards)
    ]


def _result(name: str) -> Callable[[Row], float]:
    return lambda row: float(getattr(row.results, name))


def _number(name: str, unit: str, digits: int) -> Callable[[Row], Entry]:
    """A column as it is declared."""
    return share(_result(name)) if unit == "share" else plain(_result(name), digits)


def _units(row: Row) -> Entry:
    active = row.results.active_units
    return Entry(number(active, 1).removesuffix(".0"), key(active), f"of {row.latent}")


def _collapsed(row: Row) -> Entry:
    seeds = row.results.collapsed
    return Entry("yes" if seeds else "no", seeds, some_seeds(seeds, row), marked=seeds > 0)


def _bias(row: Row) -> Entry:
    gain = row.results.jackknife_nats - row.results.iw_nats
    return Entry(number(gain, 3), key(gain))


def _noise(row: Row) -> Entry:
    if math.isnan(row.noise_ratio):
        return NONE
    small = f"{row.results.noise_predicted:.3g} / {row.results.noise_realised:.3g}"
    return Entry(times(row.noise_ratio), row.noise_ratio, small)
