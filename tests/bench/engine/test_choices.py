"""A run that is tuned: first a choice for each configuration, stored with its candidates, then the cells."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.engine.local import Pool, Task
from bench.engine.progress import Reporter
from bench.engine.run import Options, Summary, run_grid
from bench.grid.plan import bundle_of, cost_of, plan_tuning
from bench.grid.read import Grid, parse_grid
from bench.store import read_run
from tests.bench.engine.fake_tuning import TASKS

Diary = Callable[[], list[str]]


@pytest.fixture
def diary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Diary:
    path = tmp_path / "diary"
    monkeypatch.setenv("FAKE_DIARY", str(path))

    def read() -> list[str]:
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line.partition(" ")[2] for line in lines]

    return read


def grid_of(family: str, tune: str = "learning_rate = [1e-3, 1e-2]", seeds: str = "[0, 1]") -> Grid:
    text = f"[grid]\nepochs = 60\npatience = 5\nseed = {seeds}\n[tune]\n{tune}\n[[cells]]\nfamily = {family}\n"
    return parse_grid(text, "small", "small.toml")


def carry_out(grid: Grid, path: Path, **options: Any) -> tuple[Summary, str]:
    stream = io.StringIO()
    with Reporter(stream) as reporter:
        summary = run_grid(grid, path, Options(**({"workers": 2} | options)), reporter, TASKS)
    return summary, stream.getvalue()


def chosen_for(diary: Diary) -> list[str]:
    """The searches that a worker was asked to choose for."""
    asked = [what.removeprefix("choose ") for what in diary() if what.startswith("choose ")]
    return [search for listed in asked for search in json.loads(listed)]


def test_cells_follow_the_choice_and_its_candidates_are_stored(tmp_path: Path, diary: Diary) -> None:
    grid, path = grid_of('["gaussian", "mse_sum"]'), tmp_path / "r.sqlite"
    summary, said = carry_out(grid, path)
    assert (summary.done, summary.failed) == (2 + 2 * 9, 0), (
        "two seeds of a family and of the nine readings of a recipe"
    )
    assert "first learning_rate for 2 configurations (4 candidates)" in said
    assert all(len(line) <= 80 for line in said.splitlines())
    assert len(chosen_for(diary)) == 2
    tables = read_run(path)
    cells = tables.cells
    assert set(cells["tuned"]) == {'{"learning_rate": 0.01}'}
    assert set(cells["tune_seconds"]) == {2.5}
    assert cells["learning_rate"].isna().all()  # which is what was tuned
    assert set(cells["tune"]) == {'{"learning_rate": [0.001, 0.01]}'}
    assert set(cells["search"]) == set(tables.candidates["search"]) == set(tables.candidate_history["search"])
    first = tables.candidates.iloc[0]
    assert (first["candidate"], first["chosen"], first["epochs_run"]) == ('{"learning_rate": 0.001}', 0, 10)
    assert (first["bits_per_dim"], first["behind"], first["seconds"]) == (2.0, 0.1, 2.5)
    assert list(tables.candidates["edges"]) == ["", '{"learning_rate": 0.3}'] * 2
    assert list(tables.candidate_history["valid_nats"])[:2] == [-8.0, -6.0]
    assert set(tables.throughput["kind"]) == set(cells["kind"])


def test_what_was_chosen_is_not_chosen_again(tmp_path: Path, diary: Diary) -> None:
    path = tmp_path / "r.sqlite"
    carry_out(grid_of('"gaussian"'), path)
    assert len(chosen_for(diary)) == 1
    summary, _ = carry_out(grid_of('"gaussian"', seeds="[0, 1, 2]"), path)
    assert (summary.done, summary.computed) == (3, 1)
    assert chosen_for(diary) == []
    carry_out(grid_of('"gaussian"', tune="learning_rate = [1e-3, 3e-3]"), path)
    assert len(chosen_for(diary)) == 1
    tables = read_run(path)
    assert set(tables.cells["tuned"]) == {'{"learning_rate": 0.003}'}
    assert set(tables.candidates["candidate"]) == {'{"learning_rate": 0.001}', '{"learning_rate": 0.003}'}


def test_a_shape_that_was_chosen_is_the_bundle_s(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    grid = grid_of('["gaussian", "categorical"]', tune="latent = [2, 5]")
    summary, _ = carry_out(grid, path)
    assert summary.done == 4
    kinds = set(read_run(path).cells["kind"])
    assert kinds == {cell.settled({"latent": 5}).kind for cell in grid.cells}
    assert not kinds & {cell.kind for cell in grid.cells}  # those of the first candidate
    assert carry_out(grid, path)[0].computed == 0


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("laplace", "in tuning: none of the 2 candidates could be trained: it exploded"),
        ("logistic", "in tuning: the worker process ended by itself (exit code 3)"),
        ("beta", "in tuning: the worker gave no choice for it"),
    ],
)
def test_cells_without_a_choice_fail_with_its_reason_and_alone(
    tmp_path: Path, diary: Diary, family: str, reason: str
) -> None:
    path = tmp_path / "r.sqlite"
    grid = grid_of(f'["gaussian", "{family}", "kumaraswamy"]')
    summary, _ = carry_out(grid, path)
    assert (summary.done, summary.failed) == (4, 2)
    cells = read_run(path).cells
    assert set(cells.loc[cells["family"] == family, "reason"]) == {reason}
    assert set(cells.loc[cells["status"] == "done", "family"]) == {"gaussian", "kumaraswamy"}
    assert carry_out(grid, path)[0].computed == 0
    diary()
    assert carry_out(grid, path, retry_failed=True)[0].computed == 2
    assert {search.split("-")[1] for search in chosen_for(diary)} == {family}


def test_a_grid_may_be_half_tuned_before(tmp_path: Path, diary: Diary) -> None:
    """One configuration more: it alone is tuned, and its cells alone are trained."""
    path = tmp_path / "r.sqlite"
    carry_out(grid_of('"gaussian"'), path)
    diary()
    summary, _ = carry_out(grid_of('["gaussian", "laplace", "continuous_bernoulli"]'), path)
    assert (summary.done, summary.failed, summary.computed) == (4, 2, 4)
    assert {search.split("-")[1] for search in chosen_for(diary)} == {"laplace", "continuous_bernoulli"}


def test_what_others_wait_for_goes_first_then_what_takes_longest() -> None:
    pool = Pool(1, 1)
    for name, weight in (("short", 1.0), ("long", 9.0), ("waited for", 1e15), ("as long", 9.0)):
        pool.submit(Task(name, (), weight=weight))
    pool.submit(Task("again", ()), first=True)
    assert [task.function for task in pool._queue] == ["again", "waited for", "long", "as long", "short"]


def test_a_choice_that_was_trained_for_long_weighs_more() -> None:
    (cell,) = grid_of('"gaussian"', seeds="[0]").cells
    weights = [cost_of(bundle_of([cell]), {cell.search: epochs}) for epochs in (10, 50)]
    assert weights[0] < weights[1] < cost_of(bundle_of([cell]), {})  # by its limit of epochs
    (piece,) = plan_tuning([cell], "cpu", 1)
    assert cost_of(piece, {cell.search: 10}) == cost_of(piece, {}) > cost_of(bundle_of([cell]), {})
