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
SAYS_LESS = "says less than a table of frequencies"
#: short marks of rows in a terminal
SHORT_MARKS = {BELOW_UNIFORM: "~~", SAYS_LESS: "~"}
OF_ROWS = "(reference): trained by nobody, no configuration; by how much it is worse than the best."
OF_FAMILIES = "Of the families without a latent the best stands for all."


def mark(board: Board, row: Row) -> str:
    """What speaks against a configuration as a whole, by the plainest reference that it is worse than; '' where nothing
    does."""
    if board.below_uniform(row):
        return BELOW_UNIFORM
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


def tag(row: Row) -> str:
    """What a reference is called in the ranking: that it is one, and how the best configuration stands to it."""
    if math.isnan(row.behind.mean) or is_beaten(row):
        return "reference"
    better = row.verdict == Verdict.BETTER or (row.verdict in (None, Verdict.UNJUDGED) and row.behind.mean < 0)
    return "reference, better" if better else "reference, not beaten"


def distance(row: Row, unit: str) -> str:
    """How much worse a reference is than the best configuration, as a terminal's table has it."""
    return f"{measured(row.behind.mean, unit)} (reference)" if math.isfinite(row.behind.mean) else "reference"
