"""What the evaluation of one model is, counted on few images and samples: passes, fits, gaps, calibration, checks.

A pass of importance sampling over a block of n images and t tiles of samples is a + b t + c n + d n t, and so much more
for every further piece that a tile is decoded in; blocks, tiles and pieces are those of the device that is asked about
(`cuts`). A fit of n images over s looks likewise. What grows with elements is scaled by images and samples, what does
not by blocks, tiles, pieces and looks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bench.engine.worker.from_cell import architecture_of, member_of, schedule_of, scored_images
from bench.grid.cell import Cell
from bench.speed.estimate.counting.operators import counted
from bench.speed.estimate.counts import (
    LOOKS,
    EvaluationCounts,
    FitCounts,
    PassCounts,
    difference,
    fused_fit,
    fused_pass,
)
from bench.speed.estimate.cuts import Cut
from bench.speed.estimate.tally import NOTHING, Tally
from bench.speed.tensor_bytes import Bytes
from vae_core.data import Dataset, dequantise
from vae_core.evaluate import importance_bounds
from vae_core.evaluate.calibration import CALIBRATED, calibration
from vae_core.evaluate.conditional import conditional
from vae_core.evaluate.importance import Tiling
from vae_core.evaluate.pictures import pictures
from vae_core.evaluate.refine import defensive, elbo, refine
from vae_core.evaluate.scoring import encoded
from vae_core.laws import Watch
from vae_core.laws.where_used import EACH, LEAST, MOST, SHARE, sums
from vae_core.likelihoods import Likelihood
from vae_core.objectives import Posterior
from vae_core.training import TrainedModel, Trainer, fit_scale, trained_models

FEW = (1, 2)  # images of a pass and of a fit that are counted, …
IMAGES = 4  # … and of all else
TILE = 16  # samples of a tile that is counted, …
TILES = (2, 4)  # … and how many tiles
GAPPED = 24  # images whose gap is split (vae_core.evaluate.assess)


def count_evaluation(cell: Cell, data: Dataset, cut: Cut, *, fuses: bool) -> EvaluationCounts:
    """Of a settled cell's model, as it is before training. `fuses`: with what a compiler makes of it."""
    trainer = Trainer(
        replace(data, train=data.train[:IMAGES], valid=data.valid[:IMAGES]),
        [replace(member_of(cell, data.levels), kl_warmup=0.0)],
        architecture_of(cell),
        replace(schedule_of(cell), epochs=2, batch_size=IMAGES // 2),
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
        self.dims = k.shape[1]
        with torch.no_grad():
            mean, _ = model.encode(self.k)
            self.latent, self.width = mean.shape[-1], model.decode(mean).shape[-1]

    def all(self, scale: tuple[Tally, float], cell: Cell, *, fuses: bool) -> EvaluationCounts:
        scorers = self.scorers(self.k)
        mass = {"mass": scorers["mass"]}
        fit, proposal = self.fits(scorers["mass"])
        encoder, fitted = self.passes(mass, None), self.passes(mass, proposal)
        full = self.passes(scorers, None) if len(scorers) > 1 else encoder
        plain = EvaluationCounts(
            width=self.width,
            dims=self.dims,
            levels=self.levels,
            encoder=encoder,
            fitted=fitted,
            besides=difference(full, encoder),
            fit=fit,
            gaps=self.gaps(),
            calibration=self.calibration(),
            checks=self.checks(),
            pictures=self.pictures(cell),
            scale=scale,
            scorers=len(scorers),
            summed=(SHARE, LEAST, EACH, MOST),
            bytes=self.piece_bytes(mass),
        )
        if not fuses:
            return plain
        empty = {name: lambda raw, rows: raw.sum(-1) for name in scorers}
        alone = {"mass": empty["mass"]}
        empty_encoder = self.passes(alone, None)
        fused = replace(
            plain,
            encoder=fused_pass(encoder, empty_encoder),
            fitted=fused_pass(fitted, self.passes(alone, proposal)),
            besides=fused_pass(plain.besides, difference(self.passes(empty, None), empty_encoder)),
            fit=fused_fit(fit, self.fits(empty["mass"])[0]),
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

    def passes(self, scorers: Mapping[str, Any], proposal: Any) -> PassCounts:
        grid = [1, TILE // 4, TILE, 100 * TILE]

        def one(images: int, tiles: int, pieces: int = 1) -> Tally:
            floats = images * TILE * self.width // pieces
            tiling = Tiling(images=images, samples=TILE, floats=max(1, floats))
            sizes = [size for size in grid if size < tiles * TILE] + [tiles * TILE]
            k = self.k[:images]
            drawn_from = None if proposal is None else proposal.rows(slice(0, images))
            return counted(
                lambda: importance_bounds(
                    k, self.model.encode, self.model.decode, scorers, sizes, tiling=tiling, proposal=drawn_from
                )
            )

        (few, more), (short, long) = FEW, TILES
        a, b, c, d = one(few, short), one(few, long), one(more, short), one(more, long)
        span = (more - few) * (long - short)
        both = 1 / span * (d - c - b + a)
        tile = 1 / (long - short) * (b - a) - few * both
        image = 1 / (more - few) * (c - a) - short * both
        block = a - short * tile - few * image - few * short * both
        cut_up = one(few, short, 4)
        piece = 1 / (short * 3) * (cut_up - a)
        return PassCounts(
            block=block.of_calls(),
            tile=tile.of_calls(),
            image=image.of_elements(),
            pair=1 / TILE * both.of_elements(),
            piece=piece,
            drawn=self.latent,
        )

    def fits(self, scorer: Any) -> tuple[FitCounts, Any]:
        with torch.no_grad():
            encoder = encoded(self.k, self.model.encode)
        behind = conditional(self.model.decode, scorer)

        def one(images: int, steps: int) -> Tally:
            some = Posterior(encoder.mean[:images], encoder.log_variance[:images])
            return counted(lambda: refine(behind, some, steps=steps))

        (few, more), (short, long) = FEW, (1, 3)
        a, b, c, d = one(few, short), one(few, long), one(more, short), one(more, long)
        both = 1 / ((more - few) * (long - short)) * (d - c - b + a)
        look = 1 / (long - short) * (b - a) - few * both
        image = 1 / (more - few) * (c - a) - (short + 1) * both
        block = a - (short + 1) * look - few * image - few * (short + 1) * both
        draws = 2 * self.latent * (math.ceil(8 / self.latent) if self.latent > 1 else 1)
        with Bytes() as held:
            fitted = refine(behind, encoder, steps=1)
        counts = FitCounts(
            block.of_calls(), look.of_calls(), image.of_elements(), both.of_elements(), draws, held.peak / len(self.k)
        )
        return counts, defensive(fitted, encoder)

    def gaps(self) -> Tally:
        """Of as many images as have their gap split, in blocks of the device's: fits of diagonals, and two ELBOs."""
        encoder = encoded(self.k, self.model.encode)
        behind = conditional(self.model.decode, self.scorers(self.k)["mass"])

        def fits(steps: int) -> Tally:
            return counted(lambda: refine(behind, encoder, covariance="diagonal", steps=steps))

        one, two = fits(1), fits(2)
        fitted = refine(behind, encoder, covariance="diagonal", steps=1)
        judged = counted(lambda: elbo(behind, fitted, encoder.mean.dtype))
        whole = one + (LOOKS["diagonal"] - 2) * (two - one) + 2 * judged
        draws = 2 * self.latent * (math.ceil(8 / self.latent) if self.latent > 1 else 1)
        blocks = math.ceil(GAPPED / self.cut.fitted_at_once(self.width, draws))
        return (GAPPED / len(self.k) * whole.of_elements() + blocks * whole.of_calls()).positive()

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
        one = counted(lambda: sums(self.likelihood, raw[:1], k[:1], self.levels, at_once))
        two = counted(lambda: sums(self.likelihood, raw[:2], k[:2], self.levels, at_once))
        mass = 1 / (self.dims * self.levels) * (two - one).of_elements() + one.of_calls()
        watch = Watch(self.k, self.model.encode, self.model.decode, self.likelihood, self.levels, 1, 0)
        scorer = watch.over(self.scorers(self.k)["mass"])

        def watched() -> None:
            with torch.no_grad():
                scorer(raw.unsqueeze(1), slice(0, len(raw)))
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


def _scale(likelihood: Likelihood, data: Dataset, model: TrainedModel, cell: Cell) -> tuple[Tally, float]:
    """Of fitting its scale: an image's share, and how many images."""

    def fitted(images: int) -> Tally:
        some = replace(data, train=data.train[:images])
        return counted(lambda: fit_scale(likelihood, some, model.encode, model.decode))

    one, two = fitted(4 * IMAGES), fitted(8 * IMAGES)
    count = min(len(data.train), likelihood.fit_images or len(data.train))
    return 1 / (4 * IMAGES) * (two - one).of_elements() + 1 / count * one.of_calls(), float(count)
