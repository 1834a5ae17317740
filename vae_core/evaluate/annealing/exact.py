"""Exact values of ln p(x) to hold estimators against: a linear Gaussian decoder in closed form, and latents of one or
two dimensions by quadrature, whatever the likelihood.

Axes: models M (leading, where there is more than one), images N, lattice points C, latent Z, dimensions D. Nats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vae_core.evaluate.conditional import Conditional, blocks

#: quadrature starts from the box [−BOX, BOX]^Z: beyond it the prior's mass is 1e-23
BOX = 10.0
#: what may lie outside the box that is integrated: points this many nats below the highest, and the smoothness of their
#: neighbours allowed for
DEPTH = 36.0
#: times that the box is drawn closer; each time, a narrow peak's box becomes smaller tenfold at least
ZOOMS = 4
#: lattice points an axis while the box is drawn closer, by latent size, and in the integral itself by default
SEARCH_POINTS = {1: 1025, 2: 129}
POINTS = {1: 2049, 2: 257}


def ppca_log_likelihood(x: Tensor, weight: Tensor, bias: Tensor, sigma: float) -> Tensor:
    """ln N(x; b, WᵀW + σ²I) of the decoder μ = zW + b, z ~ N(0, I) (Tipping & Bishop 1999, section 3): [..., N], nats.

    With m the posterior mean and A = WWᵀ + σ²I, the squared distance is |x − b − mW|²/σ² + |m|², a sum in which nothing
    cancels, and ln|WᵀW + σ²I| = ln|A| + (D − Z) ln σ². Computed in float64.

    Args:
        x: [..., N, D]. weight: [..., Z, D]. bias: [D], or [..., 1, D] with leading axes.
        sigma: the scale, > 0.

    Raises:
        ValueError: sigma ≤ 0.
    """
    x, weight, bias = x.double(), weight.double(), bias.double()
    mean, _ = ppca_posterior(x, weight, bias, sigma)
    latent, dims = weight.shape[-2:]
    residual = x - bias - mean @ weight
    distance = residual.square().sum(-1) / sigma**2 + mean.square().sum(-1)
    log_determinant = torch.logdet(_inner(weight, sigma)).unsqueeze(-1) + (dims - latent) * 2 * math.log(sigma)
    return -0.5 * (distance + log_determinant + dims * math.log(2 * math.pi))


def ppca_posterior(x: Tensor, weight: Tensor, bias: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Mean [..., N, Z] and covariance [..., Z, Z] of p(z|x) for the same decoder (Tipping & Bishop 1999, section 3):
    (x − b) Wᵀ A⁻¹ and σ² A⁻¹, A = WWᵀ + σ²I. Arguments and errors as in `ppca_log_likelihood`."""
    if not sigma > 0:
        raise ValueError(f"sigma={sigma}: give a scale > 0")
    inverse = torch.linalg.inv(_inner(weight, sigma))
    return (x - bias) @ weight.mT @ inverse, sigma**2 * inverse


def _inner(weight: Tensor, sigma: float) -> Tensor:
    """A = WWᵀ + σ²I, [..., Z, Z]."""
    return weight @ weight.mT + sigma**2 * torch.eye(weight.shape[-2], dtype=weight.dtype, device=weight.device)


class Quadrature(NamedTuple):
    """Per image, nats; tensors [..., N], float64."""

    log_likelihood: Tensor  #: ln ∫ p(x|z) N(z; 0, I) dz
    error: Tensor  #: estimated bound on its error: against half as many points an axis, plus the mass at the box's edge


class _Box(NamedTuple):
    """Where each image's lattice lies: z = corner + u edges, u in [0, 1]^Z. float64."""

    corner: Tensor  #: [..., n, Z]
    edges: Tensor  #: [..., n, Z, Z], one edge a row

    def log_volume(self) -> Tensor:
        return torch.linalg.det(self.edges).abs().log()


def quadrature(
    log_likelihood: Conditional,
    shape: Sequence[int],
    latent: int,
    *,
    points: int | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    rows: int = 1 << 16,
) -> Quadrature:
    """ln p(x) by the trapezoid rule on a lattice that is drawn closer around each image's own posterior.

    From [−10, 10]^Z the box is drawn closer, four times, to the lattice points within 36 nats of the highest, along
    their principal axes; each counts with the rise to a neighbour added, so that a peak narrower than the spacing is
    not left out. In that box the trapezoid rule converges faster than any power of the spacing where p(x|z) is smooth
    in z (Trefethen & Weideman 2014), with its square where it has kinks (Laplace). Every other lattice point gives the
    rule with half as many: the difference is the error reported, far above the true one where it is small, save for
    rounding. Narrow peaks far apart need more `points`: the error shows it.

    >>> def log_likelihood(z, rows):  # x = 0, p(x|z) = N(x; z, 0.01²)
    ...     return -0.5 * (z / 0.01).square().sum(-1) - math.log(0.01 * math.sqrt(2 * math.pi))
    >>> value, error = quadrature(log_likelihood, (1,), 1)
    >>> bool((value + 0.5 * math.log(2 * math.pi * 1.0001)).abs().max() < 1e-9), bool(error.max() < 1e-6)
    (True, True)

    Args:
        log_likelihood: (z [..., n, C, Z], which images) -> ln p(x|z) [..., n, C].
        shape: (N,) or (M, N): of the images.
        latent: Z, 1 or 2.
        points: lattice points an axis, odd; 2049 for Z = 1 and 257 for Z = 2 by default.
        dtype: of the z handed to log_likelihood.
        device: of the same.
        rows: z handed to log_likelihood at once (models × images × lattice points); bounds the memory.

    Raises:
        ValueError: a latent of more than 2 dimensions; points even or below 5; ln p(x|z) NaN or +∞ at a lattice point,
            or −∞ at all of an image's.
    """
    if latent not in POINTS:
        raise ValueError(
            f"latent={latent}: quadrature takes 1 or 2 dimensions, beyond that anneal (annealed_importance)"
        )
    points = POINTS[latent] if points is None else points
    if points < 5 or points % 2 == 0:
        raise ValueError(
            f"points={points}: give an odd number of 5 or more, so that every other point is a lattice too"
        )
    models, images = tuple(shape[:-1]), shape[-1]
    most = max(points, SEARCH_POINTS[latent]) ** latent
    step = max(1, 16 * rows // (math.prod(models) * most))  # values are held whole, and weigh a float each
    parts = []
    with torch.no_grad():
        for block in blocks(images, step):
            corner = torch.full((*models, block.stop - block.start, latent), -BOX, dtype=torch.float64, device=device)
            box = _Box(corner, torch.diag_embed(-2 * corner))
            for _ in range(ZOOMS):
                values = _on_lattice(log_likelihood, box, SEARCH_POINTS[latent], block, dtype, rows)
                box = _drawn_closer(values, box)
            parts.append(_integral(_on_lattice(log_likelihood, box, points, block, dtype, rows), box))
    return Quadrature(*(torch.cat(tensors, -1) for tensors in zip(*parts, strict=True)))


def _lattice(points: int, latent: int, device: torch.device) -> Tensor:
    """u of each lattice point, [points^Z, Z]."""
    axis = torch.linspace(0, 1, points, dtype=torch.float64, device=device)
    return torch.cartesian_prod(*[axis] * latent).reshape(-1, latent)


def _on_lattice(
    log_likelihood: Conditional, box: _Box, points: int, block: slice, dtype: torch.dtype, rows: int
) -> Tensor:
    """ln p(x|z) + ln p(z) on each image's lattice, [..., n, points] or [..., n, points, points], float64."""
    latent = box.corner.shape[-1]
    unit = _lattice(points, latent, box.corner.device)
    values = []
    for some in blocks(len(unit), max(1, rows // box.corner[..., 0].numel())):
        z = (box.corner.unsqueeze(-2) + unit[some] @ box.edges).to(dtype)
        log_prior = -0.5 * z.double().square().sum(-1) - 0.5 * latent * math.log(2 * math.pi)
        values.append(log_likelihood(z, block).double() + log_prior)
    joined = torch.cat(values, -1)
    if bool((joined.isnan() | joined.isposinf()).any()):
        raise ValueError("ln p(x|z) is NaN or +∞ at a point of the lattice: mend the likelihood or the decoder there")
    if bool(joined.amax(-1).isneginf().any()):
        raise ValueError("p(x|z) is 0 at every point of an image's lattice: its ln p(x) is −∞, or give more points")
    return joined.unflatten(-1, (points,) * latent)


def _drawn_closer(values: Tensor, box: _Box) -> _Box:
    """The box around the points that may matter and a spacing beyond, along these points' own principal axes."""
    latent, points = box.corner.shape[-1], values.shape[-1]
    axes = tuple(range(-latent, 0))
    # within a cell a smooth function rises by no more than it differs from one neighbour to the next
    rise = torch.zeros_like(values)
    for axis in axes:
        change = torch.diff(values, dim=axis).abs().nan_to_num(0.0, posinf=0.0)
        for neighbour in (rise.narrow(axis, 0, points - 1), rise.narrow(axis, 1, points - 1)):
            torch.maximum(neighbour, change, out=neighbour)
    matters = (values + rise > values.amax(axes, keepdim=True) - DEPTH).flatten(-latent)  # [..., n, points^Z]

    unit = _lattice(points, latent, values.device)
    share = matters / matters.sum(-1, keepdim=True).double()
    mean = share @ unit
    spread = (share @ (unit.unsqueeze(-1) * unit.unsqueeze(-2)).flatten(1)).unflatten(-1, (latent, latent))
    covariance = box.edges.mT @ (spread - mean.unsqueeze(-1) * mean.unsqueeze(-2)) @ box.edges
    directions = torch.linalg.eigh(covariance).eigenvectors  # [..., n, Z, Z], one a column

    along = box.edges @ directions  # of each edge along each direction
    spacing = along.abs().sum(-2) / (points - 1)
    offset = unit @ along  # [..., n, points^Z, Z], from the corner
    inside = matters.unsqueeze(-1)
    low = torch.where(inside, offset, math.inf).amin(-2) - spacing
    high = torch.where(inside, offset, -math.inf).amax(-2) + spacing
    corner = box.corner + (directions @ low.unsqueeze(-1)).squeeze(-1)
    return _Box(corner, (high - low).unsqueeze(-1) * directions.mT)


def _integral(values: Tensor, box: _Box) -> tuple[Tensor, Tensor]:
    """ln of the trapezoid rule over a lattice, [..., n], and its error against every other point of it."""
    latent, points = box.corner.shape[-1], values.shape[-1]
    fine = _trapezoid(values, box)
    every_other = values[..., ::2] if latent == 1 else values[..., ::2, ::2]
    coarse = _trapezoid(every_other, box)
    edge = torch.zeros_like(fine)
    for axis in range(-latent, 0):
        for end in (0, points - 1):
            along = values.select(axis, end).reshape(*fine.shape, -1).logsumexp(-1)
            # what lies beyond, if the density halved with each width of the box: about a width × the density there
            edge += torch.exp(along + box.log_volume() - (latent - 1) * math.log(points - 1) - fine)
    return fine, (fine - coarse).abs() + edge


def _trapezoid(values: Tensor, box: _Box) -> Tensor:
    """ln Σ of the values times their cells, half at each end of an axis."""
    latent, points = box.corner.shape[-1], values.shape[-1]
    weights = torch.zeros(points, dtype=torch.float64, device=values.device)
    weights[[0, -1]] = -math.log(2)
    total = values
    for _ in range(latent):
        total = (total + weights).logsumexp(-1)
    return total + box.log_volume() - latent * math.log(points - 1)
