"""References in a run: computed once, stored as rows of their own, harmless when they fail, and no cells."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest

from bench.engine.progress import Reporter
from bench.engine.worker.from_cell import data_of, scored_images
from bench.engine.worker.references import refer
from bench.grid.cell import Cell
from bench.grid.errors import on_stderr
from bench.grid.references import of_grid
from bench.store import RunFile, read_run
from bench.store.weights import cells_of
from tests.bench.engine.fake_worker import TASKS
from tests.bench.engine.test_run import carry_out, diary, grid_of

GRID = grid_of('[grid]\nfamily = ["gaussian", "bernoulli"]\nseed = [0, 1]\n')
MORE = grid_of('[grid]\nfamily = ["gaussian", "bernoulli", "categorical"]\nseed = [0, 1]\n')
__all__ = ["diary"]  # a fixture


def referred(read) -> list[str]:
    return sorted(what.removeprefix("refer ") for _, what in read() if what.startswith("refer"))


def without_references(path: Path) -> Path:
    """A finished run, as it was before there were any."""
    carry_out(GRID, path)
    file = RunFile.open(path, on_stderr)
    file._connection.execute("DELETE FROM cells WHERE reference = 1")
    file.close()
    return path


def test_they_are_rows_of_their_own(tmp_path, diary):
    summary, said = carry_out(GRID, tmp_path / "r.sqlite")
    assert (summary.done, summary.failed, summary.computed) == (4, 0, 4)
    assert "4 cells and 14 references" in said
    tables = read_run(tmp_path / "r.sqlite")
    assert set(tables.cells["reference"]) == {0}
    assert len(tables.cells) == 4
    assert set(tables.references["cell"]) == {spec.id for spec in of_grid(GRID.cells)}
    assert set(tables.references["status"]) == {"done"}
    assert set(tables.references["seed"]) == {0}
    assert json.loads(tables.references["details"].iloc[0]) == {"found": 1}
    scored = set(tables.per_image["cell"]) & set(tables.references["cell"])
    assert len(scored) == 14 - 2 * 3, "codecs give images no scores of their own"
    assert {item.cell for item in cells_of(tmp_path / "r.sqlite")} == set(tables.cells["cell"])
    assert tables.cells["train_samples"].dtype == np.int64


def test_they_are_not_computed_again_and_a_new_family_adds_its_own(tmp_path, diary):
    path = tmp_path / "r.sqlite"
    carry_out(GRID, path)
    assert len(referred(diary)) == 14
    summary, _ = carry_out(GRID, path, dataclasses.replace(TASKS, refer="no:where", carry_out="no:where"))
    assert summary.computed == 0
    carry_out(MORE, path)
    assert referred(diary) == ["no_latent:categorical"]
    assert len(read_run(path).references) == 15
    carry_out(GRID, path)
    assert referred(diary) == []
    assert len(read_run(path).references) == 14, "a smaller grid hides what is not of it"


def test_a_run_of_before_gets_them_alone(tmp_path, diary):
    path = without_references(tmp_path / "r.sqlite")
    diary()
    summary, said = carry_out(GRID, path)
    assert summary.computed == 0
    assert "no cells and 14 references" in said
    assert {what.split()[0] for _, what in diary()} == {"inspect", "refer"}


@pytest.mark.parametrize("broken", ["product_mixture", "no_latent"])
def test_one_that_fails_harms_nothing_and_is_tried_again_when_asked(tmp_path, diary, monkeypatch, broken):
    path = tmp_path / "r.sqlite"
    monkeypatch.setenv("FAKE_REFERENCE", broken)
    summary, _ = carry_out(GRID, path)
    assert (summary.done, summary.failed) == (4, 0)
    lost = read_run(path).references.query("status != 'done'")
    assert set(lost["family"].str.partition(":")[0]) == {broken}
    assert lost["reason"].str.contains("a bad reference").all()
    assert set(read_run(path).references["status"]) == {"done", "failed"}
    monkeypatch.delenv("FAKE_REFERENCE")
    diary()
    carry_out(GRID, path)
    assert referred(diary) == []
    carry_out(GRID, path, retry_failed=True)
    assert len(referred(diary)) == len(lost)
    assert set(read_run(path).references["status"]) == {"done"}


def test_a_worker_that_answers_something_else_has_failed(tmp_path):
    tasks = dataclasses.replace(TASKS, refer="tests.bench.engine.fake_worker:mumble")
    summary, _ = carry_out(GRID, tmp_path / "r.sqlite", tasks)
    assert summary.failed == 0
    found = read_run(tmp_path / "r.sqlite").references
    assert set(found["reason"]) == {"the worker gave no result for this reference"}


def test_what_is_to_come_is_said_when_the_cells_have_ended():
    stream = io.StringIO()
    now = iter(range(0, 1000, 10))
    with Reporter(stream, clock=lambda: float(next(now))) as reporter:
        reporter.start(4, 0)
        reporter.update(2, 0, 0, 3)
        reporter.update(4, 0, 0, 3)
    first, last = stream.getvalue().splitlines()
    assert "2/4 cells" in first
    assert "reference" not in first
    assert last.endswith("3 references to come")


# -- in a worker, on digits -------------------------------------------------------------------------------------------


def cell(family: str = "categorical", **more) -> Cell:
    (only,) = grid_of(f'[grid]\nfamily = "{family}"\n').cells
    return only.but(**more) if more else only


def spec_of(name: str, of: Cell):
    return next(spec for spec in of_grid([of]) if spec.reference == name)


@pytest.mark.parametrize(
    ("family", "more"), [("categorical", {}), ("categorical", {"test_images": 30}), ("bernoulli", {})]
)
def test_the_integers_are_those_that_cells_are_scored_on(family, more):
    asked = cell(family, **more)
    k, levels = scored_images(asked, data_of(asked, "cpu"))
    found = refer(spec_of("histogram", asked))
    assert found.iw_nats is not None
    assert len(found.iw_nats) == len(k) == found.details["test images"]
    ones = refer(spec_of("uniform", asked))
    assert ones.values["iw_nats"] == pytest.approx(-64 * np.log(levels))
    assert found.values["measure"] == f"pmf-{levels}"
    assert found.values["currency"] == ("pmf-2" if levels == 2 else "pmf-K")
    table = -found.values["iw_nats"] / (64 * np.log(2))
    assert found.values["bits_per_dim"] == pytest.approx(table)
    assert found.values["bits_per_dim_se"] == pytest.approx(found.iw_nats.std(ddof=1) / len(k) ** 0.5 / 64 / np.log(2))


def test_what_there_is_not_has_failed_with_its_reason(tmp_path):
    values = np.random.default_rng(0).integers(1000, size=(60, 4, 4)).astype(np.int16)
    np.savez(tmp_path / "deep.npz", values)
    text = f'[grid]\ndataset = "{tmp_path / "deep.npz"}"\nlevels = 1000\nfamily = "categorical"\n'
    (asked,) = grid_of(text).cells
    webp, png = (refer(spec_of(name, asked)) for name in ("webp", "png"))
    assert (webp.status, webp.reason) == ("failed", "WebP has 8 bits a value, and 1000 levels need more")
    assert png.status == "done"
    assert refer(spec_of("xz", asked)).iw_nats is None


@pytest.mark.slow
def test_a_real_run_has_them(tmp_path: Path):
    from bench.engine.run import Options, run_grid

    grid = grid_of('[grid]\nfamily = "categorical"\nepochs = 1\nhidden = 8\neval_samples = [1, 10]\n')
    with Reporter(io.StringIO()) as reporter:
        run_grid(grid, tmp_path / "r.sqlite", Options(weights=0), reporter)
    found = read_run(tmp_path / "r.sqlite").references.set_index("family")
    assert found.loc["histogram", "bits_per_dim"] == pytest.approx(2.415, abs=0.01)
    assert found.loc["product_mixture", "bits_per_dim"] < found.loc["histogram", "bits_per_dim"]
    assert found.loc["no_latent:categorical", "label"] == "categorical, no latent"
    assert (found["provenance"] == 1).all()


def test_a_finished_run_whose_data_are_gone_stays_finished(tmp_path, diary):
    """Only references are asked for: that they cannot be had is said, and stops nothing that was done."""
    path = without_references(tmp_path / "r.sqlite")
    gone = dataclasses.replace(TASKS, inspect="tests.bench.engine.fake_worker:no_data")
    summary, said = carry_out(GRID, path, gone)
    assert (summary.done, summary.failed, summary.computed) == (4, 0, 0)
    assert "the references were not added: " in said
    assert read_run(path).references.empty
