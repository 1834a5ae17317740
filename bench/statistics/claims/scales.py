"""What learning σ is worth: every way of learning it against the best fixed σ of the same family and training.

The fixed σ is picked as the best of several by the same scores, so it looks better than it is. A learned σ that beats
it beats it all the more; one that loses to it may have lost to luck. So each is held against every fixed σ, and the
p-values are corrected for all of these comparisons together (Holm 1979), which allows for the pick.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bench.statistics.boards import Board
from bench.statistics.claims.once import once
from bench.statistics.contests import generator
from bench.statistics.rows import Estimate, Row, first_of_each, grouped, matched
from vae_core.statistics.intervals import changes
from vae_core.statistics.significance import holm

LEVEL = 0.05


class Outcome(Enum):
    """Of a learned σ against the best fixed one."""

    BETTER = "better"
    WORSE = "worse"
    EVEN = "even"


@dataclass(frozen=True)
class Comparison:
    """One way of learning σ in one family and training.

    lead: of the learned σ, in the board's unit (negative: it is worse); p: of "no difference", two-sided, corrected.
    """

    learned: Row
    fixed: Row
    tried: int  # fixed σ that could be ranked, among which `fixed` is the best
    at_edge: bool  # it is the smallest or the largest of several, with those that could not
    lead: Estimate
    p: float
    unranked: tuple[float, ...] = ()  # fixed σ that were tried too and could not be ranked, smallest first

    @property
    def outcome(self) -> Outcome:
        """As with verdicts, both must hold: the interval leaves zero out, and p is small."""
        if self.p < LEVEL and self.lead.low > 0:
            return Outcome.BETTER
        if self.p < LEVEL and self.lead.high < 0:
            return Outcome.WORSE
        return Outcome.EVEN


@once
def learned_scales(board: Board) -> list[Comparison]:
    """Every learned σ that has a fixed one beside it, in the order of the ranking; without those that share no seed
    with it."""
    rows = [row for row in board.ranked if not row.recipe and row.sigma]
    found = []
    for group in grouped(rows, lambda row: (row.family, row.options)).values():
        for learned in first_of_each(
            (row for row in group if row.learns_sigma),
            lambda row: json.dumps([row.sigma, dict(row.settings)], default=str),
        ):
            fixed = matched((row for row in group if not row.learns_sigma), learned)
            if fixed:
                found.append((learned, fixed))
    left = [
        sorted(one.fixed_sigma for one in matched(board.left_out, learned) if _alike(one, learned))
        for learned, _ in found
    ]
    pairs = [(learned.config, other.config) for learned, fixed in found for other in fixed]
    p_of = dict(zip(pairs, corrected(board, pairs), strict=True))
    leads = board.leads([(learned.config, fixed[0].config) for learned, fixed in found])
    return [
        Comparison(
            learned=learned,
            fixed=fixed[0],
            tried=len(fixed),
            at_edge=len(fixed) > 1
            and fixed[0].fixed_sigma in (min(tried := [*(row.fixed_sigma for row in fixed), *unranked]), max(tried)),
            lead=lead,
            p=p_of[learned.config, fixed[0].config],
            unranked=tuple(unranked),
        )
        for (learned, fixed), lead, unranked in zip(found, leads, left, strict=True)
        if lead is not None and not math.isnan(lead.mean)
    ]


def _alike(one: Row, learned: Row) -> bool:
    """Whether it is a fixed σ of the same family and options."""
    same = (one.family, one.options, one.recipe) == (learned.family, learned.options, False)
    return same and not math.isnan(one.fixed_sigma)


def corrected(board: Board, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """The p-value of "no difference" of each pair of configurations, two-sided, corrected for all of them (Holm); NaN
    where the two share no seed. The seed variances are moderated, as those of verdicts are."""
    differences = [board.difference(*pair) for pair in pairs]
    paired = [nats for nats in differences if nats is not None]
    if not paired:
        return [math.nan for _ in pairs]
    p = iter(holm(changes(paired, generator()).p))
    return [math.nan if nats is None else float(next(p)) for nats in differences]
