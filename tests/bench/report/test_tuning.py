"""What the page and the terminal say of tuning: choices, edges, candidates; and of runs without it."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.grid.read import parse_grid
from bench.report import ranking, ranking_text
from bench.report.figures import Looks
from bench.report.figures import tuning as figure
from bench.report.figures._looks import MUTED
from bench.report.text.training import training
from bench.report.text.tuning import at_edge, edges_text, procedure, remedy, value_text
from bench.statistics.boards import Board, boards
from bench.statistics.rows import matched
from bench.statistics.tuning import SHAPING
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.page_reader import Element
from tests.bench.report.runs import built, few, findings, said, section
from tests.bench.report.tuned_run import AT_EDGE, grey, tuned


def looks(board: Board) -> Looks:
    return Looks.of(row.family for row in board.everything)


def lines(shown: Element) -> dict[str, list[list[str]]]:
    """The candidates on the page by their configuration: the text of every cell but the label's."""
    found = {}
    for group in section(shown, "tuning").one("table", class_="tuned").all("tbody"):
        rows = [[cell.text for cell in row.children if isinstance(cell, Element)] for row in group.all("tr")]
        found[rows[0].pop(0)] = rows
    return found


def test_what_was_tuned_agrees_where_the_candidates_did() -> None:
    """Whatever was chosen of them, and though the run file has no number for a key that was tuned."""
    tables = tuned(logistic=AT_EDGE)
    assert tables.cells["learning_rate"].isna().all()
    rows = grey(tables).everything
    others = grey(few()).everything
    pixel = {row.family: row for row in rows if row.sigma == "pixel"}
    assert pixel["logistic"].in_use("learning_rate") == 0.03
    assert pixel["gaussian"].in_use("learning_rate") == 0.01
    assert matched(rows, pixel["logistic"]) == [row for row in rows if row.train_samples == 1]
    assert matched(others, pixel["gaussian"]) == []
    assert matched(grey(tuned(None, {"learning_rate": [0.01, 0.03]})).everything, pixel["gaussian"]) == []


def test_sizes_that_were_tuned_are_those_in_use() -> None:
    candidates: dict[str, list[Any]] = {"latent": [5, 10], "hidden": [[64], [128, 64]]}
    choice = {"chosen": {"latent": 10, "hidden": [128, 64]}, "edges": {"latent": 20}}
    tables = tuned(None, candidates, **dict.fromkeys(few().cells["family"].unique(), choice))
    assert {row.latent for row in grey(tables).everything} == {10}
    frame = ranking(tables)
    assert set(frame["hidden"]) == {"128,64"}
    assert set(frame["tuned"].map(json.loads).map(lambda values: values["latent"])) == {10}
    assert set(frame["tuned_edges"]) == {'{"latent": 20}'}
    assert "share no random numbers" in procedure(["latent", "hidden"])
    assert all("share no random numbers" in procedure([key]) for key in SHAPING)
    assert "share no random numbers" not in procedure(["learning_rate", "averaging"])


@pytest.mark.parametrize(
    ("edges", "keys", "text"),
    [
        ({"learning_rate": 0.09}, ["learning_rate"], "edge: also try 0.09"),
        ({"learning_rate": None}, ["learning_rate"], "edge"),
        ({}, ["learning_rate"], ""),
        ({"hidden": [400]}, ["hidden", "latent"], "edge: also try hidden [400]"),
        ({"hidden": None, "latent": 20}, ["hidden", "latent"], "edge of hidden: also try latent 20"),
        ({"learning_rate": 0.09}, ["learning_rate", "widths"], "edge: also try learning_rate 0.09"),
    ],
)
def test_an_edge_names_the_value_to_add(edges: dict[str, object], keys: list[str], text: str) -> None:
    assert edges_text(edges, keys) == text


@pytest.mark.parametrize(
    ("lines", "edges"),
    [
        ({"network": '"resnet"', "widths": "[[8], [16]]", "learning_rate": "[0.001, 0.01]"},
         {"widths": [32], "learning_rate": 0.1}),
        ({"network": '"mlp"', "hidden": "[[50], [100]]", "latent": "[2, 4]", "train_samples": "[1, 2]"},
         {"hidden": [200], "latent": 8, "train_samples": 4}),
    ],
)  # fmt: skip
def test_the_advice_to_the_letter_is_a_grid(lines: dict[str, str], edges: dict[str, Any]) -> None:
    """What the page, the terminal and the table of candidates say to add is a key and a value that a grid takes."""
    network = lines.pop("network")

    def tuned_in(given: dict[str, str]) -> dict[str, tuple[Any, ...]]:
        asked = "\n".join(f"{key} = {values}" for key, values in given.items())
        text = f"[grid]\nfamily = 'categorical'\nnetwork = {network}\n[tune]\n{asked}\n"
        return dict(parse_grid(text, "own", "own.toml").cells[0].tune)

    row = grey(tuned()).ranked[0]
    edged = dataclasses.replace(row, tuned=dataclasses.replace(row.tuned, candidates=tuned_in(lines), edges=edges))
    texts = remedy([edged]).striptags(), edges_text(edges, list(edges))
    said = [(key, value) for value, key in re.findall(r"([^ ]+) to (\w+)", texts[0])]
    tried = re.findall(r"(\w+) (\[?[\d., ]*\d\]?)(?=,? and |, |$)", texts[1])
    assert [key for key, _ in said] == [key for key, _ in tried] == list(edges)
    for advice in (said, tried):
        more = tuned_in(lines | {key: f"{lines[key][:-1]}, {value}]" for key, value in advice})
        assert {key: json.loads(json.dumps(values[-1])) for key, values in more.items()} == edges


def test_values_are_written_as_grids_write_them() -> None:
    assert [value_text(value) for value in (0.0001, 20, [200, 100], "relu")] == ["0.0001", "20", "[200, 100]", "relu"]


def test_the_headline_takes_up_a_winner_at_the_edge_and_says_the_remedy() -> None:
    best = grey(few()).ranked[0].family
    board = grey(tuned(**{best: AT_EDGE}))
    text = at_edge(board).striptags()
    assert text.startswith(f"What was tuned for {board.ranked[0].label} lies at the edge of its range")
    assert text.endswith("add 0.09 to learning_rate under [tune].")
    assert at_edge(board) in said(tuned(**{best: AT_EDGE})).gap


def test_one_far_behind_at_the_edge_is_left_to_the_findings() -> None:
    tables = tuned(bce_mean=AT_EDGE)
    assert at_edge(grey(tables)) == ""
    text = findings(said(tables))["Tuning"]
    assert "0.001 for none" in text
    assert re.search(r"1 of \d+ choices lies at the edge of its range: bce_mean .*\(0\.03\)", text)
    assert "add 0.09 to learning_rate under [tune]" in text


def test_where_the_rate_is_tuned_nobody_says_it_is_not() -> None:
    assert not any("tuned for none" in text for finding in training(grey(tuned())) for text in finding.texts)
    assert any("tuned for none" in text for finding in training(grey(few())) for text in finding.texts)


@pytest.mark.slow
def test_the_page_shows_every_candidate_and_what_became_of_it(tmp_path: Path) -> None:
    tables = tuned(categorical=AT_EDGE | {"diverged": 1})
    shown = built(tables, tmp_path)
    found = lines(shown)
    assert len(found) == tables.candidates["search"].nunique()
    first, second, third = found["categorical"]
    assert first[-1] == "left at epoch 20: beyond reach of the best"
    assert second[-1] == "diverged at epoch 7"
    assert third == ["0.03", "chosen edge: also try 0.09", "2.0000", "–", "–", "ended at epoch 50"]
    assert found["mse_sum"][2][2:5] == ["2.0100", "0.0100 ± 0.0020", "gaussian fitted"], "two scorings share one choice"
    table = section(shown, "ranking").all("table", class_="ranked")[0]
    place = [head.text for head in table.one("thead").all("th")].index("Tunedlearning rate")
    assert {row[1]: row[place] for row in table.rows()}["categorical"] == "0.03 edge: also try 0.09"
    assert "0.01" in {row[place] for row in table.rows()}


@pytest.mark.slow
def test_a_search_without_any_choice_is_shown_too(tmp_path: Path) -> None:
    tables = tuned(categorical={"chosen": {"learning_rate": 1.0}})
    gone = tables.cells["family"] == "categorical"
    cells = tables.cells.assign(status=tables.cells["status"].mask(gone, "failed"))
    cells.loc[gone, ["tuned", "tuned_edges"]] = ""
    found = lines(built(dataclasses.replace(tables, cells=cells), tmp_path))
    assert list(found)[-1] == "categorical nothing to choose"


def test_the_figure_ends_each_line_where_its_candidate_ended() -> None:
    tables = tuned(gaussian={"diverged": 0})
    board = grey(tables)
    drawn = figure.draw(board, tables, looks(board))
    assert drawn is not None
    assert len(drawn.axes) == len(board.everything) - 1 <= figure.MOST_PANELS, "two scorings of mse_sum share one"
    for axes in drawn.axes:
        curves = [line for line in axes.lines if np.size(line.get_xdata()) > 1]
        assert sorted(np.max(line.get_xdata()) for line in curves) in ([20, 50, 50], [7, 50, 50])
        assert [line.get_color() != MUTED for line in curves] == [False, False, True], "the chosen one, on top"
        assert any("✓" in text.get_text() for text in axes.texts)


@pytest.mark.slow
def test_many_configurations_and_candidates_stay_a_page(tmp_path: Path) -> None:
    many = fake_run.settings(sigmas=tuple(np.geomspace(0.01, 2, 12)))
    tables = tuned(
        fake_run.tables(many, seeds=[0], images=30, pictures=False),
        {"learning_rate": [0.001, 0.003, 0.01, 0.03], "latent": [5, 10, 20]},
        **{setting.family: {"chosen": {"learning_rate": 0.01, "latent": 10}} for setting in many},
    )
    board = grey(tables)
    drawn = figure.draw(board, tables, looks(board))
    assert drawn is not None
    assert len(drawn.axes) == figure.MOST_PANELS
    assert max(sum(np.size(line.get_xdata()) > 1 for line in axes.lines) for axes in drawn.axes) <= figure.MOST_LINES
    shown = built(tables, tmp_path)
    assert (tmp_path / "index.html").stat().st_size < 1_800_000
    assert all(len(rows) == 12 for rows in lines(shown).values())
    assert max(map(len, ranking_text(tables).splitlines())) <= 80


def test_the_terminal_shows_choices_where_they_fit_and_marks_edges() -> None:
    best = grey(few()).ranked[0].family
    for width in (60, 80, 100, 120):
        text = ranking_text(tuned(**{best: AT_EDGE}), width)
        assert max(map(len, text.splitlines())) <= width
        assert "add 0.09 to learning_rate" in " ".join(text.split())
    assert re.search(rf"1  {best}.*  0\.03\*  ", text)
    assert "* what was tuned lies at the edge of its range" in " ".join(text.split())
    assert "tuned  " not in ranking_text(few(), 120)


def older(lacking: str) -> RunTables:
    """A run of before there was tuning."""
    tables, names = few(), ["tune", "search", "tuned", "tuned_edges"]
    cells = {
        "columns": tables.cells.drop(columns=names),
        "values": tables.cells.assign(**dict.fromkeys(names)),
        "tables": tables.cells,
    }[lacking]
    return dataclasses.replace(tables, cells=cells, candidates=pd.DataFrame(), candidate_history=pd.DataFrame())


@pytest.mark.parametrize("lacking", ["columns", "values", "tables"])
def test_runs_of_before_there_was_tuning_are_told_without_a_word_of_it(lacking: str) -> None:
    tables = older(lacking)
    assert "Tuning" not in findings(said(tables))
    assert not any(row.tuned for board in boards(tables) for row in board.everything)
    assert figure.draw(grey(tables), tables, looks(grey(tables))) is None
    assert ranking_text(tables) == ranking_text(few())


@pytest.mark.slow
@pytest.mark.parametrize("lacking", ["columns", "tables"])
def test_their_page_has_no_such_section(lacking: str, tmp_path: Path) -> None:
    shown = built(older(lacking), tmp_path)
    assert not any(part.attributes["id"] == "tuning" for part in shown.all("section"))
    assert "#tuning" not in [link.attributes["href"] for link in shown.all("a")]
