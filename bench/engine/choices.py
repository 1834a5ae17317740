"""What was chosen for the configurations of a run that are tuned, and what is to be chosen before they can train."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from bench.engine.local import Failure, Task
from bench.grid.cell import Cell
from bench.grid.plan import (
    MODELS_AT_LEAST,
    Bundle,
    Tuning,
    cost_of,
    halves,
    halves_of_tuning,
    parted,
    plan,
    plan_tuning,
    restrict,
    tuning_of,
)
from bench.store import RESULT_COLUMNS, CellResult, RunFile, SearchResult

IN_TUNING = "in tuning: "
NO_ROW, NO_COLUMN = "the worker gave no result for this cell", "the worker gave values that no column takes"


class Choices:
    """The choices by search: those that the run file has, and those that this run makes; and which cells the file knows
    to have taken a worker along, so that no others pay for them again."""

    def __init__(self, file: RunFile | None, *, same: bool = True) -> None:
        """`same`: the file was last run for this very grid, so that the stacks of its rows tell of these bundles."""
        self._known: dict[str, SearchResult] = file.choices() if file else {}
        beside: dict[str, Any] = file.statuses(column="bundle_models") if file else {}
        self._beside = beside if same else {}
        reasons = file.statuses(column="reason") if file else {}
        # a row that a worker gave says among how many models; of one without, the task gave nothing at all
        stored = file.statuses().items() if file else ()
        took = {cell for cell, status in stored if status != "done" and beside[cell] is None}
        self._in_tuning = {cell for cell in took if str(reasons[cell]).startswith(IN_TUNING)}
        self._killers = {
            cell for cell in took - self._in_tuning if not str(reasons[cell]).startswith((NO_ROW, NO_COLUMN))
        }

    def settled(self, cell: Cell) -> Cell:
        """The cell as it is trained; of one without a choice yet, with the first candidate."""
        known = self._known.get(cell.search)
        return cell.settled(known.values if known else None)

    def cost(self, piece: Tuning | Bundle) -> float:
        """Roughly how long it takes, in a unit of its own, as far as the choices tell."""
        return cost_of(piece, {search: known.epochs for search, known in self._known.items() if known.epochs})

    def known_of(
        self, task: Task, piece: Tuning | Bundle, label: str, limit: float | None, *, suspect: bool = False
    ) -> Task:
        """The task with all that a pool must know of its piece of work, whose first cell has this label, and of which
        `limit` is one model's limit in seconds, if somebody has set one."""
        cost = self.cost(piece)
        kinds = dict.fromkeys(self.settled(cell).kind for cell in piece.cells)
        name = label + (f" and {len(piece.cells) - 1} more" if len(piece.cells) > 1 else "")
        if isinstance(piece, Tuning):
            models = sum(len(cell.candidates) for cell in {cell.search: cell for cell in piece.cells}.values())
            name, kinds = f"the tuning of {name}", dict.fromkeys(f"tuning {kind}" for kind in kinds)
            parts, given = len(halves_of_tuning(piece)), 0
        else:
            models, parts = len(piece.stack), 1 + (halves(piece) != (piece,))
            given = piece.models
        return dataclasses.replace(
            task,
            seconds=None if limit is None else limit * models,
            weight=task.weight + cost,
            name=name,
            like=tuple(kinds),
            cost=cost,
            suspect=suspect,
            divisible=parts > 1,
            size=len(piece.cells),
            parts=given,
        )

    def split(
        self, cells: Iterable[Cell], wanted: set[str], device: str, workers: int
    ) -> tuple[list[Tuning], list[Bundle]]:
        """What is to be chosen first, and the bundles that can be trained at once, of the wanted cells of a grid."""
        cells = list(cells)
        bundles = self.bundles([cell for cell in cells if not cell.search], wanted, device, workers)
        searches = {cell.search for cell in cells if cell.id in wanted}
        tunings = []
        for piece in plan_tuning(cells, device, workers):
            asked = [cell for cell in piece.cells if cell.search in searches]
            unknown = [cell for cell in asked if cell.search not in self._known]
            tunings += self._tunings(unknown)
            if asked:  # of all, for the bundles of what is left are cut as they were
                known = [cell for cell in piece.cells if cell.search in self._known]
                bundles += self.bundles(known, wanted, device, workers)
        return tunings, bundles

    def bundles(self, cells: Iterable[Cell], wanted: set[str], device: str, workers: int) -> list[Bundle]:
        """The bundles of cells whose choices are known, or that need none."""
        whole = plan(cells, device, workers, self.settled)
        parts = [part for planned in whole for part in parted(planned, self._killers, self._beside)]
        return [self._with_choices(bundle) for part in parts if (bundle := restrict(part, wanted))]

    def is_feared(self, piece: Tuning | Bundle) -> bool:
        """Whether it asks for what has taken a worker along before."""
        return any(cell.id in self._killers or cell.id in self._in_tuning for cell in piece.cells)

    def _tunings(self, cells: list[Cell]) -> list[Tuning]:
        """As one piece, but for configurations in whose tuning a worker died, each of which is one; not where these are
        most of them, and not few, for the cause was hardly theirs then."""
        dying = {cell.search for cell in cells if cell.id in self._in_tuning}
        if len(dying) >= MODELS_AT_LEAST and 2 * len(dying) > len({cell.search for cell in cells}):
            dying = set()
        groups: dict[str, list[Cell]] = {}
        for cell in cells:
            groups.setdefault(cell.search if cell.search in dying else "", []).append(cell)
        return [tuning_of(group) for group in groups.values()]

    def take(self, tuning: Tuning, answer: Any) -> tuple[list[SearchResult], list[CellResult]]:
        """What a worker chose, to be stored, and the cells that fail since nothing could be chosen for them."""
        given = {result.search: result for result in answer if isinstance(result, SearchResult)} if answer else {}
        self._known |= {name: result for name, result in given.items() if result.values is not None}
        reasons = {
            cell.search: given[cell.search].reason if cell.search in given else "the worker gave no choice for it"
            for cell in tuning.cells
            if cell.search not in self._known
        }
        failed = [cell for cell in tuning.cells if cell.search in reasons]
        return list(given.values()), [CellResult(c.id, "failed", IN_TUNING + reasons[c.search]) for c in failed]

    def _with_choices(self, bundle: Bundle) -> Bundle:
        searches = {cell.search for cell in bundle.stack if cell.search}
        chosen = {
            search: {"values": known.values, "edges": known.edges, "seconds": known.seconds}
            for search in searches
            if (known := self._known[search])
        }
        return dataclasses.replace(bundle, chosen=chosen)


def failed(cells: Iterable[Cell], failure: Failure) -> list[CellResult]:
    """The cells of a task that gave nothing."""
    return [CellResult(cell.id, failure.status, failure.reason) for cell in cells]


def with_remedy(failure: Failure, cell: Cell, workers: int) -> Failure:
    """One that memory ran out for one model alone, with what to set then; any other as it is. `cell`: as it is trained;
    `workers` share the memory."""
    if failure.status != "oom":
        return failure
    fewer = (
        f"--set batch_size={cell.batch_size // 2} asks for less" if cell.batch_size > 1 else "a smaller network does"
    )
    most = "--workers 1 has all of the memory" if workers > 1 else "free what others hold of the memory"
    return dataclasses.replace(failure, reason=f"{failure.reason}; one model alone did not fit: {most}, or {fewer}")


def checked(bundle: Bundle, answer: Any) -> list[CellResult]:
    """The worker's rows, one a cell in the bundle's order; a cell without a usable row has failed."""
    given = {result.cell: result for result in answer if isinstance(result, CellResult)} if answer else {}
    results = []
    for cell in bundle.cells:
        result = given.get(cell.id, CellResult(cell.id, "failed", NO_ROW))
        if unknown := sorted(set(result.values) - set(RESULT_COLUMNS)):
            result = CellResult(cell.id, "failed", f"{NO_COLUMN}: {', '.join(unknown)}")
        results.append(result)
    return results
