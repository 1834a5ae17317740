"""The page, the terminal and the summary on whether a ranking carries over to other networks and data."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from bench.report import build, markdown, ranking_text
from bench.report.tables.claims import carry as module
from bench.report.tables.claims.carry import carry
from bench.report.text.claims.carry import sentences, short
from bench.statistics.boards import boards
from bench.statistics.claims import carry as statistics
from bench.statistics.claims.carry import carried
from bench.statistics.claims.contexts import contexts
from bench.store import RunTables
from tests.bench.report.page_reader import Element, read
from tests.bench.report.runs import built, few, section
from tests.bench.report.test_accessibility import found as amiss
from tests.bench.statistics.carried import ORDER, run, scores

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SWAPPED = ("gaussian σ=shared", "gaussian σ=pixel", *ORDER[2:])
QUESTION = "Does the ranking carry over?"


@functools.cache
def alike() -> RunTables:
    return run({("digits", "mlp"): scores(), ("digits", "conv"): scores(first=2, step=0.2)}, seeds=(0, 1))


@functools.cache
def several() -> RunTables:
    """Networks that agree, data that do not, and one context with too little to compare."""
    few_here = {name: score for name, score in scores().items() if name in ORDER[:2]}
    given = {
        ("digits", "mlp"): scores(),
        ("digits", "conv"): scores(SWAPPED),
        ("patches", "mlp"): scores(ORDER[::-1], first=4),
        ("frey", "mlp"): few_here,
    }
    return run(given, images={"digits": 40, "patches": 30, "frey": 30}, seeds=(0, 1))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of a run with several contexts."""
    return build(several(), tmp_path_factory.mktemp("page") / "index.html")


@pytest.fixture(scope="module")
def shown(page: Path) -> Element:
    """Its section."""
    return section(read(page), "carry")


def said(tables: RunTables) -> list[str]:
    return [text.striptags() for found in carried(boards(tables)) for text in sentences(found)]


def test_a_page_of_one_context_does_not_ask(tmp_path: Path) -> None:
    page = built(few(), tmp_path)
    assert "carry" not in {element.attributes.get("id") for element in page.all("section")}
    assert QUESTION not in markdown(few())
    assert "contexts of data" not in ranking_text(few())


def test_what_carries_over_is_said_first_with_its_interval(tmp_path: Path) -> None:
    (sentence,) = said(alike())
    assert sentence.replace("\u00a0", " ") == (
        "To another network on the same data (digits: convolutional network and MLP) the ranking carries over: τ = "
        "1.00 [1.00, 1.00]; of 15 pairs of 6 likelihoods 15 surely keep their order, 0 surely turn round and 0 are "
        "open."
    )
    shown = section(built(alike(), tmp_path), "carry").text
    assert shown.index(QUESTION) < shown.index("the ranking carries over") < shown.index("A context is a data set")
    assert "Pairs that surely turn round" not in shown


def test_networks_and_data_are_told_apart_and_what_turns_round_is_named() -> None:
    network, data, both = said(several())
    assert network.startswith(
        "To another network on the same data (digits: convolutional network and MLP) the ranking carries over in part"
    )
    assert network.endswith("What turns round: gaussian σ=pixel and gaussian σ=shared.")
    assert data.startswith(
        "To other data with the same network the ranking turns round in 1 and is not compared in 2 of 3"
    )
    assert both.startswith(
        "To another network and other data the ranking turns round in 1 and is not compared in 1 of 2"
    )


def test_networks_of_one_kind_and_two_sizes_are_not_called_the_same() -> None:
    tables = run({("digits", "mlp"): scores(), ("patches", "mlp"): scores()}, seeds=(0,))
    assert said(tables)[0].startswith("To other data with the same network (MLP: digits and patches) the ranking")
    cells = tables.cells.assign(latent=[4 if name == "patches" else 16 for name in tables.cells["dataset"]])
    assert said(dataclasses.replace(tables, cells=cells))[0].startswith(
        "To other data with a network of the same kind in other settings (MLP: digits and patches) the ranking"
    )


def test_one_network_of_several_on_one_data_set_is_the_same_on_the_other(tmp_path: Path) -> None:
    """Digits with perceptrons of latent 10 and 16, patches with one of 10: three different statements."""
    names = [("digits", "mlp"), ("digits", "conv"), ("patches", "mlp")]
    tables = run(dict.fromkeys(names, scores()), seeds=(0,))
    cells = tables.cells.assign(
        latent=[16 if name == "conv" else 10 for name in tables.cells["network"]], network="mlp"
    )
    tables = dataclasses.replace(tables, cells=cells)
    network, data, settings = (text.partition(" the ranking ")[0] for text in said(tables))
    assert network == "To another network on the same data (digits: MLP latent=10 and MLP latent=16)"
    assert data == "To other data with the same network (MLP latent=10: digits and patches)"
    assert settings == (
        "To other data with a network of the same kind in other settings (digits, MLP latent=16 and patches, MLP "
        "latent=10)"
    )
    table = next(one for one in section(built(tables, tmp_path), "carry").all("table"))
    assert [row.all("td")[0].text.strip() for row in table.all("tr")[1:]] == [
        "network",
        "data",
        "data and network settings",
    ]


def test_the_pairs_that_turn_round_have_both_differences(shown: Element) -> None:
    (table,) = (one for one in shown.all("table") if one.attributes["id"] == "carry-pmf-k-turns")
    rows = [[cell.text.strip() for cell in (*row.all("th"), *row.all("td"))] for row in table.all("tr")[1:]]
    assert len(rows) == 1 + 15 + 14
    better, worse, one, lead, other, lag = rows[0]
    assert (better, worse, one, other) == (
        "gaussian σ=shared",
        "gaussian σ=pixel",
        "digits, convolutional network",
        "digits, MLP",
    )
    assert all(by.startswith("0.") and "[0." in by for by in (lead, lag))


def test_too_little_to_compare_is_said_in_words(shown: Element) -> None:
    assert "2 likelihoods are ranked in both with all else alike, and an order needs 3" in shown.text
    tables = run({("digits", "mlp"): scores(), ("patches", "mlp"): scores()}, images={"digits": 40, "patches": 10})
    assert said(tables) == [
        "To other data with the same network (MLP: digits and patches) the ranking is not judged: fewer than 20 test "
        "images, or blocks of them, in one of the two."
    ]


def test_the_terminal_says_it_in_two_lines() -> None:
    block = next(block for block in ranking_text(several()).split("\n\n") if block.startswith("In 4 contexts"))
    lines = block.splitlines()
    assert len(lines) <= 3
    assert max(map(len, lines)) <= 80
    assert " ".join(lines) == (
        "In 4 contexts of data and network, two at a time, the ranking carries over in part once, turns round 2 times "
        "and is not compared 3 times; of 45 pairs 30 surely turn round."
    )


def test_the_terminal_counts_no_pairs_that_are_not_judged() -> None:
    given = {("digits", "mlp"): scores(), ("digits", "conv"): scores(), ("patches", "mlp"): scores()}
    (found,) = carried(boards(run(given, images={"digits": 40, "patches": 10}, seeds=(0,))))
    assert sum(one.pairs for one in found.comparisons) > 15, "those of the ones that are not judged"
    assert short(found) == (
        "In 3 contexts of data and network, two at a time, the ranking carries over once and is not judged 2 times; of "
        "15 pairs 0 surely turn round."
    )


def test_page_and_terminal_compare_contexts_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    looked = Mock(wraps=contexts)
    monkeypatch.setattr(statistics, "contexts", looked)
    ranked = boards(alike())
    build(alike(), tmp_path / "index.html", ranked)
    assert "In 2 contexts" in ranking_text(alike(), ranked=ranked)
    assert looked.call_count == 1


def test_the_summary_has_the_sentences() -> None:
    text = markdown(several())
    assert text.count(QUESTION) == 1
    assert "the ranking **carries over in part**" in text


def test_a_long_list_says_how_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "MOST_TURNS", 3)
    tables = run({("digits", "mlp"): scores(), ("digits", "conv"): scores(ORDER[::-1])}, seeds=(0,), images=24)
    (part,) = carry(boards(tables))
    assert (len(part.turns), part.all_turns) == (3, 15)
    assert "The first 3 of 15." in section(built(tables, tmp_path), "carry").text


def test_names_are_only_names(tmp_path: Path) -> None:
    tables = run({("digits", "mlp"): scores(), ("patches", "mlp"): scores()})
    tables.cells["dataset"] = tables.cells["dataset"].replace("patches", "<b>&x</b>.npy")
    tables.meta["data"] = {key.replace("patches", "<b>&x</b>.npy"): facts for key, facts in tables.meta["data"].items()}
    page = build(tables, tmp_path / "index.html")
    assert "b>.npy and digits" in section(read(page), "carry").text
    assert "<b>&x" not in page.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_the_section_is_clean(browser: Browser, page: Path, width: int, scheme: str) -> None:
    assert amiss(browser, page, width, scheme) == []
