"""The ranking as a table of pandas, for whoever goes on from the numbers."""

from __future__ import annotations

import json
from dataclasses import asdict

import pandas as pd

from bench.report.numbers import withheld
from bench.report.text.doubts import caution
from bench.report.text.references import mark
from bench.statistics.boards import Board, boards
from bench.statistics.rows import Row
from bench.store import RunTables
from bench.store.columns import columns

EMPTY = ("board", "currency", "rank", "config", "label", "value", "verdict")


def ranking(tables: RunTables) -> pd.DataFrame:
    """One row per configuration and currency: within each board the ranked ones, best first, then those left out, then
    the readings of recipes of which another one was chosen, then the references.

    `trusted` says whether the bound can be believed in every seed; if not, `caution` says why, and the row has no
    rank (NA), no verdict ('') and no difference to the best (NaN): its value is "at least this good", no more.
    `reading_of` is the configuration that was chosen, on validation images, among the readings of a recipe ('' where
    none was): a row of which it is another has no rank either.
    `value [low, high]` is the log-likelihood in `unit` (nats: higher is better, bits/dim: lower is better) with its
    95 % interval over images and seeds, NaN where it is `withheld`, for the reason there; `seed_deviation` the standard
    deviation of the value between seeds (NaN with one seed); `worse_by [worse_low, worse_high]` the paired difference
    to the board's first row, positive is worse, over `shared_seeds` seeds; `verdict` one of `intervals.Verdict`, by
    `p_adjusted` and that interval.
    `khat_bad_fraction`, `ess_median` and `rise` (gain per doubling of L) are those of the worst seed, `refined` and
    `collapsed` count seeds, `lift` is what refinement gained over the encoder's own bound, in `unit`. The cells' other
    columns follow under the names of the run file, joined over seeds. `tuned` has what was chosen on validation
    data, as JSON, and `tuned_edges` what of it lies at an end of its range, with the value to add; keys of the grid
    have the value in use. `mark` says of a configuration that it is worse than a histogram of each dimension, or than
    a uniform guess, or not shown to be better than that; '' of what is left out, whose true value is better than its
    bound. `reference` is 1 of what scores are held against: those have no rank and no seeds, their verdict is
    theirs ("better", "worse" than the board's first row), and their `family` is their name.
    """
    found = boards(tables)
    records = [
        _record(board, row) for board in found for row in (*board.everything, *board.readings, *board.references)
    ]
    if not records:
        return pd.DataFrame(columns=list(EMPTY))
    of_cells = pd.DataFrame([_record(board, row) for board in found for row in (*board.everything, *board.readings)])
    if len(of_cells) == len(records):
        return of_cells.astype({"rank": "Int64"})
    whole = {name: "Int64" for name, kind in of_cells.dtypes.items() if kind == "int64"}  # though references have none
    return pd.DataFrame(records).astype(whole | {"rank": "Int64"})[list(of_cells.columns)]


def _record(board: Board, row: Row) -> dict[str, object]:
    value = asdict(row.value)
    return {
        "rank": row.rank,
        "board": board.name,
        "dataset": board.dataset,
        "made": board.made,
        "currency": board.currency,
        "measure": board.measure,
        "unit": board.unit,
        "config": row.config,
        "label": row.label,
        "reference": int(row.reference),
        "mark": mark(board, row),
        "kind": row.kind,
        "family": row.family,
        "sigma": row.sigma,
        "options": row.options,
        "scored_as": row.scored_as,
        "recipe": int(row.recipe),
        "reading_of": row.reading_of,
        "view": row.view,
        **{name: _in_use(row, name) for name in row.settings},
        "tuned": json.dumps(row.tuned.values) if row.tuned else "",
        "tuned_edges": json.dumps(row.tuned.edges) if row.tuned.edges else "",
        "value": value.pop("mean"),
        **{name: end for name, end in value.items() if name not in ("seeds", "withheld")},
        "withheld": withheld(row.value, board.unit),
        "worse_by": row.behind.mean,
        "worse_low": row.behind.low,
        "worse_high": row.behind.high,
        "shared_seeds": row.behind.seeds,
        "p_adjusted": row.p,
        "verdict": str(row.verdict or ""),
        "trusted": row.trusted,
        "caution": caution(row.doubts, board.unit),
        "seeds": row.seeds,
        "seed_deviation": row.seed_deviation,
        "rise": row.rise,
        "refined": row.refined,
        "lift": row.lift,
        **{name: getattr(row.results, name) for name, column in columns() if column.joined},
        **{f"{name}_sd": getattr(row.deviations, name) for name, column in columns() if "deviation" in column.joined},
    }


def _in_use(row: Row, name: str) -> object:
    value = row.in_use(name)
    return ",".join(map(str, value)) if isinstance(value, list) else value
