"""Counts are found again as they were, and a cache that is damaged or cannot be written harms nothing."""

from __future__ import annotations

import pytest

from bench.grid.read import parse_grid
from bench.speed.estimate import kept
from bench.speed.estimate.counts import TrainingCounts
from bench.speed.estimate.estimate import estimate_grid
from bench.speed.estimate.tally import Tally

GRID = """about = "for tests"
[grid]
dataset = "digits"
hidden = [8]
latent = 2
epochs = 2
eval_samples = [1, 10]
test_images = 10
[[cells]]
family = "bernoulli"
"""
PART = (Tally({"kernels": 3.0}), Tally({"products/float32": 2.5}), Tally())
COUNTS = TrainingCounts(PART, PART, Tally({"views": 1.0}), PART[:2], (1.0, 2.0, 3.0), tuned=1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_a_second_estimate_counts_nothing_and_says_the_same(monkeypatch):
    grid = parse_grid(GRID, "small", "small.toml", [])
    first = estimate_grid(grid, "h100", lambda line: None)
    told: list[str] = []
    again = estimate_grid(grid, "h100", told.append)
    assert again.prediction == first.prediction
    assert not told  # nothing was counted
    monkeypatch.setattr(kept, "code", lambda: "another version")
    estimate_grid(grid, "h100", told.append)
    assert told[0].startswith("counting 1 ")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "\n", '{"TrainingCounts": {}}', '{"Tally": 3}', '"x"', '{"os": {}}', "\xff"]
)
def test_what_is_damaged_is_counted_again(text):
    kept.keep("a", COUNTS)
    assert kept.find("a") == COUNTS
    assert kept.find("b") is None
    (path,) = kept.folder().iterdir()
    whole = path.read_text()
    path.write_text(text, encoding="latin-1")
    assert kept.find("a") is None
    path.write_text(whole.replace("2.5", "9.5"))  # a count that is another than was kept
    assert kept.find("a") is None
    kept.keep("a", COUNTS)
    assert kept.find("a") == COUNTS


def test_a_cache_that_cannot_be_written_is_none(cache):
    (cache / "vae-bench").write_text("in the way")
    kept.keep("a", COUNTS)
    assert kept.find("a") is None
