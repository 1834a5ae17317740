"""The page of a comparison: what it shows, in which order, and what it says of odd pairs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.report.two_runs import page
from bench.report.two_runs.page import Compared
from bench.report.two_runs.settings import remedy
from bench.report.two_runs.table import LOOKS
from bench.statistics.two_runs.differences import THRESHOLDS, Change, differences
from bench.statistics.two_runs.pairing import apart, pair
from bench.statistics.two_runs.retrained import retrained
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.page_reader import Element, read
from tests.bench.report.runs import section
from tests.bench.statistics.two_runs import CHOSEN, asked, changed, shifted

WORDS = {"worse", "slightly worse", "better", "within noise", "identical"}


@pytest.fixture(scope="module")
def before() -> RunTables:
    return fake_run.tables(CHOSEN, failures=False, pictures=False)


def compared(before: RunTables, after: RunTables, *ignore: str, names: tuple[str, str] = ("old", "new")) -> Compared:
    pairing = pair(before, after, ignore) if ignore else None
    paired = pairing.before if pairing else before
    found = differences(paired, after)
    settings = retrained(paired, after, found, pairing.ignored) if pairing else None
    hint = remedy(apart(before, after)) if found.configurations.empty else ""
    return Compared(names, (before, after), found, THRESHOLDS, settings, hint)


def shown(given: Compared, folder: Path) -> Element:
    return read(page.build(given, folder / "change.html"))


def lines(root: Element) -> list[list[str]]:
    return [row for table in root.all("table", class_="differing") for row in table.rows()]


def plain(root: Element) -> str:
    return " ".join(root.one("main").text.split())


def test_the_verdict_comes_first_and_every_configuration_has_its_row(before: RunTables, tmp_path: Path) -> None:
    after = shifted(shifted(before, "laplace", -1.5, noise=0.1), "categorical", 2.0, noise=0.1)
    given = compared(before, after)
    root = shown(given, tmp_path)
    assert section(root, "verdict").one("h2").text == "Regression"
    assert "1 of 7 configurations is worse: 1 better, 5 identical." in section(root, "verdict").text
    rows = {row[0]: row for row in lines(root)}
    assert set(rows) == set(given.found.configurations["label"])
    for line in given.found.configurations.itertuples(index=False):
        row = rows[line.label]
        assert row[1] == ("within noise" if line.change == Change.NONE else line.change)
        assert row[1] in WORDS
        assert float(row[2].split()[0].replace("−", "-")) == pytest.approx(line.difference, abs=0.006)
        assert [float(text.replace("−", "-")) for text in row[5:7]] == pytest.approx(
            [line.before, line.after], abs=0.006
        )
    assert lines(root)[0][0] == "laplace σ=0.1", "regressions first"


def test_an_interval_is_drawn_on_the_side_that_it_lies_on(before: RunTables, tmp_path: Path) -> None:
    """To the right of zero is a loss in bits/dim and a gain in nats, and both are said."""
    after = shifted(shifted(before, "laplace", -1.5, noise=0.1), "bernoulli", -1.5, noise=0.1)
    boards = {table.unit: table for table in page.context(compared(before, after))["tables"]}
    bits, nats = boards["bits/dim"], boards["nats"]
    (lost,), (fewer,) = ([line for line in board.lines if line.look == "lost"] for board in (bits, nats))
    assert bits.zero < lost.drawn.low <= lost.drawn.dot <= lost.drawn.high
    assert fewer.drawn.low <= fewer.drawn.dot <= fewer.drawn.high < nats.zero
    assert [side.split()[1] for side in bits.axis] == ["better", "worse"]
    assert [side.split()[1] for side in nats.axis] == ["worse", "better"]
    assert bits.threshold is not None
    assert bits.zero < bits.threshold < lost.drawn.dot
    assert all(line.drawn.dot == bits.zero for line in bits.lines if line.said == "identical")


def test_one_far_row_does_not_flatten_the_others_and_is_an_arrow(before: RunTables, tmp_path: Path) -> None:
    after = before
    for keep, nats in (("laplace", -40.0), ("categorical", -0.5), ("logistic", -0.5), ("gaussian", -0.5)):
        after = shifted(after, keep, nats, noise=0.1)
    (board,) = [t for t in page.context(compared(before, after))["tables"] if t.unit == "bits/dim"]
    beyond = [line for line in board.lines if line.drawn.beyond]
    assert [(line.label, line.drawn.beyond) for line in beyond] == [("laplace σ=0.1", "right")]
    rest = [line for line in board.lines if not line.drawn.beyond]
    assert all(line.drawn.dot > board.zero + 2 for line in rest)


def test_what_is_only_in_one_run_and_what_failed_is_listed_with_its_reason(before: RunTables, tmp_path: Path) -> None:
    fewer = fake_run.only(before, lambda cells: cells["family"] != "categorical")
    after = changed(fewer, "laplace", status="failed", reason="out of memory")
    root = shown(compared(before, after), tmp_path)
    part = section(root, "cells")
    assert [head.text for head in part.all("h3")] == ["3 cells done in A, failed in B", "3 cells only in A"]
    tables = part.all("table")
    assert tables[0].rows() == [["laplace σ=0.1", "seeds 0, 1, 2", "out of memory"]]
    assert tables[1].rows() == [["categorical", "seeds 0, 1, 2"]]
    assert "3 cells that A has done failed in B." in section(root, "verdict").text


def test_identical_runs_are_said_to_be_so(before: RunTables, tmp_path: Path) -> None:
    root = shown(compared(before, before), tmp_path)
    assert section(root, "verdict").one("h2").text.startswith("Identical: every difference is zero")
    assert {row[1] for row in lines(root)} == {"identical"}
    assert "None: both runs have the same cells" in section(root, "cells").text
    assert "are the same" in section(root, "provenance").text


def test_nothing_in_common_says_what_sets_them_apart(before: RunTables, tmp_path: Path) -> None:
    root = shown(compared(before, asked(before, epochs=7)), tmp_path)
    assert section(root, "verdict").one("h2").text.startswith("Nothing can be compared")
    assert "--ignore epochs" in section(root, "verdict").text
    assert "No configuration has comparable numbers" in section(root, "differences").text
    assert not lines(root)


def test_settings_that_were_ignored_are_said_with_what_they_changed(before: RunTables, tmp_path: Path) -> None:
    root = shown(compared(before, asked(shifted(before, "laplace", 3.0), epochs=7), "epochs", "patience"), tmp_path)
    assert re.search(r"Ignored: epochs \(\d+ in A, 7 in B\); patience \(no difference\)\.", plain(root))
    assert "moved by more than 0.01 bits/dim" in section(root, "settings").text
    assert root.one("nav").one("a", href="#settings")
    assert all(row[-1].endswith(" in both") for row in lines(root))
    assert not shown(compared(before, before), tmp_path).all("section", id="settings")


@pytest.mark.parametrize("swapped", [False, True])
def test_a_run_of_failures_alone_has_a_page(before: RunTables, tmp_path: Path, swapped: bool) -> None:
    failed = changed(before, "", status="failed", reason="out of memory")
    runs = (failed, before) if swapped else (before, failed)
    root = shown(compared(*runs), tmp_path)
    assert section(root, "verdict").one("h2").text == (
        "Nothing can be compared: no cell is done in both runs with numbers of one measure" if swapped else "Regression"
    )
    title = "failed in A, done in B" if swapped else "done in A, failed in B"
    assert f"{len(before.cells)} cells {title}" in section(root, "cells").text


def test_few_images_judge_nothing_and_show_no_interval(before: RunTables, tmp_path: Path) -> None:
    few, other = (
        replace(run, per_image=run.per_image[run.per_image["image"] < 8])
        for run in (before, shifted(before, "laplace", -1.5, noise=0.1))
    )
    root = shown(compared(few, other), tmp_path)
    assert section(root, "verdict").one("h2").text.startswith("Nothing is judged: fewer than")
    (row,) = [row for row in lines(root) if row[0].startswith("laplace")]
    assert row[1].startswith("not judged")
    assert "[" not in row[2]
    assert row[4] == "–"


def test_bounds_that_have_not_converged_are_marked(before: RunTables, tmp_path: Path) -> None:
    root = shown(compared(before, changed(before, "logistic", khat_bad_fraction=0.4)), tmp_path)
    assert {row[0] for row in lines(root) if row[0].endswith(" bound")} == {
        f"{label} bound" for label in before.cells["label"].unique() if "logistic" in label
    }


def test_names_are_escaped_wherever_they_stand(before: RunTables, tmp_path: Path) -> None:
    nasty = '<script>alert("x")</script> \u05d0\u05d1 ' + "long" * 50
    after = changed(shifted(before, "laplace", -1.5), "", label=nasty)
    failed = changed(after, "gaussian", status="failed", reason=nasty)
    path = page.build(compared(before, failed, names=(nasty, "b")), tmp_path / "change.html")
    assert "<script>alert" not in path.read_text("utf-8")
    assert nasty in plain(read(path))


def test_the_page_asks_for_nothing_from_anywhere(before: RunTables, tmp_path: Path) -> None:
    text = page.build(compared(before, before), tmp_path / "change.html").read_text("utf-8")
    assert not re.search(r"(src|href)=\"(?!#|data:)", text)
    assert not re.search(r"url\(|@import|fetch\(", text)


def test_what_the_runs_say_otherwise_of_themselves_is_a_table(before: RunTables, tmp_path: Path) -> None:
    after = replace(before, provenance=[fake_run.provenance(packages={"numpy": "9.9"})])
    root = shown(compared(before, after), tmp_path)
    rows = section(root, "provenance").one("table", class_="apart").rows()
    assert any("numpy" in row[0] and row[2] == "9.9" for row in rows)
    assert "numpy 9.9 (A: " in section(root, "verdict").text


def test_speed_is_shown_as_ratios_or_said_not_to_be_compared(before: RunTables, tmp_path: Path) -> None:
    timed = changed(before, "", train_images_per_s=100.0, eval_decodes_per_s=50.0)
    faster = changed(before, "", train_images_per_s=200.0, eval_decodes_per_s=25.0)
    table = section(shown(compared(timed, faster), tmp_path), "speed").one("table")
    assert all(row[1:] == ["2.00", "0.50"] for row in table.rows())
    assert [cell.text for cell in table.one("tfoot").all("td")] == ["2.00", "0.50"]
    other = replace(before, provenance=[fake_run.provenance(device={"kind": "cuda", "name": "another"})])
    assert "the devices differ" in section(shown(compared(before, other), tmp_path), "speed").text


def test_every_change_has_a_word_and_a_look() -> None:
    assert set(LOOKS) == set(Change)
