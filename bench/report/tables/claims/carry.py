"""The tables of a ranking in other contexts: every two contexts, where each likelihood stands in each, and the pairs
that turn round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bench.report.numbers import NOTHING, bracket, measured
from bench.report.text.claims.carry import between, interval, sentences, tau, why
from bench.statistics.boards import Board
from bench.statistics.claims.carry import Carried, Comparison, Differs, Turn, Verdict, carried
from bench.statistics.rows import Estimate

MOST_TURNS = 200  # pairs that are listed
CURRENCIES = {"pmf-K": "Scores in bits/dim", "pmf-2": "Binary values, in nats"}


@dataclass(frozen=True)
class Line:
    """Two contexts."""

    between: str
    differs: str
    verdict: str
    tone: str  # '', or 'warn' where something turns round
    why: str
    tau: str
    interval: str
    shared: int
    kept: str
    turned: str
    open: str


@dataclass(frozen=True)
class TurnLine:
    """Two likelihoods in two contexts."""

    better: str
    worse: str
    one: str  # context
    lead: str
    other: str
    lag: str


@dataclass(frozen=True)
class Carry:
    """The section's part of one currency."""

    title: str
    unit: str
    anchor: str
    sentences: list[Markup]
    lines: list[Line]
    contexts: list[str]
    places: list[tuple[str, list[str]]]  # of each likelihood
    turns: list[TurnLine]
    all_turns: int


def carry(boards: Sequence[Board]) -> list[Carry]:
    """The section of a run; nothing where there is one context."""
    return [_carry(found) for found in carried(boards)]


def _carry(found: Carried) -> Carry:
    order = list(Differs)
    some = sorted(found.comparisons, key=lambda one: order.index(one.differs))
    turns = [_turn(one, turn) for one in some for turn in one.turned]
    currency = found.contexts[0].currency
    return Carry(
        title=CURRENCIES[currency],
        unit=found.contexts[0].unit,
        anchor=f"carry-{currency.lower()}",
        sentences=list(sentences(found)),
        lines=[_line(one) for one in some],
        contexts=[context.name for context in found.contexts],
        places=[
            (label, [NOTHING if place is None else str(place) for place in found.places[key]])
            for key, label in found.labels.items()
        ],
        turns=turns[:MOST_TURNS],
        all_turns=len(turns),
    )


def _line(one: Comparison) -> Line:
    return Line(
        between=between(one),
        differs=str(one.differs),
        verdict=str(one.verdict),
        tone="warn" if one.verdict in (Verdict.IN_PART, Verdict.TURNS) else "",
        why=why(one),
        tau=tau(one),
        interval=interval(one),
        shared=one.shared,
        kept=str(one.kept) if one.judged else NOTHING,
        turned=str(len(one.turned)) if one.judged else NOTHING,
        open=str(one.open) if one.judged else NOTHING,
    )


def _turn(one: Comparison, turn: Turn) -> TurnLine:
    return TurnLine(
        turn.better,
        turn.worse,
        one.one.name,
        _by(turn.lead, one.one.unit),
        one.other.name,
        _by(turn.lag.times(-1), one.other.unit),
    )


def _by(estimate: Estimate, unit: str) -> str:
    return f"{measured(estimate.mean, unit)} {bracket(estimate, unit)}".strip()
