"""The three comparisons: training, importance-weighted evaluation of one trained network, a whole grid of digits."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bench.speed.peers import ours, plain, with_pythae
from bench.speed.peers.task import ARCHITECTURE, DIGITS, LOSSES, Task, whole_batches
from bench.speed.peers.turns import Block, Ratio, ratio, take_turns
from bench.speed.throughput import matmul_gflops
from vae_core import data
from vae_core.data import Dataset
from vae_core.networks import model_cost

PYTHAE, CHUNKED = "Pythae", f"Pythae, chunks of {with_pythae.DEFAULT_CHUNK}"
PLAIN, ALONE = "plain PyTorch loop", "this project, alone"
MATMUL = "matrix products"
BUNDLES = (8, 16)
SAMPLES = 1000  # L
SEEDS = 4  # of each loss in the grid of digits


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    images: int  #: of an epoch in training
    rounds: int
    scored: int  #: test images in evaluation
    epochs: int  #: of each cell of the grid
    grid_scored: int  #: test images of each cell of the grid
    grid_rounds: int


FULL = Size(images=6400, rounds=6, scored=64, epochs=60, grid_scored=10**9, grid_rounds=4)
QUICK = Size(images=2560, rounds=3, scored=16, epochs=60, grid_scored=100, grid_rounds=1)


@dataclass(frozen=True)
class Row:
    """One program in one comparison."""

    program: str
    speed: float  #: median over rounds, in the comparison's unit
    share: Ratio | None  #: of the matrix-product rate measured in the same round
    times_pythae: Ratio  #: its speed over Pythae's
    score: float | None  #: mean ln p of the images it scored, nats, where it scored any


@dataclass(frozen=True)
class Comparison:
    title: str
    unit: str
    rows: tuple[Row, ...]
    matmul_gflops: float | None  #: median over rounds


def comparisons(dataset: Dataset, device: str, size: Size) -> Iterator[Comparison]:
    """All of them, as each is done."""
    some = whole_batches(dataset, size.images)
    for loss in LOSSES:
        yield training(Task(some, loss, device), size)
    for loss in LOSSES:
        yield evaluation(Task(some, loss, device), size)
    yield grid(device, size)


def training(task: Task, size: Size) -> Comparison:
    """Updates on the same images: gather, forward, backward, Adam."""
    least = size.images * (1 if task.device == "cpu" else 20)  # a bundle's step is too short a block for a GPU
    blocks = {
        PYTHAE: with_pythae.Training(task).images_per_second,
        PLAIN: plain.Training(task).images_per_second,
        ALONE: ours.Training(task, 1, least).images_per_second,
    } | {f"this project, bundle of {m}": ours.Training(task, m, least).images_per_second for m in BUNDLES}
    operations = model_cost(ARCHITECTURE, task.data.shape, task.data.dims).update_operations(samples=1)
    title = f"Training, {_network(task)}, batch 128\n{LOSSES[task.loss].title}"
    return _compared(title, "model-images/s", blocks, operations, task.device, size.rounds, {})


def evaluation(task: Task, size: Size) -> Comparison:
    """One network, trained by the plain loop for an epoch, scored by all."""
    trained = plain.Training(task)
    trained.epoch()
    k = task.data.test[: size.scored]
    theirs, x = with_pythae.with_weights(task, trained.model), task.floats(k).to(task.device)
    our_model = ours.with_weights(task, trained.model)
    scores: dict[str, float] = {}

    def timed(program: str, score: Callable[[], float]) -> Block:
        def block() -> float:
            started = time.perf_counter()
            scores[program] = score()
            return len(k) * SAMPLES / (time.perf_counter() - started)

        return block

    pictures = x.reshape(-1, *task.data.shape)
    blocks = {
        PYTHAE: timed(PYTHAE, lambda: with_pythae.log_likelihood(theirs, pictures, SAMPLES, SAMPLES)),
        CHUNKED: timed(
            CHUNKED, lambda: with_pythae.log_likelihood(theirs, pictures, SAMPLES, with_pythae.DEFAULT_CHUNK)
        ),
        PLAIN: timed(PLAIN, lambda: plain.log_likelihood(trained.model, task.loss, x, SAMPLES)),
        ALONE: timed(ALONE, lambda: ours.log_likelihood(task, our_model, k, SAMPLES)),
    }
    operations = model_cost(ARCHITECTURE, task.data.shape, task.data.dims).decode_operations
    title = f"IW evaluation, L = {SAMPLES}, {_network(task)}, {len(k)} test images\n{LOSSES[task.loss].title}"
    return _compared(title, "decodes/s", blocks, operations, task.device, size.rounds, scores)


def grid(device: str, size: Size) -> Comparison:
    """Both losses × seeds on digits: Pythae a cell at a time, ours in bundles; set-up and all included."""
    digits = whole_batches(data.load("digits"), 10**9, DIGITS.batch)
    tasks = [(Task(digits, loss, device, DIGITS), seed) for loss in LOSSES for seed in range(SEEDS)]
    k = digits.test[: size.grid_scored]
    scores: dict[str, float] = {}

    def timed(program: str, run: Callable[..., list[float]]) -> Block:
        def block() -> float:
            started = time.perf_counter()
            scores[program] = statistics.fmean(run(tasks, size.epochs, SAMPLES, k))
            return 60 * len(tasks) / (time.perf_counter() - started)

        return block

    our_grid = ours.Grid(device)
    program = (
        f"this project, {our_grid.pool.workers} workers" if our_grid.pool else f"this project, bundle of {len(tasks)}"
    )
    blocks = {PYTHAE: timed(PYTHAE, with_pythae.run), program: timed(program, our_grid.run)}
    architecture = DIGITS.architecture
    title = (
        f"A grid of digits, {digits.dims}-{architecture.hidden[0]}-{architecture.latent}: {len(LOSSES)} losses × "
        f"{SEEDS} seeds, {size.epochs} epochs,\nthen L = {SAMPLES} on {len(k)} images; "
        "validation and choice of the best model included"
    )
    try:
        return _compared(title, "cells/minute", blocks, None, device, size.grid_rounds, scores)
    finally:
        our_grid.close()


def _network(task: Task) -> str:
    return f"{task.data.name} {task.data.dims}-{ARCHITECTURE.hidden[0]}-{ARCHITECTURE.latent}"


def _compared(
    title: str,
    unit: str,
    blocks: Mapping[str, Block],
    operations: int | None,
    device: str,
    rounds: int,
    scores: Mapping[str, float],
) -> Comparison:
    """The programs in turn, the machine's matrix products among them where a share of their rate is asked for."""
    clocks = dict(blocks) if operations is None else {**blocks, MATMUL: lambda: matmul_gflops(device)}
    speeds = take_turns(clocks, rounds)
    rate = speeds.get(MATMUL)
    rows = []
    for program in blocks:
        share = None
        if operations is not None and rate is not None:
            share = ratio([speed * operations * 1e-9 for speed in speeds[program]], rate)
        rows.append(
            Row(
                program,
                statistics.median(speeds[program]),
                share,
                ratio(speeds[program], speeds[PYTHAE]),
                scores.get(program),
            )
        )
    return Comparison(title, unit, tuple(rows), statistics.median(rate) if rate else None)
