"""Models of a bundle end one by one, by themselves, and leave; nobody else's numbers change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.vae_core.training.bundles import EVEN, assert_equal, images, members, numbers
from vae_core import likelihoods
from vae_core.data import Dataset
from vae_core.networks import Architecture
from vae_core.training import BundleProgram, Member, Schedule, Trainer, train, validate
from vae_core.training import loop as training_loop

ODD = Architecture((13,), "tanh", 3)
#: ends all of `members` between 5 and 30 epochs
PATIENT = Schedule(40, 32, 2e-2, patience=4, tolerance=0.04)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return images(8, 8)


def of_models(trainer: Trainer, places: Sequence[int]) -> list[Tensor]:
    """What these places of the stack have of all tensors that a trainer carries from step to step."""
    found = []
    for tensor, part in trainer.program.placed_state():
        inside = [place - part.start for place in places if part.start <= place < part.stop]
        if inside:
            found.append(tensor.detach()[inside])
    return found


# -- the limit ---------------------------------------------------------------------------------------------------------


def test_the_trajectory_does_not_depend_on_the_limit(data: Dataset) -> None:
    short, long = (train(data, members(0), EVEN, replace(PATIENT, epochs=limit)) for limit in (20, 40))
    ended = [place for place, why in enumerate(short.ended_by) if why == "patience"]
    assert 2 <= len(ended) < len(short.models)
    for place in range(len(short.models)):
        if place in ended:
            assert long.ended_by[place] == "patience"
            assert_equal(numbers(short, place), numbers(long, place))
        else:
            assert short.ended_by[place] == "limit"
            assert short.history[place] == long.history[place][: len(short.history[place])]


def test_the_look_at_the_limit_ends_nobody(data: Dataset) -> None:
    """It would, at another epoch than where the limit is higher: here looks are at every second epoch, the first to end
    anybody at 28, and whoever gains less than 100 bits/dim in 25 epochs has ended."""
    schedules = [Schedule(limit, 32, 1e-2, patience=25, tolerance=100.0) for limit in (27, 40)]
    short, long = (train(data, members(0)[:2], EVEN, schedule) for schedule in schedules)
    assert (short.ended_by, short.epochs_run) == (["limit"] * 2, [27] * 2)
    assert (long.ended_by, long.epochs_run) == (["patience"] * 2, [28] * 2)
    assert [epoch for epoch, _, _ in short.history[0]] == [*range(2, 27, 2), 27]


def test_no_patience_is_plain_training(data: Dataset) -> None:
    """Against the loop written out: all epochs, a look every second one and at the last, the best kept."""
    own = [*members(0), Member(likelihoods.make("gaussian", sigma=1e-30))]
    schedule = Schedule(51, 32, 1e-2)
    bundle = train(data, own, EVEN, schedule)
    trainer = Trainer(data, own, EVEN, schedule, "cpu")
    best = torch.full((len(own),), -math.inf)
    kept = [tensor.detach().clone() for tensor in trainer.program.parameters()[:4]]
    looks = []
    for epoch in range(1, 52):
        for index in trainer.epoch():
            trainer.step(index)
        if epoch % 2 == 0 or epoch == 51:
            value = validate(trainer.program, data.valid)
            looks.append((epoch, value.tolist()))
            for place in (value > best).nonzero()[:, 0].tolist():
                for copy, tensor in zip(kept, trainer.program.parameters(), strict=False):
                    copy[place] = tensor.detach()[place]
            best = torch.where(value > best, value, best)
    for place, member in enumerate(trainer.program.order):
        assert bundle.validation[member] == float(best[place])
        np.testing.assert_array_equal(
            [(epoch, value) for epoch, _, value in bundle.history[member]],
            [(epoch, values[place]) for epoch, values in looks],
        )
        for copy, tensor in zip(kept, bundle.models[member].encoder.parameters(), strict=True):
            assert torch.equal(copy[place], tensor[0])
    assert bundle.ended_by == ["limit"] * (len(own) - 1) + ["diverged"]
    assert bundle.epochs_run == [51] * (len(own) - 1) + [1]


def test_too_low_a_rate_is_not_called_an_end(data: Dataset) -> None:
    own = [Member(likelihoods.make("gaussian", sigma=0.2), learning_rate=rate) for rate in (1e-4, 1e-2)]
    bundle = train(data, own, EVEN, Schedule(60, 32, 1e-2, patience=8, tolerance=0.02))
    assert bundle.ended_by == ["limit", "patience"]
    assert bundle.epochs_run[0] == 60 > bundle.epochs_run[1]
    (gain, error), (of_the_other, _) = bundle.last_gain
    assert gain > 5 * error > 0
    assert gain > 2 * of_the_other


# -- who ends, leaves --------------------------------------------------------------------------------------------------


def test_a_model_that_ended_costs_nothing_afterwards(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int] = []
    validated: list[int] = []
    plain = BundleProgram.objectives

    def counted(self: BundleProgram, k: Tensor, *rest: Any, training: bool, **more: Any) -> Tensor:
        (trained if training else validated).append(self.models)
        return plain(self, k, *rest, training=training, **more)

    monkeypatch.setattr(BundleProgram, "objectives", counted)
    bundle = train(data, members(0, 1), EVEN, PATIENT)
    assert len(set(bundle.epochs_run)) > 3
    steps = 2
    assert sum(trained) == steps * sum(bundle.epochs_run)
    assert sum(validated) == sum(bundle.epochs_run)
    assert [len(course) for course in bundle.history] == bundle.epochs_run
    assert bundle.images_per_second * bundle.seconds == pytest.approx(64 * sum(bundle.epochs_run))


@pytest.mark.slow
@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_who_leaves_early_changes_no_neighbour(data: Dataset, averaging: float) -> None:
    """To the bit: each as alone, and as in a bundle in which nobody ends before it does."""
    own = members(0, 1)
    schedule = replace(PATIENT, epochs=30, averaging=averaging)
    bundle = train(data, own, EVEN, schedule)
    together = train(data, own, EVEN, replace(schedule, patience=30))  # looks every third epoch
    assert together.epochs_run == [30] * len(own)
    assert len({run for run in bundle.epochs_run if run < 30}) >= 3
    for place, member in enumerate(own):
        if place % 3 == 0:
            assert_equal(numbers(bundle, place), numbers(train(data, [member], EVEN, schedule), 0))
        together_at = {epoch: value for epoch, _, value in together.history[place]}
        looks = [(epoch, value) for epoch, _, value in bundle.history[place] if epoch in together_at]
        assert len(looks) == bundle.epochs_run[place] // 3
        assert all(value == together_at[epoch] for epoch, value in looks)


def test_with_odd_sizes_neighbours_move_by_rounding_alone() -> None:
    """Eight epochs after half of the bundle left, 1e-7 of a number has grown to less than 1e-4."""
    odd = images(5, 5)
    few, all_of_them = (Trainer(odd, members(0, 1), ODD, Schedule(1, 20, 3e-3), "cpu") for _ in range(2))
    staying = list(range(0, 14, 2))
    for epoch in range(10):
        if epoch == 2:
            few.keep(staying)
        for trainer in (few, all_of_them):
            for index in trainer.epoch():
                trainer.step(index)
    torch.testing.assert_close(of_models(few, range(7)), of_models(all_of_them, staying), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("staying", "seeds"),
    [([5], [2]), ([1, 2, 4, 5, 8, 10, 20], [1, 2]), ([4, 5, 6, 7, 8, 9, 10, 11, 12, 13], [0, 1, 2])],
)
def test_those_who_stay_go_on_where_they_were(data: Dataset, staying: list[int], seeds: list[int]) -> None:
    """Weights, moments, steps, rates, what likelihoods keep, and the noise of the seeds that are left."""
    schedule = Schedule(1, 32, 1e-2, averaging=0.9)
    few, all_of_them = (Trainer(data, members(0, 1, 2), EVEN, schedule, "cpu") for _ in range(2))
    for epoch in range(6):
        if epoch == 3:
            few.keep(staying)
            assert few.program.seeds == seeds
        for index, other in zip(few.epoch(), all_of_them.epoch(), strict=True):
            assert torch.equal(index, other if len(index) == 3 else other[seeds])
            value = all_of_them.step(other).clone()
            assert torch.equal(few.step(index), value[staying] if epoch >= 3 else value)
    assert_equal(of_models(few, range(len(staying))), of_models(all_of_them, staying))
    means = all_of_them.mean_objective()
    assert few.mean_objective() == [means[place] for place in staying]
    bounds = validate(few.shown, data.valid), validate(all_of_them.shown, data.valid)
    assert torch.equal(bounds[0], bounds[1][staying])


def test_stacks_that_wait_for_more_to_leave_give_the_same(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on CUDA: until a quarter of the stack has ended, those who have are computed and ignored."""
    own = [*members(0, 1), Member(likelihoods.make("gaussian", sigma=1e-30), seed=1)]
    at_once = train(data, own, EVEN, PATIENT)
    sizes: list[int] = []
    keep, leave_now = Trainer.keep, training_loop._leave_now

    def noted(self: Trainer, places: Sequence[int]) -> None:
        sizes.append(len(places))
        keep(self, places)

    monkeypatch.setattr(Trainer, "keep", noted)
    monkeypatch.setattr(
        training_loop, "_leave_now", lambda ended, stack, _: leave_now(ended, stack, torch.device("cuda"))
    )
    later = train(data, own, EVEN, PATIENT)
    for before, after in zip([len(own), *sizes], sizes, strict=False):
        assert before - after >= before / 4
    assert len(sizes) >= 2
    assert later.ended_by == at_once.ended_by
    assert later.images_per_second * later.seconds == pytest.approx(64 * sum(later.epochs_run))
    for place in range(len(own)):
        assert_equal(numbers(at_once, place), numbers(later, place))


def test_a_neighbour_that_diverges_leaves_at_once(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    step = Trainer.step

    def noted(self: Trainer, index: Tensor) -> Tensor:
        sizes.append(self.program.models)
        return step(self, index)

    own = members(0)
    schedule = Schedule(30, 32, 1e-2, patience=25)  # looks every second epoch
    clean = train(data, own, EVEN, schedule)
    monkeypatch.setattr(Trainer, "step", noted)
    bad = Member(likelihoods.make("gaussian", sigma=1e-30))
    bundle = train(data, [own[0], bad, *own[1:]], EVEN, schedule)
    assert (bundle.ended_by[1], bundle.epochs_run[1], bundle.history[1]) == ("diverged", 1, [])
    assert "no longer finite at step 1 (epoch 1)" in str(bundle.failures[1])
    assert math.isnan(bundle.last_gain[1][0])
    assert sizes[:3] == [9, 9, 8]
    for place, reference in ((0, 0), *((place + 1, place) for place in range(1, 7))):
        assert bundle.failures[place] is None
        assert_equal(numbers(bundle, place), numbers(clean, reference))


def test_training_stops_when_nobody_is_left(data: Dataset) -> None:
    bad = [Member(likelihoods.make("gaussian", sigma=1e-30), seed=seed) for seed in (0, 1)]
    bundle = train(data, bad, EVEN, Schedule(10**9, 32, 1e-2, patience=5))
    assert bundle.ended_by == ["diverged"] * 2
