"""What the page says of how its numbers came about."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bench.report import provenance
from tests.bench.report import fake_run
from tests.bench.report.page_reader import Element
from tests.bench.report.runs import built, section


def test_provenance_says_what_is_needed_to_do_it_again(shown: Element) -> None:
    text = section(shown, "provenance").text
    for needed in ("3f9a2c1b7d4e5f60718293a4b5c6d7e8f9012345", "5f1d" * 16, "2.14.1", "highest", "vae-bench run fake"):
        assert needed in text
    assert section(shown, "provenance").one("pre").text == fake_run.GRID


@pytest.mark.slow
def test_the_page_says_in_what_precision_was_trained_and_scored(shown: Element, tmp_path: Path) -> None:
    said = section(shown, "reading").text
    assert "matrix products were done in full float32." in said
    rows = {row.all("th")[0].text: row.all("td")[0].text for row in section(shown, "provenance").all("tr")}
    assert (rows["precision · training"], rows["precision · evaluation"]) == ("float32", "float32")
    both = [dataclasses.replace(setting, precision=name) for setting in fake_run.few() for name in ("float32", "bf16")]
    page = built(fake_run.tables(both, pictures=False), tmp_path)
    said = section(page, "reading").text
    assert "full float32 and bfloat16" in said
    assert "as the labels say" in said
    assert "the whole of validation and evaluation, is in full float32" in said
    rows = {row.all("th")[0].text: row.all("td")[0].text for row in section(page, "provenance").all("tr")}
    assert (rows["precision · training"], rows["precision · evaluation"]) == ("float32, bf16", "float32")
    assert "gaussian σ=pixel precision=bf16" in section(page, "ranking").text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([fake_run.provenance(git={"commit": "a" * 40, "dirty": True})], "uncommitted changes"),
        ([fake_run.provenance(git=None)], "commit is unknown"),
        ([fake_run.provenance()], None),
    ],
)
def test_code_that_nobody_else_has_is_said(history: list, expected: str | None, tmp_path: Path) -> None:
    tables = fake_run.tables(fake_run.few(), images=40, history=history, failures=False, pictures=False)
    notices = [notice.text for notice in section(built(tables, tmp_path), "verdict").all("p", class_="notice")]
    assert len(notices) == (1 if expected else 0)
    assert expected is None or expected in notices[0]


@pytest.mark.slow
def test_cells_of_two_commits_are_said(tmp_path: Path) -> None:
    history = [fake_run.provenance(git={"commit": letter * 40, "dirty": False}) for letter in "ab"]
    tables = fake_run.tables(fake_run.few(), images=40, history=history, failures=False, pictures=False)
    cells = tables.cells.assign(provenance=1 + tables.cells.index % 2)
    shown = built(dataclasses.replace(tables, cells=cells), tmp_path)
    assert "2 different commits" in section(shown, "verdict").text
    assert "Latest of 2 invocations" in section(shown, "provenance").text


def test_how_the_device_computed_stands_on_the_page():
    """Every setting that bears on the same bits, by name, whatever a worker tells of it."""
    from bench.engine.process.device import settings

    for kind in ("cpu", "cuda"):
        entry = fake_run.provenance(device={"kind": kind, "name": "a device", "settings": settings(kind)})
        rows = dict(
            provenance.origins(dataclasses.replace(fake_run.tables(fake_run.few()), provenance=[entry]))[0].rows
        )
        assert rows["device · settings · deterministic algorithms"] == "False"
        assert rows["device · settings · same seed again"] == settings(kind)["same_seed_again"]
