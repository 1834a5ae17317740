"""Bidirectional Monte Carlo: ln p(x) of simulated data between two stochastic bounds (Grosse, Ghahramani & Adams 2015;
Wu et al. 2017, section 3).

Where (z*, x*) ~ p(z) p(x|z), z* is an exact sample of p(z|x*). Annealing forward gives a lower bound on ln p(x*);
annealing backward from z*, over the same distributions with the same transitions, gives weights with E[w] = 1/p(x*),
so that −ln of their mean is an upper bound. The gap between the two bounds the error of either: settings that close it
on a model's own simulated data are settings to trust on real data of its kind.

Axes: models M (leading, where there is more than one), images N, chains C, latent Z, raw R, dimensions D. Nats.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vae_core.evaluate.annealing import ais
from vae_core.evaluate.annealing.ais import Annealed, Annealing
from vae_core.evaluate.conditional import Conditional, Decode
from vae_core.likelihoods import Likelihood
from vae_core.numerics.random import generator_for
from vae_core.objectives import Posterior


class Sandwich(NamedTuple):
    """Both directions per image; E[lower] ≤ ln p(x*) ≤ E[upper].

    The chains of one image go back from one and the same z*: `reverse.standard_error` is their spread given z*.
    """

    forward: Annealed
    reverse: Annealed  #: log_likelihood is −ln of the mean reverse weight, log_weights are those of 1/p(x)

    @property
    def lower(self) -> Tensor:
        """Stochastic lower bound, [..., N]."""
        return self.forward.log_likelihood

    @property
    def upper(self) -> Tensor:
        """Stochastic upper bound, [..., N]."""
        return self.reverse.log_likelihood

    @property
    def gap(self) -> Tensor:
        """upper − lower, [..., N]; below 0 only by chance."""
        return self.upper - self.lower


class Simulated(NamedTuple):
    """Exact draws of p(z) p(x|z)."""

    z: Tensor  #: [..., N, Z]
    x: Tensor  #: [..., N, D]: integers where levels were given, else floats in the likelihood's own view


def simulate(
    decode: Decode,
    likelihood: Likelihood,
    like: Posterior,
    levels: int | None = None,
    *,
    seed: int = 0,
) -> Simulated:
    """Draws z* ~ N(0, I) and x* ~ p(x|z*).

    Args:
        decode: z [..., N, 1, Z] -> raw [..., N, 1, R].
        likelihood: single, or stacked where there is a models axis.
        like: gives shape, dtype and device: as many images as it has ([N, Z] or [M, N, Z]).
        levels: K: x* are integers, exact draws of `log_mass`; without it they are draws of `log_prob`.
        seed: of the draws.

    Raises:
        ValueError: a recipe without levels: its `log_prob` is no distribution.
    """
    if levels is None and likelihood.recipe:
        raise ValueError(f"{likelihood.name}'s log_prob is no distribution to draw from: give levels=K")
    generator = generator_for(like.mean.device, "simulation", seed)
    with torch.no_grad():
        z = torch.empty_like(like.mean).normal_(generator=generator)
        drawn = likelihood.sample(decode(z.unsqueeze(-2)), generator).squeeze(-2)
    return Simulated(z, drawn if levels is None else likelihood.level_of(drawn, levels))


def sandwich(
    log_likelihood: Conditional,
    start: Posterior,
    z: Tensor,
    annealing: Annealing,
    *,
    seed: int = 0,
    rows: int | None = None,
) -> Sandwich:
    """Lower and upper bounds on ln p(x*) of simulated data.

    Args:
        log_likelihood: as for `annealed_importance`, of the simulated images x*.
        start: q, tensors [N, Z] or [M, N, Z]; may depend on x*, never on z*.
        z: the z* that the images were drawn from, [..., N, Z].
        annealing, seed, rows: as for `annealed_importance`.

    Raises:
        ValueError: z is not of the shape of start's mean.
    """
    if z.shape != start.mean.shape:
        raise ValueError(f"z has shape {list(z.shape)}, start {list(start.mean.shape)}: give the z* of each image")
    step_sizes = ais.tuned_step_sizes(log_likelihood, start, annealing, seed=seed, rows=rows)
    forward = ais.annealed_importance(log_likelihood, start, annealing, seed=seed, step_sizes=step_sizes, rows=rows)
    reverse = reversed_annealing(log_likelihood, start, z, annealing, step_sizes, seed=seed, rows=rows)
    return Sandwich(forward, reverse)


def reversed_annealing(
    log_likelihood: Conditional,
    start: Posterior,
    z: Tensor,
    annealing: Annealing,
    step_sizes: Tensor,
    *,
    seed: int = 0,
    rows: int | None = None,
) -> Annealed:
    """The chains run backward from z ~ p(z|x), [..., N, Z], with step sizes that do not depend on it: an upper bound.

    Arguments as for `sandwich`; step_sizes [..., N, distributions − 2] are those of the forward chains.
    """
    ais.require_steps(step_sizes, start, annealing)
    betas = annealing.betas()[::-1]
    origin = (z - start.mean) * torch.exp(-0.5 * start.log_variance)
    parts = []
    with torch.no_grad():
        for block in ais.image_blocks(start, annealing.chains, rows):
            noise = ais.Noise(start, block, annealing.chains, "reverse", seed)
            evaluate = ais.evaluation(log_likelihood, start, block)
            at = evaluate(origin[..., block, :].unsqueeze(-2).expand(*[-1] * (z.ndim - 1), annealing.chains, -1))
            steps = step_sizes[..., block, :].flip(-1)
            parts.append(ais.summary(*ais.run(evaluate, at, betas, steps, annealing.leapfrog_steps, noise)))
    joined = ais.join(parts)
    return joined._replace(log_likelihood=-joined.log_likelihood)
