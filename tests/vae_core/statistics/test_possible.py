"""What no log-probability can be, and what a right model's estimates may be by chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_core.statistics.possible import CHANCE, ImpossibleScore, impossible, require_possible

UNSEEN = -math.log(CHANCE)


def judged(each: list[float] | np.ndarray, error: float = 0.05, samples: int = 100, dims: int = 64) -> str:
    return impossible(each, np.full(len(each), error), samples, dims, 17)


@given(st.lists(st.floats(-1e4, 0), min_size=1), st.floats(0, 3))
def test_what_is_not_above_zero_is_possible(each: list[float], error: float) -> None:
    assert judged(each, error) == ""


def test_a_mean_above_zero_is_no_probability() -> None:
    found = judged(np.full(300, 2.0))
    assert found.startswith("the mean ln P of 300 images is 2 nats (Monte-Carlo error 0.0029)")
    assert "masses do not sum to one over 17 levels" in found
    assert "another number of levels" in found
    assert "density is scored as a mass" in found


def test_one_image_above_zero_is_named_where_the_mean_is_not() -> None:
    each = np.full(300, -90.0)
    each[41] = 3.0
    assert judged(each).startswith("ln P of 1 of 300 images is above 0, of image 41 by 3 nats (Monte-Carlo error 0.05)")


def test_a_little_above_zero_in_many_images_counts_together() -> None:
    """None is beyond its own error, the mean is beyond its."""
    each = np.full(300, 0.1)
    assert judged(each[:1]) == ""
    assert judged(each).startswith("the mean ln P of 300 images is 0.1 nats")


@pytest.mark.parametrize(("error", "samples", "limit"), [(0.05, 1000, 0.3 + UNSEEN / 1000), (0.0, 10, UNSEEN / 10)])
def test_tame_weights_are_held_to_their_error(error: float, samples: int, limit: float) -> None:
    rounding = 0.001 + 64e-5
    assert judged([limit + 0.9 * rounding], error, samples) == ""
    assert judged([limit + 2.1 * rounding], error, samples)


@pytest.mark.parametrize("error", [0.5, math.nan])
def test_wild_or_unknown_errors_leave_markovs_bound(error: float) -> None:
    assert judged([UNSEEN], error) == ""
    assert judged([UNSEEN + 0.1], error)
    assert judged([UNSEEN / 2] * 3, error), "of independent images the sum counts"


def test_what_is_not_a_number_is_not_judged_and_infinity_is_too_much() -> None:
    assert judged([math.nan, -math.inf, -3.0]) == ""
    assert judged([math.inf, -3.0])
    assert judged([]) == ""


def test_the_error_is_a_value_error() -> None:
    with pytest.raises(ImpossibleScore, match="no probability is above 1") as raised:
        require_possible([1.0], [0.0], 1000, 64)
    assert isinstance(raised.value, ValueError)
    require_possible([-1.0], [0.0], 1000, 64)


# Weights of mean 1: those of a model whose ln P is exactly 0, [images, L].
WEIGHTS = {
    "log-normal": lambda rng, shape: np.exp(rng.normal(size=shape) - 0.5),
    "log-normal, wide": lambda rng, shape: np.exp(3 * rng.normal(size=shape) - 4.5),
    "Pareto, k = 0.9": lambda rng, shape: 0.1 * rng.random(shape) ** -0.9,
    "one in a hundred": lambda rng, shape: 100.0 * (rng.random(shape) < 0.01),
    "rare zeros": lambda rng, shape: (rng.random(shape) > 0.02) / 0.98,
}


@pytest.mark.parametrize("law", WEIGHTS)
@pytest.mark.parametrize("samples", [2, 10, 100])
def test_a_right_model_is_never_called_wrong(law: str, samples: int) -> None:
    """Its plain standard errors would call it so: of rare zeros in half the images and more."""
    rng = np.random.default_rng(1)
    plain = 0
    for _ in range(20):
        weights = WEIGHTS[law](rng, (500, samples))
        total = weights.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            each = np.log(total / samples)
            spread = samples * (weights**2).sum(axis=1) / total**2 - 1
        error = np.sqrt(np.maximum(spread, 0) / (samples - 1))
        plain += int((each > 6 * error).sum())
        assert impossible(each, error, samples, dims=1) == ""
    assert plain or law != "rare zeros"
