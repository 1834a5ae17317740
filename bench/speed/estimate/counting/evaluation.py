"""What the evaluation of one model is, counted on few images and samples: passes, fits, gaps, calibration, checks.

A pass of importance sampling is decoding and scoring, which are counted for each model, and all that is done around
them, which is the same for all of as many latent dimensions (`tiles`, `weights`); so is a fit (`fits`). Each call is
counted by itself, as an affine function of its images and their samples; how often it takes place in a pass, for the
blocks, tiles and pieces of the device that is asked about (`cuts`), `counts` and `passes` know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bench.engine.worker.from_cell import architecture_of, member_of, schedule_of, scored_images
from bench.grid.cell import Cell
from bench.speed.estimate.counting.fits import DRAWN_TO_JUDGE, around, draws_of, judged, slope_and_value
from bench.speed.estimate.counting.linear import of_images, sized
from bench.speed.estimate.counting.operators import counted
from bench.speed.estimate.counting.tiles import A_VIEW, FEW, SAMPLES, handling, tiles
from bench.speed.estimate.counting.training import countable
from bench.speed.estimate.counting.weights import bookkeeping
from bench.speed.estimate.counts import (
    GAPPED,
    LOOKS,
    NO_CALLS,
    EvaluationCounts,
    FitCounts,
    PassCounts,
    Sized,
    fused_fit,
    fused_pass,
)
from bench.speed.estimate.cuts import Cut
from bench.speed.estimate.tally import NOTHING, Tally
from bench.speed.tensor_bytes import Bytes
from vae_core.data import Dataset, dequantise
from vae_core.evaluate.calibration import CALIBRATED, calibration
from vae_core.evaluate.conditional import conditional
from vae_core.evaluate.pictures import pictures
from vae_core.evaluate.programs.scorers import AtOnce
from vae_core.evaluate.refine import refine
from vae_core.evaluate.scoring import encoded
from vae_core.laws import Watch
from vae_core.laws.where_used import EACH, KEPT, LEAST, MOST, SHARE, sums
from vae_core.likelihoods import Likelihood
from vae_core.numerics.accelerators import accelerated
from vae_core.objectives import Posterior
from vae_core.training import TrainedModel, Trainer, fit_scale, trained_models

IMAGES = 4  # of all but scores
MANY = (4, 8)  # all of them, and twice: of scores that take more for some images than for others


def count_evaluation(cell: Cell, data: Dataset, cut: Cut, *, fuses: bool) -> EvaluationCounts:
    """Of a settled cell's model, as it is before training. `fuses`: with what a compiler makes of it."""
    trainer = Trainer(
        replace(data, train=data.train[:IMAGES], valid=data.valid[:IMAGES]),
        [replace(member_of(cell, data.levels), kl_warmup=0.0)],
        architecture_of(cell),
        replace(countable(schedule_of(cell)), epochs=2, batch_size=IMAGES // 2),
        "cpu",
    )
    model = trained_models(trainer.program, data.levels)[0]
    likelihood = model.likelihood.scored(cell.scored_as).unchecked()
    scale = NOTHING, 0.0
    if likelihood.needs_fit:
        scale = _scale(likelihood, data, model, cell)
    k, levels = scored_images(cell, data)
    model.likelihood = likelihood
    return _Counting(model, likelihood, k, levels, cut).all(scale, cell, fuses=fuses)


class _Counting:
    """Counts parts of an evaluation of a model on some of the images k."""

    def __init__(self, model: TrainedModel, likelihood: Likelihood, k: Tensor, levels: int, cut: Cut) -> None:
        self.model, self.likelihood, self.levels, self.cut = model, likelihood, levels, cut
        self.k = k[torch.arange(IMAGES) * max(1, len(k) // IMAGES) % len(k)]
        self.more = torch.cat([self.k, self.k])
        self.dims, self.looks = k.shape[1], likelihood.looks_at_numbers
        with torch.no_grad():
            mean, _ = model.encode(self.k)
            self.latent, self.width = mean.shape[-1], model.decode(mean).shape[-1]

    def all(self, scale: tuple[Tally, float], cell: Cell, *, fuses: bool) -> EvaluationCounts:
        scorers = self.scorers(self.more)
        mass, rest = {"mass": scorers["mass"]}, {name: each for name, each in scorers.items() if name != "mass"}
        dtypes = {name: self.dtype(scorer) for name, scorer in scorers.items()}
        decoded, scored = self.decoding(), self.scoring(mass)
        encoded = self.encoding()
        handled = handling(self.latent, dtypes["mass"])
        encoder, fitted = (
            PassCounts(
                block=encoded + around.block,
                tile=around.tile + Sized(decoded.of(1, 1, 1), NOTHING),  # one z, for the width
                noise=around.noise,
                piece=decoded + scored + handled.piece + handled.scorer,
                cut_up=handled.piece_besides + handled.scorer_besides,
                copied=handled.copying,
                sliced=2 * A_VIEW,  # of z, and of the scores
                weights=bookkeeping(),
                scorers=1,
            )
            for around in (tiles(self.latent, fitted=False), tiles(self.latent, fitted=True))
        )
        of_rest = [handling(self.latent, dtypes[name]) for name in rest]
        besides = PassCounts(
            block=NO_CALLS,
            tile=NO_CALLS,
            noise=(NOTHING, NOTHING),
            piece=sum((each.scorer for each in of_rest), self.scoring(rest)),
            cut_up=sum((each.scorer_besides for each in of_rest), NO_CALLS),
            copied=NO_CALLS,
            sliced=len(rest) * A_VIEW,
            weights=bookkeeping(),
            scorers=len(rest),
        )
        fit = self.fits(scorers["mass"])
        plain = EvaluationCounts(
            width=self.width,
            dims=self.dims,
            levels=self.levels,
            encoder=encoder,
            fitted=fitted,
            besides=besides,
            fit=fit,
            gaps=self.gaps(fit, decoded + scored, dtypes["mass"]),
            calibration=self.calibration(),
            checks=self.checks(),
            pictures=self.pictures(cell),
            scale=scale,
            scorers=len(scorers),
            summed=(SHARE, LEAST, EACH, MOST, KEPT),
            bytes=self.piece_bytes(mass),
        )
        if not fuses:
            return plain
        summed = self.scoring({"mass": _summed})
        with_one = decoded + summed + handled.piece + handled.scorer
        with_rest = sum((each.scorer + summed for each in of_rest), NO_CALLS)
        empty_fit = self.fits(_summed)
        fused = replace(
            plain,
            is_fused=1,
            encoder=fused_pass(encoder, with_one),
            fitted=fused_pass(fitted, with_one),
            besides=fused_pass(besides, with_rest),
            fit=fused_fit(fit, empty_fit),
        )
        return replace(plain, fused=fused)

    def scorers(self, k: Tensor) -> dict[str, Any]:
        """As an assessment has them: ln p of raw [n, c, R] for images [n]."""
        likelihood, levels = self.likelihood, self.levels
        found: dict[str, Any] = {"mass": lambda raw, rows: likelihood.log_mass(k[rows].unsqueeze(1), raw, levels)}
        if likelihood.has_density:
            noisy = dequantise(k, levels, torch.full(k.shape, 0.5))
            found["density"] = lambda raw, rows: likelihood.log_density(noisy[rows].unsqueeze(1), raw, levels)
        if closed := likelihood.renormalised():
            found["renormalised"] = lambda raw, rows: closed.log_mass(k[rows].unsqueeze(1), raw, levels)
        return found

    def z(self, images: int, samples: int) -> Tensor:
        """As the encoder's q has them, [n, c, Z]."""
        with torch.no_grad():
            posterior = Posterior(*self.model.encode(self.more[:images]))
            eps = torch.randn(images, samples, self.latent, generator=torch.Generator().manual_seed(0))
            return posterior.sample(eps)

    def dtype(self, scorer: Any) -> torch.dtype:
        with torch.no_grad():
            dtype: torch.dtype = scorer(self.model.decode(self.z(1, 1)), slice(0, 1)).dtype
        return dtype

    def encoding(self) -> Sized:
        def encode(images: int) -> Tally:
            return self.without_gradients(lambda: Posterior(*self.model.encode(self.k[slice(0, images)])))

        return of_images(encode, FEW)

    def decoding(self) -> Sized:
        def decode(images: int, samples: int) -> Tally:
            z = self.z(images, samples)
            return self.without_gradients(lambda: self.model.decode(z))

        return sized(decode, FEW, SAMPLES)

    def scoring(self, scorers: Mapping[str, Any]) -> Sized:
        """By all of them."""

        def score(images: int, samples: int) -> Tally:
            with torch.no_grad():
                raw = self.model.decode(self.z(images, samples))
            return self.without_gradients(lambda: AtOnce(scorers)(raw, slice(0, images)))

        return sized(score, MANY if self.looks else FEW, SAMPLES) if scorers else NO_CALLS

    @staticmethod
    def without_gradients(call: Callable[[], object]) -> Tally:
        with torch.no_grad():
            return counted(call)

    def fits(self, scorer: Any) -> FitCounts:
        encoder = encoded(self.k, self.model.encode)
        behind = conditional(self.model.decode, scorer)
        looked_at = self.looks or not accelerated(encoder.mean.device)  # so that images differ in what they take
        slope, value = slope_and_value(behind, encoder, whole=looked_at)
        directions, block, look = around(self.latent, self.dtype(scorer), "full")
        with Bytes() as held:
            refine(behind, encoder, steps=1)
        return FitCounts(directions, block, look, slope, value, draws_of(self.latent), held.peak / len(self.k))

    def gaps(self, fit: FitCounts, score: Sized, dtype: torch.dtype) -> Tally:
        """Of as many images as have their gap split: fits of diagonals, and two ELBOs."""
        directions, block, look = around(self.latent, dtype, "diagonal")
        fits = replace(fit, directions=directions, block=block, look=look)
        at_once = max(1, self.cut.fitted_at_once(self.width, DRAWN_TO_JUDGE))
        blocks, parts = math.ceil(GAPPED / at_once), math.ceil(DRAWN_TO_JUDGE / self.cut.decoded_at_once(self.width))
        once, each = judged(self.latent, dtype)
        judging = once + each.of(blocks * parts, GAPPED)
        judging += score.of(blocks * parts, GAPPED * parts, GAPPED * DRAWN_TO_JUDGE)
        return (fits.of(GAPPED, LOOKS["diagonal"], self.cut, self.width) + 2 * judging).positive()

    def calibration(self) -> Tally:
        raw = self.raw()
        a_level = self.dims
        levels_at_once = max(1, min(self.levels, self.cut.calibrated // a_level))
        rows = max(1, self.cut.calibrated // (a_level * levels_at_once))
        images = min(rows, IMAGES // 2)
        floats = a_level * levels_at_once * images
        one = counted(lambda: calibration(self.k[:images], raw[:images], self.likelihood, self.levels, floats=floats))
        blocks = math.ceil(CALIBRATED / rows)
        return (CALIBRATED / images * one.of_elements() + blocks * one.of_calls()).positive()

    def checks(self) -> tuple[Tally, Tally]:
        """What a watch does besides, and of one mass that it sums, with the launches of as many as it sums at once."""
        raw, k = self.raw(), self.k.long()
        at_once = max(1, self.cut.summed // self.dims)

        def summed(images: int) -> Tally:
            return counted(lambda: sums(self.likelihood, raw[:images], k[:images], self.levels, at_once))

        one, other = summed(1), summed(2)
        mass = 1 / (self.dims * self.levels) * (other - one).of_elements() + one.of_calls()
        two = self.k[:2]
        watch = Watch(two, self.model.encode, self.model.decode, self.likelihood, self.levels, 1, 0)
        scorer = watch.over(self.scorers(two)["mass"])

        def watched() -> None:
            with torch.no_grad():
                scorer(raw[:2].unsqueeze(1), slice(0, 2))
            watch.checked()

        return counted(watched), mass

    def pictures(self, cell: Cell) -> Tally:
        raw = self.raw()
        return counted(
            lambda: pictures(
                self.k, raw, self.model.decode, self.likelihood, self.levels, self.latent, (self.dims,), cell.seed
            )
        )

    def piece_bytes(self, scorers: Mapping[str, Any]) -> float:
        """Bytes of a piece at their most, a raw output."""
        raw = self.raw().unsqueeze(1)
        with torch.no_grad(), Bytes((raw,)) as held:
            scorers["mass"](raw, slice(0, len(raw)))
        return held.peak / raw.numel() + 4

    def raw(self) -> Tensor:
        with torch.no_grad():
            raw: Tensor = self.model.decode(self.model.encode(self.k)[0])
        return raw


def _summed(raw: Tensor, rows: slice) -> Tensor:
    """A score that only reads its raw outputs."""
    return raw.sum(-1)


def _scale(likelihood: Likelihood, data: Dataset, model: TrainedModel, cell: Cell) -> tuple[Tally, float]:
    """Of fitting its scale: an image's share, and how many images."""

    def fitted(images: int) -> Tally:
        some = replace(data, train=data.train[:images])
        return counted(lambda: fit_scale(likelihood, some, model.encode, model.decode))

    one, two = fitted(4 * IMAGES), fitted(8 * IMAGES)
    count = min(len(data.train), likelihood.fit_images or len(data.train))
    return 1 / (4 * IMAGES) * (two - one).of_elements() + 1 / count * one.of_calls(), float(count)
