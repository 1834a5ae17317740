"""The mixture of products: EM never lowers what it raises, planted kinds are found, and its size is chosen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from tests.vae_core.references.made import bits, clusters, counts, images
from vae_core import references
from vae_core.references import product_mixture as mixture
from vae_core.references._tables import OneHot, counted


def fit(k: np.ndarray, levels: int) -> tuple[references.Outcome, references.Outcome]:
    given, test = images(k, levels)
    return references.make("product_mixture").outcome(given, test), references.make("histogram").outcome(given, test)


@pytest.mark.parametrize(("kinds", "seed"), [(4, 0), (2, 1), (8, 2)])
def test_planted_kinds_are_found(kinds, seed):
    k = clusters(seed, 2400, kinds)
    found, table = fit(k, 5)
    assert found.details["components"] in (kinds, 2 * kinds), "a kind in two parts costs little"
    likely, rest = 0.85 + 0.15 / 5, 0.15 / 5
    entropy = -(likely * np.log2(likely) + 4 * rest * np.log2(rest)) + np.log2(kinds) / 24
    assert bits(found.nats, 24) == pytest.approx(entropy, abs=0.03)
    assert bits(table.nats, 24) > entropy + 0.3


def test_where_places_are_independent_it_is_the_histogram():
    k, entropy = counts(number=3000)
    found, table = fit(k, 256)
    assert found.details["components"] == 1
    assert found.nats == pytest.approx(table.nats, abs=0.05)
    assert bits(found.nats, 30) == pytest.approx(entropy, abs=0.1)


@pytest.mark.parametrize("components", [2, 5])
def test_em_never_lowers_what_it_raises(components):
    k = clusters(3, 600)
    prior = (counted(k, 5) + 1) / (len(k) + 5)
    one_hot = OneHot(k, 5, counted(k, 5).argmax(axis=1))
    shares, values = mixture.begun(k, one_hot, prior, components), []
    for _ in range(25):
        tables = mixture.drawn(shares.sum(axis=0), one_hot.counts(shares), prior, mixture.PULL)
        joint = one_hot.sums(tables.log_masses) + tables.log_weights
        values.append(mixture.objective(joint, tables, prior))
        shares = softmax(joint, axis=1)
    assert (np.diff(values) > -1e-6).all()
    assert values[-1] > values[0] + 1


def test_many_levels_are_joined_by_how_often_they_occur():
    seldom = np.full(256, 1.0)
    seldom[0] = 2000  # a black background
    joined = mixture.groups(seldom)
    assert (joined == 0).sum() == 1, "a frequent level stands alone"
    sizes = np.bincount(joined)[1:]
    assert 10 <= len(sizes) <= mixture.COARSE
    assert sizes.max() <= 2 * sizes.min() + 2
    assert mixture.groups(np.ones(17)).tolist() == list(range(17))


def test_joined_levels_keep_what_the_histogram_knows_within_a_group():
    """Planted kinds on 256 levels: even levels alone occur, and an odd one is next to impossible."""
    k = 2 * (clusters(0, 1200) * 20 + np.random.default_rng(0).integers(8, size=(1200, 24)))
    given, test = images(k, 256)
    reference = references.make("product_mixture")
    assert isinstance(reference, references.Distribution)
    fitted = reference.fit(given)
    assert fitted.details["groups of levels"] <= mixture.COARSE + 1
    assert np.exp(fitted.tables.full()).sum(axis=2) == pytest.approx(1)
    assert fitted.tables.score(test).mean() > fitted.tables.score(np.minimum(test + 1, 255)).mean() + 24
    table = references.make("histogram").outcome(given, test)
    assert fitted.tables.score(test).mean() > table.nats + 5


def test_bounds_hold_and_numbers_come_back(monkeypatch):
    monkeypatch.setattr(mixture, "TRAINED", 100)
    monkeypatch.setattr(mixture, "MOST", 2)
    first, _ = fit(clusters(0, 1200), 5)
    again, _ = fit(clusters(0, 1200), 5)
    assert first.details["images"] == 100
    assert first.details["components"] == 2
    assert first.per_image is not None
    assert again.per_image is not None
    assert np.array_equal(first.per_image, again.per_image)


def test_few_values_bound_the_images():
    k = np.random.default_rng(0).integers(9, size=(1000, 50))
    assert mixture.fitting(k, np.zeros(50, int), 1000, 4450) == pytest.approx(100, abs=3)
    assert mixture.fitting(k, np.zeros(50, int), 70, 1e9) == 70
