"""The tail of Student's t, S(z) = P(T > z) = ½ I_{ν/(ν+z²)}(ν/2, ½), as one polynomial for all z ≥ 0.

With r = z/√(ν+z²) in [0, 1),

    ln S(z) = −(ν/2) ln(1 + z²/ν) − ln(r + b) + P(t),   t = 2 (1+b) r/(r+b) − 1,   b = min(5/(2√ν), 1),

P is smooth on [−1, 1] for every ν from 0.1 to 10⁶ (S without its power, times r, is singular first at r = −1; b
spreads out the Gaussian's scale 1/√ν of r): interpolated at Chebyshev nodes, degree 12 is exact to 1e-8, degree 20 to
1e-11. Its values at the nodes are made anew for each ν (a scalar), differentiably, from

    S(z) (1 + z²/ν)^{ν/2} = C √ν ∫₀^∞ [cosh v + r sinh v]^{−ν} dv   (z + … = √ν sinh(s + v), tanh s = r)

by the double-exponential rule v = L e^{q − e^{−q}} (Takahasi & Mori 1974), in float64.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vae_core.numerics.visible import constant, transformed

if TYPE_CHECKING:
    from torch import Tensor

_SPREAD = 2.5
_STEPS = np.linspace(-4.2, 4.8, 150)


def log_constant(nu: Tensor) -> Tensor:
    """ln C = ln Γ((ν+1)/2) − ln Γ(ν/2) − ½ ln νπ; nu in float64, since the first two agree in most digits."""
    return torch.lgamma(0.5 * (nu + 1)) - torch.lgamma(0.5 * nu) - 0.5 * torch.log(nu * math.pi)


def degree(dtype: torch.dtype) -> int:
    """The polynomial's degree for results of this type."""
    return 20 if dtype == torch.float64 else 12


def offset(nu: Tensor) -> Tensor:
    """b of the formula."""
    return (_SPREAD / torch.sqrt(nu)).clamp(max=1)


def coefficients(nu: Tensor, count: int) -> Tensor:
    """P's coefficients, highest power first: nu [] or [M], float64 -> [count + 1] or [count + 1, M], float64."""
    nodes, to_chebyshev, to_powers, rise, weight = _tables(count, nu.device)
    one_each = [1] * nu.ndim
    b = offset(nu)
    x = 0.5 * (1 + nodes.reshape(-1, *one_each))
    r = x * b / (1 + b - x)
    reach = 1 / (nu * r + torch.sqrt(nu)).detach()
    v = rise.reshape(-1, 1, *one_each) * reach
    fall = torch.log1p(torch.sinh(v) * (r + torch.tanh(0.5 * v)))
    area = (torch.exp(-nu * fall) * (weight.reshape(-1, 1, *one_each) * reach)).sum(0)
    values = log_constant(nu) + 0.5 * torch.log(nu) + torch.log(area) + torch.log(r + b)
    # in this order: the Chebyshev coefficients fall off before the large numbers of the powers meet them
    return to_powers @ (to_chebyshev @ values)


def _tables(count: int, device: torch.device) -> tuple[Tensor, ...]:
    """`_made` on a device; kept, but where a program is traced."""
    kept = _KEPT.get((count, device))
    if kept is None:
        kept = tuple(constant(array, torch.float64, device) for array in _MADE.get(count) or _made(count))
        if not transformed():
            _KEPT[count, device] = kept
    return kept


def _made(count: int) -> tuple[list[Any], ...]:
    """Chebyshev nodes, the matrices from values there to Chebyshev coefficients and on to powers, highest first; the
    rule's v/L and weights/L."""
    nodes = np.cos(np.pi * (np.arange(count + 1) + 0.5) / (count + 1))
    chebyshev = np.cos(np.arange(count + 1)[:, None] * np.arccos(nodes)[None, :]) * (2 / (count + 1))
    chebyshev[0] /= 2
    powers = np.zeros((count + 1, count + 1))
    for row in range(count + 1):
        powers[: row + 1, row] = np.polynomial.chebyshev.cheb2poly(np.eye(count + 1)[row])[: row + 1]
    rise = np.exp(_STEPS - np.exp(-_STEPS))
    weight = rise * (1 + np.exp(-_STEPS)) * (_STEPS[1] - _STEPS[0])
    return tuple(array.tolist() for array in (nodes, chebyshev, powers[::-1], rise, weight))


#: made where the module is read, and not where a program is traced
_MADE = {count: _made(count) for count in (12, 20)}
_KEPT: dict[tuple[int, torch.device], tuple[Tensor, ...]] = {}
