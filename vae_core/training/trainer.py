"""A bundle in training, one step at a time: data on the device, program, noise, optimiser."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vae_core.data import Dataset
from vae_core.networks import Architecture
from vae_core.training.adam import Adam
from vae_core.training.capture import Replay
from vae_core.training.noise import Streams
from vae_core.training.program import BundleProgram
from vae_core.training.recipe import Member, Schedule

#: numbers of a training split up to which its views are kept: 16 MB each as floats
KEPT = 1 << 22


class Trainer:
    """A bundle in training: data on the device, program, optimiser, noise; one `step` at a time.

    On CUDA a step is one captured graph, after a few ordinary ones; the noise of each batch is drawn before it, from
    the same generators as anywhere else.
    """

    def __init__(
        self, data: Dataset, members: Sequence[Member], architecture: Architecture, schedule: Schedule, device: str
    ) -> None:
        self.data = data.to(device)
        self.schedule, self.latent = schedule, architecture.latent
        self.program = BundleProgram(members, architecture, schedule, data, device)
        spread = _spread(self.data)
        for group in self.program.groups:
            group.likelihood.initialise(spread)
        placed = self.program.placed_parameters()
        self._parameters = [tensor for tensor, _ in placed]
        asked = [members[index].learning_rate for index in self.program.order]
        rates = [schedule.learning_rate if rate is None else rate for rate in asked]
        self._optimiser = Adam(placed, rates, self.program.device)
        self._streams = Streams("training", self.program.seeds, self.program.device)
        self.batch = min(schedule.batch_size, len(self.data.train))
        self.steps = len(self.data.train) // self.batch
        #: the step, counted from 0, at which each model's objective was no longer finite, or −1, [M]
        self.failed_at = torch.full((self.program.models,), -1, dtype=torch.long, device=self.program.device)
        self._taken = torch.zeros((), dtype=torch.long, device=self.program.device)
        # all that a step is given: which images, and the noise
        self._index = torch.zeros(len(self.program.seeds), self.batch, dtype=torch.long, device=self.program.device)
        self._noise = self._streams.room(
            self.batch,
            self.data.dims,
            schedule.train_samples,
            self.latent,
            uniform=bool(self.program.random_views),
        )
        #: the training images as views without noise see them, where that is small enough to be kept
        self._kept: dict[str, Tensor] = {}
        if self.data.train.numel() <= KEPT:
            fixed = [name for name in self.program.views if name not in self.program.random_views]
            none = torch.zeros((), device=self.program.device)
            self._kept = {name: self.program.see(name, self.data.train, none) for name in fixed}
        #: of an image's objective in the sum that a step lowers
        self._weight = torch.full((self.program.models, self.batch), -1 / self.batch, device=self.program.device)
        self._replay = Replay(self.program.device) if self.program.device.type == "cuda" else None

    def state(self) -> list[Tensor]:
        """All tensors that training changes: parameters, then what likelihoods keep besides."""
        state = list(self._parameters)
        for group in self.program.groups:
            state += [t for t in group.likelihood.state() if all(t is not listed for listed in state)]
        return state

    def epoch(self) -> Iterator[Tensor]:
        """Indices [G, B] of the images of each step of one epoch."""
        order = self._streams.permutations(len(self.data.train))
        for step in range(self.steps):
            yield order[:, step * self.batch : (step + 1) * self.batch]

    def step(self, index: Tensor) -> Tensor:
        """One update on images index [G, B]; returns each model's mean objective before it, [M], nats, which the next
        step may overwrite."""
        self._index.copy_(index)
        self._streams.fill(self._noise)
        return self._work() if self._replay is None else self._replay(self._work)

    def _gathered(self, images: Tensor) -> Tensor:
        """[N, D] -> [G, B, D], those of this step."""
        return images.index_select(0, self._index.view(-1)).view(*self._index.shape, -1)

    def _work(self) -> Tensor:
        """The update for what lies in `_index` and `_noise`. Waits for nothing, so that a GPU can capture it."""
        kept = {name: self._gathered(images) for name, images in self._kept.items()}
        each = self.program.objectives(self._gathered(self.data.train), self._noise, training=True, kept=kept)
        self._optimiser.step(each, self._weight)
        with torch.no_grad():
            value = each.mean(1)
            if value.device.type != "cpu" or not math.isfinite(float(value.sum())):  # a look is free on a CPU alone
                gone = ~torch.isfinite(value) & (self.failed_at < 0)
                self.failed_at.copy_(torch.where(gone, self._taken, self.failed_at))
            self._taken += 1
        return value


def _spread(data: Dataset) -> float:
    """Standard deviation of the training data about its per-dimension mean, in units of the unit view."""
    train = data.train.float() / data.levels
    return float((train - train.mean(0)).square().mean().sqrt())
