"""Importance-weighted bounds on ln p(x), every L of a grid from one streaming pass.

With weights w_l = p(x|z_l) p(z_l) / q(z_l|x), z_l ~ q(z|x), the bound is ln (1/L) Σ w_l (Burda, Grosse & Salakhutdinov
2016, eq. 8); its expectation rises with L towards ln p(x). One pass over the largest L keeps a running log-sum-exp;
a smaller L is the mean over disjoint groups of L of the same weights, an incomplete last group left out. Memory does
not depend on L. Axes: images N, samples L, dimensions D, latent Z, raw R.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_core.evaluate.conditional import Decode, Encode, Scorer, blocks
from vae_core.likelihoods import Likelihood
from vae_core.networks import generator_for
from vae_core.objectives import Posterior

#: with as many disjoint groups their spread gives the standard error; with fewer, the delta method within them
ENOUGH_GROUPS = 10


@dataclass(frozen=True)
class Estimate:
    """Per image, in nats; every tensor is [N], float64."""

    bound: dict[int, Tensor]  #: L -> importance-weighted bound
    standard_error: dict[int, Tensor]  #: L -> its Monte-Carlo standard error (NaN where one weight is all there is)
    ess: Tensor  #: effective sample size (Σw)²/Σw² of the largest L's weights (Kong 1992)
    kl: Tensor  #: KL(q(z|x) ‖ p(z)), closed form
    reconstruction: Tensor  #: E_q ln p(x|z), the mean over all samples of the pass

    @property
    def elbo(self) -> Tensor:
        """reconstruction − KL: the ELBO with its closed-form KL, [N]."""
        return self.reconstruction - self.kl

    @property
    def samples(self) -> int:
        """The largest L."""
        return max(self.bound)


class _Groups:
    """The bound at one L: disjoint groups of L weights in the order in which they come, whatever the chunks."""

    def __init__(self, samples: int, images: int, device: torch.device) -> None:
        def zeros() -> Tensor:
            return torch.zeros(images, dtype=torch.float64, device=device)

        self.samples = samples
        self.filled = 0
        self.open_sum, self.open_squares = zeros() - math.inf, zeros() - math.inf
        self.groups = 0
        self.total, self.squares, self.delta = zeros(), zeros(), zeros()
        self.inverse_ess = zeros()

    def push(self, log_weights: Tensor) -> None:
        """Takes ln w [N, c], c of any size."""
        position, count = 0, log_weights.shape[1]
        while position < count:
            whole = (count - position) // self.samples if self.filled == 0 else 0
            take = whole * self.samples if whole else min(self.samples - self.filled, count - position)
            part = log_weights[:, position : position + take]
            if whole:
                grouped = part.reshape(len(part), whole, self.samples)
                self._close(grouped.logsumexp(-1), (2 * grouped).logsumexp(-1))
            else:
                self.open_sum = torch.logaddexp(self.open_sum, part.logsumexp(-1))
                self.open_squares = torch.logaddexp(self.open_squares, (2 * part).logsumexp(-1))
                self.filled += take
                if self.filled == self.samples:
                    self._close(self.open_sum.unsqueeze(1), self.open_squares.unsqueeze(1))
                    self.filled = 0
                    self.open_sum, self.open_squares = (t.fill_(-math.inf) for t in (self.open_sum, self.open_squares))
            position += take

    def _close(self, log_sum: Tensor, log_squares: Tensor) -> None:
        """Whole groups: ln Σw and ln Σw², each [N, g]."""
        bound = log_sum - math.log(self.samples)
        inverse_ess = torch.exp(log_squares - 2 * log_sum)
        self.groups += bound.shape[1]
        self.total += bound.sum(1)
        self.squares += bound.square().sum(1)
        self.inverse_ess += inverse_ess.sum(1)
        if self.samples > 1:
            # Var(ln w̄) ≈ s²/(L w̄²), s² the unbiased variance of the weights (delta method)
            self.delta += ((self.samples * inverse_ess - 1) / (self.samples - 1)).clamp(min=0).sum(1)

    def bound(self) -> Tensor:
        return self.total / self.groups

    def ess(self) -> Tensor:
        """(Σw)²/Σw² of a group, the harmonic mean over groups."""
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
        """Pieces that stay in a core's cache on a CPU, and fill a GPU."""
        if device.type == "cuda":
            return Tiling(images=500, samples=128, floats=1 << 28)
        return Tiling(images=32, samples=128, floats=1 << 16)


def importance_bounds(
    x: Tensor,
    encode: Encode,
    decode: Decode,
    scorers: Mapping[str, Scorer],
    samples: Sequence[int],
    *,
    seed: int = 0,
    tiling: Tiling | None = None,
) -> dict[str, Estimate]:
    """Bounds of several likelihoods of one decoder from one pass: its raw output is computed once and scored by each.

    Args:
        x: images [N, D], handed to `encode` as they are.
        encode: x -> (mean, ln variance) of q(z|x), each [N, Z].
        decode: z [..., Z] -> raw [..., R].
        scorers: name -> function of (raw [n, c, R], slice of the images) that gives ln p(x|z) [n, c].
        samples: the grid of L, each ≥ 1.
        seed: of the noise; equal seeds give equal noise for equal Z.
        tiling: how the pass is cut; suited to the device by default.

    Raises:
        ValueError: no samples, or one below 1.
    """
    grid = sorted(set(samples))
    if not grid or grid[0] < 1:
        raise ValueError(f"samples must be one or more integers of 1 or more, given {list(samples)}")
    tiling = tiling or Tiling.suited_to(x.device)
    parts: dict[str, list[Estimate]] = {name: [] for name in scorers}
    with torch.no_grad():
        for block, rows in enumerate(blocks(len(x), tiling.images)):
            posterior = Posterior(*encode(x[rows]))
            images, latent = posterior.mean.shape
            groups = {name: [_Groups(size, images, x.device) for size in grid] for name in scorers}
            reconstruction = {name: torch.zeros(images, dtype=torch.float64, device=x.device) for name in scorers}
            for tile, span in enumerate(blocks(grid[-1], tiling.samples)):
                generator = generator_for(x.device, "importance", seed, block, tile)
                # a whole tile each time: the noise of an image does not depend on how many images or samples there are
                eps = torch.empty(tiling.images, tiling.samples, latent, dtype=posterior.mean.dtype, device=x.device)
                eps = eps.normal_(generator=generator)[:images, : span.stop - span.start]
                z = posterior.sample(eps)
                ratio = posterior.log_ratio(z, eps).double()
                scores = _score(z, decode, scorers, rows, tiling.floats)
                for name, score in scores.items():
                    reconstruction[name] += score.sum(1)
                    for group in groups[name]:
                        group.push(score + ratio)
            for name in scorers:
                parts[name].append(
                    Estimate(
                        bound={group.samples: group.bound() for group in groups[name]},
                        standard_error={group.samples: group.standard_error() for group in groups[name]},
                        ess=groups[name][-1].ess(),
                        kl=posterior.kl().double(),
                        reconstruction=reconstruction[name] / grid[-1],
                    )
                )
    return {name: _join(estimates, grid) for name, estimates in parts.items()}


def _score(z: Tensor, decode: Decode, scorers: Mapping[str, Scorer], rows: slice, floats: int) -> dict[str, Tensor]:
    """ln p(x|z) of one tile z [n, c, Z] -> [n, c] float64 by each scorer, about `floats` raw outputs at once."""
    images, samples, _ = z.shape
    scores = {name: torch.empty(images, samples, dtype=torch.float64, device=z.device) for name in scorers}
    width = decode(z[:1, :1]).shape[-1]
    image_step = max(1, min(images, floats // width))
    sample_step = max(1, floats // (width * image_step))
    for some in blocks(images, image_step):
        own = slice(rows.start + some.start, rows.start + some.stop)
        for span in blocks(samples, sample_step):
            raw = decode(z[some, span])
            for name, scorer in scorers.items():
                scores[name][some, span] = scorer(raw, own).double()
    return scores


def _join(estimates: Sequence[Estimate], grid: Sequence[int]) -> Estimate:
    return Estimate(
        bound={size: torch.cat([e.bound[size] for e in estimates]) for size in grid},
        standard_error={size: torch.cat([e.standard_error[size] for e in estimates]) for size in grid},
        ess=torch.cat([e.ess for e in estimates]),
        kl=torch.cat([e.kl for e in estimates]),
        reconstruction=torch.cat([e.reconstruction for e in estimates]),
    )


def log_likelihood(
    x: Tensor,
    encode: Encode,
    decode: Decode,
    likelihood: Likelihood,
    samples: Sequence[int] = (1, 10, 100, 1000, 5000),
    levels: int | None = None,
    *,
    seed: int = 0,
    tiling: Tiling | None = None,
) -> Estimate:
    """Importance-weighted log-likelihood of any VAE, per image.

    >>> import torch
    >>> from vae_core import likelihoods
    >>> estimate = log_likelihood(
    ...     torch.zeros(3, 4), lambda x: (x[:, :2], x[:, :2]), lambda z: z.repeat_interleave(2, -1),
    ...     likelihoods.make("gaussian", sigma=1.0), samples=(1, 10),
    ... )
    >>> estimate.bound[10].shape
    torch.Size([3])

    Args:
        x: [N, D]: floats in the likelihood's own view (scored by `log_prob`), or, with `levels`, integers (scored by
            `log_mass`).
        encode: x as it was given -> (mean, ln variance) of q(z|x), each [N, Z].
        decode: z [..., Z] -> raw [..., R]; R = likelihood.outputs(D).
        likelihood: a single (unstacked) likelihood.
        samples: the grid of L.
        levels: K, if x are integers 0…K−1.
        seed: of the Monte-Carlo noise.
        tiling: how the pass is cut; suited to the device by default.

    Raises:
        ValueError: x is not [N, D], samples out of range, or raw has the wrong width.
    """
    if x.ndim != 2:
        raise ValueError(f"x must be [N, D], given shape {list(x.shape)}: flatten the images")
    width = likelihood.outputs(x.shape[1])

    def score(raw: Tensor, rows: slice) -> Tensor:
        if raw.shape[-1] != width:
            raise ValueError(f"decode gave {raw.shape[-1]} outputs, {likelihood.name} needs {width} for D={x.shape[1]}")
        own = x[rows].unsqueeze(1)
        return likelihood.log_prob(own, raw) if levels is None else likelihood.log_mass(own, raw, levels)

    return importance_bounds(x, encode, decode, {"": score}, samples, seed=seed, tiling=tiling)[""]
