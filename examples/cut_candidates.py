"""What is lost by ending candidates early: those that a run's tuning let go are trained to their ends, and judged.

    python examples/cut_candidates.py catalogue results/catalogue.sqlite --out results/reference/cut_candidates

For every configuration of which some candidate was let go as beyond reach of a rival, those candidates and the one that
was chosen are trained again, from the same seed, and nobody is let go; then the choice is made among them as in tuning.
Written are `cut_candidates.csv`, a row a candidate that was let go, and what all of it says.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from bench.engine.worker.from_cell import data_of
from bench.engine.worker.tuning import SEED, search_of
from bench.grid.cell import Cell
from bench.grid.plan import plan_tuning
from bench.grid.read import find_grid, load_grid
from bench.store import read_run
from vae_core.tuning import Search, tune


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("grid", help="a shipped grid's name, or a path to a .toml")
    parser.add_argument("run", type=Path, help="its run file")
    parser.add_argument("--set", action="append", default=[], help="as the run was told")
    parser.add_argument("--out", type=Path, required=True, help="a folder, which is made")
    given = parser.parse_args()

    candidates = read_run(given.run).candidates
    rows = pd.DataFrame(list(retrained(load_grid(find_grid(given.grid), given.set).cells, candidates)))
    given.out.mkdir(parents=True, exist_ok=True)
    rows.to_csv(given.out / "cut_candidates.csv", index=False, float_format="%.6g")
    print(said(rows, candidates))


def retrained(cells: tuple[Cell, ...], candidates: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """A row for each candidate that was let go."""
    known = {search: rows.set_index("candidate") for search, rows in candidates.groupby("search")}
    cut = {s for s, rows in known.items() if (rows["ended_by"] == "behind").any() and (rows["chosen"] == 1).any()}
    for piece in plan_tuning([cell for cell in cells if cell.search in cut], "cpu", 1):
        data = data_of(piece.cells[0].settled(), "cpu")
        names = list(dict.fromkeys(cell.search for cell in piece.cells))
        whole = [search_of([cell for cell in piece.cells if cell.search == name], data) for name in names]
        asked = [_without_others(search, known[name]) for name, search in zip(names, whole, strict=True)]
        for name, choice in zip(names, tune(data, asked, seed=SEED, cut=False), strict=True):
            before = known[name]
            stays = next(o for o in choice.outcomes if before.loc[_name(o.values), "chosen"] == 1)
            for outcome in choice.outcomes:
                then = before.loc[_name(outcome.values)]
                if then["ended_by"] == "behind" and not then["chosen"]:
                    yield {
                        "search": name,
                        "candidate": _name(outcome.values),
                        "chosen_then": _name(stays.values),
                        "epochs_then": int(then["epochs_run"]),
                        "epochs_to_the_end": outcome.epochs_run,
                        "ended_by": outcome.ended_by,
                        "bits_per_dim": outcome.bits_per_dim,
                        "of_the_chosen": stays.bits_per_dim,
                        "would_be_chosen": outcome.chosen,
                        "lost_bits_per_dim": max(0.0, stays.behind) if outcome.chosen else 0.0,
                    }
            print(f"{name}: {len(choice.outcomes) - 1} let go", flush=True)


def said(rows: pd.DataFrame, candidates: pd.DataFrame) -> str:
    """What the rows say, over all configurations."""
    searches = candidates["search"].nunique()
    other = rows[rows["would_be_chosen"]]
    lost = other.groupby("search")["lost_bits_per_dim"].max()
    run = candidates["epochs_run"].sum()
    whole = run + (rows["epochs_to_the_end"] - rows["epochs_then"]).sum()
    losses = f" (lost: {', '.join(f'{number:.4f}' for number in lost)} bits/dim)" if len(lost) else ""
    return (
        f"{len(rows)} of {len(candidates)} candidates, of {rows['search'].nunique()} of {searches} configurations, "
        f"were let go. Trained to their ends, {len(lost)} would have been chosen{losses}: the choice is the same for "
        f"{searches - len(lost)} of {searches}. Epochs: {run} of {whole}, {run / whole:.0%}."
    )


def _without_others(search: Search, known: pd.DataFrame) -> Search:
    """Of the candidates those that were let go, and the one that was chosen."""
    kept = [one for one in search.candidates if _wanted(known.loc[_name(one.values)])]
    return dataclasses.replace(search, candidates=kept, axes={})


def _wanted(row: Any) -> bool:
    return bool(row["chosen"] == 1 or row["ended_by"] == "behind")


def _name(values: Any) -> str:
    """As the run file has it."""
    return json.dumps(values, sort_keys=True)


if __name__ == "__main__":
    main()
