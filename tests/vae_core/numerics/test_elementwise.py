"""The cheap forms of elementwise functions against torch's own, in value and gradient; sums against their terms."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vae_core import likelihoods
from vae_core.likelihoods._location_scale import LocationScale
from vae_core.numerics import elementwise

PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "logsigmoid": torch.nn.functional.logsigmoid,
    "softplus": lambda x: torch.nn.functional.softplus(x, threshold=40),
    "sum_logsigmoid": lambda x: torch.nn.functional.logsigmoid(x).sum(-1),
    "sum_squares": lambda x: x.square().sum(-1),
}
DTYPES = [torch.float32, torch.float64]


def everywhere(dtype: torch.dtype) -> Tensor:
    """Rows of 784 numbers: of order 1, tiny, and as large as a diverging decoder gives."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(6, 784, generator=generator, dtype=torch.float64)
    scales = torch.tensor([1e-6, 0.1, 1.0, 5.0, 50.0, 1e4], dtype=torch.float64)
    return (drawn * scales[:, None]).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PLAIN)
def test_values_and_gradients_are_torch_s(name: str, dtype: torch.dtype) -> None:
    fast, plain = getattr(elementwise, name), PLAIN[name]
    x = everywhere(dtype)
    eps = torch.finfo(dtype).eps
    expected = plain(x.double())
    torch.testing.assert_close(fast(x).double(), expected, rtol=8 * eps, atol=(50 if "sum" in name else 4) * eps)
    weight = torch.linspace(-2, 2, expected.numel(), dtype=dtype).reshape(expected.shape)
    leaf, exact = x.clone().requires_grad_(), x.double().requires_grad_()
    found = fast(leaf)
    assert torch.equal(found.detach(), fast(x))  # the same with a gradient and without
    (weight * found).sum().backward()
    (weight.double() * plain(exact)).sum().backward()
    assert leaf.grad is not None
    assert exact.grad is not None
    torch.testing.assert_close(leaf.grad.double(), exact.grad, rtol=20 * eps, atol=10 * eps)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_not_hidden(name: str, value: float) -> None:
    """A model that diverged is told by it."""
    x = torch.tensor([[0.5, value]])
    torch.testing.assert_close(getattr(elementwise, name)(x), PLAIN[name](x), equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_log1p_is_torch_s_to_the_last_digits(dtype: torch.dtype) -> None:
    """From the smallest numbers to the largest and up to the edge at −1."""
    small = torch.logspace(-37, 30, 5000, dtype=torch.float64).to(dtype)
    near = -1 + torch.logspace(-6, 0, 5000, dtype=torch.float64).to(dtype)
    x = torch.cat([small, -small[small < 0.9], near]).requires_grad_()
    torch.testing.assert_close(elementwise.log1p(x), torch.log1p(x), rtol=4 * torch.finfo(dtype).eps, atol=0)
    (found,) = torch.autograd.grad(elementwise.log1p(x).sum(), x)
    (expected,) = torch.autograd.grad(torch.log1p(x).sum(), x)
    torch.testing.assert_close(found, expected, rtol=4 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("width", [1, 2, 3, 63, 64, 65, 127, 128, 129, 784, 1000])
def test_products_of_any_width_hold(width: int) -> None:
    """At η = 0 every factor is ½, the smallest there is: their product must not underflow."""
    x = torch.zeros(2, width)
    torch.testing.assert_close(elementwise.sum_logsigmoid(x), PLAIN["sum_logsigmoid"](x))
    some = torch.randn(2, width, generator=torch.Generator().manual_seed(width))
    torch.testing.assert_close(elementwise.sum_logsigmoid(some), PLAIN["sum_logsigmoid"](some), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_sum_of_bernoulli_terms_is_that_of_its_terms(dtype: torch.dtype) -> None:
    """x may be any number of [0, 1], and need not have the samples axis."""
    logits = everywhere(dtype).unsqueeze(1).repeat(1, 3, 1).requires_grad_()
    x = torch.rand(6, 1, 784, generator=torch.Generator().manual_seed(1)).to(dtype).round(decimals=1)
    exact = logits.detach().double().requires_grad_()
    expected = (x.double() * exact - torch.nn.functional.softplus(exact, threshold=40)).sum(-1)
    found = elementwise.sum_bernoulli_terms(x, logits)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(found.double(), expected, rtol=8 * eps, atol=50 * eps)
    weight = torch.linspace(-1, 1, 18, dtype=dtype).reshape(6, 3)
    (gradient,) = torch.autograd.grad((weight * found).sum(), logits)
    (exact_gradient,) = torch.autograd.grad((weight.double() * expected).sum(), exact)
    torch.testing.assert_close(gradient.double(), exact_gradient, rtol=20 * eps, atol=10 * eps)


@pytest.mark.parametrize("family", ["gaussian", "laplace", "logistic"])
@settings(max_examples=200, deadline=None)
@given(
    sigma=st.floats(1e-3, 3.0), raw=st.floats(-3.0, 4.0), k=st.integers(0, 255), levels=st.sampled_from([2, 17, 256])
)
def test_bins_with_open_ends_agree_with_the_plain_interval_and_tail(
    family: str, sigma: float, raw: float, k: int, levels: int
) -> None:
    """One formula for inner and end bins against `_log_interval` and `_log_cdf`, value and gradient, and the sum of
    masses against them. Never on an edge of a bin: the plain tail has no gradient at exactly 0."""
    lik = likelihoods.make(family, sigma=sigma)
    assert isinstance(lik, LocationScale)
    loc = torch.tensor([[raw + 1e-5, 0.5001, 1e-5 - raw]], dtype=torch.float64, requires_grad=True)
    levels_of = torch.tensor([[k % levels, 0, levels - 1]])
    fast = lik.log_masses(levels_of, loc, levels)
    middle, half, log_width, opened = lik._bin(levels_of, loc, lik.scale.split(loc)[1], levels)
    plain = LocationScale._log_bin(lik, middle, half, log_width, opened)
    torch.testing.assert_close(fast, plain, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(lik.log_mass(levels_of, loc, levels), plain.sum(-1), rtol=1e-8, atol=1e-9)
    for score in (lik.log_masses(levels_of, loc, levels).sum(), lik.log_mass(levels_of, loc, levels).sum()):
        (found,) = torch.autograd.grad(score, loc)
        (expected,) = torch.autograd.grad(plain.sum(), loc, retain_graph=True)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_a_class_with_terms_of_its_own_does_not_inherit_its_base_s_sum() -> None:
    class Doubled(type(likelihoods.make("logistic", sigma=0.1))):  # type: ignore[misc]
        def binned_log_masses(self, k: Tensor, loc: Tensor, log_scale: Tensor, levels: int) -> Tensor:
            return 2 * super().binned_log_masses(k, loc, log_scale, levels)

    k, raw = torch.tensor([[3, 0]]), torch.tensor([[0.2, 0.1]])
    own, base = Doubled(0.1), likelihoods.make("logistic", sigma=0.1)
    torch.testing.assert_close(own.log_mass(k, raw, 17), 2 * base.log_mass(k, raw, 17))


@pytest.mark.parametrize("term", ["_log_standard", "_sum_log_standard", "_log_cdf", "_log_interval", "_log_bin"])
@pytest.mark.parametrize("family", ["gaussian", "laplace", "logistic"])
def test_a_standard_distribution_of_its_own_is_what_a_class_scores_by(family: str, term: str) -> None:
    """Each term of a location-scale family, changed in a subclass, shows in the score that it is part of."""
    base = likelihoods.make(family, sigma=0.05)
    plain = getattr(type(base), term)
    other = type("Other", (type(base),), {term: lambda self, *arguments: 1 + plain(self, *arguments)})(0.05)
    k, raw = torch.tensor([[3, 0, 16]]), torch.tensor([[0.2, 0.1, 0.7]])
    if "standard" in term:
        moved = other.log_prob(k / 17, raw) - base.log_prob(k / 17, raw)
        assert float(moved) == pytest.approx(1 if "sum" in term else 3, abs=1e-4)
    else:
        moved = other.log_masses(k, raw, 17) - base.log_masses(k, raw, 17)
        expected = {"_log_cdf": [0, 1, 1], "_log_interval": [1, 0, 0], "_log_bin": [1, 1, 1]}[term]
        torch.testing.assert_close(moved[0], torch.tensor(expected, dtype=torch.float32), rtol=0, atol=1e-4)
        torch.testing.assert_close(other.log_mass(k, raw, 17), other.log_masses(k, raw, 17).sum(-1))


@pytest.mark.parametrize("sigma", [1e-15, 1e-3, 0.7, "shared", "image", "pixel"])
@pytest.mark.parametrize("models", [None, 2])
def test_a_gaussian_s_scale_enters_after_the_sum(sigma: float | str, models: int | None) -> None:
    """Against z = (x − μ)/σ term by term, in value and gradient; also where x = μ under a tiny σ."""
    single = likelihoods.make("gaussian", sigma=sigma)
    other = likelihoods.make("gaussian", sigma=sigma if isinstance(sigma, str) else 3 * sigma)
    lik = single if models is None else likelihoods.stack([single, other])
    assert isinstance(lik, LocationScale)
    width = lik.outputs(6)
    raw = torch.randn(2, 3, 4, width, generator=torch.Generator().manual_seed(0)).requires_grad_()
    x = torch.randn(2, 3, 1, 6, generator=torch.Generator().manual_seed(1))
    if sigma == 1e-15:
        x = raw.detach()[..., :6].clone()
    found, expected = lik.log_prob(x, raw), LocationScale._log_prob(lik, x, *lik._split(raw))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    left, right = (torch.autograd.grad(score.sum(), raw)[0] for score in (found, expected))
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)


AWAKE = """
import statistics, time, torch
from vae_core import likelihoods
torch.set_num_threads(1)
x = torch.rand(1 << 14)

def took():
    def once():
        started = time.thread_time()
        for _ in range(10):
            torch.expm1(x)
        return time.thread_time() - started
    once()
    return statistics.median(once() for _ in range(15))

before = torch.expm1(x)
likelihoods.make("gaussian", sigma=0.1)
slow = took()
torch.pow(x, x)
assert torch.equal(before, torch.expm1(x))
print(slow / took())
"""


def test_who_has_made_a_likelihood_has_torch_s_fast_functions() -> None:
    """Where they are slow until then they take 14 times as long; elsewhere there is nothing to see."""
    done = subprocess.run([sys.executable, "-c", AWAKE], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 3
