"""Counts of a GPU's work, without noise: kernels, graph launches, waits, bytes. Skipped where there is no GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from tests.throughput.conftest import Measured
from tests.throughput.workloads import DIGITS, IMAGES, Decoder, gaussians, stepper
from vae_core import likelihoods

#: a captured step may need some ordinary ones before it; a count over many steps is exact where a graph holds several
WARM_UP, STEPS = 20, 32
LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx")


@pytest.fixture(autouse=True)
def needs_a_gpu(device: str) -> None:
    if device != "cuda":
        pytest.skip("needs a CUDA device")


def profiled(call: Callable[[], Any], times: int) -> tuple[int, Counter[str]]:
    """Kernels that the device carried out, and calls of the driver by name."""
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        for _ in range(times):
            call()
        torch.cuda.synchronize()
    events = profiler.events() or []
    on_device = [event.name for event in events if event.device_type == DeviceType.CUDA]
    kernels = sum(not name.startswith(("Memcpy", "Memset")) for name in on_device)
    return kernels, Counter(event.name for event in events if event.device_type == DeviceType.CPU)


@pytest.fixture
def warm_step() -> Callable[[], Any]:
    step = stepper(DIGITS, gaussians(8), "cuda")
    for _ in range(WARM_UP):
        step()
    return step


def test_kernels_of_a_training_step(measured: Measured, warm_step: Callable[[], Any]) -> None:
    kernels, _ = profiled(warm_step, STEPS)
    measured.count(f"kernels, {STEPS} steps, gaussian ×8", kernels)


def test_launches_of_a_training_step(measured: Measured, warm_step: Callable[[], Any]) -> None:
    """One graph launch a step; what is launched besides (noise, indices) is counted too."""
    _, calls = profiled(warm_step, STEPS)
    graphs = calls["cudaGraphLaunch"] + calls["cuGraphLaunch"]
    assert graphs == STEPS, f"{graphs} graph launches in {STEPS} steps"
    measured.count(f"launches, {STEPS} steps, gaussian ×8", graphs + sum(calls[name] for name in LAUNCHES))


def test_a_training_step_does_not_wait_for_the_device(warm_step: Callable[[], Any]) -> None:
    torch.cuda.set_sync_debug_mode("error")
    try:
        warm_step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_kernels_of_evaluation(measured: Measured) -> None:
    decoder = Decoder(DIGITS, likelihoods.make("gaussian", sigma=0.1), "cuda", 32)
    few, many = decoder.importance(1024), decoder.importance(2048)
    few()
    measured.count("kernels, 1024 samples, gaussian", profiled(many, 1)[0] - profiled(few, 1)[0])


def test_bytes_of_a_training_step_on_the_device(measured: Measured) -> None:
    """The allocator's peak above what was there before the bundle: weights, optimiser, graph and all."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step = stepper(IMAGES, gaussians(64), "cuda")
    for _ in range(WARM_UP):
        step()
    measured.count("device bytes at most, images ×64", torch.cuda.max_memory_allocated() - before)
