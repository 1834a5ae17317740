"""What is said of references, and of configurations that are worse than the plainest of them."""

from __future__ import annotations

import math

from markupsafe import Markup

from bench.report.numbers import measured
from bench.report.text.findings import first_of
from bench.statistics.boards import Board
from bench.statistics.references import is_beaten
from bench.statistics.rows import Row
from vae_core.statistics.intervals import Verdict

BELOW_UNIFORM = "worse than a uniform guess"
NOT_ABOVE_UNIFORM = "not shown to be better than a uniform guess"
SAYS_LESS = "says less than a table of frequencies"
#: short marks of rows in a terminal
SHORT_MARKS = {BELOW_UNIFORM: "~~", NOT_ABOVE_UNIFORM: "~~?", SAYS_LESS: "~"}


def mark(board: Board, row: Row) -> str:
    """What speaks against a configuration as a whole, by the plainest reference that it is worse than; '' where nothing
    does, and of what is left out: its true value is better than its bound, and may be better than the reference."""
    return by_its_bound(board, row) if row.trusted else ""


def by_its_bound(board: Board, row: Row) -> str:
    """The same of the value that is shown, be it no more than a bound."""
    if not board.beats_uniform(row):
        return to_uniform(board, row)
    return SAYS_LESS if board.says_less(row) else ""


def not_held(board: Board) -> Markup:
    """Which references there are not to hold the first configuration against; nothing where all are there."""
    if not board.ranked:
        return Markup("")
    if board.unreferred:
        names = [Markup("<b>{}</b> ({})").format(label, reason) for label, reason in board.unreferred]
        return Markup("Not held against {}, which could not be had.").format(first_of(names))
    if not board.references:
        return Markup(
            "No reference is in this run, so nothing is held against a histogram or a mixture without a network: "
            "carry the run out again, which adds them."
        )
    return Markup("")


def to_uniform(board: Board, row: Row) -> str:
    """How a configuration stands to a uniform guess that it does not beat: worse, where noise is left out."""
    return BELOW_UNIFORM if board.shown_below_uniform(row) else NOT_ABOVE_UNIFORM


def above_references(board: Board) -> str:
    """That the first configuration is better than all references, where there are any and that is shown."""
    if not board.references or not board.judged or board.unbeaten or not board.beats_uniform(board.ranked[0]):
        return ""
    return "better than every reference"


def crown(board: Board) -> str:
    """What the first ranked configuration is called: "best", where it has beaten the references, a uniform guess among
    them, and shares a seed with every rival; "only", where there is nothing to be better than."""
    if (
        len(board.everything) == 1
        and not board.references
        and not board.failed
        and board.beats_uniform(board.ranked[0])
    ):
        return "only"
    behind = board.unbeaten or board.unpaired or not board.beats_uniform(board.ranked[0])
    return "first" if behind else "best"


def tag(row: Row) -> str:
    """What a reference is called in the ranking: that it is one, and how the best configuration stands to it."""
    if math.isnan(row.behind.mean) or is_beaten(row):
        return "reference"
    if row.verdict == Verdict.UNJUDGED:
        return "reference, not judged"
    better = row.verdict == Verdict.BETTER or (row.verdict is None and row.behind.mean < 0)
    return "reference, better" if better else "reference, not beaten"


def distance(row: Row, unit: str) -> str:
    """How much worse a reference is than the best configuration, as a terminal's table has it."""
    return f"{measured(row.behind.mean, unit)} (reference)" if math.isfinite(row.behind.mean) else "reference"
