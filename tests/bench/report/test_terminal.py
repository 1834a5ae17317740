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
from tests.bench.report.tuned_run import AT_EDGE, tuned
from tests.bench.statistics.test_references import best_scores, held


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


def test_very_long_labels_are_cut_and_numbers_are_not(tables: RunTables) -> None:
    cells = tables.cells.assign(label=tables.cells["label"] + " " + "very " * 20 + "long")
    lines = ranking_text(dataclasses.replace(tables, cells=cells)).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("…" in line for line in lines) == 44
    assert sum(bool(re.search(r"\d\]", line)) for line in lines) >= 41


def test_too_few_images_are_said_and_nothing_is_judged() -> None:
    tables = few()
    text = ranking_text(dataclasses.replace(tables, per_image=tables.per_image[tables.per_image["image"] < 12]))
    flat = " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    assert "Too few test images to rank by: 12, and a verdict needs 20." in flat
    assert "; no intervals and no verdicts: fewer than 20 test images " in flat
    assert not re.search(r"\[|95 %|fits? best|\bnan\b|indistinguishable", flat)
    assert re.search(r"^ 1 .* not judged$", text, re.MULTILINE)


@pytest.mark.parametrize("width", [80, 100])
def test_a_row_of_fewer_seeds_is_marked(width: int) -> None:
    thin = fake_run.only(few(), lambda cells: (cells["family"] != "categorical") | (cells["seed"] == 1))
    text = ranking_text(thin, width)
    assert max(map(len, text.splitlines())) <= width
    assert re.search(r"^ *\d+  categorical \(1/3\) ", text, re.MULTILINE)
    assert len(re.findall(r"\(1/3\)", text)) == 2, "in its line and in the note"
    assert "(1/3) stands on 1 of 3 seeds, its interval on the noise of the others " in " ".join(text.split())
    assert "(1/3)" not in ranking_text(few(), width)


def test_a_withheld_interval_is_said_with_its_reason() -> None:
    tables = fake_run.only(few(), lambda cells: cells["family"].isin(["categorical", "bce_sum"]) & (cells["seed"] < 2))
    text = ranking_text(moved(tables, lambda cells: (cells["family"] == "categorical") & (cells["seed"] == 0), 40.0))
    assert max(map(len, text.splitlines())) <= 80
    assert re.search(r"^1  categorical +\d\.\d{3} \[withheld\]  best$", text, re.MULTILINE)
    assert "[withheld] interval withheld: reaches below 0 bits/dim (1 row) " in " ".join(text.split())


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


def longer(name: str) -> RunTables:
    """A run whose categorical has a name of so many letters, and of its seeds the last alone."""
    tables = fake_run.only(few(), lambda cells: (cells["family"] != "categorical") | (cells["seed"] == 1))
    cells = tables.cells.copy()
    cells.loc[cells["family"] == "categorical", "label"] = name
    return dataclasses.replace(tables, cells=cells)


@pytest.mark.parametrize(
    "name", ["a_family_of_many_letters binned", "a_family_of_many_letters with_a_setting_or_two binned"]
)
def test_a_name_that_a_line_is_too_short_for_goes_on_in_the_next(name: str) -> None:
    text = ranking_text(longer(name))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    (place,) = [place for place, line in enumerate(text.splitlines()) if re.match(r" *\d+  a_family", line)]
    line, more, last = text.splitlines()[place : place + 3]
    more += "" if re.match(r" *\d+  ", last) else last
    assert re.search(r" \d\.\d{3} \[", line), "its number is in the first line"
    assert [*re.split(r"  +", line.strip())[1].split(), *more.split()] == [*name.split(), "(1/3)"]


def test_what_was_tuned_takes_no_room_of_a_name_and_its_edge_is_marked_all_the_same() -> None:
    tables = tuned(gaussian=AT_EDGE)
    wide, narrow = (ranking_text(tables, width) for width in (160, 66))
    assert re.search(r"^ *# +likelihood +learning rate|^ *# +likelihood +tuned", wide, re.MULTILINE)
    assert not re.search(r"^ *# +likelihood +(learning rate|tuned)", narrow, re.MULTILINE)
    stars = [len(re.findall(r"^ *\d+ .*\*", text, re.MULTILINE)) for text in (wide, narrow)]
    assert stars[0] == stars[1] > 0
    for text in (wide, narrow):
        assert "* what was tuned lies at the edge of its range: add " in " ".join(text.split())


def test_a_word_is_explained_once_however_many_boards_have_it(tables: RunTables) -> None:
    tables = dataclasses.replace(tables, cells=tables.cells.assign(estimator="refined"))
    text = " ".join(ranking_text(tables).split())
    assert len(boards(tables)) == 2
    for board in boards(tables):
        assert all(row.refined for row in board.everything)
    assert text.count("a proposal fitted to each test image") == 1
    assert text.count("how heavy the tail") == 1
    assert text.count("a cell is one configuration with one seed") == 1


def test_what_gave_no_score_has_a_line_and_its_reason() -> None:
    tables = few()
    cells = tables.cells.copy()
    cells.loc[cells["family"] == "categorical", ["status", "reason"]] = ["failed", "the training diverged"]
    text = ranking_text(dataclasses.replace(tables, cells=cells))
    assert "without a score:\n!  categorical: the training diverged\n" in text


def test_a_run_of_failures_alone_says_why_and_how_often() -> None:
    tables = few()
    cells = tables.cells.assign(status="failed", reason="out of memory")
    cells.loc[cells["family"] == "gaussian", "reason"] = "the training diverged"
    text = ranking_text(dataclasses.replace(tables, cells=cells))
    diverged = int((cells["family"] == "gaussian").sum())
    assert text.startswith("Nothing can be ranked: no cell has usable numbers.\n")
    assert re.search(rf"^ *{diverged} the training diverged$", text, re.MULTILINE)
    assert re.search(rf"^ *{len(cells) - diverged} out of memory$", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 80


def test_references_and_the_scope_stand_last(tables: RunTables) -> None:
    tables = held(few(), histogram=best_scores(few()) - 5)
    for board, block in zip(boards(tables), re.split(r"\n\n(?=digits pmf-)", ranking_text(tables)), strict=True):
        *_, noted, quoted = block.split("\n\n")
        if board.references:
            assert re.search(r"\n\(reference\) +\w.*(\n +.*)*$", noted)
        assert quoted.startswith("To quote: On digits")
