"""What a terminal says beside a ranking: each mark, word and caution in a short line. The page has the whole of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from bench.report.numbers import drawn_by, listed, measured, several, withheld
from bench.report.text.findings import first_of, two_levels
from bench.report.text.references import SHORT_MARKS, mark
from bench.report.text.training import fewer_seeds, lost_seeds
from bench.report.text.tuning import remedy, words
from bench.statistics.boards import Board
from bench.statistics.references import in_short
from bench.statistics.rows import Row
from bench.statistics.trust import Against
from vae_core.statistics.blocks import FEWEST_IMAGES

CELL = "a cell is one configuration with one seed"
EDGE = "*"  # of what was tuned and lies at the edge of its range
KHAT = "how heavy the tail of an image's weights is; bad where a few samples of z outweigh all others"


@dataclass(frozen=True)
class Note:
    """A mark or a word as it stands in the ranking, and what it means there."""

    word: str
    text: str


def notes(board: Board, tuned: bool) -> list[Note]:
    """All notes on a board, references last; `tuned`: whether what was tuned has a column."""
    return [
        *_scores(board),
        *_fewer(board),
        *_against(board),
        *_tuned(board, tuned),
        *_recipes(board),
        *_training(board),
        *_levels(board),
        *_words(board),
        *_references(board),
    ]


def seeds_mark(row: Row, board: Board) -> str:
    """'(1/3)' of a row that stands on fewer seeds than others."""
    return f"({row.seeds}/{board.most_seeds})" if fewer_seeds(row, board) else ""


def _scores(board: Board) -> Iterator[Note]:
    """What the numbers are, what the intervals are, and why some, or all, are not there."""
    samples = listed([str(count) for count in sorted({row.results.iw_samples for row in board.everything})])
    refined = sum(row.refined > 0 for row in board.everything)
    which = "" if refined == len(board.everything) else f"{refined} of {len(board.everything)} "
    bound = f"a lower bound on ln P from L = {samples.replace(' and ', ' or ')} samples of z"
    bound += f", {which}refined" if refined else ""
    if not board.judged:
        yield Note(board.unit, f"{bound}; no intervals and no verdicts: fewer than {FEWEST_IMAGES} {drawn_by(board)}")
        return
    yield Note(board.unit, bound)
    hidden = [row for row in board.ranked if row.value.withheld]
    if hidden:
        reasons = listed(list(dict.fromkeys(withheld(row.value, board.unit) for row in hidden)))
        yield Note("[withheld]", f"{reasons} ({several(len(hidden), 'row')})")
    if board.ranked and len(hidden) < len(board.ranked):
        noise = "images and seeds" if board.most_seeds > 1 else "images; one seed does not tell the noise of training"
        yield Note("[95 %]", f"over {noise}")


def _fewer(board: Board) -> Iterator[Note]:
    """What the marks of rows say that stand on fewer seeds than others, and which seeds gave no score."""
    for short, some in {seeds_mark(row, board): fewer_seeds(row, board) for row in board.ranked}.items():
        if short:
            yield Note(short, f"stands on {some}, its interval on the noise of the others")
    yield from (Note("seeds", _spoken(text)) for finding in lost_seeds(board) for text in finding.texts)


def _against(board: Board) -> Iterator[Note]:
    """The marks of rows that are worse than the plainest references."""
    said = {mark(board, row) for row in board.everything}
    yield from (Note(short, long) for long, short in SHORT_MARKS.items() if long in said)


def _tuned(board: Board, shown: bool) -> Iterator[Note]:
    keys = list(dict.fromkeys(key for row in board.ranked for key in row.tuned.candidates))
    if keys and shown:
        whose = "each from the same candidates" if len(board.ranked) > 1 else "from the candidates of the grid"
        yield Note("tuned", f"the {listed([words(key) for key in keys])}, chosen on validation images, {whose}")
    edged = [row for row in board.ranked if row.tuned.edges]
    if edged:
        yield Note(EDGE, f"what was tuned lies at the edge of its range: {_plain(remedy(edged))}")


def _recipes(board: Board) -> Iterator[Note]:
    names = list(dict.fromkeys(row.family for row in board.everything if row.recipe))
    if names and board.readings:
        few = _plain(first_of([Markup("{}").format(name) for name in names]))
        what = "is a loss, no likelihood" if len(names) == 1 else "are losses, no likelihoods"
        yield Note("recipes", f"{few} {what}: read as the distribution that fits validation images best")


def _training(board: Board) -> Iterator[Note]:
    """How many trainings had not ended: such scores are of the schedule too."""
    rows = board.unended
    if not rows:
        return
    most = max(rows, key=lambda row: row.ending.gain)
    by = f"{measured(most.ending.gain, board.unit)} {board.unit} in the second half"
    if len(board.ranked) == 1:
        yield Note("training", f"still improving at its last epoch, by {by}: train longer before concluding")
        return
    whom = f"{len(rows)} of {len(board.ranked)} {'was' if len(rows) == 1 else 'were'} still improving at the last epoch"
    most_of_them = f"{most.label} by {by}" if len(rows) == 1 else f"most of all {most.label}, by {by}"
    yield Note("training", f"{whom}, {most_of_them}: train longer before concluding")


def _levels(board: Board) -> Iterator[Note]:
    """That on two levels families are one distribution, where there is anything to compare."""
    if len(board.everything) > 1:
        yield from (Note("2 levels", _spoken(text)) for finding in two_levels(board) for text in finding.texts)


def _words(board: Board) -> Iterator[Note]:
    """What words of the ranking mean, if they were met."""
    if any(row.refined for row in board.everything):
        yield Note("refined", "z is drawn from a proposal fitted to each test image")
    if any(doubt.against is Against.BAD_KHAT for row in board.left_out for doubt in row.doubts):
        yield Note("k̂", KHAT)


def _references(board: Board) -> Iterator[Note]:
    if not board.ranked or not board.references:
        return
    if len(in_short(board.references)) < len(board.references):
        yield Note("no latent", "of the families without one the best stands for all")
    yield Note("(reference)", "a score that needs no network, to hold the others against; unranked")


def _plain(text: Markup) -> str:
    """A sentence within a line: without marks of the page, and without its full stop."""
    return text.striptags().removesuffix(".")


def _spoken(text: Markup) -> str:
    """A sentence of the page, after its word in a line."""
    plain = _plain(text)
    return plain[:1].lower() + plain[1:]
