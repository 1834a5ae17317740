"""Runs that lack something, or have very much: each gives a page that says so."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.report import ranking, ranking_text
from bench.report.tables import drawers
from bench.statistics.boards import boards
from bench.store import RunTables
from tests.bench.report import fake_run
from tests.bench.report.runs import built, doubted, few, moved, section

THIN: dict[str, tuple[Callable[[], RunTables], dict[str, str]]] = {
    "one seed": (
        lambda: fake_run.tables(fake_run.few(), seeds=[0], images=40),
        {"verdict": "training noise is unknown"},
    ),
    "few images": (
        lambda: dataclasses.replace(few(), per_image=few().per_image[few().per_image["image"] < 7]),
        {
            "verdict": "Too few test images to rank by: 7",
            "ranking": "no interval: fewer than 20 test images, or blocks of them",
        },
    ),
    "a withheld interval": (
        lambda: moved(
            fake_run.only(few(), lambda cells: cells["family"].isin(["categorical", "bce_sum"]) & (cells["seed"] < 2)),
            lambda cells: (cells["family"] == "categorical") & (cells["seed"] == 0),
            40.0,
        ),
        {
            "verdict": "interval withheld: reaches below 0 bits/dim",
            "ranking": "interval withheld: reaches below 0 bits/dim",
        },
    ),
    "fewer seeds of one": (
        lambda: fake_run.only(few(), lambda cells: (cells["family"] != "categorical") | (cells["seed"] == 1)),
        {"ranking": "1 of 3 seeds"},
    ),
    "one currency": (
        lambda: fake_run.only(few(), lambda cells: cells["currency"] == "pmf-2"),
        {"verdict": "bernoulli", "reading": "scores over σ (no family was trained at two or more fixed σ)"},
    ),
    "one configuration": (
        lambda: fake_run.tables([fake_run.settings()[2]], seeds=[0], images=40),
        {"verdict": "the only configuration"},
    ),
    "no fixed σ": (
        lambda: fake_run.tables([s for s in fake_run.few() if not isinstance(s.sigma, float)], images=40),
        {"reading": "scores over σ (no family was trained at two or more fixed σ)"},
    ),
    "no pictures": (
        lambda: fake_run.tables(fake_run.few(), images=40, pictures=False),
        {"reading": "samples (no pictures were kept)"},
    ),
    "no speed": (
        lambda: fake_run.tables(fake_run.few(), images=40, throughput=False),
        {"reading": "speed (it has not been measured)"},
    ),
    "no refinement": (
        lambda: dataclasses.replace(
            few(), cells=few().cells.assign(estimator=None, encoder_iw_nats=np.nan, encoder_khat_bad_fraction=np.nan)
        ),
        {"ranking": "encoder"},
    ),
    "no diagnostics": (
        lambda: dataclasses.replace(
            few(),
            cells=few().cells.assign(
                **dict.fromkeys(
                    (
                        *("pit_deviation", "coverage_50", "coverage_95", "noise_predicted", "noise_realised"),
                        *("amortisation_gap_nats", "approximation_gap_nats", "jackknife_nats", "collapsed"),
                        *("active_units", "kl_nats", "khat_median"),
                    ),
                    np.nan,
                )
            ),
            calibration=few().calibration[:0],
            latents=few().latents[:0],
            history=few().history[:0],
        ),
        {"diagnostics": "No histograms and no latent dimensions were recorded"},
    ),
    "too few samples": (
        lambda: fake_run.tables(fake_run.few(), images=40, samples=[1, 10]),
        {"ranking": "too few samples to judge (L = 10; k̂ needs 25)", "verdict": "Nothing can be ranked"},
    ),
    "one untrusted configuration": (
        lambda: doubted(fake_run.tables([fake_run.settings()[2]], seeds=[0], images=40), lambda c: c["cell"].notna()),
        {"verdict": "the only bound cannot be trusted"},
    ),
    "one trusted configuration": (
        lambda: doubted(
            fake_run.only(few(), lambda cells: cells["family"] == "gaussian"), lambda cells: cells["sigma"] != "pixel"
        ),
        {"verdict": "the only configuration that can be ranked"},
    ),
    "one L": (
        lambda: fake_run.tables(fake_run.few(), images=40, samples=[50]),
        {"reading": "each was evaluated at one L"},
    ),
    "all failed": (
        lambda: fake_run.only(fake_run.tables(images=40), lambda cells: cells["status"] != "done"),
        {"verdict": "Nothing can be ranked", "failed": "out of memory"},
    ),
    "colour, not square": (
        lambda: fake_run.tables(fake_run.few(), images=40, shape=(12, 20, 3)),
        {"pictures": "The same 8 test images", "ranking": "test images of 720 values"},
    ),
    "a path as data": (
        lambda: fake_run.tables(fake_run.few(), images=40, dataset="/home/somebody/faces.npz"),
        {"verdict": "Grey levels of faces.npz"},
    ),
    "unfinished": (
        lambda: fake_run.tables(fake_run.few(), images=40, planned=500),
        {"verdict": "Incomplete run: "},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", THIN)
def test_thin_runs_still_give_a_page_that_says_so(name: str, tmp_path: Path) -> None:
    make, expected = THIN[name]
    tables = make()
    shown = built(tables, tmp_path)
    for place, text in expected.items():
        assert text in re.sub(r"\s+", " ", section(shown, place).text)
    assert "nan" not in re.sub(r"NaN in epoch", "", shown.one("main").text).lower().split()
    assert ranking_text(tables)
    if name == "a path as data":
        ranking = section(shown, "ranking")
        for specification in ranking.all("pre"):  # which would ask for other data without the whole path
            specification.children.clear()
        assert "somebody" not in section(shown, "verdict").text + ranking.text


@pytest.mark.slow
def test_all_untrusted_gives_a_page_without_a_best(tmp_path: Path) -> None:
    spoilt = doubted(few(), lambda cells: cells["cell"].notna())
    shown = built(spoilt, tmp_path)
    verdict = section(shown, "verdict")
    for board, article in zip(boards(spoilt), verdict.all("article"), strict=True):
        assert article.one("h3").text == f"Nothing can be ranked: none of {len(board.left_out)} bounds can be trusted"
        assert not article.all("p", class_="lead")
        assert "fits best" not in article.text
    part = section(shown, "ranking")
    assert not part.all("table", class_="ranked")
    assert sum(len(table.rows()) for table in part.all("table", class_="left-out")) == len(ranking(spoilt))
    assert ranking(spoilt)["rank"].isna().all()
    text = ranking_text(spoilt)
    assert "Nothing can be ranked" in text
    assert text.count("\n!  ") == len(ranking(spoilt))


@pytest.mark.slow
def test_many_configurations_stay_a_page(tmp_path: Path) -> None:
    many = [
        dataclasses.replace(setting, options={"variant": variant})
        for variant in range(4)
        for setting in fake_run.settings(sigmas=tuple(np.geomspace(0.01, 2, 12)))
    ]
    tables = fake_run.tables(many, seeds=[0], images=30, pictures=False)
    assert len(tables.cells) > 200
    shown = built(tables, tmp_path)
    assert (tmp_path / "index.html").stat().st_size < 2_700_000
    assert len(shown.all("details", class_="drawer")) <= 2 * drawers.MOST
    heights = [float(figure.attributes["viewbox"].split()[3]) for figure in shown.all("svg", class_="figure")]
    assert max(heights) < 1500
