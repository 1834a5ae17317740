"""All that is said of one trained model: ln P(k) of test images, what it rests on, and what the model does to images.

One pass of importance sampling from the encoder's q serves every way in which a model is scored; where that pass cannot
be trusted, proposals are fitted to the images (refine). With a tolerance that pass is short, a pilot, and another of
fresh noise is scored, as long as it must be (effort). It is one file, for every part says what the same passes gave.
Axes: images N, samples L, dimensions D, latent Z, raw R.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_core.data import VIEWS, dequantise
from vae_core.evaluate.calibration import Calibration, Latents, calibration_at_draws, latents
from vae_core.evaluate.conditional import Decode, Encode, Scorer, conditional, spaced
from vae_core.evaluate.effort import PILOT, Effort
from vae_core.evaluate.importance import Estimate, grid_of, importance_bounds
from vae_core.evaluate.pictures import Pictures, pictures
from vae_core.evaluate.programs import DENSITY, MASS, RENORMALISED, Kept, Scores
from vae_core.evaluate.proposals import Weighed
from vae_core.evaluate.refine import GapParts, gaps
from vae_core.evaluate.scoring import (
    calls_for_refinement,
    encoded,
    encoded_as_needed,
    points_at_once,
    refined_as_needed,
    require_images,
    require_posterior,
    require_refine,
)
from vae_core.laws import Checked, Watch
from vae_core.likelihoods import Likelihood
from vae_core.numerics.accelerators import synchronise
from vae_core.numerics.memory import in_smaller_pieces
from vae_core.numerics.random import generator_for
from vae_core.objectives import BOUNDS, Bound, Posterior, free_bits_kl, require_kl
from vae_core.statistics.possible import require_possible

GAPPED = 24  # test images at most whose gap is split in two, at the price of a slow fit each
RECIPE = "recipe"  # the number that a folk recipe calls its log-likelihood, beside what images are scored by


@dataclass(frozen=True)
class Scoring:
    """One way to score a model: the distribution that its raw output is read as (single, its learned or fitted scale
    set), and whether proposals are fitted to the images: "never", "auto" (where more than BAD_SHARE of the k̂ are bad),
    or "always"."""

    likelihood: Likelihood
    refine: str = "auto"


@dataclass(frozen=True)
class Trained:
    """What a model was trained on: the likelihood as it was in training and which of its `objectives` (its first where
    none is given), the bound that was raised (one of BOUNDS, or its like), the samples L of that, and what was made of
    its KL (vae_core.training.Member).

    Raises ValueError where the likelihood cannot be trained on that objective, or the KL not so.
    """

    likelihood: Likelihood
    objective: str = ""
    bound: Bound = BOUNDS["elbo"]
    samples: int = 1
    kl_weight: float = 1.0
    free_bits: float = 0.0

    def __post_init__(self) -> None:
        require_kl(self.kl_weight, 0.0, self.free_bits, self.bound)
        if not self.objective:
            object.__setattr__(self, "objective", self.likelihood.objectives[0])
        self.likelihood.require_objective(self.objective)


@dataclass(frozen=True)
class Assessment:
    """One model under one scoring, on N test images of D dimensions and K levels; nats."""

    likelihood: Likelihood
    levels: int  #: K
    dims: int  #: D
    samples: tuple[int, ...]  #: the grid of L as far as it was needed, smallest first
    encoder: Estimate  #: of ln P(k), from the encoder's q alone
    encoder_samples: int  #: the largest L of that
    mass: Estimate  #: of ln P(k), from the proposals that were called for; without any, of the encoder's q
    refined: bool  #: whether proposals were fitted
    density: Estimate | None  #: of ln p of the dequantised data in the unit view, likewise; None without a density
    renormalised: Estimate | None  #: of ln P(k) with renormalised ends, likewise; None where the ends are not open
    trained_on: Tensor | None  #: the training objective of each image, [N]; None where `trained` was not given
    gaps: GapParts | None  #: of images at even spacing; None where nothing was refined
    latents: Latents
    calibration: Calibration  #: of images at even spacing, at one z ~ q(z|x) each
    checked: Checked  #: that the masses sum to one at what was scored, and that images were scored alone
    sigma: float | None  #: in use, averaged where the decoder gives it; None for a family without
    pictures: Pictures
    seconds: float  #: by the clock, pictures apart, its share of the common pass included

    @property
    def log_likelihood(self) -> Tensor:
        """The bound on ln P(k) at the largest L, [N]. Raises ImpossibleScore where it is above 0 by more than its
        Monte-Carlo error: then it is no log-probability."""
        most = self.samples[-1]
        each, error = self.mass.bound[most], self.mass.standard_error[most]
        require_possible(each.cpu(), error.cpu(), most, self.dims, self.levels)
        return each

    @property
    def bits_of_a_nat(self) -> float:
        """bits/dim that a nat is, 1 / (D ln 2)."""
        return 1 / (self.dims * math.log(2))

    @property
    def bits_per_dim(self) -> float:
        """−ln P(k) / (D ln 2), the mean over images. Raises as `log_likelihood` does."""
        return -float(self.log_likelihood.mean()) * self.bits_of_a_nat


@in_smaller_pieces
def assess(
    k: Tensor,
    encode: Encode,
    decode: Decode,
    scorings: Sequence[Scoring],
    *,
    levels: int,
    samples: Sequence[int] = (1, 10, 100, 1000, 5000),
    tolerance: float | None = None,
    trained: Trained | None = None,
    shape: Sequence[int] | None = None,
    programs: Kept | None = None,
    seed: int = 0,
) -> list[Assessment]:
    """Assesses one trained VAE, of this suite or not, in each of some ways; they share the draws of z.

    >>> from vae_core import likelihoods
    >>> scoring = Scoring(likelihoods.make("gaussian", sigma=1.0), refine="never")
    >>> (model,) = assess(
    ...     torch.arange(12).reshape(3, 4), lambda k: (k[:, :2] / 11, k[:, :2] / 11),
    ...     lambda z: z.repeat_interleave(2, -1), [scoring], levels=12, samples=(1, 10),
    ... )
    >>> model.log_likelihood.shape, model.refined
    (torch.Size([3]), False)

    Args:
        k: test images as integers 0…K−1, [N, D]; for a family of the binary view 0/1, with levels = 2.
        encode: k -> (mean, ln variance) of q(z|x), each [N, Z].
        decode: z [..., Z] -> raw [..., R]; R = likelihood.outputs(D).
        scorings: the ways to score it.
        levels: K.
        samples: the grid of L.
        tolerance: bits/dim that a mean bound may lie below what more samples would give, and that its Monte-Carlo error
            may be. A pilot then decides at which L of the grid, from 100 on, the bound ends, for all images alike; the
            encoder's own estimate is of 100 samples, the ELBO too (whose Monte-Carlo error, of 300 digits 0.0002 to
            0.0005 bits/dim, is a fifteenth of that over images at most). None, 0, and a grid that ends by 100: every L.
        trained: what it was trained on, for `trained_on`.
        shape: of an image, (H, W) or (H, W, C), for the pictures; (D,) by default.
        programs: compiled scores, used as soon as they are there; they give the same numbers but for rounding. None:
            the plain path alone.
        seed: of all noise.

    Returns:
        an assessment for each scoring; one whose score is impossible raises ImpossibleScore when it is asked for it,
        and the others have theirs.

    Raises:
        ValueError: nothing to score as; a stacked likelihood; k is not [N, D] with N ≥ 1, not of integers 0…K−1, or not
            of images of that shape; a binary view and more than two levels; samples out of range; raw or q of the wrong
            shape; an unknown word for refine; a tolerance below 0. NotAScore, which is one, where the masses that were
            used do not sum to one, or an image is not scored alone (vae_core.laws.where_used).
    """
    grid, shape = grid_of(samples), tuple(shape or k.shape[1:])
    _require(k, encode, decode, scorings, levels, trained, shape)
    scorings, trained = _unchecked(scorings, trained)
    effort = Effort.of(grid, tolerance, k.shape[1])
    to_come = 4 * PILOT if effort.decides else grid[-1]
    uniform = torch.rand(k.shape, generator=generator_for("cpu", "test noise", seed)).to(k.device)
    seen = {MASS: k, DENSITY: dequantise(k, levels, uniform)}
    watches = [Watch(k, encode, decode, scoring.likelihood, levels, to_come, seed) for scoring in scorings]
    scores = [
        Scores(scoring.likelihood, k, seen[DENSITY], levels, programs, watch)
        for scoring, watch in zip(scorings, watches, strict=True)
    ]
    own = [{kind: of.scorer(kind) for kind in of.kinds} for of in scores]
    # a pilot tells of masses alone how many samples are needed; without one the first pass is what is reported
    first = [{MASS: of[MASS]} if effort.decides else of for of in own]
    scorers = {(way, kind): scorer for way, of in enumerate(first) for kind, scorer in of.items()}
    if trained is not None:
        way, kind = in_training = _key_of(trained, scorings)
        if kind == RECIPE:
            scorers[in_training] = _recipe_s(trained.likelihood, _own_view(trained.likelihood, k, levels, uniform))
        elif way < len(own):
            scorers[in_training] = own[way][kind]
        else:
            scorers[in_training] = Scores(trained.likelihood, k, seen[DENSITY], levels, programs).scorer(kind)

    started = time.perf_counter()
    sizes, noise = effort.first
    every = sizes if trained is None else [*sizes, trained.samples]
    by_encoder = importance_bounds(k, encode, decode, scorers, every, seed=seed, noise=noise)
    with torch.no_grad():
        posterior = Posterior(*encode(k))
        raw = decode(posterior.mean)
    passes: dict[int, Mapping[str, Estimate]] = {
        way: {kind: by_encoder[way, kind] for kind in of if (way, kind) in scorers} for way, of in enumerate(own)
    }
    pilots = {way: estimates[MASS] for way, estimates in passes.items()}
    refined = [calls_for_refinement(scoring.refine, pilots[way]) for way, scoring in enumerate(scorings)]
    if effort.decides:
        ways = {way: own[way] for way in passes if not refined[way]}
        passes |= encoded_as_needed(k, encode, decode, ways, pilots, effort, judge=MASS, seed=seed)
    synchronise(k.device)
    shared_seconds = (time.perf_counter() - started) / len(scorings)
    trained_on = None
    if trained is not None:
        scorer = scorers[in_training]
        trained_on = _objective(trained, by_encoder[in_training], k, encode, decode, scorer, seed=seed)

    assessments = []
    for way, scoring in enumerate(scorings):
        started = time.perf_counter()
        likelihood, encoder, estimates, split = scoring.likelihood, pilots[way], passes[way], None
        if refined[way]:
            estimates = refined_as_needed(k, encode, decode, own[way], effort, fit=MASS, seed=seed)
            split = _gap_parts(k, encode, decode, likelihood, levels, estimates[MASS], seed)
        of_latents = latents(posterior.mean, posterior.log_variance)
        of_noise = calibration_at_draws(k, encode, decode, likelihood, levels, seed=seed)
        in_use = likelihood.sigma_in_use(raw)
        checked = watches[way].checked()
        synchronise(k.device)
        seconds = shared_seconds + time.perf_counter() - started
        assessments.append(
            Assessment(
                likelihood=likelihood,
                levels=levels,
                dims=k.shape[1],
                samples=tuple(effort.sizes(estimates[MASS].samples) if effort.decides else grid),
                encoder=encoder,
                encoder_samples=encoder.samples if effort.decides else grid[-1],
                refined=refined[way],
                mass=estimates[MASS],
                density=estimates.get(DENSITY),
                renormalised=estimates.get(RENORMALISED),
                trained_on=trained_on,
                gaps=split,
                latents=of_latents,
                calibration=of_noise,
                checked=checked,
                sigma=None if in_use is None else float(in_use),
                pictures=pictures(k, raw, decode, likelihood, levels, posterior.mean.shape[-1], shape, seed),
                seconds=seconds,
            )
        )
    return assessments


def _require(
    k: Tensor,
    encode: Encode,
    decode: Decode,
    scorings: Sequence[Scoring],
    levels: int,
    trained: Trained | None,
    shape: tuple[int, ...],
) -> None:
    """Raises what `assess` says it raises, but for the grid of L."""
    if not scorings:
        raise ValueError("nothing to score the model as: give at least one scoring")
    require_images(k, levels)
    if math.prod(shape) != k.shape[1]:
        raise ValueError(f"images of shape {list(shape)} have {math.prod(shape)} values, but k is {list(k.shape)}")
    require_posterior(encode, k)
    with torch.no_grad():
        width = decode(encode(k[:1])[0]).shape[-1]
    for scoring in scorings:
        likelihood = scoring.likelihood
        require_refine(scoring.refine)
        if likelihood.models is not None:
            raise ValueError(f"{likelihood.name} is a stack of {likelihood.models} models: select one")
        if VIEWS[likelihood.view].binary and levels != 2:
            raise ValueError(f"{likelihood.name} scores 0 and 1: binarise k and give levels=2, not {levels}")
        if width != likelihood.outputs(k.shape[1]):
            wanted = likelihood.outputs(k.shape[1])
            raise ValueError(f"decode gave {width} outputs, {likelihood.name} needs {wanted} for D={k.shape[1]}")


def _unchecked(scorings: Sequence[Scoring], trained: Trained | None) -> tuple[list[Scoring], Trained | None]:
    """The same with likelihoods that check nothing any more, each of them one where it was one."""
    given = [scoring.likelihood for scoring in scorings] + ([trained.likelihood] if trained else [])
    quiet = {id(one): one.unchecked() if one.validate_args or one.pictures else one for one in given}
    scorings = [dataclasses.replace(one, likelihood=quiet[id(one.likelihood)]) for one in scorings]
    if trained is not None:
        trained = dataclasses.replace(trained, likelihood=quiet[id(trained.likelihood)])
    return scorings, trained


def _recipe_s(likelihood: Likelihood, seen: Tensor) -> Scorer:
    """The number that a recipe calls its log-likelihood, of images as it sees them, [N, D]."""
    return lambda raw, rows: likelihood.log_prob(seen[rows].unsqueeze(1), raw)


def _own_view(likelihood: Likelihood, k: Tensor, levels: int, uniform: Tensor) -> Tensor:
    view = VIEWS[likelihood.view]
    return k.float() if view.binary else view.see(k, levels, uniform)


def _key_of(trained: Trained, scorings: Sequence[Scoring]) -> tuple[int, str]:
    """Which scorer gives the ln p(x|z) that the model was trained on: one of a scoring's where it is scored as what it
    was in training, or one more, a recipe's own number among them."""
    likelihood = trained.likelihood
    if likelihood.recipe:
        return len(scorings), RECIPE
    kind = DENSITY if trained.objective == "dequantised" else MASS
    same = (way for way, scoring in enumerate(scorings) if scoring.likelihood is likelihood)
    return next(same, len(scorings)), kind


def _objective(
    trained: Trained, estimate: Estimate, k: Tensor, encode: Encode, decode: Decode, scorer: Scorer, *, seed: int
) -> Tensor:
    """The training objective of each image, [N], from what the encoder's q gives for the ln p(x|z) of training. Free
    bits are counted over all of the images; weights with another share of ln p(z)/q(z|x) need a pass of their own."""
    if trained.bound.weighted and trained.kl_weight == 1:
        return estimate.bound[trained.samples]
    if trained.bound.weighted:
        of_training = Weighed(encoded(k, encode), trained.kl_weight)
        sizes = [trained.samples, max(trained.samples, PILOT)]
        again = importance_bounds(k, encode, decode, {MASS: scorer}, sizes, seed=seed, proposal=of_training)
        return again[MASS].bound[trained.samples]
    kl = estimate.kl
    if trained.free_bits:
        kl = free_bits_kl(encoded(k, encode).kl_per_dimension(), trained.free_bits).to(kl)
    return trained.bound.formula(estimate.reconstruction.unsqueeze(-1), trained.kl_weight * kl)


def _gap_parts(
    k: Tensor, encode: Encode, decode: Decode, likelihood: Likelihood, levels: int, score: Estimate, seed: int
) -> GapParts:
    """Over some of the images; score: whose largest bound stands for ln P(k) of every image."""
    some = spaced(len(k), GAPPED, k.device)
    encoder = encoded(k[some], encode)
    behind = conditional(decode, Scores(likelihood, k[some], None, levels).scorer(MASS))
    elbo = gaps(behind, encoder, seed=seed, points=points_at_once(decode, encoder))
    return elbo.parts(score.bound[score.samples][some])
