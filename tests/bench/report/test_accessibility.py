"""What keeps people from using a page, looked for by axe-core: every part opened, from a phone to a wide screen, in
both themes. No page asks for anything, or complains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.report import build
from bench.store import RunTables
from tests.bench.report import fake_run, many_cells
from tests.bench.report.runs import few

if TYPE_CHECKING:
    from playwright.sync_api import Browser

OPEN = "document.querySelectorAll('main details:not(.menu)').forEach(part => { part.open = true; })"


def found(browser: Browser, page: Path, width: int, scheme: str) -> list[dict[str, Any]]:
    """Violations, with what the page asked for or complained of; nothing may be wider than the screen."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    amiss: list[dict[str, Any]] = []
    with browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:  # type: ignore[arg-type]
        opened = context.new_page()
        opened.on("console", lambda message: amiss.append({"said": message.text}))
        opened.on("pageerror", lambda error: amiss.append({"error": str(error)}))
        opened.on("request", lambda asked: amiss.append({"asked": asked.url}))
        opened.goto(page.as_uri())
        opened.evaluate(OPEN)
        if (across := opened.evaluate("document.documentElement.scrollWidth")) > width:
            amiss.append({"across": across})
        violations = axe.run(opened, options={"resultTypes": ["violations"]}).response["violations"]
        amiss += [{"rule": one["id"], "where": [node["html"][:200] for node in one["nodes"][:3]]} for one in violations]
    own = (page.as_uri(), "data:")
    return [one for one in amiss if "asked" not in one or not one["asked"].startswith(own)]


def failed(tables: RunTables, every: int) -> RunTables:
    """The run with one cell of `every` that gave a result."""
    lost = [place % every != 0 for place in range(len(tables.cells))]
    tables.cells.loc[lost, "status"] = "failed"
    tables.cells.loc[lost, "reason"] = "the loss became nan at step 7"
    return tables


@pytest.fixture(scope="module")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A page by its name, built once for all widths and themes."""
    made: dict[str, Path] = {}
    runs: dict[str, Callable[[], RunTables]] = {
        "few": few,
        "mostly failed": lambda: failed(fake_run.tables(fake_run.few(), images=40, seeds=[0, 1, 2]), 4),
        "all failed": lambda: failed(fake_run.tables(fake_run.few(), images=40, seeds=[0]), 10_000),
        "many": lambda: fake_run.tables(many_cells.many(130), images=30, seeds=[0], pictures=False, throughput=False),
    }

    def page(name: str) -> Path:
        if name not in made:
            tables = runs[name]()
            if name == "all failed":
                tables.cells["status"] = "failed"
            made[name] = build(tables, tmp_path_factory.mktemp("page") / "index.html")
        return made[name]

    return page


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (768, "dark"), (1280, "light"), (2560, "dark")])
def test_a_page_is_clean(browser: Browser, page_of: Callable[[str], Path], width: int, scheme: str) -> None:
    assert found(browser, page_of("few"), width, scheme) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [("mostly failed", 360, "dark"), ("all failed", 1280, "light"), ("many", 1280, "dark"), ("many", 360, "light")],
)
def test_odd_pages_are_clean(
    browser: Browser, page_of: Callable[[str], Path], name: str, width: int, scheme: str
) -> None:
    assert found(browser, page_of(name), width, scheme) == []


@pytest.mark.slow
def test_axe_finds_what_is_planted(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text("<!doctype html><html><title>x</title><main><img src='data:,'><p style='width:2000px'>y</p></main>")
    amiss = found(browser, page, 360, "light")
    assert {one.get("rule") for one in amiss} >= {"image-alt", "html-has-lang"}
    assert any(one.get("across", 0) > 360 for one in amiss)
