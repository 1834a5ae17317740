"""ln(1 − e^z) in one expression without branches, for z ≤ 0, and the same where z itself is −e^y."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

#: at t = e^{−40}, ln(1 − e^{−t}) = ln t and ln(1 + t) = t to the last digit of float64, and 1/t² is a number in float32
LOWEST = -40.0


def log1mexp(z: Tensor) -> Tensor:
    """ln(1 − e^z), z < 0, to full relative accuracy at both ends: −ln(1 + e^z/(1 − e^z)).

    It needs no choice at z = −ln 2 (Mächler 2012, Accurately computing log(1 − exp(−|a|))), which would cost both sides
    on a vector. In float32 its gradient asks |z| > 1e-18, and the value |z| > 1e-38.
    """
    return -torch.log1p(torch.exp(z) / -torch.expm1(z))


def log1mexp_of_exp(y: Tensor) -> Tensor:
    """ln(1 − e^{−e^y}) for any y: y far to the left, 0 far to the right; below LOWEST it is y itself."""
    return log1mexp(-torch.exp(y.clamp(min=LOWEST))) + (y - LOWEST).clamp(max=0)


def log_log1pexp(y: Tensor) -> Tensor:
    """ln ln(1 + e^y) for any y: y far to the left, ln y far to the right; below LOWEST it is y itself."""
    return torch.log(torch.nn.functional.softplus(y.clamp(min=LOWEST), threshold=40)) + (y - LOWEST).clamp(max=0)
