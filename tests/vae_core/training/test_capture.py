"""A captured step as far as a CPU can show it: a recorder that stands for CUDA's replays by calling the work again."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from vae_core import laws, likelihoods
from vae_core.data import Dataset
from vae_core.networks import Architecture
from vae_core.numerics.accelerators import Recorded
from vae_core.training import Member, Schedule, Trainer, train
from vae_core.training.capture import WARM_UP, NotCaptured, Replay

CPU = torch.device("cpu")
ARCHITECTURE = Architecture((12,), "tanh", 3)
SCHEDULE = Schedule(epochs=3, batch_size=20, learning_rate=3e-3)


@pytest.fixture(scope="module")
def data(tiny_images: np.ndarray) -> Dataset:
    return Dataset.from_arrays("tiny", 5, tiny_images[:80], tiny_images[80:100], tiny_images[100:])


def members() -> list[Member]:
    """Every way in which a likelihood keeps something from step to step, and a view that draws."""
    settings = [
        ("gaussian", {"sigma": "shared"}),
        ("logistic", {"sigma": "optimal"}),
        ("bernoulli", {}),
        ("bce_sum", {}),
    ]
    return [Member(likelihoods.make(name, **options), seed=seed) for name, options in settings for seed in (0, 1)]


class Fixed:
    """Like a CUDA graph: the tensors that the work made when it was recorded are written again at each replay."""

    def __init__(self, work: Callable[[], Tensor], place: Tensor) -> None:
        self.work, self.place, self.replays = work, place, 0

    def replay(self) -> None:
        self.replays += 1
        self.place.copy_(self.work())


def recorder(made: list[Fixed], like: Tensor) -> Callable[[Callable[[], Tensor]], tuple[Recorded, Tensor]]:
    def record(work: Callable[[], Tensor]) -> tuple[Recorded, Tensor]:
        made.append(Fixed(work, torch.zeros_like(like)))  # the work is not carried out while it is recorded
        return made[-1], made[-1].place

    return record


def test_it_warms_up_then_records_once_then_replays() -> None:
    counter = torch.zeros(())
    made: list[Fixed] = []
    replay = Replay(CPU, recorder(made, counter))
    found = [float(replay(lambda: counter.add_(1).clone())) for _ in range(WARM_UP + 4)]
    assert found == [float(n + 1) for n in range(WARM_UP + 4)]
    assert len(made) == 1
    assert made[0].replays == 4
    assert replay.captured


def test_what_cannot_be_captured_is_carried_out_all_the_same() -> None:
    counter = torch.zeros(())

    def refuse(work: Callable[[], Tensor]) -> tuple[Recorded, Tensor]:
        raise NotCaptured("a value is read")

    replay = Replay(CPU, refuse)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = [float(replay(lambda: counter.add_(1).clone())) for _ in range(WARM_UP + 4)]
    assert found == [float(n + 1) for n in range(WARM_UP + 4)]
    assert [str(warning.message) for warning in caught] == [
        "training goes on without a captured graph: a value is read"
    ]
    assert not replay.captured


def test_an_error_of_the_work_itself_is_not_taken_for_a_failed_capture() -> None:
    def wrong() -> Tensor:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        Replay(CPU)(wrong)


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_training_by_replays_is_training(data: Dataset, averaging: float) -> None:
    """To the bit, diverging neighbour included: the step reads and writes nothing but tensors that stay, also after the
    half of the models have left."""
    own = [*members(), Member(likelihoods.make("gaussian", sigma=1e-30))]
    schedule = replace(SCHEDULE, averaging=averaging)
    plain, replayed = (Trainer(data, own, ARCHITECTURE, schedule, "cpu") for _ in range(2))
    bad = next(place for place, member in enumerate(plain.program.members) if member is own[-1])
    for staying in (list(range(9)), sorted({1, 4, 6, 7, bad})):
        for trainer in (plain, replayed):
            trainer.keep(staying)
        made: list[Fixed] = []
        replayed._replay = Replay(CPU, recorder(made, replayed.failed_at.float()))
        for _ in range(3):
            for index, other in zip(plain.epoch(), replayed.epoch(), strict=True):
                assert torch.equal(index, other)
                assert torch.equal(plain.step(index).nan_to_num(), replayed.step(other).nan_to_num())
        assert made[0].replays == 3 * plain.steps - WARM_UP
        for program, other_program in ((plain.program, replayed.program), (plain.shown, replayed.shown)):
            for (left, _), (right, _) in zip(program.placed_state(), other_program.placed_state(), strict=True):
                assert torch.equal(left.nan_to_num(), right.nan_to_num())
        assert torch.equal(plain.failed_at, replayed.failed_at)
        assert (plain.failed_at >= 0).nonzero()[:, 0].tolist() == [staying.index(bad)]
        np.testing.assert_array_equal(plain.mean_objective(), replayed.mean_objective())


def test_a_trainer_is_freed_with_what_it_holds(data: Dataset) -> None:
    """At once, not when the collector of cycles comes by: on a GPU its graph holds the memory of a whole step."""
    trainer = Trainer(data, members(), ARCHITECTURE, SCHEDULE, "cpu")
    trainer.step(next(trainer.epoch()))
    held = weakref.ref(trainer)
    gc.disable()
    try:
        del trainer
        assert held() is None
    finally:
        gc.enable()


def test_each_model_has_its_own_learning_rate(data: Dataset) -> None:
    """In one bundle as alone, likelihoods with learned scales among them."""
    rates = (1e-3, 1e-2, 3e-3)
    own = [
        Member(likelihoods.make(family, sigma="shared"), learning_rate=rate)
        for rate in rates
        for family in ("gaussian", "laplace")
    ]
    bundle = train(data, own, ARCHITECTURE, SCHEDULE)
    for place, member in enumerate(own):
        assert member.learning_rate is not None
        schedule = Schedule(SCHEDULE.epochs, SCHEDULE.batch_size, member.learning_rate)
        alone = train(data, [Member(member.likelihood)], ARCHITECTURE, schedule)
        assert bundle.validation[place] == pytest.approx(alone.validation[0], rel=1e-5)
    assert len({round(value, 3) for value in bundle.validation}) == len(own)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_learning_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="learning_rate must be a finite number > 0"):
        Member(likelihoods.make("bernoulli"), learning_rate=rate)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_captured_step_is_the_ordinary_one(data: Dataset) -> None:
    """On CUDA, every family with D outputs: captured, and the numbers of the uncaptured step."""
    plain, captured = (Trainer(data, members(), ARCHITECTURE, SCHEDULE, "cuda") for _ in range(2))
    plain._replay = None
    for _ in range(3):
        for index, other in zip(plain.epoch(), captured.epoch(), strict=True):
            torch.testing.assert_close(plain.step(index), captured.step(other))
    assert captured._replay is not None
    assert captured._replay.captured
    for left, right in zip(plain.state(), captured.state(), strict=True):
        torch.testing.assert_close(left, right)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("family", likelihoods.names())
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_every_family_can_be_captured(data: Dataset, family: str, precision: str) -> None:
    """On CUDA, in every setting of its laws and every precision, without a warning."""
    for make in laws.settings(likelihoods.get(family)):
        schedule = Schedule(1, 20, 1e-3, precision=precision)
        trainer = Trainer(data, [Member(make(data.levels))], ARCHITECTURE, schedule, "cuda")
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            for _ in range(2):
                for index in trainer.epoch():
                    trainer.step(index)
        assert trainer._replay is not None
        assert trainer._replay.captured
