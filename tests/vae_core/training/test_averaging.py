"""Averaged weights, and what training tells of each model."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tests.vae_core.training.bundles import EVEN, images, members
from vae_core.data import Dataset
from vae_core.training import BundleProgram, Member, Schedule, Trainer, train, validate


@pytest.fixture(scope="module")
def data() -> Dataset:
    return images(8, 8)


@pytest.mark.parametrize("averaging", [0.3, 0.995])
def test_averaged_weights_are_the_plain_average(data: Dataset, averaging: float) -> None:
    trainer = Trainer(data, members(0), EVEN, Schedule(1, 32, 1e-2, averaging=averaging), "cpu")
    slow = [tensor.detach().double().clone() for tensor in trainer.state()]
    taken = 0
    for _ in range(10):
        for index in trainer.epoch():
            trainer.step(index)
            past = min(averaging, (1 + taken) / (10 + taken))
            slow = [past * e + (1 - past) * w.detach().double() for e, w in zip(slow, trainer.state(), strict=True)]
            taken += 1
    averaged = [tensor.detach() for tensor, _ in trainer.shown.placed_state()]
    assert len(averaged) == len(slow) == 8 + 1 + 1 + 3  # two networks of two layers; shared, shared, optimal
    for found, expected, last in zip(averaged, slow, trainer.state(), strict=True):
        torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-6)
        assert not torch.equal(found, last)


def test_averaged_weights_are_what_is_validated_and_returned(data: Dataset) -> None:
    plain, averaged = (train(data, members(0), EVEN, Schedule(9, 32, 3e-2, averaging=a)) for a in (0.0, 0.9))
    for place, model in enumerate(averaged.models):
        course, reference = averaged.history[place], plain.history[place]
        assert [training for _, training, _ in course] == [training for _, training, _ in reference]
        assert [value for _, _, value in course] != [value for _, _, value in reference]
        own = Member(model.likelihood, members(0)[place].objective, members(0)[place].bound)
        again = BundleProgram([own], EVEN, Schedule(9, 32, 3e-2), data, "cpu")
        again.encoder, again.decoder = model.encoder, model.decoder
        assert float(validate(again, data.valid)) == pytest.approx(averaged.validation[place], rel=1e-6)


def test_history_tells_the_mean_over_the_steps_since_the_last_look(data: Dataset) -> None:
    own, schedule = members(0), Schedule(50, 32, 1e-2)  # a look every second epoch
    bundle, trainer = train(data, own, EVEN, schedule), Trainer(data, own, EVEN, schedule, "cpu")
    values = torch.stack([trainer.step(index).clone() for _ in range(50) for index in trainer.epoch()])
    expected = values.reshape(25, 4, -1).mean(1)
    for place, member in enumerate(trainer.program.order):
        told = [training for _, training, _ in bundle.history[member]]
        assert told == pytest.approx(expected[:, place].tolist(), rel=1e-5)


def test_parameters_are_counted_with_the_likelihood_s(data: Dataset) -> None:
    bundle = train(data, members(0), EVEN, Schedule(1, 32, 1e-2))
    networks = 64 * 32 + 32 + 32 * 32 + 32 + 16 * 32 + 32 + 32 * 64 + 64
    shared = [1, 0, 0, 0, 1, 0, 0, 0]
    assert bundle.parameters == [networks + learned for learned in shared]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patience": -1}, "patience must be 0 "),
        ({"tolerance": -0.1}, "tolerance must be a finite number of bits/dim"),
        ({"tolerance": math.inf}, "tolerance must be a finite number of bits/dim"),
        ({"tolerance": math.nan}, "tolerance must be a finite number of bits/dim"),
        ({"averaging": 1.0}, "averaging must be 0 "),
        ({"averaging": -0.1}, "averaging must be 0 "),
        ({"averaging": math.nan}, "averaging must be 0 "),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule(1, 1, 1e-3, **settings)
