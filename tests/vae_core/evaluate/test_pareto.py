"""Pareto k̂ and the jackknife of a stream of weights, against arviz-stats, known tails and the plain formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from arviz_stats.base import array_stats  # type: ignore[attr-defined]
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vae_core.evaluate.pareto import TAIL_AT_MOST, Tail, khat_threshold, pareto_khat, tail_length


def heavy(shape: float, samples: int, seed: int = 0) -> Tensor:
    """ln w of exact Pareto weights, w = u^−k."""
    u = torch.rand(samples, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return -shape * torch.log(u)


def streamed(log_weights: Tensor, chunk: int = 128) -> Tail:
    tail = Tail(log_weights.shape[-1], log_weights[..., 0])
    for part in log_weights.split(chunk, -1):
        tail.push(part)
    return tail


def leave_one_out(log_weights: Tensor) -> Tensor:
    """The jackknife as it is defined, from L bounds of L − 1 weights each."""
    count = log_weights.shape[-1]
    bound = log_weights.logsumexp(-1) - math.log(count)
    without = [torch.cat([log_weights[..., :i], log_weights[..., i + 1 :]], -1).logsumexp(-1) for i in range(count)]
    return count * bound - (count - 1) * (torch.stack(without).mean(0) - math.log(count - 1))


@pytest.mark.parametrize("samples", [40, 100, 1000, 5000])
@pytest.mark.parametrize("shape", [0.1, 0.5, 0.7, 1.5])
def test_khat_is_what_arviz_gives(shape: float, samples: int) -> None:
    for seed, offset in enumerate((0.0, -700.0, 900.0)):  # weights beyond what a float64 holds
        log_weights = heavy(shape, samples, seed) + offset
        _, expected = array_stats.psislw(-log_weights.numpy())
        assert float(streamed(log_weights).khat()) == pytest.approx(float(expected), abs=1e-6)


def test_khat_does_not_depend_on_how_many_numbers_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    log_weights = torch.stack([heavy(0.5, 1000, seed) for seed in range(3)])
    whole = streamed(log_weights).khat()
    monkeypatch.setattr("vae_core.evaluate.pareto._AT_ONCE", 1000)
    torch.testing.assert_close(streamed(log_weights).khat(), whole)


def test_no_images_have_no_khat() -> None:
    assert pareto_khat(torch.zeros(0, 20)).shape == (0,)


def test_khat_finds_the_shape_of_a_known_tail() -> None:
    for shape in (0.2, 0.5, 1.0, 2.0):
        found = torch.stack([streamed(heavy(shape, 20_000, seed)).khat() for seed in range(20)])
        prior = 10 / (TAIL_AT_MOST + 10) * (0.5 - shape)  # what the fit's prior moves it by
        assert float(found.mean()) == pytest.approx(shape + prior, abs=0.05)


def test_the_tail_is_no_longer_than_it_may_be() -> None:
    assert tail_length(1000) == math.floor(3 * math.sqrt(1000)) == 94
    assert tail_length(100) == 20
    assert tail_length(10**9) == TAIL_AT_MOST
    tail = streamed(heavy(0.5, 50_000))
    assert tail._held.shape[-1] <= TAIL_AT_MOST + 1 + 256
    assert 0.3 < float(tail.khat()) < 0.7


def test_too_few_weights_say_nothing_and_equal_ones_have_no_tail() -> None:
    assert math.isnan(float(streamed(heavy(0.5, 20)).khat()))
    assert float(streamed(torch.full((100,), -3.7, dtype=torch.float64)).khat()) == 0
    assert math.isfinite(float(streamed(torch.tensor([0.0] * 90 + [5.0] * 10, dtype=torch.float64)).khat()))


def test_the_threshold() -> None:
    assert khat_threshold(100) == pytest.approx(0.5)
    assert khat_threshold(1000) == pytest.approx(2 / 3)
    assert khat_threshold(5000) == khat_threshold(10**6) == 0.7


@given(st.lists(st.integers(1, 150), min_size=1, max_size=8), st.floats(0, 20), st.integers(0, 1000), st.booleans())
def test_the_stream_does_not_depend_on_its_chunks(chunks: list[int], spread: float, seed: int, rising: bool) -> None:
    """k̂ and jackknife of the stream are those of all weights at once, in whatever order they come."""
    total = sum(chunks)
    log_weights = spread * torch.randn(2, total, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    if rising:
        log_weights = log_weights.sort(-1).values
    tail = Tail(total, log_weights[:, 0])
    for part in torch.split(log_weights, chunks, -1):
        tail.push(part)
    whole = min(tail_length(total) + 1, total)
    expected = pareto_khat(log_weights.topk(whole, -1).values)
    torch.testing.assert_close(tail.khat(), expected, equal_nan=True)
    if total > 1:
        torch.testing.assert_close(tail.jackknife(), leave_one_out(log_weights), rtol=1e-9, atol=2e-6)


def test_the_jackknife_takes_the_bias_away() -> None:
    """Of log-normal weights with a known mean: the bound is low by Var/2L, the jackknife by far less."""
    samples, spread = 50, 1.0
    generator = torch.Generator().manual_seed(0)
    log_weights = spread * torch.randn(20_000, samples, dtype=torch.float64, generator=generator) - 0.5 * spread**2
    bound = log_weights.logsumexp(-1) - math.log(samples)
    tail = streamed(log_weights)
    bias, error = float(bound.mean()), float(bound.std() / math.sqrt(len(bound)))
    assert bias == pytest.approx(-(math.e - 1) / (2 * samples), abs=4 * error + 2e-3)
    assert abs(float(tail.jackknife().mean())) < abs(bias) / 4


@pytest.mark.parametrize("chunk", [7, 128])
def test_the_rest_enters_by_its_first_three_powers(chunk: int) -> None:
    """64 weights stand one by one; of the rest one is 1 and 63 are ½. The third power is worth 3e-6 nats, the fourth,
    which is left out, 1e-8."""
    log_weights = torch.cat([torch.zeros(65), torch.full((63,), -math.log(2))]).double()
    found, expected = streamed(log_weights, chunk).jackknife(), leave_one_out(log_weights)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("count", [2, 3, 10, 63, 64, 65, 400])
def test_equal_weights_have_no_bias_to_take_away(count: int) -> None:
    equal = torch.full((count,), 1.5, dtype=torch.float64)
    assert float(streamed(equal, 7).jackknife()) == pytest.approx(1.5, abs=2e-6)


def test_one_weight_has_no_jackknife_and_one_that_rules_leaves_it_finite() -> None:
    assert math.isnan(float(streamed(torch.zeros(1, dtype=torch.float64)).jackknife()))
    ruled = torch.zeros(1000, dtype=torch.float64)
    ruled[3] = 60.0
    found, expected = float(streamed(ruled).jackknife()), float(leave_one_out(ruled))
    assert found == pytest.approx(expected, rel=1e-9)
    assert np.isfinite(found)
