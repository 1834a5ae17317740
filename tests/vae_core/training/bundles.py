"""Small bundles in which models end, and their numbers.

Whether a number is the same to the bit in a smaller stack is a matter of the CPU's code (`Trainer`). With one thread it
is where what each model has in a tensor is a multiple of 32: EVEN, on images of 8 × 8 in batches of 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_core import likelihoods
from vae_core.data import Dataset
from vae_core.networks import Architecture
from vae_core.training import Member, TrainedBundle

EVEN = Architecture((32,), "tanh", 16)


def images(rows: int, columns: int) -> Dataset:
    """Values 0..4: a bright bar whose row is the image's hidden cause, plus noise; 64, 32 and 32 images."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 2, size=(128, rows, columns))
    drawn[np.arange(128), rng.integers(0, rows, size=128)] += 3
    drawn = drawn.astype(np.uint8)
    return Dataset.from_arrays("bars", 5, drawn[:64], drawn[64:96], drawn[96:])


def members(*seeds: int) -> list[Member]:
    """Every way in which a likelihood keeps something, every objective and bound, a view that draws, rates apart."""
    settings: list[tuple[str, dict[str, Any], str, str, float | None]] = [
        ("gaussian", {"sigma": "shared"}, "", "elbo", None),
        ("gaussian", {"sigma": 0.2}, "", "elbo", 3e-2),
        ("logistic", {"sigma": "optimal"}, "", "elbo", None),
        ("laplace", {"sigma": 0.2}, "", "iwae", None),
        ("laplace", {"sigma": "shared"}, "binned", "elbo", 3e-2),
        ("bernoulli", {}, "", "elbo", None),
        ("binomial", {"levels": 5}, "", "elbo", None),
        ("laplace", {"sigma": 0.3}, "binned", "iwae", None),
    ]
    return [
        Member(likelihoods.make(name, **options), objective, bound, seed, rate)
        for seed in seeds
        for name, options, objective, bound, rate in settings
    ]


def numbers(bundle: TrainedBundle, place: int) -> list[Tensor]:
    """All that was learned of a model, and what came of it."""
    model = bundle.models[place]
    learned = [*model.encoder.parameters(), *model.decoder.parameters(), *model.likelihood.state()]
    course = [number for look in bundle.history[place] for number in look]
    ends = [bundle.best_epoch[place], bundle.validation[place], bundle.epochs_run[place], *bundle.last_gain[place]]
    return [*(tensor.detach().flatten() for tensor in learned), torch.tensor(course), torch.tensor(ends)]


def assert_equal(left: Sequence[Tensor], right: Sequence[Tensor]) -> None:
    """To the bit."""
    for one, other in zip(left, right, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
