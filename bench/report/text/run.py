"""What is said of a run as a whole: its headline facts, what to know before believing a number, in what precision it
was computed."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from bench.report.numbers import NOTHING, listed, several
from bench.report.provenance import git, invocations, loud
from bench.statistics.boards import Board
from bench.statistics.rows import grouped
from bench.store import RunTables

# how the matrix products of training were done, by the grid's word for it
TRAINED_IN = {
    "float32": "full float32",
    "tf32": "TF32 (tf32: factors rounded to 10 bits of mantissa)",
    "bf16": "bfloat16 (bf16: factors and results rounded to 7 bits of mantissa)",
}

NUMBER = re.compile(r"\d[\d.,]*")
DAMAGED = re.compile(r"^.*: (?=the |\d+ )", re.DOTALL)
DIFFER = " (the numbers in it differ)"


def headline_facts(tables: RunTables, boards: Sequence[Board]) -> list[str]:
    cells = tables.cells
    done = sum(len(sample.cells) for board in boards for sample in board.samples.values())
    read_else = sum(len(board.readings) for board in boards)
    configurations = cells["config"].nunique() - read_else
    beside = f" and {several(read_else, 'other reading')} of recipes" if read_else else ""
    facts = [
        f"run {tables.meta.get('name', '')}".strip(),
        f"{done} of {_planned(tables)} cells scored",
        f"{several(configurations, 'configuration')}{beside}, "
        f"seed{'s' if cells['seed'].nunique() > 1 else ''} {ranges(cells['seed'])}",
    ]
    times = [str(entry["time"]) for entry in tables.provenance if entry.get("time")]
    return facts + ([max(times)[:10]] if times else [])


def notices(tables: RunTables, failed: pd.DataFrame) -> list[str]:
    """What a reader must know before believing a number."""
    texts = loud(tables)
    missing = _planned(tables) - len(tables.cells)
    if missing:
        texts.append(
            f"Incomplete run: {missing} of {_planned(tables)} cells have not ended yet"
            + ("; rankings may still change." if len(failed) < len(tables.cells) else ".")
        )
    if len(failed):
        ends = ", ".join(f"{count} {status}" for status, count in failed["status"].value_counts().items())
        texts.append(f"{len(failed)} of {len(tables.cells)} cells gave no result ({ends}); the reasons are below.")
    for sentence in tables.damaged:  # "FILE: the cell …": a page tells no folders of a machine
        said = DAMAGED.sub("", sentence)
        texts.append(f"{said[:1].upper()}{said[1:]}")
    commits = {git(entry).get("commit") for entry in invocations(tables)}
    if len(commits) > 1:
        texts.append(f"The cells come from {len(commits)} different commits: they may not be comparable.")
    if None in commits:
        texts.append("The code's commit is unknown for some cells: they cannot be traced to a version.")
    if any(git(entry).get("dirty") for entry in invocations(tables)):
        texts.append("The code had uncommitted changes when cells were computed: nobody else has this version.")
    return texts


def absent(tables: RunTables, boards: Sequence[Board], shown: Collection[str]) -> list[str]:
    """What a page of scores may have and this one has not, and why; `shown` are the sections that it has."""
    if not boards:
        return []
    why = {
        "sigma": ("scores over σ", _no_curve(tables)),
        "samples": (
            "bounds over L",
            "each was evaluated at one L, and nothing is known of its convergence"
            if tables.bounds.groupby("cell")["samples"].nunique().max() == 1
            else "no bounds at several L were kept",
        ),
        "speed": ("speed", "it has not been measured"),
        "pictures": ("reconstructions and samples", "no pictures were kept"),
    }
    return [f"{what} ({reason})" for section, (what, reason) in why.items() if section not in shown]


def _no_curve(tables: RunTables) -> str:
    """Why no score stands over a fixed σ."""
    sigmas = pd.to_numeric(tables.cells["sigma"], errors="coerce").groupby(tables.cells["family"]).nunique()
    tried = [str(family) for family in sigmas.index[sigmas > 1]]
    if not tried:
        return "no family was trained at two or more fixed σ"
    return f"of the fixed σ of {listed(tried)} fewer than two could be ranked in each family"


def precision(chosen: pd.Series) -> str:
    """In what precision the cells were trained, and in what they were scored."""
    trained_in = [text for name, text in TRAINED_IN.items() if (chosen == name).any()]
    which = ", as the labels say" if len(trained_in) > 1 else ""
    return (
        f"While training, the networks’ matrix products were done in {listed(trained_in) or NOTHING}{which}. All else "
        "in training (parameters, Adam, likelihood, KL, sums), and the whole of validation and evaluation, is in full "
        "float32."
    )


def ranges(seeds: pd.Series) -> str:
    """'0–2' or '0, 3, 7'."""
    numbers = sorted({int(seed) for seed in seeds})
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}–{numbers[-1]}"
    return ", ".join(map(str, numbers)) or NOTHING


def _planned(tables: RunTables) -> int:
    planned = tables.meta.get("cells")
    return max(planned if isinstance(planned, int) else 0, len(tables.cells))


def by_reason(rows: Sequence[Any]) -> list[list[Any]]:
    """Rows with a `reason`, those together whose reasons differ in numbers alone; most rows first: a grid that fails
    mostly fails of a few things."""
    groups = grouped(rows, lambda row: NUMBER.sub("#", str(row.reason)))
    return sorted(groups.values(), key=len, reverse=True)
