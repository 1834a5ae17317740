"""The ranking as plain text for a terminal."""

from __future__ import annotations

import textwrap

import pandas as pd

from bench.compare import Verdict
from bench.report.boards import Board, boards, unusable
from bench.report.numbers import bracket, measured, several
from bench.report.words import words
from bench.store import RunTables

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
    return "\n".join(lines).rstrip().replace("−", "-").replace("\u00a0", " ")


def _board(board: Board, width: int) -> list[str]:
    said = words(board)
    rows = board.rows
    title = (
        f"{board.name}: {several(len(rows), 'configuration')}, {board.unit} ({board.better} is better), "
        f"{several(board.images, 'test image')}, {several(int(rows['seeds'].max()), 'seed')}"
    )
    values = [
        f"{measured(r['value'], board.unit)} {bracket(r['low'], r['high'], board.unit)}" for _, r in rows.iterrows()
    ]
    verdicts = [_verdict(row, board.unit) for _, row in rows.iterrows()]
    ranks = [str(rank) + (" " if trusted else "!") for rank, trusted in zip(rows["rank"], rows["trusted"], strict=True)]
    heads = ("#", "likelihood", f"{board.unit} [95 %]", "worse than best by")
    columns = (ranks, list(rows["label"]), values, verdicts)
    widths = [max(len(head), *map(len, column)) for head, column in zip(heads, columns, strict=True)]
    widths[1] = max(NARROWEST, min(widths[1], width - widths[0] - widths[2] - widths[3] - 6))
    table = [
        f"{rank:>{widths[0]}}  {_cut(label, widths[1]):<{widths[1]}}  {value:>{widths[2]}}  {verdict}".rstrip()
        for rank, label, value, verdict in zip(
            *((head, *column) for head, column in zip(heads, columns, strict=True)), strict=True
        )
    ]
    samples = sorted(set(rows["iw_samples"]))
    bound = f"Bounds on ln P with L = {' or '.join(map(str, samples))} samples of z; intervals over images and seeds."
    notes = [bound] + ["! not converged: the true value is better than shown."] * (not rows["trusted"].all())
    verdict = f"{said.headline.striptags()}. {said.gap.striptags()}"
    return [
        *_wrapped(title, width),
        *_wrapped(verdict, width),
        *table,
        *(line for note in notes for line in _wrapped(note, width)),
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
