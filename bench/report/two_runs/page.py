"""The page of a comparison: what its template needs, and one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report import provenance
from bench.report.numbers import NOTHING, number, several
from bench.report.page import style_and_script, write
from bench.report.tables.entries import key
from bench.report.two_runs.settings import ignored, sentences, turned
from bench.report.two_runs.table import DRAWN, tables
from bench.report.two_runs.words import (
    LISTS,
    SPEED,
    cautions,
    grouped,
    no_speed,
    notes,
    origin,
    other_packages,
    verdict,
)
from bench.statistics.two_runs.differences import SPEEDS, Comparison
from bench.statistics.two_runs.retrained import Retrained
from bench.store import RunTables

IN_BOTH = ("newly_failed", "newly_done", "failed", "left_out")  # of the lists of cells; the others are of one run


@dataclass(frozen=True)
class Compared:
    """Two runs, what was found of them, and by what names they go."""

    names: tuple[str, str]
    runs: tuple[RunTables, RunTables]  # as they were read, before any pairing
    found: Comparison
    thresholds: Mapping[str, float]
    changed: Retrained | None = None  # where settings were ignored
    remedy: str = ""  # what may pair two runs of which nothing can be compared


@dataclass(frozen=True)
class Listed:
    """Cells that have no difference, those of one label and reason together."""

    title: str
    rows: list[tuple[str, str, str]]
    reasons: bool  # whether any of them has one


def build(compared: Compared, out: Path) -> Path:
    """Write the page of a comparison to `out`, whole or not at all; gives `out`. Raises OSError where it cannot."""
    return write("two_runs.html.j2", context(compared), out)


def context(compared: Compared) -> dict[str, Any]:
    """Everything that the template shows."""
    found, changed = compared.found, compared.changed
    before, after = origins = [origin(name, tables) for name, tables in zip(compared.names, compared.runs, strict=True)]
    headline, *more = verdict(found, compared.remedy)
    return {
        **style_and_script(),
        "names": compared.names,
        "headline": headline.removesuffix("."),
        "regressed": found.regressed,
        "more": more,
        "notices": [
            f"{letter}: {text}" for letter, run in zip("AB", compared.runs, strict=True) for text in _notices(run)
        ],
        "origins": list(zip("AB", origins, strict=True)),
        "packages": other_packages(before, after),
        "ignored": ignored(changed) if changed else "",
        "notes": list(notes(found, compared.thresholds)),
        "cautions": list(cautions(found)),
        "tables": list(tables(found, compared.thresholds, changed)),
        "ends": changed is not None,
        "drawn": DRAWN,
        "settings": sentences(changed) if changed else [],
        "turned": [turned(pair) for pair in changed.turned] if changed else [],
        "one": [listed for name in LISTS if name not in IN_BOTH if (listed := _listed(found, name))],
        "both": [listed for name in IN_BOTH if (listed := _listed(found, name))],
        "no_speed": no_speed(found, before, after),
        "about_speed": SPEED,
        "speeds": _speeds(found),
        "apart": _apart(*compared.runs),
        "facts": [
            (letter, name, provenance.data(run), provenance.settings(run), provenance.origins(run))
            for letter, name, run in zip("AB", compared.names, compared.runs, strict=True)
        ],
    }


def _notices(tables: RunTables) -> list[str]:
    """What a reader must know of a run before believing a difference."""
    planned = int(tables.meta.get("cells") or 0)
    missing = planned - len(tables.cells)
    unfinished = [f"Unfinished: {missing} of {several(planned, 'cell')} have not ended yet."] if missing > 0 else []
    return provenance.loud(tables) + unfinished


def _listed(found: Comparison, name: str) -> Listed | None:
    """The cells of one of the lists; None where it is empty."""
    cells = getattr(found, name)
    if cells.empty:
        return None
    rows = grouped(cells)
    return Listed(f"{several(len(cells), 'cell')} {LISTS[name]}", rows, any(reason for *_, reason in rows))


def _speeds(found: Comparison) -> dict[str, Any]:
    """The ratios of each kind of cell, as they are shown and sorted by, and their median where there are several."""
    if found.speeds is None or found.speeds.empty:
        return {"kinds": [], "median": []}
    kinds = [
        (str(kind).rpartition("-")[0], [(number(ratio), key(ratio)) for ratio in ratios])
        for kind, *ratios in found.speeds.itertuples(index=False)
    ]
    median = [number(float(found.speeds[name].median())) for name in SPEEDS] if len(kinds) > 1 else []
    return {"kinds": kinds, "median": median}


def _apart(before: RunTables, after: RunTables) -> list[tuple[str, str, str]]:
    """What the two runs say otherwise of their data, settings and latest invocation: (what, in A, in B)."""
    a, b = (_flat(run) for run in (before, after))
    return [(name, a.get(name, NOTHING), b.get(name, NOTHING)) for name in {**a, **b} if a.get(name) != b.get(name)]


def _flat(tables: RunTables) -> dict[str, str]:
    latest = [dict(facts.rows) for facts in provenance.origins(tables)[:1]]
    of_data = {f"{facts.title} · {name}": text for facts in provenance.data(tables) for name, text in facts.rows}
    return {**of_data, **dict(provenance.settings(tables)), **(latest[0] if latest else {})}
