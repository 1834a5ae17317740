"""What was noticed of the data stands beside their facts, and above the ranking where it bears on every number."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from pathlib import Path
from typing import Any

from bench.report import provenance
from bench.report.terminal import ranking_text
from bench.store import RunTables, read_run
from tests.bench.report import fake_run
from tests.bench.report.runs import built, section

LOUD: dict[str, Any] = {
    "topic": "copies",
    "text": "30 of 30 test images occur in training, value for value",
    "loud": True,
}
QUIET: dict[str, Any] = {"topic": "levels", "text": "1 of 17 level never occurs: values are 0…15", "loud": False}


def noted() -> RunTables:
    tables = fake_run.tables(fake_run.few(), pictures=False)
    (name,) = tables.meta["data"]
    facts = {**tables.meta["data"][name], "remarks": [LOUD, QUIET]}
    gone = {**facts, "remarks": [{**LOUD, "text": "of data that no present cell is of"}]}
    return dataclasses.replace(tables, meta={**tables.meta, "data": {name: facts, "digits block=7": gone}})


def test_the_page_has_remarks_by_the_facts_and_loud_ones_on_top(tmp_path: Path) -> None:
    page = built(noted(), tmp_path)
    facts = section(page, "provenance").text
    for said in (LOUD, QUIET):
        assert f"{said['text'][0].upper()}{said['text'][1:]}." in facts
    assert "topic" not in facts
    notices = [notice.text for notice in page.all("p") if notice.attributes.get("class") == "notice"]
    assert [text for text in notices if "30 of 30 test images" in text] == [f"digits: {LOUD['text']}."]
    assert not [text for text in notices if "never occurs" in text or "no present cell" in text]


def test_the_terminal_begins_with_what_is_loud() -> None:
    lines = ranking_text(noted(), 80).splitlines()
    assert lines[0] == f"! digits: {LOUD['text']}."
    assert "never occurs" not in "\n".join(lines)
    assert max(map(len, lines)) <= 80
    plain = ranking_text(fake_run.tables(fake_run.few(), pictures=False), 80)
    assert "\n".join(lines[2:]) == plain


def test_a_run_of_before_has_no_remarks() -> None:
    tables = fake_run.tables(fake_run.few(), pictures=False)
    assert [facts.remarks for facts in provenance.data(tables)] == [()]
    assert not provenance.loud(tables)


def test_the_page_names_what_is_damaged_and_no_folder(tmp_path: Path) -> None:
    """A real file with a turned digit in one cell's row, as its reader tells it."""
    path = fake_run.write(tmp_path / "a: the run.sqlite", fake_run.few(), images=30, seeds=range(1), pictures=False)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        (cell,) = connection.execute("SELECT cell FROM cells WHERE status = 'done' LIMIT 1").fetchone()
        connection.execute("UPDATE cells SET iw_nats = iw_nats + 1 WHERE cell = ?", (cell,))
    tables = read_run(path)
    assert len(tables.damaged) == 1
    page = built(tables, tmp_path)
    notices = [notice.text for notice in page.all("p") if notice.attributes.get("class") == "notice"]
    told = [text for text in notices if "damaged" in text]
    assert len(told) == 1
    assert told[0].startswith("The cell ")
    assert cell[-20:] in told[0]
    assert str(tmp_path) not in told[0]
    assert cell not in set(tables.cells["cell"])
