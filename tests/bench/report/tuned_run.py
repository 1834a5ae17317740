"""A fake run in which something was tuned: what tests of the report do to the tables of one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.statistics.boards import Board, boards
from bench.store import RunTables
from bench.store.schema import CANDIDATE_COLUMNS
from tests.bench.report.runs import few

RATES = {"learning_rate": [0.001, 0.01, 0.03]}
CHOSEN = {"learning_rate": 0.01}
#: facts of a choice at the upper end
AT_EDGE = {"chosen": {"learning_rate": 0.03}, "edges": {"learning_rate": 0.09}}


def tuned(
    tables: RunTables | None = None, candidates: Mapping[str, Sequence[Any]] = RATES, /, **of_family: dict[str, Any]
) -> RunTables:
    """A run in which 0.01 was chosen for every configuration, of three learning rates; 0.001 left behind it.

    of_family: for some, what was `chosen`, its `edges`, and which candidate (by its place) `diverged`.
    """
    tables = tables or few()
    cells = tables.cells.assign(tune=json.dumps(candidates), search="", tuned="", tuned_edges="")
    cells[list(candidates)] = np.nan
    found: list[dict[str, Any]] = []
    drawn: list[tuple[Any, ...]] = []
    for index, cell in cells.iterrows():
        facts = of_family.get(cell["family"], {})
        search = cell["family"] if cell["recipe"] else cell["config"]
        chosen, edges = facts.get("chosen", CHOSEN), facts.get("edges", {})
        words = {"search": search, "tuned": json.dumps(chosen), "tuned_edges": json.dumps(edges) if edges else ""}
        cells.loc[index, list(words)] = list(words.values())
        if all(row["search"] != search for row in found):
            own = _candidates(search, candidates, chosen, edges, facts.get("diverged"), recipe=bool(cell["recipe"]))
            found += own
            drawn += [line for row in own for line in _history(row)]
    names = ["search", "candidate", "epoch", "train_nats", "valid_nats"]
    return dataclasses.replace(
        tables,
        cells=cells,
        candidates=pd.DataFrame(found, columns=list(CANDIDATE_COLUMNS)),
        candidate_history=pd.DataFrame(drawn, columns=names),
    )


def grey(tables: RunTables) -> Board:
    return boards(tables)[0]


def _candidates(
    search: str,
    candidates: Mapping[str, Sequence[Any]],
    chosen: Mapping[str, Any],
    edges: Mapping[str, Any],
    diverged: int | None,
    *,
    recipe: bool,
) -> list[dict[str, Any]]:
    every = pd.MultiIndex.from_product([list(map(json.dumps, given)) for given in candidates.values()])
    rows = []
    for place, texts in enumerate(every):
        values = dict(zip(candidates, map(json.loads, texts), strict=True))
        own = values == dict(chosen)
        ended_by = "diverged" if place == diverged else "patience" if own or place else "behind"
        judged = ended_by == "patience"
        rows.append(
            {
                "search": search,
                "candidate": json.dumps(values),
                "chosen": int(own),
                "edges": json.dumps(edges) if own else "",
                "ended_by": ended_by,
                "epochs_run": {"diverged": 7, "behind": 20, "patience": 50}[ended_by],
                "reason": "its loss is not finite" if ended_by == "diverged" else "",
                "scored_as": ("gaussian_fitted" if recipe else "itself") if judged else "",
                "bits_per_dim": 2.0 + 0.01 * (not own) if judged else None,
                "refined_bits_per_dim": None,
                "behind": 0.01 * (not own) if judged else None,
                "behind_se": 0.002 * (not own) if judged else None,
                "seconds": 12.0,
                "provenance": 1,
            }
        )
    return rows


def _history(row: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (row["search"], row["candidate"], epoch, -90 - 40 / epoch, -91 - 50 / epoch - 0.5 * (not row["chosen"]))
        for epoch in range(1, row["epochs_run"] + 1)
    ]
