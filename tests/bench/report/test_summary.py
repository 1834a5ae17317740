"""The summary in Markdown: what it says is what the page says, and no name becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from bench.report import markdown, numbers, ranking
from bench.report.terminal.markdown import FIRST
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.runs import doubted, few, said


def rendered(tables: RunTables) -> str:
    """As a page shows it, with GitHub's tables."""
    return MarkdownIt("commonmark").enable("table").render(markdown(tables))


def seen(tables: RunTables) -> str:
    """The text that is left of that."""
    import html

    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", rendered(tables))))


def test_it_has_the_verdict_the_quote_and_the_scope_of_the_page(tables: RunTables) -> None:
    text = seen(tables)
    for currency in ("pmf-K", "pmf-2"):
        spoken = said(tables, currency)
        for sentence in (spoken.headline, spoken.best, spoken.quote):
            assert re.sub(r"\s+", " ", str(sentence.striptags())) in text


def test_its_rows_are_the_first_of_the_ranking(tables: RunTables) -> None:
    lines = [line for line in markdown(tables).splitlines() if re.match(r"\| \d+ \|", line)]
    grey = ranking(tables).query("currency == 'pmf-K' and rank.notna()")
    assert len(grey) > FIRST
    for line, (_, row) in zip(lines[:FIRST], grey.iterrows(), strict=False):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[0] == str(row["rank"])
        assert cells[1].removesuffix(" (recipe)") == row["label"]
        assert cells[2].startswith(numbers.measured(row["value"], "bits/dim"))
        assert cells[4].startswith(row["verdict"])
    assert f"the first {FIRST} of {len(grey)} ranked" in markdown(tables)


def test_it_says_what_not_to_conclude() -> None:
    text = seen(few())
    assert "What not to conclude" in text
    assert "Anything of what was not tried: " in text
    assert "That it holds for other data, networks or budgets" in text
    left = doubted(few(), lambda cells: cells["label"] == "gaussian σ=1")
    assert "Anything of gaussian σ=1: its bound cannot be trusted" in seen(left)
    once = fake_run.tables(fake_run.few(), seeds=[0], images=60, pictures=False)
    assert "That another seed would say the same" in seen(once)


def test_it_says_where_it_is_from_and_what_is_wrong_with_that() -> None:
    assert "Provenance: 2026-11-23 3f9a2c1b7d4e, vae-bench run fake" in seen(few())
    dirty = fake_run.tables(
        fake_run.few()[:3], images=60, pictures=False,
        history=[fake_run.provenance(git={"commit": "a" * 40, "dirty": True})],
    )  # fmt: skip
    assert "aaaaaaaaaaaa with uncommitted changes" in seen(dirty)
    assert "nobody else has this version" in seen(dirty)


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>", "a|b", "*bold* _thin_ __init__", "[a](http://b)", "`code", "~~x~~", "$x$ #1 @all"],
)
def test_a_name_is_only_a_name(name: str) -> None:
    tables = fake_run.tables(
        fake_run.few()[:3], images=60, pictures=False, failures=False, label=lambda label: f"{label} {name}"
    )
    page = rendered(tables)
    assert not re.search(r"<(script|em|del|a)\b", page)
    assert name in seen(tables)
    borders = {line.count("|") for line in markdown(tables).splitlines() if line.startswith("|")}
    assert borders <= {5, 6}, "a name broke a table"
    assert not re.search(r"(?<!&)[#@][1a]", markdown(tables).replace("##", "")), "GitHub reads these as mentions"


def test_a_run_without_a_score_says_so() -> None:
    cells = few().cells.assign(status="failed", iw_nats=float("nan"))
    empty = replace(few(), cells=cells, per_image=few().per_image.iloc[:0])
    text = seen(empty)
    assert "Nothing can be ranked: none of the" in text
    assert "What not to conclude" not in text
