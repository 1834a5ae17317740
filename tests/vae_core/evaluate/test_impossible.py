"""A score above 0 nats is an error with its likely cause, and that of its neighbours is theirs."""

from __future__ import annotations

import copy
import importlib

import pytest
import torch
from torch import Tensor

from vae_core import likelihoods
from vae_core.evaluate import ImpossibleScore, Scoring, assess, log_likelihood
from vae_core.laws import Checked
from vae_core.likelihoods import Likelihood

DIMS, LEVELS = 12, 5
K = torch.randint(LEVELS, (30, DIMS), generator=torch.Generator().manual_seed(0))


def encode(k: Tensor) -> tuple[Tensor, Tensor]:
    return k[:, :2] / (LEVELS - 1), torch.zeros(len(k), 2) - 1


def decode(z: Tensor) -> Tensor:
    return z.repeat_interleave(DIMS // 2, -1)


def inflated(likelihood: Likelihood, nats: float) -> Likelihood:
    """One whose masses are e^nats times too large, an image."""
    wrong = copy.copy(likelihood)
    wrong.log_mass = lambda k, raw, levels: likelihood.log_mass(k, raw, levels) + nats  # type: ignore[misc, method-assign]
    return wrong


def gaussian(sigma: float = 0.3) -> Likelihood:
    return likelihoods.make("gaussian", sigma=sigma)


def test_masses_that_do_not_sum_to_one_are_told_by_the_mean() -> None:
    right = log_likelihood(K, encode, decode, gaussian(), (1, 100), LEVELS)
    assert right.bound[100].max() < 0
    wrong = inflated(gaussian(), 1 - float(right.bound[100].mean()))
    with pytest.raises(ImpossibleScore, match=r"the mean ln P of 30 images is 1 nats .* over 5 levels"):
        log_likelihood(K, encode, decode, wrong, (1, 100), LEVELS)


def test_a_density_scored_as_a_mass_is_told_by_an_image() -> None:
    """Black images under a narrow Gaussian: a density of e^40 and more, where most images are far off."""
    k = K.clone()
    k[7] = 0
    narrow = gaussian(0.02)
    dense = copy.copy(narrow)
    dense.log_mass = lambda k, raw, levels: narrow.log_prob(k / (levels - 1), raw)  # type: ignore[misc, method-assign]
    flat = lambda k: (torch.zeros(len(k), 2), torch.zeros(len(k), 2))  # noqa: E731
    with pytest.raises(ImpossibleScore, match=r"ln P of \d of 30 images is above 0, of image 7 by 3\d\.?\d* nats"):
        log_likelihood(k, flat, lambda z: decode(0 * z), dense, (1, 100), LEVELS)
    floats = log_likelihood(k / 4, flat, lambda z: decode(0 * z), narrow, (1, 100))
    assert floats.bound[100].max() > 30, "a density may be above 0"


def test_a_certain_image_is_possible() -> None:
    """ln P = 0 to rounding: every pixel is 0 with certainty."""
    k = torch.zeros(9, 784, dtype=torch.long)
    bernoulli = likelihoods.make("bernoulli")
    sure = log_likelihood(
        k, lambda k: (torch.zeros(len(k), 2), torch.zeros(len(k), 2)), lambda z: z.repeat_interleave(392, -1) * 0 - 90,
        bernoulli, (1, 2, 100), 2,
    )  # fmt: skip
    assert sure.bound[100].abs().max() < 1e-3


class Blind:
    """What sums no mass and looks at no image: so that the score alone tells."""

    def __init__(self, *_: object) -> None:
        pass

    def over(self, scorer: object) -> object:
        return scorer

    def checked(self) -> Checked:
        return Checked(0.0, 0, 0.0)


def test_an_assessment_keeps_the_other_scorings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("vae_core.evaluate.assess"), "Watch", Blind)
    right, wrong = assess(
        K, encode, decode, [Scoring(gaussian(), "never"), Scoring(inflated(gaussian(), 200), "never")],
        levels=LEVELS, samples=(1, 100),
    )  # fmt: skip
    assert right.log_likelihood.max() < 0
    assert right.bits_per_dim > 0
    for asked in ("log_likelihood", "bits_per_dim"):
        with pytest.raises(ImpossibleScore, match="masses do not sum to one over 5 levels"):
            getattr(wrong, asked)
