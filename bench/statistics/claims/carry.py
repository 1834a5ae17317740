"""Whether a ranking carries over to another network, and to another data set (docs/RULES.md, rule 18).

A context is a data set with a network, both with their settings. A configuration is the same one in two contexts if all
else that a grid asks of it is equal; what was tuned agrees where the candidates do, whatever was chosen, and a recipe
whatever it is read as. How many samples a bound is taken with is no part of it. Only orders are compared, so that
contexts may differ in their levels and dimensions, but not in their currency; what is ranked is compared, and nothing
else.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from bench.grid.cell import number_text, short_name
from bench.grid.settings import KEYS, keys_of
from bench.statistics.boards import Board
from bench.statistics.contests import BOOTSTRAP_SEED
from bench.statistics.rows import Estimate, Row, by_family, grouped
from vae_core.statistics.pairs import Pairs, all_pairs
from vae_core.statistics.ranks import agreement

FEWEST = 3  # configurations: the order of two is one pair, which the rankings tell already
MOST = 60  # configurations that are compared, those that stand best on the whole
MOST_CONTEXTS = 12  # those with most configurations
NETWORK = keys_of("network")
OWN = keys_of("training", "schedule")  # settings that are a configuration's own


class Differs(StrEnum):
    """In what two contexts differ; in the order in which they are shown."""

    NETWORK = "network"
    DATA = "data"
    BOTH = "network and data"


class Verdict(StrEnum):
    """What two contexts say of each other."""

    CARRIES = "carries over"  # most pairs surely keep their order, none surely turns round
    IN_PART = "carries over in part"  # most pairs surely keep their order, some surely turn round
    TURNS = "turns round"  # some surely turn round, and no more is known; or most do
    OPEN = "open"
    UNJUDGED = "not judged"  # too few test images in one of them
    UNCOMPARED = "not compared"  # too few configurations in both


@dataclass(frozen=True, eq=False)
class Context:
    """A data set with a network, and its ranked configurations."""

    data: str  # in words
    network: str  # in words: what tells it from the others on the same data
    currency: str
    unit: str
    board: Board
    rows: Mapping[str, Row]  # by what configurations are the same in

    @property
    def name(self) -> str:
        return f"{self.data}, {self.network}"


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
        if self.one.data == self.other.data:
            return Differs.NETWORK
        return Differs.DATA if self.one.network == self.other.network else Differs.BOTH

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
        return tuple(one for one in self.comparisons if one.verdict not in (Verdict.UNJUDGED, Verdict.UNCOMPARED))


def carried(boards: Sequence[Board]) -> tuple[Carried, ...]:
    """For every currency with two contexts or more; nothing for one with fewer. The same whatever the order of rows."""
    found = sorted(contexts(boards), key=lambda context: (context.data, context.network))
    return tuple(
        _carried(own) for _, own in sorted(grouped(found, lambda context: context.currency).items()) if len(own) > 1
    )


def contexts(boards: Sequence[Board]) -> Iterator[Context]:
    """Every data set with every network that something is ranked with; of one data set whose cells were scored on
    several numbers of images the most."""
    best: dict[Any, tuple[Board, list[Row]]] = {}
    for board in sorted(boards, key=lambda board: -board.images):
        for network, rows in grouped(board.ranked, lambda row: _text(_network(row))).items():
            best.setdefault((board.currency, board.name, board.dataset, network), (board, rows))
    for board, rows in best.values():
        on_same = [_network(some[0]) for own, some in best.values() if own.name == board.name]
        alone = len({own.name for own in boards if own.currency == board.currency and own.data == board.data}) == 1
        data = board.data if alone else board.name
        twins = sorted({own.dataset for own in boards if own.currency == board.currency and own.name == board.name})
        if len(twins) > 1:  # files of one name in several folders
            data += f" ({twins.index(board.dataset) + 1})"
        yield Context(
            data=data,
            network=_words(_network(rows[0]), on_same),
            currency=board.currency,
            unit=board.unit,
            board=board,
            rows={key: min(some, key=_surest) for key, some in grouped(rows, same).items()},
        )


def same(row: Row) -> str:
    """What a configuration is the same in everywhere, as text."""
    settings = {key: KEYS[key].absent if row.settings[key] in KEYS[key].implied else row.settings[key] for key in OWN}
    chosen = row.recipe and row.reading_of
    return _text([row.family, row.sigma, row.own_options, "" if chosen else row.scored_as, row.view, settings])


def _surest(row: Row) -> tuple[int, str]:
    """Of rows that differ in their evaluation alone the one with most samples first."""
    return -int(row.results.iw_samples or 0), row.config


def _carried(found: Sequence[Context]) -> Carried:
    met = [key for context in found for key in sorted(context.rows)]
    shared = {key for key in met if met.count(key) > 1}
    most = sorted(found, key=lambda context: -len(shared & context.rows.keys()))[:MOST_CONTEXTS]
    kept = [context for context in found if context in most]
    whole = _places(kept, [key for key in dict.fromkeys(met) if key in shared])
    keys = [key for key, _ in sorted(whole.items(), key=lambda item: (_middle(item[1]), item[0]))]
    chosen = keys[:MOST]
    labels = _labels(chosen, kept)
    pairs = [_pairs(context, chosen) for context in kept]
    return Carried(
        contexts=tuple(kept),
        labels=labels,
        places=_places(kept, chosen),
        comparisons=tuple(
            _compared(kept[a], kept[b], pairs[a], pairs[b], chosen, labels, len(kept))
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
    one: Context, other: Context, mine: Pairs, theirs: Pairs, keys: Sequence[str], labels: Mapping[str, str], among: int
) -> Comparison:
    both = [place for place, key in enumerate(keys) if key in one.rows and key in other.rows]
    shared = len(both)
    found = agreement(mine, theirs, among)
    pairs = [found.count(which) for which in (found.kept, found.turned, found.open)]
    if shared < FEWEST or not sum(pairs):
        return Comparison(one, other, shared, Verdict.UNCOMPARED, uncompared=math.comb(shared, 2))
    turned = [
        Turn(labels[keys[a]], labels[keys[b]], _lead(mine, a, b, one), _lead(theirs, a, b, other))
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


def _network(row: Row) -> dict[str, Any]:
    return {key: row.settings[key] for key in NETWORK}


def _words(network: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """A network's name, and what tells it from others of that name on the same data."""
    alike = [other for other in others if other["network"] == network["network"]]
    told = [key for key in NETWORK if key != "network" and len({_text(other[key]) for other in alike}) > 1]
    return " ".join([short_name(str(network["network"])), *(f"{key}={_value(network[key])}" for key in told)])


def _value(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else number_text(value)


def _labels(keys: Sequence[str], found: Sequence[Context]) -> dict[str, str]:
    """What configurations are called where data and network are not meant: as rows are labelled, without those."""
    rows = {key: next(context.rows[key] for context in found if key in context.rows) for key in keys}
    told = [
        key
        for key in OWN
        if key not in ("objective", "bound") and len({_text(row.settings[key]) for row in rows.values()}) > 1
    ]
    views = {family: len({row.view for row in some}) > 1 for family, some in by_family(rows.values()).items()}
    labels = {}
    for key, row in rows.items():
        parts = [row.family] + ([f"σ={row.sigma}"] if row.sigma else [])
        parts += [f"{name}={number_text(value)}" for name, value in sorted(row.own_options.items())]
        if row.scored_as != "itself" and not (row.recipe and row.reading_of):
            parts.append(f"({row.scored_as.replace('_', ' ')})")
        parts += [str(row.settings[name]) for name in ("objective", "bound") if _told(name, row.settings[name])]
        parts += [f"{name}={_value(row.settings[name])}" for name in told]
        labels[key] = " ".join(parts + [row.view] * views[row.family])
    return labels


def _told(key: str, value: Any) -> bool:
    return value != KEYS[key].absent and value not in KEYS[key].implied


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
