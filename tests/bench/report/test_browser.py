"""The page in a real browser: silent, without network, never wider than the screen, sortable, usable by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.report import build
from tests.bench.report import fake_run, many_cells

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    long = "a label that is very much longer than the labels of the shipped grids are"
    tables = fake_run.tables(label=lambda label: label.replace("mse_sum", f"mse_sum {long}"))
    path: Path = build(tables, tmp_path_factory.mktemp("page") / "index.html")
    return path.as_uri()


@pytest.fixture(params=[pytest.param(1280, id="desktop"), pytest.param(390, id="phone", marks=pytest.mark.slow)])
def page(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page at one width; every test that uses it also fails on a message in the console or a request."""
    complaints: list[str] = []
    with browser.new_context(viewport={"width": request.param, "height": 900}) as context:
        opened = context.new_page()
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on(
            "request",
            lambda asked: None if asked.url.startswith(("data:", address)) else complaints.append(asked.url),
        )
        opened.goto(address)
        yield opened
        assert complaints == []


def test_body_is_never_wider_than_the_screen(page: Page) -> None:
    for details in page.query_selector_all("summary"):
        details.click()
    widths = page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[2]
    assert widths[1] <= widths[2]
    assert page.evaluate("[...document.querySelectorAll('table.ranked')].some(t => t.scrollWidth > 400)")


def test_the_answer_stands_on_the_first_screen(page: Page) -> None:
    box = page.locator("#verdict article").first.locator("h3").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 900
    if page.viewport_size and page.viewport_size["width"] > 860:  # which to use, how surely, at what cost
        card = page.locator("#verdict article").first.locator("aside.card dl").bounding_box()
        assert card is not None
        assert card["y"] + card["height"] < 900


def test_a_click_sorts_and_a_second_click_turns_round(page: Page) -> None:
    table = page.locator("table.ranked").first
    head = table.locator("thead th", has_text="ELBO")
    place = head.evaluate("head => head.cellIndex")

    def column() -> list[float]:
        keys = table.locator("tbody tr").evaluate_all(f"rows => rows.map(row => row.cells[{place}].dataset.key)")
        return [float(key) for key in keys]

    before = column()
    head.locator("button").click()
    assert column() == sorted(before)
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").click()
    assert column() == sorted(before, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    assert table.locator("thead th[aria-sort]").count() == 1
    table.locator("thead button").first.click()
    assert column() == before


def test_what_is_missing_sorts_last_in_both_directions(page: Page) -> None:
    table = page.locator("table.ranked").first
    head = table.locator("thead th", has_text="Dequantised")
    place = head.evaluate("head => head.cellIndex")
    for _ in range(2):
        head.locator("button").click()
        keys = table.locator("tbody tr").evaluate_all(f"rows => rows.map(row => row.cells[{place}].dataset.key)")
        assert keys.count("") == 1
        assert keys[-1] == ""


def test_what_is_left_out_and_what_is_diagnosed_can_be_sorted_too(page: Page) -> None:
    for details in page.query_selector_all("#diagnostics summary"):
        details.click()
    for name, head in (("left-out", "At least this good"), ("diagnosed", "Noise")):
        table = page.locator(f"table.{name}").first
        button = table.locator("thead th", has_text=head)
        place = button.evaluate("head => head.cellIndex")
        button.locator("button").click()
        keys = table.locator("tbody tr").evaluate_all(
            f"rows => rows.map(row => Number(row.cells[{place}].dataset.key))"
        )
        assert len(keys) >= 3
        assert keys == sorted(keys)


def test_the_reasons_for_leaving_out_are_read_without_scrolling_at_a_desk(page: Page) -> None:
    room = page.viewport_size
    assert room is not None
    for reason in page.locator("table.left-out .reason").all():
        box = reason.bounding_box()
        assert box is not None
        assert room["width"] < 1000 or box["x"] + box["width"] <= room["width"]


def test_names_are_sorted_by_keyboard(page: Page) -> None:
    table = page.locator("table.ranked").first
    table.locator("thead button", has_text="Likelihood").focus()
    page.keyboard.press("Enter")
    names = table.locator("tbody th").evaluate_all("heads => heads.map(head => head.dataset.key)")
    assert len(names) == 38
    assert names == sorted(names)


def test_the_catalogue_opens_and_fits(page: Page) -> None:
    entries = page.locator("#catalogue article")
    assert not entries.first.is_visible()
    page.locator("#catalogue summary").click()
    room = page.viewport_size
    assert room is not None
    for entry in entries.all():
        assert entry.is_visible()
        for part in entry.locator("h4, p, code, dt, dd").all():
            box = part.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= room["width"]


def test_details_open(page: Page) -> None:
    grid = page.locator("#grid")
    assert not grid.locator("pre").is_visible()
    grid.locator("summary").click()
    assert grid.locator("pre").is_visible()


def test_table_headers_stay_in_sight(page: Page) -> None:
    area = page.locator(".tall").first
    area.evaluate("area => area.scrollTop = 600")
    top = area.bounding_box()
    head = area.locator("thead th").first.bounding_box()
    assert top is not None
    assert head is not None
    assert head["y"] == pytest.approx(top["y"], abs=2)
    assert area.evaluate("area => area.scrollTop") == 600


def test_pictures_are_loaded_and_crisp(page: Page) -> None:
    images = page.locator(".pictures img")
    assert images.count() > 10
    assert images.evaluate_all("images => images.every(image => image.complete && image.naturalWidth > 0)")
    style = images.first.evaluate("image => getComputedStyle(image).imageRendering")
    assert style == "pixelated"


def test_both_colour_schemes_change_figures_too(page: Page) -> None:
    def colours() -> list[str]:
        found: list[str] = page.evaluate(
            "['body', 'svg.figure text'].map(name => getComputedStyle(document.querySelector(name)))"
            ".flatMap(style => [style.backgroundColor, style.fill])"
        )
        return found

    page.emulate_media(color_scheme="light")
    light = colours()
    page.emulate_media(color_scheme="dark")
    dark = colours()
    assert light[0] != dark[0]
    assert light[3] != dark[3]


@pytest.mark.slow
def test_a_long_table_is_sorted_whole_and_laid_out_in_parts(browser: Browser, tmp_path: Path) -> None:
    tables = fake_run.tables(many_cells.many(280), images=30, seeds=[0], pictures=False, throughput=False)
    address = build(tables, tmp_path / "index.html").as_uri()
    everything, laid_out = "table.ranked >> nth=0 >> tbody tr", "table.ranked >> nth=0 >> tbody tr:visible"
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        opened = context.new_page()
        opened.goto(address)
        count = opened.locator(everything).count()
        assert opened.locator(laid_out).count() == 200 < count
        table = opened.locator("table.ranked").first
        table.evaluate("""table => {
            const body = table.tBodies[0], whole = body.replaceChildren;
            table.moved = 0;
            body.replaceChildren = (...rows) => { table.moved += 1; whole.apply(body, rows); };
        }""")
        for head, words in (("Likelihood", True), ("ELBO", False)):
            place = table.locator("thead th", has_text=head).evaluate("head => head.cellIndex")
            table.locator("thead button", has_text=head).click()
            texts = table.locator("tbody tr").evaluate_all(
                f"rows => rows.map(row => row.cells[{place}].dataset.key ?? row.cells[{place}].textContent)"
            )
            assert len(texts) == count
            keys = texts if words else [float(text.replace("−", "-").replace(",", "")) for text in texts]
            assert words or keys == sorted(keys)
        assert table.evaluate("table => table.moved") == 2, "all rows at once, whatever their number"
        opened.locator("table.ranked >> nth=0").evaluate(
            "table => { table.scrollIntoView(); table.parentNode.scrollTo(0, 1e6); }"
        )
        opened.wait_for_function("document.querySelectorAll('table.ranked')[0].querySelectorAll('.later').length === 0")
        opened.emulate_media(media="print")
        assert opened.locator(laid_out).count() == count
    with browser.new_context(java_script_enabled=False) as context:
        opened = context.new_page()
        opened.goto(address)
        assert opened.locator(laid_out).count() == count


def test_odd_names_widen_nothing_and_run_nothing(browser: Browser, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>" + "שם-ארוך" * 30
    tables = fake_run.tables(fake_run.few(), images=30, seeds=[0], label=lambda label: label.replace("gaussian", name))
    address = build(tables, tmp_path / "index.html").as_uri()
    complaints: list[str] = []
    with browser.new_context(viewport={"width": 360, "height": 900}) as context:
        opened = context.new_page()
        opened.on("dialog", lambda dialog: dialog.dismiss())
        opened.on("dialog", lambda dialog: complaints.append(dialog.message))
        opened.on("console", lambda message: complaints.append(message.text))
        opened.goto(address)
        opened.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert opened.evaluate("document.documentElement.scrollWidth") <= 360
    assert complaints == []
