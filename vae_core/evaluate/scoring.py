"""The log-likelihood of a data set under any VAE: importance sampling from the encoder's q, and where that cannot be
trusted, from proposals fitted to the images. It is one file: how a data set is scored, from its checks on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from vae_core.data import dequantise
from vae_core.evaluate.conditional import Decode, Encode, Scorer, blocks, conditional
from vae_core.evaluate.effort import BAD_SHARE, PILOT, PILOT_NOISE, Effort
from vae_core.evaluate.importance import Estimate, Key, Tiling, grid_of, importance_bounds
from vae_core.evaluate.programs import MASS, Kept, Scores
from vae_core.evaluate.proposals import Mixture
from vae_core.evaluate.refine import defensive, refine
from vae_core.likelihoods import Likelihood
from vae_core.likelihoods._checks import require_levels
from vae_core.numerics.accelerators import accelerated
from vae_core.numerics.memory import in_smaller_pieces, of_device
from vae_core.objectives import Posterior
from vae_core.statistics.possible import require_possible

Way = TypeVar("Way")

REFINE = ("never", "auto", "always")


def refined_bounds(
    x: Tensor,
    encode: Encode,
    decode: Decode,
    scorers: Mapping[Key, Scorer],
    samples: Sequence[int],
    *,
    fit: Key,
    seed: int | Sequence[int] = 0,
    tiling: Tiling | None = None,
) -> dict[Key, Estimate]:
    """`importance_bounds` from the defensive mixture about a q that is fitted to each image under scorers[fit]."""
    proposal = fitted_proposal(x, encode, decode, scorers[fit])
    return importance_bounds(x, encode, decode, scorers, samples, seed=seed, tiling=tiling, proposal=proposal)


def refined_as_needed(
    x: Tensor,
    encode: Encode,
    decode: Decode,
    scorers: Mapping[Key, Scorer],
    effort: Effort,
    *,
    fit: Key,
    seed: int = 0,
    tiling: Tiling | None = None,
) -> dict[Key, Estimate]:
    """`refined_bounds` with as many samples as the weights under scorers[fit] need."""
    proposal = fitted_proposal(x, encode, decode, scorers[fit])

    def bounds(some: Mapping[Key, Scorer], samples: Sequence[int], noise: str) -> dict[Key, Estimate]:
        return importance_bounds(
            x, encode, decode, some, samples, seed=seed, tiling=tiling, proposal=proposal, noise=noise
        )

    undecided = len(effort.candidates) > 1
    pilot = bounds({fit: scorers[fit]}, (PILOT,), PILOT_NOISE)[fit] if undecided else None
    passes = effort.carry_out({"": pilot}, lambda _, samples, noise: {"": bounds(scorers, samples, noise)}, fit)
    return dict(passes[""])


def encoded_as_needed(
    x: Tensor,
    encode: Encode,
    decode: Decode,
    scorers: Mapping[Way, Mapping[Key, Scorer]],
    pilots: Mapping[Way, Estimate],
    effort: Effort,
    *,
    judge: Key,
    seed: int = 0,
    tiling: Tiling | None = None,
) -> dict[Way, Mapping[Key, Estimate]]:
    """Bounds from the encoder's q, by the way of scoring, each with as many samples as its weights under
    scorers[way][judge] need, of which its pilot tells; ways that need equally many share a pass."""

    def sample(ways: Sequence[Way], samples: Sequence[int], noise: str) -> dict[Way, dict[Key, Estimate]]:
        flat = {(way, kind): scorer for way in ways for kind, scorer in scorers[way].items()}
        found = importance_bounds(x, encode, decode, flat, samples, seed=seed, tiling=tiling, noise=noise)
        return {way: {kind: found[way, kind] for kind in scorers[way]} for way in ways}

    return effort.carry_out({way: pilots[way] for way in scorers}, sample, judge)


def fitted_proposal(x: Tensor, encode: Encode, decode: Decode, scorer: Scorer) -> Mixture:
    """The defensive mixture about a q that is fitted to each image under the scorer."""
    encoder = encoded(x, encode)
    points = points_at_once(decode, encoder, by_program=getattr(scorer, "slopes_by_program", False))
    fitted = refine(conditional(decode, scorer), encoder, points=points)
    return defensive(fitted, encoder)


#: raw outputs that are decoded together with their gradients: on a CPU, and on a GPU of less memory than LARGE bytes or
#: of more; the same where a program gives the gradients, but no more z than POINTS
FITTED, FITTED_ON_GPU, BY_PROGRAM = 1 << 21, (1 << 25, 1 << 26), (1 << 27, 1 << 29)
LARGE, POINTS = 60e9, 1 << 15


def calls_for_refinement(refine: str, plain: Estimate) -> bool:
    """Whether proposals are to be fitted, by one of REFINE and what the encoder's q gave."""
    return refine == "always" or (refine == "auto" and plain.bad_share > BAD_SHARE)


def encoded(x: Tensor, encode: Encode, rows: int = 500) -> Posterior:
    """q(z|x) of all images, some rows at a time, without gradients."""
    with torch.no_grad():
        parts = [encode(x[some]) for some in blocks(len(x), rows)]
    mean, log_variance = (torch.cat(side, -2) for side in zip(*parts, strict=True))
    return Posterior(mean, log_variance)


def points_at_once(decode: Decode, encoder: Posterior, *, by_program: bool = False) -> int:
    """z that may be decoded together with their gradients, by the width of the raw output. An exact mass keeps some
    hundred numbers for each raw output until its gradients are there: 2²⁵ outputs stay below 20 GB. By a program it
    keeps three, so that wide outputs may be more; z too have numbers, in the networks, so that narrow ones may not."""
    with torch.no_grad():
        width = decode(encoder.mean[..., :1, None, :]).shape[-1]
    device = encoder.mean.device
    if not accelerated(device):
        return max(1, FITTED // width)
    larger = of_device(device) >= LARGE
    points = FITTED_ON_GPU[larger] // width
    if by_program:
        points = max(points, min(BY_PROGRAM[larger] // width, POINTS))
    return max(1, points)


@in_smaller_pieces
def log_likelihood(
    x: Tensor,
    encode: Encode,
    decode: Decode,
    likelihood: Likelihood,
    samples: Sequence[int] = (1, 10, 100, 1000, 5000),
    levels: int | None = None,
    *,
    refine: str = "never",
    tolerance: float | None = None,
    programs: Kept | None = None,
    seed: int = 0,
    tiling: Tiling | None = None,
) -> Estimate:
    """Importance-weighted log-likelihood of any VAE, per image.

    Look at `khat` before you believe it: where many are `bad`, ask for refine="auto".

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
        refine: whether a proposal is fitted to each image by gradients through `decode`, which lifts the bound where
            the encoder's q fits badly: "never", "auto" (where more than BAD_SHARE of the k̂ are bad, which takes an L
            of 25 or more to see), or "always". The ELBO stays the encoder's.
        tolerance: bits/dim that the mean bound may lie below what more samples would give, and that its Monte-Carlo
            error may be; a pilot then decides (see `effort`) at which of `samples`, from 100 on, the bound ends:
            `estimate.samples`. None or 0: at the largest.
        programs: compiled scores of integers, used as soon as they are there; None: the plain path alone.
        seed: of the Monte-Carlo noise.
        tiling: how the pass is cut; suited to the device by default.

    Raises:
        TypeError: x is no tensor.
        ValueError: x is not [N, D] with N ≥ 1, or with `levels` not of integers 0…K−1; samples out of range; raw or q
            of the wrong shape; an unknown word for refine; a tolerance below 0; a stack; and where the likelihood has
            `validate_args`, x or the first image's raw outputs that it refuses (integers without `levels`, numbers
            outside of its view, NaN), or whole numbers for a density of the real line.
        ImpossibleScore: with `levels`, a log-probability above 0 by more than its Monte-Carlo error.
    """
    require_images(x, levels)
    effort = Effort.of(grid_of(samples), tolerance, x.shape[-1])
    require_refine(refine)
    require_posterior(encode, x)
    likelihood = _checked_once(x, encode, decode, likelihood, levels)

    mass = None if levels is None else _mass(likelihood, x, levels, programs)

    def score(raw: Tensor, rows: slice) -> Tensor:
        _require_width(raw, likelihood, x.shape[1])
        return likelihood.log_prob(x[rows].unsqueeze(1), raw) if mass is None else mass(raw, rows)

    scorers = {"": score}
    sizes, noise = effort.first
    estimate = plain = importance_bounds(x, encode, decode, scorers, sizes, seed=seed, tiling=tiling, noise=noise)[""]
    if calls_for_refinement(refine, plain):
        estimate = refined_as_needed(x, encode, decode, scorers, effort, fit="", seed=seed, tiling=tiling)[""]
    elif effort.decides:
        ways, pilots = {"": scorers}, {"": plain}
        passes = encoded_as_needed(x, encode, decode, ways, pilots, effort, judge="", seed=seed, tiling=tiling)
        estimate = passes[""][""]
    if levels is not None:
        most = estimate.samples
        require_possible(estimate.bound[most].cpu(), estimate.standard_error[most].cpu(), most, x.shape[1], levels)
    return dataclasses.replace(estimate, reconstruction=plain.reconstruction)


@in_smaller_pieces
def log_likelihoods(
    k: Tensor,
    encode: Encode,
    decode: Decode,
    likelihoods: Mapping[Key, Likelihood],
    samples: Sequence[int],
    levels: int,
    *,
    programs: Kept | None = None,
    seed: int = 0,
) -> dict[Key, Estimate]:
    """`log_likelihood` of integers k [N, D] by each of several likelihoods of one decoder, from the encoder's q: they
    share the draws of z and what is decoded of them, and each estimate is what it is alone.

    Raises TypeError, ValueError and ImpossibleScore as `log_likelihood` does.
    """
    require_images(k, levels)
    require_posterior(encode, k)

    checked = {key: _checked_once(k, encode, decode, likelihood, levels) for key, likelihood in likelihoods.items()}
    scorers = {key: _mass(likelihood, k, levels, programs) for key, likelihood in checked.items()}
    estimates = importance_bounds(k, encode, decode, scorers, samples, seed=seed)
    for estimate in estimates.values():
        most = estimate.samples
        require_possible(estimate.bound[most].cpu(), estimate.standard_error[most].cpu(), most, k.shape[1], levels)
    return estimates


def _mass(likelihood: Likelihood, k: Tensor, levels: int, programs: Kept | None) -> Scorer:
    """ln P(k|z); a program that gives the density besides gives it of the middle of each bin, and nobody looks."""
    unit = None if programs is None else dequantise(k, levels, torch.full(k.shape, 0.5, device=k.device))
    return Scores(likelihood, k, unit, levels, programs).scorer(MASS)


def _checked_once(x: Tensor, encode: Encode, decode: Decode, likelihood: Likelihood, levels: int | None) -> Likelihood:
    """The likelihood with its checks off, once what it is to score has passed them: all data, against one image's raw
    outputs. Warns where it has a learned scale that was never trained, fitted or set."""
    if likelihood.models is not None:
        raise ValueError(f"{likelihood.name} is a stack of {likelihood.models} models: select one")
    if likelihood.validate_args:
        with torch.no_grad():
            raw = decode(encode(x[:1])[0])
        _require_width(raw, likelihood, x.shape[1])
        likelihood.check(x, raw, levels)
        _require_no_levels(x, likelihood, levels)
    likelihood.warn_if_untouched(stacklevel=5)  # behind `in_smaller_pieces`
    return likelihood.unchecked()


def _require_width(raw: Tensor, likelihood: Likelihood, dims: int) -> None:
    """Raises ValueError for raw outputs [..., R] of another R than data of D = dims ask for."""
    width = likelihood.outputs(dims)
    if raw.shape[-1] != width:
        told = f": decode gives [..., R], flat_raw(planes) of shape {likelihood.shape}" if likelihood.shape else ""
        raise ValueError(f"decode gave {raw.shape[-1]} outputs, {likelihood.name} needs {width} for D={dims}{told}")


def _require_no_levels(x: Tensor, likelihood: Likelihood, levels: int | None) -> None:
    """Raises ValueError where floats that a density of the real line is to score are levels after all: whole numbers,
    of which a density can be as high as one likes."""
    if levels is None and likelihood.view == "real":
        low, high = int(x.amin()), int(x.amax())
        if high - low > 1 and torch.equal(x, x.round()):
            integers = f"x.long(), levels={high + 1}" if low >= 0 else f"(x - {low}).long(), levels={high - low + 1}"
            raise ValueError(
                f"x are whole numbers {low}..{high}, of which {likelihood.name} has no finite density to compare: give "
                f"them as integers 0..K-1 with their K, {integers} (or more)"
            )


def require_refine(refine: str) -> None:
    """Raises ValueError for a word that is none of REFINE."""
    if refine not in REFINE:
        raise ValueError(f"refine={refine!r} is unknown (allowed: {', '.join(REFINE)})")


def require_images(x: Tensor, levels: int | None) -> None:
    """Raises TypeError unless x is a tensor, ValueError unless it is [N, D] with N ≥ 1 and D ≥ 1 and, with `levels`, of
    integers 0…K−1."""
    if not isinstance(x, Tensor):
        raise TypeError(f"x is no torch tensor, but of type {type(x).__name__}: torch.as_tensor makes one")
    if x.ndim != 2:
        way = "flatten the images, x.flatten(1)" if x.ndim > 2 else "one image is x.unsqueeze(0)"
        raise ValueError(f"x must be [N, D], given shape {list(x.shape)}: {way}")
    if not x.numel():
        raise ValueError("x has no images: give at least one" if not len(x) else "x has images of no values: D is 0")
    if levels is None:
        return
    require_levels(levels)
    if x.is_floating_point() or int(x.min()) < 0 or int(x.max()) >= levels:
        raise ValueError(f"with levels={levels}, x must be integers 0…{levels - 1}; floats are scored without levels")


def require_posterior(encode: Encode, x: Tensor) -> None:
    """Raises ValueError unless `encode` gives two tensors [N, Z]."""
    with torch.no_grad():
        mean, log_variance = (part.shape for part in encode(x[:1]))
    if len(mean) != 2 or mean != log_variance:
        raise ValueError(
            f"encode must give mean and ln variance, each [N, Z], not {list(mean)} and {list(log_variance)}"
        )
