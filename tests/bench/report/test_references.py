"""A reference, no configuration, stands in the ranking at its place; and what is worse than the plainest is marked."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pytest

from bench.report import build, ranking, ranking_text
from bench.report.numbers import NOTHING, measured
from bench.report.page import context
from bench.report.text.references import mark
from bench.report.text.verdict import sentences
from bench.statistics import references
from bench.statistics.boards import Board, boards
from bench.statistics.contests import Contest
from bench.store import RunTables
from tests.bench.report.page_reader import Element, read
from tests.bench.report.planted import of, planted
from tests.bench.report.runs import doubted, few, moved, section
from tests.bench.statistics.test_references import best_scores, held

T = TypeVar("T")
LABEL = "codec <lossless>"


@pytest.fixture(params=[0, 2, None], ids=["the best of all", "third", "the last, off the axis"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Where a reference is planted among the ranked rows of grey levels, by its value."""
    ranked = boards(few())[0].ranked
    at: int = len(ranked) if request.param is None else request.param
    means = [ranked[0].value.mean - 0.1, *(row.value.mean for row in ranked), 40.0]
    plant(monkeypatch, (means[at] + means[at + 1]) / 2)
    return at


def plant(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    def kind(contest: Contest, tables: RunTables) -> Iterable[references.Held]:
        if contest.currency == "pmf-K":
            yield references.Held(references.reference(LABEL, value))

    monkeypatch.setattr(references, "KINDS", (kind,))


def unplanted(monkeypatch: pytest.MonkeyPatch, made: Callable[[], T]) -> T:
    """What is made where no reference is planted."""
    with monkeypatch.context() as without:
        without.setattr(references, "KINDS", ())
        return made()


def grey() -> Board:
    return boards(few())[0]


def rows(tables: RunTables, folder: Path) -> list[Element]:
    shown = read(build(tables, folder / "index.html"))
    return section(shown, "ranking").all("table", class_="ranked")[0].one("tbody").all("tr")


def test_it_stands_at_its_place_by_value_and_in_no_rank(place: int) -> None:
    board = grey()
    assert [row.reference for row in board.standing].index(True) == place
    assert [row.rank for row in board.ranked] == list(range(1, len(board.ranked) + 1))
    (row,) = board.references
    assert (row.rank, row.verdict, row.seeds) == (None, None, 0)
    assert not any(own.reference for own in board.everything)


@pytest.mark.slow
def test_the_table_of_the_page_shows_it_marked_with_its_score_and_distance_alone(place: int, tmp_path: Path) -> None:
    shown = rows(few(), tmp_path)
    assert len(shown) == len(grey().ranked) + 1
    line = shown.pop(place)
    assert line.attributes["class"] == "reference"
    texts = [cell.text for cell in line.all("td")]
    (row,) = grey().references
    value, behind = row.value.mean, measured(row.behind.mean, "bits/dim")
    assert line.one("th").text == LABEL
    assert texts[0] == ""
    assert texts[2] == measured(value, "bits/dim"), "no interval"
    assert line.one("span", class_="tag").text == ("reference, better" if place == 0 else "reference")
    assert not any("nan" in path.attributes["d"] for path in line.all("path"))
    tier, worse, *others = texts[5:]
    assert tier == "", "a reference is in no tier"
    assert worse == behind
    assert {texts[1], *others} == {NOTHING}
    assert [other.all("td")[0].text for other in shown] == [str(rank) for rank in range(1, len(shown) + 1)]
    assert all(other.attributes["class"] in ("best", "tied", "worse") for other in shown)


def test_the_terminal_shows_it_at_its_place(place: int) -> None:
    lines = ranking_text(few(), 100).splitlines()
    table = [line for line in lines if line.endswith((" best", " first", "]", "indistinguishable", "(reference)"))]
    line = next(line for line in table if LABEL in line)
    (row,) = grey().references
    value, behind = (measured(number, "bits/dim").replace("−", "-") for number in (row.value.mean, row.behind.mean))
    assert line.split() == [NOTHING, *LABEL.split(), value, behind, "(reference)"]
    assert (row.behind.mean < 0) is (place == 0)
    assert "(reference) a score that needs no network" in " ".join(" ".join(lines).split())
    before, after = table[: table.index(line)], table[table.index(line) + 1 :]
    ranks = [int(own.split()[0]) for own in (*before, *after) if own.split()[0].isdigit()]
    assert ranks[: len(grey().ranked)] == list(range(1, len(grey().ranked) + 1))
    assert sum(own.split()[0].isdigit() for own in before) == place


@pytest.mark.slow
def test_words_figures_and_all_other_rows_are_as_without_it(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    spoken, without_it = sentences(grey()), unplanted(monkeypatch, lambda: sentences(grey()))
    led = place == 0  # then the headline and what may be quoted are about that
    assert (spoken.headline != without_it.headline) is led
    assert "No reference is in this run" in without_it.gap
    assert "No reference" not in spoken.gap
    about = {name: getattr(without_it, name) for name in ("headline", "quote", "gap")}
    assert dataclasses.replace(spoken, **about) == without_it
    before, after = unplanted(monkeypatch, lambda: ranking(few())), ranking(few())
    pd.testing.assert_frame_equal(after[after["reference"] == 0].reset_index(drop=True), before, check_dtype=False)
    (record,) = after[after["reference"] == 1].itertuples()
    assert (record.label, record.rank is pd.NA, record.seeds, record.mark) == (LABEL, True, 0, "")
    with_it = context(few())["sections"][0]
    without = unplanted(monkeypatch, lambda: context(few())["sections"][0])
    for part in ("figures", "galleries", "about", "speeds"):
        assert getattr(with_it, part) == getattr(without, part)
    assert with_it.diagnostics.lines == without.diagnostics.lines
    kept = [line for line in with_it.ranking.lines if line.rank != ""]
    assert kept[1:] == without.ranking.lines[1:]
    assert (kept[0].tag, without.ranking.lines[0].tag) == ("first" if led else "best", "best")


@pytest.mark.slow
def test_alone_it_is_no_ranking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no configuration can be ranked, there is nothing that a reference could be held against."""
    plant(monkeypatch, 2.0)
    spoilt = doubted(few(), lambda cells: cells["currency"] == "pmf-K")
    shown = section(read(build(spoilt, tmp_path / "index.html")), "ranking")
    assert "Nothing is ranked" in shown.text
    assert LABEL not in shown.text
    assert LABEL not in ranking_text(spoilt)


# -- of a run's own references -----------------------------------------------------------------------------------------


def with_references(lead: float = -30.0) -> RunTables:
    """A run whose gaussians are worse than uniform, with references; the histogram leads by so many nats."""
    tables = moved(few(), lambda cells: cells["family"] == "gaussian", -200.0)
    scores = best_scores(tables) + np.random.default_rng(0).normal(0, 1, 60)
    families = {"no_latent__gaussian": scores - 60, "no_latent__logistic": scores - 50}
    return held(tables, histogram=scores + lead, uniform=np.full(60, -64 * np.log(17)), xz=-150.0, **families)


def test_the_terminal_marks_what_says_less_and_says_what_the_mark_is():
    text = ranking_text(with_references(), 80)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    gaussian = [line for line in lines if " gaussian" in line[:12] and "latent" not in line]
    assert gaussian
    assert all(" ~~ " in line for line in gaussian), "worse than uniform"
    assert re.search("^~~ +worse than a uniform guess$", text, re.MULTILINE)
    board = next(board for board in boards(with_references()) if board.currency == "pmf-K")
    less = [row for row in board.ranked if mark(board, row) == "says less than a table of frequencies"]
    assert sum(bool(re.search(r"^ .* ~( |$)", line)) for line in lines) == len(less) > 0
    assert re.search("^~ +says less than a table of frequencies$", text, re.MULTILINE)
    assert "no_latent:logistic" in text
    assert "no_latent:gaussian" not in text, "the best of the families alone"
    assert "the best stands for all" in " ".join(lines)


def test_nothing_is_marked_where_nothing_is_worse():
    text = ranking_text(few(), 80)
    assert "~" not in text
    assert "(reference)" not in text
    assert "No reference is in this run" in " ".join(text.split())


@pytest.mark.slow
def test_the_page_marks_it_and_says_what_the_latent_buys(tmp_path: Path) -> None:
    shown = read(build(with_references(), tmp_path / "index.html"))
    part = section(shown, "ranking")
    table = part.all("table", class_="ranked")[0].one("tbody").all("tr")
    worst = [row for row in table if row.one("th").text == "gaussian"]
    assert worst
    assert all("worse than a uniform guess" in row.text for row in worst)
    assert any("says less than a table of frequencies" in row.text for row in table)
    assert [row.one("th").text for row in table if row.attributes["class"] == "reference"].count("no_latent:logistic")
    (bought,) = part.all("table", class_="bought")
    texts = {row.one("th").text: row.text for row in bought.one("tbody").all("tr")}
    assert set(texts) == {"gaussian", "logistic"}
    (gaussian,) = (line for line in bought.one("tbody").all("tr") if line.one("th").text == "gaussian")
    assert gaussian.all("span", class_="warn"), "its latent bought nothing"
    assert "The references, and what each knows" in part.text
    assert "histogram of each dimension" in part.text


@pytest.mark.slow
def test_the_page_of_a_run_without_references_has_none(tmp_path: Path) -> None:
    part = section(read(build(few(), tmp_path / "index.html")), "ranking")
    assert not part.all("table", class_="bought")
    assert "The references" not in part.text


def test_the_frame_has_marks_and_references():
    found = ranking(with_references())
    assert set(found.loc[found["family"] == "gaussian", "mark"]) == {"worse than a uniform guess"}
    own = found[found["reference"] == 1].set_index("family")
    assert set(own.index) == {"histogram", "uniform", "xz", "no_latent:gaussian", "no_latent:logistic"}
    assert own.loc["histogram", "verdict"] == "worse"
    assert own.loc["histogram", "low"] < own.loc["histogram", "value"] < own.loc["histogram", "high"]
    assert np.isnan(own.loc["xz", "low"])
    assert found.loc[found["reference"] == 0, "train_samples"].notna().all()
    assert ranking(with_references(9.0)).set_index("label").loc["histogram", "verdict"] == "better"


# -- what is no fact ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("score", "by_its_bound"), [(4.6, "worse than a uniform guess"), (3.0, "says less than")])
def test_a_bound_that_is_left_out_is_not_said_to_be_worse(score: float, by_its_bound: str, tmp_path: Path) -> None:
    """Its true value is better than the bound by an unknown amount, and may be better than the reference."""
    tables = planted([of("categorical", 2.0), of("beta_binomial", 2.1), of("gaussian", score, "pixel", "binned")])
    tables = held(tables, histogram=best_scores(tables) - 20 + np.random.default_rng(0).normal(0, 1, 40))
    ranked = ranking_text(tables)
    assert "~" in ranked, "as long as it is ranked"
    left = doubted(tables, lambda cells: cells["family"] == "gaussian")
    assert "~" not in ranking_text(left)
    assert "worse than a uniform" not in ranking_text(left)
    assert set(ranking(left)["mark"]) == {""}
    shown = section(read(build(left, tmp_path / "index.html")), "ranking")
    assert f"by its bound {by_its_bound}" in shown.text


@pytest.mark.parametrize(
    ("score", "images", "said"),
    [
        (4.3, 40, "is worse than a uniform guess"),
        (4.09, 40, "is not shown to be better than a uniform guess"),
        (4.08, 40, "is not shown to be better than a uniform guess"),
    ],
)
def test_worse_than_a_uniform_guess_is_said_beyond_noise_alone(
    score: float, images: int, said: str, tmp_path: Path
) -> None:
    tables = planted([of("categorical", score), of("beta_binomial", 5.0)], images=images)
    board = boards(tables)[0]
    low, high = board.ranked[0].value.low, board.ranked[0].value.high
    assert (low > board.uniform) == ("worse" in said)
    assert high > board.uniform
    spoken = sentences(board)
    assert spoken.headline.striptags() == f"categorical, the first configuration, {said}"
    assert f"but it {said} (4.087)" in spoken.quote.striptags()
    assert mark(board, board.ranked[0]) == said.removeprefix("is ")
    line = next(line for line in ranking_text(tables).splitlines() if line.startswith("1  "))
    assert line.split()[2] == ("~~" if "worse" in said else "~~?")
    assert line.endswith("first"), "nobody is best who does not beat a uniform guess"
    assert rows(tables, tmp_path)[0].one("span", class_="tag").text == "first"


def test_below_twenty_images_references_are_not_judged_in_words_either() -> None:
    tables = planted([of("categorical", 2.0), of("beta_binomial", 2.1)], images=12)
    near = held(tables, histogram=best_scores(tables) + 1.0, xz=-150.0)
    spoken = sentences(boards(near)[0])
    few_images = "Too few test images to rank by: 12, and a verdict needs 20"
    ahead = "by their means the reference histogram is ahead of categorical, the first configuration"
    assert spoken.headline.striptags() == f"{few_images}; {ahead}"
    assert "but by its mean it is not ahead of the reference histogram (" in spoken.quote.striptags()
    both = sentences(boards(held(tables, histogram=best_scores(tables) + 1.0, xz=-10.0))[0])
    assert "by their means the references xz and histogram are ahead of categorical" in both.headline.striptags()
    for said in (spoken, both):
        assert not any(word in said.headline + said.gap + said.quote for word in ("beat", "worse than", "not shown"))
    behind = sentences(boards(held(tables, histogram=best_scores(tables) - 9.0))[0])
    assert behind.headline.striptags() == few_images


def test_below_twenty_images_a_uniform_guess_is_ahead_by_the_means() -> None:
    tables = planted([of("categorical", 4.6)], images=12)
    spoken = sentences(boards(tables)[0])
    assert spoken.headline.striptags().endswith(
        "needs 20; by their means a uniform guess is ahead of categorical, the first configuration"
    )
    assert "but it is by its mean behind a uniform guess (4.087)" in spoken.quote.striptags()
    assert mark(boards(tables)[0], boards(tables)[0].ranked[0]) == "not shown to be better than a uniform guess"
