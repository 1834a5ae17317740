"""ln of the mass that a Gaussian of one, two or three correlated dimensions has in a box: a pixel's bins.

With x₁ = μ₁ + s₁ε₁, x₂ = μ₂ + a(x₁−μ₁) + s₂ε₂, x₃ = μ₃ + b(x₁−μ₁) + c(x₂−μ₂) + s₃ε₃ (the regressions that a Cholesky
factor is made of: Pourahmadi 1999, Joint mean-covariance models, section 2) the mass is

    ∫∫ φ(u/s₁)/s₁ φ((v−au)/s₂)/s₂ [Φ((h₃−bu−cv)/s₃) − Φ((l₃−bu−cv)/s₃)] dv du

over the bins of the first two: separation of variables as in Genz 1992 (Numerical computation of multivariate normal
probabilities), of which only the last is done in closed form. Differences of distribution functions at corners (Genz
2004) leave nothing of a bin that is far out. The integrand is log-concave, so that its peak is known exactly, and
whatever is far below it, too: a rectangle is halved until a Gauss–Legendre rule holds on it, and left out where a bound
says that it has less than e^{−FAR} of the peak; where that takes too many of them (narrow ridges across a wide bin),
the integrals are taken one in the other, over pieces between the places where the integrand bends. Bounds and places
have no gradient; the integrand at the nodes has.

All is in float64, in bins, and over the peak: exponents are differences from its own, which may be 10¹⁵, taken before
anything is squared. It is one file: one integral.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch

from vae_core.likelihoods import _small_cube
from vae_core.likelihoods._box import Box
from vae_core.likelihoods._logspace import choose, choose_above, log_sinhc
from vae_core.likelihoods._quadrature import gauss_legendre
from vae_core.numerics.visible import constant, readable, transformed

if TYPE_CHECKING:
    from torch import Tensor

#: the open edge of a bin, in bins: beyond what any scale reaches, and its square is a number
BEYOND = 1e15
#: what lies below e^{−FAR} of the peak is left out
FAR = 22.0
#: how many standard deviations, and how much change of the exponent, a rectangle's sides may hold; and the nodes then
_GENTLE = (0.8, 1.6, 4)
_STEEP = (2.5, 5.0, 6)
#: nodes on either side of the peak, along u and along v, where numbers cannot be looked at (vmap, torch.compile, a
#: captured CUDA graph): of 6,000 boxes at random, regressions of either sign up to about 10 and σ from 0.05 to 30 bins,
#: 99 in 100 are off by less than 0.0091 nats a pixel and the worst by 0.046, on average by 4e-4; an ordinary ridge,
#: correlations of 0.999 at σ of 3 bins, by up to 0.0043. It is for training: 24 nodes take four times as long and are
#: off by 0.0071 at worst there
_BLIND = 12
_HALVINGS = 200
_MOST = 300  # rectangles a box, as a rule: beyond, and where they cannot be counted, it is taken in pieces
_PIECE = 8  # nodes of a piece
_PIXELS, _RECTANGLES, _PIECED = 1 << 12, 1 << 12, 256  # worked on at once, for their memory
_NARROW = 1e-3
_LAST = 20.0  # standard deviations, up to which erfc is a number far from underflow
_ROUNDING = 1e-12  # of what is large and nearly equal
_ABOVE = 1.0  # nothing is above the peak, but for what rounding makes of a peak 10¹⁰ standard deviations from all means
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Mass:
    """ln of a mass over the peak of its integrand, and that peak (u, v, w) with what the regressions of v and of w
    leave there: of which ln of the mass, or of its ratio to another, is made."""

    over_peak: Tensor
    u: Tensor
    v: Tensor
    w: Tensor
    rest2: Tensor
    rest3: Tensor

    def at(self, index: Tensor) -> Mass:
        return Mass(*(getattr(self, item.name).index_select(0, index) for item in fields(self)))

    def log(self, box: Box) -> Tensor:
        """ln of the mass, nats."""
        squares = (self.u * torch.exp(-box.log_s1)).square() + (self.rest3 * torch.exp(-box.log_s3)).square()
        if not box.two:
            squares = squares + (self.rest2 * torch.exp(-box.log_s2)).square()
        return self.over_peak - 0.5 * squares


def masses(box: Box) -> Mass:
    """The mass in each box."""
    shape = torch.broadcast_shapes(*(each.shape for each in box.tensors().values()))
    flat = box.flat()
    with torch.no_grad():
        geometry = _Shape.of(flat.detached())
        u, v, _ = geometry.peak()
    u, v = u + flat.zero1, v + flat.zero2  # a point that stays where it is, while the means move
    rest2 = v - flat.a * u
    mean3 = flat.b * u + flat.c * v
    w = torch.minimum(torch.maximum(mean3, flat.low3), flat.high3)
    each = Mass(torch.zeros_like(u), u, v, w, rest2, w - mean3)
    small, others = _by_size(flat)
    over = torch.zeros_like(u)
    if len(small):
        squares = each.at(small).log(flat.at(small))
        over = over.index_copy(0, small, _small_cube.log_masses(flat.at(small), over.dtype) - squares)
    if len(others):
        over = over.index_copy(0, others, _over_peak(flat.at(others), geometry.at(others), _Peak(u, v).at(others)))
    return Mass(*(each.reshape(shape) for each in (over, u, v, w, rest2, w - mean3)))


def log_masses(box: Box, dtype: torch.dtype) -> Tensor:
    """ln of the mass in each box, nats. What that of a small one has beside the density is computed in `dtype`."""
    shape = torch.broadcast_shapes(*(each.shape for each in box.tensors().values()))
    flat = box.flat()
    small, others = _by_size(flat)
    if not len(small):
        return masses(box).log(box)
    if not len(others):
        return _small_cube.log_masses(flat, dtype).reshape(shape)
    total = torch.zeros_like(flat.low1).index_copy(0, small, _small_cube.log_masses(flat.at(small), dtype))
    rest = flat.at(others)
    return total.index_copy(0, others, masses(rest).log(rest)).reshape(shape)


def _by_size(flat: Box) -> tuple[Tensor, Tensor]:
    """Which boxes are small beside their Gaussians, and which are not; none is where numbers cannot be looked at."""
    every = torch.arange(len(flat.low1), device=flat.low1.device)
    if flat.two or not readable(flat.low1):
        return every[:0], every
    with torch.no_grad():
        small = _small_cube.holds(flat.detached())
    return every[small], every[~small]


def scaled_interval(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """ln[Φ(high) − Φ(low)] + ½n² and n ≥ 0, how far the interval is from 0: low < high, elementwise, far out too."""
    mirrored = low + high < 0
    near, far = torch.where(mirrored, -high, low), torch.where(mirrored, -low, high)
    n = near.clamp(min=0)
    width = high - low
    root, tiny = math.sqrt(0.5), torch.finfo(low.dtype).tiny

    def close() -> Tensor:
        m = n.clamp(max=_LAST + 1)
        difference = torch.erfc(near.clamp(max=_LAST + 1) * root) - torch.erfc(far.clamp(max=_LAST + 8) * root)
        return torch.log((0.5 * difference).clamp(min=tiny)) + 0.5 * m.square()

    def distant() -> Tensor:
        m = n.clamp(min=_LAST - 1)
        rest = torch.special.erfcx(m * root)
        fall = torch.exp(-0.5 * (far - n) * (far + n))
        return torch.log((0.5 * (rest - fall * torch.special.erfcx(far.clamp(min=_LAST - 1) * root))).clamp(min=tiny))

    def narrow() -> Tensor:
        small = width.clamp(max=2 * _NARROW)
        inward = 0.5 * small + near.clamp(min=-2 * _NARROW, max=0)  # the middle less n
        tilt = log_sinhc(0.5 * small * (n + inward))
        flat = torch.log(small) - 0.5 * inward * (2 * n + inward) - _HALF_LOG_2PI
        return flat + tilt - small.square() / 24

    return choose(width < _NARROW, narrow, lambda: choose_above(n, _LAST, distant, close)), n


# -- where the mass lies -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Peak:
    """Where an integrand is highest, [n]: what exponents are differences from."""

    u: Tensor
    v: Tensor

    def at(self, index: Tensor) -> _Peak:
        return _Peak(self.u.index_select(0, index), self.v.index_select(0, index))


@dataclass(frozen=True)
class _Shape:
    """A box's Gaussian as what geometry asks of it: precisions of ε, and the slope of ½Q, Q the squared distance in
    standard deviations of a point (u, v), the third at its best within its bin."""

    box: Box
    p1: Tensor
    p2: Tensor
    p3: Tensor

    @classmethod
    def of(cls, box: Box) -> _Shape:
        p1, p2, p3 = (torch.exp(-2 * each) for each in (box.log_s1, box.log_s2, box.log_s3))
        return cls(box, p1, torch.zeros_like(p2) if box.two else p2, p3)

    def at(self, index: Tensor) -> _Shape:
        return _Shape(self.box.at(index), *(each.index_select(0, index) for each in (self.p1, self.p2, self.p3)))

    def half_square(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """½Q and its slopes in u and in v."""
        box = self.box
        rest2 = v - box.a * u
        mean3 = box.b * u + box.c * v
        rest3 = torch.minimum(torch.maximum(mean3, box.low3), box.high3) - mean3
        value = 0.5 * (self.p1 * u.square() + self.p2 * rest2.square() + self.p3 * rest3.square())
        pull2, pull3 = self.p2 * rest2, self.p3 * rest3
        return value, self.p1 * u - box.a * pull2 - box.b * pull3, pull2 - box.c * pull3

    def rise(self, peak: _Peak, du: Tensor, dv: Tensor) -> Tensor:
        """By how much ½Q is higher a step from the peak, without a difference of large squares."""
        box = self.box
        step2, step3 = dv - box.a * du, box.b * du + box.c * dv
        mean3 = box.b * peak.u + box.c * peak.v
        before = torch.minimum(torch.maximum(mean3, box.low3), box.high3) - mean3
        now = torch.minimum(torch.maximum(mean3 + step3, box.low3), box.high3) - (mean3 + step3)
        farther = torch.where((before * now > 0), -step3, now - before)
        rise = self.p1 * du * (peak.u + 0.5 * du) + self.p2 * step2 * (peak.v - box.a * peak.u + 0.5 * step2)
        return rise + self.p3 * farther * 0.5 * (before + now)

    def curvatures(self) -> tuple[Tensor, Tensor]:
        """The highest that ½Q has along u and along v."""
        box = self.box
        return self.p1 + box.a.square() * self.p2 + box.b.square() * self.p3, self.p2 + box.c.square() * self.p3

    def best_v(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """v within its bin at which ½Q is least, and ½Q there: of a convex piecewise quadratic one of the least points
        of its three pieces, moved into the bin."""
        box = self.box
        curvature = (self.p2 + box.c.square() * self.p3).clamp(min=torch.finfo(u.dtype).tiny)
        best, least = None, None
        for edge in (None, box.low3, box.high3):
            v = box.a * u
            if edge is not None:
                v = (v * self.p2 + box.c * (edge - box.b * u) * self.p3) / curvature
            v = torch.minimum(torch.maximum(v, box.low2), box.high2)
            value = self.half_square(u, v)[0]
            if best is None or least is None:
                best, least = v, value
            else:
                best, least = torch.where(value < least, v, best), torch.minimum(value, least)
        assert best is not None
        assert least is not None
        return best, least

    def peak(self) -> tuple[Tensor, Tensor, Tensor]:
        """(u, v) of the box at which ½Q is least, and ½Q there: by the least points of its nine pieces along u."""
        box = self.box
        s2, s3 = torch.exp(2 * box.log_s2), torch.exp(2 * box.log_s3)
        slope = box.b + box.c * box.a
        places = [torch.zeros_like(box.low1)]
        spread = (s3 + box.c.square() * s2) * self.p1 + slope.square()
        places += [slope * edge3 / spread for edge3 in (box.low3, box.high3)]
        for edge2 in () if box.two else (box.low2, box.high2):
            pull = box.a * edge2 * self.p2
            places.append(pull / (self.p1 + box.a.square() * self.p2))
            for edge3 in (box.low3, box.high3):
                pulls = pull + box.b * (edge3 - box.c * edge2) * self.p3
                places.append(pulls / self.curvatures()[0])
        found: tuple[Tensor, Tensor, Tensor] | None = None
        for u in places:
            u = torch.minimum(torch.maximum(u, box.low1), box.high1)
            v, value = self.best_v(u)
            if found is None:
                found = u, v, value
            else:
                better = value < found[2]
                found = (
                    torch.where(better, u, found[0]),
                    torch.where(better, v, found[1]),
                    torch.minimum(value, found[2]),
                )
        assert found is not None
        return found

    def around(self, u: Tensor, v: Tensor) -> list[Tensor]:
        """Of a rectangle about the peak (u, v) that has all but e^{−FAR}, in steps from it: low and high of u, low and
        high of v. At a peak within a box no slope leads down into it, and ½Q rises at least by slope and least
        curvature."""
        box = self.box
        _, along_u, along_v = self.half_square(u, v)
        variance2 = torch.exp(2 * box.log_s2) + box.a.square() * torch.exp(2 * box.log_s1)
        return [
            _reached(u, along_u, self.p1, box.low1, -1),
            _reached(u, along_u, self.p1, box.high1, 1),
            _reached(v, along_v, 1 / variance2, box.low2, -1),
            _reached(v, along_v, 1 / variance2, box.high2, 1),
        ]


def _excess(
    shape: _Shape, peak: _Peak, sides: list[Tensor], limits: tuple[float, float, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Of rectangles, in steps from the peak: by how much u and v go beyond what a rule holds for, and how much lower
    than at the peak the integrand is at least in all of them, in nats: ½Q is convex."""
    low1, high1, low2, high2 = sides
    long1, long2 = high1 - low1, high2 - low2
    du, dv = 0.5 * (low1 + high1), 0.5 * (low2 + high2)
    _, along_u, along_v = shape.half_square(peak.u + du, peak.v + dv)
    deviations, change, _ = limits
    over = [
        long * torch.maximum(slope.abs() / change, torch.sqrt(curvature) / deviations)
        for long, slope, curvature in zip((long1, long2), (along_u, along_v), shape.curvatures(), strict=True)
    ]
    rise, fall = shape.rise(peak, du, dv), 0.5 * (along_u.abs() * long1 + along_v.abs() * long2)
    return over[0], over[1], rise - fall - _ROUNDING * (rise.abs() + fall)


# -- the integral ------------------------------------------------------------------------------------------------------


def _height(box: Box, peak: _Peak, du: Tensor, dv: Tensor | None) -> Tensor:
    """The integrand over e^{−½Q of the peak}, at steps from it, [n, …] each; dv None where there is no second."""

    def wide(each: Tensor) -> Tensor:
        return each.reshape(-1, *(1,) * (du.ndim - 1))

    i1, i3 = wide(torch.exp(-box.log_s1)), wide(torch.exp(-box.log_s3))
    u, v = wide(peak.u), wide(peak.v)
    exponent = -((du * i1) * (i1 * (u + 0.5 * du)))
    mean3, step3 = wide(box.b) * u, wide(box.b) * du
    if dv is not None:
        i2, a, c = wide(torch.exp(-box.log_s2)), wide(box.a), wide(box.c)
        mean3, step3 = mean3 + c * v, step3 + c * dv
        step2 = dv - a * du
        exponent = exponent - (step2 * i2) * (i2 * (v - a * u + 0.5 * step2))
    low, high = wide(box.low3) - mean3, wide(box.high3) - mean3
    was = torch.maximum(low, -high).clamp(min=0) * i3  # in standard deviations, from the peak's mean to the bin
    value, now = scaled_interval((low - step3) * i3, (high - step3) * i3)
    alike = torch.where(low > 0, low - step3 > 0, high - step3 < 0) & (was > 0)
    farther = torch.where(alike, torch.where(low > 0, -step3, step3) * i3, now - was)
    return torch.exp((exponent + value - 0.5 * farther * (now + was)).clamp(max=_ABOVE))


def _integral(box: Box, peak: _Peak, sides: list[Tensor], count: int) -> Tensor:
    """∫∫ of the integrand over its height at the peak over rectangles [n], by a product rule; without 1/(s₁s₂ 2π)."""
    nodes, weights = _rule(count, box.low1)
    low1, high1, low2, high2 = sides
    long1, long2 = high1 - low1, high2 - low2
    du = low1[:, None, None] + long1[:, None, None] * nodes[:, None]
    if box.two:
        return (_height(box, peak, du, None) * weights[:, None]).sum((-2, -1)) * long1
    dv = low2[:, None, None] + long2[:, None, None] * nodes
    du, dv = torch.broadcast_tensors(du, dv)
    return (_height(box, peak, du, dv) * (weights[:, None] * weights)).sum((-2, -1)) * (long1 * long2)


def _rule(count: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights on a device: all counts are copied to it with the first, for in a graph that is captured, which
    asks for one that was not asked for before, nothing can be. Kept, but where a program is traced."""
    kept = _KEPT.get((like.dtype, like.device))
    if kept is None:
        counts = (_GENTLE[2], _STEEP[2], _PIECE, _BLIND)
        kept = {some: _copied(some, like) for some in counts}
        if not transformed():
            _KEPT[like.dtype, like.device] = kept
    return kept[count] if count in kept else _copied(count, like)


def _copied(count: int, like: Tensor) -> tuple[Tensor, Tensor]:
    nodes, weights = (constant(each, like.dtype, like.device) for each in gauss_legendre(count))
    return nodes, weights


_KEPT: dict[tuple[torch.dtype, torch.device], dict[int, tuple[Tensor, Tensor]]] = {}


def _logarithm(box: Box, total: Tensor) -> Tensor:
    constant = box.log_s1 + _HALF_LOG_2PI
    if not box.two:
        constant = constant + box.log_s2 + _HALF_LOG_2PI
    return torch.log(total.clamp(min=torch.finfo(total.dtype).tiny)) - constant


def _over_peak(box: Box, shape: _Shape, peak: _Peak) -> Tensor:
    """ln of the masses over their peaks, [n]. Where numbers cannot be looked at one rule of many nodes about the peak
    serves all; elsewhere few nodes where the whole box is gentle, rectangles as they are needed, or pieces."""
    if not readable(box.low1):
        return _logarithm(box, _blind(box, shape, peak))
    with torch.no_grad():
        still = _Peak(peak.u.detach(), peak.v.detach())
        whole = [
            shape.box.low1 - still.u,
            shape.box.high1 - still.u,
            shape.box.low2 - still.v,
            shape.box.high2 - still.v,
        ]
        over1, over2, _ = _excess(shape, still, whole, _GENTLE)
        gentle = torch.maximum(over1, over2) <= 1
    total = torch.zeros_like(box.low1)
    for some in gentle.nonzero()[:, 0].split(_PIXELS):
        each = _integral(box.at(some), peak.at(some), [side[some] for side in whole], _GENTLE[2])
        total = total.index_copy(0, some, each)
    for others in (~gentle).nonzero()[:, 0].split(_PIXELS):
        total = total.index_copy(0, others, _in_rectangles(box.at(others), shape.at(others), peak.at(others)))
    return _logarithm(box, total)


def _in_rectangles(box: Box, shape: _Shape, peak: _Peak) -> Tensor:
    with torch.no_grad():
        owner, sides, many = _rectangles(shape, _Peak(peak.u.detach(), peak.v.detach()))
    total = torch.zeros_like(peak.u)
    for part in torch.arange(len(owner), device=owner.device).split(_RECTANGLES):
        whose = owner[part]
        each = _integral(box.at(whose), peak.at(whose), [side[part] for side in sides], _STEEP[2])
        total = total.index_add(0, whose, each)
    for some in many.split(_PIECED):
        total = total.index_copy(0, some, _in_pieces(box.at(some), shape.at(some), peak.at(some)))
    return total


def _rectangles(shape: _Shape, peak: _Peak) -> tuple[Tensor, list[Tensor], Tensor]:
    """Which box each is of, and its sides in steps from the peak: halved until a rule holds, those that have
    nothing left out; and the boxes that would take too many."""
    sides = shape.around(peak.u, peak.v)
    owner = torch.arange(len(peak.u), device=peak.u.device)
    count = torch.zeros_like(owner)
    done: list[tuple[Tensor, list[Tensor]]] = []
    for turn in range(_HALVINGS + 1):
        over1, over2, lower = _excess(shape.at(owner), peak.at(owner), sides, _STEEP)
        kept = lower < FAR
        ready = kept & (torch.maximum(over1, over2) <= 1)
        done.append((owner[ready], [side[ready] for side in sides]))
        count += torch.bincount(owner[kept], minlength=len(peak.u))
        left = kept & ~ready & (count <= (_MOST if turn < _HALVINGS else 0))[owner]
        if not left.any():
            break
        first = (over1 >= over2)[left]
        low1, high1, low2, high2 = (side[left] for side in sides)
        half1, half2 = 0.5 * (low1 + high1), 0.5 * (low2 + high2)
        upper1, lower1 = torch.where(first, half1, high1), torch.where(first, half1, low1)
        upper2, lower2 = torch.where(first, high2, half2), torch.where(first, low2, half2)
        sides = [
            torch.cat([low1, lower1]),
            torch.cat([upper1, high1]),
            torch.cat([low2, lower2]),
            torch.cat([upper2, high2]),
        ]
        owner = owner[left].repeat(2)
    many = count > _MOST
    owners, rectangles = zip(*done, strict=True)
    owner = torch.cat(owners)
    few = ~many[owner]
    return owner[few], [torch.cat(each)[few] for each in zip(*rectangles, strict=True)], many.nonzero()[:, 0]


def _in_pieces(box: Box, shape: _Shape, peak: _Peak) -> Tensor:
    """One integral in the other, [n]: along u over the pieces between the places where a bin's edge comes into play,
    and so along v at each u."""
    nodes, weights = _rule(_PIECE, box.low1)
    with torch.no_grad():
        own, still = shape.box, _Peak(peak.u.detach(), peak.v.detach())
        s2, s3 = torch.exp(own.log_s2), torch.exp(own.log_s3)
        low, high = (
            _shrunk(lambda du: shape.rise(still, du, shape.best_v(still.u + du)[0] - still.v), end)
            for end in shape.around(still.u, still.v)[:2]
        )
        bends = [(edge, own.b + own.c * own.a, torch.hypot(s3, own.c * s2)) for edge in (own.low3, own.high3)]
        for edge2 in () if own.two else (own.low2, own.high2):
            bends.append((edge2, own.a, s2))
            bends += [(edge3 - own.c * edge2, own.b, s3) for edge3 in (own.low3, own.high3)]
        starts, longs = _pieces(low, high, still.u, bends)
        owner, piece = (longs > 0).nonzero(as_tuple=True)
        start, long = starts[owner, piece], longs[owner, piece]
        du, weight = torch.zeros_like(start), torch.ones_like(start)
        if not own.two:  # the pieces along v at each u, as many rows as there are
            du = (start.unsqueeze(-1) + long.unsqueeze(-1) * nodes).flatten()
            weight, owner = (long.unsqueeze(-1) * weights).flatten(), owner.repeat_interleave(_PIECE)
            along, place = shape.at(owner), still.at(owner)
            every, u = along.box, place.u + du
            v, _ = along.best_v(u)
            slope = along.half_square(u, v)[2]
            own_peak = _Peak(u, v)
            low, high = (
                _shrunk(lambda dv: along.rise(own_peak, torch.zeros_like(dv), dv), end)
                for end in (_reached(v, slope, along.p2, every.low2, -1), _reached(v, slope, along.p2, every.high2, 1))
            )
            bends = [(edge - every.b * u, every.c, torch.exp(every.log_s3)) for edge in (every.low3, every.high3)]
            starts, longs = _pieces(low, high, v, bends)
            longs = torch.where((along.rise(place, du, v - place.v) < FAR).unsqueeze(-1), longs, 0)
            row, piece = (longs > 0).nonzero(as_tuple=True)
            owner, start, long = owner[row], (v - place.v)[row] + starts[row, piece], longs[row, piece]
            du, weight = du[row], weight[row]
    total = torch.zeros_like(peak.u)
    for part in torch.arange(len(owner), device=owner.device).split(_RECTANGLES * 8):
        whose = owner[part]
        steps = start[part].unsqueeze(-1) + long[part].unsqueeze(-1) * nodes
        if own.two:
            each = _height(box.at(whose), peak.at(whose), steps, None)
        else:
            each = _height(box.at(whose), peak.at(whose), du[part].unsqueeze(-1).expand_as(steps), steps)
        total = total.index_add(0, whose, (each * weights).sum(-1) * (weight * long)[part])
    return total


def _pieces(
    low: Tensor, high: Tensor, peak: Tensor, bends: list[tuple[Tensor, Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Where pieces of [low, high] start and how long they are, [n, P], in steps from the peak: cut on both sides of
    every bend, which lies where slope × place = edge and is width/|slope| wide, and ever nearer to the peak."""
    cuts = [low, high, torch.zeros_like(peak)]
    for share in (0.05, 0.2, 0.5):
        cuts += [share * end for end in (low, high)]
    for edge, slope, width in bends:
        slope = torch.where(slope == 0, torch.finfo(slope.dtype).tiny, slope)
        for deviations in (-6.0, -3.0, 0.0, 3.0, 6.0):
            cuts.append((edge + deviations * width) / slope - peak)
    ordered = torch.stack([torch.minimum(torch.maximum(cut, low), high) for cut in cuts], -1).sort(-1).values
    return ordered[..., :-1], ordered[..., 1:] - ordered[..., :-1]


def _reached(place: Tensor, slope: Tensor, least: Tensor, end: Tensor, sign: int) -> Tensor:
    """How far from a least point one can go until ½Q has risen by FAR for certain, or the end of the bin: a step."""
    rise = (sign * slope).clamp(min=0)
    reach = 2 * FAR / (rise + torch.sqrt(rise.square() + 2 * FAR * least))
    return sign * torch.minimum(reach, (end - place).abs())


def _shrunk(rise: Callable[[Tensor], Tensor], end: Tensor) -> Tensor:
    """A step from a least point halved as often as ½Q has risen by FAR there still: it is convex."""
    for halvings in (32, 16, 8, 4, 2, 1):
        shorter = end * 2.0**-halvings
        end = torch.where(rise(shorter) > FAR, shorter, end)
    return end


def _blind(box: Box, shape: _Shape, peak: _Peak) -> Tensor:
    """As pieces, with no more cuts than at the peaks: no more exact than said at `_BLIND`."""
    nodes, weights = _rule(_BLIND, box.low1)
    with torch.no_grad():
        still = _Peak(peak.u.detach().unsqueeze(-1), peak.v.detach().unsqueeze(-1))
        own = replace(shape.box, **{name: each.unsqueeze(-1) for name, each in shape.box.tensors().items()})
        along = _Shape.of(own)

        def beside(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
            ends = torch.stack([low, high], -1).unsqueeze(-1)
            return (ends * nodes).flatten(-2), (ends.abs() * weights).flatten(-2)

        low, high = (
            _shrunk(lambda du: along.rise(still, du, along.best_v(still.u + du)[0] - still.v), end)
            for end in along.around(still.u, still.v)[:2]
        )
        du, weight = beside(low.squeeze(-1), high.squeeze(-1))
        if not box.two:
            u = still.u + du
            v, _ = along.best_v(u)
            slope, own_peak = along.half_square(u, v)[2], _Peak(u, v)
            low, high = (
                _shrunk(lambda dv: along.rise(own_peak, torch.zeros_like(dv), dv), end)
                for end in (_reached(v, slope, along.p2, own.low2, -1), _reached(v, slope, along.p2, own.high2, 1))
            )
            dv, inner = beside(low, high)
            dv = dv + (v - still.v).unsqueeze(-1)
            weight = (inner * weight.unsqueeze(-1)).flatten(-2)
            du, dv = du.unsqueeze(-1).expand_as(dv).flatten(-2), dv.flatten(-2)
    return (_height(box, peak, du, None if box.two else dv) * weight).sum(-1)
