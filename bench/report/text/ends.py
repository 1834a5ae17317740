"""What the scores of families on the real line owe to their end bins, which have the whole tails."""

from __future__ import annotations

import math
from collections.abc import Iterator

from markupsafe import Markup

from bench.report.numbers import listed, measured, several
from bench.report.text.findings import Finding
from bench.statistics.boards import Board
from bench.statistics.rows import Row
from bench.store import BAD_SHARE

FIRST = 3  # ranks whose order is looked at


def owed(row: Row, board: Board) -> float:
    """By how much the row's score is better than it is with renormalised ends, in the board's unit; NaN of ends that
    are not open."""
    return (row.results.iw_nats - row.results.renormalised_nats) * board.scale


def renormalised(row: Row, board: Board) -> float:
    """The row's score with renormalised ends, in the board's unit; NaN of ends that are not open."""
    return row.value.mean - board.sign * owed(row, board)


def at_most(row: Row) -> bool:
    """Whether the score with renormalised ends is a bound that cannot be trusted, so that less may be owed."""
    return not row.results.renormalised_khat_bad_fraction <= BAD_SHARE


def end_bins(board: Board) -> Iterator[Finding]:
    """Which of the ranked owe their end bins more than half the width of their interval, and who would come first
    without."""
    opened = [row for row in board.ranked if not math.isnan(owed(row, board))]
    owing = [row for row in opened if owed(row, board) > 0.5 * (row.value.high - row.value.low)]
    texts = []
    if owing:
        most = max(owing, key=lambda row: owed(row, board))
        texts.append(
            Markup(
                "{} of {} with open ends {} the end bins, which have the whole tails beyond the data, more than "
                "half the width of {} interval: <b>{}</b> {}{} {}; as it is trained it would be at {} with "
                "renormalised ends."
            ).format(
                len(owing),
                several(len(opened), "configuration"),
                "owes" if len(owing) == 1 else "owe",
                "its" if len(owing) == 1 else "their",
                most.label,
                "at most " if at_most(most) else "",
                measured(owed(most, board), board.unit),
                board.unit,
                measured(renormalised(most, board), board.unit),
            )
        )
    texts += _other_order(board)
    if texts:
        yield Finding("End bins", tuple(texts))


def _other_order(board: Board) -> list[Markup]:
    """Who would come first if all ends were closed; nothing where the first are the same in the same order."""

    def closed(row: Row) -> float:
        value = renormalised(row, board)
        return -board.sign * (row.value.mean if math.isnan(value) else value)

    other = sorted(board.ranked, key=closed)[:FIRST]
    first = board.ranked[:FIRST]
    if [row.config for row in other] == [row.config for row in first]:
        return []
    names = [[str(Markup("<b>{}</b>").format(row.label)) for row in rows] for rows in (other, first)]
    if len({row.config for row in other} ^ {row.config for row in first}) and other[0] is first[0]:
        what = "after the first would come"
        names = [some[1:] for some in names]
    else:
        what = "the first would be"
    text = Markup("With renormalised ends {} {}, instead of {}").format(what, *(Markup(listed(some)) for some in names))
    if any(at_most(row) for row in other + list(first) if not math.isnan(owed(row, board))):
        text += " (by bounds of which some cannot be trusted, for their proposals were fitted with open ends)"
    return [text + "."]
