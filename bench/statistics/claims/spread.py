"""What the spread of a ranking is made of: the family, how σ is given, what was trained on, tuning, anything else that
a grid varies (docs/RULES.md, rule 12).

Only configurations that agree in all but one thing are compared, by differences paired over seeds and images. Means
over all that a family was tried with (marginals) would credit it with what another thing did: with bins, where its
rivals were not trained on theirs.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.statistics.boards import Board
from bench.statistics.claims.once import once
from bench.statistics.rows import Estimate, Row, grouped, median
from bench.statistics.tuning import Search
from vae_core.statistics.intervals import Verdict

MASSES = "masses"  # of the levels: what `own` masses and `binned` densities are trained on alike
FIXED = "a number"
NONE = object()  # a value that no row has


@dataclass(frozen=True)
class Effect:
    """One set of configurations that agree in all but one thing: the better and the worse end of it.

    gain: by which `better` is better, in the board's unit. Where the order was given beforehand it may be negative;
    else the two were picked by their scores, so that it is above zero even where nothing differs.
    """

    better: Row
    worse: Row
    gain: Estimate
    size: int  # configurations of the set

    @property
    def clear(self) -> bool:
        """Whether its own interval leaves zero out, uncorrected."""
        return self.gain.low > 0 or self.gain.high < 0

    @property
    def unended(self) -> bool:
        """Whether one of the two was still improving, so that part of the effect may be the schedule's."""
        return bool(self.better.ending.improving or self.worse.ending.improving)


@dataclass(frozen=True)
class Axis:
    """All that is known of one thing that configurations differ in.

    key: "family", "sigma" (how it is given), "fixed sigma" (the number), or a key of the grid. directed: an effect is
    binned minus dequantised, not best minus worst. unpaired: sets whose ends share no seed.
    """

    key: str
    effects: tuple[Effect, ...]
    directed: bool = False
    unpaired: int = 0

    @property
    def typical(self) -> float:
        """The median effect; NaN without one."""
        return median([effect.gain.mean for effect in self.effects])

    @property
    def low(self) -> float:
        return min((effect.gain.mean for effect in self.effects), default=math.nan)

    @property
    def high(self) -> float:
        return max((effect.gain.mean for effect in self.effects), default=math.nan)

    @property
    def largest(self) -> Effect | None:
        """The effect of the largest amount."""
        return max(self.effects, key=lambda effect: abs(effect.gain.mean), default=None)


@dataclass(frozen=True)
class Tuning:
    """What tuning was worth, in validation bound (bits/dim), which is no test score: by how much the others of each
    search were behind the chosen candidate."""

    searches: int
    median: float  # over searches, of the median of the others; NaN where too many of those have no number
    worst: float  # over searches, the median of the worst of the others that were judged
    low: float  # the least and the most that such a worst one was behind
    high: float
    most: str  # the search of `high`, and its standard error
    most_se: float
    unjudged: int  # candidates that were let go or failed, and have no number: they count as behind all that have one


@once
def spread(board: Board) -> list[Axis]:
    """The family, what was trained on, σ, then what else varies; an axis without effects where nothing differs in it
    alone."""
    rows = [row for row in board.ranked if not row.recipe]
    axes = [
        _axis(board, "family", _families(rows)),
        _axis(board, "objective", _twins(rows), directed=True),
    ]
    if any(row.sigma for row in rows):
        axes.append(_axis(board, "sigma", _ways(rows)))
    fixed = [row for row in rows if not math.isnan(row.fixed_sigma)]
    if len({row.sigma for row in fixed}) > 1:
        axes.append(_axis(board, "fixed sigma", _sets(fixed, "sigma")))
    others = dict.fromkeys(key for row in rows for key in _asked(row) if key not in ("family", "sigma", "objective"))
    return axes + [
        _axis(board, key, _sets(rows, key))
        for key in others
        if len({_text(_asked(row).get(key, NONE)) for row in rows}) > 1
    ]


@once
def untwinned(board: Board) -> tuple[Row, ...]:
    """The ranked densities that were trained on dequantised data alone: what they owe to that, and what to their
    family, cannot be told apart."""
    rows = [row for row in board.ranked if not row.recipe]
    twinned = {dequantised.config for _, dequantised in _twins(rows)}
    return tuple(row for row in rows if row.objective == "dequantised" and row.config not in twinned)


@once
def may_owe_to_objective(board: Board) -> tuple[Row, ...]:
    """Those of them that might change what is said of the first, were they trained on what is scored: behind by no more
    than other densities of this board gained so, or by however much where no pair tells.

    Of several families the first's own rows cannot change which family is first, but do where another is level with it.
    Where nothing can be judged, nothing is said of the first.
    """
    if not board.ranked or not board.judged:
        return ()
    gains = _axis(board, "objective", _twins([row for row in board.ranked if not row.recipe]), directed=True).effects
    most = max((max(effect.gain.mean, _known(effect.gain.high)) for effect in gains), default=math.inf)
    top, ranked = board.ranked[0], {row.family for row in board.ranked}
    level = {row.family for row in board.ranked if row.verdict != Verdict.WORSE} - {top.family}
    of_no_matter = {top.config} if not level else set()
    if len(ranked) > 1 and not level:
        of_no_matter |= {row.config for row in board.ranked if row.family == top.family}
    return tuple(row for row in untwinned(board) if not row.behind.mean > most and row.config not in of_no_matter)


def tuning(searches: Iterable[Search], configs: Sequence[str]) -> Tuning | None:
    """Of the searches that some of these configurations came from; None where none has two judged candidates."""
    own = [search for search in searches if set(search.configs) & set(configs) and search.chosen is not None]
    halves, worsts = [], []
    unjudged = 0
    for search in own:
        others = [one for place, one in enumerate(search.candidates) if place != search.chosen]
        judged = [one for one in others if not math.isnan(one.behind)]
        unjudged += len(others) - len(judged)
        if judged:
            halves.append(np.median([math.inf if math.isnan(one.behind) else one.behind for one in others]))
            worsts.append((max(judged, key=lambda one: one.behind), search))
    if not worsts:
        return None
    half = float(np.median(halves))
    far, whose = max(worsts, key=lambda pair: pair[0].behind)
    behind = [one.behind for one, _ in worsts]
    return Tuning(
        searches=len(worsts),
        median=half if half < math.inf else math.nan,
        worst=float(np.median(behind)),
        low=min(behind),
        high=far.behind,
        most=whose.label,
        most_se=far.behind_se,
        unjudged=unjudged,
    )


def _axis(board: Board, key: str, sets: Iterable[Sequence[Row]], *, directed: bool = False) -> Axis:
    """The effects of sets of rows, each best first (or in the order given beforehand)."""
    ends = [rows for rows in sets if len(rows) > 1]
    leads = board.leads([(rows[0].config, rows[-1].config) for rows in ends])
    effects = tuple(
        Effect(rows[0], rows[-1], lead, len(rows)) for rows, lead in zip(ends, leads, strict=True) if lead is not None
    )
    return Axis(key, effects, directed, unpaired=len(ends) - len(effects))


def _asked(row: Row) -> dict[str, Any]:
    """All that a grid asks of a row but its data and its evaluation, by key; what was tuned by its candidates."""
    return {"family": row.family, "sigma": row.sigma, **row.own_options, **row.settings}


def _sets(rows: Sequence[Row], *keys: str) -> Iterator[tuple[Row, ...]]:
    """Rows that agree in all but the keys, best first, of each value of the first key one; where several rows have one
    value (they differ in the other keys, or in their evaluation alone), every choice of them is a set."""

    def rest(row: Row) -> str:
        return _text({name: value for name, value in _asked(row).items() if name not in keys})

    yield from _chosen(rows, rest, lambda row: _text(_asked(row).get(keys[0], NONE)))


def _chosen(rows: Sequence[Row], rest: Callable[[Row], str], value: Callable[[Row], str]) -> Iterator[tuple[Row, ...]]:
    for group in grouped(rows, rest).values():
        for chosen in itertools.product(*grouped(group, value).values()):
            yield tuple(sorted(chosen, key=lambda row: row.rank or 0))


def _families(rows: Sequence[Row]) -> Iterator[tuple[Row, ...]]:
    """Rows of several families with the same σ, trained on the same thing: a mass and the bins of a density are.
    Options that a single family takes are its own, and no difference to the others."""
    takers = grouped(((key, row.family) for row in rows for key in row.own_options), lambda pair: pair[0])
    own = {key for key, pairs in takers.items() if len({family for _, family in pairs}) == 1}

    def rest(row: Row) -> str:
        asked = {name: value for name, value in _asked(row).items() if name != "family" and name not in own}
        return _text({**asked, "objective": "dequantised" if row.objective == "dequantised" else MASSES})

    yield from _chosen(rows, rest, lambda row: row.family)


def _twins(rows: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """(binned, dequantised) of what agrees in all else, in this order whichever is better."""
    for pair in _sets(rows, "objective"):
        of = {row.objective: row for row in pair}
        if {"binned", "dequantised"} <= set(of):
            yield of["binned"], of["dequantised"]


def _ways(rows: Sequence[Row]) -> Iterator[tuple[Row, ...]]:
    """How σ is given, in each family and training; of fixed numbers the best one stands for all."""

    def rest(row: Row) -> str:
        return _text({name: value for name, value in _asked(row).items() if name != "sigma"})

    for group in grouped([row for row in rows if row.sigma], rest).values():
        ways = grouped(group, lambda row: row.sigma if row.learns_sigma else FIXED)
        yield tuple(some[0] for some in ways.values())


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _known(number: float) -> float:
    return -math.inf if math.isnan(number) else number
