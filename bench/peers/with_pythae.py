"""Pythae 0.1.2 as its users run it, at its best settings: its trainer, its `get_nll`, a run cell by cell."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import CallbackHandler, TrainingCallback
from torch import Tensor

from bench.peers import plain
from bench.peers.task import BATCH, LATENT, LEARNING_RATE, Task

#: get_nll's default for how many samples it decodes at once; of L it takes ⌊L / chunk⌋ such chunks
DEFAULT_CHUNK = 100

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
    """Pythae's default VAE."""
    torch.manual_seed(seed)
    return VAE(VAEConfig(input_dim=task.data.shape, latent_dim=LATENT, reconstruction_loss=task.loss))


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
    for own, given in pairs:
        own.load_state_dict(given.state_dict())
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
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        no_cuda=task.device == "cpu",
    )
