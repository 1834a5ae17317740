"""Values as a run file takes them: what SQLite stores of a number, a text or a cell's recipe."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np

from bench.grid.cell import Described
from bench.store.migrate import key_values

Value = str | int | float | None


def spec_row(described: Described) -> dict[str, Value]:
    cell = described.cell
    return {
        **key_values(cell),
        "view": cell.view,
        "scored_as": cell.scored_as,
        "cell": cell.id,
        "config": cell.config,
        "label": described.label,
        "kind": cell.kind,
        "sigma": cell.sigma,
        "options": json.dumps({key: value for key, value in sorted(cell.options.items()) if key != "sigma"}),
        "recipe": int(described.recipe),
        "reference": 0,
        "tune": as_json(cell.spec["tune"]) if cell.tune else "",
        "search": cell.search,
        "spec": json.dumps(cell.spec, sort_keys=True),
    }


def tuples(text: str) -> dict[str, Any]:
    """A JSON object as a grid's values are: lists as tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in json.loads(text).items()}


def cleaned(value: Any) -> Value:
    """A plain value for SQLite: NumPy scalars unwrapped, NaN as NULL."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        return None
    return int(value) if isinstance(value, bool) else value


def as_json(value: Any) -> str:
    def plain(item: Any) -> Any:
        if isinstance(item, np.generic):
            return item.item()
        if is_dataclass(item) and not isinstance(item, type):
            return asdict(item)
        return str(item)

    return json.dumps(value, default=plain, sort_keys=True)


def meta_rows(meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key, as_json(value)) for key, value in meta.items()]
