"""What is said of how trainings ended."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from bench.report.numbers import measured, number
from bench.report.text.findings import Finding, first_of
from bench.statistics.boards import Board
from bench.statistics.rows import Row


def how_it_ended(row: Row, unit: str) -> str:
    """How the trainings of one configuration ended; '' where it is not known."""
    ending = row.ending
    if not ending.most > 0:
        return ""
    fewest, most = number(ending.fewest, 0), number(ending.most, 0)
    epochs = most if fewest == most else f"{fewest}–{most}"
    if ending.improving:
        which = f" in {ending.improving} of {row.seeds} seeds" if ending.improving < row.seeds else ""
        return f"still improving at epoch {epochs}, by {measured(ending.gain, unit)}{which}"
    if ending.ended == row.seeds:
        return f"ended after {epochs} epochs"
    which = f", ended in {ending.ended} of {row.seeds} seeds" if ending.ended else ""
    return f"at its limit, {epochs} epochs{which}"


def not_ended(board: Board) -> Markup:
    """What the headline must say of trainings that had not ended: of the winner's, and of those of rivals within reach;
    nothing where all that matters had."""
    if not board.ranked:
        return Markup("")
    top, rivals = board.ranked[0], board.within_reach
    texts = []
    if top.ending.improving:
        texts.append(
            Markup("<b>{}</b> itself was still improving, by {} {} in the second half of its training").format(
                top.label, measured(top.ending.gain, board.unit), board.unit
            )
        )
    if rivals:
        names = first_of([Markup("<b>{}</b>").format(row.label) for row in rivals])
        less = "less than it gained" if len(rivals) == 1 else "no more than each gained"
        texts.append(
            Markup("{} {} behind by {} in the second half of {} training").format(
                names, "is" if len(rivals) == 1 else "are", less, "its" if len(rivals) == 1 else "their"
            )
        )
    if not texts:
        return Markup("")
    what = "The order of these" if rivals else "How far it leads"
    return Markup("But not every training had ended: {}. {} may be the schedule's.").format(
        Markup("; ").join(texts), what
    )


def training(board: Board) -> Iterator[Finding]:
    """How many trainings had not ended, and by how much they were still improving."""
    rows = board.unended
    if not rows:
        return
    most = max(rows, key=lambda row: row.ending.gain)
    whose = "its" if len(rows) == 1 else "their"
    text = Markup(
        "{} {} still improving when {} training reached its limit of epochs: by {} {} in the second half of it "
        "({}<b>{}</b>). Such scores are of the schedule too: train longer before concluding."
    ).format(
        "The only ranked configuration"
        if len(board.ranked) == 1
        else f"{len(rows)} of {len(board.ranked)} ranked configurations",
        "was" if len(rows) == 1 else "were",
        whose,
        measured(most.ending.gain, board.unit),
        board.unit,
        "" if len(rows) == 1 else "at most, ",
        most.label,
    )
    yield Finding("Training", (text,))
