"""The histogram of each dimension: counted on training images, smoothed as validation images have it best."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from tests.taken import taken
from tests.vae_core.references.made import bits, counts, images
from vae_core import references
from vae_core.references import Images, LeftOut
from vae_core.references.histogram import (
    FEWEST_LEVELS,
    ingredients,
    interpolated,
    smoothed,
    spread,
    spread_by_transforms,
)


def test_by_hand():
    """Two values with two levels: three parts, whose weights make one table."""
    given = Images(np.array([[0, 1], [0, 1], [0, 0], [1, 1]]), np.array([[0, 1]]), 2, (1, 2))
    table, weights = smoothed(given)
    assert list(weights) == ["counts", "all dimensions", "uniform"]
    a, b, c = weights.values()
    by_hand = np.array([[a * 0.75 + b * 0.5 + c * 0.5, a * 0.25 + b * 0.5 + c * 0.5]])
    assert table[[0]] == pytest.approx(by_hand)
    assert table[1, 1] == pytest.approx(by_hand[0, 0])


def test_the_weights_are_the_best_there_are_on_validation_images():
    k, _ = counts(number=600)
    given, _ = images(k, 256)
    parts = ingredients(references._tables.counted(given.train, 256))
    valid = references._tables.counted(given.valid, 256)
    stacked = np.stack(list(parts.values()))

    def loss(logits: np.ndarray) -> float:
        shares = np.exp(logits - logits.max())
        return -float((valid * np.log(np.tensordot(shares / shares.sum(), stacked, 1))).sum() / valid.sum())

    best = min(minimize(loss, start, method="BFGS").fun for start in (np.zeros(5), np.array([2.0, 0, 1, 0, -1])))
    found = np.array(list(interpolated(parts, valid).values()))
    assert loss(np.log(found)) == pytest.approx(best, abs=2e-3)
    assert (found > 0).all()


@pytest.mark.parametrize("levels", [2, 3, 8, 17, 255, 256, 1000])
@pytest.mark.parametrize("share", [0.0, 1 / 128, 1 / 24, 0.2, 3.0])
def test_a_spread_by_transforms_is_that_of_all_pairs_of_levels(levels, share):
    table = np.random.default_rng(levels).dirichlet(np.full(levels, 0.1), size=5)
    table[0] = np.eye(levels)[0]
    table[1] = np.eye(levels)[levels // 2]
    width = max(0.6, share * levels)
    found = spread_by_transforms(table, width)
    assert found == pytest.approx(spread(table, width), rel=0, abs=1e-12)
    assert (found >= 0).all()


@pytest.mark.parametrize("name", ["histogram", "product_mixture"])
def test_sixteen_bits_need_no_table_of_all_pairs_of_levels(name):
    """65,536² numbers are 32 GiB."""
    k = np.random.default_rng(0).integers(0, 65536, (60, 6))
    given = Images(k[:40], k[40:50], 65536, (2, 3))
    outcome, peak = taken(lambda: references.make(name).outcome(given, k[50:]))
    assert peak < 300e6
    assert bits(outcome.nats, 6) == pytest.approx(16, abs=0.5)


@pytest.mark.parametrize("name", ["histogram", "product_mixture", "no_latent:gaussian"])
def test_tables_that_no_memory_holds_are_left_out_with_the_reason(name):
    k = np.zeros((4, 784), np.int64)
    said = "784 values an image of 65,536 levels make tables of more than 16,777,216 numbers"
    with pytest.raises(LeftOut, match=said):
        references.make(name, [{}] if ":" in name else ()).outcome(Images(k, k, 65536, (28, 28)), k)


def test_no_additive_smoothing_is_better():
    """(n + α)/(N + αK), the usual one, on data of few images and many levels."""
    k, entropy = counts(number=600)
    given, test = images(k, 256)
    ours = bits(references.make("histogram").outcome(given, test).nats, 30)
    counted = references._tables.counted(given.train, 256)
    others = []
    for alpha in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0):
        table = np.log((counted + alpha) / (len(given.train) + 256 * alpha))
        others.append(-float(table[np.arange(30), test].mean()) / np.log(2))
    assert ours < min(others)
    assert ours > entropy - 0.1


def test_it_comes_to_the_entropy_of_counts():
    """Where a page said "fits best" of 4.97 bits, a table has 3.96: what is known of each place is the reference."""
    k, entropy = counts(number=12000)
    given, test = images(k, 256)
    assert bits(references.make("histogram").outcome(given, test).nats, 30) == pytest.approx(entropy, abs=0.06)


def test_on_noise_it_is_as_good_as_a_uniform_guess():
    """32 × 32 photos whose every level is as likely as any other: nothing is to be learned, and nothing is lost."""
    k = np.random.default_rng(0).integers(256, size=(300, 512))
    given, test = images(k, 256)
    assert bits(references.make("histogram").outcome(given, test).nats, 512) == pytest.approx(8.0, abs=0.02)


def test_a_spread_keeps_the_sum_and_reaches_neighbours_first():
    table = np.zeros((1, 17))
    table[0, 0] = 1
    spread_out = spread(table, 1.0)
    assert spread_out.sum() == pytest.approx(1)
    assert (np.diff(spread_out[0]) < 0).all()
    assert len(ingredients(np.ones((1, FEWEST_LEVELS - 1)))) == 3


def test_it_looks_at_no_test_image():
    k, _ = counts(number=300)
    given, test = images(k, 256)
    reference = references.make("histogram")
    assert reference.outcome(given, test[:10]).details == reference.outcome(given, test).details
