"""What the ranking needs for any of its rows to be the baseline: letters that stand on the page, and the differences of
all pairs as data that a script shows."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bench.report.numbers import DIGITS, several
from bench.statistics.boards import Board
from bench.statistics.claims.tiers import MOST, Tiers, neighbours, tiers

DIGITS_OF_P = 3
ALIKE = "="  # of a row beyond the tiers, and the one above it


@dataclass(frozen=True)
class Baseline:
    """Of one board."""

    letters: tuple[str, ...]  # by rank, from the first on; beyond the tiers a sign, or nothing
    names: tuple[str, ...]
    note: str
    data: Markup  # JSON for the script


def baseline(board: Board) -> Baseline | None:
    """None where nothing is to be compared."""
    found = tiers(board)
    if found is None:
        return None
    told = neighbours(board)
    return Baseline(
        letters=(*found.letters, *(ALIKE if apart is False else "" for apart in told)),
        names=tuple(row.label for row in found.rows),
        note=_note(found, told),
        data=_data(board, found),
    )


def _note(found: Tiers, told: Sequence[bool | None]) -> str:
    """What the letters say."""
    beside, alike = len(found.rows) - 1, found.inseparable_neighbours
    beyond = ""
    if told:
        beyond = (
            f" Letters are of the first {MOST}; of the {len(told):,} rows beyond, each is held against the best and "
            f"against the one above it, from which {told.count(False):,} cannot be told apart ({ALIKE}; corrected for "
            f"these pairs alone)."
        )
    pairs = len(found.rows) * beside // 2
    if beside == 1:
        alone = "cannot be told apart" if alike else "can be told apart"
        return f"Tier: the two share a letter if they cannot be told apart; here they {alone}."
    return (
        f"Tier: two rows that share a letter cannot be told apart (corrected for all {several(pairs, 'pair')}, so that "
        f"any row may be the one that others are held against). Of {beside} neighbouring pairs {alike} "
        f"cannot.{beyond}"
    )


def _data(board: Board, found: Tiers) -> Markup:
    """The upper half of the pairs, row by row: by how much the later is worse, its interval, p, whether they are apart;
    null where they share no seed."""
    digits, pairs, rows = DIGITS[board.unit] + 1, found.pairs, len(found.rows)

    def shown(value: float, places: int) -> float | int | None:
        if math.isnan(value):
            return None
        rounded = round(float(value), places)
        return int(rounded) if rounded.is_integer() else rounded

    flat = [
        [
            *(shown(field[one, other], digits) for field in (pairs.lead, pairs.low, pairs.high)),
            shown(pairs.p[one, other], DIGITS_OF_P + 1),
            int(pairs.apart[one, other]),
        ]
        for one in range(rows)
        for other in range(one + 1, rows)
    ]
    text = json.dumps(
        {"names": [row.label for row in found.rows], "digits": DIGITS[board.unit], "pairs": flat},
        ensure_ascii=True,
        separators=(",", ":"),
    )
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
