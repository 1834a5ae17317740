"""Parameters that no raw output stands for are refused, each with a sentence; and σ and ν that are no raw outputs are
set on the likelihood, or refused there."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.vae_core.likelihoods.natural import NATURAL
from vae_core import likelihoods
from vae_core.likelihoods import stack

NAN, INFINITE = math.nan, math.inf
MEAN = torch.full((3,), 0.5)
LEVELS = {"levels": 17}
PIXEL = {"sigma": "pixel"}
PIXEL_17 = PIXEL | LEVELS

#: family, options, parameters, what the sentence says
WRONG: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    # names
    (
        "gaussian",
        PIXEL,
        {"mean": MEAN, "sgima": 0.1},
        "gaussian has no parameter 'sgima' (allowed: mean, sigma, log_sig",
    ),
    ("gaussian", PIXEL, {"mu": MEAN, "sigma": 0.1}, "gaussian needs mean (given: mu, sigma)"),
    ("gaussian", PIXEL, {}, "gaussian needs mean"),
    ("gaussian", PIXEL, {"sigma": 0.1}, "gaussian needs mean (given: sigma)"),
    ("student_t", PIXEL, {"mean": MEAN, "sigma": 0.1, "df": 3.0}, "student_t has no parameter 'df'"),
    ("bernoulli", {}, {"p": 0.5}, "bernoulli needs logits or probs (given: p)"),
    ("bernoulli", {}, {"probs": 0.5, "x": 1}, "bernoulli has no parameter 'x' (allowed: logits, probs)"),
    ("beta", {}, {"alpha": 1.0}, "beta needs beta"),
    ("beta_binomial", LEVELS, {"beta": 1.0}, "beta_binomial needs alpha (given: beta)"),
    ("kumaraswamy", {}, {"a": 1.0}, "kumaraswamy needs b or log_b"),
    ("categorical", LEVELS, {}, "categorical needs logits or probs"),
    ("logistic_mixture", LEVELS, {"mean": 0.5, "scale": 0.1}, "logistic_mixture needs logits or weights"),
    ("mse_sum", {}, {"mean": MEAN, "sigma": 0.1}, "mse_sum has no parameter 'sigma' (allowed: mean)"),
    ("bce_sum", {}, {"mean": MEAN}, "bce_sum needs logits or probs (given: mean)"),
    # two of one
    ("gaussian", PIXEL, {"mean": MEAN, "sigma": 0.1, "variance": 0.01}, "gaussian takes only one of sigma, variance"),
    ("binomial", LEVELS, {"logits": 0.0, "probs": 0.5}, "binomial takes only one of logits, probs"),
    ("kumaraswamy", {}, {"a": 1.0, "log_a": 0.0, "b": 1.0}, "kumaraswamy takes only one of a, log_a"),
    # no numbers
    ("gaussian", PIXEL, {"mean": NAN, "sigma": 0.1}, "mean holds NaN or infinite numbers"),
    ("gaussian", PIXEL, {"mean": torch.tensor([0.5, INFINITE]), "sigma": 0.1}, "mean holds NaN or infinite numbers"),
    ("gaussian", PIXEL, {"mean": 0.5, "log_sigma": -INFINITE}, "log_sigma holds NaN or infinite numbers"),
    ("bernoulli", {}, {"logits": INFINITE}, "logits holds NaN or infinite numbers"),
    ("mse_mean", {}, {"mean": NAN}, "mean holds NaN or infinite numbers"),
    ("gaussian", PIXEL, {"mean": "half", "sigma": 0.1}, "mean='half' is neither a number nor a tensor"),
    ("gaussian", PIXEL, {"mean": None, "sigma": 0.1}, "mean=None is neither a number nor a tensor"),
    ("gaussian", PIXEL, {"mean": torch.ones(2, dtype=torch.complex64), "sigma": 0.1}, "gaussian takes real numbers"),
    # out of range
    ("gaussian", PIXEL, {"mean": 0.5, "sigma": 0.0}, "sigma=0 is no finite number > 0"),
    ("gaussian", PIXEL, {"mean": 0.5, "sigma": torch.tensor([0.1, -0.1])}, "sigma=-0.1 is no finite number > 0"),
    ("laplace", PIXEL, {"mean": 0.5, "variance": -1.0}, "variance=-1 is no finite number > 0"),
    ("gaussian", PIXEL | {"link": "sigmoid"}, {"mean": 1.0, "sigma": 0.1}, "mean must lie strictly between 0 and 1"),
    ("truncated_gaussian", {"sigma": 0.1, "link": "sigmoid"}, {"mean": -0.1}, "mean must lie strictly between 0 and 1"),
    ("bernoulli", {}, {"probs": torch.tensor([0.5, 1.0])}, "probs must lie strictly between 0 and 1, given [0.5, 1]"),
    ("continuous_bernoulli", {}, {"probs": 0.0}, "what is sure of an end has no finite raw output"),
    ("beta", {}, {"alpha": 0.02, "beta": 1.0}, "alpha and beta must be above 0.02"),
    ("beta", {}, {"alpha": 9e4, "beta": 2e4}, "below 100000"),
    ("beta_binomial", LEVELS, {"alpha": 0.0, "beta": 1.0}, "alpha=0 is no finite number > 0"),
    ("beta_binomial", LEVELS, {"alpha": 4e4, "beta": 1e4}, "alpha + beta must lie strictly within 2 e^±10"),
    ("kumaraswamy", {}, {"log_a": 7.0, "b": 1.0}, "ln a must lie strictly within ±7, given up to 7"),
    ("kumaraswamy", {}, {"a": 1.0, "log_b": -60.0}, "ln b must lie strictly within ±60"),
    (
        "categorical",
        {"levels": 2},
        {"probs": torch.tensor([[0.5, 0.4]])},
        "probs must be > 0 and sum to 1 over axis -1",
    ),
    ("categorical", {"levels": 2}, {"probs": torch.tensor([[1.0, 0.0]])}, "what has no probability has no finite raw"),
    (
        "logistic_mixture",
        LEVELS | {"components": 2},
        {"weights": torch.tensor([[0.5], [0.6]]), "mean": 0.5, "scale": 0.1},
        "weights must be > 0 and sum to 1 over axis -2, the n components",
    ),
    (
        "logistic_mixture",
        LEVELS | {"components": 1},
        {"weights": torch.ones(1, 1), "mean": 0.5, "scale": 0.003},
        "scales must lie above a 16th of a bin, 0.00368",
    ),
    # at the floor and below
    (
        "gaussian",
        PIXEL_17,
        {"mean": 0.5, "sigma": 1 / (64 * 17)},
        "sigma=0.000919 is not above its floor, 0.000919, a 64",
    ),
    (
        "logistic",
        PIXEL_17,
        {"mean": 0.5, "sigma": 1e-4},
        "sigma=0.0001 is not above its floor, 0.000919, a 64th of a bin",
    ),
    ("laplace", {"sigma": "image"}, {"mean": MEAN, "sigma": 2e-7}, "is not above its floor, 2.38e-07"),
    ("logit_normal", PIXEL, {"mean": MEAN, "log_sigma": -16.0}, "(levels=K tells how wide one is)"),
    # σ that is wanted, and that is none
    ("gaussian", PIXEL, {"mean": MEAN}, "sigma='pixel' has its σ among the raw outputs: give sigma, [..., D]"),
    (
        "student_t",
        {"sigma": "image"},
        {"mean": MEAN},
        "sigma='image' has its σ among the raw outputs: give sigma, [..., 1]",
    ),
    (
        "gaussian",
        {"sigma": 0.1},
        {"mean": MEAN, "sigma": 0.1},
        "σ is a number, no raw output: leave sigma out here, and",
    ),
    (
        "logistic",
        {"sigma": "shared"},
        {"mean": MEAN, "sigma": 0.1},
        "σ is one learned scalar, no raw output: leave sigma",
    ),
    ("logit_normal", {"sigma": "optimal"}, {"mean": MEAN, "log_sigma": 0.1}, "σ is the residuals' own, no raw output"),
    # shapes
    ("gaussian", PIXEL, {"mean": MEAN, "sigma": torch.ones(2)}, "mean [3] and sigma [2] do not broadcast"),
    (
        "gaussian",
        {"sigma": "image"},
        {"mean": MEAN, "sigma": torch.ones(3)},
        "has one σ an image: give sigma [..., 1], not",
    ),
    (
        "gaussian",
        {"sigma": "image"},
        {"mean": torch.ones(4, 3), "sigma": torch.ones(5, 1)},
        "mean [4, 1] and sigma [5, 1] do not broadcast",
    ),
    ("beta", {}, {"alpha": torch.ones(3), "beta": torch.ones(2)}, "alpha [3] and beta [2] do not broadcast"),
    ("kumaraswamy", {}, {"a": torch.ones(3), "b": torch.ones(2)}, "a [3] and b [2] do not broadcast"),
    (
        "beta_binomial",
        LEVELS,
        {"alpha": torch.ones(3), "beta": torch.ones(2)},
        "alpha [3] and beta [2] do not broadcast",
    ),
    ("categorical", LEVELS, {"logits": torch.ones(4, 16)}, "logits and probs are [..., D, 17], not [4, 16]"),
    ("categorical", LEVELS, {"logits": torch.ones(17)}, "logits and probs are [..., D, 17], not [17]"),
    (
        "logistic_mixture",
        LEVELS | {"components": 2},
        {"logits": torch.zeros(3, 4), "mean": 0.5, "scale": 0.1},
        "the parameters of 2 components are [..., 2, D], not [3, 4]",
    ),
]


@pytest.mark.parametrize(("name", "options", "given", "said"), WRONG, ids=[f"{n}: {s}" for n, _, _, s in WRONG])
def test_wrong_parameters_are_refused_with_a_sentence(
    name: str, options: dict[str, Any], given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        likelihoods.make(name, **options).raw(**given)


def test_every_family_refuses_something() -> None:
    assert {name for name, *_ in WRONG} | {"bce_mean", "beta_mse"} == set(NATURAL)


# -- σ that is one number for all ----------------------------------------------------------------------------------

LEARNED = [
    (name, mode) for name in NATURAL for mode in likelihoods.get(name).sigma_modes if mode in ("shared", "optimal")
]
RECIPES = [
    (name, score)
    for name in NATURAL
    if likelihoods.get(name).recipe
    for score in likelihoods.get(name).scorings
    if score.endswith(("_fitted", "_binned"))
]


def in_use(lik: Any, raw: Tensor) -> float:
    return float(lik.sigma_in_use(raw))


@pytest.mark.parametrize(("name", "mode"), LEARNED)
def test_a_sigma_that_is_set_is_the_one_in_use(name: str, mode: str) -> None:
    """One that is learned, or that residuals give: with no training, no warning when it scores, and one of each model
    in a stack."""
    lik: Any = likelihoods.make(name, sigma=mode, levels=17)
    assert lik.untouched()
    lik.set_sigma(0.07)
    assert in_use(lik, MEAN) == pytest.approx(0.07, rel=1e-6)
    assert not lik.untouched()
    assert likelihoods.make(name, sigma=mode).double().untouched()
    many: Any = stack([lik, lik, lik])
    many.set_sigma(torch.tensor([0.03, 0.1, 2.0]))
    assert [in_use(many.select(index), MEAN) for index in range(3)] == pytest.approx([0.03, 0.1, 2.0], rel=1e-6)
    many.set_sigma(0.5)
    assert [in_use(many.select(index), MEAN) for index in range(3)] == pytest.approx([0.5] * 3, rel=1e-6)
    assert in_use(lik, MEAN) == pytest.approx(0.07, rel=1e-6)


@pytest.mark.parametrize(("name", "score"), RECIPES)
def test_so_is_one_that_a_recipe_would_fit(name: str, score: str) -> None:
    lik: Any = likelihoods.make(name, score=score)
    with pytest.raises(ValueError, match=r"fit_scale"):
        lik.log_mass(torch.zeros(3, dtype=torch.long), MEAN, 17)
    lik.set_sigma(0.07)
    assert in_use(lik, MEAN) == pytest.approx(0.07, rel=1e-6)
    many: Any = stack([lik, lik])
    many.set_sigma(torch.tensor([0.03, 0.1]))
    assert [in_use(many.select(index), MEAN) for index in range(2)] == pytest.approx([0.03, 0.1], rel=1e-6)


@pytest.mark.parametrize(
    "wrong", [0.0, -0.1, NAN, INFINITE, torch.tensor([0.1, NAN])], ids=["0", "-0.1", "nan", "inf", "one nan"]
)
@pytest.mark.parametrize("options", [{"sigma": "shared"}, {"sigma": "optimal"}], ids=["shared", "optimal"])
def test_a_sigma_that_is_none_is_not_set(options: dict[str, Any], wrong: Any) -> None:
    lik: Any = stack([likelihoods.make("gaussian", **options) for _ in range(2)])
    lik.set_sigma(0.2)
    with pytest.raises(ValueError, match=r"^sigma=.* is no finite number > 0$"):
        lik.set_sigma(wrong)
    assert in_use(lik, torch.zeros(2, 3)) == pytest.approx(0.2, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "sigma", "said"),
    [
        ("gaussian", {"sigma": 0.1}, 0.2, "σ is a number, which is not set"),
        ("laplace", {"sigma": "pixel"}, 0.2, "σ is one number a dimension, from the decoder, which is not set"),
        ("truncated_gaussian", {"sigma": "image"}, 0.2, "σ is one number an image, from the decoder, which is not set"),
        ("gaussian", {"sigma": "shared", "levels": 17}, 9e-4, "sigma=0.0009 is not above its floor, 0.000919"),
        ("gaussian", {"sigma": "shared"}, torch.ones(2), "sigma is one number, not [2]"),
        ("logit_normal", {"sigma": "optimal"}, torch.ones(3), "sigma is one number, not [3]"),
        ("mse_sum", {}, 0.2, "mse_sum read as gaussian_implied has no σ to be set"),
        ("bce_sum", {"score": "binomial"}, 0.2, "bce_sum read as binomial has no σ to be set"),
        ("beta", {}, 0.2, "beta has no σ that is one number"),
        ("categorical", LEVELS, 0.2, "categorical has no σ that is one number"),
    ],
)
def test_a_sigma_is_set_only_where_it_is_one_number(name: str, options: Any, sigma: Any, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        likelihoods.make(name, **options).set_sigma(sigma)


@pytest.mark.parametrize("sigma", ["shared", "optimal"])
def test_a_stack_is_set_to_one_number_each_or_one_for_all(sigma: str) -> None:
    many = stack([likelihoods.make("gaussian", sigma=sigma) for _ in range(3)])
    with pytest.raises(ValueError, match=re.escape("sigma is a number or [3], one for each model, not [2]")):
        many.set_sigma(torch.ones(2))


# -- ν -------------------------------------------------------------------------------------------------------------


def test_a_learned_df_is_set_of_one_and_of_a_stack() -> None:
    lik: Any = likelihoods.make("student_t", df="shared").double()
    lik.set_df(12.5)
    assert float(lik.df.value(MEAN.device).detach()) == pytest.approx(12.5, rel=1e-12)
    many: Any = stack([lik, lik])
    many.set_df(torch.tensor([1.01, 99.0]))
    assert many.df.value(MEAN.device).tolist() == pytest.approx([1.01, 99.0], rel=1e-6)
    assert float(many.select(1).df.value(MEAN.device)) == pytest.approx(99.0, rel=1e-6)


@pytest.mark.parametrize(
    ("df", "wrong", "said"),
    [
        (3.0, 5.0, "df is a number, not learned: make the likelihood with the ν that is wanted"),
        ("shared", 1.0, "a learned ν lies between 1 and 100, given 1"),
        ("shared", 100.0, "a learned ν lies between 1 and 100, given 100"),
        ("shared", NAN, "a learned ν lies between 1 and 100, given nan"),
        ("shared", torch.tensor([2.0, 200.0]), "a learned ν lies between 1 and 100, given 2 to 200"),
        ("shared", torch.tensor([2.0, 3.0]), "df is one number, not [2]"),
    ],
)
def test_a_df_that_is_none_is_not_set(df: Any, wrong: Any, said: str) -> None:
    lik: Any = likelihoods.make("student_t", df=df)
    with pytest.raises(ValueError, match=re.escape(said)):
        lik.set_df(wrong)
