"""What speaks against a bound, and from where on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.statistics.trust import doubts, rises_per_doubling
from bench.store import BAD_SHARE


def test_doubts_begin_beyond_the_stated_limits() -> None:
    assert doubts(BAD_SHARE, 10.0, 0.005, 1000, "bits/dim") == ()
    assert doubts(0.0, 50.0, float("nan"), 1000, "bits/dim") == (), "with one L nothing is known of the rise"
    assert len(doubts(0.06, 9.0, 0.2, 1000, "nats")) == 3


def test_rises_per_doubling() -> None:
    bounds = pd.DataFrame({"samples": [1, 10, 80, 80], "bound_nats": [-9.0, -5.0, -2.5, -1.5]})
    cells = [bounds.assign(cell="b"), bounds[:1].assign(cell="one L"), bounds[:2].assign(cell="a", samples=[1, 11])]
    rises = rises_per_doubling(pd.concat(cells))
    assert rises["b"] == pytest.approx(1.0)
    assert np.isnan(rises["one L"])
    assert np.isnan(rises["a"]), "too long a step"
