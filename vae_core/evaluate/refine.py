"""Proposals fitted to each image: the Gaussian q(z) of highest ELBO, from the encoder's output on.

An encoder amortises: its q(z|x) is the best for no image in particular, and importance weights from it may have tails
so heavy that their mean says nothing. Here q is fitted to one image at a time (all of them side by side) by damped
natural-gradient steps (Khan & Lin 2017, Conjugate-computation variational inference, eq. 9; for a Gaussian, Opper &
Archambeau 2009, eqs. 15–16): with f(z) = ln p(x|z) and expectations over q = N(μ, P⁻¹),

    P ← (1−ρ) P + ρ (I − E ∇²f)        μ ← μ + ρ P⁻¹ (E ∇f − μ)

A natural gradient has no unit: a posterior a hundred times narrower than the prior needs no other step size. E ∇²f
comes from first derivatives alone, E[P (z−μ) ∇f(z)ᵀ] (Stein's identity), over antithetic pairs in orthogonal
directions, where it is exact for a quadratic f. It is one file: one ascent, and what it takes.
Axes: models M (leading, where there is more than one), images N, samples C, latent Z.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_core.evaluate.conditional import Conditional, blocks
from vae_core.evaluate.proposals import Gaussian, Mixture, Part, join
from vae_core.numerics.accelerators import accelerated
from vae_core.numerics.memory import pieces
from vae_core.numerics.precision import for_fits
from vae_core.numerics.random import generator_for
from vae_core.objectives import Posterior

#: natural-gradient steps: a full covariance is near its optimum after some 10, a diagonal one, which must go round the
#: corners of a tilted posterior, after some 30
STEPS = {"full": 15, "diagonal": 30}
RATE, FASTEST = 0.5, 0.8  #: ρ at the start, and at most
TOLERANCE = 0.1  #: nats that a step may lose beyond the noise of its estimate
#: of ‖A‖: what eigenvalues of curvature may be off by where none are computed; the gradients that curvature is made
#: of are float32
SMALL = 1e-12
#: α beyond it throws large eigenvalues so near 0 that they come back with other digits (Chen & Chow)
STABLE = 1.69770248526
JUDGES = 64  #: antithetic pairs of draws that an ELBO is judged by
#: shares of the fitted q in the defensive mixture by the factor on its deviations (a q of highest ELBO has lighter
#: tails than the posterior); the encoder's q and the prior have the rest
WIDTHS = {1.0: 0.3, 1.15: 0.3, 1.4: 0.2, 2.0: 0.05}
ENCODER, PRIOR = 0.1, 0.05


def refine(
    conditional: Conditional,
    encoder: Posterior,
    *,
    covariance: str = "full",
    steps: int | None = None,
    seed: int = 0,
    points: int | None = None,
) -> Gaussian:
    """The Gaussian fitted to each of N images. On GPUs that have TF32 the decoder's products are done in it: what is
    fitted is a proposal, of which no bound depends on whether it is the very best, and which is scored in full.

    Args:
        conditional: ln p(x|z) of these images, differentiable in z.
        encoder: where the fit begins, mean and ln variance [..., N, Z].
        covariance: "full", or "diagonal": the encoder's own family.
        steps: of the ascent; by default STEPS, which is enough for the decoders of this suite.
        seed: of the directions in which f is looked at; the same for every image.
        points: z (models × images × draws) that are decoded together, with their gradients: bounds the memory and
            changes nothing else.

    Raises:
        ValueError: another covariance, steps below 1, or no gradient of ln p(x|z) in z.
    """
    if covariance not in STEPS:
        raise ValueError(f"covariance={covariance!r} is unknown (allowed: {', '.join(STEPS)})")
    steps = STEPS[covariance] if steps is None else steps
    if steps < 1:
        raise ValueError(f"steps must be 1 or more, given {steps}")
    images, latent = encoder.mean.shape[-2:]
    size = _images_at_once(encoder.mean, 2 * latent * _bases(latent), points)
    looks = torch.stack([_directions(latent, seed, step) for step in range(steps + 1)]).to(encoder.mean.device)
    dtype, full = encoder.mean.dtype, covariance == "full"
    with for_fits(encoder.mean.device):
        fitted = [
            _ascend(conditional, rows, _start(encoder, rows), looks, dtype, full=full) for rows in blocks(images, size)
        ]
    return join(fitted)


def defensive(fitted: Gaussian, encoder: Posterior) -> Mixture:
    """What to draw from: the fitted q as it is and widened, and for safety the encoder's q and the prior.

    The prior's share bounds the weights by max p(x|z) / PRIOR; the encoder's share lets no weight exceed 1 / ENCODER
    times what it was with the encoder's q alone.
    """
    return Mixture(
        (
            Part(fitted, WIDTHS),
            Part(Gaussian.diagonal(encoder.mean, encoder.log_variance), {1.0: ENCODER}),
            Part(Gaussian.prior_like(fitted.mean), {1.0: PRIOR}),
        )
    )


class GapParts(NamedTuple):
    """The gap ln p(x) − ELBO of an encoder in two parts (Cremer, Li & Duvenaud 2018, eqs. 3–5), [..., N], nats."""

    amortisation: Tensor  #: of the encoder's q against the best diagonal Gaussian of each image
    approximation: Tensor  #: of that Gaussian, the best of the encoder's family, against the posterior


class Gaps(NamedTuple):
    """ELBOs of two proposals for the same images, [..., N], float64, nats."""

    encoder: Tensor
    diagonal: Tensor  #: of the best diagonal q that was found

    def parts(self, log_likelihood: Tensor) -> GapParts:
        """With ln p(x) of the same images, [..., N]."""
        return GapParts(self.diagonal - self.encoder, log_likelihood - self.diagonal)


def gaps(conditional: Conditional, encoder: Posterior, *, seed: int = 0, points: int | None = None) -> Gaps:
    """Fits a diagonal Gaussian to each image and judges it and the encoder's by the same draws; where the encoder's is
    better by these, it is the best found. Arguments as for `refine`."""
    fitted = refine(conditional, encoder, covariance="diagonal", seed=seed, points=points)
    before, after = (
        elbo(conditional, q, encoder.mean.dtype, seed=seed, points=points)
        for q in (_start(encoder, slice(None)), fitted)
    )
    return Gaps(before, torch.fmax(after, before))


def elbo(
    conditional: Conditional, q: Gaussian, dtype: torch.dtype, *, seed: int = 0, points: int | None = None
) -> Tensor:
    """E_q[ln p(x|z) + ln p(z) − ln q(z)], [..., N], nats, over JUDGES antithetic pairs, the same for every q and image:
    without noise where q is the posterior. z is handed to the conditional in `dtype`."""
    latent = q.mean.shape[-1]
    generator = generator_for("cpu", "refine", seed, "judges")
    half = torch.randn(JUDGES, latent, generator=generator, dtype=torch.float64).to(q.mean.device)
    eps = torch.cat([half, -half])
    parts = []
    with torch.no_grad():
        for rows in blocks(q.mean.shape[-2], _images_at_once(q.mean, len(eps), points)):
            q_rows, values = q.rows(rows), []
            for some in blocks(len(eps), _draws_at_once(q.mean, points)):
                z = q_rows.sample(eps[some].expand(*q_rows.mean.shape[:-1], -1, -1)).to(dtype)
                values.append(conditional(z, rows).double() + q_rows.log_ratio(z, eps[some]))
            parts.append(torch.cat(values, -1).mean(-1))
    return torch.cat(parts, -1)


def _draws_at_once(mean: Tensor, points: int | None) -> int:
    """Draws of one image, for all models of mean [..., N, Z], that are decoded together."""
    points = points or (1 << 17 if accelerated(mean.device) else 1 << 11)
    return max(1, pieces(points) // math.prod(mean.shape[:-2]))


def _images_at_once(mean: Tensor, draws: int, points: int | None) -> int:
    return max(1, _draws_at_once(mean, points) // draws)


def _start(encoder: Posterior, rows: slice) -> Gaussian:
    return Gaussian.diagonal(encoder.mean[..., rows, :], encoder.log_variance[..., rows, :])


class _Point(NamedTuple):
    """A Gaussian as the ascent holds it: mean [..., N, Z], precision P = Uᵀ U, U and T = U⁻¹, so that T Tᵀ = P⁻¹, both
    lower triangular, [..., N, Z, Z]."""

    mean: Tensor
    precision: Tensor
    root: Tensor  #: U
    scale_tril: Tensor  #: T


def _ascend(
    conditional: Conditional, rows: slice, q: Gaussian, looks: Tensor, dtype: torch.dtype, *, full: bool
) -> Gaussian:
    """Damped natural-gradient steps from q, on the diagonal of P alone or on all of it; looks [steps + 1, S, Z] are the
    directions in which f is looked at before each, and at the end.

    Each image has its own ρ and its own longest step, in q's standard deviations: both grow while the ELBO does; a step
    that lowers it by more than its noise is taken back, ρ halved and the reach quartered.
    """
    latent = q.mean.shape[-1]
    deviations = q.scale_tril.diagonal(dim1=-2, dim2=-1)  # q is the encoder's, a diagonal one
    precision, root = torch.diag_embed(1 / deviations.square()), torch.diag_embed(1 / deviations)
    point = kept = _Point(q.mean, precision, root, q.scale_tril)
    best = torch.full_like(q.mean[..., 0], -math.inf)
    rate, reach = torch.full_like(best, RATE), torch.full_like(best, math.sqrt(latent))
    slope, target = torch.zeros_like(point.mean), point.precision
    for step, eps in enumerate(looks):
        last = step + 1 == len(looks)  # after which nobody moves: its values alone decide
        look = _look(conditional, rows, point, eps, dtype, full=full, values_alone=last)
        good = look.elbo > best - 2 * look.noise - TOLERANCE  # False for NaN too
        kept = _Point(*(_choose(good, new, old) for new, old in zip(point, kept, strict=True)))
        if last:
            break
        best, slope, target = (
            _choose(good, n, o) for n, o in ((look.elbo, best), (look.slope, slope), (look.target, target))
        )
        rate = torch.where(good, (1.15 * rate).clamp(max=FASTEST), 0.5 * rate)
        reach = reach * torch.where(good, 2.0, 0.25)
        precision = torch.lerp(kept.precision, target, rate[..., None, None])
        root, scale_tril = _roots(precision)
        white = rate[..., None] * (scale_tril.mT @ slope.unsqueeze(-1)).squeeze(-1)
        white = white * (reach[..., None] / white.norm(dim=-1, keepdim=True)).clamp(max=1)  # the move, in deviations
        point = _Point(kept.mean + (scale_tril @ white.unsqueeze(-1)).squeeze(-1), precision, root, scale_tril)
    return Gaussian(kept.mean, kept.scale_tril)


class _Look(NamedTuple):
    """What the draws say at a point: all [..., N] but slope [..., N, Z] and target [..., N, Z, Z]."""

    elbo: Tensor
    noise: Tensor  #: the ELBO's standard error
    slope: Tensor  #: E ∇f − μ
    target: Tensor  #: I − E ∇²f, its eigenvalues 1 at least


def _look(
    conditional: Conditional,
    rows: slice,
    point: _Point,
    eps: Tensor,
    dtype: torch.dtype,
    *,
    full: bool,
    values_alone: bool,
) -> _Look:
    """Values and slopes of f at μ ± T ε for the directions eps [S, Z]; or its values, and no slope and target."""
    offset = eps @ point.scale_tril.mT
    centre = point.mean.unsqueeze(-2)
    z = torch.cat([centre + offset, centre - offset], -2).to(dtype)
    slope = target = torch.empty(0)
    if values_alone:
        with torch.enable_grad():  # as at every look: who watches scores knows by it that this is a fit, and none
            value = conditional(z, rows).detach()
    else:
        value, gradient = _with_gradient(conditional, z, rows)
        ahead, behind = gradient.double().chunk(2, -2)
        hessian = (point.root.mT @ eps.mT) @ (0.5 * (ahead - behind)) / len(eps)  # T⁻ᵀ ε
        slope, target = gradient.double().mean(-2) - point.mean, _curvature(hessian, full=full)
    ratio = Gaussian(point.mean, point.scale_tril).log_ratio(z, torch.cat([eps, -eps]))
    pairs = torch.stack((value.double() + ratio).chunk(2, -1)).mean(0)
    return _Look(pairs.mean(-1), pairs.std(-1, correction=0) / math.sqrt(len(eps)), slope, target)


def _with_gradient(conditional: Conditional, z: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
    """f at z, and its gradient there."""
    with torch.enable_grad():
        z.requires_grad_()
        value = conditional(z, rows)
        gradient = torch.autograd.grad(value.sum(), z, allow_unused=True)[0] if value.requires_grad else None
    if gradient is None:
        raise ValueError("ln p(x|z) has no gradient in z: let decode work without torch.no_grad() and detach()")
    z.requires_grad_(False)
    return value.detach(), gradient


def _curvature(hessian: Tensor, *, full: bool) -> Tensor:
    """I + the positive part of −E ∇²f [..., Z, Z]: the prior's precision and what the image adds to it."""
    eye = torch.eye(hessian.shape[-1], dtype=hessian.dtype, device=hessian.device)
    if not full:
        return eye * (1 + (-hessian.diagonal(dim1=-2, dim2=-1)).nan_to_num().clamp(min=0)).unsqueeze(-1)
    return eye + positive_part(-0.5 * (hessian + hessian.mT).nan_to_num())


def positive_part(matrix: Tensor) -> Tensor:
    """Of symmetric matrices [..., Z, Z], float64: their eigenvalues above 0 with their vectors.

    By the eigenvalues on a CPU. A GPU does those of small matrices one rotation after the other, and matrix products
    well: there by (A + |A|)/2 with |A| = A sign(A), and sign(A) from A/‖A‖ by Newton–Schulz iterations
    x ← αx (3 − α²x²)/2 whose α is best for eigenvalues of [ℓ, 1] (Chen & Chow 2014, A stable scaling of Newton–Schulz
    for improving the sign function computation of a Hermitian matrix), from ℓ = SMALL until ℓ is 1. So an eigenvalue is
    off by no more than about SMALL ‖A‖, and the number of steps is the same for all.
    """
    if not accelerated(matrix.device):
        values, vectors = torch.linalg.eigh(matrix)
        return (vectors * values.clamp(min=0).unsqueeze(-2)) @ vectors.mT
    whole = matrix.flatten(0, -3)
    tiny = torch.finfo(whole.dtype).tiny
    scaled = whole / whole.abs().amax((-2, -1), keepdim=True).clamp(min=tiny)
    sign = scaled / scaled.square().sum((-2, -1), keepdim=True).sqrt().clamp(min=tiny)
    for alpha in scalings():
        sign = torch.baddbmm(sign, sign @ sign, sign, beta=1.5 * alpha, alpha=-0.5 * alpha**3)
    size = torch.baddbmm(whole, whole, sign, beta=0.5, alpha=0.5)
    return (0.5 * (size + size.mT)).reshape(matrix.shape)


@functools.cache
def scalings() -> tuple[float, ...]:
    """The α of `positive_part`, one a step."""
    least, found = SMALL, list[float]()
    while least < 1 - 1e-8:  # two steps more would not be seen, for they square what is left
        found.append(min(STABLE, math.sqrt(3 / (1 + least + least * least))))
        least = 0.5 * found[-1] * least * (3 - (found[-1] * least) ** 2)
    return (*found, 1.0)


def _directions(latent: int, seed: int, step: int) -> Tensor:
    """Directions [S, Z] of length √Z, orthogonal within each of some random bases, the same on every device."""
    generator = generator_for("cpu", "refine", seed, step)
    bases = torch.linalg.qr(torch.randn(_bases(latent), latent, latent, generator=generator, dtype=torch.float64)).Q
    return bases.reshape(-1, latent).mul(math.sqrt(latent))


def _bases(latent: int) -> int:
    """As many as make 8 directions, where there is more than one direction at all."""
    return math.ceil(8 / latent) if latent > 1 else 1


def _roots(precision: Tensor) -> tuple[Tensor, Tensor]:
    """U and T, lower triangular, with T Tᵀ = P⁻¹: P = Uᵀ U (U is the Cholesky factor of P with its axes reversed,
    reversed back), and T = U⁻¹. Raises nothing, so that an image that is not finite spoils no other."""
    root = torch.linalg.cholesky_ex(precision.flip(-2, -1)).L.flip(-2, -1).mT
    eye = torch.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    return root, torch.linalg.solve_triangular(root, eye.expand_as(precision), upper=False)


def _choose(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """`torch.where` by image: condition [..., N], the others [..., N, …]."""
    return torch.where(condition.reshape(*condition.shape, *[1] * (yes.ndim - condition.ndim)), yes, no)
