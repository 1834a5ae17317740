"""Who is known to have taken a worker along is tried alone when a run is resumed, and no others pay for it again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bench.engine import plugins
from bench.engine.run import Interrupted, Tasks
from bench.grid.read import Grid, load_grid
from bench.store import RunFile, read_run
from tests.bench.engine import fake_tuning, kills, planted
from tests.bench.engine.fake_worker import TASKS
from tests.bench.engine.feared import BAD, DEADLY, FEARED, HERE
from tests.bench.engine.test_run import carry_out, diary, grid_of, seeds  # noqa: F401  the diary is a fixture


@pytest.fixture(autouse=True)
def one_bundle(monkeypatch):
    """However many cores there are: they are what a grid is cut for."""
    monkeypatch.setattr("bench.engine.run.cores", lambda: 1)


@pytest.fixture
def stops(monkeypatch):
    """From now on a run is interrupted as soon as the row of a seed is stored with that status."""
    honest = RunFile.write

    def at(seed: int, status: str = "failed") -> None:
        def write(self, results, provenance):
            results = list(results)
            honest(self, results, provenance)
            if any(described.cell.seed == seed and row.status == status for described, row in results):
                monkeypatch.setattr(RunFile, "write", honest)
                raise KeyboardInterrupt

        monkeypatch.setattr(RunFile, "write", write)

    return at


def numbers(path: Path) -> dict[int, tuple[object, ...]]:
    rows = read_run(path).cells
    columns = ["status", "reason", "iw_nats", "kl_nats", "bundle_models"]
    return {row["seed"]: tuple(map(str, (row[column] for column in columns))) for row in rows.to_dict("records")}


def stacks(entries) -> list[str]:
    return [what for _, what in entries if what.startswith("train ")]


GRID = seeds(0, BAD, 1, 2, 3)


@pytest.mark.parametrize(
    ("trouble", "grid"),
    [("segfault", seeds(BAD, 0, 1, 2, 3)), ("killed", seeds(BAD, 0, 1)), ("raises as scored", GRID)],
    ids=["segfault", "killed", "raises as scored"],
)
def test_a_resumed_run_gives_the_numbers_of_one_that_was_not_interrupted(
    tmp_path,
    monkeypatch,
    diary,  # noqa: F811
    stops,
    trouble,
    grid,
):
    monkeypatch.setenv("FAKE_TROUBLE", trouble)
    carry_out(grid, tmp_path / "calm.sqlite", FEARED, workers=1)
    diary()
    path = tmp_path / "r.sqlite"
    stops(BAD)
    with pytest.raises(Interrupted):
        carry_out(grid, path, FEARED, workers=1)
    assert len(read_run(path).cells) < len(grid.cells)
    diary()
    carry_out(grid, path, FEARED, workers=1)
    made, alone = stacks(diary()), f"train [{BAD}] for [{BAD}]"
    assert (made[-1] == alone) == ("killed" in trouble), "by whom is not known: it is tried again, last"
    others = [stack for stack in made if stack != alone]
    assert others
    assert not any(str(BAD) in stack.partition(" for ")[0] for stack in others), "trained along"
    assert numbers(path) == numbers(tmp_path / "calm.sqlite")


def test_when_failed_cells_are_tried_again_it_is_alone_and_last(tmp_path, monkeypatch, diary, stops):  # noqa: F811
    monkeypatch.setenv("FAKE_TROUBLE", "segfault")
    path = tmp_path / "r.sqlite"
    stops(BAD)
    with pytest.raises(Interrupted):
        carry_out(GRID, path, FEARED, workers=1)
    diary()
    monkeypatch.delenv("FAKE_TROUBLE")
    summary, _ = carry_out(GRID, path, FEARED, workers=1, retry_failed=True)
    assert (summary.done, summary.failed) == (5, 0)
    assert stacks(diary())[-1] == f"train [{BAD}] for [{BAD}]"
    rows = read_run(path).cells.set_index("seed")
    assert rows.loc[BAD, "bundle_models"] == 1


def test_one_whose_row_a_worker_gave_is_trained_along_as_before(tmp_path, monkeypatch, diary, stops):  # noqa: F811
    """A model that diverged harms nobody, and the others' numbers are those of its stack."""
    path = tmp_path / "r.sqlite"
    tasks = dataclasses.replace(TASKS, carry_out=f"{HERE}:diverges")
    stops(BAD)
    with pytest.raises(Interrupted):
        carry_out(GRID, path, tasks, workers=1)
    diary()
    carry_out(GRID, path, tasks, workers=1)
    assert stacks(diary()) == [f"train [0, {BAD}, 1, 2, 3] for [1, 2, 3]"]
    assert set(read_run(path).cells["bundle_models"]) == {5}


def test_trouble_that_most_of_a_bundle_met_with_leaves_the_bundle_as_it_was(tmp_path, diary):  # noqa: F811
    path, tasks = tmp_path / "r.sqlite", dataclasses.replace(TASKS, carry_out="os:abort")
    assert carry_out(GRID, path, tasks, workers=1)[0].failed == 5
    diary()
    assert carry_out(GRID, path, FEARED, workers=1, retry_failed=True)[0].done == 5
    assert stacks(diary()) == [f"train [0, {BAD}, 1, 2, 3] for [0, {BAD}, 1, 2, 3]"]


def test_a_larger_grid_is_not_parted_as_the_smaller_one_was(tmp_path, diary):  # noqa: F811
    path = tmp_path / "r.sqlite"
    carry_out(seeds(0, 1), path, FEARED, workers=1)
    diary()
    carry_out(seeds(0, 1, 2, 3), path, FEARED, workers=1)
    assert stacks(diary()) == ["train [0, 1, 2, 3] for [2, 3]"]


def test_so_it_is_in_tuning(tmp_path, monkeypatch, diary):  # noqa: F811
    def grid(*sigmas: float) -> Grid:
        text = f"[grid]\nfamily='gaussian'\nsigma={list(sigmas)}\nepochs=60\npatience=5\n"
        return grid_of(f"{text}[tune]\nlearning_rate=[1e-3, 1e-2]\n")

    path, tasks = tmp_path / "r.sqlite", dataclasses.replace(fake_tuning.TASKS, choose=f"{HERE}:chooses")
    monkeypatch.setenv("FAKE_TROUBLE", "in tuning")
    assert carry_out(grid(0.1, DEADLY), path, tasks, workers=1)[0].failed == 1
    diary()
    assert carry_out(grid(0.1, DEADLY, 0.3, 0.4), path, tasks, workers=1, retry_failed=True)[0].failed == 1
    assert [what for _, what in diary() if what.startswith("tune ")] == ["tune [0.3, 0.4]", f"tune [{DEADLY}]"]


@pytest.mark.slow
def test_real_models_keep_their_bits_beside_one_that_ends_its_worker(tmp_path, stops):
    family = "segfaults"
    plugins.add(planted.plant(tmp_path, (family,)), lambda line: None)
    families = f"family = ['{family}', 'triangular', 'continuous_bernoulli', 'laplace']\nsigma = 0.2\n"
    lines = planted.grid((family,)).splitlines()
    text = "\n".join(line for line in lines if not line.strip().startswith(("family", "seed", "about", "[grid]")))
    (tmp_path / "g.toml").write_text(f"[grid]\n{families}{text}\n")
    grid: Grid = load_grid(tmp_path / "g.toml")
    calm, path = tmp_path / "calm.sqlite", tmp_path / "r.sqlite"
    carry_out(grid, calm, Tasks(), workers=1)
    stops(0)
    with pytest.raises(Interrupted):
        carry_out(grid, path, Tasks(), workers=1)
    before = read_run(path).cells
    assert set(before.loc[before["status"] != "done", "family"]) == {family}
    assert 0 < len(before) < len(grid.cells)
    died = path.with_suffix(".log").read_text().count("Segmentation fault")
    assert died
    carry_out(grid, path, Tasks(), workers=1)
    assert path.with_suffix(".log").read_text().count("Segmentation fault") == died
    expected, found = kills.results(calm), kills.results(path)
    for name, table in expected.items():
        assert found[name].equals(table), name
