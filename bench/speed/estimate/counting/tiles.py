"""What a pass of importance sampling does besides decoding and scoring, of a tile and of a piece of it: counted once
for each number of latent dimensions. What it does with the weights: `weights`."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.speed.estimate.counting.linear import of_images, sized, solved
from bench.speed.estimate.counting.operators import counted
from bench.speed.estimate.counts import Sized
from bench.speed.estimate.tally import VIEWS, Tally
from vae_core.evaluate.importance import Tiling, _noise, _score
from vae_core.evaluate.programs.scorers import AtOnce
from vae_core.evaluate.proposals import Encoded, Gaussian, Proposal
from vae_core.evaluate.refine import defensive
from vae_core.objectives import Posterior

FEW = (2, 4)  # images
SAMPLES = (8, 16)
A_VIEW = Tally({VIEWS: 1.0})


@dataclass(frozen=True)
class Tiles:
    """Of a block, but for its encoding; of a tile, but for its decoding; of the noise of a tile and of each place in
    it."""

    block: Sized
    tile: Sized
    noise: tuple[Tally, Tally]


@functools.cache
def tiles(latent: int, *, fitted: bool) -> Tiles:
    """From the encoder's q, or from proposals that were fitted."""

    def posterior(images: int) -> Posterior:
        return Posterior(torch.zeros(images, latent), torch.zeros(images, latent))

    def proposal(images: int) -> Proposal:
        encoder = posterior(images)
        if not fitted:
            return Encoded(encoder)
        return defensive(Gaussian.diagonal(encoder.mean, encoder.log_variance), encoder)

    def block(images: int) -> Tally:
        drawn_from, mean = proposal(images + 1), torch.zeros(images, latent)
        return counted(lambda: (drawn_from.rows(slice(0, images)) if fitted else None, mean[..., 0].double()))

    def tile(images: int, samples: int) -> Tally:
        drawn_from = proposal(images)
        eps = torch.linspace(-1, 1, images * samples * latent).reshape(images, samples, latent)
        uniform, z = torch.full((images, samples), 0.5), torch.zeros(images, samples, latent)
        return counted(lambda: (drawn_from.draw(eps, uniform), z[..., :1, :1, :]))

    def noise(images: int) -> Tally:
        tiling, mean = Tiling(images, SAMPLES[0], 1), torch.zeros(images, latent)
        return counted(lambda: _noise(mean, tiling, ("importance", 0), (0, 0), slice(0, SAMPLES[0]), fitted))

    made, place = solved([(1, images * SAMPLES[0]) for images in FEW], [noise(images) for images in FEW])
    return Tiles(of_images(block, FEW), sized(tile, FEW, SAMPLES), (made, place))


@dataclass(frozen=True)
class Handling:
    """Of a piece and of a scorer in it, where a tile is one piece; what is besides where it has several; copying z of a
    piece."""

    piece: Sized
    scorer: Sized
    piece_besides: Sized
    scorer_besides: Sized
    copying: Sized


@functools.cache
def handling(latent: int, dtype: torch.dtype) -> Handling:
    """Of scores of that type."""

    def of_tile(images: int, samples: int, scorers: int, parts: int) -> Tally:
        """Its pieces, with decoding and scoring that is next to nothing."""
        z = torch.zeros(images, samples, latent)
        raw, score = torch.zeros(images, samples, 1), torch.zeros(images, samples, dtype=dtype)

        def decode(some: Tensor) -> Tensor:
            some.reshape(1, -1, latent)  # as models do
            return raw if parts == 1 else cut_raw

        cut_raw, cut_score = raw[:, : samples // parts].clone(), score[:, : samples // parts].clone()
        each = {place: lambda raw, rows: score if parts == 1 else cut_score for place in range(scorers)}
        floats = images * samples // parts
        whole = counted(lambda: _score(z, decode, AtOnce(each), slice(0, images), floats))
        probe = counted(lambda: decode(z[..., :1, :1, :]))
        return 1 / parts * (whole - probe - scorers * A_VIEW) - A_VIEW  # of room for scores; of the reshaping

    def both(scorers: int, parts: int) -> Sized:
        """Of a piece, of n images and as many samples as it has."""
        return sized(lambda n, c: of_tile(n, c * parts, scorers, parts), FEW, SAMPLES)

    def copy(images: int, samples: int) -> Tally:
        z = torch.zeros(images, samples + 1, latent)[:, :samples]
        return counted(lambda: z.reshape(1, -1, latent)) - A_VIEW

    one, two, cut_one, cut_two = both(1, 1), both(2, 1), both(1, 2), both(2, 2)
    scorer, cut_scorer = two - one, cut_two - cut_one
    piece, cut_piece = one - scorer, cut_one - cut_scorer
    copying = sized(copy, FEW, SAMPLES)
    return Handling(piece, scorer, cut_piece - piece - copying, cut_scorer - scorer, copying)
