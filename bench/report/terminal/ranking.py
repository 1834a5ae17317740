"""The ranking as plain text for a terminal."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence

from bench.report.numbers import NOTHING, bound, bracket, measured, several, tested_on
from bench.report.provenance import loud
from bench.report.terminal.notes import CELL, EDGE, Note, notes, seeds_mark
from bench.report.text.claims.carry import short
from bench.report.text.doubts import caution
from bench.report.text.references import SHORT_MARKS, crown, distance, mark
from bench.report.text.run import DIFFER, by_reason
from bench.report.text.tuning import value_text, words
from bench.report.text.verdict import sentences
from bench.statistics.boards import Board, boards
from bench.statistics.claims.carry import carried
from bench.statistics.rows import Row, Withheld
from bench.statistics.scored import unusable
from bench.store import RunTables
from vae_core.statistics.intervals import Verdict

NARROWEST = 10  # columns that a label is given at least
SHORT = 8  # letters of a key that stands above what was tuned
REASON = 25  # columns that are kept for why a row is left out, where its name is long
LISTED = 12  # configurations without a score that are named before the rest is only counted
TYPED = {"−": "-", "\u00a0": " ", "≤": "<=", "≥": ">="}  # what every terminal can show


def ranking_text(tables: RunTables, width: int = 80, ranked: Sequence[Board] | None = None) -> str:
    """For each currency a verdict, the ranked configurations with intervals and what to know of them, scope last, in
    lines of at most `width` columns. What a mark or a word means is said where it is met first. `ranked` are the run's
    boards, where they are known already."""
    ranked, said = boards(tables) if ranked is None else ranked, set[Note]()
    blocks = [_wrapped(f"! {text}", width) for text in loud(tables)]
    blocks += [block for board in ranked for block in _board(board, width, said)]
    if not ranked:
        blocks.append(["Nothing can be ranked: no cell has usable numbers."])
    blocks += [_wrapped(short(found), width) for found in carried(ranked)]
    blocks.append(_failures(tables, width, alone=not ranked))
    text = "\n\n".join("\n".join(block) for block in blocks if block)
    for shown, typed in TYPED.items():
        text = text.replace(shown, typed)
    return text


def _board(board: Board, width: int, said: set[Note]) -> Iterator[list[str]]:
    """What is said of a board, in blocks; without the notes that were `said` before."""
    spoken, whole = sentences(board), board.everything
    yield [
        *_wrapped(f"{board.name}: {board.unit}, {board.better} is better", width),
        *_wrapped(
            f"{several(len(whole), 'configuration')}, {several(max(row.seeds for row in whole), 'seed')}, "
            f"{tested_on(board)}",
            width,
        ),
    ]
    yield _wrapped(f"{spoken.headline.striptags()}. {spoken.gap.striptags()}", width)
    table, has_tuned = _ranked(board, width)
    yield table
    yield _left_out(board, width)
    yield _without_score(board, width)
    new = [note for note in notes(board, has_tuned) if note not in said]
    said.update(new)
    yield _noted(new, width)
    yield _wrapped(f"To quote: {spoken.quote.striptags()}", width)


def _noted(new: Sequence[Note], width: int) -> list[str]:
    """Words and marks in a column, what they mean beside them."""
    if not new:
        return []
    margin = max(len(note.word) for note in new) + 2
    return [line for note in new for line in _hanging(f"{note.word:<{margin}}", note.text, width)]


def _failures(tables: RunTables, width: int, alone: bool) -> list[str]:
    """How many cells failed; where nothing else is shown, the reasons too."""
    failed = unusable(tables)
    if not len(failed):
        return []
    whole = len(tables.cells)
    lines = _wrapped(f"{len(failed)} of {several(whole, 'cell')} failed ({CELL}); the report says why.", width)
    if alone:
        groups = by_reason(list(failed.itertuples(index=False)))
        for group in groups[:LISTED]:
            reason = f"{group[0].reason}{DIFFER if len({row.reason for row in group}) > 1 else ''}"
            lines += _hanging(f"{len(group):>{len(str(whole))}} ", reason, width)
        if len(groups) > LISTED:
            lines.append(f"and {several(len(groups) - LISTED, 'other reason')}")
    return lines


def _ranked(board: Board, width: int) -> tuple[list[str], bool]:
    """The ranking as a table, references at their places in it, and whether it has a column of what was tuned, which
    never takes the place of a name; nothing where nothing is ranked."""
    if not board.ranked:
        return [], False
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
    ranks, names, values, verdicts = zip(*table, strict=True)
    widths = [max(map(len, column)) for column in (ranks, values, verdicts)]
    room = width - sum(widths) - 6
    tuned = _tuned(board)
    beside = max(map(len, tuned)) + 2
    marks = ["", *(_after_label(board, row) for row in board.standing)]
    longest = max(len(name) + len(said) for name, said in zip(names, marks, strict=True))
    if has_tuned := beside > 2 and longest + beside <= room:
        room -= beside
    else:
        tuned, beside = [""] * len(table), 0
        edged = ["", *(f" {EDGE}" if row.tuned.edges else "" for row in board.standing)]
        marks = [said + edge for said, edge in zip(marks, edged, strict=True)]
        longest = max(len(name) + len(said) for name, said in zip(names, marks, strict=True))
    labels = max(NARROWEST, min(longest, room))
    lines = []
    for rank, name, said, chosen, value, verdict in zip(ranks, names, marks, tuned, values, verdicts, strict=True):
        first, *rest = _in_lines(name, said, labels)
        numbers = f"{value:>{widths[1]}}  {verdict}"
        lines.append(f"{rank:>{widths[0]}}  {first:<{labels}}  {chosen:<{beside}}{numbers}".rstrip())
        lines += [f"{'':{widths[0]}}  {more}" for more in rest]
    return lines, has_tuned


def _after_label(board: Board, row: Row) -> str:
    """The short marks of a row."""
    return "".join(f" {short}" for short in (seeds_mark(row, board), SHORT_MARKS.get(mark(board, row), "")) if short)


def _tuned(board: Board) -> list[str]:
    """A column of what was tuned, with its head, and a star at what lies at an edge of its range; empty without."""
    keys = list(dict.fromkeys(key for row in board.ranked for key in row.tuned.candidates))
    if not keys:
        return [""] * (len(board.standing) + 1)
    return [
        words(keys[0]) if len(keys) == 1 and len(keys[0]) <= SHORT else "tuned",
        *(
            ", ".join(
                f"{value_text(value)}{EDGE if key in row.tuned.edges else ''}"
                for key, value in row.tuned.values.items()
            )
            for row in board.standing
        ),
    ]


def _left_out(board: Board, width: int) -> list[str]:
    """What is not ranked: its name, what it is at least, and why."""
    rows = board.left_out
    if not rows:
        return []
    bounds = [bound(row, board.unit) for row in rows]
    widest = max(map(len, bounds)) + 1  # "≤" is typed with two letters
    most = max(width // 3, width - widest - 7 - REASON)  # a name before its reason: the name tells rows apart
    room = max(NARROWEST, min(max(len(row.label) for row in rows), most))
    left = width - room - widest - 7
    lines = _wrapped(f"left out of the ranking, at least this good in {board.unit}:", width)
    for shown, row in zip(bounds, rows, strict=True):
        names = _in_lines(row.label, "", room)
        reasons = _wrapped(caution(row.doubts, board.unit), max(left, NARROWEST))
        lines.append(f"!  {names[0]:<{room}}  {shown:>{widest - 1}}  {reasons[0]}".rstrip())
        for place in range(1, max(len(names), len(reasons))):
            name, reason = (part[place] if place < len(part) else "" for part in (names, reasons))
            lines.append(f"   {name:<{room}}  {'':{widest}}  {reason}".rstrip())
    return lines


def _without_score(board: Board, width: int) -> list[str]:
    """What failed in every seed, a line each."""
    if not board.failed:
        return []
    lines = ["without a score:"]
    lines += [line for lost in board.failed[:LISTED] for line in _hanging("!  ", f"{lost.label}: {lost.reason}", width)]
    if len(board.failed) > LISTED:
        lines.append(f"   and {several(len(board.failed) - LISTED, 'configuration')} more")
    return lines


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


def _in_lines(name: str, said: str, width: int) -> list[str]:
    """A name and its marks in a line, or in two or three where they are longer; longer still, the name is cut."""
    if len(name + said) <= width:
        return [name + said]
    if said and len(name) <= width:
        return [name, f" {said}"]
    first, *rest = textwrap.wrap(name + said, width, subsequent_indent="  ", break_on_hyphens=False)
    if len(rest) <= 2:
        return [first, *rest]
    left = name.removeprefix(first).lstrip().removeprefix(rest[0].lstrip()).lstrip()
    return [first, rest[0], _cut(f"  {left}", max(width - len(said), NARROWEST // 2)) + said]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _hanging(start: str, text: str, width: int) -> list[str]:
    """Text beside its start; a mark above a letter, as that of k̂, takes no column of its own."""
    above = sum(map(bool, map(unicodedata.combining, start)))
    margin = " " * len(start)
    lines = textwrap.wrap(text, width - above, initial_indent=start, subsequent_indent=margin, break_on_hyphens=False)
    return [start + " " * above + lines[0][len(start) :], *lines[1:]]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
