"""The ranking as text."""

from __future__ import annotations

import dataclasses
import re

import pytest

from bench.report import numbers, ranking_text
from bench.report.text.verdict import sentences
from bench.statistics.boards import boards
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.runs import few, moved


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
            assert any(re.match(rf"!  {row.label}(?: ~+)? +<= {value}  k̂ bad in", line) for line in text.splitlines())
    assert "3 of 132 cells failed" in flat


def test_long_labels_are_cut_and_numbers_are_not(tables: RunTables) -> None:
    cells = tables.cells.assign(label=tables.cells["label"] + " " + "very " * 20 + "long")
    lines = ranking_text(dataclasses.replace(tables, cells=cells)).splitlines()
    assert max(map(len, lines[5:])) <= 80
    assert sum("…" in line for line in lines) == 44
    assert sum(bool(re.search(r"\d\]", line)) for line in lines) >= 41


def test_too_few_images_are_said_and_nothing_is_judged() -> None:
    tables = few()
    text = ranking_text(dataclasses.replace(tables, per_image=tables.per_image[tables.per_image["image"] < 12]))
    flat = " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    assert "Too few test images to rank by: 12, and a verdict needs 20." in flat
    assert "No intervals and no verdicts: fewer than 20 test images." in flat
    assert not re.search(r"\[|95 %|fits? best|\bnan\b|indistinguishable", flat)
    assert re.search(r"^ 1 .* not judged$", text, re.MULTILINE)


@pytest.mark.parametrize("width", [80, 100])
def test_a_row_of_fewer_seeds_is_marked(width: int) -> None:
    thin = fake_run.only(few(), lambda cells: (cells["family"] != "categorical") | (cells["seed"] == 1))
    text = ranking_text(thin, width)
    assert max(map(len, text.splitlines())) <= width
    assert re.search(r"^ *\d+  categorical \(1/3\) ", text, re.MULTILINE)
    assert len(re.findall(r"\(1/3\)", text)) == 2, "in its line and in the note"
    assert "(1/3): stands on 1 of 3 seeds, its interval on the noise of the others." in " ".join(text.split())
    assert "(1/3)" not in ranking_text(few(), width)


def test_a_withheld_interval_is_said_with_its_reason() -> None:
    tables = fake_run.only(few(), lambda cells: cells["family"].isin(["categorical", "bce_sum"]) & (cells["seed"] < 2))
    text = ranking_text(moved(tables, lambda cells: (cells["family"] == "categorical") & (cells["seed"] == 0), 40.0))
    assert max(map(len, text.splitlines())) <= 80
    assert re.search(r"^1  categorical +\d\.\d{3} \[withheld\]  best$", text, re.MULTILINE)
    assert "Interval withheld: reaches below 0 bits/dim (1 row)." in " ".join(text.split())


def test_what_failed_in_every_seed_stands_beside_the_headline() -> None:
    tables = few()
    cells = tables.cells.copy()
    lost = cells["family"] == "categorical"
    cells.loc[lost, ["status", "reason"]] = ["failed", "the training diverged"]
    board = boards(dataclasses.replace(tables, cells=cells))[0]
    said = sentences(board)
    assert "Failed in every seed and not in the ranking: categorical (the training diverged)." in said.gap.striptags()
    flat = " ".join(ranking_text(dataclasses.replace(tables, cells=cells)).split())
    assert flat.index("Failed in every seed") < flat.index("worse than best by")
    assert "Failed" not in sentences(boards(tables)[0]).gap


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        (("out of memory", "it diverged"), "categorical (out of memory) and bce_sum (it diverged)."),
        (("it diverged", "it diverged"), "categorical and bce_sum (all: it diverged)."),
    ],
)
def test_every_failure_has_its_own_reason(reasons: tuple[str, str], said: str) -> None:
    tables = few()
    cells = tables.cells.copy()
    for family, reason in zip(("categorical", "bce_sum"), reasons, strict=True):
        cells.loc[cells["family"] == family, ["status", "reason"]] = ["failed", reason]
    cells.loc[cells["family"] == "bce_sum", "label"] = "bce_sum"
    gap = sentences(boards(dataclasses.replace(tables, cells=cells))[0]).gap
    assert f"Failed in every seed and not in the ranking: {said}" in gap.striptags()
