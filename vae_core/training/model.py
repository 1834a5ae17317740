"""What training leaves: models that evaluation and a report can use, and a scale fitted to training data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_core.data import Dataset, View
from vae_core.likelihoods import Likelihood, Seen
from vae_core.networks import Stack
from vae_core.objectives import Posterior, split_posterior
from vae_core.training.noise import Streams
from vae_core.training.program import BundleProgram

#: training images that are looked at together
ROWS = 1000


@dataclass
class TrainedModel:
    """One trained VAE: what evaluation and a report need of it. Its likelihood is single and frozen."""

    encoder: Stack
    decoder: Stack
    likelihood: Likelihood
    view: View
    levels: int

    def encode(self, k: Tensor) -> tuple[Tensor, Tensor]:
        """Integers k [N, D] (0/1 in the binary view) -> mean and ln variance of q(z|x), each [N, Z]."""
        posterior = split_posterior(self.encoder(self.view.for_encoder(k, self.levels).unsqueeze(0))[0])
        return posterior.mean, posterior.log_variance

    def decode(self, z: Tensor) -> Tensor:
        """z [..., Z] -> raw [..., R]."""
        return self.decoder(z.reshape(1, -1, z.shape[-1])).reshape(*z.shape[:-1], -1)

    @property
    def parameters(self) -> int:
        """Learned numbers: of both networks and of the likelihood."""
        learned = (*self.encoder.parameters(), *self.decoder.parameters(), *self.likelihood.parameters())
        return sum(tensor.numel() for tensor in learned)


@dataclass
class TrainedBundle:
    """What `train` returns: of each model, in the order of the members given, what came out and how it ended."""

    models: list[TrainedModel]
    failures: list[str | None]
    best_epoch: list[int]
    validation: list[float]  #: the best validation objective, nats
    seconds: float
    #: images of all models' epochs, each model until it ended, by the seconds of the whole bundle, validation included
    images_per_second: float
    #: (epoch, mean training objective over the steps since the last validation, validation objective), nats, of each
    #: model until it ended
    history: list[list[tuple[int, float, float]]]
    epochs_run: list[int]  #: of a model that diverged up to where it did
    ended_by: list[str]  #: "patience", "behind" (a rival), "limit" or "diverged"
    #: the best validation objective minus the best within the first half of the epochs run, and its standard error,
    #: paired over images, bits/dim; NaN where unknown
    last_gain: list[tuple[float, float]]
    parameters: list[int]  #: learned numbers


def trained_model(program: BundleProgram, place: int, levels: int) -> TrainedModel:
    """The model at this place of the stack as it stands; shares no memory with it."""
    group = next(group for group in program.groups if group.part.start <= place < group.part.stop)
    likelihood = group.likelihood.select(place - group.part.start)
    likelihood.validate_args = True  # a bundle's own data need no checks; what a model is used on from now on does
    return TrainedModel(
        encoder=program.encoder.select(place),
        decoder=program.decoder.select(place),
        likelihood=likelihood,
        view=group.view,
        levels=levels,
    )


def trained_models(program: BundleProgram, levels: int) -> list[TrainedModel]:
    """Every model as it stands, in the order of the models axis."""
    return [trained_model(program, place, levels) for place in range(program.models)]


def fit_scale(model: TrainedModel, likelihood: Likelihood, data: Dataset, seed: int) -> None:
    """Gives a likelihood that `needs_fit` its scale from the training split, one z ~ q(z|x) an image: by residuals, or
    by what else its reading says (`Likelihood.fit`). In place; validation and test data are not touched."""
    likelihood.to(data.train.device)
    with torch.no_grad():
        likelihood.fit(_seen(model, data, seed, likelihood.fit_images), data.levels)


def fit_to_residuals(model: TrainedModel, likelihood: Likelihood, data: Dataset, seed: int) -> None:
    """`fit_scale` by its name of before a scale could be fitted to masses."""
    fit_scale(model, likelihood, data, seed)


def _seen(model: TrainedModel, data: Dataset, seed: int, most: int | None) -> Iterator[Seen]:
    """Training images in blocks, at most so many at even spacing: as integers, in the likelihood's own view, and what
    is decoded of one z ~ q(z|x) each."""
    device, count = data.train.device, len(data.train)
    k_all = (
        data.train if most is None or most >= count else data.train[torch.arange(most, device=device) * count // most]
    )
    streams = Streams("residuals", [seed], device)
    for start in range(0, len(k_all), ROWS):
        k = k_all[start : start + ROWS]
        posterior = Posterior(*model.encode(k))
        noise = streams.noise(len(k), k.shape[1], 1, posterior.mean.shape[-1])
        yield k, model.view.see(k, data.levels, noise.uniform[0]), model.decode(posterior.sample(noise.eps[0])[:, 0])
