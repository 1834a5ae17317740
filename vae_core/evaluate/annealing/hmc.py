"""Hamiltonian Monte Carlo (Duane et al. 1987; Neal 2011, "MCMC using Hamiltonian dynamics") for targets
p_β(e) ∝ N(e; 0, I) e^{β T(e)}, many chains at once.

Axes: models M (leading, where there is more than one), images n, chains C, latent Z. Nats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

#: a transition's step is the one given times U(1 − JITTER, 1 + JITTER), so that no trajectory closes upon itself
JITTER = 0.2


class Point(NamedTuple):
    """Where the chains are, and what the next transition needs to know of the place."""

    position: Tensor  #: e [..., n, C, Z]
    value: Tensor  #: T(e) [..., n, C]; −∞ where it is not finite
    gradient: Tensor  #: ∇T(e) [..., n, C, Z]; 0 where T is not finite


#: e [..., n, C, Z] -> the point there
Evaluate = Callable[[Tensor], Point]


def transition(
    evaluate: Evaluate,
    at: Point,
    beta: float,
    step: Tensor,
    leapfrog_steps: int,
    momentum: Tensor,
    uniform: Tensor,
) -> tuple[Point, Tensor]:
    """One transition that leaves N(e; 0, I) e^{βT(e)} invariant (Neal 2011, section 3.2).

    Args:
        evaluate: T and its gradient; once a leapfrog step.
        at: where the chains are.
        beta: of the target, in (0, 1].
        step: leapfrog step sizes [..., n].
        leapfrog_steps: their number.
        momentum: standard normals [n, C, Z].
        uniform: of [0, 1), [n, C, 2]: for the jitter of the step and for the acceptance.

    Returns where the chains are then, and the mean acceptance probability over chains, [..., n].
    """
    jittered = step.unsqueeze(-1) * (1 - JITTER + 2 * JITTER * uniform[..., 0])
    proposal, end = leapfrog(evaluate, at, momentum, beta, jittered.unsqueeze(-1), leapfrog_steps)
    log_ratio = log_acceptance(at, momentum, proposal, end, beta)
    taken = torch.log(uniform[..., 1]) < log_ratio  # False where log_ratio is NaN
    after = Point(
        torch.where(taken.unsqueeze(-1), proposal.position, at.position),
        torch.where(taken, proposal.value, at.value),
        torch.where(taken.unsqueeze(-1), proposal.gradient, at.gradient),
    )
    return after, torch.exp(log_ratio.clamp(max=0)).nan_to_num(0.0).mean(-1)


def leapfrog(
    evaluate: Evaluate, at: Point, momentum: Tensor, beta: float, step: Tensor, count: int
) -> tuple[Point, Tensor]:
    """`count` steps of e' = v, v' = β ∇T(e) − e (Neal 2011, section 2.3): reversible and volume-preserving.

    step: [..., n, C, 1]. Returns the point and the momentum at the end.
    """
    for _ in range(count):
        momentum = momentum + 0.5 * step * (beta * at.gradient - at.position)
        at = evaluate(at.position + step * momentum)
        momentum = momentum + 0.5 * step * (beta * at.gradient - at.position)
    return at, momentum


def log_acceptance(at: Point, momentum: Tensor, proposal: Point, end: Tensor, beta: float) -> Tensor:
    """H(e, v) − H(e*, v*), H = ½|e|² − βT(e) + ½|v|² (Neal 2011, section 3.2), [..., n, C].

    −∞ or NaN where T(e*) is not finite."""
    kinetic = 0.5 * (momentum.square() - end.square()).sum(-1)
    gaussian = 0.5 * (at.position.square() - proposal.position.square()).sum(-1)
    return kinetic + gaussian + beta * (proposal.value - at.value)
