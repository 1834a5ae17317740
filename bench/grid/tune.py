"""The [tune] table of a grid: keys that are chosen for each configuration on validation data, and not compared.

    [tune]
    learning_rate = [1e-3, 3e-3, 1e-2, 3e-2]
    latent = [5, 10, 20]                       # every combination is a candidate

An empty table tunes the learning rate over `LEARNING_RATES`. Every configuration of the grid gets the same candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench.grid.families import option_names
from bench.grid.settings import KEYS, LIST_VALUES, GridError, Settings, axis, shown

#: candidates where a grid names none: the ratio is one that moves a bound, and the best of all families of the
#: catalogue on digits lie inside
LEARNING_RATES = (1e-3, 3e-3, 1e-2, 3e-2)
#: keys by which all candidates end alike
ENDS = ("epochs", "patience", "tolerance")
SET = "tune."  # with which --set names a key of the table


def tune_axes(where: str, table: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """The candidates of each tuned key, numbers in the order of their size. Raises GridError."""
    if not table:
        return {"learning_rate": LEARNING_RATES}
    axes = {}
    for key, value in table.items():
        _require_tunable(where, key)
        if value == []:
            raise GridError(f"{where}: {key} has no candidates; list two or more values, or remove the key.")
        values = axis(where, key, value)
        if len(values) < 2:
            several = "two or more, such as [[200], [400]]," if key in LIST_VALUES else "two or more"
            raise GridError(
                f"{where}: {key} has one candidate, {shown(values[0])}, and so no choice; list {several} or give it "
                f"{_elsewhere(where, key)}."
            )
        axes[key] = tuple(sorted(values)) if all(isinstance(item, int | float) for item in values) else values
    return axes


def require_one_role(where: str, axes: Iterable[str], tune: Mapping[str, Any], table: str) -> None:
    """Raises GridError for a key that is given although it is tuned: it would be compared, or fixed for some only."""
    for key in axes:
        if key in tune:
            raise GridError(
                f"{where}: {key} is given here and tuned in {table}; remove one (what is tuned is chosen on validation "
                "data, not compared)."
            )


def _elsewhere(where: str, key: str) -> str:
    """Where a value that is no candidate belongs, for who wrote it there."""
    return f"as --set {key}=VALUE" if where == "--set" else "under [grid]"


def _require_tunable(where: str, key: str) -> None:
    able = [name for name, known in KEYS.items() if known.tunable]
    if key in Settings.model_fields and KEYS[key].tunable:
        return
    if key == "family" or key in option_names():
        raise GridError(
            f"{where}: {key} changes the likelihood, which is what a grid compares; give its values under [[cells]]."
        )
    if key in ENDS:
        raise GridError(
            f"{where}: {key} says when a training ends, alike for all candidates; give it {_elsewhere(where, key)}."
        )
    if key in Settings.model_fields:
        raise GridError(
            f"{where}: {key} cannot be tuned (what can: {', '.join(able)}); give it {_elsewhere(where, key)}."
        )
    axis(where, key, None)  # says that it is unknown, and what may have been meant
