"""Grids and cells of before, when one key, `objective`, said both which bound is trained and on what.

Its words were "elbo", "iwae" and "binned", the ELBO of the exact masses of the bins; a list of them need be no product
of the two axes of today. Such a grid is understood, and each place where those words stand gets a sentence that says
how it is written now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench.grid.settings import GridError, shown

#: the word of before -> objective and bound of today, of a density; "binned" is a word of both
MEANT = {"elbo": ("dequantised", "elbo"), "iwae": ("dequantised", "iwae"), "binned": ("binned", "elbo")}
#: what an [[exclude]] of the word is today: it may drop no cell that could not be written before
EXCLUDED: dict[str, dict[str, Any]] = {
    "elbo": {"objective": ["dequantised", "own"], "bound": "elbo"},
    "iwae": {"bound": "iwae"},
    "binned": {"objective": "binned"},
}
OF_DENSITIES = ("unit", "real")  # views in which a family is a density of its data
Pairs = frozenset[tuple[str, str]]


def spec_of_today(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a cell, of before or of today, with both keys."""
    if "bound" in spec or spec.get("objective") not in MEANT:
        return dict(spec)
    objective, bound = MEANT[spec["objective"]]
    if objective == "dequantised" and spec.get("view") not in OF_DENSITIES:
        objective = "own"
    return {**spec, "objective": objective, "bound": bound}


def words(where: str, table: Mapping[str, Any]) -> tuple[str, ...]:
    """The words of before that a table of a grid has; none where it is written as today. Raises GridError where `bound`
    stands beside them."""
    value = table.get("objective")
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(word, str) and word in MEANT for word in listed) or set(listed) <= {"binned"}:
        return ()
    if "bound" in table:
        raise GridError(
            f"{where}: objective = {shown(value)} says which bound is trained, and so does bound = "
            f'{shown(table["bound"])}; give "dequantised", "binned" or both as objective, or leave it out.'
        )
    return tuple(dict.fromkeys(listed))


def axes(old: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The two axes that hold all that the words ask for."""
    objectives, bounds = zip(*(MEANT[word] for word in old), strict=True)
    return {"objective": tuple(dict.fromkeys(objectives)), "bound": tuple(dict.fromkeys(bounds))}


def pairs(old: Sequence[str]) -> Pairs:
    """Which pairs of the product of these axes the words ask for."""
    return frozenset(MEANT[word] for word in old)


def merged(layers: Iterable[Mapping[str, tuple[Any, ...]]]) -> tuple[dict[str, tuple[Any, ...]], Pairs]:
    """The axes of [grid], of a block and of --set in one, each replacing what is below it, and the pairs of objective
    and bound that are asked for (all of their product where there are none). A layer of before replaces both."""
    together: dict[str, tuple[Any, ...]] = {}
    old: tuple[str, ...] = ()
    for layer in layers:
        objective = layer.get("objective", ())
        if set(objective) & {"elbo", "iwae"}:
            old = objective
            together.pop("bound", None)
        elif objective:
            old = ()
        elif "bound" in layer and old:
            together["objective"], old = axes(old)["objective"], ()
        together |= layer
    return (together | axes(old), pairs(old)) if old else (together, frozenset())


def rules(old: Sequence[str], table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an [[exclude]] table of these words stands for: a table for each, or itself where there are none."""
    rest = {key: value for key, value in table.items() if key != "objective"}
    return [{**rest, **EXCLUDED[word]} for word in old] or [dict(table)]


def notes(sources: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """How the words of [grid], of each block and of --set, in this order, are written now."""
    (in_grid, shared), *_ = sources.items()
    below = dict.fromkeys(sources, "objective" in shared) | {in_grid: False}
    below["--set"] = any("objective" in table for where, table in sources.items() if where != "--set")
    for where, table in sources.items():
        old = words(where, table)
        if not old and where != in_grid and words(in_grid, shared) and table.get("objective") in ("binned", ["binned"]):
            old = ("binned",)
        if old:
            yield _note(where, old, over=below[where])


def _note(where: str, old: Sequence[str], *, over: bool) -> str:
    """`over` where it replaces an objective that stands below it."""
    today = axes(old)
    if len(old) == 3:
        said = f'{_written(today)} now, with an [[exclude]] of objective = "binned", bound = "iwae"'
    elif set(old) == {"iwae", "binned"}:
        said = f"as two [[cells]] now, {_written(axes(['iwae']))} and {_written(axes(['binned']))}"
    elif over:
        said = f"{_written(today)} now"
    else:
        said = f"{_written({key: today[key] for key in (['objective'] if 'binned' in old else ['bound'])})} now"
    return _sentence(where, old, said)


def excluded_note(where: str, old: Sequence[str]) -> str:
    """The same of an [[exclude]] table."""
    tables = " and ".join(_written(EXCLUDED[word]) for word in old)
    return _sentence(where, old, f"as {len(old)} [[exclude]] now, {tables}" if len(old) > 1 else f"{tables} now")


def _sentence(where: str, old: Sequence[str], said: str) -> str:
    given = _written({"objective": old})
    return f'{where}: {given} is written {said}; objective says on what is trained ("dequantised" or "binned").'


def _written(keys: Mapping[str, Sequence[str]]) -> str:
    """Keys as a grid file has them, a list of one as its value."""
    values = {key: [value] if isinstance(value, str) else list(value) for key, value in keys.items()}
    return ", ".join(f"{key} = {shown(value if len(value) > 1 else value[0])}" for key, value in values.items())
