"""A reference, one number without seeds or verdict, stands in the ranking at its place and changes nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import pandas as pd
import pytest

from bench.report import build, ranking, ranking_text
from bench.report.numbers import NOTHING, measured
from bench.report.page import context
from bench.report.text.verdict import sentences
from bench.statistics import references
from bench.statistics.boards import Board, boards
from bench.statistics.contests import Contest
from bench.statistics.rows import Row
from bench.store import RunTables
from tests.bench.report.page_reader import Element, read
from tests.bench.report.runs import doubted, few, section

T = TypeVar("T")
LABEL = "codec <lossless>"


@pytest.fixture(params=[0, 2, None], ids=["the best of all", "third", "the last, off the axis"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Where a reference is planted among the ranked rows of grey levels, by its value."""
    ranked = boards(few())[0].ranked
    at: int = len(ranked) if request.param is None else request.param
    means = [ranked[0].value.mean - 0.1, *(row.value.mean for row in ranked), 40.0]
    plant(monkeypatch, (means[at] + means[at + 1]) / 2)
    return at


def plant(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    def kind(contest: Contest, tables: RunTables) -> Iterable[Row]:
        if contest.currency == "pmf-K":
            yield references.reference(LABEL, value)

    monkeypatch.setattr(references, "KINDS", (kind,))


def unplanted(monkeypatch: pytest.MonkeyPatch, made: Callable[[], T]) -> T:
    """What is made where no reference is planted."""
    with monkeypatch.context() as without:
        without.setattr(references, "KINDS", ())
        return made()


def grey() -> Board:
    return boards(few())[0]


def rows(tables: RunTables, folder: Path) -> list[Element]:
    shown = read(build(tables, folder / "index.html"))
    return section(shown, "ranking").all("table", class_="ranked")[0].one("tbody").all("tr")


def test_it_stands_at_its_place_by_value_and_in_no_rank(place: int) -> None:
    board = grey()
    assert [row.reference for row in board.standing].index(True) == place
    assert [row.rank for row in board.ranked] == list(range(1, len(board.ranked) + 1))
    (row,) = board.references
    assert (row.rank, row.verdict, row.seeds) == (None, None, 0)
    assert not any(own.reference for own in board.everything)


@pytest.mark.slow
def test_the_table_of_the_page_shows_it_marked_and_with_nothing_but_its_score(place: int, tmp_path: Path) -> None:
    shown = rows(few(), tmp_path)
    assert len(shown) == len(grey().ranked) + 1
    line = shown.pop(place)
    assert line.attributes["class"] == "reference"
    texts = [cell.text for cell in line.all("td")]
    (value,) = (row.value.mean for row in grey().references)
    assert line.one("th").text == LABEL
    assert texts[0] == ""
    assert texts[2] == measured(value, "bits/dim"), "no interval"
    assert line.one("span", class_="tag").text == "reference"
    assert not any("nan" in path.attributes["d"] for path in line.all("path"))
    assert {texts[1], *texts[5:]} == {NOTHING}
    assert [row.all("td")[0].text for row in shown] == [str(rank) for rank in range(1, len(shown) + 1)]
    assert all(row.attributes["class"] in ("best", "tied", "worse") for row in shown)


def test_the_terminal_shows_it_at_its_place(place: int) -> None:
    lines = ranking_text(few(), 100).splitlines()
    table = [line for line in lines if line.endswith((" best", "]", "indistinguishable", "reference"))]
    line = next(line for line in table if LABEL in line)
    (value,) = (row.value.mean for row in grey().references)
    assert line.split() == [NOTHING, *LABEL.split(), measured(value, "bits/dim"), "reference"]
    before, after = table[: table.index(line)], table[table.index(line) + 1 :]
    ranks = [int(own.split()[0]) for own in (*before, *after) if own.split()[0].isdigit()]
    assert ranks[: len(grey().ranked)] == list(range(1, len(grey().ranked) + 1))
    assert sum(own.split()[0].isdigit() for own in before) == place


@pytest.mark.slow
def test_words_figures_and_all_other_rows_are_as_without_it(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sentences(grey()) == unplanted(monkeypatch, lambda: sentences(grey()))
    before = unplanted(monkeypatch, lambda: ranking(few()))
    pd.testing.assert_frame_equal(ranking(few()), before)
    with_it = context(few())["sections"][0]
    without = unplanted(monkeypatch, lambda: context(few())["sections"][0])
    for part in ("verdict", "figures", "galleries", "about", "speeds"):
        assert getattr(with_it, part) == getattr(without, part)
    assert with_it.diagnostics.lines == without.diagnostics.lines
    kept = [line for line in with_it.ranking.lines if line.rank != ""]
    assert kept == without.ranking.lines


@pytest.mark.slow
def test_alone_it_is_no_ranking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no configuration can be ranked, there is nothing that a reference could be held against."""
    plant(monkeypatch, 2.0)
    spoilt = doubted(few(), lambda cells: cells["currency"] == "pmf-K")
    shown = section(read(build(spoilt, tmp_path / "index.html")), "ranking")
    assert "Nothing is ranked" in shown.text
    assert LABEL not in shown.text
    assert LABEL not in ranking_text(spoilt)
