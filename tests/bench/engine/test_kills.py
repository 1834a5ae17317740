"""Some kills of parents and workers over a real run; `python -m tests.bench.engine.kills 100` makes more of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.engine import kills

SMALLER = kills.GRID.replace("latent = [2, 3]", "latent = 2").replace("seed = [0, 1, 2]", "seed = [0, 1]")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for workers in /proc")
def test_nothing_is_lost_or_stored_twice_and_the_numbers_are_those_of_an_undisturbed_run(tmp_path):
    tally = kills.main(4, 1, tmp_path, 4.0, SMALLER)
    assert tally.kills.total() == 4
    assert tally.runs >= 1
