"""The table of tuning: the candidates of every configuration, what became of them, and which was chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.figures import Looks
from bench.report.numbers import NOTHING, number
from bench.report.text.tuning import edges_text, how_candidate_ended, procedure, value_text, words
from bench.statistics.boards import Board
from bench.statistics.tuning import DIVERGED, Candidate, Search, searches
from bench.store import RunTables

DIGITS = 4  # of bits/dim: candidates lie near one another


@dataclass(frozen=True)
class Line:
    """A candidate."""

    values: list[str]  # of the keys that were tuned
    ended: str
    useless: bool  # it diverged, or could not be used for another reason
    chosen: bool
    edge: str
    reading: str
    score: str
    refined: str
    behind: str


@dataclass(frozen=True)
class Group:
    """The candidates of one configuration."""

    label: str
    hue: str
    lines: list[Line]
    none: bool  # could be used: there is no choice


@dataclass(frozen=True)
class Tuning:
    """The table of a run, with what to know when reading it."""

    keys: list[str]
    about: str
    readings: bool  # whether a recipe's best reading was sought
    refined: bool
    groups: list[Group]


def tuning(tables: RunTables, boards: Sequence[Board], looks: Looks) -> Tuning | None:
    """What was tuned in a run, in the order of its rankings, what gave no result last; None where nothing was."""
    found = searches(tables)
    if not found:
        return None
    order = [row.config for board in boards for row in board.everything]
    places = {config: place for place, config in reversed(list(enumerate(order)))}
    found.sort(key=lambda search: min(places.get(config, len(order)) for config in search.configs))
    keys = found[0].keys
    whole = [candidate for search in found for candidate in search.candidates]
    return Tuning(
        keys=[words(key).capitalize() for key in keys],
        about=procedure(keys),
        readings=any(candidate.scored_as not in ("", "itself") for candidate in whole),
        refined=any(not math.isnan(candidate.refined_bits_per_dim) for candidate in whole),
        groups=[
            Group(
                label=search.label,
                hue=looks.variable(search.family),
                lines=[_line(search, candidate) for candidate in search.candidates],
                none=search.chosen is None,
            )
            for search in found
        ],
    )


def _line(search: Search, candidate: Candidate) -> Line:
    behind = number(candidate.behind, DIGITS)
    if not math.isnan(candidate.behind_se):
        behind += f" ± {number(candidate.behind_se, DIGITS)}"
    return Line(
        values=[value_text(value) for value in candidate.values.values()],
        ended=how_candidate_ended(candidate),
        useless=bool(candidate.reason) or candidate.ended_by == DIVERGED,
        chosen=candidate.chosen,
        edge=edges_text(search.edges, search.keys) if candidate.chosen else "",
        reading=candidate.scored_as.removeprefix("itself").replace("_", " ") or NOTHING,
        score=number(candidate.bits_per_dim, DIGITS),
        refined=number(candidate.refined_bits_per_dim, DIGITS),
        behind=NOTHING if candidate.chosen else behind,
    )
