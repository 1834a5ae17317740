"""Importance-weighted bounds on ln p(x), every L of a grid from one streaming pass.

With weights w_l = p(x|z_l) p(z_l) / q(z_l|x), z_l ~ q(z|x), the bound is ln (1/L) Σ w_l (Burda, Grosse & Salakhutdinov
2016, eq. 8); its expectation rises with L towards ln p(x). One pass over the largest L keeps a running log-sum-exp and
the largest weights; a smaller L is the mean over disjoint groups of L of the same weights, an incomplete last group
left out. Memory does not depend on L. q is the encoder's Gaussian, or any `Proposal`.
Axes: models M (leading, where there is more than one), images N, samples L, dimensions D, latent Z, raw R.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from torch import Tensor

from vae_core.evaluate.conditional import Decode, Encode, Scorer, blocks
from vae_core.evaluate.pareto import TAIL_AT_LEAST, Tail, khat_threshold, tail_length
from vae_core.evaluate.programs.scorers import AtOnce
from vae_core.evaluate.proposals import Encoded, Proposal
from vae_core.numerics.accelerators import accelerated
from vae_core.numerics.memory import pieces
from vae_core.numerics.random import generator_for
from vae_core.objectives import Posterior

Key = TypeVar("Key")

#: with as many disjoint groups their spread gives the standard error; with fewer, the delta method within them
ENOUGH_GROUPS = 10


@dataclass(frozen=True)
class Estimate:
    """Per image, in nats; every tensor is [N] (or [M, N] for M models), float64."""

    bound: dict[int, Tensor]  #: L -> importance-weighted bound
    standard_error: dict[int, Tensor]  #: L -> its Monte-Carlo standard error (NaN where one weight is all there is)
    ess: Tensor  #: effective sample size (Σw)²/Σw² of the largest L's weights (Kong 1992)
    khat: Tensor  #: Pareto k̂ of the largest L's weights; NaN where L is below 25, too few to say
    jackknife: Tensor  #: the largest L's bound without its bias of order 1/L: no bound any more; NaN at L = 1
    kl: Tensor  #: KL(q(z|x) ‖ p(z)) of the encoder's q, closed form
    reconstruction: (
        Tensor  #: E_q ln p(x|z) of the encoder's q, the mean over all its samples; NaN with another proposal
    )

    @property
    def elbo(self) -> Tensor:
        """reconstruction − KL: the ELBO with its closed-form KL, [N]."""
        return self.reconstruction - self.kl

    @property
    def samples(self) -> int:
        """The largest L."""
        return max(self.bound)

    @property
    def relative_variance(self) -> Tensor:
        """Var(w)/E(w)² of the largest L's weights; of fewer than two, NaN."""
        count = self.samples
        return (count / self.ess - 1).clamp(min=0) * count / (count - 1) if count > 1 else self.ess * math.nan

    @property
    def bad(self) -> Tensor:
        """bool: whose k̂ is above the threshold for L, so that the bound may lie far below ln p(x), or not known."""
        return ~(self.khat <= khat_threshold(self.samples))

    @property
    def bad_share(self) -> float:
        """The share of images, of all models, with a bad k̂; NaN where L is too small to say (below 25)."""
        return float(self.bad.double().mean()) if tail_length(self.samples) >= TAIL_AT_LEAST else math.nan


class _Groups:
    """The bound at one L: disjoint groups of L weights in the order in which they come, whatever the chunks."""

    def __init__(self, samples: int, like: Tensor, total: int) -> None:
        """For a stream of `total` weights for each element of `like` [..., N]."""

        def zeros() -> Tensor:
            return torch.zeros_like(like, dtype=torch.float64)

        self.samples = samples
        self.enough = total // samples >= ENOUGH_GROUPS  # then nobody asks for the squares of the weights
        self.filled = 0
        self.open_sum, self.open_squares = zeros() - math.inf, zeros() - math.inf
        self.groups = 0
        self.total, self.squares, self.delta = zeros(), zeros(), zeros()
        self.inverse_ess = zeros()

    def push(self, log_weights: Tensor) -> None:
        """Takes ln w [..., N, c], c of any size."""
        position, count = 0, log_weights.shape[-1]
        while position < count:
            whole = (count - position) // self.samples if self.filled == 0 else 0
            take = whole * self.samples if whole else min(self.samples - self.filled, count - position)
            part = log_weights[..., position : position + take]
            if whole:
                grouped = part.unflatten(-1, (whole, self.samples))
                self._close(*self._sums(grouped))
            else:
                log_sum, log_squares = self._sums(part)
                self.open_sum = torch.logaddexp(self.open_sum, log_sum)
                self.open_squares = torch.logaddexp(self.open_squares, log_squares)
                self.filled += take
                if self.filled == self.samples:
                    self._close(self.open_sum.unsqueeze(-1), self.open_squares.unsqueeze(-1))
                    self.filled = 0
                    self.open_sum, self.open_squares = (t.fill_(-math.inf) for t in (self.open_sum, self.open_squares))
            position += take

    def _sums(self, log_weights: Tensor) -> tuple[Tensor, Tensor]:
        """ln Σw and ln Σw² over the last axis; the latter only where it is used."""
        if self.samples == 1:
            return log_weights.squeeze(-1), 2 * log_weights.squeeze(-1)
        log_sum = log_weights.logsumexp(-1)
        return log_sum, log_sum if self.enough else (2 * log_weights).logsumexp(-1)

    def _close(self, log_sum: Tensor, log_squares: Tensor) -> None:
        """Whole groups: ln Σw and ln Σw², each [..., N, g]."""
        bound = log_sum - math.log(self.samples)
        self.groups += bound.shape[-1]
        self.total += bound.sum(-1)
        self.squares += bound.square().sum(-1)
        if self.enough:
            return
        inverse_ess = torch.exp(log_squares - 2 * log_sum)
        self.inverse_ess += inverse_ess.sum(-1)
        if self.samples > 1:
            # Var(ln w̄) ≈ s²/(L w̄²), s² the unbiased variance of the weights (delta method)
            self.delta += ((self.samples * inverse_ess - 1) / (self.samples - 1)).clamp(min=0).sum(-1)

    def bound(self) -> Tensor:
        return self.total / self.groups

    def ess(self) -> Tensor:
        """(Σw)²/Σw² of a group, the harmonic mean over groups; for the largest L, which is one group."""
        return self.groups / self.inverse_ess

    def standard_error(self) -> Tensor:
        if self.groups >= ENOUGH_GROUPS:
            spread = (self.squares - self.total.square() / self.groups) / (self.groups - 1)
            return (spread.clamp(min=0) / self.groups).sqrt()
        if self.samples > 1:
            return self.delta.sqrt() / self.groups
        return torch.full_like(self.total, math.nan)


@dataclass(frozen=True)
class Tiling:
    """How the pass is cut. Noise is drawn tile by tile (images × samples), each tile from a generator of its own, so it
    does not depend on `floats`, the size at which a tile is decoded and scored piece by piece."""

    images: int
    samples: int
    floats: int  #: raw outputs held at once

    @staticmethod
    def suited_to(device: torch.device) -> Tiling:
        """Pieces that stay in a core's cache on a CPU, and that fill a GPU and stay nearly in its cache of 50 MB."""
        if accelerated(device):
            return Tiling(images=2000, samples=128, floats=1 << 24)
        return Tiling(images=32, samples=512, floats=1 << 18)


def importance_bounds(
    x: Tensor,
    encode: Encode,
    decode: Decode,
    scorers: Mapping[Key, Scorer],
    samples: Sequence[int],
    *,
    seed: int | Sequence[int] = 0,
    tiling: Tiling | None = None,
    proposal: Proposal | None = None,
    noise: str = "importance",
) -> dict[Key, Estimate]:
    """Bounds of several likelihoods of one decoder from one pass: its raw output is computed once and scored by each.

    For M models at once, let `encode` give [M, N, Z] and `decode` and the scorers take and give that leading axis.

    Args:
        x: images [N, D], handed to `encode` as they are.
        encode: x -> (mean, ln variance) of q(z|x), each [..., N, Z].
        decode: z [..., Z] -> raw [..., R].
        scorers: any key -> function of (raw [..., n, c, R], slice of the images) that gives ln p(x|z) [..., n, c].
        samples: the grid of L, each ≥ 1.
        seed: of the noise, or one for each of M models; equal seeds give equal noise for equal Z.
        tiling: how the pass is cut; suited to the device by default.
        proposal: what z is drawn from in place of the encoder's q, for the same images.
        noise: its name: passes of different names are independent.

    Raises:
        ValueError: no samples, or one below 1.
    """
    grid = grid_of(samples)
    tiling = tiling or Tiling.suited_to(x.device)
    together, parts = AtOnce(scorers), {key: list[Estimate]() for key in scorers}
    with torch.no_grad():
        for block, rows in enumerate(blocks(len(x), tiling.images)):
            posterior = Posterior(*encode(x[rows]))
            drawn_from = Encoded(posterior) if proposal is None else proposal.rows(rows)
            like = posterior.mean[..., 0].double()
            groups = {key: [_Groups(size, like, grid[-1]) for size in grid] for key in scorers}
            tails = {key: Tail(grid[-1], like) for key in scorers}
            reconstruction = {key: torch.zeros_like(like) for key in scorers}
            for tile, span in enumerate(blocks(grid[-1], tiling.samples)):
                eps, uniform = _noise(posterior.mean, tiling, (noise, seed), (block, tile), span, drawn_from.mixture)
                z, ratio = drawn_from.draw(eps, uniform)
                scores = _score(z, decode, together, rows, tiling.floats)
                for key, score in scores.items():
                    reconstruction[key] += score.sum(-1)
                    log_weights = score + ratio.double()
                    tails[key].push(log_weights)
                    for group in groups[key]:
                        group.push(log_weights)
            for key in scorers:
                parts[key].append(
                    Estimate(
                        bound={group.samples: group.bound() for group in groups[key]},
                        standard_error={group.samples: group.standard_error() for group in groups[key]},
                        ess=groups[key][-1].ess(),
                        khat=tails[key].khat(),
                        jackknife=tails[key].jackknife(),
                        kl=posterior.kl().double(),
                        reconstruction=reconstruction[key] / (grid[-1] if proposal is None else math.nan),
                    )
                )
    return {key: _join(estimates) for key, estimates in parts.items()}


def grid_of(samples: Sequence[int]) -> list[int]:
    """The grid of L, smallest first, each once. Raises ValueError for none, or one below 1."""
    grid = sorted(set(samples))
    if not grid or grid[0] < 1:
        raise ValueError(f"samples must be one or more integers of 1 or more, given {list(samples)}")
    return grid


def _noise(
    mean: Tensor,
    tiling: Tiling,
    stream: tuple[str, int | Sequence[int]],
    tile: tuple[int, int],
    span: slice,
    mixture: bool,
) -> tuple[Tensor, Tensor]:
    """Standard normals [..., n, c, Z] of one tile for means [..., n, Z], and uniforms [..., n, c] where a mixture needs
    them. A whole tile is drawn each time: an image's noise does not depend on how many images or samples there are.
    """
    images, latent = mean.shape[-2:]
    name, seed = stream
    drawn: dict[int, tuple[Tensor, Tensor]] = {}
    for model_seed in {seed} if isinstance(seed, int) else set(seed):
        generator = generator_for(mean.device, name, model_seed, *tile)
        eps = torch.empty(tiling.images, tiling.samples, latent, dtype=mean.dtype, device=mean.device)
        eps.normal_(generator=generator)
        uniform = torch.zeros(tiling.images, tiling.samples, dtype=mean.dtype, device=mean.device)
        if mixture:
            uniform.uniform_(generator=generator)
        drawn[model_seed] = tuple(noise[:images, : span.stop - span.start] for noise in (eps, uniform))  # type: ignore[assignment]
    if isinstance(seed, int):
        return tuple(noise.expand(*mean.shape[:-2], *noise.shape) for noise in drawn[seed])  # type: ignore[return-value]
    return tuple(torch.stack([drawn[model_seed][kind] for model_seed in seed]) for kind in (0, 1))  # type: ignore[return-value]


def _score(z: Tensor, decode: Decode, scorers: AtOnce[Key], rows: slice, floats: int) -> dict[Key, Tensor]:
    """ln p(x|z) of one tile z [..., n, C, Z] -> [..., n, C] float64 by each scorer, about `floats` raw outputs at
    once."""
    images, samples = z.shape[-3:-1]
    scores = {key: torch.empty(z.shape[:-1], dtype=torch.float64, device=z.device) for key in scorers.keys}
    width = decode(z[..., :1, :1, :]).shape[-1] * math.prod(z.shape[:-3])
    floats = pieces(floats)
    image_step = max(1, min(images, floats // width))
    sample_step = max(1, floats // (width * image_step))
    for some in blocks(images, image_step):
        these = slice(rows.start + some.start, rows.start + some.stop)
        for span in blocks(samples, sample_step):
            for key, score in scorers(decode(z[..., some, span, :]), these).items():
                scores[key][..., some, span] = score.double()
    return scores


def _join(estimates: Sequence[Estimate]) -> Estimate:
    """The estimates of several blocks of images as one."""
    first = estimates[0]
    joined: dict[str, Any] = {}
    for field in fields(Estimate):
        values = [getattr(estimate, field.name) for estimate in estimates]
        if isinstance(values[0], dict):
            joined[field.name] = {size: torch.cat([value[size] for value in values], -1) for size in first.bound}
        else:
            joined[field.name] = torch.cat(values, -1)
    return Estimate(**joined)
