"""Speed, recorded by pytest-benchmark (`make throughput`); asserted only as a ratio of two code paths run in turn.

Absolute times on a shared machine move by a third; the median of paired ratios in ABBA order moves by a few percent
(DESIGN.md §6).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from vae_core import likelihoods
from vae_core.data import load
from vae_core.evaluate import log_likelihood
from vae_core.networks import Architecture
from vae_core.training import Member, Schedule, Trainer

ARCHITECTURE = Architecture((200,), "tanh", 10)
SCHEDULE = Schedule(epochs=1, batch_size=100, learning_rate=1e-3)
BLOCK_SECONDS = 0.03


def trainer(models: int) -> Trainer:
    members = [Member(likelihoods.make("gaussian", sigma=0.1 * (1 + m)), "elbo", 0) for m in range(models)]
    return Trainer(load("digits"), members, ARCHITECTURE, SCHEDULE, "cpu")


def stepper(models: int) -> Callable[[], Any]:
    own = trainer(models)
    index = next(own.epoch())
    return lambda: own.step(index)


def block(call: Callable[[], Any], calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - started) / calls


def paired_ratios(first: Callable[[], Any], second: Callable[[], Any], rounds: int) -> list[float]:
    """first's time over second's, each pair taken in turn as ABBA."""
    calls = [max(1, round(BLOCK_SECONDS / block(call, 3))) for call in (first, second)]
    ratios = []
    for _ in range(rounds):
        a1, b1, b2, a2 = (
            block(first, calls[0]),
            block(second, calls[1]),
            block(second, calls[1]),
            block(first, calls[0]),
        )
        ratios.append((a1 + a2) / (b1 + b2))
    return ratios


def interval(ratios: list[float], confidence: float = 0.95) -> tuple[float, float]:
    """Bootstrap interval of the median."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, size=(2000, len(ratios))), axis=1)
    low, high = np.quantile(medians, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


@pytest.mark.parametrize("models", [1, 8])
def test_training_step(benchmark: Any, models: int) -> None:
    benchmark.extra_info["images"] = models * SCHEDULE.batch_size
    benchmark(stepper(models))


@pytest.mark.parametrize("family", ["bernoulli", "gaussian", "laplace", "logistic", "continuous_bernoulli"])
def test_evaluation_pass(benchmark: Any, family: str) -> None:
    """1000 samples of 64 digits, scored by the exact mass."""
    options = {"sigma": 0.1} if likelihoods.get(family).takes_sigma else {}
    lik = likelihoods.make(family, **options)
    levels = 2 if lik.view == "binary" else 17
    k = load("digits").test[:64].clamp(max=levels - 1)
    weight = torch.randn(10, 64, generator=torch.Generator().manual_seed(0))
    benchmark.extra_info["decodes"] = 64 * 1000
    benchmark(
        lambda: log_likelihood(
            k, lambda x: (torch.zeros(len(x), 10), torch.zeros(len(x), 10)), lambda z: z @ weight, lik, (1000,), levels
        )
    )


def test_a_bundle_of_eight_costs_less_a_model_than_one_alone() -> None:
    """The point of bundles. Fails only if the whole interval of the ratio lies on the wrong side, twice."""
    alone, bundle = stepper(1), stepper(8)
    for rounds in (9, 27):
        ratios = [8 * ratio for ratio in paired_ratios(alone, bundle, rounds)]
        low, high = interval(ratios)
        if high >= 1.2:
            break
    else:
        pytest.fail(f"eight models alone take {statistics.median(ratios):.2f} [{low:.2f}, {high:.2f}] times the bundle")
