"""What all programs are given: the network's widths, the images, the two objectives by Pythae's names for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from vae_core import data, likelihoods
from vae_core.data import Dataset
from vae_core.likelihoods import Likelihood
from vae_core.networks import Architecture
from vae_core.training import Schedule

HIDDEN = 512  # the one hidden layer of Pythae's default encoder and decoder; it is not an option there
LATENT = 20
BATCH = 128
LEARNING_RATE = 1e-3
ARCHITECTURE = Architecture((HIDDEN,), "relu", LATENT)


@dataclass(frozen=True)
class Network:
    """Widths, and how they are trained."""

    architecture: Architecture
    batch: int
    learning_rate: float


DEFAULT = Network(ARCHITECTURE, BATCH, LEARNING_RATE)  #: Pythae's network
DIGITS = Network(Architecture((200,), "tanh", 10), 100, 3e-3)  #: that of this project's default grid


@dataclass(frozen=True)
class Loss:
    """One of Pythae's reconstruction losses, as a likelihood."""

    title: str
    floats: Callable[[Tensor, int], Tensor]  #: integers [N, D], levels K -> what the peers are given, in [0, 1]
    likelihood: Callable[[], Likelihood]  #: whose −log_prob is the same loss up to a constant


LOSSES = {
    "bce": Loss("Bernoulli, thresholded pixels", data.threshold, lambda: likelihoods.make("bernoulli")),
    "mse": Loss(
        "Gaussian, σ = 1, grey pixels", data.grey, lambda: likelihoods.make("gaussian", sigma=1.0, link="sigmoid")
    ),
}


@dataclass(frozen=True)
class Task:
    """A data set under one loss."""

    data: Dataset
    loss: str
    device: str
    network: Network = DEFAULT

    def floats(self, k: Tensor) -> Tensor:
        """Integers [N, D] as the peers are given them: [N, D], floats in host memory."""
        return LOSSES[self.loss].floats(k.cpu(), self.data.levels).float()


def schedule(epochs: int, network: Network = DEFAULT) -> Schedule:
    return Schedule(epochs, network.batch, network.learning_rate, binarisation="threshold")


def whole_batches(dataset: Dataset, most: int, batch: int = BATCH) -> Dataset:
    """The data set with its first training images, at most so many and a multiple of `batch`: no program then has a
    remainder to drop or to train on."""
    count = min(most, len(dataset.train)) // batch * batch
    return dataclasses.replace(dataset, train=dataset.train[:count])
