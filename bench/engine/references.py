"""The references of a run: which are wanted, as tasks of the pool, and how they end. One that fails harms nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.engine.local import Ended, Task
from bench.engine.process.death import came_from_outside
from bench.grid.cell import Cell
from bench.grid.references import ReferenceSpec, of_grid
from bench.store import ReferenceResult, RunFile

PATIENCE = 6.0  #: codecs and mixtures take long steps


class References:
    """Those of a grid, and which of them the run file lacks."""

    def __init__(self, cells: Iterable[Cell], file: RunFile | None, *, retry_failed: bool, task: str) -> None:
        self.all = of_grid(cells)
        self._task = task
        stored = file.statuses(reference=True) if file else {}
        reasons = file.statuses(reference=True, column="reason") if file else {}
        again = {
            one for one in stored if stored[one] != "done" and (retry_failed or came_from_outside(reasons.get(one)))
        }
        self.wanted = [spec for spec in self.all if spec.id not in stored or spec.id in again]

    @property
    def ids(self) -> list[str]:
        return [spec.id for spec in self.all]

    def cells(self) -> list[Cell]:
        """A cell for each of the wanted ones, whose data it needs."""
        return [spec.cell for spec in self.wanted if spec.cell is not None]

    def tasks(self, limit: float | None) -> list[Task]:
        """Lighter than all other work: what is done where nothing else is left for a worker."""
        return [
            Task(self._task, (spec,), limit, -1.0, name=f"the reference {spec.reference}", patience=PATIENCE)
            for spec in self.wanted
        ]

    @staticmethod
    def is_one(end: Ended) -> bool:
        return isinstance(end.task.arguments[0], ReferenceSpec)

    @staticmethod
    def take(file: RunFile, end: Ended, provenance: int) -> None:
        """Store how one ended."""
        spec: ReferenceSpec = end.task.arguments[0]
        file.write_reference(spec, _result(spec, end), provenance)


def _result(spec: ReferenceSpec, end: Ended) -> ReferenceResult:
    value: Any = end.value
    if end.failure:
        reason = end.failure.reason
        if end.failure.status == "oom":
            reason += "; it is fitted in the host's memory: free what others hold of it, or --workers 1 has all of it"
        return ReferenceResult(spec.id, end.failure.status, reason)
    if not isinstance(value, ReferenceResult) or value.reference != spec.id:
        return ReferenceResult(spec.id, "failed", "the worker gave no result for this reference")
    return value
