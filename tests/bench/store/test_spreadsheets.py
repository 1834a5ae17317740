"""Tables that leave as CSV: a spreadsheet carries nothing of them out, numbers are numbers, and all texts come back."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.store import read_run
from bench.store.export import _is_formula, _write_csv, export, read_csv
from bench.store.read_export import read_exported
from tests.bench.report import fake_run

HOSTILE = (
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+SUM(1)",
    "-2+3",
    "--1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    "'=1",
    "''=1",
    "＝1+1",
    '=HYPERLINK("http://a.b","c")',
    "-",
    "+",
    "-inf",
    "'-1",
)
HARMLESS = (
    "-1.23",
    "+1.5e-3",
    "1",
    "0.1",
    ".5",
    "-.5E+10",
    "gaussian σ=0.1",
    "it's",
    "'tis",
    "a-b",
    "",
    "x\ty",
    "−1.23",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_spreadsheet_would_carry_out_is_text(text: str, tmp_path: Path) -> None:
    _write_csv(pd.DataFrame({"label": [text, "b"], "value": [-1.23, 2.0]}), tmp_path / "t.csv")
    _, (label, value), _ = csv.reader((tmp_path / "t.csv").open(newline=""))
    assert label == f"'{text}"
    assert value == "-1.23"
    assert read_csv(tmp_path / "t.csv")["label"][0] == text


@pytest.mark.parametrize("text", HARMLESS)
def test_all_else_is_as_it_was(text: str, tmp_path: Path) -> None:
    _write_csv(pd.DataFrame({"label": [text, "b"]}), tmp_path / "t.csv")
    assert list(csv.reader((tmp_path / "t.csv").open(newline="")))[1] == [text]
    if text[:1] not in "-+.01":  # as which pandas reads a column of it
        assert read_csv(tmp_path / "t.csv")["label"][0] == text


@given(st.text(alphabet="'=+-@\t\r\n 1.eaσ\"", max_size=6))
def test_every_text_comes_back(text: str) -> None:
    written = f"'{text}" if _is_formula(text) else text
    assert written == text or not _is_formula(written) or written.startswith("'")
    assert (written[1:] if written[:1] == "'" and _is_formula(written[1:]) else written) == text
    assert written[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n") or not _is_formula(written)


def test_a_text_stays_in_its_cell_whatever_parts_cells(tmp_path: Path) -> None:
    """Some spreadsheets take a semicolon or a tab for the end of a cell, all a carriage return for that of a row."""
    held = ["a;=1+1", "b\r=1+1", "c\t=1", 'd"e', "f,=1"]
    _write_csv(pd.DataFrame({"label": held, "value": range(5)}), tmp_path / "t.csv")
    whole = (tmp_path / "t.csv").read_bytes().decode()
    for text in held:
        assert f'"{text.replace(chr(34), chr(34) * 2)}",' in whole
    assert list(read_csv(tmp_path / "t.csv")["label"]) == held


def test_numbers_of_every_column_stay_numbers(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "a": [-1.5, np.inf, -np.inf, np.nan],
            "b": [-1, 2, 3, 4],
            "c": ["-1", "=x", None, "d"],
            "d": [None, -2.5, 1, 0],
        }
    )
    _write_csv(table, tmp_path / "t.csv")
    read = pd.read_csv(tmp_path / "t.csv")
    pd.testing.assert_series_equal(read["a"], table["a"])
    pd.testing.assert_series_equal(read["b"], table["b"])
    assert list(read["c"][:2]) == ["-1", "'=x"]
    assert read["d"][1] == -2.5


def test_a_whole_run_with_hostile_words_comes_back(tmp_path: Path) -> None:
    tables = read_run(fake_run.write(tmp_path / "r.sqlite", fake_run.few()[:4], pictures=False))
    cells = tables.cells.assign(
        reason=["=cmd|' /C calc'!A0", "@x", "-1+2", *["'=y"] * (len(tables.cells) - 3)],
        dataset=['=HYPERLINK("a")'] * len(tables.cells),
    )
    export(dataclasses.replace(tables, cells=cells), tmp_path / "tables")
    with (tmp_path / "tables/cells.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            assert not [text for text in row.values() if _is_formula(text) and text[0] != "'"]
    back = read_csv(tmp_path / "tables/cells.csv")
    assert list(back["reason"][: len(cells)]) == list(cells["reason"])
    assert list(back["dataset"][: len(cells)]) == list(cells["dataset"])
    assert list(read_exported(tmp_path / "tables").cells["reason"]) == list(cells["reason"])
    np.testing.assert_allclose(back["bits_per_dim"][: len(cells)], cells["bits_per_dim"])
