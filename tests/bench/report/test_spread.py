"""What is said of the parts of a spread: in the headline, the findings and the table of the page."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.grid.read import parse_grid
from bench.report.numbers import measured
from bench.report.text.claims.spread import TOPIC, has_bins
from bench.statistics.claims.spread import spread
from tests.bench.report.fake_run import Setting
from tests.bench.report.planted import grey, of, planted, twins
from tests.bench.report.runs import built, findings, said, section
from tests.bench.report.test_scope import plain
from tests.bench.report.tuned_run import tuned

#: seen: gaussian σ=pixel is 0.238 behind categorical, and gains 0.249 from its bins
PIXEL = of("gaussian", 2.098, "pixel")
SEEN = [of("categorical", 1.860), PIXEL, of("gaussian", 2.372, "shared")]


def test_the_seen_case_is_not_said_to_fit_best() -> None:
    spoken = said(planted(SEEN))
    assert spoken.headline.striptags() == (
        "categorical scores best of the 2 families tried, but not all were trained on what is scored"
    )
    gap = plain(spoken.gap)
    assert "But gaussian σ=pixel and gaussian σ=shared were trained on dequantised data alone" in gap
    assert "what that would gain no pair of this run tells" in gap
    assert "family and objective cannot be told apart" in gap
    assert "may owe their places to that" in plain(spoken.quote)
    assert "have no twin here that was trained on bins" in findings(spoken)[TOPIC]


def test_the_remedy_as_it_is_written_gives_the_twins_and_the_right_winner() -> None:
    remedy = re.search(r"Add <code>(.*?)</code> to the cells of (.*?) in the grid", said(planted(SEEN)).gap)
    assert remedy
    assert remedy[2] == "<b>gaussian</b>"
    line = remedy[1].replace("&#34;", '"')
    assert tomllib.loads(line) == {"objective": ["dequantised", "binned"]}
    grid = parse_grid(
        f'[[cells]]\nfamily = "categorical"\n[[cells]]\nfamily = "gaussian"\nsigma = ["pixel", "shared"]\n{line}',
        "mended",
        "mended.toml",
    )
    scores = {("pixel", "binned"): 1.849, ("shared", "binned"): 1.897, ("pixel", "dequantised"): 2.098}
    mended = [
        of(cell.family, scores.get((cell.sigma, cell.objective), 2.372), cell.sigma, cell.objective)
        for cell in grid.cells
        if cell.family == "gaussian"
    ]
    assert len(mended) == 4
    spoken = said(planted([SEEN[0], *mended]))
    assert spoken.headline.striptags().startswith(("gaussian fits best of", "gaussian and categorical fit best of"))
    assert "dequantised" not in spoken.gap
    assert "no twin" not in findings(spoken)[TOPIC]


def test_a_second_case_of_my_own_where_a_pair_says_how_much() -> None:
    """laplace is 0.3 behind; another density gained 0.47 from its bins, so laplace might be first."""
    spoken = said(
        planted([of("beta_binomial", 1.8), *twins("gaussian", 2.5, 2.03, "shared"), of("laplace", 2.1, "pixel")])
    )
    assert "beta_binomial scores best" in spoken.headline.striptags()
    assert "laplace σ=pixel was trained on dequantised data alone" in plain(spoken.gap)
    assert re.search(r"that gains 0\.4[67]\d bits/dim here", plain(spoken.gap))
    calm = said(
        planted([of("beta_binomial", 1.8), *twins("gaussian", 2.3, 2.25, "shared"), of("laplace", 2.3, "pixel")])
    )
    assert calm.headline.striptags() == "beta_binomial fits best of the 3 families tried"
    assert "laplace σ=pixel has no twin here" in findings(calm)[TOPIC]


def test_a_density_without_a_form_on_bins_is_not_told_to_be_trained_on_them() -> None:
    spoken = said(planted([of("categorical", 2.0), of("gaussian", 2.1, "optimal"), of("gaussian", 2.2, 0.1, "binned")]))
    assert "gaussian σ=optimal was trained on dequantised data alone" in plain(spoken.gap)
    assert "Add <code>" not in spoken.gap
    rows = {row.sigma: row for row in grey(planted([of("gaussian", 2.0, s) for s in (0.1, "pixel", "optimal")])).ranked}
    assert {sigma: has_bins(row) for sigma, row in rows.items()} == {"0.1": True, "pixel": True, "optimal": False}


FULL = [*twins("gaussian", 2.3, 2.0, "pixel"), *twins("gaussian", 2.5, 2.1, "shared"), of("categorical", 2.05)]


def test_the_finding_says_the_numbers_of_the_axes() -> None:
    board = grey(planted(FULL))
    text = findings(said(planted(FULL)))[TOPIC]
    family, objective, sigma = spread(board)
    typical, low, high = (measured(x, "bits/dim") for x in (objective.typical, objective.low, objective.high))
    assert text.startswith(
        f"Training on bins instead of dequantised data alone gains {typical} bits/dim "
        f"(median of 2 pairs, {low} to {high})."
    )
    part = f"{measured(sigma.typical, 'bits/dim')} bits/dim apart where that is how σ is given (median of 2 sets"
    assert part in text
    assert family.effects == ()
    assert "where that is the family" not in text


def rows(settings: Sequence[Setting], folder: Path) -> dict[str, list[str]]:
    shown = section(built(tuned(planted(settings)), folder), "spread")
    (table,) = [t for t in shown.all("table") if "Typical effect" in t.one("thead").text]
    return {plain(r.one("th").text): [plain(c.text) for c in r.all("td")] for r in table.one("tbody").all("tr")}


@pytest.mark.slow
def test_the_table_of_the_page_has_a_line_for_each_thing_and_says_where_nothing_is_compared(tmp_path: Path) -> None:
    table = rows(FULL, tmp_path)
    objective = spread(grey(planted(FULL)))[1]
    assert table["The family"][:2] == ["no two configurations differ in this alone", "–"]
    line = table["What is trained on: bins instead of dequantised data"]
    assert line[:2] == ["2 pairs", measured(objective.typical, "bits/dim")]
    assert line[3] == "2 of 2"
    assert line[4].startswith("gaussian σ=shared binned over gaussian σ=shared: 0.4")
    (tuning,) = [name for name in table if name.startswith("Tuning")]
    assert tuning.endswith("another currency")
    shown = section(built(tuned(planted(FULL)), tmp_path), "spread")
    assert "bounds on validation images" in shown.text
    assert "let go early or failed" in plain(shown.text)


@pytest.mark.slow
def test_a_single_configuration_has_no_spread(tmp_path: Path) -> None:
    shown = built(planted([of("categorical", 2.0)]), tmp_path)
    assert "spread" not in [part.attributes["id"] for part in shown.one("main").all("section")]
    assert TOPIC not in findings(said(planted([of("categorical", 2.0)])))
