"""Programs are made beside a run: as many as there are kinds that it sees enough of, and whoever makes them may die."""

from __future__ import annotations

import dataclasses
import io
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.engine.local import Limits, Task
from bench.engine.process.beside.ahead import PROGRAM, Ahead, helpers, tasks
from bench.engine.progress import Reporter
from bench.engine.run import Options, run_grid
from bench.grid.cell import Cell
from bench.grid.read import load_grid
from tests.bench.engine.fake_worker import TASKS

GRIDS = Path(__file__).parents[4] / "bench" / "grids"
HELPING = "tests.bench.engine.process.helping"
MNIST: dict[str, Any] = {"shape": (28, 28), "levels": 256, "test": 10_000}


@pytest.fixture(scope="module")
def mnist() -> list[Cell]:
    return [cell.settled() for cell in load_grid(GRIDS / "mnist.toml").cells]


def found(cells: list[Cell], facts: dict[str, Any]) -> list[Task]:
    return tasks(cells, {cell.data.key: facts for cell in cells}, "cuda")


def test_programs_are_of_kinds_and_not_of_cells(mnist: list[Cell]) -> None:
    """Of MNIST's grid: three location-scale families in five modes (a number, whatever it is; four that are learned),
    two densities on [0, 1], three masses; of the cross-entropies five distributions about one mean, of the squared
    errors these and one implied σ each. Seeds, objectives and σ's value make none."""
    programs = found(mnist, MNIST)
    assert len(programs) == 3 * (3 * 5 + 2 + 3 + 5 + 5 + 2)
    assert len(programs) < len(mnist)
    assert [task.arguments[-1] for task in programs[:2]] == ["all", "slope"]
    assert len(found([cell for cell in mnist if cell.seed == 0], MNIST)) == len(programs)
    numbers = [cell for cell in mnist if cell.family == "gaussian" and cell.sigma_mode == "fixed"]
    assert len({cell.sigma for cell in numbers}) > 1
    assert len(found(numbers, MNIST)) == 3


def test_what_is_worth_it_is_told_by_all_that_the_grid_sees(mnist: list[Cell]) -> None:
    some = [cell for cell in mnist if cell.family == "laplace" and cell.sigma_mode == "fixed"]
    assert found(some, {**MNIST, "test": 500})
    assert not found(some[:1], {**MNIST, "test": 500})
    assert not found(mnist, {"shape": (8, 8), "levels": 17, "test": 20})


def test_the_process_that_schedules_does_not_execute_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from bench.grid.read import load_grid; "
        "from bench.engine.process.beside.ahead import tasks; "
        f"cells = [cell.settled() for cell in load_grid(Path({str(GRIDS / 'mnist.toml')!r})).cells]; "
        f"assert tasks(cells, {{cell.data.key: {MNIST} for cell in cells}}, 'cuda'); print('torch._C' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("cores", "workers", "pieces", "count"), [(16, 1, 96, 12), (8, 1, 96, 7), (8, 2, 3, 3), (1, 1, 9, 0)]
)
def test_helpers_leave_the_workers_their_cores(cores: int, workers: int, pieces: int, count: int) -> None:
    assert helpers(cores, workers, pieces) == count


def until(ahead: Ahead, enough: Callable[[list[str]], bool]) -> list[str]:
    said: list[str] = []
    limit = time.monotonic() + 120
    while not enough(said) and time.monotonic() < limit:
        ahead.look(said.append)
        time.sleep(0.05)
    return said


def over(ahead: Ahead) -> Callable[[list[str]], bool]:
    return lambda said: ahead._pool is None


def some(function: str, *of: Any) -> list[Task]:
    return [Task(f"{HELPING}:{function}", (number, 1, 2, *of), name=PROGRAM, tries=1) for number in range(2)]


def test_all_are_made_and_then_nobody_is_left(tmp_path: Path) -> None:
    with Ahead(some("makes", str(tmp_path), "all"), 1, None) as ahead:
        assert "2 programs" in ahead.beginning
        assert until(ahead, over(ahead)) == []
    assert {path.name for path in tmp_path.iterdir()} == {"0-all", "1-all"}


@pytest.mark.parametrize(
    ("function", "why"), [("dies", "died|exit|status|signal"), ("fails", "no compiler is at hand")]
)
def test_whoever_dies_or_fails_is_said_once(function: str, why: str) -> None:
    with Ahead(some(function), 1, None) as ahead:
        (said,) = until(ahead, over(ahead))
    assert said.startswith("a score stays uncompiled: ")
    assert re.search(why, said), said


def test_who_hangs_is_ended(tmp_path: Path) -> None:
    limits = Limits(asleep=3.0)
    with Ahead(some("hangs")[:1], 1, None, limits) as ahead:
        (said,) = until(ahead, over(ahead))
    assert said.startswith("a score stays uncompiled: ")


def test_the_end_of_a_run_waits_for_nobody() -> None:
    with Ahead(some("hangs"), 2, None) as ahead:
        ahead.look(print)
        started = time.monotonic()
    assert time.monotonic() - started < 20
    assert ahead.look(print) == []


def test_a_run_without_anything_to_compile_has_none() -> None:
    with Ahead([], 0, None) as ahead:
        assert (ahead.beginning, ahead.look(print), ahead.owing) == ("", [], False)
        assert not ahead.takes(some("fails")[0])  # who has the run does it


def test_other_work_is_given_back_and_waited_for_whatever_becomes_of_programs(tmp_path: Path) -> None:
    other = Task(f"{HELPING}:makes", ("reference", 1, 2, str(tmp_path), "fitted"), weight=-1.0, name="a reference")
    said: list[str] = []
    ended = []
    with Ahead(some("fails"), 1, None) as ahead:
        assert ahead.takes(other)
        limit = time.monotonic() + 120
        while ahead.owing and time.monotonic() < limit:
            ended += ahead.look(said.append)
            time.sleep(0.05)
    assert [(end.task.name, end.value) for end in ended] == [("a reference", True)]
    assert len(said) == 1


def said_of_a_run(folder: Path, **functions: str) -> str:
    """What is said as grid.toml there, of four cells, is run on a GPU that is not there; `functions`, of `helping`, are
    what workers carry out besides."""
    named = {"device": "device", "inspect": "inspect", "program": "fails"} | functions
    given = dataclasses.replace(TASKS, **{task: f"{HELPING}:{function}" for task, function in named.items()})
    stream = io.StringIO()
    with Reporter(stream) as reporter:
        grid = load_grid(folder / "grid.toml")
        summary = run_grid(grid, folder / "r.sqlite", Options(device="cuda", workers=1), reporter, given)
    assert summary.done == 4
    return stream.getvalue()


def test_a_run_on_a_gpu_compiles_and_fits_references_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diary = tmp_path / "diary"
    monkeypatch.setenv("FAKE_DIARY", str(diary))
    monkeypatch.setattr("bench.engine.run.cores", lambda: 3)
    text = """
    [grid]
    dataset = "digits"
    [[cells]]
    family = ["laplace", "logistic"]
    sigma = [0.1, 0.2]
    """
    (tmp_path / "grid.toml").write_text(text)
    said = said_of_a_run(tmp_path)
    assert "6 programs of scores are compiled beside it, in 2 processes" in said
    assert said.count("a score stays uncompiled: ") == 1
    done = [line.partition(" ")[::2] for line in diary.read_text().splitlines()]
    trained = {process for process, what in done if what.startswith("digits-")}
    referred = {process for process, what in done if what.startswith("refer ")}
    assert referred
    assert trained
    assert not referred & {process for process, what in done if what.startswith("measure")}
    assert not referred & trained
