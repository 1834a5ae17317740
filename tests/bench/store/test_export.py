"""An export says a digest of each of its files: what is damaged or changed later is not read as the run."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from bench.store import StoreError, read_run
from bench.store.export import export
from bench.store.read_export import read_exported
from tests.bench.store import crafted
from tests.bench.store.test_flips import differing, flip


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    export(read_run(crafted.write(folder / "run.sqlite")), folder / "tables")
    return folder / "tables"


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    for file in exported.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_the_digests_are_those_that_sha256sum_gives(folder: Path) -> None:
    stored = json.loads((folder / "provenance.json").read_text())["sha256"]
    assert set(stored) == {file.name for file in folder.iterdir()}
    tables = [file for file in folder.iterdir() if file.name != "provenance.json"]
    said = subprocess.run(["sha256sum", *map(str, tables)], capture_output=True, text=True, check=True).stdout
    assert {Path(line.split()[1]).name: line.split()[0] for line in said.splitlines()} == {
        file.name: stored[file.name] for file in tables
    }
    assert stored["cells.csv"] == hashlib.sha256((folder / "cells.csv").read_bytes()).hexdigest()


def test_no_turned_bit_of_an_export_is_read(folder: Path) -> None:
    before, chance = read_exported(folder), random.Random(0)
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        for _ in range(6):
            file.write_bytes(content)
            flip(file, chance.randrange(8 * len(content)))
            if file.name == "provenance.json" and _says_the_same(file, content):
                continue
            with pytest.raises(StoreError) as caught:
                read_exported(folder)
            assert "\n" not in str(caught.value)
            assert file.name in str(caught.value)
        file.write_bytes(content)
    assert differing(read_exported(folder), before) == ""


def _says_the_same(file: Path, content: bytes) -> bool:
    """1e-05 and 1E-05 are one number."""
    return file.read_bytes().lower() == content.lower()


def test_a_table_that_was_changed_on_purpose_is_read_when_that_is_said(folder: Path) -> None:
    table = pd.read_parquet(folder / "bounds.parquet")
    table[table["samples"] > 1].to_parquet(folder / "bounds.parquet")
    with pytest.raises(
        StoreError, match=r"bounds\.parquet is not as it was exported.*out of sha256 in provenance\.json"
    ):
        read_exported(folder)
    origin = json.loads((folder / "provenance.json").read_text())
    del origin["sha256"]["bounds.parquet"]
    (folder / "provenance.json").write_text(json.dumps(origin))
    assert (read_exported(folder).bounds["samples"] > 1).all()


def test_numbers_of_texts_are_no_table(folder: Path) -> None:
    origin = json.loads((folder / "provenance.json").read_text())
    del origin["sha256"]
    (folder / "provenance.json").write_text(json.dumps(origin))
    cells = pd.read_parquet(folder / "cells.parquet")
    for name, values in (("iw_nats", "many"), ("label", 7), ("label", b"\xff")):
        cells.assign(**{name: [values] * len(cells)}).to_parquet(folder / "cells.parquet")
        with pytest.raises(StoreError, match=f"'{name}' is of another type; export the run again"):
            read_exported(folder)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "7",
        "{}",
        "{",
        '{"meta": [], "provenance": []}',
        '{"meta": {}, "provenance": {}}',
        '{"meta": {}, "provenance": [1]}',
        '{"meta": {"cells": "many"}, "provenance": []}',
        '{"meta": {"data": {"digits": {"dims": NaN}}}, "provenance": []}',
        '{"meta": {}, "provenance": [], "sha256": []}',
        "[" * 100_000,
    ],
)
def test_an_origin_that_is_none(folder: Path, text: str) -> None:
    (folder / "provenance.json").write_text(text)
    with pytest.raises(StoreError, match=r"provenance\.json is damaged; remove it"):
        read_exported(folder)
    (folder / "provenance.json").unlink()
    assert len(read_exported(folder).cells) == 6


def test_what_is_damaged_in_the_run_is_not_in_its_export(tmp_path: Path) -> None:
    path = crafted.write(tmp_path / "run.sqlite")
    before = read_run(path)
    crafted.craft(path, crafted.cell("iw_nats", "iw_nats + 1"))
    tables = read_run(path)
    export(tables, tmp_path / "tables")
    read = read_exported(tmp_path / "tables")
    assert set(before.cells["cell"]) - set(read.cells["cell"]) == {min(before.cells["cell"])}
    assert set(read.per_image["cell"]) == set(read.cells["cell"])
