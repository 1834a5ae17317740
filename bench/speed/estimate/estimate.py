"""Carries out an estimate: plans the grid, has workers count what it does and measure this machine where it is asked
about, and puts the two together. The process that runs this makes no tensor."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.engine import plugins
from bench.engine.local import Pool, Task, TaskFailed
from bench.engine.opening import RunError
from bench.engine.provenance import cores
from bench.grid.cell import Cell
from bench.grid.document import read_text
from bench.grid.errors import UserError, brief
from bench.grid.plan import plan, plan_tuning
from bench.grid.read import Grid
from bench.speed.estimate import kept
from bench.speed.estimate.asked import Asked, Facts, asked_of
from bench.speed.estimate.counts import EvaluationCounts, TrainingCounts
from bench.speed.estimate.devices import rates
from bench.speed.estimate.devices.profile import (
    SUFFIX,
    Profile,
    ProfileError,
    here,
    is_here,
    parsed,
    profile_of,
    written,
)
from bench.speed.estimate.given import Course, measured, recorded
from bench.speed.estimate.prediction import Prediction, Predictor
from bench.store import RunTables

Say = Callable[[str], None]
Tasks = dict[str, tuple[str, tuple[Any, ...]]]
COUNTING = "bench.speed.estimate.counting.worker:"


@dataclass(frozen=True)
class Estimate:
    """What is predicted of a grid; where a run was given, also what it has recorded, in seconds, of how many of the
    grid's cells."""

    grid: Grid
    prediction: Prediction
    cells: Sequence[Cell]
    recorded: dict[str, float] | None = None


def estimate_grid(grid: Grid, device: str, say: Say, given: RunTables | None = None) -> Estimate:
    """Predict a grid on a device, by its profile's name, the path of a profile, or this machine; with a run that is
    given, of those of the grid's cells that it has, as it went.

    Raises ProfileError, RunError.
    """
    meant = here(device)
    profile = None if meant else profile_of(device)
    cells = list(grid.cells)
    if given is not None:
        done = set(given.cells.loc[given.cells["status"] == "done", "cell"])
        cells = [cell for cell in cells if cell.id in done]
        if not cells:
            raise RunError(f"the run that is given has no cell of the grid {grid.name} that is done.")
    many, gpus = cores(), 1
    facts = plugins.facts(grid.cells)
    first = plugins.task(plugins.origins(facts), plugins.network_facts(grid.cells))
    with Pool(many, 1, first) as pool:
        if profile is None:
            profile, gpus = _measured(pool, meant or "auto", many, say)
        least, most = _courses(given, cells)
        workers = _workers(cells, profile, many, most) if profile.on_cpu else gpus
        known = {key: _facts(pool, cell) for key, cell in {cell.data.key: cell for cell in cells}.items()}
        asked = asked_of(cells, profile.kind, workers, most)
        counted = _counted(pool, tasks_of(asked, profile.kind), known, bool(first), say)
    stacks = {key: counted[f"stack {key}"] for key in asked.stacks}
    models = {key: counted[f"model {key}"] for key in asked.models}
    predictor = Predictor(cells, profile, workers, known, asked, stacks, models)
    prediction = predictor.predict(least, most)
    return Estimate(grid, prediction, cells, None if given is None else measured(given, cells))


def keep_profile(profile: Profile, path: Path) -> None:
    """Writes a profile that was measured to a .toml, for `--device FILE`. Raises ProfileError."""
    require_keepable(profile.name if not profile.measured else "this", path)
    path.write_text(written(profile), encoding="utf-8")


def require_keepable(device: str, path: Path) -> None:
    """Raises ProfileError where a device's rates are not measured, or would be written over something else."""
    if path.suffix != SUFFIX or path.is_dir():
        raise ProfileError(f"--save {brief(path)}: give the name of a {SUFFIX} file.")
    if not path.parent.is_dir():
        raise ProfileError(f"--save {brief(path)}: there is no folder {brief(path.parent)}; make it, or give another.")
    if not is_here(device):
        raise ProfileError(
            f"--save: the rates of {brief(device)} were not measured; measured are this, cpu, cuda and cuda:N."
        )
    if path.exists() and not _is_profile(path):
        raise ProfileError(f"--save {brief(path)} would write over something else than a profile; give another name.")


def _is_profile(path: Path) -> bool:
    try:
        parsed("", read_text(path), "")
    except UserError:
        return False
    return True


def _courses(given: RunTables | None, cells: Sequence[Cell]) -> tuple[Course, Course]:
    """The least and the most that may happen; of a run that is given, what did."""
    if given is None:
        return Course(most=False), Course(most=True)
    course = recorded(given, cells)
    return course, course


def _workers(cells: Sequence[Cell], profile: Profile, here: int, course: Course) -> int:
    """As many as a run has on a CPU."""
    ready = [cell for cell in cells if not cell.search]
    pieces = len(plan(ready, "cpu", here, course.settled)) if ready else 0
    pieces += len(plan_tuning(cells, "cpu", here))
    return max(1, min(profile.cores, here, pieces))


def _facts(pool: Pool, cell: Cell) -> Facts:
    try:
        told: dict[str, Any] = pool.call(
            "bench.engine.opening:plainly",
            "bench.engine.worker.facts:inspect_data",
            *dataclasses.astuple(cell.data),
        )
    except TaskFailed as error:
        raise RunError(str(error)) from None
    levels = cell.quantise or told["levels"]
    return Facts(told["dims"], levels, told["train"], told["valid"], told["test"])


def _measured(pool: Pool, device: str, workers: int, say: Say) -> tuple[Profile, int]:
    """This machine's, with each worker of a run at work; of its GPUs the first that is meant, for a run takes them for
    alike, and how many are meant (1 of a CPU)."""
    try:
        found = pool.call("bench.engine.provenance:prepare_device", device)
    except TaskFailed as error:
        raise RunError(str(error)) from None
    kind, gpus = found["kind"], found.get("visible", ())
    if kind != "cpu":
        pool.settle({**found, "visible": gpus[:1]}, workers, 1)
    say("measuring this machine")
    tasks = {str(number): ("measure_profile", (kind,)) for number in range(workers if kind == "cpu" else 1)}
    told = _all(pool, tasks, "bench.speed.estimate.devices.measure:", "this machine could not be measured")
    profile = Profile(**middle(list(told.values())))
    rates.keep(profile)
    return profile, max(1, len(gpus))


def middle(measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The medians, number by number, of what some processes measured at once."""
    from statistics import median

    def of(values: Sequence[Any]) -> Any:
        first = values[0]
        if isinstance(first, dict):
            return {key: of([value[key] for value in values]) for key in first}
        if isinstance(first, tuple):
            return tuple(of(each) for each in zip(*values, strict=True))
        return median(values) if isinstance(first, float) else first

    return {key: of([fields[key] for fields in measured]) for key in measured[0]}


def tasks_of(asked: Asked, kind: str) -> Tasks:
    """What counts for a kind of device ("cpu", "cuda"): functions of COUNTING and their arguments, by name."""
    tasks: Tasks = {
        f"stack {key}": ("stack_counts", (some, kind, as_tuned)) for key, (some, as_tuned) in asked.stacks.items()
    }
    return tasks | {f"model {key}": ("model_counts", (cell, kind)) for key, cell in asked.models.items()}


def key_of(name: str, arguments: tuple[Any, ...], known: Mapping[str, Facts]) -> str:
    """Under which counts are kept."""
    return f"{name} {arguments} {sorted(known.items())}"


def is_counts(found: object) -> bool:
    """Whether what was kept is what is counted."""
    return isinstance(found, TrainingCounts | EvaluationCounts)


def _counted(pool: Pool, tasks: Tasks, known: Mapping[str, Facts], plugged: bool, say: Say) -> dict[str, Any]:
    """What workers count, or have counted for an estimate before; not kept for what plug-ins bring."""
    keys = {name: key_of(name, arguments, known) for name, (_, arguments) in tasks.items()}
    found = {} if plugged else {name: kept.find(key) for name, key in keys.items()}
    there = {name: counts for name, counts in found.items() if is_counts(counts)}
    missing = {name: task for name, task in tasks.items() if name not in there}
    if missing:
        stacks = sum(name.startswith("stack ") for name in missing)
        say(f"counting {stacks} kinds of training and {len(missing) - stacks} of evaluation")
    alike: dict[str, list[str]] = {}
    for name, (_, arguments) in missing.items():
        models = [cell.kind for cell in arguments[0]] if name.startswith("stack ") else name
        alike.setdefault(str(models), []).append(name)
    # whoever counts models that train counts them as candidates too, which is nearly the same work
    groups: Tasks = {of: ("several", ([missing[name] for name in names],)) for of, names in alike.items()}
    told = _all(pool, groups)
    made = {name: counts for of, names in alike.items() for name, counts in zip(names, told[of], strict=True)}
    for name, counts in made.items() if not plugged else ():
        kept.keep(keys[name], counts)
    return there | made


def _all(
    pool: Pool, tasks: Tasks, where: str = COUNTING, else_said: str = "what the grid does could not be counted"
) -> dict[str, Any]:
    """What workers answer to each. Raises RunError with the first failure, after what is said then."""
    for name, (function, arguments) in tasks.items():
        pool.submit(Task(f"{where}{function}", arguments, name=name, tries=2))
    answers: dict[str, Any] = {}
    while pool.busy:
        for end in pool.wait(60.0):
            if end.failure:
                raise RunError(f"{else_said}: {end.failure.reason}")
            answers[end.task.name] = end.value
    return answers
