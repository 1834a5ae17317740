"""Pages and names: each run has a page of its own, and nothing is written where a name leads elsewhere."""

from __future__ import annotations

import html
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import cli
from bench import report as pages
from bench.cli import places
from bench.store.database import replaceable
from bench.store.weights import folder_of
from tests.bench.report import fake_run

Call = Callable[..., tuple[int, list[str], str]]
PAGE = b"<!doctype html>"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "fake.sqlite"
    return fake_run.write(path, fake_run.few()[:2], images=30, pictures=False)


@pytest.fixture
def report(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, list[str], str]]:
    """Puts a run at a path and reports it: (exit code, lines, what is said aside). Pages have a head and no more."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def build(tables: object, out: Path, ranked: object, of: str) -> Path:
        text = f'<!doctype html>\n<meta name="vae-bench-run" content="{html.escape(of)}">'
        out.write_text(text, encoding="utf-8")
        return out

    monkeypatch.setattr(pages, "build", build)
    monkeypatch.setattr(pages, "ranking_text", lambda *_: "")
    monkeypatch.setattr("bench.statistics.boards.boards", lambda _: [])

    def call(run: str, *arguments: str) -> tuple[int, list[str], str]:
        if not os.path.lexists(run):
            Path(run).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(made, run)
        code = cli.carry_out(["report", run, *arguments])
        captured = capfd.readouterr()
        return code, captured.out.splitlines(), captured.err

    return call


@pytest.mark.parametrize("run", ["./...sqlite", "./....sqlite", ".sqlite", "./-.sqlite", "./~.sqlite", "./. .sqlite"])
def test_a_name_of_dots_leads_nowhere_else(report: Call, tmp_path: Path, run: str) -> None:
    outside = tmp_path / "here" / "index.html"
    outside.write_text("mine")
    (tmp_path / "index.html").write_text("mine")
    code, lines, _ = report(run if "/" in run else f"./{run}")
    assert code == 0
    assert outside.read_text() == (tmp_path / "index.html").read_text() == "mine"
    page = Path(lines[-1])
    assert page.read_bytes()[:15] == PAGE
    assert page.parent.parent == Path("reports")
    assert page.parent.name[0] not in ".-~"


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("digits", "digits"),
        ("fashion-small", "fashion-small"),
        ("v1.2 (copy)", "v1.2 -copy-"),
        ("größe_α", "größe_α"),
        ("..", "run"),
        ("", "run"),
        ("a/../../b", "a-..-..-b"),
        ("..\\..\\b", "b"),
        ("a\nb\x1b[2J", "a-b-2J"),
        ("x" * 300, "x" * 100),
        ("a.", "a"),
        ("\udcff", "run"),
        ("-rf", "rf"),
    ],
)
def test_names_are_made_safe_and_stay_what_they_are_where_they_can(stem: str, name: str) -> None:
    assert places.safe_name(stem) == name
    assert places.safe_name(name) == name


def test_equal_stems_have_a_page_each(report: Call) -> None:
    first, second = "results/a/x.sqlite", "results/b/x.sqlite"
    assert report(first)[:2][1][-1] == "reports/x/index.html"
    own = Path("reports/x/index.html").read_bytes()
    code, lines, err = report(second)
    assert code == 0
    assert lines[-1] != "reports/x/index.html"
    assert Path("reports/x/index.html").read_bytes() == own
    assert (
        "reports/x/index.html is the page of results/a/x.sqlite, so that of results/b/x.sqlite goes elsewhere.\n" in err
    )
    assert report(second)[1][-1] == lines[-1], "and there it stays"
    third = report("results/x.sqlite")[1][-1]
    assert len({"reports/x/index.html", lines[-1], third}) == 3
    assert b'content="results/x.sqlite"' in Path(third).read_bytes()
    code, lines, err = report(first)
    assert (code, lines[-1], "elsewhere" in err) == (0, "reports/x/index.html", False)


def test_names_that_differ_in_capitals_alone_have_a_page_each(report: Call) -> None:
    """Where a file system knows no capitals, reports/X and reports/x are one folder."""
    assert report("results/x.sqlite")[1][-1] == "reports/x/index.html"
    _, lines, err = report("results/X.sqlite")
    assert lines[-1].lower() != "reports/x/index.html"
    assert "differs in capitals alone" in err
    assert report("results/X.sqlite")[1][-1] == lines[-1]


def test_a_page_that_does_not_say_whose_it_is_belongs_to_the_run_of_its_name(report: Call) -> None:
    Path("reports/x").mkdir(parents=True)
    Path("reports/x/index.html").write_text("<!doctype html>of before")
    assert report("elsewhere/x.sqlite")[1][-1] != "reports/x/index.html"
    assert Path("reports/x/index.html").read_text() == "<!doctype html>of before"
    assert report("results/x.sqlite")[1][-1] == "reports/x/index.html"
    assert "of before" not in Path("reports/x/index.html").read_text()


def test_a_folder_that_is_named_as_another_place_is_taken_too(report: Call) -> None:
    report("results/a/x.sqlite")
    there = report("results/b/x.sqlite")[1][-1]
    shutil.rmtree(Path(there).parent)
    other = f"results/{Path(there).parent.name}.sqlite"
    assert report(other)[1][-1] == there
    assert report("results/b/x.sqlite")[1][-1] not in (there, "reports/x/index.html")
    assert f'content="{other}"' in Path(there).read_text(encoding="utf-8")


def test_what_is_asked_for_is_written_over_and_said(report: Call) -> None:
    assert report("results/a/x.sqlite", "--out", "page.html")[0] == 0
    code, lines, err = report("results/b/y.sqlite", "--out", "page.html")
    assert (code, lines[-1]) == (0, "page.html")
    assert err == "page.html was the page of results/a/x.sqlite, and is now that of results/b/y.sqlite.\n"
    assert report("results/b/y.sqlite", "--out", "page.html")[2] == ""


@pytest.mark.parametrize("form", ["html", "md"])
def test_no_run_is_written_over(report: Call, form: str) -> None:
    report("results/x.sqlite")
    before = Path("results/x.sqlite").read_bytes()
    code, _, err = report("results/x.sqlite", "--format", form, "--out", "results/x.sqlite")
    assert code == 2
    assert "so nothing is written over it; give another --out.\n" in err
    assert Path("results/x.sqlite").read_bytes() == before


def test_no_page_is_written_over_by_a_summary(report: Call) -> None:
    report("results/x.sqlite")
    code, _, err = report("results/x.sqlite", "--format", "md", "--out", "reports/x/index.html")
    assert code == 2
    refused = "--out reports/x/index.html is a file that is no summary, so nothing is written over it"
    assert err == f"vae-bench: {refused}; give another --out.\n"


def test_a_page_tells_no_folders_of_the_machine(report: Call, tmp_path: Path) -> None:
    text = Path(report(str(tmp_path / "elsewhere" / "x.sqlite"))[1][-1]).read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert 'name="vae-bench-run" content="x.sqlite (' in text


@pytest.mark.slow
def test_the_page_as_it_is_built_says_whose_it_is(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for run in ('results/a/"x" <b>.sqlite', 'results/b/"x" <b>.sqlite', "./...sqlite"):
        Path(run).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made, run)
        assert cli.carry_out(["report", run]) == 0
    *_, last = capfd.readouterr().out.splitlines()
    assert last == "reports/run/index.html"
    written = {places._of(page) for page in Path("reports").glob("*/index.html")}
    assert written == {'results/a/"x" <b>.sqlite', 'results/b/"x" <b>.sqlite', "...sqlite"}
    assert not Path("index.html").exists()


def test_a_file_without_an_ending_keeps_its_weights_apart(tmp_path: Path) -> None:
    assert folder_of(tmp_path / "x.sqlite") == tmp_path / "x.weights"
    assert folder_of(tmp_path / "x") == tmp_path / "x.run.weights"
    assert folder_of(tmp_path / "...sqlite") == tmp_path / "...weights"
    (tmp_path / "x.weights").mkdir()
    assert folder_of(tmp_path / "x") == tmp_path / "x.weights", "where it kept them before"
    (tmp_path / "x.sqlite").touch()
    assert folder_of(tmp_path / "x") == tmp_path / "x.run.weights"


@pytest.mark.parametrize("run", ["x" * 10**5, "./" + "x" * 10**5, "a\0b", "./a\0b", "..", "~nouser/x.sqlite"])
def test_a_hostile_name_of_a_run_gets_a_sentence(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.carry_out(["report", run]) == 2
    err = capfd.readouterr().err
    assert err.startswith("vae-bench: ")
    assert err.count("\n") == 1
    assert err.rstrip("\n").isprintable()
    assert len(err) <= 301


def test_what_is_no_file_is_called_what_it_is(report: Call) -> None:
    Path("results").mkdir(exist_ok=True)
    os.mkfifo("results/pipe.sqlite")
    Path("loop.sqlite").symlink_to("loop.sqlite")
    Path("gone.sqlite").symlink_to("nowhere")
    Path("folder.sqlite").mkdir()
    kinds = {
        "results/pipe.sqlite": "a FIFO",
        "loop.sqlite": "a link that leads to itself",
        "gone.sqlite": "a link to what is not there",
        "folder.sqlite": "a folder",
    }
    for name, kind in kinds.items():
        code, lines, err = report(name)
        assert (code, lines) == (2, [])
        assert err == f"vae-bench: {name} is {kind}, and no run file; give a run's name or its file.\n"


def test_what_is_said_of_a_damaged_file_can_be_followed(report: Call) -> None:
    Path("text.sqlite").write_text("no database")
    err = report("text.sqlite")[2]
    assert err.endswith("restore a copy of it, or give vae-bench run another --out.\n")
    report("results/x.sqlite")
    whole = Path("results/x.sqlite").read_bytes()
    Path("half.sqlite").write_bytes(whole[: len(whole) // 2])
    err = report("half.sqlite")[2]
    assert err.endswith("or give vae-bench run another --out, or --fresh to begin anew in its place.\n")
    assert replaceable(Path("half.sqlite"))
    assert not replaceable(Path("text.sqlite"))
