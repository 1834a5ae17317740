"""The families of a run as the page tells of them, from cards that may lack anything."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bench.report.figures._kinds import SECTIONS
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.page_reader import Element
from tests.bench.report.runs import built, few, section


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cards are in no figure. Those of this run are drawn by others, and are most of the work of a page."""
    monkeypatch.setattr("bench.report.page.figures.of_board", lambda *_: {section: [] for section in SECTIONS})
    monkeypatch.setattr("bench.report.page.figures.of_run", lambda *_: {section: [] for section in SECTIONS})


def entries(tables: RunTables, tmp_path: Path, **cards: object) -> dict[str, Element]:
    """The catalogue of a page, by family, for the cards given."""
    meta = tables.meta | {"cards": cards} if cards else tables.meta
    page = built(dataclasses.replace(tables, meta=meta), tmp_path)
    found = section(page, "reading").all("article")
    return {article.attributes["id"].removeprefix("family-"): article for article in found}


@pytest.mark.slow
def test_the_catalogue_has_an_entry_for_every_family_of_the_run_and_no_other(tmp_path: Path) -> None:
    tables = few()
    families = sorted(set(tables.cells["family"]))
    shown = entries(tables, tmp_path, **{family: fake_run.card(family) for family in [*families, "gumbel"]})
    assert list(shown) == families
    for family, entry in shown.items():
        card = fake_run.card(family)
        for key in ("summary", "formula", "support", "view", "measure", "parameters", "source", "users"):
            assert card[key] in entry.text, key
        assert "D outputs with σ a number, shared; 2 D outputs with σ pixel" in entry.text
        assert "Plug-in" not in entry.text
    page = section(built(tables, tmp_path), "reading").one("details")
    assert page.attributes["id"] == "catalogue"
    assert "open" not in page.attributes
    assert f"({len(families)})" in page.one("summary").text


@pytest.mark.slow
def test_a_plug_in_is_said_to_be_one(tmp_path: Path) -> None:
    card = fake_run.card("gaussian") | {"plugin": "my<b>.py", "outputs": {"": "3 K D"}, "title": "gaussian"}
    entry = entries(few(), tmp_path, gaussian=card)["gaussian"]
    assert entry.all("dt")[-1].text == "Plug-in"
    assert entry.all("dd")[-1].text == "my<b>.py"
    assert "3 K D outputs" in [value.text for value in entry.all("dd")]
    assert entry.one("h3").text == "gaussian", "a title that is the name is not said twice"


@pytest.mark.slow
def test_what_a_card_lacks_is_left_out(tmp_path: Path) -> None:
    """Cards of older run files have four fields only, and still older files none."""
    tables = few()
    card = {"title": "The bell", "summary": "noise like a bell", "formula": "-x^2", "source": "Gauss (1809)"}
    shown = entries(tables, tmp_path, gaussian=card)
    assert list(shown) == ["gaussian"]
    assert [name.text for name in shown["gaussian"].all("dt")] == ["Source"]
    assert shown["gaussian"].one("h3").text == "gaussian The bell"
    without = {key: value for key, value in tables.meta.items() if key != "cards"}
    for meta in (without, without | {"cards": None}, without | {"cards": {"gaussian": "a bell"}}):
        page = section(built(dataclasses.replace(tables, meta=meta), tmp_path), "reading")
        assert page.all("details") == []
