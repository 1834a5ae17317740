"""From a run's tables to boards: what is ranked together, what is not, and what of a cell is in a row."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bench.report import ranking
from bench.statistics.boards import boards
from bench.statistics.rows import matched
from bench.statistics.scored import unusable
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.runs import DIMS, few


@pytest.fixture(scope="module")
def tables() -> RunTables:
    return fake_run.tables(pictures=False)


@pytest.mark.parametrize("change", ["dataset", "quantise", "train_images", "measure", "binarisation", "images"])
def test_what_differs_in_data_is_ranked_apart(tables: RunTables, change: str) -> None:
    binary = fake_run.only(tables, lambda cells: cells["currency"] == "pmf-2")
    cells, images = binary.cells.copy(), binary.per_image
    other = cells["config"] == cells["config"].iloc[0]
    assert len(boards(binary)) == 1
    if change == "images":
        images = images[~images["cell"].isin(cells.loc[other, "cell"]) | (images["image"] < 200)]
    else:
        numbers = {"quantise": 16, "train_images": 1000}
        cells.loc[other, change] = numbers.get(change, "pmf-3" if change == "measure" else "another")
    found = boards(dataclasses.replace(binary, cells=cells, per_image=images))
    assert sorted(len(board.ranked) for board in found) == [1, 2]
    if change in ("quantise", "train_images"):
        assert {board.data for board in found} == {
            "digits",
            "digits (quantised to 16 levels)" if change == "quantise" else "digits (1,000 training images)",
        }
    if change != "images":
        assert len({board.name for board in found}) == 2


def test_numbers_that_are_not_finite_are_failures_and_not_ranks(tables: RunTables) -> None:
    images = tables.per_image.copy()
    lost = tables.cells["cell"].iloc[0]
    images.loc[images.index[images["cell"] == lost][3], "iw_nats"] = -np.inf
    gone = tables.cells["cell"].iloc[3]
    images = images[images["cell"] != gone]
    spoilt = dataclasses.replace(tables, per_image=images)
    reasons = unusable(spoilt).set_index("cell")["reason"]
    assert "no finite log-likelihood" in reasons[lost]
    assert "without a log-likelihood" in reasons[gone]
    seeds = ranking(spoilt).set_index("config")["seeds"]
    assert seeds[tables.cells["config"].iloc[0]] == 1, "one failed, one is lost, one is left"
    assert seeds[tables.cells["config"].iloc[3]] == 2


def test_settings_are_compared_within_one_precision() -> None:
    """A recipe is held against the family trained as it was, not against one trained in another precision."""
    both = [dataclasses.replace(setting, precision=name) for setting in fake_run.few() for name in ("float32", "bf16")]
    rows = boards(fake_run.tables(both, pictures=False))[0].everything
    (row,) = [row for row in rows if (row.family, row.settings["precision"]) == ("categorical", "bf16")]
    assert {other.settings["precision"] for other in matched(rows, row)} == {"bf16"}


def test_the_number_of_dimensions_is_what_the_run_recorded() -> None:
    """Of tables without it, what the scores in two units imply."""
    tables = few()
    wrong = dataclasses.replace(tables, cells=tables.cells.assign(bits_per_dim=2 * tables.cells["bits_per_dim"]))
    assert {board.dims for board in boards(wrong)} == {DIMS}
    unrecorded = dataclasses.replace(tables, meta={})
    assert {board.dims for board in boards(unrecorded)} == {DIMS}
    assert {board.dims for board in boards(dataclasses.replace(wrong, meta={}))} == {DIMS // 2}


def test_leads_are_paired_over_the_seeds_that_both_have() -> None:
    tables = few()
    one, other = (row.config for row in boards(tables)[0].ranked[:2])
    kept = fake_run.only(tables, lambda cells: (cells["config"] != one) | (cells["seed"] == 2))
    kept = fake_run.only(kept, lambda cells: (cells["config"] != other) | (cells["seed"] > 0))
    board = boards(kept)[0]
    lead, lag = board.leads([(one, other), (other, one)])
    assert lead is not None
    assert lag is not None
    assert (lead.seeds, lead.mean) == (1, -lag.mean)
    assert lead.low == pytest.approx(-lag.high, rel=0.05)
    nats = board.samples[one].nats[0] - board.samples[other].nats[1]
    assert lead.mean == pytest.approx(nats.mean() * board.scale)
    apart = fake_run.only(kept, lambda cells: (cells["config"] != other) | (cells["seed"] == 1))
    assert boards(apart)[0].leads([(one, other)]) == [None]
