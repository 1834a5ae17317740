"""ln of the mass that a Gaussian of three dimensions has in a unit cube that is small beside it: in closed form.

With c the cube's middle, q the exponent's gradient and H its second derivatives (the precision) there,

    ln ∫ = ln f(c) + ln E[e^{−q·t − ½ t'Ht}],  t uniform on [−½, ½]³,

and the expectation by its cumulants: the linear part is exact, t tilted by it has independent coordinates with the
cumulants of a tilted uniform number, κ(q) = ln(sinh(½q)/(½q)) = Σ B₂ₙ q²ⁿ/(2n (2n)!) and its derivatives, and of the
quadratic part −½ t'Ht the first three cumulants are taken (of a quadratic form of independent numbers: McCullagh 1987,
Tensor methods in statistics, chapter 3, the connected partitions). What is left out is of the fourth order of |H|/12.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from vae_core.likelihoods._box import Box

#: up to which ‖H‖ (Frobenius) and which |q|, the largest of three, it is taken: it is off by less than `ERROR` there
MOST_CURVED, MOST_STEEP = 0.8, 1.25
ERROR = 1.1e-6  # nats, against quadrature: at worst 1.01e-6, of one direction curved and all steep
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)

Three: TypeAlias = "tuple[Tensor, Tensor, Tensor]"  #: a number a coordinate


class _Exponent(NamedTuple):
    """Of the exponent in the middle of a cube: H, the negative gradient q, and the value."""

    diagonal: Three
    shared: Three  #: H₁₂, H₁₃, H₂₃
    slope: Three
    value: Tensor

    @classmethod
    def of(cls, box: Box) -> _Exponent:
        p1, p2, p3 = (torch.exp(-2 * each) for each in (box.log_s1, box.log_s2, box.log_s3))
        m1, m2, m3 = box.low1 + 0.5, box.low2 + 0.5, box.low3 + 0.5
        rest2, rest3 = m2 - box.a * m1, m3 - box.b * m1 - box.c * m2
        pull2, pull3, ap2, bp3, cp3 = p2 * rest2, p3 * rest3, box.a * p2, box.b * p3, box.c * p3
        return cls(
            (p1 + box.a * ap2 + box.b * bp3, p2 + box.c * cp3, p3),
            (box.b * cp3 - ap2, -bp3, -cp3),
            (p1 * m1 - box.a * pull2 - box.b * pull3, pull2 - box.c * pull3, pull3),
            -0.5 * (p1 * m1.square() + pull2 * rest2 + pull3 * rest3),
        )


def holds(box: Box) -> Tensor:
    """Where it is off by less than `ERROR`: no bin open, and the Gaussian wide enough beside the cube."""
    diagonal, shared, slope, _ = _Exponent.of(box)
    size = _dot(diagonal, diagonal) + 2 * _dot(shared, shared)
    steep = torch.maximum(torch.maximum(slope[0].abs(), slope[1].abs()), slope[2].abs())
    closed = (box.high1 - box.low1 < 2) & (box.high2 - box.low2 < 2) & (box.high3 - box.low3 < 2)
    return (size <= MOST_CURVED**2) & (steep <= MOST_STEEP) & closed


def log_masses(box: Box, dtype: torch.dtype) -> Tensor:
    """ln of the mass in each unit cube [n], nats, where `holds`; what it has beside the density in the middle, a small
    number, in `dtype`."""
    diagonal, shared, slope, value = _Exponent.of(box)
    own = value - (box.log_s1 + box.log_s2 + box.log_s3) - 3 * _HALF_LOG_2PI
    return own + _beside(_to(diagonal, dtype), _to(shared, dtype), _to(slope, dtype)).to(own.dtype)


def _to(x: Three, dtype: torch.dtype) -> Three:
    return x[0].to(dtype), x[1].to(dtype), x[2].to(dtype)


def _beside(diagonal: Three, shared: Three, q: Three) -> Tensor:
    """ln E[e^{−q·t − ½ t'Ht}], of H the diagonal and H₁₂, H₁₃, H₂₃. (Three tensors in place of one [3, n]: half the
    time.)"""
    h = diagonal
    h2, o2 = _times(h, h), _times(shared, shared)
    square = _times(q, q)
    k0, k2, k4, k6 = (_series(square, row) for row in _EVEN)
    k1, k3, k5 = (_times(q, _series(square, row)) for row in _ODD)
    w, hk3, hk2 = _product(h, shared, k1), _times(h, k3), _product(h2, o2, k2)
    y, w2 = _times(k2, w), _times(w, w)
    hy = _product(h, shared, y)
    first = _dot(h, k2) + _dot(w, k1)
    second = _dot(h2, k4) + 4 * (_dot(hk3, w) + _dot(y, w)) + 2 * _dot(k2, hk2)
    cubes = _product(_times(h2, h), _times(o2, shared), k3)
    third = _dot(_times(h2, h), k6) + 6 * _dot(_times(h2, k5), w)
    third = third + 12 * (_dot(_times(h, k4), hk2) + _dot(_times(h, k4), w2))
    third = third + 4 * _dot(k3, cubes) + 6 * _dot(hk3, _product(h, shared, hk3))
    third = third + 24 * (_dot(hy, hk3) + _dot(_times(w, k3), hk2) + _dot(hy, y))
    third = third + 8 * (_dot(_times(w2, w), k3) + _trace_of_cube(_times(h, k2), shared, o2, k2))
    return k0[0] + k0[1] + k0[2] - first / 2 + second / 8 - third / 48


def _trace_of_cube(scaled: Three, shared: Three, o2: Three, k2: Three) -> Tensor:
    """tr (HΣ)³, Σ diagonal with k2; `scaled` the diagonal of HΣ."""
    t1, t2, t3 = scaled
    pairs = (o2[0] * (k2[0] * k2[1]), o2[1] * (k2[0] * k2[2]), o2[2] * (k2[1] * k2[2]))
    product = (shared[0] * shared[1] * shared[2]) * (k2[0] * k2[1] * k2[2])
    return _dot(_times(scaled, scaled), scaled) + 3 * _dot(pairs, (t1 + t2, t1 + t3, t2 + t3)) + 6 * product


def _product(diagonal: Three, shared: Three, x: Three) -> Three:
    """A symmetric matrix times x."""
    (d1, d2, d3), (o12, o13, o23), (a, b, c) = diagonal, shared, x
    return d1 * a + o12 * b + o13 * c, o12 * a + d2 * b + o23 * c, o13 * a + o23 * b + d3 * c


def _times(x: Three, y: Three) -> Three:
    return x[0] * y[0], x[1] * y[1], x[2] * y[2]


def _dot(x: Three, y: Three) -> Tensor:
    return x[0] * y[0] + x[1] * y[1] + x[2] * y[2]


#: κ, κ″, κ⁗ and the sixth derivative as series in q²; the first, third and fifth over q
_EVEN = (
    (0.0, 1 / 24, -1 / 2880, 1 / 181440, -1 / 9676800),
    (1 / 12, -1 / 240, 1 / 6048, -1 / 172800, 1 / 5322240),
    (-1 / 120, 1 / 504, -1 / 5760, 1 / 95040),
    (1 / 252, -1 / 480, 1 / 3168),
)
_ODD = (
    (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600),
    (-1 / 120, 1 / 1512, -1 / 28800, 1 / 665280),
    (1 / 252, -1 / 1440, 1 / 15840),
)


def _series(x: Three, row: tuple[float, ...]) -> Three:
    return _polynomial(x[0], row), _polynomial(x[1], row), _polynomial(x[2], row)


def _polynomial(x: Tensor, row: tuple[float, ...]) -> Tensor:
    total = x * row[-1] + row[-2]
    for each in row[-3::-1]:
        total = total * x + each
    return total
