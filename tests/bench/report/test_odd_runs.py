"""Runs at the edges: only failures, one cell, names that nobody would give. Pages say what is there, and no more."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pandas as pd
import pytest

from bench.report import ranking_text
from bench.report.tables.failures import failures
from bench.report.text.run import absent
from bench.statistics.boards import boards
from bench.statistics.scored import unusable
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.page_reader import Element
from tests.bench.report.runs import built, few, section

LONG = "a-name-of-" + "two-hundred-letters-" * 10
SCRIPT = "<script>alert(1)</script>"
RIGHT_TO_LEFT = "الاحتمال"
OUT_OF_MEMORY = f"out of memory: {SCRIPT}"


def failed(tables: RunTables, *, planned: int = 0) -> RunTables:
    """The tables with every cell failed: of two in three the loss is NaN, in some epoch, the others lack memory."""
    third = pd.Series(range(len(tables.cells)), tables.cells.index) % 3 == 0
    nans = pd.Series([f"the loss became NaN in epoch {place % 9}" for place in range(len(third))], third.index)
    cells = tables.cells.assign(
        status=third.map({True: "oom", False: "failed"}), reason=nans.mask(third, OUT_OF_MEMORY), measure=None
    )
    empty = {
        name: getattr(tables, name)[:0]
        for name in ("per_image", "bounds", "latents", "calibration", "history", "throughput")
    }
    meta = tables.meta | ({"cells": planned} if planned else {})
    return dataclasses.replace(tables, cells=cells, pictures={}, meta=meta, **empty)


def sections(shown: Element) -> list[str]:
    return [element.attributes["id"] for element in shown.one("main").all("section")]


def linked(shown: Element) -> list[str]:
    return [link.attributes["href"].removeprefix("#") for link in shown.one("nav").all("a")]


@pytest.fixture(scope="module")
def only_failures(tmp_path_factory: pytest.TempPathFactory) -> Element:
    return built(failed(few(), planned=50), tmp_path_factory.mktemp("failed"))


def test_a_page_of_failures_has_the_reasons_first_and_nothing_empty(only_failures: Element) -> None:
    assert sections(only_failures) == ["verdict", "failed", "reading", "provenance"]
    assert linked(only_failures) == sections(only_failures)
    text = only_failures.one("main").text
    for false in ("fixed σ", "one L", "not been measured", "no pictures", "Nothing to rank.", "may still change"):
        assert false not in text


def test_failures_of_one_reason_stand_together_with_their_cells(only_failures: Element) -> None:
    part = section(only_failures, "failed")
    count, configs = len(few().cells), few().cells["config"].nunique()
    groups = part.all("details")
    assert len(groups) == 2
    said = [re.sub(r"\s+", " ", group.one("summary").text).strip() for group in groups]
    assert said[0].startswith(
        f"failed {2 * count // 3} cells of {configs} configurations: the loss became NaN in epoch"
    )
    assert said[0].endswith("(the numbers in it differ)")
    assert said[1] == f"oom {count // 3} cells of {configs} configurations: {OUT_OF_MEMORY}"
    rows = [row for group in groups for row in group.one("table").rows()]
    assert sorted(row[-1] for row in rows) == sorted(few().cells["cell"])
    assert {row[3] for row in groups[0].one("table").rows()} == {
        f"the loss became NaN in epoch {place % 9}" for place in range(count) if place % 3
    }


def test_a_few_cells_of_one_reason_are_shown_without_a_click() -> None:
    tables = failed(few())
    rows, configs = unusable(tables), tables.cells.set_index("cell")["config"]
    alike = rows[rows["status"] == "oom"]
    assert [group.open for group in failures(alike[:3], configs)] == [True]
    assert [group.open for group in failures(alike[:9], configs)] == [False]
    assert not any(group.open for group in failures(rows[:3], configs)), "two reasons"
    assert failures(rows[:0], configs) == []


def test_one_cell_is_compared_with_nothing(tmp_path: Path) -> None:
    tables = fake_run.tables(
        [fake_run.settings()[2]], seeds=[0], images=40, samples=[100], pictures=False, throughput=False
    )
    shown = built(tables, tmp_path)
    assert sections(shown) == ["verdict", "ranking", "diagnostics", "reading", "provenance"]
    assert linked(shown) == sections(shown)
    assert "1 configuration, seed 0" in shown.one("p", class_="facts").text.replace("\n", " ")
    (row,) = section(shown, "ranking").one("table", class_="ranked").rows()
    assert "only" in row
    assert "best" not in row
    assert "never ranked against each other" not in shown.one("main").text
    assert "(1 configurations)" not in shown.one("main").text


def test_what_is_not_there_is_told_with_its_true_reason() -> None:
    tables = fake_run.tables(fake_run.few(), images=40, failures=False)
    found = boards(tables)
    assert absent(tables, found, {"sigma", "samples", "speed", "pictures"}) == []
    assert absent(tables, found, {"samples", "speed", "pictures"}) == [
        "scores over σ (of the fixed σ of gaussian and logistic fewer than two could be ranked in each family)"
    ], "they were trained at two"
    assert absent(tables, [], set()) == [], "nothing is said of scores where there are none"


@pytest.mark.parametrize("name", [LONG, SCRIPT, RIGHT_TO_LEFT, "=cmd|' /C calc'!A0", "a\"b&c'd"])
def test_any_name_is_shown_as_it_is(name: str, tmp_path: Path) -> None:
    tables = fake_run.tables(
        fake_run.few(), images=40, seeds=[0], dataset=name, label=lambda label: label.replace("mse_sum", name)
    )
    tables.meta["name"] = name
    cells = tables.cells.assign(reason=tables.cells["reason"].where(tables.cells["status"] == "done", name))
    shown = built(dataclasses.replace(tables, cells=cells), tmp_path)  # the reader refuses tags that do not match
    assert [script.attributes for script in shown.all("script") if script.attributes] == [
        {"type": "application/json"}
    ] * 2
    assert len(shown.all("script")) == 3
    part = section(shown, "ranking").all("table", class_="ranked")[0]
    assert any(name in row[1] for row in part.rows())
    assert name.rpartition("/")[2] in shown.one("h1").text
    assert ranking_text(tables)
