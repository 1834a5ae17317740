"""Any ranked configuration as the baseline: the numbers are those of the pair alone, and agree with the ranking."""

from __future__ import annotations

import pytest

from bench.report.tables.baseline import baseline
from bench.statistics.claims import tiers as module
from bench.statistics.claims.tiers import tiers
from tests.bench.report.planted import grey, of, planted
from tests.bench.report.runs import few


def test_against_the_best_the_means_and_intervals_are_those_of_the_ranking() -> None:
    board = grey(few())
    found = tiers(board)
    assert found is not None
    for place, row in enumerate(found.rows[1:], start=1):
        assert found.pairs.lead[0, place] == pytest.approx(row.behind.mean, abs=1e-9)
        assert found.pairs.low[0, place] == pytest.approx(row.behind.low, abs=2e-3)
        assert found.pairs.high[0, place] == pytest.approx(row.behind.high, abs=2e-3)
    both = [(row.verdict == "worse", bool(found.pairs.apart[0, place])) for place, row in enumerate(found.rows[1:], 1)]
    assert all(worse or not apart for worse, apart in both)  # a correction for more pairs calls no more


def test_letters_follow_what_was_planted() -> None:
    settings = [
        of("gaussian", 1.5, 0.1),
        of("gaussian", 1.501, 0.2),
        of("laplace", 2.5, 0.1),
        of("laplace", 2.501, 0.2),
    ]
    found = tiers(grey(planted(settings, images=200)))
    assert found is not None
    assert found.letters == ("a", "a", "b", "b")
    assert found.inseparable_neighbours == 2


def test_nothing_is_said_of_one_configuration_or_of_too_few_images() -> None:
    assert tiers(grey(planted([of("gaussian", 1.5, 0.1)]))) is None
    assert tiers(grey(planted([of("gaussian", 1.5, 0.1), of("laplace", 1.9, 0.1)], images=12))) is None


def test_only_the_first_are_compared_with_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    board = grey(few())
    found = tiers(board)
    assert found is not None
    assert found.rows == board.ranked[:3]


def test_beyond_the_first_a_row_is_held_against_the_one_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = (1.5, 1.501, 2.5, 2.501, 3.5)
    settings = [of("gaussian", score, 0.1 * (place + 1)) for place, score in enumerate(scores)]
    board = grey(planted(settings, images=200))
    for most, told in ((1, [False, True, False, True]), (3, [False, True]), (4, [True]), (5, []), (9, [])):
        monkeypatch.setattr(module, "MOST", most)
        assert module.neighbours(board) == told
    monkeypatch.setattr(module, "MOST", 3)
    shown = baseline(board)
    assert shown is not None
    assert shown.letters == ("a", "a", "b", "=", "")
    assert "of the 2 rows beyond" in shown.note
    assert "from which 1 cannot" in shown.note
    few = grey(planted(settings, images=12))
    assert module.neighbours(few) == [None, None]


def test_neighbours_agree_with_all_pairs_where_there_is_one_pair() -> None:
    board = grey(planted([of("gaussian", 1.5, 0.1), of("laplace", 1.52, 0.1)], images=200))
    found = tiers(board)
    assert found is not None
    both = tuple(row.config for row in board.ranked)
    assert board.apart([(both[0], both[1])]) == [bool(found.pairs.apart[0, 1])]
