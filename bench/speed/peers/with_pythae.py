"""Pythae 0.1.2 as its users run it, at its best settings: its trainer, its `get_nll`, a run cell by cell."""

from __future__ import annotations

import itertools
import logging
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import CallbackHandler, TrainingCallback
from torch import Tensor, nn

from bench.speed.peers import plain
from bench.speed.peers.task import DEFAULT, Task
from vae_core.networks import Architecture

#: get_nll's default for how many samples it decodes at once; of L it takes ⌊L / chunk⌋ such chunks
DEFAULT_CHUNK = 100

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}

logging.getLogger("pythae.trainers.base_trainer.base_trainer").setLevel(logging.WARNING)  # it reports every epoch


class Trainer(BaseTrainer):
    """Pythae's, without the progress bar and the printer that it adds of itself."""

    def _setup_callbacks(self) -> None:
        self.callback_handler = CallbackHandler(callbacks=self.callbacks or [], model=self.model)


class Clock(TrainingCallback):
    """Seconds of the last epoch, the copy of the best model included."""

    seconds = 0.0

    def on_epoch_begin(self, training_config: Any, **_: Any) -> None:
        self.started = time.perf_counter()

    def on_epoch_end(self, training_config: Any, **_: Any) -> None:
        self.seconds = time.perf_counter() - self.started


def create(task: Task, seed: int = 0) -> Any:
    """Pythae's VAE: its default network, or the task's."""
    torch.manual_seed(seed)
    architecture = task.network.architecture
    config = VAEConfig(input_dim=task.data.shape, latent_dim=architecture.latent, reconstruction_loss=task.loss)
    if task.network == DEFAULT:
        return VAE(config)
    return VAE(config, Encoder(task.data.dims, architecture), Decoder(task.data.shape, architecture))


class Encoder(BaseEncoder):
    """A perceptron of any one activation, as Pythae wants its users to write it."""

    def __init__(self, dims: int, architecture: Architecture) -> None:
        super().__init__()
        self.hidden = _perceptron((dims, *architecture.hidden), architecture.activation)
        self.mean = nn.Linear(architecture.hidden[-1], architecture.latent)
        self.log_variance = nn.Linear(architecture.hidden[-1], architecture.latent)

    def forward(self, x: Tensor) -> Any:
        hidden = self.hidden(x.flatten(1))
        return ModelOutput(embedding=self.mean(hidden), log_covariance=self.log_variance(hidden))


class Decoder(BaseDecoder):
    """Its mirror, with a sigmoid at the end."""

    def __init__(self, shape: tuple[int, ...], architecture: Architecture) -> None:
        super().__init__()
        self.shape = shape
        widths = (architecture.latent, *reversed(architecture.hidden))
        self.hidden = _perceptron(widths, architecture.activation)
        self.last = nn.Sequential(nn.Linear(widths[-1], math.prod(shape)), nn.Sigmoid())

    def forward(self, z: Tensor) -> Any:
        return ModelOutput(reconstruction=self.last(self.hidden(z)).reshape(-1, *self.shape))


def _perceptron(widths: Sequence[int], activation: str) -> nn.Sequential:
    layers = [nn.Sequential(nn.Linear(a, b), ACTIVATIONS[activation]()) for a, b in itertools.pairwise(widths)]
    return nn.Sequential(*layers)


def images(task: Task, k: Tensor) -> Tensor:
    """[N, D] -> [N, *shape]."""
    return task.floats(k).reshape(-1, *task.data.shape)


def with_weights(task: Task, source: plain.VAE) -> Any:
    """Pythae's model with the plain one's weights."""
    model = create(task).to(task.device)
    pairs = (
        (model.encoder.layers[0][0], source.encoder[0]),
        (model.encoder.embedding, source.mean),
        (model.encoder.log_var, source.log_variance),
        (model.decoder.layers[0][0], source.decoder[0]),
        (model.decoder.layers[1][0], source.decoder[2]),
    )
    for their_layer, plain_layer in pairs:
        their_layer.load_state_dict(plain_layer.state_dict())
    return model.eval()


class Training:
    """Pythae's trainer, an epoch at a time."""

    def __init__(self, task: Task) -> None:
        self.task, self.model = task, create(task)
        self.images = _dataset(task, task.data.train)

    def images_per_second(self) -> float:
        """One epoch by `train`; its set-up and the save at its end are not timed."""
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            Trainer(self.model, self.images, None, _settings(self.task, folder, 1), [clock]).train()
        return len(self.images) / clock.seconds


@torch.no_grad()
def log_likelihood(model: Any, x: Tensor, samples: int, chunk: int) -> float:
    """get_nll of x [N, *shape], which is the mean of +ln p(x), nats; raises ValueError where it would draw others than
    so many samples."""
    if samples % chunk:
        raise ValueError(f"get_nll takes whole chunks: {samples} samples are no multiple of {chunk}")
    return float(model.get_nll(x, n_samples=samples, batch_size=chunk))


def run(tasks: Sequence[tuple[Task, int]], epochs: int, samples: int, k: Tensor) -> list[float]:
    """Trains and scores one model for each (task, seed), one after another: mean ln p of integers k [N, D], nats."""
    scores = []
    for task, seed in tasks:
        with tempfile.TemporaryDirectory() as folder:
            settings = _settings(task, folder, epochs)
            trainer = Trainer(
                create(task, seed), _dataset(task, task.data.train), _dataset(task, task.data.valid), settings
            )
            trainer.train()
            model = VAE.load_from_folder(str(Path(trainer.training_dir) / "final_model"))
        scores.append(log_likelihood(model.to(task.device).eval(), images(task, k).to(task.device), samples, samples))
    return scores


def _dataset(task: Task, k: Tensor) -> Any:
    return BaseDataset(images(task, k), torch.zeros(len(k)))


def _settings(task: Task, folder: str, epochs: int) -> Any:
    return BaseTrainerConfig(
        output_dir=folder,
        num_epochs=epochs,
        per_device_train_batch_size=task.network.batch,
        per_device_eval_batch_size=task.network.batch,
        learning_rate=task.network.learning_rate,
        no_cuda=task.device == "cpu",
    )
