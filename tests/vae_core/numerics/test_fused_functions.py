"""Parts of a step whose gradient is given by hand, against autograd's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vae_core.networks import Architecture, create_pair
from vae_core.numerics.elementwise import tanh
from vae_core.numerics.fused_functions import Sample, TanhLayer, WeightedSum
from vae_core.objectives import split_posterior

ROOT = Path(__file__).parents[3]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("axes", [(5,), (2, 5)])
@pytest.mark.parametrize("samples", [1, 4])
def test_a_sample_and_its_kl_are_the_posterior_s(axes: tuple[int, ...], samples: int) -> None:
    eps = drawn(*axes, samples, 3, seed=1)
    leaves = [drawn(*axes, 6).requires_grad_() for _ in range(2)]
    posterior = split_posterior(leaves[1])
    for found, expected in zip(Sample.apply(leaves[0], eps), (posterior.sample(eps), posterior.kl()), strict=True):
        torch.testing.assert_close(found, expected)
    for_z, for_kl = drawn(*axes, samples, 3, seed=2), drawn(*axes, seed=3)
    # both, and each alone: an objective may look at one of them only
    for a, b in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0)):
        z, kl = Sample.apply(leaves[0], eps)
        (found,) = torch.autograd.grad((a * for_z * z).sum() + (b * for_kl * kl).sum(), leaves[0])
        posterior = split_posterior(leaves[1])
        plain = (a * for_z * posterior.sample(eps)).sum() + (b * for_kl * posterior.kl()).sum()
        (expected,) = torch.autograd.grad(plain, leaves[1])
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("used", [0, 1])
def test_a_sample_without_its_kl_and_a_kl_without_its_sample(used: int) -> None:
    eps = drawn(5, 2, 3, seed=1)
    encoded = drawn(5, 6).requires_grad_()
    (found,) = torch.autograd.grad(Sample.apply(encoded, eps)[used].square().sum(), encoded)
    posterior = split_posterior(encoded)
    plain = (posterior.sample(eps), posterior.kl())[used]
    (expected,) = torch.autograd.grad(plain.square().sum(), encoded)
    torch.testing.assert_close(found, expected)


def test_a_weighted_sum_and_one_that_holds_a_nan() -> None:
    value, weight = drawn(2, 5).requires_grad_(), drawn(2, 5, seed=1)
    total = WeightedSum.apply(value, weight)
    torch.testing.assert_close(total, (weight * value).sum())
    assert torch.equal(torch.autograd.grad(3 * total, value)[0], 3 * weight)
    gone = torch.full_like(weight, float("nan")).requires_grad_()
    assert torch.equal(torch.autograd.grad(WeightedSum.apply(gone, weight), gone)[0], weight)


@pytest.mark.parametrize("first", [True, False])
def test_a_tanh_layer_is_torch_s(first: bool) -> None:
    """In the encoder's first layer x is data, and no gradient is asked for it."""
    bias, x, weight = drawn(2, 1, 4, seed=1), drawn(2, 7, 3, seed=2), drawn(2, 3, 4, seed=3)
    wanted = [bias.requires_grad_(), weight.requires_grad_()] + ([] if first else [x.requires_grad_()])
    found, expected = TanhLayer.apply(bias, x, weight), torch.tanh(bias + x @ weight)
    torch.testing.assert_close(found, expected)
    pull = drawn(2, 7, 4, seed=4)
    for left, right in zip(
        torch.autograd.grad((pull * found).sum(), wanted),
        torch.autograd.grad((pull * expected).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(left, right)


def test_a_network_is_the_same_with_a_gradient_and_without() -> None:
    encoder, _ = create_pair(Architecture((8, 8), "tanh", 3), (5,), 5, [0, 1])
    for tensor in encoder.parameters():
        tensor.requires_grad_()
    x = drawn(2, 7, 5).float()
    with torch.no_grad():
        plain = encoder(x)
    assert torch.equal(encoder(x).detach(), plain)


def test_a_step_imports_no_computer_algebra() -> None:
    """Half a second of every worker's start."""
    code = """
import sys, numpy as np, torch
from vae_core import likelihoods
from vae_core.data import Dataset
from vae_core.networks import Architecture
from vae_core.training import Member, Schedule, train
images = np.random.default_rng(0).integers(0, 5, (90, 2, 2))
data = Dataset.from_arrays("noise", 5, images[:50], images[50:70], images[70:])
members = [Member(likelihoods.make("gaussian", sigma=0.1)), Member(likelihoods.make("bernoulli"), bound="iwae")]
train(data, members, Architecture((4,), "tanh", 2), Schedule(1, 10, 1e-3))
print("sympy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["False"]


def test_a_second_derivative_is_refused() -> None:
    """Not left out of a sum without a word."""
    encoded = drawn(5, 6).requires_grad_()
    z, kl = Sample.apply(encoded, drawn(5, 1, 3, seed=1))
    for made in (z, kl, tanh(encoded)):
        with pytest.raises(RuntimeError, match="no second derivative"):
            torch.autograd.grad(made.sum() + encoded.pow(3).sum(), encoded, create_graph=True)
