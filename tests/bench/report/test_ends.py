"""What open end bins lend to scores: said where it is more than noise, shown beside every score."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.report.text.ends import owed
from bench.statistics.boards import boards
from bench.store import RunTables
from tests.bench.report.runs import DIMS, LN2, built, few, findings, said, section


def lent(by_label: dict[str, float], bad: float = 0.0) -> RunTables:
    """The few, with so many bits/dim lent to configurations by their labels; others have no open ends."""
    cells = few().cells.copy()
    amount = cells["label"].map(by_label).astype(float)
    cells["end_bins_bits_per_dim"] = amount
    cells["renormalised_bits_per_dim"] = cells["bits_per_dim"] + amount
    cells["renormalised_nats"] = cells["iw_nats"] - amount * DIMS * LN2
    cells["renormalised_khat_bad_fraction"] = np.where(amount.isna(), np.nan, bad)
    return dataclasses.replace(few(), cells=cells)


def first_labels() -> list[str]:
    (board,) = (board for board in boards(few()) if board.unit == "bits/dim")
    return [row.label for row in board.ranked]


def test_nothing_is_said_where_nothing_is_owed() -> None:
    assert "End bins" not in findings(said(few()))
    assert "End bins" not in findings(said(lent({first_labels()[0]: 1e-4})))


def test_who_owes_more_than_half_its_interval_is_named() -> None:
    (board,) = (board for board in boards(few()) if board.unit == "bits/dim")
    small, large = board.ranked[-2], board.ranked[-1]
    half = 0.5 * (small.value.high - small.value.low)
    text = findings(said(lent({small.label: 0.9 * half, large.label: 1.5})))["End bins"]
    assert text.startswith("1 of 2 ranked configurations with open ends owes the end bins, which have the whole tails")
    expected = f"{large.label} 1.500 bits/dim; as it is trained it would be at {large.value.mean + 1.5:.3f} with"
    assert f"{expected} renormalised ends." in text
    assert "at most" not in text
    assert "With renormalised ends" not in text, "the first three stay where they are"
    text = findings(said(lent({small.label: 1.1 * half, large.label: 1.5}, bad=0.9)))["End bins"]
    assert text.startswith("2 of 2 ranked configurations with open ends owe ")
    bounded = f"would be at {large.value.mean + 1.5:.3f} or better with renormalised ends."
    assert f"{large.label} at most 1.500 bits/dim; as it is trained it {bounded}" in text


def test_who_would_be_first_without_is_said() -> None:
    first = first_labels()
    text = findings(said(lent({first[0]: 3.0})))["End bins"]
    assert f"the first of the ranked would be {first[1]}, {first[2]} and {first[3]}, instead of {first[0]}, " in text
    assert "cannot be trusted" not in text
    text = findings(said(lent({first[2]: 3.0})))["End bins"]
    assert (
        f"after the first of the ranked would come {first[1]} and {first[3]}, instead of {first[1]} and {first[2]}."
        in text
    )
    gained = findings(said(lent({first[4]: -3.0})))["End bins"]
    assert f"the first of the ranked would be {first[4]}, {first[0]} and {first[1]}, instead of" in gained
    assert "owe" not in gained
    gained = findings(said(lent({first[4]: -3.0}, bad=0.9)))["End bins"]
    assert f"would be {first[4]}, {first[0]} and {first[1]}, instead of" in gained, "it is at least as good as that"
    assert "some cannot be trusted" in gained


@pytest.mark.parametrize("place", [0, 1, 2])
def test_who_would_be_first_is_not_known_where_what_is_passed_over_is_no_more_than_a_bound(place: int) -> None:
    first = first_labels()
    text = findings(said(lent({first[place]: 3.0}, bad=0.9)))["End bins"]
    (board,) = (board for board in boards(few()) if board.unit == "bits/dim")
    at = f"{first[place]} would be at {board.ranked[place].value.mean + 3:.3f} or better, by a bound that cannot be"
    assert f"How the first 3 of the ranked would stand with renormalised ends is not known: {at}" in text
    assert "would be first" not in text
    assert "instead of" not in text


def test_several_that_are_passed_over_are_named() -> None:
    first = first_labels()
    text = findings(said(lent({first[0]: 3.0, first[1]: 4.0}, bad=0.9)))["End bins"]
    assert re.search(rf"is not known: {first[0]} would be at [\d.]+ or better and {first[1]} would be at", text)
    assert "by bounds that cannot be trusted, for their proposals" in text


def test_what_is_owed_is_in_the_unit_of_the_board() -> None:
    """Of binary pixels in nats, where more is better: what is owed is positive still."""
    cells = few().cells.copy()
    binary = cells["currency"] == "pmf-2"
    cells.loc[binary, "renormalised_nats"] = cells.loc[binary, "iw_nats"] - 5.0
    for board in boards(dataclasses.replace(few(), cells=cells)):
        for row in board.ranked:
            assert owed(row, board) == pytest.approx(5.0) if board.unit == "nats" else np.isnan(owed(row, board))


def test_both_scores_stand_beside_each_other(tmp_path: Path) -> None:
    first = first_labels()
    page = built(lent({first[0]: 0.25, first[1]: -0.125}, bad=0.9), tmp_path)
    table = section(page, "ranking").all("table", class_="ranked")[0]
    heads = [head.text for head in table.one("thead").all("th")]
    place = next(i for i, head in enumerate(heads) if head.startswith("Score")) + 1
    assert heads[place] == "Renormalised endsbits/dim"
    (board,) = (board for board in boards(few()) if board.unit == "bits/dim")
    shown = [row[place] for row in table.rows()]
    assert shown[0] == f"≤ {board.ranked[0].value.mean + 0.25:.3f} owes ≤ 0.250"
    assert shown[1] == f"≤ {board.ranked[1].value.mean - 0.125:.3f} owes ≤ −0.125"
    assert set(shown[2:]) == {"–"}
    diagnosed = section(page, "diagnostics").all("table", class_="diagnosed")[0]
    assert "Owed to end binsbits/dim" in [head.text for head in diagnosed.one("thead").all("th")]
    reading = section(page, "reading").text
    assert "A family on the real line has mass beyond the data" in reading


@pytest.mark.slow
def test_a_run_without_open_ends_has_no_such_column(tmp_path: Path) -> None:
    table = section(built(few(), tmp_path), "ranking").all("table", class_="ranked")[0]
    assert not [head.text for head in table.one("thead").all("th") if "enormalised" in head.text]


def test_an_older_run_knows_nothing_of_it() -> None:
    cells = few().cells
    assert isinstance(cells, pd.DataFrame)
    assert cells["renormalised_nats"].isna().all()
