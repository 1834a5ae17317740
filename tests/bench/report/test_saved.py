"""Figures that leave the page, as files and as downloads that look like the page; and labels that stand in no way."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from bench.report import build, figures, write_figures
from bench.report.figures._names import file_name, origin
from bench.report.figures._text import fit, wide, wrapped
from bench.statistics.boards import boards
from tests.bench.report import fake_run
from tests.bench.report.runs import few

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LONG = "a name of sixty letters, as somebody may give to a plug-in, "  # and the rest of the label follows
SVG = "{http://www.w3.org/2000/svg}"

#: pairs of texts of one figure that lie over one another, and texts that reach beyond their figure
CROWDED = """() => {
  const found = [];
  for (const svg of document.querySelectorAll("svg.figure")) {
    const room = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].filter(t => !t.closest(".origin") && t.textContent.trim());
    const boxes = texts.map(t => t.getBoundingClientRect());
    boxes.forEach((a, i) => {
      if (a.left < room.left - 1 || a.right > room.right + 1 || a.top < room.top - 1 || a.bottom > room.bottom + 1)
        found.push(`${texts[i].textContent} leaves its figure`);
      boxes.slice(0, i).forEach((b, j) => {
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && high > 3) found.push(`${texts[i].textContent} | ${texts[j].textContent}`);
      });
    });
  }
  return found;
}"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_figures(few(), tmp_path_factory.mktemp("figures"))


def test_every_figure_is_written_in_every_format_under_a_name_that_says_what_it_is(written: list[Path]) -> None:
    names = {path.stem for path in written}
    assert {
        "fake-landscape-digits-pmf-17",
        "fake-landscape-digits-pmf-2-stochastic",
        "fake-sigma-digits-pmf-17",
    } <= names
    assert {path.name for path in written} == {f"{name}.{kind}" for name in names for kind in figures.FORMATS}


def test_the_same_run_gives_the_same_files(written: list[Path], tmp_path: Path) -> None:
    again = write_figures(few(), tmp_path)
    assert [path.name for path in again] == [path.name for path in written]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]


def test_a_file_needs_no_page_and_says_where_it_is_from(written: list[Path]) -> None:
    for path in written:
        if path.suffix == ".svg":
            text = path.read_text(encoding="utf-8")
            assert "var(" not in text
            assert "class=" not in text
            assert text.count("http") == text.count("http://www.w3.org/")
            root = ElementTree.fromstring(text)
            (line,) = root.iterfind(f".//{SVG}g[@id='origin']")
            seen = " ".join("".join(part.itertext()) for part in line.iter(f"{SVG}text"))
            assert seen == root.findtext(f"{SVG}desc")
            for fact in ("Run fake", "commit 3f9a2c1b7d4e", "2026-11-23", "digits pmf-"):
                assert fact in seen, path.name
        elif path.suffix == ".png":
            picture = Image.open(path)
            assert "Run fake" in picture.text["Description"]  # type: ignore[attr-defined]
            assert np.asarray(picture.convert("RGB"))[0, 0].tolist() == [255, 255, 255]
        else:
            assert path.read_bytes().startswith(b"%PDF")


def test_formats_agree_in_size(written: list[Path]) -> None:
    for path in written:
        if path.suffix == ".svg":
            root = ElementTree.parse(path).getroot()
            picture = Image.open(path.with_suffix(".png"))
            ratio = int(root.attrib["width"]) / int(root.attrib["height"])
            assert picture.width / picture.height == pytest.approx(ratio, rel=0.01)


def test_two_boards_that_no_file_name_tells_apart_have_two_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "file_name", lambda tables, figure, board=None: figure)
    written = write_figures(few(), tmp_path)
    assert len(set(written)) == len(written)
    assert {"landscape.svg", "landscape-2.svg"} <= {path.name for path in written}


def test_a_file_name_holds_nothing_but_a_name() -> None:
    tables = replace(few(), meta=few().meta | {"name": "../a b/$(c)\0" + "d" * 300})
    name = file_name(tables, "landscape")
    assert re.fullmatch(r"a-b-c-d+-landscape", name)
    assert len(name) < 100


def test_what_is_not_known_of_a_run_is_said_to_be_unknown() -> None:
    tables = fake_run.tables(
        fake_run.few()[:2], images=60, pictures=False, history=[fake_run.provenance(git=None, time=None)]
    )
    board = boards(tables)[0]
    assert origin(tables, figures.found()["landscape"].title(board), board).endswith("commit unknown")  # type: ignore[arg-type]


def test_commits_and_uncommitted_changes_are_named() -> None:
    tables = fake_run.tables(fake_run.few()[:2], images=60, pictures=False,
                             history=[fake_run.provenance(git={"commit": "abc" * 10, "dirty": True})])  # fmt: skip
    board = boards(tables)[0]
    said = origin(tables, figures.found()["landscape"].title(board), board)  # type: ignore[arg-type]
    assert "commit abcabcabcabc with uncommitted changes" in said


@pytest.mark.parametrize("room", [12, 40, 117.5])
@pytest.mark.parametrize("text", ["", "gaussian", "gaussian σ=pixel binned", "名前" * 12, "x" * 200])
def test_what_is_fitted_fits_and_keeps_both_ends(text: str, room: float) -> None:
    shown = fit(text, room, 10.5)
    assert wide(shown, 10.5) <= room
    if wide(text, 10.5) <= room:
        assert shown == text
    elif len(shown) > 4:
        assert text.startswith(shown.split("…")[0].strip())
        assert text.endswith(shown.split("…")[1].strip())


def test_wrapped_lines_fit_and_lose_nothing() -> None:
    text = " ".join(["some words and", "x" * 300, "more"] * 3)
    lines = wrapped(text, 300, 9).split("\n")
    assert all(wide(line, 9) <= 300 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


# -- in a browser ------------------------------------------------------------------------------------------------------


def _opened(browser: Browser, path: Path, **how: object) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}, **how).new_page()  # type: ignore[arg-type]
    page.goto(path.as_uri())
    return page


def _saved(page: Page, place: int, kind: str) -> tuple[str, bytes]:
    with page.expect_download() as waited:
        page.locator("figure .save").nth(place).locator(f"button[value={kind}]").click()
    return waited.value.suggested_filename, Path(waited.value.path()).read_bytes()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(few(), tmp_path_factory.mktemp("page") / "index.html")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_saved_looks_alone_like_on_the_page(browser: Browser, small: Path, tmp_path: Path, scheme: str) -> None:
    """The SVG opened on its own, the PNG, and the figure as the page shows it; in both schemes."""
    page = _opened(browser, small, color_scheme=scheme)
    name, svg = _saved(page, 0, "svg")
    assert name == "fake-landscape-digits-pmf-17.svg"
    text = svg.decode()
    assert "var(" not in text
    assert "display" not in text, "the line below is still hidden"
    root = ElementTree.fromstring(text)
    assert "commit 3f9a2c1b7d4e" in "".join(root.itertext())
    other, png = _saved(page, 0, "png")
    assert other == "fake-landscape-digits-pmf-17.png"
    sharp = Image.open(io.BytesIO(png)).convert("RGB")
    width, height = int(root.attrib["width"]), int(root.attrib["height"])
    assert sharp.size == (2 * width, 2 * height)

    def small_copy(picture: Image.Image) -> np.ndarray:
        return np.asarray(picture.convert("RGB").resize((width // 8, height // 8), Image.Resampling.BOX), dtype=float)

    shown = page.locator("svg.figure").first
    clip = shown.bounding_box()
    assert clip is not None
    assert clip["width"] == width
    on_page = Image.open(io.BytesIO(shown.screenshot()))
    (tmp_path / name).write_bytes(svg)
    alone = _opened(browser, tmp_path / name, color_scheme="light")
    opened = Image.open(io.BytesIO(alone.screenshot(clip={"x": 0, "y": 0, "width": width, "height": height})))
    assert np.abs(small_copy(opened) - small_copy(sharp)).mean() < 1.5
    figure = opened.crop((0, 0, on_page.width, on_page.height))
    assert np.abs(small_copy(figure) - small_copy(on_page)).mean() < 1.5
    if rsvg := shutil.which("rsvg-convert"):
        drawn = subprocess.run([rsvg, str(tmp_path / name)], capture_output=True, check=True).stdout
        assert np.abs(small_copy(Image.open(io.BytesIO(drawn))) - small_copy(sharp)).mean() < 3


@pytest.mark.browser
def test_every_figure_can_be_saved_by_keyboard_and_nothing_is_asked_of_a_network(browser: Browser, small: Path) -> None:
    page = _opened(browser, small)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: asked.append(message.text))
    page.on("pageerror", lambda error: asked.append(str(error)))
    count = page.locator("figure .save").count()
    assert count == page.locator("figure svg.figure").count()
    names = set()
    for place in range(count):
        with page.expect_download() as waited:
            page.locator("figure .save button[value=svg]").nth(place).focus()
            page.keyboard.press("Enter")
        names.add(waited.value.suggested_filename)
        if place % 8 == 7:
            page.wait_for_timeout(1100)  # a browser takes ten downloads a second from a page and drops the others
    assert len(names) == count
    assert [what for what in asked if not what.startswith("data:")] == []


@pytest.mark.browser
def test_without_javascript_there_is_nothing_to_press_in_vain(browser: Browser, small: Path) -> None:
    page = _opened(browser, small, java_script_enabled=False)
    assert page.locator("figure svg.figure").count() > 5
    assert not any(buttons.is_visible() for buttons in page.locator("figure .save").all())


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("before", [LONG, "Ω" * 60, ""], ids=["words", "wide letters", "short"])
def test_no_label_lies_over_another_however_long_names_are(browser: Browser, tmp_path: Path, before: str) -> None:
    tables = fake_run.tables(survey=True, label=lambda label: before + label)
    named = {family: (before + family).replace(" ", "_") for family in tables.cells["family"].unique()}
    cells = tables.cells.assign(family=tables.cells["family"].map(named))
    page = _opened(browser, build(replace(tables, cells=cells), tmp_path / "index.html"))
    assert page.locator("svg.figure text").count() > 300
    assert page.evaluate(CROWDED) == []
