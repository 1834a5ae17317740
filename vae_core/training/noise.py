"""The randomness of training: one stream a seed and purpose, common to all models of a seed (docs/RULES.md, rule 7).

Axes: models M, seeds G (models with one seed share all noise), batch B, samples L, dimensions D, latent Z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_core.numerics.random import generator_for


@dataclass(frozen=True)
class Noise:
    """Everything random of one batch, per seed: uniforms [G, B, D], or [1, 1, 1] where no view looks at them, standard
    normals [G, B, L, Z], and what networks want in training, mostly nothing: uniforms [G, B, …] and [G, B L, …]."""

    uniform: Tensor
    eps: Tensor
    needs_uniform: bool = True
    of_encoder: Tensor | None = None
    of_decoder: Tensor | None = None


class Streams:
    """One generator a seed and purpose, so that no stream depends on what else is drawn."""

    def __init__(self, purpose: str, seeds: Sequence[int], device: torch.device) -> None:
        self.device = device
        self.order = [generator_for(device, purpose, "order", seed) for seed in seeds]
        self.uniform = [generator_for(device, purpose, "uniform", seed) for seed in seeds]
        self.eps = [generator_for(device, purpose, "eps", seed) for seed in seeds]
        self.dropout = [generator_for(device, purpose, "dropout", seed) for seed in seeds]

    def keep(self, places: Sequence[int]) -> None:
        """The streams of the seeds at these places go on where they are; the others end."""
        self.order, self.uniform, self.eps, self.dropout = (
            [generators[place] for place in places] for generators in (self.order, self.uniform, self.eps, self.dropout)
        )

    def permutations(self, count: int) -> Tensor:
        """Of 0…count−1, one a seed, [G, count]."""
        return torch.stack([torch.randperm(count, generator=g, device=self.device) for g in self.order])

    def room(
        self,
        batch: int,
        dims: int,
        samples: int,
        latent: int,
        *,
        uniform: bool = True,
        randomness: tuple[int, int] = (0, 0),
    ) -> Noise:
        """For the noise of one batch; without uniforms where they are not looked at. `randomness`: uniforms a row of
        the encoder and of the decoder."""
        seeds = len(self.eps)

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, device=self.device)

        return Noise(
            zeros(seeds, batch, dims) if uniform else zeros(1, 1, 1),
            zeros(seeds, batch, samples, latent),
            uniform,
            zeros(seeds, batch, randomness[0]) if randomness[0] else None,
            zeros(seeds, batch * samples, randomness[1]) if randomness[1] else None,
        )

    def noise(self, batch: int, dims: int, samples: int, latent: int) -> Noise:
        """Of one batch."""
        drawn = self.room(batch, dims, samples, latent)
        self.fill(drawn)
        return drawn

    def fill(self, noise: Noise) -> None:
        """The next noise in place of the last."""
        if noise.needs_uniform:
            for of_seed, generator in zip(noise.uniform, self.uniform, strict=True):
                of_seed.uniform_(generator=generator)
        for of_seed, generator in zip(noise.eps, self.eps, strict=True):
            of_seed.normal_(generator=generator)
        for of_network in (noise.of_encoder, noise.of_decoder):
            if of_network is not None:
                for of_seed, generator in zip(of_network, self.dropout, strict=True):
                    of_seed.uniform_(generator=generator)


class Seeds:
    """Which of the G seeds each of some models has: takes what there is once a seed to the models."""

    def __init__(self, seed_of: Sequence[int], count: int, device: torch.device) -> None:
        """seed_of: of each model, which of the `count` seeds it has."""
        self.models = len(seed_of)
        self.shared = len(set(seed_of)) == 1
        self.each_its_own = list(seed_of) == list(range(count))
        self.first = seed_of[0]
        self.index = torch.tensor(seed_of, device=device)

    def of(self, once: Tensor) -> Tensor:
        """[G, ...] -> [m, ...]; no copy where all models have one seed, or each the next."""
        if self.shared:
            return once[self.first : self.first + 1].expand(self.models, *once.shape[1:])
        return once if self.each_its_own else once.index_select(0, self.index)
