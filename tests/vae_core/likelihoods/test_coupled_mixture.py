"""The mixture of logistics with coupled channels: against PixelCNN++'s equations written out, number by number."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special

from tests.tensor_counts import Operators
from tests.vae_core.likelihoods.cases import Case, cases
from vae_core import likelihoods
from vae_core.laws import setting
from vae_core.likelihoods import _coupled_mixture

MIXTURES = [case for case in cases(coupled=True) if case.family == "logistic_mixture"]
OF_PAPER = pytest.mark.parametrize("channels", ["coupled", "joint"])
N, PIXELS = 3, 2


def drawn(levels: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights, locations, scales and coefficients of N components for PIXELS pixels, [1, N, 3 PIXELS]."""
    rng = np.random.default_rng(seed)
    shape = (1, N, 3 * PIXELS)
    weights = rng.gamma(1.0, size=shape) + 1e-2
    weights = (weights.reshape(1, N, 3, PIXELS)[:, :, :1].repeat(3, 2)).reshape(shape)  # one a pixel, for "joint" too
    return {
        "weights": torch.tensor(weights / weights.sum(1, keepdims=True)),
        "mean": torch.tensor(rng.uniform(-0.2, 1.2, shape)),
        "scale": torch.tensor(np.exp(rng.uniform(math.log(0.5 / levels), math.log(0.3), shape))),
        "coefficients": torch.tensor(rng.normal(0, 0.8, shape)),
    }


def made(levels: int, channels: str, **options: Any) -> Any:
    return likelihoods.make(
        "logistic_mixture", levels=levels, components=N, channels=channels, shape=(3, 1, PIXELS), **options
    )


def by_the_paper(given: dict[str, torch.Tensor], levels: int, pixel: int, colour: tuple[int, ...], joint: bool) -> Any:
    """P(r), P(g|r), P(b|r,g) of eqs. 2 and 3 in float64: bins of [0, 1] of width 1/K, the first from −∞, the last to
    +∞; levels enter a mean as where they lie in [−½, ½]."""
    of = {name: value.numpy()[0].reshape(N, 3, PIXELS)[:, :, pixel] for name, value in given.items()}
    x = [(k + 0.5) / levels - 0.5 for k in colour]
    alpha, beta, gamma = of["coefficients"].T
    means = [
        of["mean"][:, 0],
        of["mean"][:, 1] + alpha * x[0],
        of["mean"][:, 2] + beta * x[0] + gamma * x[1],
    ]
    known, found = of["weights"][:, 0], []
    for c, k in enumerate(colour):
        low = -np.inf if k == 0 else k / levels
        high = np.inf if k == levels - 1 else (k + 1) / levels
        s = of["scale"][:, c]
        a, b = (low - means[c]) / s, (high - means[c]) / s
        mass = np.where(a > 0, special.expit(-a) - special.expit(-b), special.expit(b) - special.expit(a))
        weights = known / known.sum() if joint else of["weights"][:, c]
        found.append((weights * mass).sum())
        known = known * mass
    return np.array(found)


@OF_PAPER
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_masses_are_those_of_the_paper(channels: str, levels: int) -> None:
    lik, given = made(levels, channels), drawn(levels)
    raw = lik.raw(**given)
    rng = np.random.default_rng(1)
    for colour in [(0, 0, 0), (levels - 1,) * 3, (levels - 1, 0, 1), *map(tuple, rng.integers(0, levels, (40, 3)))]:
        k = torch.tensor(colour).repeat_interleave(PIXELS).unsqueeze(0)
        found = lik.log_masses(k, raw, levels).reshape(3, PIXELS)
        for pixel in range(PIXELS):
            expected = by_the_paper(given, levels, pixel, colour, channels == "joint")
            kept = expected > 1e-12  # below it the differences of sigmoids are rounding
            np.testing.assert_allclose(found[:, pixel].exp().numpy()[kept], expected[kept], rtol=1e-8)


@pytest.mark.parametrize("case", MIXTURES, ids=str)
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_each_conditional_sums_to_one(case: Case, levels: int) -> None:
    lik = case.make(levels)
    dims = setting.sized(lik, 2)
    for kind in ("random", "wide", "extreme"):
        raw = setting.raw_outputs(lik, dims, 20, kind, torch.float64)
        for seed in range(2):
            held = torch.randint(levels, (20, dims), generator=torch.Generator().manual_seed(seed))
            total = setting.every_level(lik, raw, levels, dims, held).logsumexp(1).exp()
            assert (total - 1).abs().max() < 1e-9


@pytest.mark.parametrize("ends", ["open", "renormalised"])
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_without_coefficients_it_is_the_mixture_of_independent_channels(ends: str, levels: int) -> None:
    plain = likelihoods.make("logistic_mixture", levels=levels, ends=ends)
    coupled = likelihoods.make("logistic_mixture", levels=levels, ends=ends, channels="coupled", shape=(3, 2, 2))
    raw = torch.randn(7, plain.outputs(12), generator=torch.Generator().manual_seed(0))
    k = torch.randint(levels, (7, 12), generator=torch.Generator().manual_seed(1))
    both = torch.cat([raw, torch.zeros(7, coupled.outputs(12) - plain.outputs(12))], -1)
    torch.testing.assert_close(coupled.log_masses(k, both, levels), plain.log_masses(k, raw, levels))


def test_one_component_drawn_a_pixel_is_that_of_each_channel_where_there_is_one_alone() -> None:
    one, other = (
        likelihoods.make("logistic_mixture", levels=9, components=1, channels=word, shape=(3, 1, 2))
        for word in ("coupled", "joint")
    )
    raw = torch.randn(5, one.outputs(6), generator=torch.Generator().manual_seed(0))
    k = torch.randint(9, (5, 6), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(one.log_masses(k, raw, 9), other.log_masses(k, raw, 9))


@OF_PAPER
@pytest.mark.parametrize("ends", ["open", "renormalised"])
def test_mean_and_draws_are_those_of_all_colours(channels: str, ends: str) -> None:
    levels = 5
    lik, given = made(levels, channels, ends=ends), drawn(levels, 3)
    raw = lik.raw(**given)
    colours = torch.tensor(list(itertools.product(range(levels), repeat=3)))
    k = colours.repeat_interleave(PIXELS, 1)
    joint = lik.log_masses(k, raw.expand(len(k), -1), levels).reshape(-1, 3, PIXELS).sum(1).exp()
    torch.testing.assert_close(joint.sum(0), torch.ones(PIXELS, dtype=torch.float64))
    expected = torch.einsum("np,nc->cp", joint, colours.double())
    torch.testing.assert_close(lik.mean(raw).reshape(3, PIXELS), expected)
    draws = lik.sample(raw.expand(20_000, -1), torch.Generator().manual_seed(0)).reshape(-1, 3, PIXELS)
    for pixel in range(PIXELS):
        place = (draws[:, :, pixel].long() * torch.tensor([levels**2, levels, 1])).sum(-1)
        seen = torch.bincount(place, minlength=levels**3).double() / len(draws)
        error = (joint[:, pixel] * (1 - joint[:, pixel]) / len(draws)).sqrt() + 1e-4
        assert ((seen - joint[:, pixel]).abs() / error).max() < 5


@OF_PAPER
@pytest.mark.parametrize("ends", ["open", "renormalised"])
def test_the_mean_of_many_levels_is_that_of_draws(channels: str, ends: str) -> None:
    levels = 256
    lik, given = made(levels, channels, ends=ends), drawn(levels, 5)
    given["mean"][:, 0] -= 0.5  # a component beyond an end
    raw = lik.raw(**given)
    draws = lik.sample(raw.expand(5_000, -1), torch.Generator().manual_seed(1))
    error = draws.std(0) / math.sqrt(len(draws))
    off = (draws.mean(0) - lik.mean(raw)[0]).abs()
    strata = 10.4 if (channels, ends) == ("joint", "renormalised") else 0.25  # levels that they are off by
    assert (off < 4.5 * error + strata).all(), off / error


@pytest.mark.parametrize("seed", [0, 1, 6, 9])
@OF_PAPER
@pytest.mark.parametrize("ends", ["open", "renormalised"])
def test_the_mean_of_many_levels_is_within_what_is_said_of_the_sum_over_all(
    channels: str, ends: str, seed: int
) -> None:
    """Over all levels of red for green, and of red and green for blue, where they are likelier than 1e-7."""
    levels = 256
    lik, given = made(levels, channels, ends=ends), drawn(levels, seed)
    given["mean"][:, 0] -= 0.5 * (seed % 3 == 0)
    raw = lik.raw(**given).reshape(4, N, 3, PIXELS)[..., :1].reshape(1, -1)
    lik.shape = (3, 1, 1)
    every = torch.arange(levels)
    k = torch.zeros(levels, 3, dtype=torch.long)
    k[:, 0] = every
    red = lik.log_masses(k, raw, levels)[:, 0].exp()
    k = torch.stack([every.repeat_interleave(levels), every.repeat(levels), torch.zeros(levels**2).long()], -1)
    pair = red.repeat_interleave(levels) * lik.log_masses(k, raw, levels)[:, 1].exp()
    likely = (pair > 1e-7).nonzero()[:, 0]
    blue = torch.zeros(len(likely), dtype=torch.float64)
    own = _coupled_mixture.split(lik, raw)
    for some in torch.arange(len(likely)).split(2048):
        walk = _coupled_mixture._Walk(lik, own)
        for channel in range(2):
            walk.go_on(k[likely[some], channel].double().unsqueeze(-1))
        blue[some] = lik._mean(walk.mixture())[:, 0]
    expected = [(red * every).sum(), (pair * k[:, 1]).sum(), (pair[likely] * blue).sum() / pair[likely].sum()]
    off = (lik.mean(raw)[0] - torch.stack(expected)).abs()
    assert off[0] < 1e-6
    assert off.max() < {"open": 1.4, "renormalised": 5.9 if channels == "coupled" else 10.5}[ends]


@pytest.mark.parametrize("ends", ["open", "renormalised"])
def test_the_mean_without_coefficients_is_that_of_independent_channels(ends: str) -> None:
    """In closed form, where the other sums over all levels: components of a tenth of a bin and of all bins, far beyond
    the ends too."""
    levels, n = 256, 40
    plain = likelihoods.make("logistic_mixture", levels=levels, components=1, ends=ends)
    coupled = likelihoods.make(
        "logistic_mixture", levels=levels, components=1, ends=ends, channels="coupled", shape=(3, 1, n)
    )
    rng = np.random.default_rng(0)
    scale = torch.tensor(np.exp(rng.uniform(math.log(0.1 / levels), 0, (4, 1, 3 * n))))
    given = {
        "weights": torch.ones(4, 1, 3 * n, dtype=torch.float64),
        "mean": torch.tensor(rng.uniform(-0.2, 1.2, scale.shape)) * torch.tensor([1.0, 1, 1, 30]).reshape(4, 1, 1),
        "scale": scale,
    }
    found = coupled.mean(coupled.raw(**given, coefficients=torch.zeros_like(scale)))
    torch.testing.assert_close(found, plain.mean(plain.raw(**given)), rtol=0, atol=2e-3)


@pytest.mark.parametrize("channels", ["independent", "coupled", "joint"])
@pytest.mark.parametrize("levels", [5, 256])
@pytest.mark.parametrize("bins", [0.5, 80.0, 1e6, 1e14, 1e22])
def test_with_renormalised_ends_the_mean_and_draws_hold_for_scales_of_any_size(
    channels: str, levels: int, bins: float
) -> None:
    """Against the sum over all levels: of a component within, and of ones half a range and many scales beyond the ends,
    where what lies within is a difference of numbers that are near each other, or vanish. Without coefficients, so
    that every channel has its sum to itself."""
    lik = likelihoods.make("logistic_mixture", levels=levels, components=1, channels=channels, ends="renormalised")
    lik.shape, scale = (3, 1, 1), bins / levels
    mean = torch.tensor([0.4, -0.5, 1.5, -1000 * scale, 1 + 1000 * scale], dtype=torch.float64)
    given = {
        name: torch.full((5, 1, 3), value, dtype=torch.float64) for name, value in (("weights", 1), ("scale", scale))
    }
    given["mean"] = mean.reshape(-1, 1, 1).expand(-1, -1, 3)
    more = {} if channels == "independent" else {"coefficients": torch.zeros(5, 1, 3, dtype=torch.float64)}
    raw = lik.raw(**given, **more)
    k = torch.arange(levels).reshape(-1, 1, 1).expand(-1, 5, 3)
    masses = lik.log_masses(k, raw.expand(levels, -1, -1), levels).exp()
    expected = (masses * k).sum(0)
    torch.testing.assert_close(lik.mean(raw), expected, rtol=1e-7, atol=1e-9 * levels)
    spread = ((masses * k.square()).sum(0) - expected.square()).clamp(min=0).sqrt()
    draws = lik.sample(raw.expand(1_000, -1, -1), torch.Generator().manual_seed(0)).mean(0)
    assert ((draws - expected).abs() <= 5 * spread / math.sqrt(1_000) + 1e-6).all()


@pytest.mark.parametrize("ends", ["open", "renormalised"])
def test_a_component_s_mass_is_computed_once_and_of_the_channels_that_are_needed(ends: str) -> None:
    """Told by `expm1`, of which each pass of the components takes as many: one pass a channel, and for one channel
    alone those of the earlier ones where they tell which component it was."""
    levels, k = 17, torch.zeros(1, 3, dtype=torch.long)

    def taken(channels: str, of: int | None = None) -> int:
        lik = likelihoods.make("logistic_mixture", levels=levels, channels=channels, ends=ends, shape=(3, 1, 1))
        raw = torch.zeros(1, lik.outputs(3))
        with Operators() as counted:
            _ = lik.log_masses(k, raw, levels) if of is None else lik.log_masses_of(of, k, raw, levels)
        return counted.by_name["aten.expm1.default"]

    one = taken("independent")
    assert one > 0
    assert [taken("coupled"), taken("joint")] == [3 * one, 3 * one]
    assert [taken("coupled", channel) for channel in range(3)] == [one, one, one]
    assert [taken("joint", channel) for channel in range(3)] == [one, 2 * one, 3 * one]


@pytest.mark.parametrize("channels", ["independent", "coupled", "joint"])
@pytest.mark.parametrize("ends", ["open", "renormalised"])
@pytest.mark.parametrize("last", [False, True])
def test_masses_of_one_channel_are_those_of_all(channels: str, ends: str, last: bool) -> None:
    lik = likelihoods.make(
        "logistic_mixture", levels=17, channels=channels, ends=ends, shape=(3, 2, 2), validate_args=False
    )
    lik.channels_last = last
    generator = torch.Generator().manual_seed(0)
    raw, k = torch.randn(4, lik.outputs(12), generator=generator), torch.randint(17, (4, 12), generator=generator)
    every = lik.log_masses(k, raw, 17)
    for channel in range(3):
        own = every[:, channel::3] if last else every[:, 4 * channel : 4 * (channel + 1)]
        assert torch.equal(lik.log_masses_of(channel, k, raw, 17), own)
        half = raw.bfloat16()
        assert torch.equal(lik.log_masses_of(channel, k, half, 17), lik.log_masses_of(channel, k, half.float(), 17))
    with pytest.raises(ValueError, match="has 17 levels, the data 16: make it with levels=16"):
        lik.log_masses_of(0, k, raw, 16)


@OF_PAPER
def test_gradients_agree_with_finite_differences(channels: str) -> None:
    lik = made(17, channels)
    raw = torch.randn(2, lik.outputs(6), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    k = torch.randint(17, (2, 6), generator=torch.Generator().manual_seed(1))
    assert torch.autograd.gradcheck(lambda r: lik.log_mass(k, r, 17), raw.requires_grad_(), eps=1e-6, atol=1e-5)
