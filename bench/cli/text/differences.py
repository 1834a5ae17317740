"""A comparison of two runs as plain text for a terminal: the verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.cli.text.lines import LISTED, cut, hanging, wrapped
from bench.cli.text.retrained import ENDS, LEGEND, ignored_lines, marks, retrained_blocks
from bench.report.numbers import measured, several
from bench.report.two_runs.words import (
    BETTER,
    LISTS,
    SPEED,
    Origin,
    cautions,
    grouped,
    no_speed,
    notes,
    other_packages,
    p_text,
    signed,
    signed_bracket,
    verdict,
)
from bench.statistics.two_runs.differences import SPEEDS, THRESHOLDS, Change, Comparison
from bench.statistics.two_runs.retrained import Retrained

SHORT = {Change.NONE: "", Change.UNJUDGED: "not judged"}  # in a table
NARROWEST = 10  # columns that a label is given at least


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
        wrapped(" ".join(verdict(found, remedy)), width),
        [
            *hanging("A  ", f"{before.name}: {'; '.join(before.facts)}", width),
            *hanging("B  ", f"{after.name}: {'; '.join([*after.facts, *other_packages(before, after)])}", width),
            *(ignored_lines(changed, width) if changed else []),
        ],
        *(_table(name, board, width, ends) for name, board in _boards(found)),
        _notes(found, width, thresholds, ends),
        *_lists(found, width),
        _speed(found, before, after, width),
        *(retrained_blocks(changed, width) if changed else []),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


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
    difference = f"{signed(row.difference, row.unit)} {signed_bracket(row.low, row.high, row.unit)}".rstrip()
    mark = "! " if row.doubtful else "  "
    said = SHORT.get(row.change, str(row.change))
    return (mark, row.label, str(row.seeds), measured(row.before, row.unit), difference, p_text(row.p), said)


def _notes(comparison: Comparison, width: int, thresholds: Mapping[str, float], ends: Mapping[str, str]) -> list[str]:
    rests_on = list(notes(comparison, thresholds))
    tested = ~comparison.configurations["change"].isin([Change.IDENTICAL, Change.UNJUDGED])
    if tested.any():
        rests_on[-1] += " No word: no difference beyond noise."
    legend = [LEGEND] if ends and tested.any() else []
    if comparison.configurations["doubtful"].any():
        legend.append("! not converged: a bound, the true value is better than shown.")
    return [line for note in (*rests_on, *legend, *cautions(comparison)) for line in wrapped(note, width)]


def _lists(comparison: Comparison, width: int) -> list[list[str]]:
    return [_list(title, getattr(comparison, name), width) for name, title in LISTS.items()]


def _list(title: str, cells: pd.DataFrame, width: int) -> list[str]:
    """One line for the cells of one label and reason, with their seeds."""
    if cells.empty:
        return []
    lines = wrapped(f"{several(len(cells), 'cell')} {title}:", width)
    groups = grouped(cells)
    for label, seeds, reason in groups[:LISTED]:
        lines += hanging("  ", f"{label}, {seeds}" + (f": {reason}" if reason else ""), width)
    if len(groups) > LISTED:
        lines.append(f"  and {len(groups) - LISTED} more configurations")
    return lines


def _speed(comparison: Comparison, before: Origin, after: Origin, width: int) -> list[str]:
    if comparison.speeds is None or comparison.speeds.empty:
        return wrapped(no_speed(comparison, before, after), width)
    lines = wrapped(f"Speed, B over A ({SPEED}):", width)
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
