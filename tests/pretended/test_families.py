"""Every family in every setting of its laws, a plug-in among them, on the pretended device: its step can be captured
and is the CPU's to the bit, and what scores it reads nothing. A new family is covered by being there."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.pretended.device import watched
from tests.pretended.images import tiny
from tests.pretended.ways import GPU, assert_equal, cpu_in_its_ways
from tests.vae_core.likelihoods.cases import few_and_coupled
from vae_core import laws, likelihoods
from vae_core.evaluate import calibration
from vae_core.laws.setting import seen
from vae_core.laws.where_used import sums
from vae_core.likelihoods import Likelihood, told
from vae_core.networks import Architecture
from vae_core.training import Member, Schedule, Trainer
from vae_core.training.capture import WARM_UP

SHAPE = (2, 1, 3)  # channels, which some families couple
NETWORK = Architecture((6,), "tanh", 2)
SCHEDULE = Schedule(1, 16, 1e-3)
IMAGES = 6
CASES = [
    pytest.param(case.setting, objective, id=f"{case} {objective}")
    for case in few_and_coupled()
    for objective in case.make(5).objectives
    if not case.make(5).refusal(objective)
]
#: whose masses are adaptive integrals: where numbers can be looked at they are, and in a graph one rule of many nodes
#: serves all boxes, which is off by less than 0.05 nats a pixel (vae_core/likelihoods/_cube.py)
ADAPTIVE = [make for make in laws.settings(likelihoods.get("gaussian")) if make.options.get("channels") == "coupled"]


def steps(make: laws.Setting, objective: str, device: str) -> tuple[list[Tensor], Trainer]:
    data = tiny(shape=SHAPE, train=16 * (WARM_UP + 3))
    trainer = Trainer(data, [Member(make(data.levels), objective)], NETWORK, SCHEDULE, device)
    return [trainer.step(index).clone() for index in trainer.epoch()], trainer


def scores(make: laws.Setting, device: str) -> dict[str, Any]:
    """All that scores images: masses, densities, what training lowers, the sums of masses, calibration; and means."""
    levels = 2 if make(2).view == "binary" else 5
    lik: Likelihood = told(make(levels).to(device), SHAPE).unchecked()
    draw, dims = torch.Generator().manual_seed(0), 6
    k = torch.randint(levels, (IMAGES, dims), generator=draw).to(device)
    raw = torch.randn(IMAGES, lik.outputs(dims), generator=draw).to(device)
    x = seen(lik, k, levels)
    lik.log_mass(k, raw, levels)  # what it keeps for the device is kept
    lik.log_prob(x, raw)
    with watched() as spent, torch.no_grad():
        found = {
            "mass": lik.log_mass(k.unsqueeze(1), raw.unsqueeze(1).expand(-1, 3, -1), levels),
            "prob": lik.log_prob(x, raw),
            "density": lik.log_density(x, raw, levels) if lik.has_density else None,
            "mean": lik.mean(raw),
            "sums": sums(lik, raw, k, levels),
            "calibration": calibration(k, raw, lik, levels),
        }
        with torch.enable_grad():
            z = raw.clone().requires_grad_()
            found["gradient"] = torch.autograd.grad(lik.log_mass(k, z, levels).sum(), z)[0]
    if device == GPU:
        print(*spent.reads, *spent.to_device, *spent.to_host, sep="\n")
        assert spent.budget[1:] == (0, 0)
        assert bool(spent.reads) == (make in ADAPTIVE)
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize(("make", "objective"), CASES)
def test_a_step_is_captured_and_the_cpu_s_to_the_bit(make: laws.Setting, objective: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        found, trainer = steps(make, objective, GPU)
    assert trainer._replay is not None
    assert trainer._replay.captured
    with cpu_in_its_ways():
        expected, plain = steps(make, objective, "cpu")
    rough = {"atol": 0.05 * 2, "rtol": 1e-3} if make in ADAPTIVE else {}
    assert assert_equal(found, expected, **rough) == WARM_UP + 3
    assert assert_equal(list(trainer.state()), list(plain.state()), **rough) > 50


@pytest.mark.parametrize("make", [pytest.param(case.setting, id=str(case)) for case in few_and_coupled()])
def test_what_scores_reads_nothing_and_is_the_cpu_s_to_the_bit(make: laws.Setting) -> None:
    found = scores(make, GPU)
    with cpu_in_its_ways():
        assert assert_equal(found, scores(make, "cpu")) > 50
