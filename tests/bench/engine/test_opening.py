"""How work on a run file begins: what is damaged is computed again, and a new run is begun where one may be."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from bench.engine.opening import Checks, RunError, opening
from bench.grid.errors import on_stderr
from bench.store import StoreError, read_run
from tests.bench.engine.test_run import carry_out, diary, result_tables, seeds

__all__ = ["diary"]  # a fixture
GRID = seeds(0, 1, 2)


def changed(path: Path, statement: str) -> None:
    """As no version of the suite changes it: what a disk does to a page, without the page's being out of order."""
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


#: of one cell, its row or one of those of it in another table
OF_A_CELL = {
    "its score": "UPDATE cells SET iw_nats = iw_nats + 1e-9 WHERE seed = 1",
    "its label": "UPDATE cells SET label = 'gaussiaN' WHERE seed = 1",
    "whether it is shown": "UPDATE cells SET current = 0 WHERE seed = 1",
    "its status": "UPDATE cells SET status = 'failed' WHERE seed = 1",
    "its row": "DELETE FROM cells WHERE seed = 1",
    "its name": "UPDATE cells SET cell = cell || 'x' WHERE seed = 1",
    "an image": "UPDATE per_image SET iw_nats = zeroblob(length(iw_nats)) "
    "WHERE cell = (SELECT cell FROM cells WHERE seed = 1)",
    "a row more": "INSERT INTO bounds SELECT cell, 7, -1.0, 0.1, -1.0 FROM cells WHERE seed = 1",
}


@pytest.mark.parametrize("what", OF_A_CELL)
def test_a_damaged_cell_is_named_and_computed_again(tmp_path: Path, diary: object, what: str) -> None:
    path = tmp_path / "r.sqlite"
    carry_out(GRID, path)
    before, tables = read_run(path), result_tables(path)
    cell = before.cells.set_index("seed")["cell"][1]
    changed(path, OF_A_CELL[what])
    read = read_run(path)
    assert cell not in set(read.cells["cell"])
    assert any(cell[-30:] in sentence for sentence in read.damaged)
    assert len(read.cells) == 2, "the others are there"
    summary, said = carry_out(GRID, path)
    assert (summary.done, summary.failed, summary.computed) == (3, 0, 1)
    assert "damaged and left out; running the grid again computes" in said
    after = read_run(path)
    assert after.damaged == ()
    for name, table in result_tables(path).items():
        pd.testing.assert_frame_equal(table, tables[name])
    assert carry_out(GRID, path)[0].computed == 0


def test_what_is_damaged_in_no_cell_of_the_grid_is_said_too(tmp_path: Path, diary: object) -> None:
    path = tmp_path / "r.sqlite"
    carry_out(GRID, path)
    changed(path, OF_A_CELL["its score"])
    summary, said = carry_out(seeds(0), path)
    assert summary.computed == 0
    assert "damaged and left out" in said


def test_a_damaged_reference_is_computed_again(tmp_path: Path, diary: object) -> None:
    path = tmp_path / "r.sqlite"
    carry_out(GRID, path)
    before = read_run(path).references
    changed(path, "UPDATE cells SET iw_nats = 0 WHERE family = 'histogram'")
    assert len(read_run(path).references) == len(before) - 1
    carry_out(GRID, path)
    after = read_run(path)
    assert (len(after.references), after.damaged) == (len(before), ())


def test_damaged_facts_of_the_run_are_written_anew(tmp_path: Path, diary: object) -> None:
    path = tmp_path / "r.sqlite"
    carry_out(GRID, path)
    before = read_run(path).meta
    changed(path, "UPDATE meta SET value = '\"other\"' WHERE key IN ('grid', 'name')")
    read = read_run(path)
    assert {"grid", "name"}.isdisjoint(read.meta)
    assert "2 facts of the run (grid, name) are damaged" in read.damaged[0]
    carry_out(GRID, path)
    assert read_run(path).meta == before


def test_a_damaged_invocation_leaves_its_number_to_nobody(tmp_path: Path, diary: object) -> None:
    """Cells say which they come from: a later one must not stand there."""
    path = tmp_path / "r.sqlite"
    carry_out(seeds(0), path)
    changed(path, 'UPDATE provenance SET json = \'{"time": "2020"}\'')
    assert read_run(path).provenance == []
    carry_out(seeds(0, 1), path)
    read = read_run(path)
    assert [entry["id"] for entry in read.provenance] == [1, 2]
    assert "time" not in read.provenance[0]
    assert sorted(read.cells["provenance"]) == [1, 2]


def test_an_index_that_is_out_of_order_is_made_anew(tmp_path: Path, diary: object) -> None:
    """It is only a way into a table: nothing that is read comes by it, and what is written must not go by it."""
    path = tmp_path / "r.sqlite"
    carry_out(GRID, path)
    before = read_run(path)
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'bounds_cell'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek(page * size - 3)
        file.write(b"\x55")  # in the name of the index's first entry
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() != ("ok",)
    connection.close()
    assert read_run(path).damaged == ()
    carry_out(GRID, path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert read_run(path).bounds.equals(before.bounds)


# -- --fresh -----------------------------------------------------------------------------------------------------------


def test_fresh_by_a_link_begins_anew_where_it_leads(tmp_path: Path, diary: object) -> None:
    real = tmp_path / "disk" / "real.sqlite"
    real.parent.mkdir()
    carry_out(seeds(0), real)
    link = tmp_path / "r.sqlite"
    link.symlink_to(real)
    summary, _ = carry_out(seeds(1), link, fresh=True)
    assert summary.computed == 1
    assert link.is_symlink()
    assert read_run(real).cells["seed"].tolist() == [1]
    assert carry_out(seeds(1), real)[0].computed == 0, "one run by both names"


def test_a_link_that_leads_nowhere_is_no_place_for_a_run(tmp_path: Path) -> None:
    """The disk that it leads to may not be there just now: its folder would be made on another."""
    (tmp_path / "r.sqlite").symlink_to(tmp_path / "disk" / "r.sqlite")
    with pytest.raises(StoreError, match=r"is a link to .*disk/r\.sqlite, which is not there"):
        carry_out(seeds(0), tmp_path / "r.sqlite")
    assert [path.name for path in tmp_path.iterdir()] == ["r.sqlite"]


@pytest.mark.parametrize("ending", ["-journal", "-wal"])
@pytest.mark.parametrize("fresh", [False, True])
def test_what_lies_where_sqlite_writes_is_looked_at_before_anything_is_done(
    tmp_path: Path, ending: str, fresh: bool
) -> None:
    (tmp_path / f"r.sqlite{ending}").write_text("a year of notes")
    with (
        pytest.raises(StoreError, match=r"not written over; give another --out"),
        opening(GRID, tmp_path / "r.sqlite", Checks(), fresh=fresh, say=on_stderr),
    ):
        pytest.fail("it has begun")
    assert {path.name for path in tmp_path.iterdir()} == {f"r.sqlite{ending}"}


def test_fresh_spares_another_program_s_database(tmp_path: Path) -> None:
    path = tmp_path / "photographs.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photographs (year)")
    connection.close()
    before = path.read_bytes()
    (tmp_path / "link.sqlite").symlink_to(path)
    os.link(path, tmp_path / "hard.sqlite")
    for name in ("photographs", "link", "hard"):
        with pytest.raises(RunError, match="is not a run file, so --fresh does not write over it"):
            carry_out(seeds(0), tmp_path / f"{name}.sqlite", fresh=True)
    assert path.read_bytes() == before


def test_a_new_run_is_held_as_soon_as_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    with opening(GRID, path, Checks(), fresh=True, say=on_stderr) as opened:
        opened.keep({})
        os.link(path, tmp_path / "hard.sqlite")
        with (
            pytest.raises(StoreError, match="in use by another run"),
            opening(GRID, tmp_path / "hard.sqlite", Checks(), say=on_stderr),
        ):
            pytest.fail("it has begun")
    shutil.copy(path, tmp_path / "copy.sqlite")
    with (
        opening(GRID, tmp_path / "hard.sqlite", Checks(), say=on_stderr),
        opening(GRID, tmp_path / "copy.sqlite", Checks(), say=on_stderr),
    ):
        pass
