"""What training leaves: models that evaluation and a report can use."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vae_core.data import View
from vae_core.likelihoods import Likelihood
from vae_core.networks import Stack
from vae_core.objectives import split_posterior
from vae_core.training.program import BundleProgram


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
