"""`vae-bench report`: figures as files, and the summary in Markdown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import cli
from bench import report as pages
from tests.bench.report import fake_run

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a finished run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    return fake_run.write(tmp_path / "results/fake.sqlite", fake_run.few()[:4], images=60, pictures=False)


@pytest.fixture
def report(capfd: pytest.CaptureFixture[str]) -> Call:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.carry_out(["report", "fake", *arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


def test_figures_are_written_beside_the_page(report: Call) -> None:
    code, out, _ = report("--figures", "paper/figures")
    written = sorted(path.name for path in Path("paper/figures").iterdir())
    assert code == 0
    assert out.splitlines()[-2:] == ["reports/fake/index.html", f"paper/figures: {len(written)} files of figures"]
    assert Path("reports/fake/index.html").is_file()
    assert {"fake-landscape-digits-pmf-17.svg", "fake-landscape-digits-pmf-17.pdf"} <= set(written)


def test_a_summary_is_printed_alone_so_that_it_can_be_piped(report: Call) -> None:
    code, out, err = report("--format", "md")
    assert (code, err) == (0, "")
    assert out.startswith("## Which decoder likelihood fits digits?\n")
    assert out.rstrip().endswith("</sub>")
    assert not Path("reports").exists()


def test_beside_a_summary_that_is_printed_all_else_is_said_on_stderr(report: Call) -> None:
    _, alone, _ = report("--format", "md")
    code, out, err = report("--format", "md", "--figures", "figures")
    assert (code, out) == (0, alone)
    assert err.startswith("figures: ")


def test_a_summary_is_written_where_it_is_asked_for(report: Call) -> None:
    _, printed, _ = report("--format", "md")
    code, out, _ = report("--format", "md", "--out", "deep/summary.md")
    assert (code, out) == (0, "deep/summary.md\n")
    assert Path("deep/summary.md").read_text(encoding="utf-8") == printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--figures", "results/fake.sqlite"), "is no folder that files could be written to; give another --figures"),
        (
            ("--format", "md", "--out", "results"),
            "is a folder, not a file that could be written; give another --out",
        ),
    ],
)
def test_where_nothing_can_be_written_is_refused_before_anything_is(
    report: Call, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(pages, "build", lambda *_: pytest.fail("it has begun"))
    code, out, err = report(*arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_another_format_is_refused(report: Call) -> None:
    code, _, err = report("--format", "pdf")
    assert code == 2
    assert "html" in err
    assert "md" in err
