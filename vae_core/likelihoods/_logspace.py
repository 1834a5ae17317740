"""Functions of log-space that hold in value and gradient where the plain formula does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def log1mexp(x: Tensor) -> Tensor:
    """ln(1 − e^{−x}) for x > 0 (Mächler 2012, eq. 7): the branch near 0 and the branch far out."""
    near = x < 0.6931472
    return torch.where(
        near,
        torch.log(-torch.expm1(-torch.where(near, x, torch.ones_like(x)))),
        torch.log1p(-torch.exp(-torch.where(near, torch.ones_like(x), x))),
    )


def log_sinhc(x: Tensor) -> Tensor:
    """ln(sinh x / x), an even function, 0 at 0.

    |x| < ½: its Taylor series to x¹⁶ (error below 1e-15), because |x| + ln(1−e^{−2|x|}) − ln 2|x| loses its gradient
    to cancellation there (the fault of continuous Bernoulli implementations near λ = ½). Beyond: that formula, which
    never overflows.
    """
    near = x.abs() < 0.5
    s = torch.where(near, x, torch.zeros_like(x)).square()
    series = s * (1 / 6 + s * (-1 / 180 + s * (1 / 2835 + s * (-1 / 37800 + s * (1 / 467775 + s * _C12_C14(s))))))
    a = torch.where(near, torch.ones_like(x), x).abs()
    return torch.where(near, series, a + torch.log(-torch.expm1(-2 * a) / (2 * a)))


def _C12_C14(s: Tensor) -> Tensor:
    return -691 / 3831077250 + s * (2 / 127702575 + s * (-3617 / 2605132530000))


def langevin(x: Tensor) -> Tensor:
    """coth x − 1/x, the derivative of `log_sinhc` (P. Langevin 1905); odd, x/3 near 0, ±1 far out."""
    near = x.abs() < 0.5
    z = torch.where(near, x, torch.zeros_like(x))
    s = z.square()
    series = z * (1 / 3 + s * (-1 / 45 + s * (2 / 945 + s * (-1 / 4725 + s * (2 / 93555 + s * _L11(s))))))
    far = torch.where(near, torch.ones_like(x), x)
    return torch.where(near, series, 1 / torch.tanh(far) - 1 / far)


def _L11(s: Tensor) -> Tensor:
    return -1382 / 638512875 + s * (4 / 18243225 + s * (-3617 / 162820783125))


def softplus(x: Tensor) -> Tensor:
    """ln(1 + e^x) without torch's linear cut at 20, which costs 2e-9 in float64."""
    return x.clamp(min=0) + torch.log1p(torch.exp(-x.abs()))
