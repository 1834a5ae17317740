"""What is said of two runs beside one another, in a terminal and on the page: sentences, computed from a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.report.numbers import DIGITS, number, several
from bench.report.provenance import git
from bench.statistics.rows import Withheld
from bench.statistics.two_runs.differences import Change, Comparison, devices
from bench.store import RunTables

BETTER = {"bits/dim": "lower", "nats": "higher"}
PHRASES = {  # in a sentence of counts
    Change.SLIGHT: "slightly worse (below the threshold)",
    Change.BETTER: "better",
    Change.NONE: "without a difference beyond noise",
    Change.UNJUDGED: str(Change.UNJUDGED),
    Change.IDENTICAL: "identical",
}
#: the tables of a comparison that have a line a cell, and what is said of them
LISTS = {
    "newly_failed": "done in A, failed in B",
    "newly_done": "failed in A, done in B",
    "failed": "failed in both",
    "new": "only in B",
    "missing": "only in A",
    "left_out": "done in both, but not compared",
}
SPEED = "recorded, never judged: on shared machines equal code differs by a fifth to a third"


@dataclass(frozen=True)
class Origin:
    """Where a run comes from, as it is shown."""

    name: str
    facts: tuple[str, ...]
    devices: tuple[str, ...]
    packages: Mapping[str, str]


def origin(name: str, tables: RunTables) -> Origin:
    """What a run's last invocation says of itself."""
    last: dict[str, Any] = tables.provenance[-1] if tables.provenance else {}
    code = git(last)
    changes = " with changes" if code.get("dirty") else ""
    commit = f"commit {str(code['commit'])[:8]}{changes}" if code.get("commit") else "commit unknown"
    done = f"{int((tables.cells['status'] == 'done').sum())} of {several(len(tables.cells), 'cell')} done"
    where = tuple(sorted(devices(tables)))
    facts = [done, commit, ", ".join(where) or "device unknown", *([str(last["time"])[:10]] if "time" in last else [])]
    return Origin(name, tuple(facts), where, last.get("packages", {}))


def other_packages(before: Origin, after: Origin) -> list[str]:
    """'numpy 2.1 (A: 2.0)' of every package that is another one in B; nothing where a run does not tell."""
    if not before.packages or not after.packages:
        return []
    return [
        f"{name} {after.packages.get(name, 'absent')} (A: {before.packages.get(name, 'absent')})"
        for name in sorted(before.packages.keys() | after.packages.keys())
        if before.packages.get(name) != after.packages.get(name)
    ]


def verdict(comparison: Comparison, remedy: str) -> list[str]:
    """The verdict in sentences, the first of which says most; `remedy`: what may pair runs that have nothing in
    common."""
    compared, identical = len(comparison.configurations), comparison.count(Change.IDENTICAL)
    said = []
    if not compared:
        said += ["Nothing can be compared: no cell is done in both runs with numbers of one measure.", remedy]
    elif identical == compared:
        said.append(f"Identical: every difference is zero, in {_all(compared)}.")
    elif identical + comparison.count(Change.UNJUDGED) == compared:
        said.append(f"Nothing is judged: {Withheld.FEW_IMAGES}.")
    else:
        worse = comparison.count(Change.WORSE)
        rest = [f"{count} {PHRASES[change]}" for change in PHRASES if (count := comparison.count(change))]
        who = f"{worse or 'None'} of {several(compared, 'configuration')} {'is' if worse < 2 else 'are'} worse"
        said.append(": ".join([who, ", ".join(rest)][: 1 + bool(rest)]) + ".")
    if len(comparison.newly_failed):
        failed = f"{several(len(comparison.newly_failed), 'cell')} that A has done failed in B."
        said.insert(len(said) if comparison.count(Change.WORSE) else 0, failed)
    if comparison.regressed:
        said.insert(0, "Regression.")
    return list(filter(None, said))


def _all(count: int) -> str:
    return "the one configuration that both have" if count == 1 else f"all {count:,} configurations that both have"


def notes(comparison: Comparison, thresholds: Mapping[str, float]) -> Iterator[str]:
    """What intervals, p and the verdicts of single configurations rest on."""
    rows = comparison.configurations
    tested = int((~rows["change"].isin([Change.IDENTICAL, Change.UNJUDGED])).sum())
    if (rows["change"] == Change.UNJUDGED).any():
        yield f"Not judged, without an interval: {Withheld.FEW_IMAGES}."
    if not tested:
        return
    units = " or ".join(f"{thresholds[unit]:g} {unit}" for unit in thresholds if (rows["unit"] == unit).any())
    yield (
        f"Intervals are of each difference alone, over images and seeds; p is corrected for {tested} "
        f"{'comparison' if tested == 1 else 'comparisons'} (Holm). Worse: p < 0.05, zero outside the interval, and "
        f"a loss of more than {units}."
    )


def cautions(comparison: Comparison) -> Iterator[str]:
    """What is not known of the noise and of the data."""
    rows = comparison.configurations
    if (~rows["change"].isin([Change.IDENTICAL, Change.UNJUDGED])).any():
        most = rows.groupby("board")["seeds"].transform("max")  # its rows lend one another what is known of the noise
        if (most == 1).any():
            yield "With one seed the training noise is unknown: p and interval are of the images alone."
        if ((rows["seeds"] == 1) & (most > 1)).any():
            yield "Of what has one seed the training noise is taken to be that of the others."
    for name in comparison.unchecked:
        yield f"The data behind {name} cannot be checked: a run does not tell its checksum."


def no_speed(comparison: Comparison, before: Origin, after: Origin) -> str:
    """Why speed is not compared; '' where it is."""
    if comparison.speeds is None:
        of_a, of_b = (", ".join(side.devices) or "unknown" for side in (before, after))
        return f"Speed is not compared: the devices differ ({of_a} in A, {of_b} in B)."
    return "Speed is not compared: no kind of cell was timed in both runs." if comparison.speeds.empty else ""


def grouped(cells: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Cells that share label and reason: (label, 'seeds 0, 1', reason)."""
    return [
        (
            str(label),
            f"seed{'' if len(group) == 1 else 's'} {', '.join(str(seed) for seed in sorted(group['seed']))}",
            str(reason),
        )
        for (label, reason), group in cells.groupby(["label", "reason"], sort=False)
    ]


def signed(value: float, unit: str) -> str:
    """A difference with its sign: '+0.010', '−0.010', '0.000'."""
    text = number(value, DIGITS[unit])
    return text if text.startswith("−") or not text.strip("0.,") else f"+{text}"


def signed_bracket(low: float, high: float, unit: str) -> str:
    """'[−0.010, +0.020]', '' where there is no interval."""
    return "" if np.isnan(low) else f"[{signed(low, unit)}, {signed(high, unit)}]"


def p_text(p: float) -> str:
    return "-" if np.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"
