"""From a run's tables to boards: what is ranked together, what is not, and what of a cell is in a row."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bench.report import ranking
from bench.report.text.verdict import sentences
from bench.statistics.boards import boards
from bench.statistics.rows import Estimate, Withheld, matched
from bench.statistics.scored import unusable
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.runs import DIMS, few, moved
from vae_core.statistics.blocks import FEWEST_IMAGES
from vae_core.statistics.intervals import Verdict


@pytest.fixture(scope="module")
def tables() -> RunTables:
    return fake_run.tables(pictures=False)


@pytest.mark.parametrize(
    "change", ["dataset", "quantise", "train_images", "crop", "grey", "measure", "binarisation", "images"]
)
def test_what_differs_in_data_is_ranked_apart(tables: RunTables, change: str) -> None:
    binary = fake_run.only(tables, lambda cells: cells["currency"] == "pmf-2")
    cells, images = binary.cells.copy(), binary.per_image
    other = cells["config"] == cells["config"].iloc[0]
    assert len(boards(binary)) == 1
    if change == "images":
        images = images[~images["cell"].isin(cells.loc[other, "cell"]) | (images["image"] < 200)]
    else:
        numbers = {"quantise": 16, "train_images": 1000, "crop": "4x4", "grey": 1}
        cells.loc[other, change] = numbers.get(change, "pmf-3" if change == "measure" else "another")
    found = boards(dataclasses.replace(binary, cells=cells, per_image=images))
    assert sorted(len(board.ranked) for board in found) == [1, 2]
    made = {"quantise": "quantised to 16 levels", "train_images": "1,000 training images"}
    made |= {"crop": "cropped to 4×4", "grey": "in grey"}
    if change in made:
        assert {board.data for board in found} == {"digits", f"digits ({made[change]})"}
    if change != "images":
        assert len({board.name for board in found}) == 2


def told(tables: RunTables, **facts: object) -> RunTables:
    """With other facts of its data."""
    data = {"digits": {**tables.meta["data"]["digits"], **facts}}
    return dataclasses.replace(tables, meta={**tables.meta, "data": data})


def by_blocks(tables: RunTables, blocks: int) -> RunTables:
    """The images of a block score alike, but for a little."""
    each = 300 // blocks
    images = tables.per_image.copy()
    first = images["image"] // each * each
    of_first = images.set_index(["cell", "image"])["iw_nats"]
    alike = of_first.loc[list(zip(images["cell"], first, strict=True))].to_numpy()
    images["iw_nats"] = alike + 0.01 * (images["iw_nats"] - alike)
    return dataclasses.replace(tables, per_image=images)


def test_intervals_are_over_blocks_where_images_of_a_block_are_alike(tables: RunTables) -> None:
    """30 blocks of 10 images that score nearly alike: over 300 images an interval would be √10 too narrow."""
    alike = by_blocks(tables, 30)
    plain, blocked = boards(alike)[0], boards(told(alike, test_blocks=[10] * 30))[0]
    assert (plain.blocks, blocked.draws, blocked.images) == ((), 30, 300)
    one = {row.config: row for row in plain.ranked}
    for row in blocked.ranked:
        assert row.value.mean == pytest.approx(one[row.config].value.mean)
        wide, narrow = (ends.image_high - ends.image_low for ends in (row.value, one[row.config].value))
        assert 2.5 < wide / narrow < 4.5
        assert row.behind.mean == pytest.approx(one[row.config].behind.mean)
    worse, of_images = ([row.verdict for row in board.ranked].count(Verdict.WORSE) for board in (blocked, plain))
    assert worse <= of_images


def test_blocks_are_those_of_the_images_that_are_scored(tables: RunTables) -> None:
    told_of_more = told(tables, test=600, test_blocks=[20] * 30)
    assert boards(told_of_more)[0].blocks == (10,) * 30, "every other image, at even spacing"


def test_too_few_blocks_are_too_few_images(tables: RunTables) -> None:
    board = boards(told(tables, test_blocks=[30] * 10))[0]
    assert not board.judged
    assert {row.verdict for row in board.ranked} == {Verdict.UNJUDGED}
    assert all(np.isnan(row.value.low) for row in board.ranked)
    assert all("or blocks of them" in text for row in board.ranked for text in (str(row.verdict), row.value.withheld))
    assert board.leads([(board.ranked[0].config, board.ranked[1].config)])[0] is not None
    assert board.apart([(board.ranked[0].config, board.ranked[1].config)]) == [None]
    said = sentences(board).headline.striptags().lower()
    assert said.startswith("too few blocks of test images to rank by: 10, and a verdict needs 20")


def test_data_of_two_sizes_in_one_run_have_their_own_dimensions(tables: RunTables) -> None:
    cells = tables.cells.copy()
    cropped = cells["config"] == cells["config"].iloc[0]
    cells.loc[cropped, "crop"] = "4x4"
    facts = tables.meta["data"]["digits"]
    data = {"digits": facts, "digits crop=4x4": {**facts, "dims": 16, "shape": [4, 4]}}
    found = boards(dataclasses.replace(tables, cells=cells, meta={**tables.meta, "data": data}))
    assert {board.dims for board in found if board.made} == {16}
    assert {board.dims for board in found if not board.made} == {64}
    assert {board.scope.shape for board in found if board.made} == {(4, 4)}


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


# -- what is possible --------------------------------------------------------------------------------------------------


def test_a_stored_score_above_zero_is_a_failure_and_not_a_rank() -> None:
    """Of a run file, or an export, that was written before anything looked for it; one seed, then one image."""
    tables = few()
    grey = tables.cells[tables.cells["currency"] == "pmf-K"]
    first, second = grey["cell"].iloc[0], grey["cell"].iloc[4]
    wrong = moved(tables, lambda cells: cells["cell"] == first, 400.0)
    images = wrong.per_image.copy()
    images.loc[images.index[images["cell"] == second][7], "iw_nats"] = 9.0
    wrong = dataclasses.replace(wrong, per_image=images)
    reasons = unusable(wrong).set_index("cell")["reason"]
    assert set(reasons.index) == {first, second}
    assert reasons[first].startswith("the mean ln P of 60 images is ")
    assert reasons[second].startswith("ln P of 1 of 60 images is above 0, of image 7 by 9 nats")
    whole = {row.config: row.seeds for board in boards(wrong) for row in board.everything}
    assert whole[grey["config"].iloc[0]] == whole[grey["config"].iloc[4]] == 2
    unknown = dataclasses.replace(wrong, per_image=images.drop(columns=["standard_error"]))
    assert set(unusable(unknown)["cell"]) == {first}, "without an error, 9 nats may be chance"


def test_an_interval_that_reaches_the_impossible_is_withheld() -> None:
    """Two seeds of two configurations that are far apart: nothing moderates them."""
    tables = fake_run.only(few(), lambda cells: cells["family"].isin(["categorical", "bce_sum"]) & (cells["seed"] < 2))
    apart = moved(tables, lambda cells: (cells["family"] == "categorical") & (cells["seed"] == 0), 40.0)
    (board,) = boards(apart)
    top, other = board.ranked
    assert (top.family, top.value.withheld, other.value.withheld) == ("categorical", Withheld.IMPOSSIBLE, "")
    assert np.isnan([top.value.low, top.value.high, top.value.seed_low, top.value.seed_high]).all()
    assert top.value.image_low > 0
    assert other.value.low > 0
    shown = ranking(apart)
    assert shown["withheld"].tolist() == ["interval withheld: reaches below 0 bits/dim", ""]


def test_two_seeds_among_many_have_intervals_that_are_of_use() -> None:
    """Alone t has one degree of freedom, a reach of 12.7 standard errors; among a dozen it learns from the others."""
    board = boards(fake_run.only(few(), lambda cells: cells["seed"] < 2))[0]
    for row in board.ranked:
        assert not row.value.withheld
        assert row.value.seed_high - row.value.mean < 6 * max(one.seed_deviation for one in board.ranked)


@pytest.mark.parametrize(
    ("high", "seed_high", "image_high"), [(-1.0, -1.0, -1.0), (2.0, 3.0, -1.0), (2.0, -0.5, 1.0), (0.5, -0.1, -0.1)]
)
def test_only_what_reaches_beyond_is_withheld(high: float, seed_high: float, image_high: float) -> None:
    given = Estimate(-5, -9, high, -6, image_high, -8, seed_high, 2)
    found = given.possible()
    assert np.isnan([found.low, found.high]).all() == (high > 0)
    assert np.isnan([found.seed_low, found.seed_high]).all() == (seed_high > 0)
    assert np.isnan([found.image_low, found.image_high]).all() == (image_high > 0)
    assert (found == given) == (found.withheld is Withheld.NOTHING) == (high < 0)
    assert found.times(-0.1).withheld is found.withheld


@pytest.mark.parametrize("images", [1, 2, FEWEST_IMAGES - 1, FEWEST_IMAGES])
def test_with_few_images_there_is_a_value_and_no_more(images: int) -> None:
    tables = few()
    some = dataclasses.replace(tables, per_image=tables.per_image[tables.per_image["image"] < images])
    board = boards(some)[0]
    enough = images >= FEWEST_IMAGES
    assert board.judged == enough
    assert board.ranked[0].verdict is (Verdict.BEST if enough else Verdict.UNJUDGED)
    assert all((row.value.withheld is Withheld.NOTHING) == enough for row in board.ranked)
    assert all(np.isfinite(row.value.mean) and np.isnan(row.value.low) != enough for row in board.ranked)
    lead = board.leads([(board.ranked[0].config, board.ranked[1].config)])[0]
    assert lead is not None
    assert (lead.mean >= 0, bool(np.isnan(lead.low))) == (True, not enough)


# -- few seeds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("families", [None, ("categorical", "bce_sum", "continuous_bernoulli")])
def test_a_row_of_one_seed_never_looks_surer(families: tuple[str, ...] | None) -> None:
    """Among a dozen that lend it their noise, and among three of which no common law is known."""
    tables = few() if families is None else fake_run.only(few(), lambda cells: cells["family"].isin(families))
    config = boards(tables)[0].ranked[1].config
    thin = fake_run.only(tables, lambda cells: (cells["config"] != config) | (cells["seed"] == 1))
    board = boards(thin)[0]
    (row,) = [row for row in board.ranked if row.config == config]
    others = [other for other in board.ranked if other.seeds == 3]
    assert (row.seeds, board.most_seeds, len(others)) == (1, 3, len(board.ranked) - 1)

    def reach(estimate: Estimate) -> float:
        return estimate.seed_high - estimate.mean

    assert reach(row.value) > np.median([reach(other.value) for other in others])
    assert reach(row.value) > 1.96 * np.median([other.seed_deviation for other in others])
    assert reach(row.behind) > np.median([reach(other.behind) for other in others if other.rank != 1])
    (lead,) = board.leads([(board.ranked[0].config, config)])
    assert lead is not None
    assert lead.noise_known


def test_where_nobody_has_two_seeds_the_images_are_all_there_is() -> None:
    board = boards(fake_run.only(few(), lambda cells: cells["seed"] == 1))[0]
    assert not any(row.value.noise_known or row.behind.noise_known for row in board.ranked)
    assert all(row.value.low == row.value.image_low for row in board.ranked)


def test_what_failed_in_every_seed_is_on_its_board() -> None:
    tables = few()
    cells = tables.cells.copy()
    grey = (cells["family"] == "categorical") & (cells["currency"] == "pmf-K")
    binary = cells["config"] == cells.loc[cells["currency"] == "pmf-2", "config"].iloc[0]
    half = cells["family"].eq("continuous_bernoulli") & (cells["seed"] == 0)
    for rows, reason in ((grey, "the training diverged"), (binary, "out of memory"), (half, "out of memory")):
        cells.loc[rows, ["status", "reason"]] = ["failed", reason]
        cells.loc[rows, ["measure", "currency", "bits_per_dim"]] = None
    found = boards(dataclasses.replace(tables, cells=cells))
    named = {board.currency: [(one.label, one.seeds, one.reason) for one in board.failed] for board in found}
    assert named["pmf-K"] == [("categorical", 3, "the training diverged")]
    assert [(seeds, reason) for _, seeds, reason in named["pmf-2"]] == [(3, "out of memory")]
    assert not any(board.failed for board in boards(tables))
