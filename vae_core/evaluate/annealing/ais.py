"""Annealed importance sampling of ln p(x) with Hamiltonian transitions (Neal 2001; Wu, Burda, Salakhutdinov & Grosse
2017, "On the Quantitative Analysis of Decoder-Based Generative Models", section 3).

From a diagonal Gaussian q(z), the prior or an encoder's, to the posterior through p_β(z) ∝ q(z)^{1−β} (p(z) p(x|z))^β.
With z = mean + s e, s the standard deviations of q, and

    T(e) = ln p(x|z) + ln p(z) − ln q(z),      p_β(e) ∝ N(e; 0, I) e^{β T(e)},

a chain draws e_0 ~ N(0, I), and for t = 1…K gains (β_t − β_{t−1}) T(e_{t−1}) of ln w before a transition that leaves
p_{β_t} invariant takes e_{t−1} to e_t. Then E[w] = p(x), so that ln of the mean weight over chains is a stochastic
lower bound on ln p(x). Started at the prior T is ln p(x|z); at an encoder's Gaussian its standard deviations are the
mass matrix of the transitions (Neal 2011, section 4.1): what makes them work where the posterior is narrow.

Axes: models M (leading, where there is more than one), images N (n in a block), chains C, latent Z. Nats throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vae_core.evaluate.annealing.hmc import Evaluate, Point, transition
from vae_core.evaluate.conditional import Conditional, blocks
from vae_core.numerics.accelerators import accelerated
from vae_core.numerics.memory import in_smaller_pieces, pieces
from vae_core.numerics.random import generator_for
from vae_core.objectives import Posterior

#: acceptance that the step sizes are tuned to (Wu et al. 2017; Neal 2011, section 4.4)
ACCEPTANCE = 0.65
#: ln step moves by this times (acceptance − 0.65) after a transition of the tuning run: within 5 % of where it settles
GAIN = 0.3
#: first step size of the tuning run, in standard deviations of q
FIRST_STEP = 0.5
#: chains of the tuning run, and transitions that it makes at least: several at a distribution where there are few
TUNING_CHAINS, TUNING_TRANSITIONS = 16, 200
#: images whose noise comes from one generator: an image's noise depends neither on its neighbours nor on the blocks
TILE = 16
#: slope of the sigmoidal schedule at its ends (Wu et al. 2017)
SLOPE = 4.0


def _linear(t: Tensor) -> Tensor:
    return t


def _sigmoid(t: Tensor) -> Tensor:
    """(σ(δ(2t−1)) − σ(−δ)) / (σ(δ) − σ(−δ)): slow at both ends (Wu et al. 2017)."""
    curve = torch.sigmoid(SLOPE * (2 * t - 1))
    return (curve - curve[0]) / (curve[-1] - curve[0])


SCHEDULES: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": _sigmoid, "linear": _linear}


@dataclass(frozen=True)
class Annealing:
    """How the chains are run.

    Args:
        distributions: values of β, 0 and 1 among them: 2 is importance sampling from q itself.
        chains: C, chains of each image.
        leapfrog_steps: of each transition, one gradient each.
        schedule: of β: "sigmoid" or "linear".

    Raises:
        ValueError: fewer than 2 distributions, a count below 1, an unknown schedule.
    """

    distributions: int = 1000
    chains: int = 16
    leapfrog_steps: int = 10
    schedule: str = "sigmoid"

    def __post_init__(self) -> None:
        if self.distributions < 2:
            raise ValueError(f"distributions={self.distributions}: give 2 or more, β = 0 and β = 1 are two already")
        for name in ("chains", "leapfrog_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: give 1 or more")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"unknown schedule {self.schedule!r} (allowed: {', '.join(SCHEDULES)})")

    def betas(self) -> list[float]:
        """0 = β_0 < β_1 < … < β_K = 1, K = distributions − 1."""
        return SCHEDULES[self.schedule](torch.linspace(0, 1, self.distributions, dtype=torch.float64)).tolist()


class Annealed(NamedTuple):
    """Per image, nats; tensors [..., N], float64."""

    log_likelihood: Tensor  #: ln of the mean weight over chains: a stochastic lower bound on ln p(x)
    standard_error: Tensor  #: of log_likelihood, by the delta method over chains; NaN with one chain
    ess: Tensor  #: effective number of chains (Σw)²/Σw² (Kong 1992)
    acceptance: Tensor  #: mean acceptance probability of the transitions; NaN where there are none
    log_weights: Tensor  #: ln w of each chain, [..., N, C]


def prior(shape: Sequence[int], latent: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Posterior:
    """N(0, I) for images of `shape`, (N,) or (M, N), as a place to start from."""
    zeros = torch.zeros(*shape, latent, dtype=dtype, device=device)
    return Posterior(zeros, zeros)


@in_smaller_pieces
def annealed_importance(
    log_likelihood: Conditional,
    start: Posterior,
    annealing: Annealing,
    *,
    seed: int = 0,
    step_sizes: Tensor | None = None,
    rows: int | None = None,
) -> Annealed:
    """ln p(x) of each image by annealed importance sampling, unbiased in p(x).

    >>> def log_likelihood(z, rows):  # x = 0 for 3 images, p(x|z) = N(x; z, 1)
    ...     return -0.5 * (z.square().sum(-1) + math.log(2 * math.pi))
    >>> estimate = annealed_importance(log_likelihood, prior((3,), 1), Annealing(distributions=20, leapfrog_steps=3))
    >>> bool((estimate.log_likelihood - (-0.5 * math.log(4 * math.pi))).abs().max() < 0.1)  # N(0; 0, 2)
    True

    Args:
        log_likelihood: (z [..., n, C, Z], which images) -> ln p(x|z) [..., n, C], differentiable in z. Where it is not
            finite its density counts as 0: such a proposal is rejected, such a start weighs nothing.
        start: q, tensors [N, Z] or [M, N, Z]: `prior(...)` or an encoder's. Their dtype and device are the chains'.
        annealing: how the chains are run.
        seed: of the noise; models and blocks see the same noise for an image of the same place.
        step_sizes: what `tuned_step_sizes` gave; by default it is run first. Any that do not depend on this run's noise
            leave the estimate of p(x) unbiased.
        rows: chains (models × images × C) in one block; suited to the device by default.

    Raises:
        ValueError: step_sizes are not of shape [..., N, distributions − 2].
    """
    if step_sizes is None:
        step_sizes = tuned_step_sizes(log_likelihood, start, annealing, seed=seed, rows=rows)
    betas = annealing.betas()
    require_steps(step_sizes, start, annealing)
    parts = []
    with torch.no_grad():
        for block in image_blocks(start, annealing.chains, rows):
            noise = Noise(start, block, annealing.chains, "weights", seed)
            evaluate = evaluation(log_likelihood, start, block)
            at = evaluate(noise.normal().expand(*start.mean.shape[:-2], -1, -1, -1))
            steps = step_sizes[..., block, :]
            log_weights, acceptance = run(evaluate, at, betas, steps, annealing.leapfrog_steps, noise)
            parts.append(summary(log_weights, acceptance))
    return join(parts)


@in_smaller_pieces
def tuned_step_sizes(
    log_likelihood: Conditional, start: Posterior, annealing: Annealing, *, seed: int = 0, rows: int | None = None
) -> Tensor:
    """Step sizes per image and intermediate distribution, [..., N, distributions − 2], in standard deviations of q.

    From a run of its own, with noise of its own, whose weights nobody sees: after each transition ln step rises or
    falls with the mean acceptance over chains, towards 0.65. Arguments as in `annealed_importance`.
    """
    betas = annealing.betas()[1:-1]
    repeats = math.ceil(TUNING_TRANSITIONS / max(1, len(betas)))
    parts = []
    with torch.no_grad():
        for block in image_blocks(start, TUNING_CHAINS, rows):
            noise = Noise(start, block, TUNING_CHAINS, "tuning", seed)
            evaluate = evaluation(log_likelihood, start, block)
            at = evaluate(noise.normal().expand(*start.mean.shape[:-2], -1, -1, -1))
            step = torch.full_like(start.mean[..., block, 0], FIRST_STEP)
            steps = torch.empty(*step.shape, len(betas), dtype=step.dtype, device=step.device)
            for index, beta in enumerate(betas):
                for _ in range(repeats):
                    at, acceptance = transition(evaluate, at, beta, step, annealing.leapfrog_steps, *noise.transition())
                    step = step * torch.exp(GAIN * (acceptance - ACCEPTANCE))
                steps[..., index] = step
            parts.append(steps)
    return torch.cat(parts, -2)


def run(
    evaluate: Evaluate, at: Point, betas: Sequence[float], step_sizes: Tensor, leapfrog_steps: int, noise: Noise
) -> tuple[Tensor, Tensor]:
    """The chains from β_0 to β_K with fixed step sizes [..., n, K − 1]: their ln w [..., n, C], float64, and the mean
    acceptance [..., n] (Neal 2001, section 2)."""
    log_weights = torch.zeros_like(at.value, dtype=torch.float64)
    total = torch.zeros_like(step_sizes[..., 0] if step_sizes.shape[-1] else at.value[..., 0])
    transitions = len(betas) - 2
    for t in range(1, len(betas)):
        log_weights += (betas[t] - betas[t - 1]) * at.value.double()
        if t <= transitions:
            at, acceptance = transition(
                evaluate, at, betas[t], step_sizes[..., t - 1], leapfrog_steps, *noise.transition()
            )
            total = total + acceptance
    return log_weights, total / transitions if transitions else torch.full_like(total, math.nan)


def evaluation(log_likelihood: Conditional, start: Posterior, block: slice) -> Evaluate:
    """T and its gradient on one block of images."""
    of_block = Posterior(start.mean[..., block, :], start.log_variance[..., block, :])

    def evaluate(position: Tensor) -> Point:
        with torch.enable_grad():
            at = position.detach().requires_grad_()
            z = of_block.sample(at)
            value = log_likelihood(z, block) + of_block.log_ratio(z, at)
            (gradient,) = torch.autograd.grad(value.sum(), at)
        value = value.detach()
        finite = torch.isfinite(value) & torch.isfinite(gradient).all(-1)
        return Point(
            position,
            torch.where(finite, value, -math.inf),
            torch.where(finite.unsqueeze(-1), gradient, 0.0),
        )

    return evaluate


class Noise:
    """All randomness of one block's chains. It has no models axis: models stacked or alone see the same."""

    def __init__(self, start: Posterior, block: slice, chains: int, purpose: str, seed: int) -> None:
        first, last = block.start // TILE, (block.stop - 1) // TILE
        device = start.mean.device
        self.generators = [generator_for(device, "annealing", purpose, seed, i) for i in range(first, last + 1)]
        self.rows = slice(block.start - first * TILE, block.stop - first * TILE)
        self.chains, self.latent, self.like = chains, start.mean.shape[-1], start.mean

    def normal(self) -> Tensor:
        """Standard normals [n, C, Z]."""
        return self._draw(self.latent, lambda tile, generator: tile.normal_(generator=generator))

    def transition(self) -> tuple[Tensor, Tensor]:
        """What one transition needs: a momentum [n, C, Z], and uniforms of [0, 1), [n, C, 2]."""
        return self.normal(), self._draw(2, lambda tile, generator: tile.uniform_(generator=generator))

    def _draw(self, width: int, fill: Callable[[Tensor, torch.Generator], Tensor]) -> Tensor:
        tiles = self.like.new_empty(len(self.generators), TILE, self.chains, width)
        for tile, generator in zip(tiles, self.generators, strict=True):
            fill(tile, generator)
        return tiles.flatten(0, 1)[self.rows]


def summary(log_weights: Tensor, acceptance: Tensor) -> Annealed:
    """Mean weight over chains, its error and its effective sample size from ln w [..., n, C]."""
    chains = log_weights.shape[-1]
    log_sum = log_weights.logsumexp(-1)
    inverse_ess = torch.exp((2 * log_weights).logsumexp(-1) - 2 * log_sum)
    # Var(ln w̄) ≈ s²/(C w̄²), s² the unbiased variance of the weights (delta method)
    variance = (chains * inverse_ess - 1).clamp(min=0) / (chains - 1) if chains > 1 else inverse_ess * math.nan
    return Annealed(log_sum - math.log(chains), variance.sqrt(), 1 / inverse_ess, acceptance.double(), log_weights)


def join(parts: Sequence[Annealed]) -> Annealed:
    """Blocks of images, one after the other."""
    return Annealed(
        log_likelihood=torch.cat([part.log_likelihood for part in parts], -1),
        standard_error=torch.cat([part.standard_error for part in parts], -1),
        ess=torch.cat([part.ess for part in parts], -1),
        acceptance=torch.cat([part.acceptance for part in parts], -1),
        log_weights=torch.cat([part.log_weights for part in parts], -2),
    )


def image_blocks(start: Posterior, chains: int, rows: int | None) -> Iterator[slice]:
    """Images in blocks of about `rows` chains of all models: in a core's cache on a CPU, filling a GPU."""
    models, images = math.prod(start.mean.shape[:-2]), start.mean.shape[-2]
    rows = rows or (1 << 15 if accelerated(start.mean.device) else 512)
    return blocks(images, max(1, pieces(rows) // (models * chains)))


def require_steps(step_sizes: Tensor, start: Posterior, annealing: Annealing) -> None:
    """Raises ValueError unless the step sizes are one per image and intermediate distribution."""
    needed = [*start.mean.shape[:-1], annealing.distributions - 2]
    if list(step_sizes.shape) != needed:
        raise ValueError(
            f"step_sizes have shape {list(step_sizes.shape)}, needed is {needed}: one per image and intermediate "
            "distribution, as tuned_step_sizes gives them for the same annealing"
        )
