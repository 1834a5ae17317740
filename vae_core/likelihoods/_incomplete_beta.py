"""ln of a beta distribution's kernel and of its mass on a bin, i.e. a difference of incomplete beta functions.

In y = logit t the kernel t^α (1−t)^β (dt = t(1−t) dy) is log-concave, analytic in |Im y| < π for all α, β > 0, with no
singular ends. A bin's mass is its value κ at one point x of the bin times the integral of the kernel relative to x:

* narrow bins, across which ln kernel changes little: Gauss–Legendre in t on nodes that depend on k alone;
* the others: outward from the bin's own point next to the peak, to the left and to the right, each

      I(α, n, x, R) = ∫₀ᴿ e^{−φ(u)} du,   φ(u) = α u + n ln(1 − x + x e^{−u}),   n = α + β, y = logit x − u

  (the right side is the left one's mirror image: β for α, 1−x for x), with R cut where φ exceeds what the float format
  can tell, by a closed estimate, and Gauss–Legendre on u = R (e^{2v}−1)/(e²−1). Where a side reaches to 0 and α may be
  small, its tail e^{−αu} is taken out by one integration by parts (DLMF 8.17.20: α is raised by 1):

      ∫₀^∞ e^{−φ} du = [1 + n x I(α+1, n+1, x, ∞)] / α.

Nodes carry no gradient, since the integral does not depend on them; in α and β it is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from vae_core.likelihoods._quadrature import gauss_legendre
from vae_core.numerics.visible import visible

if TYPE_CHECKING:
    from torch import Tensor


def log_kernel(alpha: Tensor, beta: Tensor, x: Tensor, rest: Tensor) -> Tensor:
    """ln [x^α rest^β / B(α, β)], rest = 1 − x: the density per unit of logit x.

    With p = α/n it is α ln(x/p) + β ln((1−x)/(1−p)) + ½ ln(αβ/(2πn)) and Stirling's remainders: no difference
    of ln Γ's, which at α = 10⁵ agree in all of float32's digits. The first two, each of size n |x − p| and nearly
    opposite, are added in float64.
    """
    n = alpha + beta
    a, b = alpha.double(), beta.double()
    concentration = a + b
    fall = a * torch.log(x * (concentration / a)) + b * torch.log(rest * (concentration / b))
    normal = 0.5 * torch.log(alpha * (beta / n) * (0.5 / math.pi))
    remainders = stirling_remainder(n) - (stirling_remainder(alpha) + stirling_remainder(beta))
    return fall.to(alpha.dtype) + (normal + remainders)


def stirling_remainder(x: Tensor) -> Tensor:
    """ln Γ(x) − [(x − ½) ln x − x + ½ ln 2π], x > 0, by the asymptotic series at x + s, s = 3 (8 in float64).

    ln Γ(x) = ln Γ(x+s) − ln x(x+1)…(x+s−1), where what grows with x is cancelled by hand.
    """
    shift = 8 if x.dtype == torch.float64 else 3
    y = x + shift
    inverse = 1 / y
    product = x * inverse
    for j in range(1, shift):
        product = product * (1 - (shift - j) * inverse)
    q = inverse.square()
    if x.dtype == torch.float64:
        series = 1 / 12 - q * (1 / 360 - q * (1 / 1260 - q * (1 / 1680 - q * (1 / 1188 - q * (691 / 360360)))))
    else:
        series = 1 / 12 - q * (1 / 360 - q * (1 / 1260 - q * (1 / 1680)))
    return (x - 0.5) * torch.log1p(shift / x) - shift + series * inverse - torch.log(product)


def log_bin(k: Tensor, alpha: Tensor, beta: Tensor, levels: int) -> Tensor:
    """ln of the mass of [k/K, (k+1)/K], elementwise: integers k, broadcastable against alpha and beta."""
    k = k.double()
    middle, half = (k + 0.5) / levels, 0.5 / levels
    around = 1 - middle
    ends = (k == 0) | (k == levels - 1)
    slope = alpha.double() * (half / middle) - beta.double() * (half / around)
    with torch.no_grad():
        bend = alpha * (half / middle).square().to(alpha.dtype) + beta * (half / around).square().to(alpha.dtype)
        narrow = ((slope.abs() <= _STEEPEST) & (bend <= _SHARPEST) & ~ends).to(alpha.dtype)

        low, high = k / levels, (k + 1) / levels
        up, down = (levels - k) / levels, (levels - 1 - k) / levels  # 1 − low, 1 − high
        # the bin's point next to the peak; for an end bin, to the peak with α and β raised by 1, which stays clear of
        # 0 and 1
        raised = ends.double()
        a, b = alpha + raised, beta + raised
        x = torch.minimum(torch.maximum(a / (a + b), low), high)
        rest = torch.minimum(torch.maximum(b / (a + b), down), up)
        x, rest = torch.lerp(x, middle, narrow.double()), torch.lerp(rest, around, narrow.double())

    is_wide = narrow == 0
    area = narrow * _narrow_area(slope.to(alpha.dtype) * narrow, alpha * narrow, beta * narrow, middle, half)
    area = area + _only_where(is_wide & (x > low), _side, (alpha, beta, x, rest, low, up))
    area = area + _only_where(is_wide & (x < high), _side, (beta, alpha, rest, x, down, high))
    return log_kernel(alpha, beta, x, rest) + torch.log(area.clamp(min=torch.finfo(alpha.dtype).tiny))


#: a bin is narrow where ln kernel changes by no more than this from its middle to an edge, to first and to second order
_STEEPEST, _SHARPEST = 4.0, 3.0


def _narrow_area(slope: Tensor, alpha: Tensor, beta: Tensor, middle: Tensor, half: float) -> Tensor:
    """∫ over the bin of t^{α−1} (1−t)^{β−1}, relative to the kernel at its middle, on 8 nodes (14 in float64).

    slope: that of ln kernel in v = (t − middle)/half, apart from the rest since its two parts nearly cancel. All that
    depends on k alone has k's small shape.
    """
    around = 1 - middle
    nodes, weights = gauss_legendre(14 if alpha.dtype == torch.float64 else 8)
    total = torch.zeros_like(alpha)
    for node, weight in zip(nodes, weights, strict=True):
        v = 2 * node - 1
        t = v * half
        measure = (2 * half * weight) / ((middle + t) * (around - t))
        below, above = torch.log1p(t / middle) - t / middle, torch.log1p(-t / around) + t / around
        below, above, measure = (value.to(alpha.dtype) for value in (below, above, measure))
        height = torch.exp(torch.addcmul(torch.addcmul(v * slope, alpha, below), beta, above))
        total = torch.addcmul(total, measure, height)
    return total


def _side(alpha: Tensor, beta: Tensor, x: Tensor, rest: Tensor, edge: Tensor, beyond: Tensor) -> Tensor:
    """The kernel relative to x, integrated over logit t from x down to `edge` (1 − edge = beyond); 0 may be the edge.

    In float64, for the sum of φ's two nearly opposite parts; on 12 nodes (24 where the result is float64).
    """
    dtype = alpha.dtype
    to_zero = (edge == 0).double()
    a = alpha.double() + to_zero
    n = a + beta
    with torch.no_grad():
        reach = torch.log(x / edge) - torch.log(rest / beyond)
        reach = torch.minimum(reach, _visible(a, n, x, rest, 48.0 if dtype == torch.float64 else 26.0))
    nodes, weights = gauss_legendre(24 if dtype == torch.float64 else 12)
    slope, minus_n = a * reach, -n
    total = torch.zeros_like(a)
    for node, weight in zip(nodes, weights, strict=True):
        where = math.expm1(2 * node) / math.expm1(2)
        log_rest = torch.log(torch.addcmul(rest, x, torch.exp(-where * reach)))
        height = torch.exp(torch.add(minus_n * log_rest, slope, alpha=-where))
        total = torch.add(total, height, alpha=weight * 2 * math.exp(2 * node) / math.expm1(2))
    area = total * reach
    return torch.lerp(area, (1 + (alpha + beta) * (x * area)) / alpha, to_zero).to(dtype)


def _visible(a: Tensor, n: Tensor, x: Tensor, rest: Tensor, threshold: float) -> Tensor:
    """The u at which φ(u) reaches a threshold T, where φ itself is 0.65 T … 1.8 T (measured). The lesser of two roots:

    * s u + c u²/(2+u) = T with φ's slope s and curvature c at 0, as where x is small and curvature falls like e^{−u};
    * n x ln(1 + (1−x)(e^u − 1)) = T, as where x is near 1, plus √(2T/c), which leads where T/n is small.
    """
    slope, curvature = a - n * x, n * x * rest
    b = threshold - 2 * slope
    gentle = 4 * threshold / (torch.sqrt(b.square() + 8 * threshold * (slope + curvature).clamp(min=0)) - b)
    q = threshold / (n * x)
    once = torch.exp(-q)
    steep = q + torch.log((1 - once) / rest + once * (1 + torch.sqrt(2 * threshold / curvature)))
    return torch.minimum(gentle, steep)


def _only_where(mask: Tensor, function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> Tensor:
    """function(*inputs) where the mask is true, 0 elsewhere: on a CPU computed for those elements alone, gathered; an
    accelerator, which would have to wait for their number, computes all."""
    if not visible(mask):
        return function(*inputs) * mask
    zeros = torch.zeros(mask.numel(), dtype=inputs[0].dtype)
    index = mask.flatten().nonzero().squeeze(-1)
    if not len(index):
        return zeros.reshape(mask.shape)
    flat = [value.expand(mask.shape).reshape(-1) for value in inputs]
    per_part = [function(*(value[part] for value in flat)) for part in index.split(_IN_CACHE)]
    return zeros.index_copy(0, index, torch.cat(per_part)).reshape(mask.shape)


#: elements at a time, whose handful of float64 temporaries stay in a CPU core's cache
_IN_CACHE = 1 << 14
