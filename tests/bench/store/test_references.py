"""References in the run file: they come with format 6, keep their spec, and are read back from exports as they were."""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.grid.cell import DataSpec
from bench.grid.errors import on_stderr
from bench.grid.read import parse_grid
from bench.grid.references import ReferenceSpec, of_grid
from bench.store import ReferenceResult, RunFile, read_run
from bench.store import migrate as migrating
from bench.store.columns import FORMAT
from bench.store.export import export
from bench.store.read_export import read_exported
from bench.store.reference_rows import row_of
from tests.bench.report import fake_run
from tests.bench.store.test_migrate import written_then

HERE = Path(__file__).parent


def specs() -> dict[str, ReferenceSpec]:
    cells = parse_grid('[grid]\nfamily = "gaussian"\nsigma = ["shared", "pixel"]\n', "g", "g.toml").cells
    return {spec.reference: spec for spec in of_grid(cells)}


@pytest.fixture
def run(tmp_path) -> Path:
    """A small run with three references, one of them failed."""
    path = fake_run.write(tmp_path / "fake.sqlite", fake_run.few(), images=30, pictures=False)
    file = RunFile.open(path, on_stderr)
    number = file.add_provenance({})
    values = {"measure": "pmf-17", "currency": "pmf-K", "iw_nats": -100.5, "bits_per_dim": 2.27}
    results = {
        "histogram": ReferenceResult("", "done", None, "histogram", values, np.linspace(-120, -80, 30)),
        "png": ReferenceResult("", "done", None, "PNG", values),
        "no_latent:gaussian": ReferenceResult("", "failed", "out of luck", options={"sigma": "pixel"}),
    }
    for name, result in results.items():
        file.write_reference(specs()[name], result, number)
    file.close()
    return path


def test_a_row_has_what_it_is_of_and_nothing_of_a_training(run):
    found = read_run(run).references.set_index("family")
    assert found.loc["histogram", "bits_per_dim"] == 2.27
    assert found.loc["no_latent:gaussian", ["label", "reason", "sigma"]].tolist() == [
        "no_latent:gaussian",
        "out of luck",
        "pixel",
    ]
    assert (found["dataset"] == "digits").all()
    assert found["learning_rate"].isna().all()
    assert read_run(run).cells["learning_rate"].notna().all()


def test_a_row_that_is_written_again_is_replaced(run):
    file = RunFile.open(run, on_stderr)
    file.write_reference(specs()["histogram"], ReferenceResult("", "timeout", "too long"), 1)
    assert file.statuses(reference=True)[specs()["histogram"].id] == "timeout"
    assert len(file.statuses()) == len(read_run(run).cells)
    file.close()
    tables = read_run(run)
    assert specs()["histogram"].id not in set(tables.per_image["cell"])
    assert len(tables.references) == 3


def test_an_export_holds_both_and_is_read_back_as_it_was(run, tmp_path):
    tables = read_run(run)
    export(tables, tmp_path / "tables")
    written = pd.read_csv(tmp_path / "tables" / "cells.csv", dtype=str)
    assert written["reference"].tolist() == ["0"] * len(tables.cells) + ["1"] * 3
    assert set(written["train_samples"].dropna()) <= {"1", "5"}, "whole numbers stay whole"
    read = read_exported(tmp_path / "tables")
    pd.testing.assert_frame_equal(read.cells, tables.cells)
    pd.testing.assert_frame_equal(read.references, tables.references, check_dtype=False)
    pd.testing.assert_frame_equal(read.per_image, tables.per_image)


def test_an_export_of_before_has_none(tmp_path):
    stored = HERE.parents[2] / "results" / "reference" / "digits"
    assert set(read_exported(stored).references["family"]) >= {"histogram", "product_mixture", "xz"}
    cells = pd.read_parquet(stored / "cells.parquet")
    before = cells[cells["reference"] == 0].drop(columns=["reference", "details"])
    before.to_parquet(tmp_path / "cells.parquet", index=False)
    shutil.copy(stored / "per_image.parquet", tmp_path)
    read = read_exported(tmp_path)
    assert read.references.empty
    assert (read.cells["reference"] == 0).all()
    assert {"family", "status", "iw_nats"} <= set(read.references.columns)


@pytest.mark.parametrize("name", ["format_3", "format_4"])
def test_files_of_before_are_brought_along_without_any(tmp_path, name):
    path = Path(shutil.copy(HERE / f"{name}.sqlite", tmp_path / "old.sqlite"))
    tables = read_run(path)
    assert tables.references.empty
    assert (tables.cells["reference"] == 0).all()


def test_format_5_is_brought_along(run):
    with sqlite3.connect(run) as connection:
        connection.execute("DELETE FROM cells WHERE reference = 1")
        for column in ("reference", "details"):
            connection.execute(f"ALTER TABLE cells DROP COLUMN {column}")
        connection.execute("DROP TABLE digests")
        connection.execute("PRAGMA user_version = 5")
        before = connection.execute("SELECT cell, iw_nats FROM cells").fetchall()
    RunFile.open(run, on_stderr).close()
    with sqlite3.connect(run) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT,)
        assert connection.execute("SELECT cell, iw_nats FROM cells WHERE reference = 0").fetchall() == before


def test_references_stay_as_they_are_when_a_column_is_added(run):
    """What brings cells along reads every stored spec as a cell's; a reference has another."""
    before = read_run(run)
    with sqlite3.connect(run) as connection:
        connection.execute("ALTER TABLE cells DROP COLUMN khat_median")
    written_then(run)
    assert not migrating.is_current(sqlite3.connect(run))
    RunFile.open(run, on_stderr).close()
    after = read_run(run)
    pd.testing.assert_frame_equal(
        after.references[before.references.columns].drop(columns="khat_median"),
        before.references.drop(columns="khat_median"),
    )
    assert after.cells["cell"].tolist() == before.cells["cell"].tolist()


def test_a_grid_says_which_are_of_it(run):
    file = RunFile.open(run, on_stderr)
    file.begin([], {}, [specs()["png"].id])
    file.close()
    tables = read_run(run)
    assert tables.cells.empty
    assert tables.references["family"].tolist() == ["png"]


def test_a_row_holds_all_that_is_made_of_the_data():
    """Without one of it a reference would be of another contest than the cells that it is for."""
    whole = DataSpec("faces.npy", levels=17, quantise=None, train_images=40, block=4)
    whole = dataclasses.replace(whole, crop="8x9", resize="4x5", grey=True, patch_size=8)
    assert all(getattr(whole, item.name) for item in dataclasses.fields(whole) if item.name != "quantise")
    for data in (whole, DataSpec("faces.npy", quantise=16), DataSpec("digits")):
        spec = dataclasses.replace(specs()["histogram"], data=data)
        assert DataSpec.of(row_of(spec, ReferenceResult(spec.id, "done"))) == data
