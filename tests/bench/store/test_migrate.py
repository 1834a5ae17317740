"""Run files and exports of before are brought along. format_3.sqlite was written by the code of commit 94163f7,
format_4.sqlite by that of 2b5103a."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from bench.grid.cell import Cell
from bench.grid.errors import on_stderr
from bench.grid.read import describe, load_grid, parse_grid, shipped_grids
from bench.store import RunFile, StoreError, read_run
from bench.store import migrate as migrating
from bench.store.columns import FORMAT
from bench.store.export import export
from bench.store.guard import content, digests, schema
from bench.store.read_export import read_exported

OLD = Path(__file__).with_name("format_3.sqlite")
FOUR = Path(__file__).with_name("format_4.sqlite")
READ_THEN = {  #: which readings recipes had, when cross-entropy had one and squared error two
    **dict.fromkeys(("bce_sum", "bce_mean"), ("continuous_bernoulli",)),
    **dict.fromkeys(("mse_sum", "mse_mean", "beta_mse"), ("gaussian_implied", "gaussian_fitted")),
}
LONG = ("bounds", "per_image", "latents")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copy(OLD, tmp_path / "old.sqlite"))


def cells_before(path: Path) -> pd.DataFrame:
    with sqlite3.connect(path) as connection:
        return pd.read_sql_query("SELECT * FROM cells ORDER BY rowid", connection)


def without_digests(folder: Path) -> None:
    """An export as it was when it had no digests, whose tables may be written anew."""
    stored = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    del stored["sha256"]
    (folder / "provenance.json").write_text(json.dumps(stored), encoding="utf-8")


def written_then(path: Path) -> None:
    """The digests of a file that was changed by hand, as the code that wrote it so would have stored them."""
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM digests")
        there = [table for table in content.PARTS if schema.has(connection, table)]
        digests.store(connection, digests.of(content.read(connection, there)))


def of_then(cells: Iterable[Cell]) -> list[Cell]:
    """Without the readings that recipes have got since."""
    return [cell for cell in cells if cell.scored_as in READ_THEN.get(cell.family, (cell.scored_as,))]


def test_every_stored_cell_is_found_under_its_name_of_today(old):
    before, file = cells_before(old), RunFile.open(old, on_stderr)
    grid = parse_grid(file.meta()["grid"], "old", "old.toml")
    asked = [cell.but(eval_tolerance=0.0) for cell in grid.cells]  # what was scored so before has a default of its own
    assert set(file.statuses()) == set(describe(of_then(asked))), "a run of the same grid would compute some again"
    assert file.measured_kinds() == {cell.kind for cell in grid.cells}
    file.close()
    after = read_run(old)
    assert set(after.cells["cell"]).isdisjoint(before["cell"])
    for row, now in zip(before.itertuples(), after.cells.itertuples(), strict=True):
        cell = Cell.of_spec(json.loads(row.spec))
        assert (now.cell, now.config, now.kind) == (cell.id, cell.config, cell.kind)
        assert (now.seed, now.iw_nats, now.label) == (row.seed, row.iw_nats, row.label)
        assert now.eval_samples == "1,30"


def test_no_number_is_lost_or_changed(old):
    with sqlite3.connect(old) as connection:
        before = {name: pd.read_sql_query(f"SELECT * FROM {name} ORDER BY rowid", connection) for name in LONG}  # noqa: S608
    RunFile.open(old, on_stderr).close()
    with sqlite3.connect(old) as connection:
        after = {name: pd.read_sql_query(f"SELECT * FROM {name} ORDER BY rowid", connection) for name in LONG}  # noqa: S608
    for name in LONG:
        assert after[name]["cell"].nunique() == before[name]["cell"].nunique() == 12
        pd.testing.assert_frame_equal(after[name].drop(columns="cell"), before[name].drop(columns="cell"))


def test_reading_brings_a_copy_along_and_leaves_the_file(old):
    bytes_before = old.read_bytes()
    read = read_run(old)
    assert old.read_bytes() == bytes_before
    RunFile.open(old, on_stderr).close()
    assert old.read_bytes() != bytes_before
    written = read_run(old)
    pd.testing.assert_frame_equal(read.cells, written.cells)
    pd.testing.assert_frame_equal(read.per_image, written.per_image)
    pd.testing.assert_frame_equal(read.throughput, written.throughput)


def test_a_file_that_may_only_be_read_is_brought_along_in_memory(old):
    old.chmod(0o444)
    assert len(read_run(old).cells) == 12


def test_it_is_changed_wholly_or_not_at_all(old, monkeypatch):
    bytes_before = old.read_bytes()
    connection = sqlite3.connect(old)
    specs = connection.execute("SELECT cell, spec FROM cells").fetchall()
    connection.execute("UPDATE cells SET spec = '{}' WHERE cell = ?", (specs[-1][0],))
    connection.commit()
    connection.close()
    broken = old.read_bytes()
    assert broken != bytes_before
    for use in (partial(RunFile.open, say=on_stderr), read_run):
        with pytest.raises(StoreError, match=r"is damaged \(a stored cell cannot be read: .*another --out"):
            use(old)
    assert cells_before(old)["cell"].tolist() == [cell for cell, _ in specs]
    with sqlite3.connect(old) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
        assert "eval_samples" not in {name for _, name, *_ in connection.execute("PRAGMA table_info(cells)")}


def test_a_column_that_is_new_is_made_in_a_file_that_lacks_it(old):
    RunFile.open(old, on_stderr).close()
    with sqlite3.connect(old) as connection:
        connection.execute("ALTER TABLE cells DROP COLUMN khat_median")
        connection.execute("ALTER TABLE cells DROP COLUMN precision")
        connection.execute("DROP TABLE scaling")
    written_then(old)
    tables = read_run(old)
    assert tables.cells["khat_median"].isna().all()
    assert sorted(tables.cells["precision"].unique()) == ["bf16", "float32"], "a key's column is filled from the specs"
    file = RunFile.open(old, on_stderr)
    file.close()
    assert migrating.is_current(sqlite3.connect(old))


def test_exports_of_before_are_read_under_the_names_of_today(old, tmp_path):
    before = cells_before(old)
    today = read_run(old)
    folder = tmp_path / "tables"
    export(today, folder)
    names = dict(zip(today.cells["cell"], before["cell"], strict=True))
    configs, kinds = (dict(zip(today.cells[c], before[c], strict=True)) for c in ("config", "kind"))
    for path in folder.glob("*.parquet"):  # as the code of then wrote them
        table = pd.read_parquet(path)
        if "cell" not in table.columns:  # of candidates, of which there were none
            path.unlink()
            continue
        table["cell"] = table["cell"].map(names)
        if path.stem == "cells":
            table["config"], table["kind"] = table["config"].map(configs), table["kind"].map(kinds)
            table = table.drop(columns=["eval_samples", "khat_median"])
        table.to_parquet(path)
    without_digests(folder)
    read = read_exported(folder)
    assert read.cells["cell"].tolist() == today.cells["cell"].tolist()
    assert read.cells["kind"].tolist() == today.cells["kind"].tolist()
    assert read.cells["eval_samples"].tolist() == today.cells["eval_samples"].tolist()
    assert read.cells["khat_median"].isna().all(), "a column that is newer than the export is there, with nothing in it"
    assert set(read.per_image["cell"]) == set(read.bounds["cell"]) == set(today.cells["cell"])


def test_an_export_is_read_back_as_it_was(old, tmp_path):
    tables = read_run(old)
    export(tables, tmp_path / "tables")
    read = read_exported(tmp_path / "tables")
    pd.testing.assert_frame_equal(read.cells, tables.cells)
    pd.testing.assert_frame_equal(read.per_image, tables.per_image)
    assert read.meta == tables.meta
    assert read.provenance == tables.provenance


# -- objective and bound, which were one key up to format 4 ------------------------------------------------------------

ASKED = {
    "gaussian σ=shared L=3": ("dequantised", "elbo"),
    "gaussian σ=shared iwae L=3": ("dequantised", "iwae"),
    "gaussian σ=shared binned L=3": ("binned", "elbo"),
    "bernoulli iwae L=3": ("own", "iwae"),
    "categorical": ("own", "elbo"),
    "mse_sum (gaussian implied)": ("own", "elbo"),
    "mse_sum (gaussian fitted)": ("own", "elbo"),
}


def test_objective_and_bound_are_parted(tmp_path):
    path = Path(shutil.copy(FOUR, tmp_path / "four.sqlite"))
    before, file = cells_before(path), RunFile.open(path, on_stderr)
    grid = parse_grid(file.meta()["grid"], "four", "four.toml", ("eval_tolerance=0",))  # as it was then
    assert grid.notes, "the grid in the file stays as it was written"
    assert set(file.statuses()) == set(describe(of_then(grid.cells))), "a run of the same grid would compute some again"
    assert file.measured_kinds() == {cell.kind for cell in grid.cells}
    file.close()
    after = read_run(path)
    assert {row.label: (row.objective, row.bound) for row in after.cells.itertuples()} == ASKED
    for old_id, new_id, bound in zip(before["cell"], after.cells["cell"], after.cells["bound"], strict=True):
        assert (old_id[-8:] == new_id[-8:]) == (bound == "elbo"), "a hash that could stay has changed"
    asked, measured = (
        {row.kind: (row.objective, row.bound) for row in table.itertuples()}
        for table in (after.cells, after.throughput)
    )
    assert measured == asked


def test_the_speed_of_a_kind_without_cells_keeps_its_name(tmp_path):
    path = Path(shutil.copy(FOUR, tmp_path / "four.sqlite"))
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM cells WHERE family = 'gaussian'")
    speeds = read_run(path).throughput
    alone = speeds[speeds["family"] == "gaussian"].sort_values("kind")
    assert alone["kind"].str.contains("-(?:binned|elbo|iwae)-L3-").all()
    assert alone["bound"].tolist() == ["elbo", "elbo", "iwae"]
    assert alone["objective"].iloc[0] == "binned"
    assert alone["objective"].iloc[1:].isna().all()


def test_an_export_of_format_4_is_read_in_the_words_of_today(tmp_path):
    """As the code of then wrote it."""
    path = Path(shutil.copy(FOUR, tmp_path / "four.sqlite"))
    before, today = cells_before(path), read_run(path)
    export(today, tmp_path / "tables")
    names = dict(zip(today.cells["cell"], before["cell"], strict=True))
    for stored in (tmp_path / "tables").glob("*.parquet"):
        table = pd.read_parquet(stored)
        if "cell" not in table.columns:  # of candidates, of which there were none
            stored.unlink()
            continue
        table["cell"] = table["cell"].map(names)
        if stored.stem == "cells":
            table = table.drop(columns="bound").assign(**before[["config", "kind", "spec", "objective"]])
        table.to_parquet(stored)
    without_digests(tmp_path / "tables")
    read = read_exported(tmp_path / "tables")
    assert {row.label: (row.objective, row.bound) for row in read.cells.itertuples()} == ASKED
    for name in ("cell", "config", "kind"):
        assert read.cells[name].tolist() == today.cells[name].tolist()
    assert set(read.per_image["cell"]) == set(today.cells["cell"])


@pytest.mark.parametrize("name", ["digits", "catalogue"])
def test_the_reference_runs_are_those_of_the_grids_of_today(name):
    """Of one made before recipes had all their readings, but for those."""
    folder = Path(__file__).parents[3] / "results" / "reference" / name
    stored, asked = read_exported(folder).cells, load_grid(shipped_grids()[name]).cells
    if stored["reading_bits_per_dim"].isna().all():
        asked = tuple(of_then(asked))
    assert set(stored["cell"]) == {cell.id for cell in asked}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_run_that_may_not_change_the_file_says_so(old):
    old.chmod(0o444)
    with pytest.raises(StoreError, match="could not be written"):
        RunFile.open(old, on_stderr)


def test_what_was_brought_along_once_is_not_changed_again(old):
    RunFile.open(old, on_stderr).close()
    content = old.read_bytes()
    RunFile.open(old, on_stderr).close()
    assert old.read_bytes() == content
    with sqlite3.connect(old) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT,)
