"""A comparison of two runs as plain text for a terminal: the verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.cli.text.lines import DIGITS, LISTED, cut, hanging, minus, several, signed, wrapped
from bench.cli.text.retrained import ENDS, LEGEND, ignored_lines, marks, retrained_blocks
from bench.statistics.rows import Withheld
from bench.statistics.two_runs.differences import SPEEDS, THRESHOLDS, Change, Comparison, devices
from bench.statistics.two_runs.retrained import Retrained
from bench.store import RunTables

BETTER = {"bits/dim": "lower", "nats": "higher"}
PHRASES = {  # in a sentence of counts
    Change.SLIGHT: "slightly worse (below the threshold)",
    Change.BETTER: "better",
    Change.NONE: "without a difference beyond noise",
    Change.UNJUDGED: str(Change.UNJUDGED),
    Change.IDENTICAL: "identical",
}
SHORT = {Change.NONE: "", Change.UNJUDGED: "not judged"}  # in a table
NARROWEST = 10  # columns that a label is given at least


@dataclass(frozen=True)
class Origin:
    """Where a run comes from, as it is shown."""

    name: str
    facts: str
    devices: tuple[str, ...]
    packages: Mapping[str, str]


def origin(name: str, tables: RunTables) -> Origin:
    """What a run's last invocation says of itself."""
    last: dict[str, Any] = tables.provenance[-1] if tables.provenance else {}
    git = last.get("git") or {}
    commit = f"commit {git['commit'][:8]}{' with changes' if git.get('dirty') else ''}" if git else "commit unknown"
    done = f"{int((tables.cells['status'] == 'done').sum())} of {several(len(tables.cells), 'cell')} done"
    where = tuple(sorted(devices(tables)))
    facts = [done, commit, ", ".join(where) or "device unknown", *([last["time"][:10]] if "time" in last else [])]
    return Origin(name, "; ".join(facts), where, last.get("packages", {}))


def differences_text(
    found: Comparison,
    before: Origin,
    after: Origin,
    width: int = 80,
    thresholds: Mapping[str, float] = THRESHOLDS,
    changed: Retrained | None = None,
    remedy: str = "",
) -> str:
    """The whole comparison in lines of at most `width` columns. `changed`: what other settings did, where some were
    ignored; `remedy`: what may pair two runs of which nothing can be compared."""
    ends = marks(changed) if changed else {}
    blocks = [
        wrapped(_verdict(found, remedy), width),
        [
            *hanging("A  ", f"{before.name}: {before.facts}", width),
            *hanging("B  ", _other(before, after), width),
            *(ignored_lines(changed, width) if changed else []),
        ],
        *(_table(name, board, width, ends) for name, board in _boards(found)),
        _notes(found, width, thresholds, ends),
        *_lists(found, width),
        _speed(found, before, after, width),
        *(retrained_blocks(changed, width) if changed else []),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _verdict(comparison: Comparison, remedy: str) -> str:
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
    return " ".join(filter(None, said))


def _all(count: int) -> str:
    return "the one configuration that both have" if count == 1 else f"all {count:,} configurations that both have"


def _other(before: Origin, after: Origin) -> str:
    packages = sorted(before.packages.keys() | after.packages.keys())
    changed = [
        f"{name} {after.packages.get(name, 'absent')} (A: {before.packages.get(name, 'absent')})"
        for name in packages
        if before.packages and after.packages and before.packages.get(name) != after.packages.get(name)
    ]
    return f"{after.name}: {'; '.join([after.facts, *changed])}"


def _boards(comparison: Comparison) -> Iterable[tuple[str, pd.DataFrame]]:
    rows = comparison.configurations[comparison.configurations["change"] != Change.IDENTICAL]
    for board, group in rows.groupby(["board", "unit", "images"], sort=False):
        name, unit, images = board
        yield f"{name}, {unit} ({BETTER[unit]} is better), {images:,} test images", group


def _table(name: str, rows: pd.DataFrame, width: int, ends: Mapping[str, str]) -> list[str]:
    heads: tuple[str, ...] = ("", "likelihood", "seeds", "A", "B - A [95 %]", "p", "")
    cells = [_row(row) for row in rows.itertuples(index=False)]
    if ends:  # in the place of the seeds, where these are the same everywhere
        alike = rows["seeds"].nunique() == 1
        name += f", {several(rows['seeds'].iloc[0], 'seed')}" if alike else ""
        letters = [ENDS, *(ends[config] for config in rows["config"])]
        heads, *cells = [(*row[:2], two, *row[2 + alike :]) for row, two in zip([heads, *cells], letters, strict=True)]
    columns = list(zip(*([heads, *cells]), strict=True))
    widths = [max(map(len, column)) for column in columns]
    widths[1] = min(widths[1], max(NARROWEST, width - sum(widths) + widths[1] - 2 * (len(widths) - 1) + 1))
    lines = wrapped(name, width)
    for mark, label, *numbers, change in [heads, *cells]:
        parts = [f"{mark:<{widths[0]}}{cut(label, widths[1]):<{widths[1]}}"]
        parts += [f"{number:>{size}}" for number, size in zip(numbers, widths[2:-1], strict=True)]
        lines.append("  ".join([*parts, change]).rstrip())
    return lines


def _row(row: Any) -> tuple[str, ...]:
    digits = DIGITS[row.unit]
    interval = "" if np.isnan(row.low) else f" [{signed(row.low, digits)}, {signed(row.high, digits)}]"
    difference = f"{signed(row.difference, digits)}{interval}"
    p = "-" if np.isnan(row.p) else "<0.001" if row.p < 0.001 else f"{row.p:.3f}"
    mark = "! " if row.doubtful else "  "
    said = SHORT.get(row.change, str(row.change))
    return (mark, row.label, str(row.seeds), minus(f"{row.before:.{digits}f}"), difference, p, said)


def _notes(comparison: Comparison, width: int, thresholds: Mapping[str, float], ends: Mapping[str, str]) -> list[str]:
    rows = comparison.configurations
    notes = []
    tested = int((~rows["change"].isin([Change.IDENTICAL, Change.UNJUDGED])).sum())
    if (rows["change"] == Change.UNJUDGED).any():
        notes.append(f"Not judged, without an interval: {Withheld.FEW_IMAGES}.")
    if tested:
        units = " or ".join(f"{thresholds[unit]:g} {unit}" for unit in thresholds if (rows["unit"] == unit).any())
        notes.append(
            f"Intervals are of each difference alone, over images and seeds; p is corrected for {tested} "
            f"{'comparison' if tested == 1 else 'comparisons'} (Holm). Worse: p < 0.05, zero outside the interval, and "
            f"a loss of more than {units}. No word: no difference beyond noise."
        )
    if ends and tested:
        notes.append(LEGEND)
    if tested:
        most = rows.groupby("board")["seeds"].transform("max")  # its rows lend one another what is known of the noise
        if (most == 1).any():
            notes.append("With one seed the training noise is unknown: p and interval are of the images alone.")
        if ((rows["seeds"] == 1) & (most > 1)).any():
            notes.append("Of what has one seed the training noise is taken to be that of the others.")
    if rows["doubtful"].any():
        notes.append("! not converged: a bound, the true value is better than shown.")
    notes += [
        f"The data behind {name} cannot be checked: a run does not tell its checksum." for name in comparison.unchecked
    ]
    return [line for note in notes for line in wrapped(note, width)]


def _lists(comparison: Comparison, width: int) -> list[list[str]]:
    titles = {
        "newly_failed": "done in A, failed in B",
        "newly_done": "failed in A, done in B",
        "failed": "failed in both",
        "new": "only in B",
        "missing": "only in A",
        "left_out": "done in both, but not compared",
    }
    return [_list(title, getattr(comparison, name), width) for name, title in titles.items()]


def _list(title: str, cells: pd.DataFrame, width: int) -> list[str]:
    """One line for the cells of one label and reason, with their seeds."""
    if cells.empty:
        return []
    lines = wrapped(f"{several(len(cells), 'cell')} {title}:", width)
    groups = list(cells.groupby(["label", "reason"], sort=False))
    for (label, reason), group in groups[:LISTED]:
        seeds = ", ".join(str(seed) for seed in sorted(group["seed"]))
        said = f"{label}, seed{'' if len(group) == 1 else 's'} {seeds}" + (f": {reason}" if reason else "")
        lines += hanging("  ", said, width)
    if len(groups) > LISTED:
        lines.append(f"  and {len(groups) - LISTED} more configurations")
    return lines


def _speed(comparison: Comparison, before: Origin, after: Origin, width: int) -> list[str]:
    if comparison.speeds is None:
        devices_of_a, devices_of_b = (", ".join(side.devices) or "unknown" for side in (before, after))
        return wrapped(f"Speed is not compared: the devices differ ({devices_of_a} in A, {devices_of_b} in B).", width)
    if comparison.speeds.empty:
        return wrapped("Speed is not compared: no kind of cell was timed in both runs.", width)
    lines = wrapped(
        "Speed, B over A (recorded, never judged: on shared machines equal code differs by a fifth to a third):", width
    )
    rows: list[tuple[str, ...]] = [("kind of cell", "training", "evaluation")]
    rows += [
        (kind.rpartition("-")[0], *map(_ratio, ratios)) for kind, *ratios in comparison.speeds.itertuples(index=False)
    ]
    if len(comparison.speeds) > 1:
        rows.append(("median", *(_ratio(float(comparison.speeds[name].median())) for name in SPEEDS)))
    return lines + _aligned(rows, width)


def _aligned(rows: Sequence[tuple[str, ...]], width: int) -> list[str]:
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sizes[0] = min(sizes[0], width - sum(sizes[1:]) - 2 * len(sizes))
    return [
        "  "
        + "  ".join(
            [f"{cut(first, sizes[0]):<{sizes[0]}}", *(f"{n:>{s}}" for n, s in zip(rest, sizes[1:], strict=True))]
        )
        for first, *rest in rows
    ]


def _ratio(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"
