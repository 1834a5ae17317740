"""Functions of log-space that hold in value and gradient where the plain formula does not.

Branches are joined by `choose`, and each branch gets arguments clamped to where it is finite (a little beyond its
border, since a clamp has no gradient on its edge): a branch that is not chosen must not put NaN into the gradient of
the one that is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from vae_core.numerics.visible import visible

if TYPE_CHECKING:
    from torch import Tensor


def choose(condition: Tensor, yes: Callable[[], Tensor], no: Callable[[], Tensor]) -> Tensor:
    """`torch.where` over two branches, both finite everywhere, each computed only if an element needs it.

    On a CPU the condition is looked at, and a block of data often needs one branch alone; an accelerator would have to
    wait for that look, and computes both. Joined by lerp, which is exact at weights 0 and 1 and far faster than `where`
    on a CPU.
    """
    if visible(condition):
        if not condition.any():
            return no()
        if condition.all():
            return yes()
    otherwise = no()
    return torch.lerp(otherwise, yes(), condition.to(otherwise.dtype))


def choose_above(value: Tensor, edge: float, yes: Callable[[], Tensor], no: Callable[[], Tensor]) -> Tensor:
    """`choose(value > edge, yes, no)`, whose look on a CPU is at the largest and the smallest value: far cheaper there
    than one at a mask. A value that is no number decides for none of its neighbours: both branches are then taken."""
    if visible(value) and value.numel():
        if value.amax() <= edge:
            return no()
        if value.amin() > edge:
            return yes()
    otherwise = no()
    return torch.lerp(otherwise, yes(), (value > edge).to(otherwise.dtype))


def log_sinhc(x: Tensor) -> Tensor:
    """ln(sinh x / x), an even function, 0 at 0.

    |x| < ½: its Taylor series to x¹⁶ (error below 1e-15), because |x| + ln(1−e^{−2|x|}) − ln 2|x| loses its gradient
    to cancellation there (the fault of continuous Bernoulli implementations near λ = ½). Beyond: that formula, which
    never overflows.
    """
    a = x.abs()

    def near() -> Tensor:
        s = a.clamp(max=0.6).square()
        beyond = -691 / 3831077250 + s * (2 / 127702575 + s * (-3617 / 2605132530000))
        return s * (1 / 6 + s * (-1 / 180 + s * (1 / 2835 + s * (-1 / 37800 + s * (1 / 467775 + s * beyond)))))

    def far() -> Tensor:
        b = a.clamp(min=0.4)
        return b + torch.log((1 - torch.exp(-2 * b)) / (2 * b))  # 1 − e^{−0.8}: nothing to cancel

    return choose_above(a, 0.5, far, near)


def langevin(x: Tensor) -> Tensor:
    """coth x − 1/x, the derivative of `log_sinhc` (P. Langevin 1905); odd, x/3 near 0, ±1 far out."""
    a = x.abs()

    def near() -> Tensor:
        z = a.clamp(max=0.6)
        s = z.square()
        beyond = -1382 / 638512875 + s * (4 / 18243225 + s * (-3617 / 162820783125))
        return z * (1 / 3 + s * (-1 / 45 + s * (2 / 945 + s * (-1 / 4725 + s * (2 / 93555 + s * beyond)))))

    def far() -> Tensor:
        b = a.clamp(min=0.4)
        return 1 / torch.tanh(b) - 1 / b

    return torch.sign(x) * choose(a < 0.5, near, far)
