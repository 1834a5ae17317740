"""What a run that has begun is predicted to take, in a process beside it: `foretold` of the engine asks."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Sequence
from typing import Any

from bench.engine.process.beside.foretold import Left
from bench.engine.provenance import cpu_model
from bench.grid.plan import Bundle, Tuning, plan, restrict
from bench.speed.estimate import kept
from bench.speed.estimate.asked import Asked, Facts, asked_of, asked_of_pieces
from bench.speed.estimate.devices import rates
from bench.speed.estimate.devices.profile import Profile, known_as, profile_of
from bench.speed.estimate.estimate import COUNTING, Tasks, is_counts, key_of, tasks_of
from bench.speed.estimate.given import Course
from bench.speed.estimate.prediction import A_SPEED, Predictor, Sum
from bench.speed.estimate.tally import HOST, Tally

NICENESS = 5  # the run's own workers come first
MEASURE = "bench.speed.estimate.devices.measure:measure_profile"


def foretell(left: Left, counting: bool) -> tuple[float, float] | None:
    """The least and the most seconds of what is left of a run by the clock. `counting`: what no earlier estimate has
    kept is counted, and a CPU measured, in tens of seconds; else None then. None as well for a GPU that was never
    measured and of which there is no data sheet."""
    os.nice(NICENESS)
    profile = _profile(left, counting)
    if profile is None or not left.data.keys() >= {cell.data.key for cell in left.cells}:
        return None
    chosen = {search: given["values"] for bundle in left.bundles for search, given in bundle.chosen.items()}
    least, most = Course(most=False, chosen=chosen), Course(most=True, chosen=chosen)
    quantised = {cell.data.key: cell.quantise for cell in left.cells}
    known = {key: _facts(left.data[key], quantised[key]) for key in quantised}
    asked = _asked(left, most)
    counts = _counts(tasks_of(asked, left.device), known, left, counting)
    if counts is None:
        return None
    stacks = {key: counts[f"stack {key}"] for key in asked.stacks if f"stack {key}" in counts}
    there = Asked({key: asked.stacks[key] for key in stacks}, asked.models)
    models = {key: counts[f"model {key}"] for key in asked.models}
    predictor = _OfRun(left, profile, known, there, stacks, models)
    return predictor.predict(least, most).range


def _profile(left: Left, counting: bool) -> Profile | None:
    if left.device == "cpu":
        found = rates.find("cpu", cpu_model())
        if found is None and counting:
            module, _, name = MEASURE.partition(":")
            found = Profile(**getattr(importlib.import_module(module), name)("cpu"))
            rates.keep(found)
        return found
    sheet = known_as(left.name)
    return rates.find(left.device, left.name) or (profile_of(sheet) if sheet else None)


def _facts(told: Any, quantise: int | None) -> Facts:
    return Facts(math.prod(told["shape"]), quantise or told["levels"], told["train"], told["valid"], told["test"])


def _asked(left: Left, course: Course) -> Asked:
    """What must be counted for what is left, in the terms of an estimate of the whole grid where it has them: so what
    one has counted is found for the other."""
    wanted = [cell for cell in left.cells if cell.id in left.wanted]
    needed = asked_of_pieces(left.tunings, _bundles(left, course), wanted, course)
    whole = asked_of(left.cells, left.device, left.workers, Course(most=True))
    return Asked(
        {key: whole.stacks.get(key, some) for key, some in needed.stacks.items()}
        | {key: some for key, some in whole.stacks.items() if len(some[0]) > 1},  # any two say what a stack shares
        {key: whole.models.get(key, cell) for key, cell in needed.models.items()},
    )


def _counts(tasks: Tasks, known: dict[str, Facts], left: Left, counting: bool) -> dict[str, Any] | None:
    """By the names of the tasks; None where one is missing and nothing may be counted. Those of two models side by side
    may be missing where others of them are there."""
    found: dict[str, Any] = {}
    missing: Tasks = {}
    for name, (function, arguments) in tasks.items():
        counts = None if left.plugged else kept.find(key_of(name, arguments, known))
        if is_counts(counts):
            found[name] = counts
        else:
            missing[name] = (function, arguments)
    pairs = {name for name, (function, given) in tasks.items() if function == "stack_counts" and len(given[0]) > 1}
    if pairs & set(found):
        missing = {name: task for name, task in missing.items() if name not in pairs}
    if missing and not counting:
        return None
    for name, (function, arguments) in missing.items():
        module, _, _ = COUNTING.partition(":")
        found[name] = getattr(importlib.import_module(module), function)(*arguments)
        if not left.plugged:
            kept.keep(key_of(name, arguments, known), found[name])
    return found


def _bundles(left: Left, course: Course) -> list[Bundle]:
    """Those that can be trained, and those that will be when their cells are tuned."""
    tuned = [
        some
        for tuning in left.tunings
        for bundle in plan(tuning.cells, left.device, left.workers, course.settled)
        if (some := restrict(bundle, left.wanted))
    ]
    return [*left.bundles, *tuned]


class _OfRun(Predictor):
    """Of a run's own pieces of work, from where it stands."""

    def __init__(self, left: Left, profile: Profile, known: dict[str, Facts], asked: Asked, *counts: Any) -> None:
        self._left = left
        wanted = [cell for cell in left.cells if cell.id in left.wanted]
        super().__init__(wanted, profile, left.workers, known, asked, *counts)

    def tunings(self) -> Sequence[Tuning]:
        return self._left.tunings

    def bundles(self, course: Course) -> Sequence[Bundle]:
        return _bundles(self._left, course)

    def besides(self, found: Sum, course: Course, waited: float = 0.0) -> None:
        host = 0.0
        if self.profile.on_cpu:  # else beside the run, by the host
            host += sum(self.reference(spec.reference, spec.cell) for spec in self._left.references if spec.cell)
        kinds = {course.settled(cell).kind for cell in self.cells} - self._left.timed
        found.add("references", self._time(Tally({HOST: host})))
        if waited:
            found.add("compiling", self._time(Tally({HOST: waited})))
        # all at once the workers have what they share; the timing is done by one, alone
        found.add("timing of kinds", self._time(Tally({HOST: A_SPEED[self.profile.kind] * len(kinds) * self.workers})))
