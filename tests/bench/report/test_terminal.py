"""The ranking as text."""

from __future__ import annotations

import dataclasses
import re

import pytest

from bench.report import numbers, ranking_text
from bench.report.text.verdict import sentences
from bench.statistics.boards import boards
from bench.store import RunTables


@pytest.mark.parametrize("width", [80, 100, 120])
def test_text_fits_the_terminal(tables: RunTables, width: int) -> None:
    lines = ranking_text(tables, width).splitlines()
    assert max(map(len, lines)) <= width
    assert not any("−" in line or "\u00a0" in line for line in lines)


def test_text_says_the_verdict_and_ranks_what_can_be_trusted(tables: RunTables) -> None:
    text = ranking_text(tables)
    flat = " ".join(text.split())
    for board in boards(tables):
        assert sentences(board).headline.striptags() in flat
        for row in board.ranked:
            value = numbers.measured(row.value.mean, board.unit).replace("−", "-")
            assert any(re.match(rf" *{row.rank} +{row.family}.* {value} ", line) for line in text.splitlines())
        for row in board.left_out:
            value = numbers.measured(row.value.mean, board.unit)
            assert any(re.match(rf"!  {row.label} +<= {value}  k̂ bad in", line) for line in text.splitlines())
    assert "3 of 132 cells failed" in flat


def test_long_labels_are_cut_and_numbers_are_not(tables: RunTables) -> None:
    cells = tables.cells.assign(label=tables.cells["label"] + " " + "very " * 20 + "long")
    lines = ranking_text(dataclasses.replace(tables, cells=cells)).splitlines()
    assert max(map(len, lines[5:])) <= 80
    assert sum("…" in line for line in lines) == 44
    assert sum(bool(re.search(r"\d\]", line)) for line in lines) >= 41
