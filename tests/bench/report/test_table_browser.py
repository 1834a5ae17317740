"""Tables in a real browser: filtered, columns chosen, what is shown copied, all of it in the address; and paper."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.report import build
from bench.store import RunTables
from tests.bench.report import fake_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

HARD = r'100% & {a} $x$ #_^~\ "q" <b> | `k̂` σ̂ − ≤ – é 中 [1] --'
COPIES = "Object.defineProperty(navigator, 'clipboard', {value: {writeText: async text => {window.copied = text}}})"
Opened = Callable[..., "Page"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    tables: RunTables = fake_run.tables(
        fake_run.few(), images=60, pictures=False, label=lambda label: label.replace("mse_sum", f"mse_sum {HARD}")
    )
    return build(tables, tmp_path_factory.mktemp("page") / "index.html").as_uri()


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Opened]:
    """Opens the page at a fragment; fails on every message in the console."""
    complaints: list[str] = []
    contexts = []

    def visit(fragment: str = "", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.add_init_script(COPIES)
        page.goto(address + fragment)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


def seen_in(page: Page, table: str = "table.ranked") -> list[list[str]]:
    """The heads and rows that can be seen, as the browser itself tells their text; drawings aside."""
    rows: list[list[str]] = page.locator(table).first.evaluate(
        "table => [...table.rows].filter(row => row.checkVisibility()).map(row => [...row.cells]"
        ".filter(cell => cell.checkVisibility() && !cell.matches('.drawing')).map(cell => cell.innerText.trim()))"
    )
    heads = [re.sub(r"\n+(.*)", r" (\1)", head) for head in rows[0]]
    return [[" ".join(cell.split()) for cell in row] for row in [heads, *rows[1:]]]


def copy(page: Page, form: str) -> str:
    page.evaluate("window.copied = null")
    page.locator(".toolbar").first.get_by_role("button", name=form).click()
    page.wait_for_function("window.copied !== null")
    text: str = page.evaluate("window.copied")
    return text


def tick(page: Page, menu: str, *choices: str) -> None:
    bar = page.locator(".toolbar").first
    bar.locator("summary", has_text=menu).click()
    for choice in choices:
        bar.get_by_role("checkbox", name=choice, exact=True).click()
    page.keyboard.press("Escape")


def test_what_all_rows_have_alike_is_hidden_and_said_above_the_table(opened: Opened) -> None:
    page = opened()
    heads = seen_in(page)[0]
    assert "L (evaluated)" not in heads
    said = page.locator(".same").first.inner_text()
    assert "L (evaluated) 1,000" in said
    name = re.compile("^L, the same in all")
    page.locator(".toolbar").first.locator("summary", has_text="Columns").click()
    page.get_by_role("checkbox", name=name).first.click()
    assert "L (evaluated)" in seen_in(page)[0]
    assert "L (evaluated)" not in page.locator(".same").first.inner_text()


def test_one_configuration_alone_keeps_its_columns(opened: Opened) -> None:
    page = opened()
    assert page.locator("#ranked-board-2 thead th").count() > page.locator("#ranked-board-2 thead th:visible").count()
    page.evaluate("document.querySelectorAll('#ranked-board-2 tbody tr + tr').forEach(row => row.remove())")
    page.evaluate("document.querySelector('#ranked-board-2 tbody td').append(' ')")  # a rewritten cell is looked at
    page.wait_for_function("document.querySelector('#ranked-board-2').closest('.scroll').previousElementSibling.hidden")
    heads = page.locator("#ranked-board-2 thead th")
    assert heads.count() == page.locator("#ranked-board-2 thead th:visible").count()


def test_without_script_every_column_is_there_and_no_tool(opened: Opened) -> None:
    page = opened(java_script_enabled=False)
    assert page.locator(".toolbar").count() == 0
    table = page.locator("table.ranked").first
    assert table.locator("thead th").count() == table.locator("thead th:visible").count()
    assert "L\nevaluated" in [head.inner_text() for head in table.locator("thead th").all()]


def test_rows_are_filtered_by_family_view_verdict_and_text(opened: Opened) -> None:
    page = opened()
    every = seen_in(page)
    tick(page, "Family", "gaussian")
    names = [row[1] for row in seen_in(page)[1:]]
    assert names
    assert all(name.startswith("gaussian") for name in names)
    assert "family: gaussian" in page.locator(".toolbar .count").first.inner_text()
    page.locator(".toolbar").first.get_by_role("button", name="Reset").click()
    assert seen_in(page) == every
    tick(page, "Verdict", "worse")
    place = every[0].index("Verdict")
    assert {row[place].split()[0] for row in seen_in(page)[1:]} == {"worse"}
    page.locator(".toolbar").first.get_by_role("button", name="Reset").click()
    tick(page, "View", "levels")
    assert [row[1] for row in seen_in(page)[1:]] == ["categorical"]
    page.locator(".toolbar").first.get_by_role("button", name="Reset").click()
    page.locator(".toolbar input[type=search]").first.fill("PIXEL logistic")
    page.wait_for_function("document.querySelectorAll('#ranked-board-1 tbody tr:not([hidden])').length === 1")
    assert seen_in(page)[1][1].startswith("logistic")


def test_the_address_brings_back_what_was_shown(opened: Opened) -> None:
    page = opened()
    page.locator("table.ranked").first.locator("thead th", has_text="Score").locator("button").click(click_count=2)
    tick(page, "Family", "gaussian", "logistic")
    tick(page, "Columns", "ELBO", "p")
    page.locator("nav a", has_text="Diagnostics").click()
    page.wait_for_function("location.hash.startsWith('#diagnostics&')")
    before, fragment = seen_in(page), page.evaluate("location.hash")
    assert "ELBO (nats)" not in before[0]
    assert len(before) < len(seen_in(opened()))
    again = opened(fragment)
    assert seen_in(again) == before
    assert again.evaluate("location.hash") == fragment
    assert opened().evaluate("location.hash") == ""


def test_a_damaged_address_shows_the_table_as_it_is(opened: Opened) -> None:
    whole = seen_in(opened())
    for fragment in (
        "#ranked-board-1.sort=nothing&ranked-board-1.family=%E0%A4%A&ranked-board-1.hide=x",
        "#ranked-board-1.family=nobody&ranked-board-1.baseline=nobody&ranked-board-1.else=1",
        "#nowhere&=&&%",
    ):
        assert seen_in(opened(fragment)) == whole


def test_csv_is_the_table_cell_by_cell(opened: Opened) -> None:
    page = opened()
    assert list(csv.reader(copy(page, "CSV").splitlines())) == seen_in(page)
    page.locator("table.ranked").first.locator("thead th", has_text="ELBO").locator("button").click()
    tick(page, "Family", "gaussian", "mse_sum")
    tick(page, "Columns", "Score")
    seen = seen_in(page)
    assert HARD.split()[0] in str(seen)
    assert list(csv.reader(copy(page, "CSV").splitlines())) == seen


def test_markdown_is_the_table_cell_by_cell(opened: Opened) -> None:
    page = opened()
    lines = copy(page, "Markdown").splitlines()
    read = [
        [re.sub(r"\\(.)", r"\1", cell.strip()) for cell in re.split(r"(?<!\\)\|", line.replace("\\\\", "\0"))[1:-1]]
        for line in lines
    ]
    rows = [[cell.replace("\0", "\\") for cell in row] for row in read]
    assert [rows[0], *rows[2:]] == seen_in(page)
    assert all(set(cell) <= {"-", ":"} for cell in rows[1])


def test_latex_has_every_cell_and_nothing_that_pdflatex_does_not_take(opened: Opened, tmp_path: Path) -> None:
    page = opened()
    text = copy(page, "LaTeX")
    body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("%"))
    assert body.isascii()
    plain = re.sub(r"\\[\\{}$&#%_]|\\[`'^~=.\"](?=\{)", lambda found: "\\\\\n" if found[0] == "\\\\" else "", body)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert not set("#%~") & set(plain)
    rows = [line for line in plain.splitlines() if "&" in line]
    seen = seen_in(page)
    assert len(rows) == len(seen) + 1  # heads take two lines: their units have one of their own
    assert {row.count("&") for row in rows} == {len(seen[0]) - 1}
    assert r"\^{k}" in body
    assert r"$\hat{\sigma}$" in body
    assert r"\texttt{U+4E2D}" in body
    if shutil.which("pdflatex"):
        source = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n" + text + "\\end{document}\n"
        (tmp_path / "table.tex").write_text(source, encoding="utf-8")
        done = subprocess.run(
            ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "table.tex"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:]
        assert "Missing character" not in (tmp_path / "table.log").read_text(encoding="latin-1")


def test_another_baseline_is_filtered_copied_and_kept(opened: Opened) -> None:
    page = opened()
    select = page.locator(".baseline select").first
    name = select.locator("option").nth(3).inner_text()
    select.select_option(label=name)
    place = seen_in(page)[0].index("Verdict")
    assert "better" in {row[place] for row in seen_in(page)[1:]}
    tick(page, "Verdict", "better")
    seen = seen_in(page)
    assert {row[place] for row in seen[1:]} == {"better"}
    assert list(csv.reader(copy(page, "CSV").splitlines())) == seen
    assert any(head.startswith(f"Worse than {name}") for head in seen[0])
    assert seen_in(opened(page.evaluate("location.hash"))) == seen


def test_rank_name_and_scale_stay_while_the_rest_is_scrolled(opened: Opened) -> None:
    for width in (360, 1280):
        page = opened(viewport={"width": width, "height": 900})
        row = page.locator("table.ranked tbody tr").first
        places = "row => [...row.cells].slice(0, 4).map(cell => cell.getBoundingClientRect().x)"
        before = row.evaluate(places)
        page.locator(".tall").first.evaluate("area => area.scrollLeft = 150")
        after = row.evaluate(places)
        assert after[:3] == pytest.approx(before[:3], abs=1)
        assert after[3] < before[3] - 50


def test_the_navigation_stays_and_covers_no_heading(opened: Opened) -> None:
    page = opened(reduced_motion="reduce")
    for link in page.locator("nav a").all():
        link.click()
        bottom = page.locator("nav").evaluate("nav => nav.getBoundingClientRect().bottom")
        assert 0 < bottom < 60
        heading = page.locator(f"{link.get_attribute('href')} h2").evaluate("h => h.getBoundingClientRect().top")
        assert heading >= bottom


def test_words_in_figures_can_be_read_on_a_phone(opened: Opened) -> None:
    page = opened(viewport={"width": 360, "height": 800})
    sizes = page.locator("svg.figure").evaluate_all(
        "all => all.flatMap(svg => [...svg.querySelectorAll('text')].map(text => parseFloat(getComputedStyle(text)"
        ".fontSize) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)).filter(size => size > 0)"
    )
    assert min(sizes) >= 8.9


def test_paper_shows_what_is_folded_and_no_tools(opened: Opened) -> None:
    page = opened()
    folded = "document.querySelectorAll('details:not(.menu, .drawers, .drawer, .drawer details):not([open])').length"
    before = page.evaluate(folded)
    assert before
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(folded) == 0
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("nav").is_visible()
    assert not page.locator(".toolbar").first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).getPropertyValue('--paper')").strip() == "#fefefe"
    dots = page.locator(".ranked .dot:not(.hollow)").first
    assert dots.evaluate("dot => getComputedStyle(dot).borderTopColor !== 'rgba(0, 0, 0, 0)' && dot.clientWidth") == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(folded) == before
