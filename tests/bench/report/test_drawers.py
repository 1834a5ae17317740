"""A drawer a configuration: what is in it is what the run holds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import jinja2
import numpy as np
import pytest
import torch

from bench.report import build
from bench.report import page as pages
from bench.report.figures import Looks
from bench.report.tables import drawers as rooms
from bench.report.tables.drawers import Drawer, Drawers, anchor, drawings
from bench.report.tables.drawers.images import HEAVIEST, places
from bench.statistics.boards import boards
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.page_reader import Element
from tests.bench.report.runs import doubted, few
from vae_core.evaluate.conditional import spaced

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MEGABYTE = 1_000_000


def of_board(tables: RunTables, place: int = 0) -> Drawers:
    looks = Looks.of(tables.cells["family"])
    return rooms.drawers(boards(tables)[place], tables, looks, "board-1")


def rendered(found: Drawers) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pages.TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    macro = vars(environment.get_template("drawer.html.j2").module)["all_of"]
    return str(macro(SimpleNamespace(drawers=found, unit="bits/dim")))


def line(tables: RunTables, label: str) -> Drawer:
    return next(drawer for drawer in of_board(tables).lines if drawer.label == label)


def test_a_link_survives_a_new_rank_and_a_re_run() -> None:
    one, two = of_board(few()), of_board(doubted(few(), lambda cells: cells["family"] == "categorical"))
    assert [drawer.label for drawer in one.lines] != [drawer.label for drawer in two.lines]
    assert dict(one.links) == dict(two.links)


def test_ids_of_all_configurations_differ(tables: RunTables) -> None:
    configs = tables.cells["config"].unique()
    assert len({anchor(config) for config in configs}) == len(configs)


@pytest.mark.parametrize(
    ("sizes", "share"),
    [
        ([], []),
        ([12], [12]),
        ([2000], [100]),
        ([80, 90], [50, 50]),
        ([10, 2000], [10, 90]),
        ([500, 3, 60], [49, 3, 48]),
    ],
)
def test_a_page_has_a_hundred_drawers_for_all_its_boards(sizes: list[int], share: list[int]) -> None:
    assert rooms.shares(sizes) == share


def test_the_first_have_a_drawer_and_the_rest_none() -> None:
    tables = few()
    looks = Looks.of(tables.cells["family"])
    found = rooms.drawers(boards(tables)[0], tables, looks, "board-1", 3)
    assert [len(found.lines), found.beyond] == [3, len(boards(few())[0].everything) - 3]
    text = rendered(found)
    assert text.count('<details class="drawer"') == 3
    assert f"; {found.beyond} more have their lines alone" in text


def test_every_name_of_a_ranked_or_left_out_row_leads_into_its_own_drawer(shown: Element) -> None:
    inside = {
        part.attributes["id"]: drawer
        for drawer in shown.all("details", class_="drawer")
        for part in drawer.all("div", class_="inside")
    }
    links = [
        (head, link)
        for table in (*shown.all("table", class_="ranked"), *shown.all("table", class_="left-out"))
        for head in table.all("th", class_="label")
        for link in head.all("a")
    ]
    assert len(links) == len(inside)
    for head, link in links:
        drawer = inside[link.attributes["href"].removeprefix("#")]
        assert drawer.all("summary")[0].text.strip().startswith(head.attributes["data-key"])


def test_scores_of_seeds_are_those_of_their_cells_and_inside_their_intervals() -> None:
    tables = few()
    cells = tables.cells.set_index("cell")
    for drawer in of_board(tables).lines:
        for seed in drawer.seeds:
            assert seed.score == f"{cells.loc[seed.cell, 'bits_per_dim']:.3f}"
            low, high = (float(end) for end in seed.interval.strip("[]").split(","))
            assert low <= float(seed.score) <= high


def test_a_failed_seed_stands_with_its_reason() -> None:
    tables = fake_run.tables()
    seeds = {seed.seed: seed for seed in line(tables, "logistic σ=pixel").seeds}
    assert seeds[1].score == ""
    assert seeds[1].ended == "timeout: it took longer than 600 s"
    assert seeds[0].score


def test_what_a_seed_is_worse_by_is_against_the_same_seed_of_the_best() -> None:
    tables = few()
    board = boards(tables)[0]
    best, second = board.ranked[:2]
    by_cell = tables.cells.set_index(["config", "seed"])["bits_per_dim"]
    for seed in line(tables, second.label).seeds:
        behind = by_cell[second.config, seed.seed] - by_cell[best.config, seed.seed]
        assert float(seed.worse) == pytest.approx(behind, abs=6e-4)
    assert {seed.worse for seed in line(tables, best.label).seeds} == {""}


def test_the_worst_and_best_images_are_those_of_the_paired_differences() -> None:
    tables = few()
    board = boards(tables)[0]
    row = board.ranked[1]
    worst, best = line(tables, row.label).ends
    lost = (board.samples[board.ranked[0].config].nats - board.samples[row.config].nats).mean(axis=0)
    assert worst.images[0].place == lost.argmax()
    assert best.images[0].place == lost.argmin()
    assert worst.images[0].text == f"+{lost.max() * board.scale:.3f}"


def test_the_best_is_held_against_the_mean_of_all_that_are_ranked() -> None:
    tables = few()
    board = boards(tables)[0]
    drawer = line(tables, board.ranked[0].label)
    mean = np.mean([board.samples[row.config].nats.mean(axis=0) for row in board.ranked], axis=0)
    lost = mean - board.samples[board.ranked[0].config].nats.mean(axis=0)
    assert drawer.ends[0].images[0].place == lost.argmax()
    assert f"the mean of all {len(board.ranked)} that are ranked" in drawer.ends_note


def test_what_is_left_out_is_compared_with_nothing() -> None:
    tables = doubted(few(), lambda cells: cells["family"] == "categorical")
    drawer = line(tables, "categorical")
    assert drawer.standing == "left out"
    assert drawer.caution
    assert {seed.worse for seed in drawer.seeds} == {""}
    assert [end.title for end in drawer.ends] == ["Largest k̂"]
    assert "Paired differences to the best" not in [drawing.title for drawing in drawer.drawings]


def test_pictures_are_kept_of_the_places_that_the_run_keeps() -> None:
    for count in (2, 8, 60, 297, 10_000):
        assert places(count, min(8, count)) == spaced(count, 8).tolist()
    assert spaced(297, 8).dtype == torch.int64


def test_a_noted_image_that_the_run_has_is_shown() -> None:
    tables = fake_run.tables(fake_run.few(), images=8, failures=False)  # eight, and the run keeps eight
    noted = [image for drawer in of_board(tables).lines for end in drawer.ends for image in end.images]
    assert noted
    assert all(image.picture.startswith("data:image/png") for image in noted)


def test_what_the_run_does_not_hold_has_no_part(tmp_path: Path) -> None:
    tables = few()
    bare = dataclasses.replace(
        tables,
        history=tables.history.iloc[:0],
        calibration=tables.calibration.iloc[:0],
        cells=tables.cells.drop(columns=["spec", "weights", "weights_reason"]),
        provenance=[],
        meta={},
    )
    drawer = line(bare, boards(bare)[0].ranked[1].label)
    assert drawer.again is None
    assert [drawing.title for drawing in drawer.drawings] == ["Paired differences to the best"]
    assert drawer.pictures is None
    assert build(bare, tmp_path / "bare.html").stat().st_size


def test_curves_of_one_epoch_are_none() -> None:
    course = few().history.groupby("cell").head(1)
    assert drawings.curves({0: course.head(1)}) is None


def test_bars_of_a_histogram_hold_every_image() -> None:
    worse = np.concatenate([np.linspace(-1, 1, 400), [90.0]])  # what lies beyond is in the last bar
    svg = str(drawings.differences(worse, 3))
    bars = svg.split('class="bars" d="')[1].split('"')[0]
    tops = [float(bar.split("V")[1].split("h")[0]) for bar in bars.split("M")[1:]]
    heights = np.array([drawings.HIGH - drawings.FOOT - top for top in tops])
    assert len(heights) == drawings.BARS
    counts = heights / heights.sum() * len(worse)
    assert counts[-1] == pytest.approx(17, abs=1)  # the highest percent, one step of the others' range, and the 90
    assert "−0.980" in svg


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (32, 32, 3)])
def test_forty_drawers_weigh_less_than_a_megabyte(shape: tuple[int, ...]) -> None:
    found = of_board(fake_run.tables(fake_run.few(), shape=shape, images=60, seeds=range(5)))
    links = sum(len(found.links[drawer.label]) for drawer in found.lines)
    assert (len(rendered(found).encode()) + links) * 40 / len(found.lines) < MEGABYTE


def test_names_and_reasons_are_text_and_no_markup() -> None:
    tables = fake_run.tables(label=lambda label: f"{label} <script>")
    text = rendered(of_board(tables))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_pictures_that_are_heavy_are_fewer() -> None:
    pictures = line(fake_run.tables(fake_run.few(), shape=(32, 32, 3), images=60), "categorical").pictures
    assert pictures is not None
    assert 1 <= pictures.count < 8
    assert sum(len(uri) for _, uri in pictures.kinds) < 1.5 * HEAVIEST


@pytest.mark.browser
def test_without_a_script_a_link_opens_its_drawer_and_only_that_is_printed(browser: Browser, tmp_path: Path) -> None:
    address = build(fake_run.tables(), tmp_path / "index.html").as_uri()
    with browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 800}) as context:
        page = context.new_page()
        page.goto(address)
        assert page.locator(".drawer[open]").count() == 0
        link = page.locator("table.ranked .label a").nth(2)
        link.focus()
        page.keyboard.press("Enter")
        opened = page.locator(".drawer[open] > .inside")
        opened.wait_for(state="visible")
        assert f"#{opened.get_attribute('id')}" == link.get_attribute("href")
        page.emulate_media(media="print")
        assert page.locator(".drawer:visible").count() == 1
