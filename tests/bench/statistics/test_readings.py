"""Which reading of a recipe is ranked: chosen on validation images, whatever test images say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from bench.report import ranking
from bench.statistics.boards import Board, boards
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.runs import few

READINGS = ("gaussian_implied", "gaussian_fitted", "laplace_binned")
SCORES = dict(zip(READINGS, (3.06, 2.11, 2.4), strict=True))  # of test images


def run(train_samples: int = 1) -> RunTables:
    """The small run with three readings of mse_sum, trained with so many samples."""
    others = [setting for setting in fake_run.few() if setting.family != "mse_sum"]
    own = [
        fake_run.Setting("mse_sum", score, scored_as=reading, view="grey", train_samples=train_samples)
        for reading, score in SCORES.items()
    ]
    return fake_run.tables([*others, *own], failures=False, images=60, pictures=False)


def judged(tables: RunTables, bits: dict[str, float], seeds: tuple[int, ...] = (0, 1, 2)) -> RunTables:
    """With the validation bounds of readings of mse_sum; nothing is known of the other seeds' nor of other recipes'."""
    cells = tables.cells.copy()
    known = (cells["family"] == "mse_sum") & cells["seed"].isin(seeds)
    cells["reading_bits_per_dim"] = cells["scored_as"].map(bits).where(known).astype(float)
    return dataclasses.replace(tables, cells=cells)


def board_of(tables: RunTables) -> Board:
    return next(board for board in boards(tables) if board.currency == "pmf-K")


def ranked(board: Board) -> list[str]:
    return [row.scored_as for row in board.ranked if row.family == "mse_sum"]


@pytest.mark.parametrize("best", READINGS)
def test_the_reading_is_chosen_on_validation_and_not_on_test_images(best: str) -> None:
    """The planted best of validation is the ranked one, be it the best or the worst of test images."""
    board = board_of(judged(run(), {reading: 2.0 if reading == best else 2.5 for reading in READINGS}))
    assert ranked(board) == [best]
    assert [row.scored_as for row in board.readings] == [
        name for name in sorted(SCORES, key=SCORES.__getitem__) if name != best
    ]
    assert all(row.rank is None and row.verdict is None for row in board.readings)
    assert all(np.isfinite([row.value.low, row.value.high]).all() for row in board.readings), "each with its interval"
    assert f"({best.replace('_', ' ')})" in next(row.label for row in board.ranked if row.family == "mse_sum")
    assert len(board.everything) == len(board_of(run()).everything) - 2


def test_scores_of_test_images_do_not_move_the_choice() -> None:
    bits = {"gaussian_implied": 2.2, "gaussian_fitted": 2.3, "laplace_binned": 2.1}
    tables = judged(run(), bits)
    images = tables.per_image.copy()
    of = tables.cells.set_index("cell")["scored_as"]
    images.loc[images["cell"].map(of) == "laplace_binned", "iw_nats"] -= 500
    assert ranked(board_of(dataclasses.replace(tables, per_image=images))) == ["laplace_binned"]


def test_the_mean_over_the_seeds_that_all_have_decides() -> None:
    tables = run()
    cells = tables.cells.copy()
    own = cells["family"] == "mse_sum"
    bits = {
        ("gaussian_fitted", 0): 2.0, ("gaussian_fitted", 1): 2.6, ("gaussian_fitted", 2): 1.0,
        ("laplace_binned", 0): 2.2, ("laplace_binned", 1): 2.2, ("laplace_binned", 2): 9.0,
        ("gaussian_implied", 0): 2.4, ("gaussian_implied", 1): 2.4, ("gaussian_implied", 2): 2.4,
    }  # fmt: skip
    cells.loc[own, "reading_bits_per_dim"] = [
        bits[key] for key in zip(cells.loc[own, "scored_as"], cells.loc[own, "seed"], strict=True)
    ]
    whole = dataclasses.replace(tables, cells=cells)
    assert ranked(board_of(whole)) == ["gaussian_fitted"]
    lost = own & (cells["seed"] == 2) & (cells["scored_as"] == "gaussian_implied")
    without = fake_run.only(whole, lambda table: ~table["cell"].isin(cells.loc[lost, "cell"]))
    assert ranked(board_of(without)) == ["laplace_binned"], "over seeds 0 and 1, 2.2 to 2.3"


def test_without_the_validation_numbers_all_are_ranked_as_before() -> None:
    tables = run()
    assert tables.cells["reading_bits_per_dim"].isna().all()
    for old in (tables, judged(tables, dict.fromkeys(READINGS[:2], 2.0)), judged(tables, SCORES, seeds=(0, 1))):
        board = board_of(old)
        assert sorted(ranked(board)) == sorted(READINGS)
        assert board.readings == ()
        assert {row.reading_of for row in board.everything} == {""}
    assert board_of(few()).readings == ()


def test_only_what_differs_in_the_reading_alone_competes() -> None:
    """Two trainings of one recipe have a chosen reading each, and a family of one scoring has none to choose."""
    once, more = run(), run(train_samples=5)
    own = more.cells[more.cells["family"] == "mse_sum"]
    both = dataclasses.replace(
        once,
        cells=pd.concat([once.cells, own], ignore_index=True),
        per_image=pd.concat([once.per_image, more.per_image[more.per_image["cell"].isin(own["cell"])]]),
        bounds=pd.concat([once.bounds, more.bounds[more.bounds["cell"].isin(own["cell"])]]),
    )
    tables = judged(both, {"gaussian_implied": 2.2, "gaussian_fitted": 2.3, "laplace_binned": 2.1})
    cells = tables.cells
    other = (cells["train_samples"] == 5) & (cells["scored_as"] == "gaussian_fitted")
    cells.loc[other, "reading_bits_per_dim"] = 1.9
    board = board_of(tables)
    assert {(row.train_samples, row.scored_as) for row in board.ranked if row.family == "mse_sum"} == {
        (1, "laplace_binned"),
        (5, "gaussian_fitted"),
    }
    assert len(board.readings) == 4
    assert {row.reading_of for row in board.ranked if not row.recipe} == {""}
    assert [row.scored_as for row in board.ranked if row.family == "bce_sum"] == ["continuous_bernoulli"]


def test_a_chosen_reading_that_cannot_be_trusted_is_left_out_and_no_other_takes_its_place() -> None:
    tables = judged(run(), {"gaussian_implied": 2.2, "gaussian_fitted": 2.3, "laplace_binned": 2.1})
    cells = tables.cells
    cells.loc[cells["scored_as"] == "laplace_binned", "khat_bad_fraction"] = 0.8
    board = board_of(tables)
    assert ranked(board) == []
    assert [row.scored_as for row in board.left_out] == ["laplace_binned"]


def test_the_frame_has_the_readings_below_without_a_rank() -> None:
    found = ranking(judged(run(), {"gaussian_implied": 2.2, "gaussian_fitted": 2.3, "laplace_binned": 2.1}))
    own = found[found["family"] == "mse_sum"].set_index("scored_as")
    (chosen,) = own["reading_of"].unique()
    assert own.loc["laplace_binned", "config"] == chosen
    assert own["rank"].notna().tolist() == [True, False, False]
    assert own["reading_bits_per_dim"].tolist() == pytest.approx([2.1, 2.3, 2.2])
    assert set(own.loc[["gaussian_implied", "gaussian_fitted"], "verdict"]) == {""}
    assert (found.loc[found["recipe"] == 0, "reading_of"] == "").all()
