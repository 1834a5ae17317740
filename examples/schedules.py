"""Which procedure brings models to their end: averaged weights, falling rates, warm-up, over a dozen configurations.

    python examples/schedules.py --small                                 # two configurations, some minutes on one core
    python examples/schedules.py --out results/reference/schedules       # all of it, about half an hour on one core

Every configuration is trained by every procedure at several learning rates, and ends by the suite's own rule
(vae_core.training.course: no gain above 0.001 bits/dim over 50 epochs). A model is measured on validation images by the
ELBO of the exact masses, bits/dim, so that families trained on different objectives stand side by side; what it cost is
the number of epochs that it ran. Test images are not touched.

The procedures, all Adam:

* constant: one rate throughout;
* averaged: the same, and the exponential average of the weights is what is validated and kept (Schedule.averaging);
* plateau: a model's rate falls to a third whenever its validation bound has not risen by more than the tolerance over
  15 or 30 epochs;
* warm-up: the rate rises in a straight line from 0 over the first 100 steps;
* some of them together, PROCEDURES.

What the library has not (rates that change) is put in its loop's place here for the time of a training: `steered`.

Every ending by another patience or tolerance is replayed on the same validations: endings.csv says after how many
epochs it would have come, and what it would have given up of the objective.

With --out the rows are written as they come, and a second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import torch
from torch import Tensor

from bench.engine.provenance import prepare_device, provenance
from vae_core import data, likelihoods
from vae_core.evaluate import log_likelihood
from vae_core.networks import Architecture
from vae_core.training import BundleProgram, Member, Schedule, TrainedModel, Trainer, loop, train
from vae_core.training.course import Course, trimmed_mean


@dataclass(frozen=True)
class Configuration:
    """A family with its options, and the objective that it is trained on."""

    family: str
    objective: str = ""  #: nothing where it has no choice
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return " ".join([self.family, *(str(value) for value in self.options.values()), self.objective]).strip()

    def member(self, rate: float, seed: int, levels: int) -> Member:
        takes = {"levels": levels} if likelihoods.get(self.family).takes_levels else {}
        return Member(
            likelihoods.make(self.family, **self.options, **takes), self.objective, seed=seed, learning_rate=rate
        )


CONFIGURATIONS = (
    Configuration("gaussian", "dequantised", {"sigma": "pixel"}),
    Configuration("gaussian", "binned", {"sigma": "pixel"}),
    Configuration("gaussian", "dequantised", {"sigma": "shared"}),
    Configuration("gaussian", "binned", {"sigma": "shared"}),
    Configuration("logistic", "binned", {"sigma": "pixel"}),
    Configuration("laplace", "binned", {"sigma": "pixel"}),
    Configuration("continuous_bernoulli", "dequantised"),
    Configuration("beta", "dequantised"),
    Configuration("categorical"),
    Configuration("beta_binomial"),
    Configuration("logistic_mixture"),
    Configuration("bce_sum"),
)
#: the small form: what explodes first, and what is slowest to end
SMALL = (CONFIGURATIONS[0], CONFIGURATIONS[6])


@dataclass(frozen=True)
class Procedure:
    """How rate and weights go."""

    name: str
    rates: tuple[float, ...] = (3e-3, 1e-2, 2e-2)
    averaging: float = 0.0
    warm_up: int = 0  #: steps over which the rate rises from 0
    stretch: int = 0  #: epochs without a gain after which it falls; 0: it does not
    falls_to: float = 1 / 3  #: share of the rate that a fall leaves


PROCEDURES = (
    Procedure("constant"),
    Procedure("averaged", averaging=0.995),
    Procedure("plateau 15", stretch=15),
    Procedure("averaged, warm-up", (1e-3, 3e-3, 1e-2, 2e-2), averaging=0.995, warm_up=100),
    Procedure("averaged, plateau 15", averaging=0.995, stretch=15),
    Procedure("averaged, warm-up, plateau 30", (3e-3, 1e-2), averaging=0.995, warm_up=100, stretch=30),
    Procedure("averaged longer, warm-up", (3e-3,), averaging=0.998, warm_up=100),
)
#: endings that are replayed: patience, tolerance
ENDINGS = ((20, 0.001), (30, 0.001), (40, 0.001), (50, 0.001), (30, 0.002), (50, 0.002))


class Watched(Course):
    """A course that remembers what it was shown, so that another ending can be replayed."""

    def __init__(self, schedule: Schedule, dims: int) -> None:
        super().__init__(schedule, dims)
        self.looks: list[tuple[int, float, float, Tensor]] = []
        self.falls = 0  #: times that the rate fell
        self.fell = 0  #: the epoch after which it last did

    def look(self, epoch: int, training: float, validation: float, each: Tensor, judged: Tensor | None = None) -> bool:
        self.looks.append((epoch, training, validation, each.clone()))
        return super().look(epoch, training, validation, each, judged)

    def stands_still(self, epoch: int, stretch: int) -> bool:
        """Whether it gained no more than the tolerance over the last `stretch` epochs, all of them at one rate."""
        before = self._best_by(epoch - stretch)
        if before is None or epoch - self.fell < stretch:
            return False
        return trimmed_mean(self._bests[-1].each - before.each) <= self._schedule.tolerance * self._dims * math.log(2)

    def replayed(self, patience: int, tolerance: float) -> tuple[int, float]:
        """Epochs run, and the best validation objective, nats, had it ended by this rule (where it comes sooner)."""
        course = Course(replace(self._schedule, patience=patience, tolerance=tolerance), self._dims)
        for look in self.looks:
            course.look(*look)
            if course.has_ended(look[0]):
                return look[0], course.validation
        return self.epochs_run, course.validation


class Steered(Trainer):
    """A trainer whose rates change: all of them while they warm up, each model's own after a plateau."""

    def __init__(self, procedure: Procedure, *given: Any) -> None:
        super().__init__(*given)
        self.procedure, self._stepped = procedure, 0

    def step(self, index: Tensor) -> Tensor:
        if self._stepped < self.procedure.warm_up:
            self._stepped += 1
            asked = [rate for rate, _ in itertools.groupby(self._optimiser._rates)]
            for run, rate in zip(self._optimiser._runs, asked, strict=True):
                run.rate = rate * self._stepped / self.procedure.warm_up
        return super().step(index)

    def looked(self, courses: Sequence[Watched], epoch: int) -> None:
        """After a validation: the rates of those fall that stand still."""
        falling = [course.stands_still(epoch, self.procedure.stretch) for course in courses]
        if not any(falling):
            return
        for place in (place for place, falls in enumerate(falling) if falls):
            courses[place].falls, courses[place].fell = courses[place].falls + 1, epoch
            self._optimiser._rates[place] *= self.procedure.falls_to
        self._optimiser = self._optimiser.of(self.program.placed_parameters(), range(self.program.models))


@contextlib.contextmanager
def steered(procedure: Procedure) -> Iterator[list[Watched]]:
    """Puts the procedure into the library's loop for a training on a CPU; gives the courses, in the members' order,
    which fill as it trains."""
    courses: list[Watched] = []
    validate_all = loop._validate_all

    def watched(schedule: Schedule, dims: int) -> Watched:
        courses.append(Watched(schedule, dims))
        return courses[-1]

    def validate(
        trainer: Steered, best: BundleProgram, of_stack: Sequence[Watched], epoch: int, *, masses: bool
    ) -> None:
        validate_all(trainer, best, of_stack, epoch, masses=masses)
        if procedure.stretch:
            trainer.looked(of_stack, epoch)

    trainer = functools.partial(Steered, procedure)
    with mock.patch.multiple(loop, Trainer=trainer, Course=watched, _validate_all=validate):
        yield courses


def compared(given: argparse.Namespace) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """Rows of the table, and of endings.csv, of one procedure's bundle after the other."""
    images = data.load(given.dataset)
    chosen = SMALL if given.small else CONFIGURATIONS
    procedures = [one for one in PROCEDURES if not given.procedures or one.name in given.procedures]
    for procedure in procedures:
        rates = tuple(given.rates or procedure.rates)
        for width, alike in itertools.groupby(sorted(chosen, key=_width(images)), key=_width(images)):
            pairs = [(one, rate) for one in alike for rate in rates]
            pairs = [(one, rate) for one, rate in pairs if (procedure.name, rate, one.name) not in given.done]
            if pairs:
                began = time.perf_counter()
                yield _trained(procedure, pairs, images, given)
                took = time.perf_counter() - began
                print(f"{procedure.name}, {len(pairs)} models of {width} outputs: {took:.0f} s", flush=True)


def _width(images: data.Dataset) -> Any:
    return lambda one: one.member(1.0, 0, images.levels).likelihood.outputs(images.dims)


def _trained(
    procedure: Procedure, pairs: Sequence[tuple[Configuration, float]], images: data.Dataset, given: argparse.Namespace
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """One bundle, by one procedure."""
    of_nobody = 1e-3  # members have rates of their own
    schedule = Schedule(
        given.epochs, given.batch_size, of_nobody, patience=given.patience, averaging=procedure.averaging
    )
    members = [one.member(rate, given.seed, images.levels) for one, rate in pairs]
    with steered(procedure) as courses:
        bundle = train(images, members, Architecture((given.hidden,), "tanh", given.latent), schedule)
    to_bits = -1 / (images.dims * math.log(2))
    rows, endings = [], []
    for at, ((one, rate), course) in enumerate(zip(pairs, courses, strict=True)):
        key = {"procedure": procedure.name, "rate": rate, "configuration": one.name}
        usable = bundle.failures[at] is None
        rows.append(
            key
            | {
                "bits": to_bits * _elbo(bundle.models[at], images) if usable else math.nan,
                "objective": to_bits * bundle.validation[at],
                "epochs": bundle.epochs_run[at],
                "best_epoch": bundle.best_epoch[at],
                "ended_by": bundle.ended_by[at],
                "falls": course.falls,
                "deepest": _deepest([training for _, training, _, _ in course.looks]) * -to_bits,
                "deepest_shown": _deepest([validation for _, _, validation, _ in course.looks]) * -to_bits,
            }
        )
        for patience, tolerance in ENDINGS if usable else ():
            epochs, reached = course.replayed(patience, tolerance)
            given_up = to_bits * (reached - bundle.validation[at])
            endings.append(key | {"patience": patience, "tolerance": tolerance, "epochs": epochs, "given_up": given_up})
    return rows, endings


def _elbo(model: TrainedModel, images: data.Dataset) -> float:
    """Mean exact-mass ELBO of the validation images, 100 samples each, nats."""
    found = log_likelihood(images.valid, model.encode, model.decode, model.likelihood, (100,), images.levels)
    return float(found.elbo.mean())


def _deepest(course: Sequence[float]) -> float:
    """The deepest fall below the best so far, from the fifth look on: an explosion of the training shows in it."""
    best = itertools.accumulate(course, max)
    return max((top - now for top, now in list(zip(best, course, strict=True))[5:]), default=0.0)


def lost(table: pd.DataFrame) -> pd.Series:
    """Each row's bits/dim above the best of its configuration; of a recipe, which trains no mass, its objective's."""
    recipes = [issubclass(likelihoods.get(name.split()[0]), likelihoods.Recipe) for name in table.configuration]
    value = table.objective.where(recipes, table.bits)
    return value - value.groupby(table.configuration).transform("min")


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row a procedure and rate: what it lost against the best that any gave, configuration by configuration."""
    rows = table.assign(lost=lost(table), limit=table.ended_by == "limit")
    found = rows.groupby(["procedure", "rate"], sort=False).agg(
        models=("bits", "size"),
        lost_mean=("lost", "mean"),
        lost_most=("lost", "max"),
        within=("lost", lambda lost: (lost <= 0.005).sum()),
        epochs_mean=("epochs", "mean"),
        epochs_most=("epochs", "max"),
        not_ended=("limit", "sum"),
        deepest=("deepest", "max"),
    )
    return found.reset_index()


def main(given: argparse.Namespace) -> pd.DataFrame:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    files = [given.out / name for name in ("schedules.csv", "endings.csv")] if given.out else []
    tables = [pd.read_csv(file) if file.exists() else pd.DataFrame() for file in files] or [pd.DataFrame()] * 2
    given.done = {tuple(row[:3]) for row in tables[0].itertuples(index=False)}
    for new in compared(given):
        tables = [pd.concat([table, pd.DataFrame(rows)]) for table, rows in zip(tables, new, strict=True)]
        for table, file in zip(tables, files, strict=False):
            file.parent.mkdir(parents=True, exist_ok=True)
            table.to_csv(file, index=False, float_format="%.6g")
    return tables[0]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="two configurations instead of twelve")
    parser.add_argument("--procedures", nargs="+", choices=[one.name for one in PROCEDURES], help="these alone")
    parser.add_argument("--rates", type=float, nargs="+", help="learning rates, in place of each procedure's own")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--epochs", type=int, default=1000, help="the limit")
    parser.add_argument("--patience", type=int, default=50, help="epochs")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--hidden", type=int, default=200)
    parser.add_argument("--latent", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for schedules.csv, endings.csv and provenance.json")
    return parser.parse_args()


if __name__ == "__main__":
    asked = arguments()
    try:
        table = main(asked)
    except ValueError as error:  # an unknown data set, a rate that is none
        sys.exit(str(error))
    print(summary(table).to_string(index=False, float_format="{:.4g}".format))
    if asked.out:
        command = " ".join(["python", *(Path(word).name if "/" in word else word for word in sys.argv)])
        facts = provenance([], prepare_device("cpu"), 1, 1) | {"command": command}
        (asked.out / "provenance.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
