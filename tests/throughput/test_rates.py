"""Images and decodes a second, recorded by pytest-benchmark and never asserted: absolute times on a shared machine move
by a third."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.throughput.conftest import Measured
from tests.throughput.workloads import DIGITS, IMAGES, Decoder, Size, gaussians, stepper
from vae_core import likelihoods


def finished(call: Callable[[], Any], device: str) -> Callable[[], Any]:
    """The call, and the device idle after it."""
    if device != "cuda":
        return call

    def wait() -> None:
        call()
        torch.cuda.synchronize()

    return wait


@pytest.mark.parametrize(
    ("size", "models"), [(DIGITS, 1), (DIGITS, 8), (IMAGES, 4)], ids=lambda v: getattr(v, "name", v)
)
def test_training(measured: Measured, device: str, benchmark: Any, size: Size, models: int) -> None:
    step = stepper(size, gaussians(models), device)
    benchmark(finished(step, device))
    measured.rate(f"training, {size.name} ×{models}", benchmark, models * size.batch, "images")


@pytest.mark.parametrize("family", ["bernoulli", "gaussian", "laplace", "logistic", "continuous_bernoulli"])
def test_evaluation(measured: Measured, device: str, benchmark: Any, family: str) -> None:
    """1000 samples of 64 digits, scored by the exact mass."""
    options = {"sigma": 0.1} if likelihoods.get(family).takes_sigma else {}
    decoder = Decoder(DIGITS, likelihoods.make(family, **options), device, 64)
    benchmark(finished(decoder.importance(1000), device))
    measured.rate(f"evaluation, {family}, digits", benchmark, 64 * 1000, "decodes")
