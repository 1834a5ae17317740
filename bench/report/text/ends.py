"""What the scores of families on the real line owe to their end bins, which have the whole tails."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from bench.report.numbers import listed, measured
from bench.report.text.findings import Finding, first_of
from bench.statistics.boards import Board
from bench.statistics.rows import Row
from bench.store import BAD_SHARE

OR_BETTER = " or better"  # of the number of a row of which no more than a bound is known
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


def bounded(row: Row, board: Board) -> str:
    """That score as a table has it: '≤ 2.345' where no more than a bound is known."""
    sign = ("≤ " if board.sign < 0 else "≥ ") if at_most(row) else ""
    return sign + measured(renormalised(row, board), board.unit)


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
                "{} with open ends {} the end bins, which have the whole tails beyond the data, more than "
                "half the width of {} interval: <b>{}</b> {}{} {}; as it is trained it would be at {}{} with "
                "renormalised ends."
            ).format(
                "The only ranked configuration"
                if len(opened) == 1
                else f"{len(owing)} of {len(opened)} ranked configurations",
                "owes" if len(owing) == 1 else "owe",
                "its" if len(owing) == 1 else "their",
                most.label,
                "at most " if at_most(most) else "",
                measured(owed(most, board), board.unit),
                board.unit,
                measured(renormalised(most, board), board.unit),
                OR_BETTER if at_most(most) else "",
            )
        )
    texts += _other_order(board)
    if texts:
        yield Finding("End bins", tuple(texts))


def _other_order(board: Board) -> list[Markup]:
    """Who would come first if all ends were closed; nothing where the first are the same in the same order.

    A row whose closed score is a bound that cannot be trusted is at least as good as that: where others would pass it
    over on the strength of the bound, the order is not known.
    """

    def closed(row: Row) -> float:
        value = renormalised(row, board)
        return -board.sign * (row.value.mean if math.isnan(value) else value)

    order = sorted(board.ranked, key=closed)
    other = order[:FIRST]
    first = board.ranked[:FIRST]
    if [row.config for row in other] == [row.config for row in first]:
        return []
    if passed := list(_passed_over(board.ranked, order)):
        return [_not_known(board, passed, len(first))]
    names = [[str(Markup("<b>{}</b>").format(row.label)) for row in rows] for rows in (other, first)]
    if len({row.config for row in other} ^ {row.config for row in first}) and other[0] is first[0]:
        what = "after the first of the ranked would come"
        names = [some[1:] for some in names]
    else:
        what = "the first of the ranked would be"
    text = Markup("With renormalised ends {} {}, instead of {}").format(what, *(Markup(listed(some)) for some in names))
    if any(at_most(row) for row in other + list(first) if not math.isnan(owed(row, board))):
        text += " (by bounds of which some cannot be trusted, for their proposals were fitted with open ends)"
    return [text + "."]


def _passed_over(ranked: Sequence[Row], order: Sequence[Row]) -> Iterator[Row]:
    """Rows of no more than a bound that would lose their places to some of the first of another order."""
    for row in ranked:
        before = order[: order.index(row)][:FIRST]
        known = math.isnan(row.results.renormalised_nats) or not at_most(row)
        if not known and any(ranked.index(other) > ranked.index(row) for other in before):
            yield row


def _not_known(board: Board, passed: Sequence[Row], first: int) -> Markup:
    each = [
        Markup("<b>{}</b> would be at {}{}").format(
            row.label, measured(renormalised(row, board), board.unit), OR_BETTER
        )
        for row in passed
    ]
    return Markup(
        "How the first {} of the ranked would stand with renormalised ends is not known: {}, by {} that cannot be "
        "trusted, for {} proposals were fitted with open ends."
    ).format(first, first_of(each), *(("a bound", "its") if len(passed) == 1 else ("bounds", "their")))
