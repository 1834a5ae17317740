"""What the page and the terminal say of how trainings ended."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from bench.report import ranking_text
from bench.report.text.training import how_it_ended, not_ended, training
from bench.statistics.boards import Board, boards
from bench.store import RunTables
from tests.bench.report import fake_run

KNOWN = {"epochs_run": 60.0, "best_epoch": 60.0, "converged": 1.0, "last_gain_bits_per_dim": 0.0, "last_gain_se": 0.001}


def board_of(**of_family: dict[str, Any]) -> Board:
    """The grey board of a small run whose trainings all had ended, but for some families."""
    tables = fake_run.tables(fake_run.few(), failures=False, pictures=False)
    cells = tables.cells.assign(**KNOWN)
    for family, values in of_family.items():
        for name, value in values.items():
            cells.loc[cells["family"] == family, name] = value
    return boards(dataclasses.replace(tables, cells=cells))[0]


def rising(gain: float) -> dict[str, float]:
    return {"converged": 0.0, "last_gain_bits_per_dim": gain}


def row_of(board: Board, family: str) -> Any:
    return next(row for row in board.everything if row.family == family)


def test_where_all_have_ended_nothing_is_said() -> None:
    board = board_of()
    assert not_ended(board) == ""
    assert list(training(board)) == []
    assert how_it_ended(board.ranked[0], board.unit) == "ended after 60 epochs"


def test_a_training_that_was_still_improving_is_told_by_how_much() -> None:
    board = board_of(logistic=rising(0.03))
    row = row_of(board, "logistic")
    assert row.ending.improving == 3
    assert how_it_ended(row, board.unit) == "still improving at epoch 60, by 0.030"
    ((text,),) = (finding.texts for finding in training(board))
    assert "still improving" in text
    assert "0.030 bits/dim" in text
    assert row in board.unended


@pytest.mark.parametrize(
    "values",
    [
        rising(0.004),
        rising(np.nan),
        {**rising(0.03), "last_gain_se": 0.02},
        {**rising(0.03), "best_epoch": 40.0},
        {"converged": np.nan},
    ],
)
def test_what_is_noise_or_over_or_not_known_is_not_called_improving(values) -> None:
    board = board_of(logistic=values)
    assert not row_of(board, "logistic").ending.improving


def test_a_limit_that_took_nothing_away_is_said_plainly() -> None:
    board = board_of(logistic=rising(0.001))
    assert how_it_ended(row_of(board, "logistic"), board.unit) == "at its limit, 60 epochs"


def test_one_seed_that_had_not_ended_is_enough() -> None:
    tables = fake_run.tables(fake_run.few(), failures=False, pictures=False)
    cells = tables.cells.assign(**KNOWN)
    odd = (cells["family"] == "logistic") & (cells["seed"] == 1)
    cells.loc[odd, ["converged", "last_gain_bits_per_dim"]] = [0.0, 0.04]
    board = boards(dataclasses.replace(tables, cells=cells))[0]
    row = row_of(board, "logistic")
    assert row.ending.improving == 1
    assert how_it_ended(row, board.unit) == "still improving at epoch 60, by 0.040 in 1 of 3 seeds"


def test_the_headline_takes_up_a_winner_and_rivals_within_reach() -> None:
    best = board_of().ranked[0].family
    said = not_ended(board_of(**{best: rising(0.03)})).striptags()
    assert said.startswith("But not every training had ended: ")
    assert "itself was still improving, by 0.030 bits/dim" in said
    assert said.endswith("How far it leads may be the schedule's.")

    near = next(row for row in board_of().ranked if row.family != best)
    gain = near.behind.mean
    assert board_of(**{near.family: rising(1.01 * gain)}).within_reach
    assert not board_of(**{near.family: rising(0.9 * gain)}).within_reach
    said = not_ended(board_of(**{near.family: rising(1.01 * gain)})).striptags()
    assert near.label in said
    assert said.endswith("The order of these may be the schedule's.")
    assert not_ended(board_of(**{near.family: rising(0.9 * gain)})) == ""


def test_the_terminal_says_it_too() -> None:
    tables = fake_run.tables(fake_run.few(), failures=False, pictures=False)
    cells = tables.cells.assign(**KNOWN | {"converged": 0.0, "last_gain_bits_per_dim": 0.5})
    text = ranking_text(dataclasses.replace(tables, cells=cells))
    assert "not every training had ended" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_runs_of_before_are_shown_without_a_word_of_it() -> None:
    tables: RunTables = fake_run.tables(fake_run.few(), failures=False, pictures=False)
    unknown = dict.fromkeys(KNOWN, np.nan)
    board = boards(dataclasses.replace(tables, cells=tables.cells.assign(**unknown), history=tables.history.iloc[:0]))[
        0
    ]
    assert not_ended(board) == ""
    assert how_it_ended(board.ranked[0], board.unit) == ""


def test_seeds_are_judged_one_by_one() -> None:
    """The gain of a seed that had ended is none of one that reached the limit without any."""
    tables = fake_run.tables(fake_run.few(), failures=False, pictures=False)
    cells = tables.cells.assign(**KNOWN)
    own = cells["family"] == "logistic"
    names = ["epochs_run", "best_epoch", "converged", "last_gain_bits_per_dim"]
    for seed, values in enumerate(([40.0, 40.0, 1.0, 0.3], [50.0, 45.0, 1.0, 0.2], [60.0, 60.0, 0.0, 0.0])):
        cells.loc[own & (cells["seed"] == seed), names] = values
    board = boards(dataclasses.replace(tables, cells=cells))[0]
    row = row_of(board, "logistic")
    assert not row.ending.improving
    assert how_it_ended(row, board.unit) == "at its limit, 40–60 epochs, ended in 2 of 3 seeds"
