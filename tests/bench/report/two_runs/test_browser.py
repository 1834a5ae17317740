"""The page of a comparison in a real browser: silent, never wider than the screen, sortable, clean under axe."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.report.two_runs import page as pages
from tests.bench.report import fake_run
from tests.bench.report.two_runs.test_page import compared
from tests.bench.statistics.two_runs import CHOSEN, asked, changed, shifted

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.browser
WIDTHS = (360, 768, 1280, 2560)


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A pair with everything in it, names of 200 letters too; and one with nothing in common."""
    folder: Path = tmp_path_factory.mktemp("page")
    before = fake_run.tables(CHOSEN, failures=False, pictures=False)
    after = asked(shifted(shifted(before, "laplace", -1.5, noise=0.1), "categorical", 2.0, noise=0.1), epochs=7)
    after = changed(
        changed(after, "logistic", status="failed", reason="out of memory " * 20), "laplace", label="a" * 200
    )
    full = pages.build(compared(before, after, "epochs", names=("old/" * 40, "new")), folder / "full.html")
    empty = pages.build(compared(before, asked(before, epochs=7)), folder / "empty.html")
    return [full.as_uri(), empty.as_uri()]


def opened(context: BrowserContext, address: str) -> tuple[Page, list[str]]:
    """A page, and what it says to the console or asks of the network."""
    complaints: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asks: None if asks.url.startswith(("data:", address)) else complaints.append(asks.url))
    page.goto(address)
    return page, complaints


@pytest.mark.parametrize("width", [WIDTHS[0], *(pytest.param(more, marks=pytest.mark.slow) for more in WIDTHS[1:])])
def test_it_is_silent_and_never_wider_than_the_screen(browser: Browser, addresses: list[str], width: int) -> None:
    with browser.new_context(viewport={"width": width, "height": 900}) as context:
        for address in addresses:
            page, complaints = opened(context, address)
            for summary in page.query_selector_all("summary"):
                summary.click()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing(browser: Browser, addresses: list[str], width: int, scheme: Any) -> None:
    pytest.importorskip("axe_playwright_python", reason="needs the Python package axe-playwright-python")
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    with browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        for address in addresses:
            page, _ = opened(context, address)
            for summary in page.query_selector_all("summary"):
                summary.click()
            page.evaluate(axe)
            found = page.evaluate("axe.run()")["violations"]
            assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found] == []


def test_it_sorts_by_keyboard_and_back(browser: Browser, addresses: list[str]) -> None:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page, _ = opened(context, addresses[0])
        table = page.locator("table.differing").first

        def names() -> list[str]:
            keys: list[str] = table.locator("tbody th").evaluate_all("heads => heads.map(head => head.dataset.key)")
            return keys

        before = names()
        table.locator("thead button", has_text="Likelihood").focus()
        page.keyboard.press("Enter")
        assert names() == sorted(before)
        table.locator("thead button", has_text="Change").focus()
        page.keyboard.press("Enter")
        assert names() == before, "as it was: regressions first"


def test_without_javascript_every_number_and_verdict_is_there(browser: Browser, addresses: list[str]) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page, _ = opened(context, addresses[0])
        assert page.locator("h2").first.is_visible()
        rows = page.locator("table.differing tbody tr")
        assert rows.count() > 3
        for row in rows.all():
            assert row.locator(".tag").is_visible()
            assert row.locator("td.num").first.inner_text()


def test_the_verdict_and_both_origins_stand_on_the_first_screen(browser: Browser, addresses: list[str]) -> None:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page, _ = opened(context, addresses[1])
        for part in (page.locator("#verdict h2"), page.locator(".origins > div").last):
            box = part.bounding_box()
            assert box is not None
            assert box["y"] + box["height"] < 900
