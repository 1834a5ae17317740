"""What is said before training of a run that cannot rank, and that its remedy, followed to the letter, mends it."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from bench.cli.app import carry_out
from bench.cli.text.cautions import cautions
from bench.grid.read import find_grid, load_grid, parse_grid, shipped_grids
from bench.report.text.verdict import sentences
from bench.statistics.boards import boards
from bench.statistics.trust import Against, doubts
from bench.store import read_run
from tests.bench.report.planted import of, planted


def said(*overrides: str, grid: str = "smoke") -> list[str]:
    return list(cautions(load_grid(find_grid(grid), overrides).cells))


def remedy(sentence: str) -> str:
    found = re.search(r"--set (\S+) mends it", sentence)
    assert found
    return found[1]


@pytest.mark.parametrize("name", shipped_grids())
def test_of_the_shipped_grids_there_is_nothing_to_say(name: str) -> None:
    assert said(grid=name) == []


@pytest.mark.parametrize("samples", ["[1, 10]", "[24]", "1"])
def test_samples_that_no_bound_is_ranked_with_are_told_before_and_mended(samples: str) -> None:
    (sentence,) = said(f"eval_samples={samples}")
    assert sentence.startswith("Nothing of this run can be ranked: eval_samples ends at L = ")
    assert said(remedy(sentence)) == []
    for given, few in ((f"eval_samples={samples}", True), (remedy(sentence), False)):
        most = max(load_grid(find_grid("smoke"), [given]).cells[0].eval_samples)
        against = {doubt.against for doubt in doubts(math.nan if few else 0.0, 50.0, math.nan, most, "bits/dim")}
        assert against == ({Against.TOO_FEW_SAMPLES} if few else set()), "said before is what comes after"


@pytest.mark.slow
def test_a_run_says_it_before_it_trains_and_its_remedy_is_ranked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = tmp_path / "tiny.toml"
    grid.write_text('[grid]\nhidden = [16]\nlatent = 2\nepochs = 3\ntest_images = 30\n[[cells]]\nfamily = "binomial"\n')
    given = ["--set", "eval_samples=[1,5]"]
    for ranked in (False, True):
        out = tmp_path / f"{ranked}.sqlite"
        assert carry_out(["run", str(grid), *given, "--out", str(out), "--weights", "0"]) == 0
        told = capsys.readouterr().err.splitlines()
        assert ("cannot" in told[0] or "can be ranked" in told[0]) is not ranked
        assert any("can be ranked" in line for line in told) is not ranked
        (board,) = boards(read_run(out))
        assert len(board.ranked) == ranked
        given = ["--set", remedy(told[0])] if not ranked else given


def test_25_samples_are_enough_to_be_ranked() -> None:
    assert said("eval_samples=[1, 25]") == []


@pytest.mark.parametrize("images", [2, 19])
def test_images_that_no_verdict_is_made_of_are_told_before_and_mended(images: int) -> None:
    (sentence,) = said(f"test_images={images}")
    assert sentence.startswith(f"Nothing of this run can be told apart: test_images = {images}, ")
    assert said(remedy(sentence)) == []
    mended = load_grid(find_grid("smoke"), [remedy(sentence)]).cells[0].test_images
    assert mended
    for count, judged in ((images, False), (mended, True)):
        (board,) = boards(planted([of("categorical", 2.0), of("beta_binomial", 2.5)], images=count))
        assert ("fits best" in sentences(board).headline) is judged


def test_part_of_a_run_is_counted_by_configurations() -> None:
    grid = parse_grid(
        '[grid]\nseed = [0, 1]\n[[cells]]\nfamily = "categorical"\neval_samples = [1, 5]\ntest_images = 10\n'
        '[[cells]]\nfamily = ["binomial", "beta_binomial"]\n',
        "two",
        "two.toml",
    )
    ranked, apart = cautions(grid.cells)
    assert ranked.startswith("1 of 3 configurations cannot be ranked: eval_samples ends at L = 5")
    assert "--set eval_samples=[1,5,100] mends it" in ranked
    assert apart.startswith("1 of 3 configurations cannot be told apart: test_images = 10")
