"""Training on the pretended device: the numbers of the CPU, to the bit where it computes in the device's ways, to
rounding where it computes in its own; by graphs that replay, not by the program called again."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.pretended.device import Recording
from tests.pretended.images import tiny
from tests.pretended.ways import GPU, assert_equal, cpu_in_its_ways
from tests.vae_core.evaluate.programs.made import empty
from tests.vae_core.evaluate.programs.test_steps import Planted
from tests.vae_core.training import bundles
from vae_core import likelihoods
from vae_core.data import Dataset
from vae_core.networks import Architecture
from vae_core.training import Member, Schedule, TrainedBundle, train
from vae_core.training.capture import WARM_UP

MLP = Architecture((12,), "tanh", 3)
SCHEDULE = Schedule(epochs=3, batch_size=20, learning_rate=3e-3)


@dataclass(frozen=True)
class Case:
    members: Callable[[], Sequence[Member]]
    architecture: Architecture = MLP
    schedule: Schedule = SCHEDULE
    levels: int = 5
    shape: tuple[int, ...] = (4, 4)
    captured: int = 1  #: graphs

    @property
    def data(self) -> Dataset:
        return tiny(self.levels, self.shape)


def made(*asked: tuple[str, dict[str, Any]], **member: Any) -> Callable[[], list[Member]]:
    return lambda: [
        Member(likelihoods.make(name, **options), seed=seed, **member) for seed, (name, options) in enumerate(asked)
    ]


RECIPES: list[tuple[str, dict[str, Any]]] = [
    (name, {}) for name in ("bce_sum", "bce_mean", "mse_sum", "mse_mean", "beta_mse")
]
CASES = {
    "every objective, bound and rate": Case(lambda: bundles.members(0, 1)),
    "folk recipes": Case(made(*RECIPES)),
    "learned σ of pixels": Case(made(*[(name, {"sigma": "pixel"}) for name in ("gaussian", "laplace", "student_t")])),
    "learned σ of images, binned": Case(
        made(*[(name, {"sigma": "image"}) for name in ("gaussian", "logistic")], objective="binned")
    ),
    "a mixture": Case(made(("logistic_mixture", {"levels": 5}))),
    "levels' own": Case(made(("categorical", {"levels": 5}))),
    "densities on [0, 1]": Case(made(("beta", {}), ("kumaraswamy", {}))),
    "maps": Case(
        made(("gaussian", {"sigma": "shared"}), ("bernoulli", {})),
        Architecture((8,), "relu", 3, network="conv", widths=(4,)),
        replace(SCHEDULE, epochs=2),
    ),
    "maps, a mixture": Case(
        made(("logistic_mixture", {"levels": 5, "components": 2})),
        Architecture((8,), "relu", 3, network="conv", widths=(4,)),
        replace(SCHEDULE, epochs=2),
    ),
    "residual maps, dropout": Case(
        made(("laplace", {"sigma": "shared"})),
        Architecture((), "tanh", 3, network="resnet", widths=(4,), dropout=0.2),
        replace(SCHEDULE, epochs=2),
    ),
    "several samples, a warm-up, free bits, averaged weights, dropout": Case(
        made(("gaussian", {"sigma": "shared"}), ("bernoulli", {}), kl_warmup=2.0, free_bits=0.05, kl_weight=1.5),
        replace(MLP, dropout=0.2),
        replace(SCHEDULE, train_samples=3, averaging=0.9, epochs=4),
    ),
    "a model that diverges": Case(
        made(("gaussian", {"sigma": 1e-30}), ("gaussian", {"sigma": 0.2})),
    ),
}


def on_both(case: Case) -> tuple[TrainedBundle, TrainedBundle]:
    before = len(Recording.made)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # a capture that was refused
        found = train(case.data, case.members(), case.architecture, case.schedule, GPU)
    graphs = Recording.made[before:]
    assert len(graphs) == case.captured
    assert all(graph.replays for graph in graphs)
    with cpu_in_its_ways():
        return found, train(case.data, case.members(), case.architecture, case.schedule)


@pytest.mark.parametrize("name", CASES)
def test_training_gives_the_cpu_s_numbers_to_the_bit(name: str) -> None:
    case = CASES[name]
    found, expected = on_both(case)
    assert assert_equal(found, expected) > 100
    assert found.failures == expected.failures


@pytest.mark.parametrize("name", ["every objective, bound and rate", "maps"])
def test_and_those_of_the_cpu_s_own_ways_to_rounding(name: str) -> None:
    case = CASES[name]
    found = train(case.data, case.members(), case.architecture, case.schedule, GPU)
    plain = train(case.data, case.members(), case.architecture, case.schedule)
    assert assert_equal(found, plain, rtol=1e-4, atol=1e-4) > 100


def by_programs(folder: Path) -> Planted:
    """A program of every step, which does what the plain path does."""
    return Planted(empty(folder), lambda kind, which: kind.flat(which))


@pytest.mark.filterwarnings("ignore:training goes on uncompiled")  # of the reference, which has no graphs
@pytest.mark.parametrize("name", ["every objective, bound and rate", "learned σ of images, binned", "maps"])
def test_training_by_programs_gives_the_cpu_s_numbers_to_the_bit(name: str, tmp_path: Path) -> None:
    """And those of the plain path to rounding: gradients that are computed apart are added in another order."""
    case = CASES[name]
    planted = by_programs(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        found = train(case.data, case.members(), case.architecture, case.schedule, GPU, compiled=planted)
    assert planted.calls
    with cpu_in_its_ways():
        same = train(
            case.data, case.members(), case.architecture, case.schedule, compiled=by_programs(tmp_path / "cpu")
        )
        plain = train(case.data, case.members(), case.architecture, case.schedule)
    assert assert_equal(found, same) > 100
    assert assert_equal(found, plain, rtol=1e-3, atol=1e-4) > 100


def test_steps_are_replays_after_the_first() -> None:
    case = CASES["folk recipes"]
    train(case.data, case.members(), case.architecture, case.schedule, GPU)
    steps = case.schedule.epochs * (len(case.data.train) // case.schedule.batch_size)
    assert Recording.made[-1].replays == steps - WARM_UP
    assert Recording.made[-1].operations > 50


# -- who leaves --------------------------------------------------------------------------------------------------------


def test_models_leave_when_a_share_has_ended_and_the_others_get_a_graph_of_their_own() -> None:
    schedule = Schedule(epochs=60, batch_size=32, learning_rate=3e-3, patience=6, tolerance=0.02)
    rates, data = (1e-2, 5e-3, 3e-3, 1e-3, 3e-4), bundles.images(4, 4)
    members = [Member(likelihoods.make("laplace", sigma=0.2), learning_rate=rate) for rate in rates]
    before = len(Recording.made)
    found = train(data, members, MLP, schedule, GPU, rivals=[range(len(members))])
    graphs = Recording.made[before:]
    assert set(found.ended_by) == {"patience", "limit", "behind"}
    assert 1 < len(graphs) <= len(members)
    assert [graph.replays > 0 for graph in graphs].count(True) > 1
    with cpu_in_its_ways():
        expected = train(data, members, MLP, schedule, rivals=[range(len(members))])
    assert assert_equal(found, expected) > 100
    assert found.ended_by == expected.ended_by
    plain = train(data, members, MLP, schedule, rivals=[range(len(members))])  # who ended leaves at once
    assert found.ended_by == plain.ended_by
    assert assert_equal(found.validation, plain.validation, rtol=1e-2) == len(members)
