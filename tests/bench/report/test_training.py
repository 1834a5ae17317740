"""What the page and the terminal say of how trainings ended."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from bench.report import ranking_text
from bench.report.text.training import failed_seeds, how_it_ended, lost_seeds, not_ended, training
from bench.statistics.boards import Board, boards
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.planted import of, planted
from tests.bench.statistics.test_references import best_scores, held

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


def texts_of(board: Board) -> str:
    return " ".join(text.striptags() for finding in training(board) for text in finding.texts)


def test_where_all_have_ended_nothing_is_said() -> None:
    board = board_of()
    assert not_ended(board) == ""
    assert "improving" not in texts_of(board)
    assert how_it_ended(board.ranked[0], board.unit) == "ended after 60 epochs"


def test_a_training_that_was_still_improving_is_told_by_how_much() -> None:
    board = board_of(logistic=rising(0.03))
    row = row_of(board, "logistic")
    assert row.ending.improving == 3
    assert how_it_ended(row, board.unit) == "still improving at epoch 60, by 0.030"
    assert "still improving" in texts_of(board)
    assert "0.030 bits/dim" in texts_of(board)
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
    assert how_it_ended(row, board.unit) == "2 of 3 seeds ended; 1 still improving, by 0.040 (60 epochs)"


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
    assert how_it_ended(row, board.unit) == "2 of 3 seeds ended; 1 at its limit (40–60 epochs)"


def test_seeds_without_a_score_are_named_beside_the_row() -> None:
    tables = fake_run.tables(fake_run.few(), failures=False, pictures=False)
    cells = tables.cells.assign(**KNOWN)
    for family, seeds, ended_by in (("logistic", [1], "diverged"), ("categorical", [0, 2], "limit")):
        gone = (cells["family"] == family) & cells["seed"].isin(seeds)
        cells.loc[gone, ["status", "reason", "ended_by"]] = ["failed", "it is gone", ended_by]
    board = boards(dataclasses.replace(tables, cells=cells))[0]
    logistic, categorical = row_of(board, "logistic"), row_of(board, "categorical")
    assert (logistic.seeds, logistic.ending.failed, logistic.ending.diverged) == (2, 1, 1)
    assert failed_seeds(logistic) == "1 of 3 seeds diverged"
    assert failed_seeds(categorical) == "2 of 3 seeds failed"
    assert failed_seeds(row_of(board, "bce_sum")) == ""
    ((text,),) = (finding.texts for finding in lost_seeds(board))
    assert f"{categorical.label} (2 of 3 seeds failed)" in text.striptags()
    assert list(lost_seeds(board_of())) == []


def test_one_learning_rate_for_all_families_is_said() -> None:
    board = board_of()
    assert "All have the grid's one learning rate, 0.001, tuned for none of them" in texts_of(board)
    tables = fake_run.only(fake_run.tables(fake_run.few(), failures=False), lambda cells: cells["family"] == "gaussian")
    assert "learning rate" not in texts_of(boards(tables)[0])


@pytest.mark.parametrize("case", ["alone", "behind a reference", "below a uniform guess", "ahead"])
def test_how_far_it_leads_is_said_of_what_leads(case: str) -> None:
    worse = 4.6 if case == "below a uniform guess" else 2.0
    tables = planted([of("categorical", worse), *([] if case == "alone" else [of("beta_binomial", 5.0)])])
    own = tables.cells["family"] == "categorical"
    tables.cells.loc[own, ["converged", "last_gain_bits_per_dim", "best_epoch"]] = 0, 0.3, 60
    if case == "behind a reference":
        tables = held(tables, histogram=best_scores(tables) + 9 + np.random.default_rng(0).normal(0, 1, 40))
    said = not_ended(boards(tables)[0]).striptags()
    assert "categorical itself was still improving" in said
    whose = "How far it leads" if case == "ahead" else "Its score"
    assert said.endswith(f"{whose} may be the schedule's.")
