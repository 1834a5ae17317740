"""What tuning chose for a configuration, and what became of its candidates (docs/RULES.md, rule 11).

Runs in which nothing was tuned, and those of before there was tuning, have nothing here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from bench.grid.settings import KEYS, shown
from bench.store import RunTables

#: keys with which the shapes of what is drawn at random change: models that differ in one share no random numbers
SHAPING = ("network", "hidden", "latent", "widths", "depth", "kernel", "batch_size", "train_samples")
BEHIND = "behind"  # ended by: it could not reach a rival any more
DIVERGED = "diverged"


@dataclass(frozen=True)
class Tuned:
    """Of one configuration, by the keys that were tuned: their candidates, what was chosen, and of choices at an end of
    their range the value to add (None where there is none to name)."""

    candidates: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    edges: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, cell: Mapping[str, Any]) -> Tuned:
        """Of a cell's row in the run's tables, which may lack all of it."""
        candidates = {key: tuple(given) for key, given in _read(cell.get("tune")).items()}
        return cls(in_order(candidates), in_order(_read(cell.get("tuned"))), in_order(_read(cell.get("tuned_edges"))))

    def __bool__(self) -> bool:
        return bool(self.values)

    def setting(self, key: str, given: Any) -> Any:
        """What must agree in a fair comparison: the candidates of a key that was tuned, whatever was chosen; of another
        the value that was `given`."""
        return f"one of {', '.join(map(shown, self.candidates[key]))}" if key in self.candidates else given


@dataclass(frozen=True)
class Candidate:
    """What became of one candidate. Numbers are of validation images, in bits/dim; NaN where there are none."""

    values: Mapping[str, Any]
    chosen: bool
    ended_by: str  # "patience", "limit", "behind" or "diverged"
    epochs: int
    reason: str  # why it is of no use
    scored_as: str  # its best reading
    bits_per_dim: float
    refined_bits_per_dim: float
    behind: float  # the chosen one
    behind_se: float


@dataclass(frozen=True)
class Search:
    """The candidates of one configuration in their order; configurations that differ in their scoring alone share one.

    history: (epoch, training, validation objective) of each candidate, nats, by its place.
    """

    name: str
    label: str
    family: str
    configs: tuple[str, ...]
    keys: tuple[str, ...]
    edges: Mapping[str, Any]
    candidates: tuple[Candidate, ...]
    history: Mapping[int, pd.DataFrame]
    seconds: float

    @cached_property
    def chosen(self) -> int | None:
        """The place of the chosen candidate; None where none could be trained."""
        return next((place for place, one in enumerate(self.candidates) if one.chosen), None)


def searches(tables: RunTables) -> list[Search]:
    """Every search of a run, in the order of its cells."""
    if tables.candidates.empty or "search" not in tables.cells.columns:
        return []
    found = {str(name): group for name, group in tables.candidates.groupby("search", sort=False)}
    drawn = {} if tables.candidate_history.empty else dict(list(tables.candidate_history.groupby("search", sort=False)))
    cells = tables.cells[tables.cells["search"].isin(found)]
    return [
        _search(str(name), own, found[str(name)], drawn.get(name)) for name, own in cells.groupby("search", sort=False)
    ]


def in_order(values: Mapping[str, Any]) -> dict[str, Any]:
    """By key, in the order in which the keys of a grid are listed."""
    return {key: values[key] for key in sorted(values, key=[*KEYS, *values].index)}


def _search(name: str, cells: pd.DataFrame, rows: pd.DataFrame, drawn: pd.DataFrame | None) -> Search:
    candidates, history = [], {}
    for place, row in enumerate(rows.to_dict("records")):
        candidates.append(
            Candidate(
                values=in_order(_read(row["candidate"])),
                chosen=bool(row["chosen"]),
                ended_by=_word(row["ended_by"]),
                epochs=int(row["epochs_run"]),
                reason=_word(row["reason"]),
                scored_as=_word(row["scored_as"]),
                bits_per_dim=_number(row["bits_per_dim"]),
                refined_bits_per_dim=_number(row["refined_bits_per_dim"]),
                behind=_number(row["behind"]),
                behind_se=_number(row["behind_se"]),
            )
        )
        if drawn is not None:
            own = drawn[drawn["candidate"] == row["candidate"]].sort_values("epoch")
            history[place] = own[["epoch", "train_nats", "valid_nats"]].astype(float).reset_index(drop=True)
    chosen = rows[rows["chosen"].astype(bool)]
    return Search(
        name=name,
        label=_shared(list(dict.fromkeys(cells["label"].astype(str)))),
        family=str(cells["family"].iloc[0]),
        configs=tuple(dict.fromkeys(cells["config"].astype(str))),
        keys=tuple(candidates[0].values),
        edges=in_order(_read(chosen["edges"].iloc[0])) if len(chosen) else {},
        candidates=tuple(candidates),
        history=history,
        seconds=_number(rows["seconds"].iloc[0]),
    )


def _shared(labels: list[str]) -> str:
    """The words that labels share, in the order of the first: 'mse_sum' of 'mse_sum (gaussian fitted)' and others."""
    if len(labels) == 1:
        return labels[0]
    family, *parts = labels[0].split(" ")
    end = next((place for place, part in enumerate(parts) if part.startswith("(")), len(parts))
    rest = [part for part in parts[:end] if all(part in label.split(" ") for label in labels[1:])]
    return " ".join([family, *rest])


def _read(text: object) -> dict[str, Any]:
    """A column of JSON, which is empty where nothing was tuned and lacking in older runs."""
    return dict(json.loads(text)) if isinstance(text, str) and text else {}


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
