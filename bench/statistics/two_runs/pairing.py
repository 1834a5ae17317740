"""Two runs whose settings differ on purpose: cells are paired by what is left of them without some keys.

The likelihood, the data and the seed are never ignored: they are what is compared, and what pairs it. Where a run has
several cells that differ in ignored keys alone, it is not guessed which of them is meant.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import pandas as pd

from bench.grid.families import option_names
from bench.grid.settings import KEYS, keys_of, shown, suggestion
from bench.statistics.two_runs.differences import DifferencesError
from bench.store import RunTables

TUNE = "tune"  # the table of candidates; who ignores it ignores the keys that either run tunes
SCORED = "test_images"
_IN_GROUPS = keys_of("training", "network", "schedule", "evaluation")
IGNORABLE = (*(key for key in _IN_GROUPS if key != SCORED), TUNE)
#: why a key of another group is not ignored
KEPT = {
    "model": "is part of the likelihood, which is what is compared",
    "data": "is part of the data, whose images the scores are paired by",
    "seed": "is what cells are paired by",
    "evaluation": "is which images are scored, and only scores of the same images are paired",
}
Spec = Mapping[str, Any]


@dataclass(frozen=True)
class Varied:
    """A key with the values that cells of A and of B have, as a grid writes them."""

    key: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    differs: bool  # in some pair; of cells that are not paired, in all


@dataclass(frozen=True)
class Pairing:
    """before: run A, its cells and configurations under the names of those of B that they are paired with; those that
    are paired with none keep their own. ignored: the keys, and what the paired cells have."""

    before: RunTables
    ignored: tuple[Varied, ...]


def pair(before: RunTables, after: RunTables, ignore: Iterable[str]) -> Pairing:
    """Pair the cells of A (`before`) and B that agree in all but the keys to `ignore`.

    Raises DifferencesError for a key that cannot be ignored, and where a run has several cells for one place.
    """
    keys = list(dict.fromkeys(ignore))
    for key in keys:
        _require_ignorable(key)
    a, b = _specs("A", before), _specs("B", after)
    if TUNE in keys:
        keys += [
            key for key in KEYS if key not in keys and any(key in spec[TUNE] for spec in (*a.values(), *b.values()))
        ]
    for run, specs in (("A", a), ("B", b)):
        _refuse_several(run, specs, keys)
    of_b = {_place(spec, keys): cell for cell, spec in b.items()}
    cells = {cell: of_b[place] for cell, spec in a.items() if (place := _place(spec, keys)) in of_b}
    configs_of_b = {_place(b[cell], [*keys, "seed"]): config for cell, config in _configs(after)}
    configs = {
        config: configs_of_b[place]
        for cell, config in _configs(before)
        if (place := _place(a[cell], [*keys, "seed"])) in configs_of_b
    }
    pairs = [(a[cell], b[other]) for cell, other in cells.items()]
    return Pairing(_renamed(before, cells, configs), tuple(_varied(key, pairs) for key in keys))


def apart(before: RunTables, after: RunTables) -> tuple[Varied, ...]:
    """The keys of which no cell of A has a value that a cell of B has; none where a run does not tell its specs."""
    if not {"spec"} <= set(before.cells) & set(after.cells):
        return ()
    a, b = (list(_specs("", tables).values()) for tables in (before, after))
    found = (
        Varied(key, _values(key, a), _values(key, b), differs=True) for key in dict.fromkeys([*KEYS, *a[0], *b[0]])
    )
    return tuple(varied for varied in found if not set(varied.before) & set(varied.after))


def _require_ignorable(key: str) -> None:
    if key in IGNORABLE:
        return
    known = KEYS[key].group if key in KEYS else "model" if key in (*option_names(), "options", "scored_as") else ""
    allowed = f"allowed: {', '.join(IGNORABLE)}"
    if known:
        raise DifferencesError(f"--ignore {key}: {key} {KEPT[known]} ({allowed}).")
    raise DifferencesError(f"--ignore {key}: unknown key {key!r} {suggestion(key, IGNORABLE, allowed)}.")


def _specs(run: str, tables: RunTables) -> dict[str, Spec]:
    """The whole recipe of every cell. Raises DifferencesError where a run does not tell them."""
    cells = tables.cells
    if "spec" not in cells:
        raise DifferencesError(
            f"the cells of {run} do not tell their settings (no column 'spec'); export the run again."
        )
    return {cell: {TUNE: {}, **json.loads(spec)} for cell, spec in zip(cells["cell"], cells["spec"], strict=True)}


def _configs(tables: RunTables) -> Iterator[tuple[str, str]]:
    """Every cell with its configuration."""
    return zip(tables.cells["cell"], tables.cells["config"], strict=True)


def _place(spec: Spec, keys: Collection[str]) -> str:
    """What is left of a spec without some keys, in its table of candidates too; as text."""
    rest = {key: value for key, value in spec.items() if key not in keys}
    if TUNE in rest:
        rest[TUNE] = {key: value for key, value in spec[TUNE].items() if key not in keys}
    return json.dumps(rest, sort_keys=True)


def _value(key: str, spec: Spec) -> str:
    """What a cell has of a key; of one that is tuned its candidates, of the table its keys."""
    if key == TUNE:
        return ", ".join(spec[TUNE]) or "nothing"
    if key in spec[TUNE]:
        return f"one of {', '.join(map(shown, spec[TUNE][key]))}"
    return "none" if spec.get(key) is None else str(spec[key]) if isinstance(spec[key], str) else shown(spec[key])


def _values(key: str, specs: Iterable[Spec]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_value(key, spec) for spec in specs))


def _varied(key: str, pairs: Sequence[tuple[Spec, Spec]]) -> Varied:
    before, after = (_values(key, [pair[side] for pair in pairs]) for side in (0, 1))
    return Varied(key, before, after, any(_value(key, a) != _value(key, b) for a, b in pairs))


def _refuse_several(run: str, specs: Mapping[str, Spec], keys: Sequence[str]) -> None:
    """Raises DifferencesError where cells of a run differ in the ignored keys alone, be it from seed to seed."""
    groups: dict[str, list[Spec]] = {}
    for spec in specs.values():
        groups.setdefault(_place(spec, [*keys, "seed"]), []).append(spec)
    for group in groups.values():
        found = {key: _values(key, group) for key in keys if key != TUNE}
        several = [f"{key} ({', '.join(values)})" for key, values in found.items() if len(values) > 1]
        if several:
            raise DifferencesError(
                f"cells of {run} differ in {' and '.join(several)} alone, such as those of {group[0]['family']}, so "
                "that --ignore leaves open which of them is meant; compare runs that have one value of it."
            )


def _renamed(tables: RunTables, cells: Mapping[str, str], configs: Mapping[str, str]) -> RunTables:
    """The tables with other names of cells and configurations."""

    def named(column: pd.Series, names: Mapping[str, str]) -> pd.Series:
        return column.map(lambda name: names.get(name, name))

    changed: dict[str, Any] = {}
    for item in fields(tables):
        table = getattr(tables, item.name)
        if isinstance(table, pd.DataFrame) and "cell" in table:
            changed[item.name] = table.assign(cell=named(table["cell"], cells))
    changed["cells"]["config"] = named(tables.cells["config"], configs)
    pictures = {(cells.get(cell, cell), kind): drawn for (cell, kind), drawn in tables.pictures.items()}
    return replace(tables, **changed, pictures=pictures)
