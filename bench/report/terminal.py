"""The ranking as plain text for a terminal."""

from __future__ import annotations

import textwrap

import pandas as pd

from bench.report.numbers import bound, bracket, measured, several
from bench.report.text.findings import estimator
from bench.report.text.verdict import words
from bench.statistics.boards import Board, boards, unusable
from bench.store import RunTables
from vae_core.statistics.intervals import Verdict

NARROWEST = 10  # columns that a label is given at least


def ranking_text(tables: RunTables, width: int = 80) -> str:
    """For each currency a verdict and the ranked configurations with intervals, in lines of at most `width` columns."""
    found = boards(tables)
    lines = [line for board in found for line in (*_board(board, width), "")]
    failed = len(unusable(tables))
    if not found:
        lines.append("Nothing can be ranked: no cell has usable numbers.")
    if failed:
        lines += _wrapped(f"{failed} of {len(tables.cells)} cells failed; the report says why.", width)
    text = "\n".join(lines).rstrip()
    for shown, typed in (("−", "-"), ("\u00a0", " "), ("≤", "<="), ("≥", ">=")):
        text = text.replace(shown, typed)
    return text


def _board(board: Board, width: int) -> list[str]:
    said = words(board)
    whole = board.everything
    title = (
        f"{board.name}: {several(len(whole), 'configuration')}, {board.unit} ({board.better} is better), "
        f"{several(board.images, 'test image')}, {several(int(whole['seeds'].max()), 'seed')}"
    )
    verdict = f"{said.headline.striptags()}. {said.gap.striptags()}"
    samples = sorted(set(whole["iw_samples"]))
    bound_of = (
        f"Bounds on ln P with L = {' or '.join(map(str, samples))} samples of z; intervals over images and seeds."
    )
    notes = [bound_of, *(text.striptags() for finding in estimator(board) for text in finding.texts)]
    return [
        *_wrapped(title, width),
        *_wrapped(verdict, width),
        *_ranked(board, width),
        *_left_out(board, width),
        *_wrapped(" ".join(notes), width),
    ]


def _ranked(board: Board, width: int) -> list[str]:
    """The ranking as a table."""
    rows = board.rows
    if rows.empty:
        return []
    values = [
        f"{measured(r['value'], board.unit)} {bracket(r['low'], r['high'], board.unit)}" for _, r in rows.iterrows()
    ]
    verdicts = [_verdict(row, board.unit) for _, row in rows.iterrows()]
    heads = ("#", "likelihood", f"{board.unit} [95 %]", "worse than best by")
    columns = ([str(rank) for rank in rows["rank"]], list(rows["label"]), values, verdicts)
    widths = [max(len(head), *map(len, column)) for head, column in zip(heads, columns, strict=True)]
    widths[1] = max(NARROWEST, min(widths[1], width - widths[0] - widths[2] - widths[3] - 6))
    return [
        f"{rank:>{widths[0]}}  {_cut(label, widths[1]):<{widths[1]}}  {value:>{widths[2]}}  {verdict}".rstrip()
        for rank, label, value, verdict in zip(
            *((head, *column) for head, column in zip(heads, columns, strict=True)), strict=True
        )
    ]


def _left_out(board: Board, width: int) -> list[str]:
    """What is not ranked, a line each: its name, what it is at least, and why as far as it fits."""
    rows = board.left_out
    if rows.empty:
        return []
    bounds = [bound(row, board.unit) for _, row in rows.iterrows()]
    widest = max(map(len, bounds)) + 1  # "≤" is typed with two letters
    room = max(NARROWEST, min(max(map(len, rows["label"])), width // 3))
    left = width - room - widest - 7
    return [
        f"left out of the ranking, at least this good in {board.unit}:",
        *(
            f"!  {_cut(str(row['label']), room):<{room}}  {shown:>{widest - 1}}  {_cut(str(row['caution']), left)}"
            for shown, (_, row) in zip(bounds, rows.iterrows(), strict=True)
        ),
    ]


def _verdict(row: pd.Series, unit: str) -> str:
    match row["verdict"]:
        case Verdict.BEST:
            return "best"
        case Verdict.INDISTINGUISHABLE:
            return "indistinguishable"
        case Verdict.UNPAIRED:
            return "no seed in common"
    return f"{measured(row['worse_by'], unit)} {bracket(row['worse_low'], row['worse_high'], unit)}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
