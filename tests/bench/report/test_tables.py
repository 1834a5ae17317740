"""The tables of the page against those that they were made from."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.report import numbers, ranking
from bench.report.figures import Looks
from bench.report.tables import diagnostics
from bench.report.tables.ranking import ranking as table_of
from bench.statistics import rows
from bench.statistics.boards import boards
from bench.store import RunTables
from bench.store.columns import Column, columns
from tests.bench.report import fake_run
from tests.bench.report.page_reader import Element
from tests.bench.report.runs import built, few, section


def test_table_shows_the_numbers_of_the_run(tables: RunTables, shown: Element) -> None:
    found = ranking(tables)
    found = found[found["trusted"]]
    for table, (_, own) in zip(
        section(shown, "ranking").all("table", class_="ranked"), found.groupby("currency", sort=False), strict=True
    ):
        heads = [head.text for head in table.one("thead").all("th")]
        unit = own["unit"].iloc[0]
        digits = 3 if unit == "bits/dim" else 2
        score = next(place for place, head in enumerate(heads) if head.startswith("Score"))
        places = {
            name: next(i for i, head in enumerate(heads) if head.startswith(name)) for name in ("ELBO", "k̂", "ESS")
        }
        rows = table.rows()
        assert len(rows) == len(own)
        for row, (_, expected) in zip(rows, own.iterrows(), strict=True):
            assert row[0] == str(expected["rank"])
            read_back = [float(text) for text in re.findall(r"[\d.]+", row[score].replace("−", ""))]
            wanted = [abs(round(expected[name], digits)) for name in ("value", "low", "high")]
            assert read_back == pytest.approx(wanted, abs=1e-9)
            assert float(row[places["ELBO"]].replace("−", "-")) == pytest.approx(expected["elbo_nats"], abs=0.006)
            share = f"{numbers.percent(expected['khat_bad_fraction'])} bad".replace("\u00a0", " ")
            assert row[places["k̂"]] == f"{numbers.number(expected['khat_median'])} {share}"
            assert float(row[places["ESS"]]) == pytest.approx(expected["ess_median"], abs=0.51)


def test_the_ranking_says_on_what_each_was_trained() -> None:
    board = next(board for board in boards(few()) if board.unit == "bits/dim")
    by_family = {row.family: row for row in board.ranked}
    asked: dict[str, dict[str, object]] = {
        "gaussian": {"objective": "dequantised", "bound": "elbo"},
        "categorical": {"objective": "own", "bound": "iwae", "train_samples": 5},
        "continuous_bernoulli": {"objective": "binned", "bound": "iwae", "train_samples": 5},
        "mse_sum": {"objective": "own", "bound": "elbo"},
    }
    ranked = [
        dataclasses.replace(by_family[family], settings={**by_family[family].settings, **given})
        for family, given in asked.items()
    ]
    table = table_of(dataclasses.replace(board, ranked=tuple(ranked)), Looks.of(asked))
    said = {line.name.split()[0]: line.after[-1].text for line in table.lines}
    assert said == {
        "gaussian": "ELBO, L=1",
        "categorical": "IWAE, L=5",
        "continuous_bernoulli": "IWAE of bins, L=5",
        "mse_sum": "its own, L=1",
    }


def test_what_is_left_out_stands_below_with_its_reason(tables: RunTables, shown: Element) -> None:
    found = ranking(tables)
    left = found[~found["trusted"]]
    assert left["sigma"].tolist() == ["0.01"] * 3
    assert left["caution"].str.contains("effective samples").all()
    part = section(shown, "ranking")
    rows = part.one("table", class_="left-out").rows()
    for row, (_, expected) in zip(rows, left.iterrows(), strict=True):
        assert row[0].removesuffix(" 1 of 3 seeds failed") == expected["label"]
        assert row[1] == f"≤ {numbers.measured(expected['value'], 'bits/dim')}"
        assert expected["mark"] == "", "a bound says nothing for certain of its configuration"
        mark = "; by its bound worse than a uniform guess" if expected["low"] > np.log2(17) else ""
        assert row[2] == expected["caution"] + mark
    assert "Left out of the ranking" in [head.text.split(" lower")[0] for head in part.all("h4")]
    ranked = [row for table in part.all("table", class_="ranked") for row in table.rows()]
    assert len(ranked) == found["trusted"].sum()


def test_unnormalised_objectives_are_marked_and_outside_the_ranking(shown: Element) -> None:
    part = section(shown, "ranking")
    assert "not a log-likelihood" in part.text
    assert all(
        "14.20" not in cell for table in part.all("table", class_="ranked") for row in table.rows() for cell in row
    )
    marked = [cell.text for cell in part.all("td", class_="unranked")]
    assert sum("14.20" in text for text in marked) == 6


@pytest.mark.slow
def test_every_reading_of_a_recipe_is_shown_the_chosen_one_first(tmp_path: Path) -> None:
    """Validation, test score with its interval, σ, and which is ranked; the order of test scores does not matter."""
    others = [setting for setting in fake_run.few() if setting.family != "mse_sum"]
    bits = {"gaussian_implied": 3.0, "gaussian_fitted": 2.6, "laplace_binned": 2.5}
    own = [fake_run.Setting("mse_sum", 5.0 - bits[name], scored_as=name, view="grey") for name in bits]
    tables = fake_run.tables([*others, *own], failures=False, images=60, pictures=False)
    tables.cells["reading_bits_per_dim"] = tables.cells["scored_as"].map(bits)
    tables.cells.loc[tables.cells["scored_as"] == "laplace_binned", "sigma_fitted"] = 0.1234
    part = section(built(tables, tmp_path), "ranking")
    (table,) = [found for found in part.all("table") if found.one("thead").all("th")[0].text == "Recipe"]
    rows = [row for row in table.rows() if row[0].startswith("mse_sum")]
    assert [(row[1], row[3], row[5]) for row in rows] == [
        ("laplace binned", "2.500", "ranked"),
        ("gaussian fitted", "2.600", "not ranked"),
        ("gaussian implied", "3.000", "not ranked"),
    ]
    assert rows[0][2] == "0.123"
    found = ranking(tables).set_index("scored_as")
    for row, name in zip(rows, sorted(bits, key=bits.__getitem__), strict=True):
        numbers_of = found.loc[name, ["value", "low", "high"]]
        assert [float(text) for text in re.findall(r"\d+\.\d+", row[4])] == pytest.approx(numbers_of, abs=6e-4)
    (bce,) = [row for row in table.rows() if row[0].startswith("bce_sum")]
    assert (bce[3], bce[5]) == (numbers.NOTHING, ""), "of one reading none was chosen"
    names = [row[1] for ranked in part.all("table", class_="ranked") for row in ranked.rows()]
    assert sum(name.startswith("mse_sum") for name in names) == 1


def test_diagnostics_table_shows_the_numbers_of_the_run(tables: RunTables, shown: Element) -> None:
    found = ranking(tables)
    table = section(shown, "diagnostics").all("table", class_="diagnosed")[0]
    heads = [head.text for head in table.one("thead").all("th")]
    own = found[found["currency"] == "pmf-K"]
    for row, (_, expected) in zip(table.rows(), own.iterrows(), strict=True):
        cells = dict(zip(heads, (text.replace("−", "-") for text in row), strict=True))
        name = cells["Likelihood"].removesuffix(" 1 of 3 seeds failed").removesuffix(" recipe")
        assert name == expected["label"]
        assert float(cells["KLnats"]) == pytest.approx(expected["kl_nats"], abs=0.006)
        assert float(cells["Reconstructionnats"]) == pytest.approx(expected["reconstruction_nats"], abs=0.006)
        assert cells["Collapsed"] == ("yes" if expected["family"] == "mse_mean" else "no")
        assert cells["In 95 %of the values"] == numbers.percent(expected["coverage_95"]).replace("\u00a0", " ")
        ratio = expected["noise_predicted"] / expected["noise_realised"]
        assert cells["Noise× of what is there"].split()[0] == numbers.times(ratio)
        assert float(cells["Jackknife - boundnats".replace("-", "−")]) == pytest.approx(0.01, abs=1e-3)


def test_bundle_speed_stands_beside_and_apart(shown: Element) -> None:
    table = section(shown, "speed").all("table")[0]
    heads = [head.text for head in table.one("thead").all("th")]
    assert "images/s, alone" in heads[1]
    assert "all models" in heads[4]
    assert {row[4] for row in table.rows()}.isdisjoint({row[1] for row in table.rows()})


@pytest.mark.slow
@pytest.mark.parametrize(("unit", "digits", "text"), [("s", 1, "1.9"), ("s", 3, "1.900"), ("share", 0, "190 %")])
def test_a_declared_column_is_in_the_table_by_itself(
    unit: str, digits: int, text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A column of results that says under which head the page shows it needs no other line of the report."""
    added = Column(unit, "of the training", "mean", "diagnostics", "Took", digits)

    def declared() -> Iterator[tuple[str, Column]]:
        return ((name, added if name == "train_seconds" else column) for name, column in columns())

    for module in (rows, diagnostics):
        monkeypatch.setattr(module, "columns", declared)
    table = section(built(few(), tmp_path), "diagnostics").all("table", class_="diagnosed")[0]
    heads = [head.text for head in table.one("thead").all("th")]
    assert heads[-1] == f"Took{unit}"
    assert heads[1:3] == ["Reconstructionnats", "KLnats"], "what was there stays where it was"
    assert {row[-1].replace("\u00a0", " ") for row in table.rows()} == {text}


@pytest.mark.slow
def test_a_column_of_which_nothing_is_known_is_not_shown(tmp_path: Path) -> None:
    unknown = few().cells.assign(kl_nats=np.nan, jackknife_nats=np.nan)
    shown = section(built(dataclasses.replace(few(), cells=unknown), tmp_path), "diagnostics")
    heads = [head.text for head in shown.all("table", class_="diagnosed")[0].one("thead").all("th")]
    assert "Reconstructionnats" in heads
    assert not {head for head in heads if head.startswith(("KL", "Jackknife"))}
