"""The ranking as plain text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from bench.report.numbers import NOTHING, bound, bracket, listed, measured, several, withheld
from bench.report.provenance import loud
from bench.report.text.doubts import caution
from bench.report.text.findings import estimator, two_levels
from bench.report.text.references import OF_FAMILIES, OF_ROWS, SHORT_MARKS, crown, distance, mark
from bench.report.text.spread import made_of
from bench.report.text.training import fewer_seeds, lost_seeds, training
from bench.report.text.tuning import tuning, value_text, words
from bench.report.text.verdict import sentences
from bench.statistics.boards import Board, boards
from bench.statistics.references import in_short
from bench.statistics.rows import Row, Withheld
from bench.statistics.scored import unusable
from bench.store import RunTables
from vae_core.statistics.intervals import Verdict

NARROWEST = 10  # columns that a label is given at least
SHORT = 8  # letters of a key that stands above what was tuned
TUNED = 24  # columns that a label keeps where what was tuned is shown beside it
REASON = 25  # columns that are kept for why a row is left out, where its name is long
TYPED = {"−": "-", "\u00a0": " ", "≤": "<=", "≥": ">="}  # what every terminal can show


def ranking_text(tables: RunTables, width: int = 80, ranked: Sequence[Board] | None = None) -> str:
    """For each currency a verdict and the ranked configurations with intervals, in lines of at most `width` columns.
    `ranked` are its boards, where they are known already."""
    ranked = boards(tables) if ranked is None else ranked
    noticed = [line for text in loud(tables) for line in _wrapped(f"! {text}", width)]
    lines = [*noticed, *([""] if noticed else [])]
    lines += [line for board in ranked for line in (*_board(board, width), "")]
    failed = len(unusable(tables))
    if not ranked:
        lines.append("Nothing can be ranked: no cell has usable numbers.")
    if failed:
        lines += _wrapped(f"{failed} of {len(tables.cells)} cells failed; the report says why.", width)
    text = "\n".join(lines).rstrip()
    for shown, typed in TYPED.items():
        text = text.replace(shown, typed)
    return text


def _board(board: Board, width: int) -> list[str]:
    spoken = sentences(board)
    whole = board.everything
    title = (
        f"{board.name}: {several(len(whole), 'configuration')}, {board.unit} ({board.better} is better), "
        f"{several(board.images, 'test image')}, {several(max(row.seeds for row in whole), 'seed')}"
    )
    samples = " or ".join(str(count) for count in sorted({row.results.iw_samples for row in whole}))
    table = _ranked(board, width)
    notes = [
        f"Bounds on ln P with L = {samples} samples of z" + _intervals(board),
        *_marks(board),
        *_of_references(board),
        *(["*: at the edge of its range."] if any("*" in line for line in table) else []),
        *(["Each recipe stands as the reading that is best on validation images."] if board.readings else []),
        *(
            text.striptags()
            for topic in (training, lost_seeds, tuning, two_levels, made_of, estimator)
            for finding in topic(board)
            for text in finding.texts
        ),
    ]
    return [
        *_wrapped(title, width),
        *_wrapped(f"{spoken.headline.striptags()}. {spoken.gap.striptags()}", width),
        *table,
        *_left_out(board, width),
        *_wrapped(" ".join(notes), width),
        *_wrapped(f"To quote: {spoken.quote.striptags()}", width),
    ]


def _intervals(board: Board) -> str:
    """What the intervals are, the end of a sentence; and why some, or all, are not there."""
    if not board.judged:
        return f". No intervals and no verdicts: {Withheld.FEW_IMAGES}."
    text = "; intervals over images and seeds."
    hidden = [row for row in board.ranked if row.value.withheld]
    if hidden:
        reasons = listed(list(dict.fromkeys(withheld(row.value, board.unit) for row in hidden)))
        text += f" {reasons[:1].upper()}{reasons[1:]} ({several(len(hidden), 'row')})."
    return text


def _marks(board: Board) -> list[str]:
    """What the marks of rows say that stand on fewer seeds than others."""
    fewer = {f"({row.seeds}/{board.most_seeds})": fewer_seeds(row, board) for row in board.ranked}
    return [
        f"{mark}: stands on {some}, its interval on the noise of the others." for mark, some in fewer.items() if some
    ]


def _of_references(board: Board) -> list[str]:
    """What the rows of references are, and the marks of rows that are worse than the plainest of them."""
    notes = []
    if board.ranked and board.references:
        notes.append(OF_ROWS)
        if len(in_short(board.references)) < len(board.references):
            notes.append(OF_FAMILIES)
    said = {mark(board, row) for row in board.everything}
    return notes + [f"{short}: {long}." for long, short in SHORT_MARKS.items() if long in said]


def _ranked(board: Board, width: int) -> list[str]:
    """The ranking as a table, references at their places in it; nothing where nothing is ranked."""
    if not board.ranked:
        return []
    table = [
        ("#", "likelihood", f"{board.unit} [95 %]" if board.judged else board.unit, "worse than best by"),
        *(
            (
                NOTHING if row.rank is None else str(row.rank),
                row.label,
                f"{measured(row.value.mean, board.unit)} {_interval(row, board)}".rstrip(),
                _verdict(row, board),
            )
            for row in board.standing
        ),
    ]
    marks = ["", *(_after_label(board, row) for row in board.standing)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    widths[1] = max(len(row[1]) + len(mark) for row, mark in zip(table, marks, strict=True))
    room = width - widths[0] - widths[2] - widths[3] - 6
    tuned = _tuned(board)
    beside = max(map(len, tuned)) + 2
    if beside == 2 or room - beside < min(widths[1], TUNED):
        tuned, beside = [""] * len(table), 0  # where it does not fit, the notes say what lies at an edge
    widths[1] = max(NARROWEST, min(widths[1], room - beside))
    return [
        f"{rank:>{widths[0]}}  {_cut(label, widths[1] - len(mark)) + mark:<{widths[1]}}  {chosen:<{beside}}"
        f"{value:>{widths[2]}}  {verdict}".rstrip()
        for (rank, label, value, verdict), chosen, mark in zip(table, tuned, marks, strict=True)
    ]


def _after_label(board: Board, row: Row) -> str:
    """The short marks of a row."""
    fewer = f" ({row.seeds}/{board.most_seeds})" if fewer_seeds(row, board) else ""
    said = mark(board, row)
    return fewer + (f" {SHORT_MARKS[said]}" if said else "")


def _tuned(board: Board) -> list[str]:
    """A column of what was tuned, with its head, and a star at what lies at an edge of its range; empty without."""
    keys = list(dict.fromkeys(key for row in board.ranked for key in row.tuned.candidates))
    if not keys:
        return [""] * (len(board.standing) + 1)
    return [
        words(keys[0]) if len(keys) == 1 and len(keys[0]) <= SHORT else "tuned",
        *(
            ", ".join(
                f"{value_text(value)}{'*' if key in row.tuned.edges else ''}" for key, value in row.tuned.values.items()
            )
            for row in board.standing
        ),
    ]


def _left_out(board: Board, width: int) -> list[str]:
    """What is not ranked, a line each: its name, what it is at least, and why as far as it fits."""
    rows = board.left_out
    if not rows:
        return []
    bounds = [bound(row, board.unit) for row in rows]
    widest = max(map(len, bounds)) + 1  # "≤" is typed with two letters
    most = max(width // 3, width - widest - 7 - REASON)  # a name before its reason: the name tells rows apart
    room = max(NARROWEST, min(max(len(row.label) for row in rows), most))
    left = width - room - widest - 7
    return [
        f"left out of the ranking, at least this good in {board.unit}:",
        *(
            f"!  {_cut(row.label, room):<{room}}  {shown:>{widest - 1}}  {_cut(caution(row.doubts, board.unit), left)}"
            for shown, row in zip(bounds, rows, strict=True)
        ),
    ]


def _interval(row: Row, board: Board) -> str:
    return "[withheld]" if row.value.withheld is Withheld.IMPOSSIBLE else bracket(row.value, board.unit)


def _verdict(row: Row, board: Board) -> str:
    """What stands in the last column; of a reference, that it is one, and by how much it is worse."""
    unit = board.unit
    if row.reference:
        return distance(row, unit)
    match row.verdict:
        case Verdict.BEST:
            return crown(board)
        case Verdict.INDISTINGUISHABLE:
            return "indistinguishable"
        case Verdict.UNPAIRED:
            return "no seed in common"
        case Verdict.UNJUDGED:
            return "not judged" if row.rank == 1 else measured(row.behind.mean, unit)
        case Verdict.WORSE:
            return f"{measured(row.behind.mean, unit)} {bracket(row.behind, unit)}"
        case _:
            raise ValueError(f"no configuration is {row.verdict}")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
