"""What a run was computed from and by: data, settings and invocations as tables of facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.report.numbers import NOTHING
from bench.statistics.contests import short, specs
from bench.store import RunTables

SHOWN_APART = ("grid", "data", "about", "cards")  # what the page shows elsewhere


@dataclass(frozen=True)
class Facts:
    """A table of facts, each with its name."""

    title: str
    rows: list[tuple[str, str]]
    remarks: tuple[str, ...] = ()


def data(tables: RunTables) -> list[Facts]:
    """The data sets, and what was noticed of each before anything was trained."""
    return [
        Facts(
            short(name),
            _flat({key: fact for key, fact in facts.items() if key not in ("name", "remarks")}),
            tuple(sentence(remark) for remark in facts.get("remarks") or ()),
        )
        for name, facts in dict(tables.meta.get("data") or {}).items()
    ]


def loud(tables: RunTables) -> list[str]:
    """What was noticed of data that bears on every number of theirs, of those that the present cells are of."""
    of_cells = {spec.key for spec in specs(tables.cells)}
    return [
        f"{short(name)}: {sentence(remark)}"
        for name, facts in dict(tables.meta.get("data") or {}).items()
        if name in of_cells
        for remark in facts.get("remarks") or ()
        if remark["loud"]
    ]


def sentence(remark: Mapping[str, Any]) -> str:
    """A remark for people."""
    text = str(remark["text"])
    return f"{text[:1].upper()}{text[1:]}."


def settings(tables: RunTables) -> list[tuple[str, str]]:
    """What else is stored of the run."""
    return _flat({key: value for key, value in tables.meta.items() if key not in SHOWN_APART})


def invocations(tables: RunTables) -> list[dict[str, Any]]:
    """The invocations that the present cells come from, the latest first."""
    ids = set(tables.cells["provenance"].dropna().astype(int))
    used = [entry for entry in tables.provenance if entry.get("id") in ids]
    return used[::-1] or tables.provenance[-1:]


def origins(tables: RunTables) -> list[Facts]:
    """Those invocations, and the ones that the speeds come from; the latest first."""
    timed = {
        int(number)
        for table in (tables.throughput, tables.scaling)
        if "provenance" in table.columns
        for number in table["provenance"].dropna()
    }
    used = invocations(tables)
    others = timed - {entry.get("id") for entry in used}
    both = used + [entry for entry in tables.provenance if entry.get("id") in others]
    return [
        Facts(origin(entry), _flat(entry))
        for entry in sorted(both, key=lambda entry: int(entry.get("id", 0)), reverse=True)
    ]


def git(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an invocation says of its commit; nothing where it says nothing."""
    facts = entry.get("git")
    return facts if isinstance(facts, Mapping) else {}


def origin(entry: Mapping[str, Any]) -> str:
    """What an invocation is called: when it was, and of which commit."""
    commit = str(git(entry).get("commit") or "unknown commit")[:12]
    changes = " + uncommitted changes" if git(entry).get("dirty") else ""
    return f"{entry.get('time', '')} · {commit}{changes}".strip(" ·")


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts as (name, text), names joined by dots."""
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        if isinstance(value, Mapping):
            rows += _flat(value, f"{name} · ")
        elif isinstance(value, list | tuple):
            rows.append((name, ", ".join(map(str, value)) or NOTHING))
        else:
            rows.append((name, NOTHING if value is None else str(value)))
    return rows
