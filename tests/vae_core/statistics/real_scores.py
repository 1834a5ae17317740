"""Scores to simulate from: what the configurations of the reference run of digits gave, taken apart.

    python -m tests.vae_core.statistics.real_scores     # the fuller simulation, in numbers (half an hour)

Images are drawn with replacement from its 300 test images, so that skewness, tails and pairing are real; training noise
is added in the size that is wanted. The true mean of every simulated configuration is known: 0, or what is planted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from vae_core.statistics.intervals import Floats, Verdict, intervals, rank
from vae_core.statistics.references import versus_reference
from vae_core.statistics.significance import SeedNoise, of_values

RUN = Path(__file__).parents[3] / "results/reference/digits"
READ = ("mse_sum gaussian_implied", "mse_sum gaussian_fitted", "bce_sum continuous_bernoulli")
NATS = 64 * float(np.log(2))  # of a bit/dim


@dataclass(frozen=True)
class Real:
    """Nats: of 14 configurations [C], 3 seeds, 300 images."""

    common: Floats  # what an image costs all of them, [N], of mean 0
    taste: Floats  # what it costs each besides, [C, N], of mean 0
    interaction: Floats  # what it costs each seed besides, [C, S, N], of mean 0
    noise: Floats  # deviations of the mean between seeds, [C]

    @property
    def typical(self) -> float:
        return float(np.sqrt((self.noise**2).mean()))

    def law(self, rng: np.random.Generator, count: int) -> Floats:
        """Deviations between seeds as those of the run differ once the chance of three seeds is taken off: a scaled
        inverse chi-square law of their squares, by the first two moments of their logarithms."""
        freedom = 2.0  # of each
        logs = np.log(self.noise**2) - digamma(freedom / 2) + np.log(freedom / 2)
        excess = logs.var(ddof=1) - polygamma(1, freedom / 2)
        half = float(brentq(lambda x: polygamma(1, x) - excess, 0.1, 1e3))
        scale = np.exp(logs.mean() + digamma(half) - np.log(half))
        return np.sqrt(scale * 2 * half / rng.chisquare(2 * half, count)) / self.typical


@functools.cache
def real() -> Real:
    trained = pd.read_parquet(RUN / "cells.parquet").query("reference == 0 and currency == 'pmf-K'")
    # of a recipe's many readings, which are of the same weights, these few
    read = (trained["family"] + " " + trained["scored_as"]).isin(READ)
    cells = trained[read | (trained["scored_as"] == "itself")].sort_values(["config", "seed"])
    scores = pd.read_parquet(RUN / "per_image.parquet").pivot(index="cell", columns="image", values="iw_nats")
    samples = scores.loc[cells["cell"]].to_numpy().reshape(cells["config"].nunique(), -1, scores.shape[1])
    each = samples.mean(axis=1)
    taste = each - each.mean(axis=0)
    between = samples - each[:, None]
    return Real(
        common=each.mean(axis=0) - each.mean(),
        taste=taste - taste.mean(axis=1, keepdims=True),
        # three seeds about their own mean: by 3/2 less than about the true one
        interaction=np.sqrt(1.5) * (between - between.mean(axis=2, keepdims=True)),
        noise=samples.mean(axis=2).std(axis=1, ddof=1),
    )


#: how the training noise may differ between configurations, [C] relative to the typical one
LAWS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "alike": lambda rng, count: np.ones(count),
    "log-normal": lambda rng, count: np.exp(0.7 * rng.normal(size=count)),
    "one in ten is wild": lambda rng, count: np.where(rng.random(count) < 0.1, 6.0, 1.0),
    "real": lambda rng, count: real().law(rng, count),
}


def board(
    rng: np.random.Generator, truth: Floats, seeds: int, images: int, noise: float, law: str = "alike"
) -> tuple[list[Floats], Floats]:
    """Samples [S, N] of configurations with these true means [C], and a reference [N] whose true mean is 0: the scores
    of one configuration more without any noise of training. `noise`: between seeds, a fifth of its variance common."""
    count, parts = len(truth), real()
    some = rng.integers(0, len(parts.common), images)
    who = np.concatenate([rng.permutation(len(parts.taste)) for _ in range(count // len(parts.taste) + 1)])[: count + 1]
    taste = (parts.common + parts.taste[who])[:, some]
    seed_of = rng.integers(0, parts.interaction.shape[1], (count, seeds))
    interaction = parts.interaction[who[:count, None], seed_of][:, :, some] * rng.choice([-1, 1], (count, seeds, 1))
    own = LAWS[law](rng, count)[:, None] * rng.normal(size=(count, seeds))
    training = noise * (np.sqrt(0.8) * own + np.sqrt(0.2) * rng.normal(size=seeds))
    return list((truth[:, None] + training)[:, :, None] + taste[:count, None] + interaction), taste[count]


def error_of_images(images: int) -> float:
    """Of a mean, typically."""
    return float(real().common.std() / np.sqrt(images))


def error_of_pairs(images: int) -> float:
    """Of a difference, typically."""
    return float(np.sqrt(2) * np.median(real().taste.std(axis=1)) / np.sqrt(images))


# -- what is promised --------------------------------------------------------------------------------------------------


def covered(
    rng: np.random.Generator, count: int, seeds: int, images: int, ratio: float, samples: int, law: str = "alike"
) -> tuple[float, float]:
    """How often the joined interval of a configuration holds its true mean, and how often its image part would hold it
    if training had no noise. `ratio`: of the noise of a mean over seeds to that of images. The images of each are its
    own, but noise is moderated within boards of `count`."""
    noise = ratio * error_of_images(images) * np.sqrt(seeds)
    boards = [
        [board(rng, np.zeros(1), seeds, images, noise, law)[0][0] for _ in range(count)]
        for _ in range(max(1, samples // count))
    ]
    moderated = [of_values(some) for some in boards]
    joined = SeedNoise(
        np.concatenate([one.variance for one in moderated]), np.concatenate([one.freedom for one in moderated]), 0.0
    )
    found = intervals([sample for some in boards for sample in some], rng, replicates=300, noise=joined)
    calm = [board(rng, np.zeros(1), 1, images, 0.0)[0][0] for _ in range(samples)]
    alone = intervals(calm, rng, replicates=300)
    return held(found.low, found.high), held(alone.image_low, alone.image_high)


def held(low: Floats, high: Floats) -> float:
    return float(np.mean((low <= 0) & (high >= 0)))


def falsely_worse(
    rng: np.random.Generator, count: int, seeds: int, images: int, ratio: float, law: str, boards: int
) -> float:
    """How often any of equal configurations is called worse."""
    noise = ratio * error_of_pairs(images) * np.sqrt(seeds / 2)
    found = 0
    for _ in range(boards):
        samples, _ = board(rng, np.zeros(count), seeds, images, noise, law)
        found += Verdict.WORSE in rank(samples, [range(seeds)] * count, rng, replicates=100).verdicts
    return found / boards


def power(rng: np.random.Generator, count: int, law: str, boards: int, bits: float = 0.05) -> float:
    """How often a configuration is called worse that is, by so many bits/dim, in the setting of digits."""
    truth = np.where(np.arange(count) == 0, bits * NATS, 0.0)
    found = []
    for _ in range(boards):
        samples, _ = board(rng, truth, 3, 300, real().typical, law)
        verdicts = rank(samples, [range(3)] * count, rng, replicates=100).verdicts
        found.append(np.mean([verdict is Verdict.WORSE for verdict in verdicts[1:]]))
    return float(np.mean(found))


def reference_outranked(
    rng: np.random.Generator, count: int, seeds: int, images: int, ratio: float, law: str, boards: int
) -> float:
    """How often a reference is called worse than the best of configurations none of which is better."""
    noise = ratio * error_of_pairs(images) * np.sqrt(seeds)
    found = 0
    for _ in range(boards):
        samples, reference = board(rng, np.zeros(count), seeds, images, noise, law)
        best = int(np.argmax([sample.mean() for sample in samples]))
        (one,) = versus_reference(samples, [range(seeds)] * count, best, [reference], rng, replicates=100)
        found += one.verdict is Verdict.WORSE
    return found / boards


def main() -> None:
    """The fuller form of what test_promises.py holds, from 20 images on."""
    rng = np.random.default_rng(1)
    for count in (2, 5, 14, 40):
        found = {law: round(power(rng, count, law, 400 if count < 40 else 100), 3) for law in LAWS}
        print(f"0.05 bits/dim found, {count} configurations:", found, flush=True)
    for images in (20, 50, 300):
        for seeds in (2, 3, 5):
            for count in (2, 5, 14, 40):
                where = f"{images} images, {seeds} seeds, {count} configurations:"
                both = [covered(rng, count, seeds, images, ratio, 2000) for ratio in (0.3, 1, 3)]
                print(
                    where, "joined", [joined for joined, _ in both], "images", [alone for _, alone in both], flush=True
                )
                for name, rate in (("falsely worse", falsely_worse), ("reference outranked", reference_outranked)):
                    boards = 400 if count < 40 else 200
                    found = {
                        f"{law}, {ratio} x": rate(rng, count, seeds, images, ratio, law, boards)
                        for law in list(LAWS)[:3]
                        for ratio in (0.3, 3)
                    }
                    print(where, name, found, flush=True)


if __name__ == "__main__":
    main()
