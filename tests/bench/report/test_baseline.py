"""Any row as the baseline, on the page: its data are those of the tiers, and choosing rewrites what depends on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.report import build
from bench.report.tables.baseline import baseline
from bench.statistics.claims.tiers import tiers
from tests.bench.report.planted import grey, of, planted
from tests.bench.report.runs import few

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_the_data_of_the_page_are_the_upper_half_row_by_row() -> None:
    board = grey(few())
    shown, found = baseline(board), tiers(board)
    assert shown is not None
    assert found is not None
    data = json.loads(shown.data)
    count = len(found.rows)
    assert data["names"] == [row.label for row in found.rows]
    upper = [(one, other) for one in range(count) for other in range(one + 1, count)]
    for (one, other), (lead, low, high, p, apart) in zip(upper, data["pairs"], strict=True):
        fields = (found.pairs.lead, found.pairs.low, found.pairs.high)
        np.testing.assert_allclose([lead, low, high], [field[one, other] for field in fields], atol=1e-4)
        assert p == pytest.approx(found.pairs.p[one, other], abs=1e-4)
        assert apart == found.pairs.apart[one, other]


@pytest.mark.browser
def test_choosing_a_baseline_rewrites_the_table_and_the_best_brings_it_back(browser: Browser, tmp_path: Path) -> None:
    settings = [of("gaussian", 1.5, 0.1), of("gaussian", 1.501, 0.2), of("laplace", 2.5, 0.1), of("laplace", 2.9, 0.2)]
    tables = planted(settings, images=200)
    found = tiers(grey(tables))
    assert found is not None
    page = browser.new_page()
    page.goto(build(tables, tmp_path / "index.html").as_uri())

    def column(of_: str) -> list[str]:
        place = page.eval_on_selector(f'table.ranked th[data-of="{of_}"]', "head => head.cellIndex")
        return page.eval_on_selector_all(
            "table.ranked tr[data-place]", f"rows => rows.map(row => row.cells[{place}].innerText)"
        )

    before = {name: column(name) for name in ("behind", "p", "verdict")}
    page.select_option(".baseline select", "2")
    third = found.rows[2].label
    assert third in page.inner_text('table.ranked th[data-of="behind"]')
    verdicts = [text.split("\n")[0] for text in column("verdict")]
    assert verdicts == ["better", "better", "baseline", "worse"]
    for place, text in enumerate(column("behind")):
        if place != 2:
            assert float(text.split()[0].replace("−", "-")) == pytest.approx(found.pairs.lead[2, place], abs=6e-4)
    assert page.inner_text(".baseline output") == "2 better, 1 worse"
    page.select_option(".baseline select", "")
    assert {name: column(name) for name in ("behind", "p", "verdict")} == before
