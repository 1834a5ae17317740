"""The table of what the latent buys: of each family its best configuration beside its own best without a latent; and
what every reference is."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bench.grid.families import references as registry
from bench.report.figures import Looks
from bench.report.numbers import NOTHING, bracket, measured
from bench.report.text.references import tag
from bench.statistics.boards import Board
from bench.statistics.references import PER_FAMILY
from bench.statistics.rows import by_family


@dataclass(frozen=True)
class Bought:
    """One family."""

    family: str
    hue: str
    without: str  # the label of its best without a latent
    score: str
    interval: str
    best: str  # its best configuration that is ranked, '' without
    best_score: str
    gain: str
    gain_interval: str
    nothing: bool  # whether the latent bought nothing


@dataclass(frozen=True)
class Bare:
    """A reference that is of no family."""

    label: str
    score: str
    interval: str
    behind: str
    behind_interval: str
    standing: str


@dataclass(frozen=True)
class References:
    """The tables of a board; empty where a run has none."""

    bare: list[Bare]
    bought: list[Bought]


@dataclass(frozen=True)
class Kind:
    """What a reference is, for people."""

    title: str
    summary: str
    source: str


def kinds(rows: pd.DataFrame) -> list[Kind]:
    """The references that a run has, as far as they are known here, in the order of their names."""
    found = {str(name).partition(":")[0] for name in rows.loc[rows["status"] == "done", "family"]}
    cards = [registry().get(name).card for name in registry().names() if name in found]
    return [Kind(card.title, card.summary, card.source) for card in cards]


def references(board: Board, looks: Looks) -> References:
    """The references of a board, and what the latents buy."""
    unit = board.unit
    bare = [
        Bare(
            label=row.label,
            score=measured(row.value.mean, unit),
            interval=bracket(row.value, unit),
            behind=measured(row.behind.mean, unit),
            behind_interval=bracket(row.behind, unit),
            standing=tag(row),
        )
        for row in board.references
        if not row.family.startswith(PER_FAMILY)
    ]
    return References(bare, _bought(board, looks))


def _bought(board: Board, looks: Looks) -> list[Bought]:
    best = {family: rows[0] for family, rows in by_family(board.ranked).items()}
    lines = []
    for row in board.references:
        if not row.family.startswith(PER_FAMILY):
            continue
        family = row.family.removeprefix(PER_FAMILY)
        top = best.get(family)
        gain = None if top is None else board.gain_over(top, row)
        lines.append(
            Bought(
                family=family,
                hue=looks.variable(family),
                without=row.label,
                score=measured(row.value.mean, board.unit),
                interval=bracket(row.value, board.unit),
                best=top.label if top else "",
                best_score=measured(top.value.mean, board.unit) if top else NOTHING,
                gain=measured(gain.mean, board.unit) if gain else NOTHING,
                gain_interval=bracket(gain, board.unit) if gain else "",
                nothing=gain is not None and not gain.mean > 0,
            )
        )
    return lines
