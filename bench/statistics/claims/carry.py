"""Whether a ranking carries over to another network, and to another data set (docs/RULES.md, rule 18).

A context is a data set with a network, both with their settings. A configuration is the same one in two contexts if all
else that a grid asks of it is equal; what was tuned agrees where the candidates do, whatever was chosen, and a recipe
whatever it is read as. How many samples a bound is taken with is no part of it. Only orders are compared, so that
contexts may differ in their levels and dimensions, but not in their currency; what is ranked is compared, and nothing
else.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from bench.statistics.boards import Board
from bench.statistics.claims.contexts import Context, contexts, labels
from bench.statistics.claims.once import once_of_all
from bench.statistics.contests import BOOTSTRAP_SEED
from bench.statistics.rows import Estimate, grouped
from vae_core.statistics.pairs import Pairs, all_pairs
from vae_core.statistics.ranks import agreement

FEWEST = 3  # configurations: the order of two is one pair, which the rankings tell already
MOST = 60  # configurations that are compared, those that stand best on the whole
MOST_CONTEXTS = 12  # those with most configurations


class Differs(StrEnum):
    """In what two contexts differ; in the order in which they are shown."""

    NETWORK = "network"
    DATA = "data"
    SETTINGS = "data and network settings"
    BOTH = "network and data"


class Verdict(StrEnum):
    """What two contexts say of each other."""

    CARRIES = "carries over"  # most pairs surely keep their order, none surely turns round
    IN_PART = "carries over in part"  # most pairs surely keep their order, some surely turn round
    TURNS = "turns round"  # some surely turn round, and no more is known; or most do
    OPEN = "open"
    UNJUDGED = "not judged"  # too few test images in one of them
    UNCOMPARED = "not compared"  # too few configurations in both


@dataclass(frozen=True)
class Turn:
    """Two configurations that stand in opposite orders, surely: by how much the first is better in one context, in its
    unit, and worse in the other, in that one's."""

    better: str
    worse: str
    lead: Estimate
    lag: Estimate  # below zero


@dataclass(frozen=True)
class Comparison:
    """Two contexts. Without `shared` configurations enough there is no more than that."""

    one: Context
    other: Context
    shared: int
    verdict: Verdict
    tau: float = math.nan
    low: float = math.nan  # with its 95 % interval, which holds for all comparisons of the run together
    high: float = math.nan
    kept: int = 0  # pairs that surely are in one order in both
    open: int = 0  # pairs that are not sure in one of them
    turned: tuple[Turn, ...] = ()
    uncompared: int = 0  # pairs that share no seed in one of them

    @property
    def differs(self) -> Differs:
        """By what was asked for, never by the words for it, which tell a network from others of its run alone."""
        if self.one.has_data_of(self.other):
            return Differs.NETWORK
        if self.one.kind != self.other.kind:
            return Differs.BOTH
        return Differs.DATA if self.one.settings == self.other.settings else Differs.SETTINGS

    @property
    def judged(self) -> bool:
        return self.verdict not in (Verdict.UNJUDGED, Verdict.UNCOMPARED)

    @property
    def pairs(self) -> int:
        return self.kept + self.open + len(self.turned)


@dataclass(frozen=True)
class Carried:
    """Of a run with several contexts of one currency: where each configuration stands in each context, and every two
    contexts against each other."""

    contexts: tuple[Context, ...]
    labels: Mapping[str, str]  # of the configurations, best on the whole first
    places: Mapping[str, tuple[int | None, ...]]  # by configuration: 1 is first of those here, None where it is not
    comparisons: tuple[Comparison, ...]
    left: int = 0  # configurations beyond MOST
    left_contexts: int = 0

    @property
    def judged(self) -> tuple[Comparison, ...]:
        return tuple(one for one in self.comparisons if one.judged)


@once_of_all
def carried(boards: Sequence[Board]) -> tuple[Carried, ...]:
    """For every currency with two contexts or more; nothing for one with fewer. The same whatever the order of rows."""
    found = sorted(contexts(boards), key=lambda context: (context.data, context.network.casefold(), context.settings))
    return tuple(
        _carried(own) for _, own in sorted(grouped(found, lambda context: context.currency).items()) if len(own) > 1
    )


def _carried(found: Sequence[Context]) -> Carried:
    met = [key for context in found for key in sorted(context.rows)]
    shared = {key for key in met if met.count(key) > 1}
    most = sorted(found, key=lambda context: -len(shared & context.rows.keys()))[:MOST_CONTEXTS]
    kept = [context for context in found if context in most]
    whole = _places(kept, [key for key in dict.fromkeys(met) if key in shared])
    keys = [key for key, _ in sorted(whole.items(), key=lambda item: (_middle(item[1]), item[0]))]
    chosen = keys[:MOST]
    names = labels(chosen, kept)
    pairs = [_pairs(context, chosen) for context in kept]
    return Carried(
        contexts=tuple(kept),
        labels=names,
        places=_places(kept, chosen),
        comparisons=tuple(
            _compared(kept[a], kept[b], pairs[a], pairs[b], chosen, names, len(kept))
            for a, b in itertools.combinations(range(len(kept)), 2)
        ),
        left=len(keys) - len(chosen),
        left_contexts=len(found) - len(kept),
    )


def _pairs(context: Context, keys: Sequence[str]) -> Pairs:
    """Every pair of configurations in a context, in nats; NaN of those that it lacks."""
    have = [place for place, key in enumerate(keys) if key in context.rows]
    size = (len(keys), len(keys))
    lead, low, high, p = (np.full(size, np.nan) for _ in range(4))
    apart, seeds = np.zeros(size, dtype=bool), np.zeros(size, dtype=np.int64)
    if have:
        samples = [context.board.samples[context.rows[keys[place]].config] for place in have]
        drawn = [context.board.drawn(sample.nats) for sample in samples]
        found = all_pairs(drawn, [sample.seeds for sample in samples], BOOTSTRAP_SEED)
        where = np.ix_(have, have)
        lead[where], low[where], high[where], p[where] = found.lead, found.low, found.high, found.p
        apart[where], seeds[where] = found.apart, found.seeds
    return Pairs(lead, low, high, p, apart, seeds)


def _compared(
    one: Context, other: Context, mine: Pairs, theirs: Pairs, keys: Sequence[str], names: Mapping[str, str], among: int
) -> Comparison:
    both = [place for place, key in enumerate(keys) if key in one.rows and key in other.rows]
    shared = len(both)
    found = agreement(mine, theirs, among)
    pairs = [found.count(which) for which in (found.kept, found.turned, found.open)]
    if shared < FEWEST or not sum(pairs):
        return Comparison(one, other, shared, Verdict.UNCOMPARED, uncompared=math.comb(shared, 2))
    turned = [
        Turn(names[keys[a]], names[keys[b]], _lead(mine, a, b, one), _lead(theirs, a, b, other))
        for a, b in np.argwhere(found.turned)
        if mine.lead[a, b] > 0
    ]
    judged = one.board.judged and other.board.judged
    return Comparison(
        one,
        other,
        shared,
        _verdict(found.low, found.high, len(turned)) if judged else Verdict.UNJUDGED,
        tau=found.tau,
        low=found.low if judged else math.nan,
        high=found.high if judged else math.nan,
        kept=pairs[0],
        open=pairs[2],
        turned=tuple(sorted(turned, key=lambda turn: (turn.better, turn.worse))),
        uncompared=math.comb(shared, 2) - sum(pairs),
    )


def _verdict(low: float, high: float, turned: int) -> Verdict:
    if low > 0:
        return Verdict.IN_PART if turned else Verdict.CARRIES
    return Verdict.TURNS if turned or high < 0 else Verdict.OPEN


def _lead(pairs: Pairs, one: int, other: int, context: Context) -> Estimate:
    """By how much one is better than the other, in the context's unit."""
    mean, low, high = (float(field[one, other]) for field in (pairs.lead, pairs.low, pairs.high))
    return Estimate(mean, low, high, seeds=int(pairs.seeds[one, other])).times(context.board.scale)


def _places(found: Sequence[Context], keys: Sequence[str]) -> dict[str, tuple[int | None, ...]]:
    """Where each configuration stands in each context, among these."""
    orders = []
    for context in found:
        have = [key for key in keys if key in context.rows]
        value = {key: context.board.sign * context.rows[key].value.mean for key in have}
        orders.append({key: place for place, key in enumerate(sorted(have, key=lambda k: (-value[k], k)), start=1)})
    return {key: tuple(order.get(key) for order in orders) for key in keys}


def _middle(places: Sequence[int | None]) -> float:
    known = [place for place in places if place is not None]
    return sum(known) / len(known)
