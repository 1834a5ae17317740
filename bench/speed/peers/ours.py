"""This project on the same task: bundles in training, a trained model under the importance-weighted bound."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from bench.engine.local import Pool
from bench.engine.local import Task as PoolTask
from bench.engine.provenance import cores
from bench.speed.peers import plain
from bench.speed.peers.task import ARCHITECTURE, LOSSES, Task, schedule
from vae_core.data import VIEWS
from vae_core.evaluate import importance_bounds
from vae_core.networks import StackedMLP
from vae_core.training import Member, TrainedModel, Trainer, train


def member(loss: str, seed: int) -> Member:
    return Member(LOSSES[loss].likelihood(), seed=seed)


class Training:
    """A bundle, so many steps at a time that a block has at least `images` model-images."""

    def __init__(self, task: Task, models: int, images: int) -> None:
        members = [member(task.loss, seed) for seed in range(models)]
        self.trainer = Trainer(task.data, members, ARCHITECTURE, schedule(1), task.device)
        self.images_a_step = models * self.trainer.batch
        self.steps = -(-images // self.images_a_step)
        self.device = task.device
        self._indices = itertools.chain.from_iterable(iter(self.trainer.epoch, None))

    def images_per_second(self) -> float:
        """Model-images."""
        started = time.perf_counter()
        for index in itertools.islice(self._indices, self.steps):
            self.trainer.step(index)
        wait(self.device)
        return self.steps * self.images_a_step / (time.perf_counter() - started)


def stacks(source: plain.VAE) -> tuple[StackedMLP, StackedMLP]:
    """The plain model's encoder and decoder as stacks of one."""
    heads = [torch.cat(pair) for pair in zip(source.mean.parameters(), source.log_variance.parameters(), strict=True)]
    encoder = [*source.encoder[0].parameters(), *heads]
    decoder = [*source.decoder[0].parameters(), *source.decoder[2].parameters()]
    first, second = (
        StackedMLP(
            [weight.detach().T.contiguous().unsqueeze(0) for weight in layers[::2]],
            [bias.detach().reshape(1, 1, -1) for bias in layers[1::2]],
            ARCHITECTURE.activation,
        )
        for layers in (encoder, decoder)
    )
    return first, second


def with_weights(task: Task, source: plain.VAE) -> TrainedModel:
    """Our model with the plain one's weights."""
    likelihood = LOSSES[task.loss].likelihood().to(task.device)
    return TrainedModel(*stacks(source), likelihood, VIEWS[likelihood.view], task.data.levels)


def log_likelihood(task: Task, model: TrainedModel, k: Tensor, samples: int) -> float:
    """Mean importance-weighted bound at L = samples of integers k [N, D], nats: the mass of 0/1, the density at grey
    values."""
    x = task.floats(k).to(task.device)
    if model.view.binary:
        shown = x.to(torch.uint8)
        estimate = importance_bounds(
            shown,
            model.encode,
            model.decode,
            {"": lambda raw, rows: model.likelihood.log_mass(shown[rows].unsqueeze(1), raw, 2)},
            (samples,),
        )[""]
    else:
        estimate = importance_bounds(
            k.to(task.device),
            model.encode,
            model.decode,
            {"": lambda raw, rows: model.likelihood.log_prob(x[rows].unsqueeze(1), raw)},
            (samples,),
        )[""]
    return float(estimate.bound[samples].mean())


def run(tasks: Sequence[tuple[Task, int]], epochs: int, samples: int, k: Tensor) -> list[float]:
    """Trains one model for each (task, seed) in one bundle, then scores each: mean ln p of integers k [N, D], nats."""
    first = tasks[0][0]
    members = [member(task.loss, seed) for task, seed in tasks]
    bundle = train(first.data, members, first.network.architecture, schedule(epochs, first.network), first.device)
    return [log_likelihood(task, model, k, samples) for (task, _), model in zip(tasks, bundle.models, strict=True)]


def run_part(
    first: int, tasks: Sequence[tuple[Task, int]], epochs: int, samples: int, k: Tensor
) -> tuple[int, list[float]]:
    """`run` in a worker, with the place of its first task."""
    torch.set_flush_denormal(True)
    return first, run(tasks, epochs, samples, k)


class Grid:
    """The same as `vae-bench run` carries out a grid: on a CPU a worker with one thread for each core, which live from
    one block to the next; on a GPU one bundle in this process."""

    def __init__(self, device: str) -> None:
        self.pool = Pool(cores(), 1) if device == "cpu" else None

    def run(self, tasks: Sequence[tuple[Task, int]], epochs: int, samples: int, k: Tensor) -> list[float]:
        if self.pool is None:
            return run(tasks, epochs, samples, k)
        share = -(-len(tasks) // self.pool.workers)  # neighbours, as `bench.grid.plan` cuts a grid: models of one kind
        for first in range(0, len(tasks), share):
            part = tasks[first : first + share]
            self.pool.submit(PoolTask("bench.speed.peers.ours:run_part", (first, part, epochs, samples, k)))
        scores = [math.nan] * len(tasks)
        while self.pool.busy:
            for end in self.pool.wait(60.0):
                if end.failure:
                    raise RuntimeError(end.failure.reason)
                first, part_scores = end.value
                scores[first : first + len(part_scores)] = part_scores
        return scores

    def close(self) -> None:
        if self.pool is not None:
            self.pool.__exit__(None, None, None)


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
