"""The page as a whole: well formed, silent, safe, in its order, and written whole or not at all."""

from __future__ import annotations

import dataclasses
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.report import build
from bench.report.page import context
from bench.report.text.verdict import sentences
from bench.statistics.boards import boards
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.page_reader import Element, references
from tests.bench.report.runs import built, doubted, few, findings, said, section


def test_page_is_well_formed_and_its_links_lead_somewhere(shown: Element) -> None:
    ids = [element.attributes["id"] for element in shown.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    targets = {reference[1:] for reference in references(shown) if reference.startswith("#")}
    assert targets <= set(ids)
    assert len(targets) > 10
    assert all(row.all("th") for table in shown.all("table") for row in table.one("tbody").all("tr"))
    assert all("scope" in head.attributes for head in shown.all("th"))
    assert all(image.attributes.get("alt") for image in shown.all("img"))
    assert all(figure.attributes.get("aria-label") for figure in shown.all("svg", class_="figure"))


def test_page_needs_no_network(shown: Element) -> None:
    found = references(shown)
    assert found
    assert [reference for reference in found if not reference.startswith(("#", "data:"))] == []
    assert not shown.all("iframe")
    assert all("src" not in script.attributes for script in shown.all("script"))


def test_page_says_first_what_the_words_say(tables: RunTables, shown: Element) -> None:
    first = shown.one("main").all("section")[0]
    assert first.attributes["id"] == "verdict"
    for board, article in zip(boards(tables), first.all("article"), strict=True):
        spoken = sentences(board)
        assert article.one("h3").text == " ".join(spoken.headline.striptags().split())
        text = re.sub(r"\s+", " ", article.text)
        assert text.index(spoken.headline.striptags()) < text.index(spoken.scope.striptags())
        assert text.index(spoken.scope.striptags()) < text.index("Do not conclude")
        for part in (spoken.gap, spoken.quote, *(text for finding in spoken.findings for text in finding.texts)):
            assert re.sub(r"\s+", " ", part.striptags()) in text


def test_sections_stand_in_their_order(shown: Element) -> None:
    names = [element.attributes["id"] for element in shown.one("main").all("section")]
    assert names.pop() == "provenance"
    before = ["verdict", "ranking", "spread", "sigma", "samples"]
    assert names == [*before, "diagnostics", "speed", "pictures", "failed", "reading"]


def test_headings_say_what_was_made_of_the_data(tables: RunTables) -> None:
    made = dataclasses.replace(tables, cells=tables.cells.assign(quantise=16, train_images=2000))
    words = "digits (quantised to 16 levels, 2,000 training images)"
    found = context(made)
    assert found["datasets"] == words
    assert {section.title for section in found["sections"]} == {f"Grey levels of {words}", f"Binary pixels of {words}"}


def test_images_in_colour_are_called_so_and_blocks_are_counted() -> None:
    coloured = fake_run.tables(fake_run.few(), shape=(6, 5, 3), images=60)
    facts = {**coloured.meta["data"]["digits"], "test_blocks": [2] * 30}
    found = context(dataclasses.replace(coloured, meta={**coloured.meta, "data": {"digits": facts}}))
    assert {section.title for section in found["sections"]} == {
        "Levels of each colour of digits",
        "Binary colours of digits",
    }
    for part in found["sections"]:
        assert "60 test images (30 blocks) of 90 values" in part.about
        assert "(6×5×3, " in part.verdict.scope
        assert part.galleries


def test_failed_cells_are_listed_with_their_reasons(shown: Element) -> None:
    part = section(shown, "failed")
    rows = [row for table in part.all("table") for row in table.rows()]
    assert sorted((row[0], row[1], row[2]) for row in rows) == [
        ("gaussian σ=0.01", "2", "failed"),
        ("laplace σ=0.01", "0", "oom"),
        ("logistic σ=pixel", "1", "timeout"),
    ]
    assert "1 cell of 1 configuration: the loss became NaN in epoch 7" in part.text


@pytest.mark.slow
def test_the_same_tables_give_the_same_page(tmp_path: Path) -> None:
    one, other = (build(few(), tmp_path / name / "index.html").read_bytes() for name in "ab")
    assert one == other


HOSTILE = '<script>alert("x")</script>&$\\alpha$ "quoted" \'single\''


@pytest.mark.slow
def test_labels_cannot_break_the_page(tmp_path: Path) -> None:
    tables = fake_run.tables(
        fake_run.few(),
        images=40,
        label=lambda label: label.replace("gaussian", f"gaussian {HOSTILE}"),
        grid=f"# {HOSTILE} </pre>",
        history=[fake_run.provenance(command=HOSTILE)],
    )
    cells = tables.cells.assign(reason=tables.cells["reason"].where(tables.cells["status"] == "done", HOSTILE))
    tables = doubted(dataclasses.replace(tables, cells=cells), lambda cells: cells["sigma"] == "0.1")
    shown = built(doubted(tables, lambda cells: cells["sigma"] == "0.1", collapsed=1, noise_predicted=5.0), tmp_path)
    for name in ("left-out", "diagnosed"):
        assert f"gaussian {HOSTILE} σ=0.1" in [row[0] for row in shown.all("table", class_=name)[0].rows()]
    assert HOSTILE in findings(said(tables))["Left out of the ranking"]
    assert len([script for script in shown.all("script") if "type" not in script.attributes]) == 1  # the rest is data
    assert HOSTILE in section(shown, "ranking").text
    assert HOSTILE in section(shown, "provenance").text
    assert f"gaussian {HOSTILE} σ=pixel" in [row[0] for row in section(shown, "pictures").all("table")[0].rows()]
    assert [reference for reference in references(shown) if not reference.startswith(("#", "data:"))] == []


@pytest.mark.slow
def test_a_page_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "index.html"
    out.write_text("the old page")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.report.page.os.fdopen", full)
    with pytest.raises(OSError, match="No space left"):
        build(few(), out)
    assert out.read_text() == "the old page"
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_report_loads_neither_torch_nor_the_science() -> None:
    code = (
        "import sys, bench.report; "
        "print([name for name in sys.modules if name.partition('.')[0] in ('torch', 'sklearn')"
        " or name.startswith('vae_core.') and not name.startswith('vae_core.statistics')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_headings_leave_no_level_out(shown: Element) -> None:
    levels = [int(element.tag[1]) for element in shown.all() if element.tag in {"h1", "h2", "h3", "h4", "h5", "h6"}]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in itertools.pairwise(levels))
