"""Families that couple the channels of a pixel: what the laws hold them to, and that they train and score on colour."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from tests.vae_core.likelihoods.coupled import Coupled, GivesMore, LooksAhead, NextPixel, SecondPixel, Unordered
from vae_core import laws, likelihoods
from vae_core.data import Dataset
from vae_core.evaluate import Scoring, assess
from vae_core.likelihoods import Likelihood
from vae_core.likelihoods._channels import by_channel, from_channels
from vae_core.networks import Architecture
from vae_core.training import Member, Schedule, train


def test_a_family_that_couples_channels_obeys_the_laws() -> None:
    laws.check(Coupled)


@pytest.mark.parametrize(
    ("family", "law"),
    [
        (LooksAhead, "changes with the levels of later channels or other pixels"),
        (NextPixel, "changes with the levels of later channels or other pixels"),
        (GivesMore, "they sum to 1.0"),
        (Unordered, "standard\\s+errors off"),
        (SecondPixel, "they sum to 1.0"),
    ],
)
def test_one_that_does_it_wrongly_is_refused(family: type[Likelihood], law: str) -> None:
    with pytest.raises(laws.LawBroken, match=law):
        laws.check(family)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("gaussian", {"sigma": "pixel"}),
        ("categorical", {"levels": 5}),
        ("gaussian", {"sigma": "pixel", "channels": "coupled"}),
        ("logistic_mixture", {"levels": 5, "channels": "joint"}),
    ],
)
def test_masses_of_some_levels_are_those_of_one_level_after_the_other(family: str, options: Any, last: bool) -> None:
    """The other channels of a pixel held at the image's own levels; of one model, and of two side by side."""
    lik = likelihoods.make(family, shape=(3, 1, 2), validate_args=False, **options)
    lik.channels_last = last
    generator = torch.Generator().manual_seed(0)
    raw, k = torch.randn(2, 4, lik.outputs(6), generator=generator), torch.randint(5, (4, 6), generator=generator)
    some = torch.tensor([0, 4, 2])
    expected = torch.empty(2, 4, 3, 6)
    for m, n, s, d in itertools.product(range(2), range(4), range(3), range(6)):
        given = k[n].clone()
        given[d] = some[s]
        expected[m, n, s, d] = lik.log_masses(given, raw[m, n], 5)[d]
    torch.testing.assert_close(lik.log_level_masses(some, k, raw[0], 5), expected[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(lik.level_masses(some, k, raw[1], 5), expected[1].exp(), rtol=1e-4, atol=1e-6)
    both = likelihoods.stack([lik, lik])
    torch.testing.assert_close(both.log_level_masses(some, k[None], raw, 5), expected, rtol=1e-4, atol=1e-5)


def likelihood_of(shape: tuple[int, int, int]) -> Any:
    family: Any = Coupled
    return family(4, shape=shape)


def test_the_joint_masses_of_a_pixel_sum_to_one() -> None:
    """Over all 4³ colours of a pixel: by the chain rule the sum over dimensions is a joint probability."""
    lik = likelihood_of((3, 1, 2))
    raw = torch.randn(5, lik.outputs(6), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    total = torch.zeros(5, dtype=torch.float64)
    for colour in itertools.product(range(4), repeat=3):
        k = torch.tensor([[c, 0] for c in colour]).flatten()  # the second pixel black
        each = by_channel(lik, lik.log_masses(k.expand(5, -1), raw, 4))
        total += each[..., 0].sum(-1).exp()
    torch.testing.assert_close(total, torch.ones(5, dtype=torch.float64))


@pytest.mark.parametrize("channels_last", [False, True])
def test_channels_are_told_apart_in_either_order(channels_last: bool) -> None:
    lik = likelihood_of((3, 2, 5))
    lik.channels_last = channels_last
    picture = torch.arange(30).reshape(3, 2, 5)
    flat = (picture.permute(1, 2, 0) if channels_last else picture).reshape(1, -1)
    assert torch.equal(by_channel(lik, flat)[0], picture.reshape(3, 10))
    assert torch.equal(from_channels(lik, by_channel(lik, flat)), flat)


def test_without_the_shape_it_says_what_it_needs() -> None:
    lik = Coupled(4)
    with pytest.raises(ValueError, match=r"couples the channels of a pixel: tell it shape=\(channels, rows, columns\)"):
        lik.log_mass(torch.zeros(1, 6).long(), torch.zeros(1, 18), 4)


def colours(count: int, seed: int) -> np.ndarray:
    """Pictures whose green and blue follow red."""
    rng = np.random.default_rng(seed)
    red = rng.integers(0, 8, (count, 3, 4))
    return np.stack([red, np.clip(red + rng.integers(0, 2, red.shape), 0, 7), np.clip(red - 1, 0, 7)], -1)


def test_it_trains_and_scores_on_colour_and_is_worth_what_channels_tell_of_each_other() -> None:
    """Against the same family with its couplings held at zero, which must pay for each channel alone."""

    class Apart(Coupled):
        def _places(self, k: torch.Tensor, raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            location, log_scale, _ = raw.chunk(3, -1)
            return location, log_scale.clamp(-4, 4)

    data = Dataset.from_arrays("colours", 8, *(colours(n, seed) for seed, n in enumerate((300, 60, 60))))
    found = {}
    for family in (Coupled, Apart):
        bundle = train(data, [Member(family(8))], Architecture((16,), "tanh", 2), Schedule(40, 50, 1e-2))
        model = bundle.models[0]
        assert model.likelihood.shape == (3, 3, 4)
        scored = assess(
            data.test,
            model.encode,
            model.decode,
            [Scoring(model.likelihood, refine="never")],
            levels=8,
            samples=(10, 100),
        )[0]
        found[family.__name__] = float(scored.log_likelihood.mean())
    assert found["Coupled"] > found["Apart"] + 5


@pytest.mark.parametrize(("family", "options"), [("gaussian", {}), ("logistic_mixture", {"levels": 8})])
@pytest.mark.parametrize(
    ("shape", "words"), [((8, 8), "1 channel:"), ((8, 8, 2), "2 channels:"), ((64,), "1 channel:")]
)
def test_data_that_are_not_red_green_and_blue_are_refused(family: str, options: Any, shape: Any, words: str) -> None:
    """In one sentence, by which a grid is refused and an image when it is scored."""
    lik = likelihoods.make(family, channels="coupled", **options)
    why = likelihoods.refusal(lik, shape)
    assert words in why
    assert why.endswith("take channels='independent'")
    assert len(why) < 200
    with pytest.raises(ValueError, match=words):
        likelihoods.told(lik, shape)
    assert not likelihoods.refusal(lik, (8, 8, 3))
    assert not likelihoods.refusal(likelihoods.make(family, **options), shape)
    grey = likelihoods.make(family, channels="coupled", shape=(1, 8, 8), **options)
    with pytest.raises(ValueError, match="1 channel:"):
        grey.log_mass(torch.zeros(1, 64).long(), torch.zeros(1, grey.outputs(64)), 8)
