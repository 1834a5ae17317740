"""Ends and passes of a run: those that one has recorded, or the bounds that a grid sets to what is decided on the way.

Before a run nobody knows when models end, whose proposals are fitted, or how many samples a bound takes. So a
prediction is made for the least and for the most of each; of a run that was, for what it did.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.grid.cell import Cell

if TYPE_CHECKING:
    from bench.store import RunTables

PILOT = 100  # weights that a pilot looks at (vae_core.evaluate.effort), from which on an L may be reported
VALIDATIONS, OF_A_STRETCH = 25, 10  # of a training of fixed length, of a stretch of patience (vae_core.training.recipe)


@dataclass(frozen=True)
class Evaluated:
    """How a cell was scored: L of the encoder's own pass, whether proposals were fitted, and the L of the passes that
    followed; none where the first is what is reported."""

    first: int
    refined: bool
    passes: tuple[int, ...]


@dataclass(frozen=True)
class Course:
    """How a run goes: the epoch at which a model ends, how a cell is scored, the epochs of candidates, and how many of
    a search are refined."""

    most: bool = True
    epochs: Mapping[str, int] = field(default_factory=dict)  #: by cell
    scored: Mapping[str, Evaluated] = field(default_factory=dict)  #: by cell
    candidates: Mapping[tuple[str, str], int] = field(default_factory=dict)  #: by search and `told` values
    refined: Mapping[str, int] = field(default_factory=dict)  #: by search
    chosen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  #: by search

    def settled(self, cell: Cell) -> Cell:
        """With what was chosen, or the first candidate."""
        return cell.settled(self.chosen.get(cell.search))

    def epochs_of(self, cell: Cell) -> int:
        return self.epochs.get(cell.id, self.unknown_epochs(cell))

    def unknown_epochs(self, cell: Cell) -> int:
        """The limit, or the first epoch at which a model can be seen to have stopped rising."""
        if self.most or not cell.patience:
            return cell.epochs
        return min(cell.epochs, cell.patience + validated_every(cell))

    def epochs_of_candidate(self, cell: Cell, search: str, values: str) -> int:
        return self.candidates.get((search, values), self.unknown_epochs(cell))

    def refined_of(self, cell: Cell, always: bool) -> int:
        """Candidates of the cell's search that are judged by refined bounds."""
        return self.refined.get(cell.search, 2 if (self.most or always) and cell.tried > 1 else 0)

    def scoring_of(self, cell: Cell) -> Evaluated:
        """As recorded, or at the least or most of what its keys leave open."""
        if cell.id in self.scored:
            return self.scored[cell.id]
        largest = max(cell.eval_samples)
        refined = cell.refine == "always" or (cell.refine == "auto" and self.most)
        if not cell.eval_tolerance or largest <= PILOT:
            return Evaluated(largest, refined, (largest,) if refined else ())
        enough = sorted(size for size in {*cell.eval_samples, largest} if size >= PILOT)
        passes = tuple(enough) if self.most else (enough[0],)
        return Evaluated(PILOT, refined, (PILOT, *passes) if refined else passes)


def told(values: Mapping[str, Any]) -> str:
    """The values of a candidate as one text."""
    return json.dumps(dict(values), sort_keys=True)


def validated_every(cell: Cell) -> int:
    """Epochs from one validation to the next (vae_core.training.recipe)."""
    if cell.patience:
        return max(1, cell.patience // OF_A_STRETCH)
    return max(1, cell.epochs // VALIDATIONS)


def recorded(tables: RunTables, cells: Sequence[Cell]) -> Course:
    """The course of a run that was, as far as its tables say; what they do not say is as before a run."""
    rows = {row["cell"]: row for row in tables.cells.to_dict("records") if row.get("status") == "done"}
    epochs: dict[str, int] = {}
    scored: dict[str, Evaluated] = {}
    chosen: dict[str, Mapping[str, Any]] = {}
    for cell in cells:
        row = rows.get(cell.id)
        if row is None:
            continue
        epochs[cell.id] = int(row["epochs_run"])
        scored[cell.id] = _evaluated(cell, row)
        if cell.search and row.get("tuned"):
            chosen[cell.search] = {key: _value(value) for key, value in json.loads(row["tuned"]).items()}
    candidates, refined = _candidates(tables)
    return Course(True, epochs, scored, candidates, refined, chosen)


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _evaluated(cell: Cell, row: Mapping[str, Any]) -> Evaluated:
    reported, refined = int(row["iw_samples"]), row["estimator"] == "refined"
    first = row.get("encoder_samples")
    size = int(first) if first is not None and first == first else max(cell.eval_samples)
    adaptive = bool(cell.eval_tolerance) and max(cell.eval_samples) > PILOT
    if not adaptive:
        return Evaluated(size, refined, (reported,) if refined else ())
    # where it began is not recorded: from the smallest on, each that did not do is followed by the next
    climbed = tuple(sorted({*(size for size in cell.eval_samples if PILOT <= size <= reported), reported}))
    return Evaluated(size, refined, (PILOT, *climbed) if refined else climbed)


def _candidates(tables: RunTables) -> tuple[dict[tuple[str, str], int], dict[str, int]]:
    epochs: dict[tuple[str, str], int] = {}
    refined: dict[str, int] = {}
    for row in tables.candidates.to_dict("records"):
        epochs[row["search"], told(json.loads(row["candidate"]))] = int(row["epochs_run"])
        value = row.get("refined_bits_per_dim")
        was = value is not None and not math.isnan(float(value))
        refined[row["search"]] = refined.get(row["search"], 0) + was
    return epochs, refined


def measured(tables: RunTables, cells: Sequence[Cell]) -> dict[str, float]:
    """Seconds of workers that a run has recorded for these cells: in training, in tuning, in evaluation."""
    wanted = {cell.id for cell in cells}
    rows = [row for row in tables.cells.to_dict("records") if row["cell"] in wanted and row.get("status") == "done"]
    searches = {row["search"]: row["tune_seconds"] for row in rows if row.get("search")}
    models: dict[str, float] = {}
    keys = {cell.id: cell.training_key for cell in cells}
    for row in rows:
        models[keys[row["cell"]]] = row["train_seconds"]
    return {
        "training": _sum(models.values()),
        "tuning": _sum(searches.values()),
        "evaluation": _sum(row["eval_seconds"] for row in rows),
    }


def _sum(values: Any) -> float:
    return float(sum(value for value in values if value is not None and value == value))
