"""The code paths that throughput tests time and count, and what each is held against in plain torch.

Two sizes: `digits`, the default grid's, and `images`, the MNIST MLP of docs/RULES.md, Speed, on made-up pixels, so
that nothing needs a download.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_core import likelihoods
from vae_core.data import Dataset, load
from vae_core.evaluate import importance_bounds, refine
from vae_core.evaluate.conditional import conditional
from vae_core.likelihoods import Likelihood
from vae_core.networks import Architecture
from vae_core.networks.mlp import MLP
from vae_core.objectives import Posterior, split_posterior
from vae_core.training import Member, Schedule, Trainer


@dataclass(frozen=True)
class Size:
    """A data set and the network that fits it."""

    name: str
    dims: int
    levels: int
    architecture: Architecture
    batch: int

    def data(self) -> Dataset:
        if self.name == "digits":
            return load("digits")
        rng = np.random.default_rng(0)
        side = round(self.dims**0.5)
        splits = [rng.integers(self.levels, size=(count, side, side)) for count in (1000, 100, 100)]
        return Dataset.from_arrays(self.name, self.levels, *splits)


DIGITS = Size("digits", 64, 17, Architecture((200,), "tanh", 10), 100)
IMAGES = Size("images", 784, 256, Architecture((400,), "tanh", 20), 128)


def gaussians(models: int) -> list[Likelihood]:
    """Gaussians of different σ: one kind."""
    return [likelihoods.make("gaussian", sigma=0.1 * (1 + m)) for m in range(models)]


def trainer(
    size: Size,
    members: Sequence[Likelihood],
    device: str,
    *,
    objective: str = "",
    bound: str = "elbo",
    samples: int = 1,
) -> Trainer:
    schedule = Schedule(epochs=1, batch_size=size.batch, learning_rate=1e-3, train_samples=samples)
    bundle = [Member(likelihood, objective, bound) for likelihood in members]
    return Trainer(size.data(), bundle, size.architecture, schedule, device)


def stepper(
    size: Size,
    members: Sequence[Likelihood],
    device: str,
    *,
    objective: str = "",
    bound: str = "elbo",
    samples: int = 1,
) -> Callable[[], Any]:
    """One update of a bundle, always on the same images."""
    own = trainer(size, members, device, objective=objective, bound=bound, samples=samples)
    index = next(own.epoch())
    return lambda: own.step(index)


def steppers_in_turn(size: Size, members: Sequence[Likelihood], device: str) -> Callable[[], Any]:
    """One update of each model, alone, one after the other."""
    steps = [stepper(size, [member], device) for member in members]

    def all_steps() -> None:
        for step in steps:
            step()

    return all_steps


def minimal_stepper(size: Size, models: int, device: str) -> Callable[[], Any]:
    """What an update of M Gaussian VAEs cannot do without, in plain torch: the same matrix products forward and
    backward, one squared error, the KL, one Adam. One batch and one ε, made beforehand: no gathering, no noise, no
    views.
    """
    encoder, decoder = MLP.create(size.architecture, (size.dims,), size.dims, [0] * models)
    (w1, w2), (b1, b2) = ([t.to(device).requires_grad_() for t in ts] for ts in (encoder.weights, encoder.biases))
    (w3, w4), (b3, b4) = ([t.to(device).requires_grad_() for t in ts] for ts in (decoder.weights, decoder.biases))
    optimiser = torch.optim.Adam([w1, w2, w3, w4, b1, b2, b3, b4], lr=1e-3, fused=True)
    x = torch.rand(models, size.batch, size.dims, device=device)
    eps = torch.randn(models, size.batch, size.architecture.latent, device=device)

    def step() -> None:
        encoded = torch.baddbmm(b2, torch.tanh(torch.baddbmm(b1, x, w1)), w2)
        mean, log_variance = encoded.chunk(2, dim=-1)
        variance = log_variance.exp()
        z = mean + variance.sqrt() * eps
        raw = torch.baddbmm(b4, torch.tanh(torch.baddbmm(b3, z, w3)), w4)
        loss = 50 * (x - raw).square().sum() + 0.5 * (mean.square() + variance - 1 - log_variance).sum()
        optimiser.zero_grad(set_to_none=True)
        (loss / size.batch).backward()
        optimiser.step()

    return step


class Decoder:
    """One untrained model with images to score, as evaluation sees it."""

    def __init__(self, size: Size, likelihood: Likelihood, device: str, images: int) -> None:
        self.size, self.likelihood = size, likelihood.unchecked()  # as an evaluation calls it
        self.levels = 2 if likelihood.view == "binary" else size.levels
        self.k = size.data().test[:images].clamp(max=self.levels - 1).to(device)
        encoder, decoder = MLP.create(size.architecture, (size.dims,), likelihood.outputs(size.dims), [0])
        self.encoder, self.decoder = encoder.to(device), decoder.to(device)

    def encode(self, k: Tensor) -> tuple[Tensor, Tensor]:
        posterior = split_posterior(self.encoder((k.float() / (self.levels - 1)).unsqueeze(0))[0])
        return posterior.mean, posterior.log_variance

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z.reshape(1, -1, z.shape[-1])).reshape(*z.shape[:-1], -1)

    def score(self, raw: Tensor, rows: slice) -> Tensor:
        return self.likelihood.log_mass(self.k[rows].unsqueeze(1), raw, self.levels)

    def importance(self, samples: int) -> Callable[[], Any]:
        """The streamed importance-weighted bound of all images, by the exact mass."""
        return lambda: importance_bounds(self.k, self.encode, self.decode, {"": self.score}, (1, samples))

    def products(self, samples: int, rows: int = 1024) -> Callable[[], Any]:
        """The matrix products of as many decodes and nothing else, in pieces that stay in a core's cache."""
        first, second = (weight[0].detach() for weight in self.decoder.weights)
        pieces, rest = divmod(len(self.k) * samples, rows)
        if rest:
            raise ValueError(f"{len(self.k)} images × {samples} samples are no multiple of {rows} rows")
        z = torch.randn(rows, self.size.architecture.latent, device=first.device)

        def multiply() -> None:
            for _ in range(pieces):
                torch.mm(torch.mm(z, first), second)

        return multiply

    def refinement(self, steps: int) -> Callable[[], Any]:
        """The ascent of a Gaussian fitted to each image."""
        encoder = Posterior(*self.encode(self.k))
        return lambda: refine(conditional(self.decode, self.score), encoder, steps=steps)
