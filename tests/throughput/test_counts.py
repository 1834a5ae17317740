"""Counts without noise: operators, bytes, graph breaks. A slow machine cannot hide a step that does more.

They are of the CPU's code path whatever the device; tests/throughput/test_cuda.py counts kernels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
import torch

from tests.tensor_counts import Operators, operators, peak_bytes
from tests.throughput.conftest import Measured
from tests.throughput.workloads import DIGITS, IMAGES, Decoder, gaussians, stepper, trainer
from vae_core import likelihoods
from vae_core.likelihoods import Likelihood
from vae_core.training import Noise


def mixed() -> list[Likelihood]:
    """Four kinds side by side, two of each."""
    return [
        likelihoods.make(family, sigma=sigma)
        for family, sigma in (("gaussian", "shared"), ("laplace", 0.1), ("logistic", 0.1), ("student_t", 0.1))
        for _ in range(2)
    ]


BUNDLES = {"gaussian ×8": lambda: gaussians(8), "four kinds ×2": mixed}
STEPS = {
    "gaussian ×8": lambda: stepper(DIGITS, gaussians(8), "cpu"),
    "four kinds ×2": lambda: stepper(DIGITS, mixed(), "cpu"),
    "gaussian ×8, iwae L=5": lambda: stepper(DIGITS, gaussians(8), "cpu", bound="iwae", samples=5),
    "gaussian ×8, binned": lambda: stepper(DIGITS, gaussians(8), "cpu", objective="binned"),
}


@pytest.mark.parametrize("bundle", STEPS)
def test_operators_of_a_training_step(measured: Measured, bundle: str) -> None:
    step = STEPS[bundle]()
    step()  # the optimiser's state is made in the first
    measured.count(f"operators, step, {bundle}", operators(step))


@pytest.mark.parametrize("bundle", STEPS)
def test_values_that_a_training_step_reads(measured: Measured, bundle: str) -> None:
    """Each is a number taken out of a tensor by Python: a wait for the device on a GPU, and the end of a capture."""
    step = STEPS[bundle]()
    step()
    with Operators() as counted:
        step()
    measured.count(f"values read, step, {bundle}", counted.by_name["aten._local_scalar_dense.default"])


def test_a_bundle_carries_out_as_many_operators_as_one_model() -> None:
    counts = []
    for models in (1, 8, 64):
        step = stepper(DIGITS, gaussians(models), "cpu")
        step()
        counts.append(operators(step))
    assert len(set(counts)) == 1


def more(make: Callable[[int], Callable[[], object]], few: int, many: int) -> int:
    """Operators of many over those of few: what does not depend on how many falls out, and what is done once and kept
    is done before."""
    make(few)()
    return operators(make(many)) - operators(make(few))


@pytest.mark.parametrize("family", ["gaussian", "logistic"])
def test_operators_of_evaluation(measured: Measured, family: str) -> None:
    """Of 1024 samples more for 32 images: two tiles of 512."""
    decoder = Decoder(DIGITS, likelihoods.make(family, sigma=0.1), "cpu", 32)
    measured.count(f"operators, 1024 samples, {family}", more(decoder.importance, 1024, 2048))


def test_operators_of_a_refinement_step(measured: Measured) -> None:
    decoder = Decoder(DIGITS, likelihoods.make("gaussian", sigma=0.1), "cpu", 32)
    found = more(decoder.refinement, 3, 4)
    assert found == more(decoder.refinement, 7, 8)  # each step is like the others
    measured.count("operators, refinement step", found)


def test_bytes_of_a_training_step(measured: Measured) -> None:
    """Of tensors made in the step, gradients included, at their most."""
    step = stepper(IMAGES, gaussians(4), "cpu")
    step()
    measured.count("bytes at most, step, images ×4", peak_bytes(step))


@pytest.mark.parametrize("samples", [128, 1024])
def test_bytes_of_evaluation(measured: Measured, samples: int) -> None:
    decoder = Decoder(IMAGES, likelihoods.make("gaussian", sigma=0.1), "cpu", 32)
    measured.count(f"bytes at most, {samples} samples, images", peak_bytes(decoder.importance(samples)))


@pytest.fixture
def without_logs() -> Iterator[None]:
    """What the tracer logs fills pages."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("bundle", BUNDLES)
def test_graph_breaks_of_a_bundle_s_objective(measured: Measured, bundle: str, without_logs: None) -> None:
    """Where a trace of it must stop: at a value that is read, at what is no torch. None: a step can be captured."""
    own = trainer(DIGITS, BUNDLES[bundle](), "cpu")
    k = own.data.train[next(own.epoch())]
    noise = Noise(torch.rand(1, DIGITS.batch, DIGITS.dims), torch.randn(1, DIGITS.batch, 1, 10))
    torch._dynamo.reset()
    explained = torch._dynamo.explain(lambda: own.program.objectives(k, noise, training=True))()
    measured.count(f"graph breaks, objective, {bundle}", explained.graph_break_count)
