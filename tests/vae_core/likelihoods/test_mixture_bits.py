"""The mixture of logistics without coupling, to the bit: a seed's training is repeated only where every sum is taken in
the order it was taken in. Coupled channels share its functions, and may not move it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vae_core import likelihoods
from vae_core.numerics.elementwise import logsigmoid

D, ROWS = 12, 64
ENDS = pytest.mark.parametrize("ends", ["open", "renormalised"])
OUTSIDE = 1e30  # stands for the outer edge of an end bin


def written_out(lik: Any, k: Tensor, raw: Tensor) -> Tensor:
    """ln P(k) [..., D] as it was before channels could be coupled, every bracket in its place."""
    logits, location, log_scale = lik._split(raw)
    k = k.to(raw.dtype).unsqueeze(-2)
    per_bin = torch.exp(-log_scale)
    if lik.open_ends:
        first, last = (k == 0).to(raw.dtype), (k == lik.levels - 1).to(raw.dtype)
        above = (k + 1 + OUTSIDE * last - location) * per_bin
        below = (location - (k - OUTSIDE * first)) * per_bin
        inner = (1 - first - last) * torch.log(-torch.expm1(-per_bin))
        logsigmoid_ = torch.nn.functional.logsigmoid
        weighted = ((logits + inner) + logsigmoid_(above)) + logsigmoid_(below)
        return weighted.logsumexp(-2) - logits.logsumexp(-2)
    low, high = k, k + 1
    bottom, top = location.clamp(min=0), location.clamp(max=lik.levels)
    rest = logsigmoid(location.abs() * per_bin) + logsigmoid((lik.levels - location).abs() * per_bin)
    rest = rest + torch.log(-torch.expm1(-lik.levels * per_bin))
    log_weights = ((logits + rest) + (location - bottom + (top - location)) * per_bin).log_softmax(-2)
    linear = torch.minimum(high, location) - top + (bottom - torch.maximum(low, location))
    own = logsigmoid((low - location).abs() * per_bin) + logsigmoid((high - location).abs() * per_bin)
    own = own + torch.log(-torch.expm1(-1.0 * per_bin))
    return (log_weights + (linear * per_bin + (own - rest))).logsumexp(-2)


def with_gradient(of: Callable[[Tensor], Tensor], raw: Tensor) -> tuple[Tensor, Tensor]:
    raw = raw.clone().requires_grad_()
    found = of(raw)
    (slope,) = torch.autograd.grad(found.sum(), raw)
    return found.detach(), slope


@ENDS
@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("components", [1, 5])
@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_masses_and_gradients_are_those_of_the_formula_to_the_bit(
    ends: str, levels: int, components: int, spread: float
) -> None:
    lik: Any = likelihoods.make("logistic_mixture", levels=levels, components=components, ends=ends)
    generator = torch.Generator().manual_seed(0)
    raw = spread * torch.randn(ROWS, lik.outputs(D), generator=generator)
    k = torch.randint(levels, (ROWS, D), generator=generator)
    k[:2] = torch.tensor([[0], [levels - 1]])  # the end bins, each in every dimension
    found, slope = with_gradient(lambda r: lik.log_masses(k, r, levels), raw)
    expected, expected_slope = with_gradient(lambda r: written_out(lik, k, r), raw)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    assert torch.equal(slope, expected_slope)


def test_another_order_of_the_sum_is_another_number() -> None:
    """The test above sees an order: two terms taken together first move most masses of some hundred."""
    lik: Any = likelihoods.make("logistic_mixture", levels=17)
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(ROWS, lik.outputs(D), generator=generator)
    k = torch.randint(17, (ROWS, D), generator=generator)
    logits, location, log_scale = lik._split(raw)
    alone = lik._component_log_masses(k.float().unsqueeze(-2), location, log_scale)
    other = (logits + alone).logsumexp(-2) - logits.logsumexp(-2)
    torch.testing.assert_close(other, written_out(lik, k, raw))
    assert not torch.equal(other, written_out(lik, k, raw))
