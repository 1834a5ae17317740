"""Who trains waits for the programs of its steps alone; where they fail or nobody makes them, for none."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.engine.local import Task
from bench.engine.process.beside import awaited as module
from bench.engine.process.beside.ahead import Ahead
from bench.engine.process.beside.awaited import Awaited, sizes_of, step_kind, worth_awaiting
from bench.grid.cell import Cell
from bench.grid.plan import Bundle, Tuning, plan, plan_tuning
from bench.grid.read import load_grid
from tests.bench.engine.process.test_ahead import said_of_a_run

GRIDS = Path(__file__).parents[4] / "bench" / "grids"
MNIST: dict[str, Any] = {"shape": (28, 28), "levels": 256, "train": 50_000, "test": 10_000}
DIGITS: dict[str, Any] = {"shape": (8, 8), "levels": 17, "train": 1_200, "test": 300}


def cells_of(grid: str) -> list[Cell]:
    return list(load_grid(GRIDS / f"{grid}.toml").cells)


def pieces_of(cells: list[Cell]) -> list[Tuning | Bundle]:
    return [*plan_tuning(cells, "cuda", 1), *plan([cell for cell in cells if not cell.search], "cuda", 1)]


def worth(cells: list[Cell], facts: dict[str, Any]) -> dict[Any, Cell]:
    data = {cell.data.key: facts for cell in cells}
    whole: list[Tuning | Bundle] = [*plan_tuning(cells, "cuda", 1), *plan(cells, "cuda", 1)]
    return worth_awaiting(whole, Cell.settled, sizes_of(data))


def test_programs_are_of_kinds_of_training() -> None:
    """MNIST: three location-scale families with σ a number or learned in three ways, on their density and on masses;
    two densities on [0, 1] likewise; three masses and four recipes. σ "optimal" remembers its batches and has none."""
    kinds = worth(cells_of("mnist"), MNIST)
    assert len(kinds) == 2 * (3 * 4 + 2) + 3 + 4
    assert {cell.sigma_mode for cell in kinds.values()} == {"", "fixed", "shared", "image", "pixel"}
    assert next(iter(kinds.values())).family == "categorical"  # alone in its piece, which can begin soonest
    assert not worth(cells_of("smoke"), DIGITS)


@pytest.mark.parametrize(
    "changed",
    [
        {"batch_size": 64},
        {"train_samples": 5},
        {"objective": "binned"},
        {"options": {"sigma": "shared"}},
        {"family": "laplace"},
    ],
)
def test_what_decides_about_a_program_is_in_its_kind(changed: dict[str, Any]) -> None:
    cells = [cell for cell in cells_of("mnist") if cell.family == "gaussian" and cell.sigma_mode == "fixed"]
    cell = next(cell for cell in cells if cell.objective == "dequantised").settled()
    other = next(one for one in cells if one.sigma != cell.sigma and one.objective == "dequantised").settled()
    sizes = (784, 256, 50_000)
    assert step_kind(cell, sizes) == step_kind(other, sizes)
    assert step_kind(cell.but(**changed), sizes) != step_kind(cell, sizes)
    assert step_kind(cell, (784, 256, 100)) != step_kind(cell, sizes)  # a batch of all that there is


def waiting(grid: str = "mnist", facts: dict[str, Any] = MNIST) -> tuple[Awaited, list[Tuning | Bundle]]:
    cells = cells_of(grid)
    pieces = pieces_of(cells)
    data = {cell.data.key: facts for cell in cells}
    return Awaited(worth(cells, facts), data, "cuda", Cell.settled, pieces), pieces


def test_a_piece_is_handed_out_when_all_of_its_kinds_are_there() -> None:
    awaited, pieces = waiting()
    given: list[str] = []
    for piece in pieces:
        awaited.hand_out(piece, lambda piece=piece: given.append(piece.id))  # type: ignore[misc]
    assert given == []
    assert awaited.count == len(pieces)
    alone = next(piece for piece in pieces if {cell.family for cell in piece.cells} == {"categorical"})
    first, second = [task for task in awaited.tasks if task.arguments[0].family == "categorical"]
    assert awaited.ended(first)
    assert not awaited.ended(Task("somebody:else", ()))
    awaited.release()
    assert given == []
    awaited.ended(second)
    awaited.release()
    assert given == [alone.id]
    left = awaited.to_come
    for task in awaited.tasks:
        if task not in (first, second):
            awaited.ended(task)
    assert left == len(awaited.tasks) - 2
    awaited.release()
    assert awaited.count == awaited.to_come == 0
    assert given == [alone.id, *[piece.id for piece in pieces if piece is not alone]]  # in their order
    awaited.hand_out(alone, lambda: given.append("again"))
    assert given[-1] == "again"


def test_where_nobody_makes_any_nobody_waits() -> None:
    awaited, pieces = waiting()
    given: list[str] = []
    awaited.hand_out(pieces[0], lambda: given.append("first"))
    with Ahead([], 0, None, awaited=awaited):
        awaited.release()
    assert given == ["first"]


def test_only_what_is_to_be_done_is_made() -> None:
    cells = cells_of("mnist")
    pieces = pieces_of(cells)
    data = {cell.data.key: MNIST for cell in cells}
    some = Awaited(worth(cells, MNIST), data, "cuda", Cell.settled, pieces[:1])
    assert 0 < len(some.tasks) < len(waiting()[0].tasks)


def test_the_process_that_schedules_does_not_execute_torch() -> None:
    code = (
        "import sys; from tests.bench.engine.process.test_awaited import waiting; "
        "assert waiting()[0].tasks; print('torch._C' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


GRID = """
[grid]
dataset = "digits"
[[cells]]
family = ["laplace", "logistic"]
sigma = [0.1, 0.2]
"""


@pytest.mark.parametrize("function", ["makes_step", "dies"])
def test_a_run_trains_when_its_programs_were_made_or_have_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    diary = tmp_path / "diary"
    monkeypatch.setenv("FAKE_DIARY", str(diary))
    monkeypatch.setattr("bench.engine.run.cores", lambda: 3)
    monkeypatch.setattr(module, "WORTH_AWAITING", 1)
    monkeypatch.setattr("bench.engine.progress.LINE_SECONDS", 0.1)
    (tmp_path / "grid.toml").write_text(GRID)
    said = said_of_a_run(tmp_path, step=function)
    assert "4 programs of training steps, which models wait for, and 6 of scores,\nare compiled beside it" in said
    assert max(map(len, said.splitlines())) <= 80 or function != "makes_step"
    assert said.count("stays uncompiled: ") == (1 if function == "makes_step" else 2)
    assert re.search("0/4 cells.*, waiting for [1-4] programs? of steps", said)
    done = [line.partition(" ")[2] for line in diary.read_text().splitlines()]
    trained = next(place for place, what in enumerate(done) if what.startswith("digits-"))
    made = [place for place, what in enumerate(done) if what.startswith("step ")]
    assert len(made) == (4 if function == "makes_step" else 0)
    assert all(place < trained for place in made)


def test_the_program_that_is_made_is_the_one_that_a_training_looks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name, for every kind of two grids, one of them of coupled channels."""
    import torch

    from bench.engine.worker import programs
    from bench.engine.worker.from_cell import architecture_of, member_of, schedule_of
    from vae_core.data import Dataset
    from vae_core.evaluate.programs import Kept, StepKind, Steps
    from vae_core.training import Trainer

    names: list[str] = []
    kept = Kept(tmp_path)
    monkeypatch.setattr(programs, "programs", lambda: kept)

    def make(kind: StepKind, which: str, kept: Kept) -> bool:
        names.append(kind.name(which))
        return True

    monkeypatch.setattr(programs, "make", make)
    monkeypatch.setattr(Kept, "load", lambda self, name, which: True)
    asked = 0
    for grid, shape in (("mnist-small", (4, 4)), ("patches", (4, 4, 3)), ("catalogue", (4, 4))):
        pixels = torch.randint(0, 17, (24, *shape), dtype=torch.uint8).numpy()
        data = Dataset.from_arrays("tiny", 17, pixels[:12], pixels[12:18], pixels[18:])
        cells: dict[Any, Cell] = {}
        for cell in load_grid(GRIDS / f"{grid}.toml").cells:
            settled = cell.settled().but(batch_size=6)
            if settled.network == "mlp" and (kind := step_kind(settled, (data.dims, 17, 12))):
                cells.setdefault(kind, settled)
        for cell in cells.values():
            trainer = Trainer(data, [member_of(cell, 17)], architecture_of(cell), schedule_of(cell), "cpu", Steps(kept))
            (score,) = trainer.program.scores
            assert score is not None
            names.clear()
            for which in module.STEPS:
                assert programs.make_step(cell, tuple(data.shape), 17, 12, "cpu", which)
            assert names == list(score._names.values())  # type: ignore[attr-defined]
            asked += 1
    assert asked > 40
