"""How often each phase waits for the device, and copies to it: few times, whatever the number of images and samples.

A budget is (values read, copies to the device, copies from it). What is counted is in tests/pretended/device.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.pretended.device import Watched, watched
from tests.pretended.images import tiny
from tests.pretended.test_training import CASES as TRAININGS
from tests.pretended.test_training import by_programs
from tests.pretended.ways import GPU
from vae_core import likelihoods
from vae_core.data import Dataset
from vae_core.evaluate import calibration, latents
from vae_core.evaluate.annealing import ais
from vae_core.evaluate.annealing.ais import Annealing, annealed_importance, prior
from vae_core.evaluate.assess import Scoring, Trained, assess
from vae_core.evaluate.conditional import conditional
from vae_core.evaluate.importance import Tiling, importance_bounds
from vae_core.evaluate.pictures import pictures
from vae_core.evaluate.refine import STEPS, defensive, gaps, refine
from vae_core.evaluate.scoring import encoded
from vae_core.laws import Watch
from vae_core.networks import Architecture
from vae_core.training import Member, Schedule, TrainedModel, Trainer, train, validate
from vae_core.training.capture import WARM_UP

MLP = Architecture((12,), "tanh", 3)
SCHEDULE = Schedule(epochs=2, batch_size=20, learning_rate=3e-3)


def spent(work: Callable[[], Any]) -> Watched:
    with watched() as seen:
        work()
    return seen


def of(seen: Watched) -> tuple[int, int, int]:
    """With what it was spent on in the message of a failed test."""
    print(*seen.reads, *seen.to_device, *seen.to_host, sep="\n")
    return seen.budget


# -- training ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAININGS)
def test_a_step_reads_nothing_and_copies_nothing(name: str) -> None:
    """Nor an epoch of them: neither the ordinary ones, nor that which is captured, nor those that are replayed."""
    case = TRAININGS[name]
    trainer = Trainer(case.data, case.members(), case.architecture, case.schedule, GPU)

    def epochs() -> None:
        for _ in range(2):
            for index in trainer.epoch():
                trainer.step(index)

    trainer.step(next(trainer.epoch()))  # in the first a likelihood makes what it keeps for its device
    seen = spent(epochs)
    assert of(seen) == (0, 0, 0)
    assert not seen.on_host
    assert trainer._replay is not None
    assert trainer._replay.captured
    assert 2 * trainer.steps > WARM_UP + 1
    assert seen.drawn


def test_by_programs_a_step_reads_nothing_either(tmp_path: Path) -> None:
    """Once each was held against the plain path, in its first call: one value of the score, and one of the slopes."""
    case = TRAININGS["every objective, bound and rate"]
    trainer = Trainer(case.data, case.members(), case.architecture, case.schedule, GPU, by_programs(tmp_path))
    kinds = sum(score is not None for score in trainer.program.scores)
    assert kinds >= 6

    def epochs() -> None:
        for _ in range(2):
            for index in trainer.epoch():
                trainer.step(index)

    first = spent(lambda: trainer.step(next(trainer.epoch())))
    assert len(first.reads) <= 2 * kinds
    seen = spent(epochs)
    assert of(seen) == (0, 0, 0)
    assert trainer._replay is not None
    assert trainer._replay.captured


def test_a_validation_waits_thrice_and_once_more_for_exact_masses() -> None:
    """However many batches: the objectives of images, their means, and the mean of training; the flags of who is best
    go to the device."""
    for masses, waits in ((False, 3), (True, 4)):
        found = []
        for epochs in (3, 5):
            members = [Member(likelihoods.make("gaussian", sigma=sigma)) for sigma in (0.1, 0.2)]
            rivals = [range(2)] if masses else ()
            schedule = Schedule(epochs, 20, 3e-3)
            found.append(
                spent(lambda m=members, s=schedule, r=rivals: train(tiny(), m, MLP, s, GPU, rivals=r)).budget  # type: ignore[misc]
            )
        more = [(later - earlier) / 2 for earlier, later in zip(*found, strict=True)]
        assert more == [0, 1, waits + masses]  # of rivals divergence is looked at with each validation


def test_a_validation_pass_reads_nothing() -> None:
    trainer = Trainer(tiny(), TRAININGS["folk recipes"].members(), MLP, SCHEDULE, GPU)
    assert of(spent(lambda: validate(trainer.shown, trainer.data.valid))) == (0, 0, 0)


# -- evaluation --------------------------------------------------------------------------------------------------------


class Model:
    """A trained one on the device, and its images."""

    def __init__(self, images: int = 20, family: str = "gaussian", **options: Any) -> None:
        options = options or {"sigma": "shared"}
        self.data: Dataset = tiny(others=images)
        self.model: TrainedModel = train(
            self.data, [Member(likelihoods.make(family, **options))], MLP, SCHEDULE, GPU
        ).models[0]
        self.k = self.data.to(GPU).test
        self.likelihood = self.model.likelihood.unchecked()

    def score(self, raw: torch.Tensor, rows: slice) -> torch.Tensor:
        return self.likelihood.log_mass(self.k[rows].unsqueeze(1), raw, self.data.levels)

    def bounds(self, tiling: Tiling, samples: int, **options: Any) -> Any:
        m = self.model
        return importance_bounds(self.k, m.encode, m.decode, {"": self.score}, (1, samples), tiling=tiling, **options)


@pytest.fixture(scope="module")
def model() -> Model:
    made = Model()
    made.bounds(Tiling(8, 8, 1 << 10), 8)  # what a likelihood keeps for its device is kept
    return made


@pytest.mark.parametrize(("images", "samples", "floats"), [(20, 64, 1 << 20), (7, 16, 1 << 9)])
@pytest.mark.parametrize("fitted", [False, True])
def test_an_importance_pass_reads_nothing(model: Model, images: int, samples: int, floats: int, fitted: bool) -> None:
    """In whatever tiles; from fitted proposals too."""
    proposal = None
    if fitted:
        q = encoded(model.k, model.model.encode)
        proposal = defensive(refine(conditional(model.model.decode, model.score), q, steps=1), q)
    seen = spent(lambda: model.bounds(Tiling(images, samples, floats), 50, proposal=proposal))
    assert of(seen) == (0, 0, 0)
    assert not seen.on_host


@pytest.mark.parametrize("covariance", STEPS)
@pytest.mark.parametrize("points", [None, 100])
def test_a_refinement_copies_its_directions_once(model: Model, covariance: str, points: int | None) -> None:
    """And waits for nothing: no eigenvalues, which kernels wait for, are taken there."""
    q = encoded(model.k, model.model.encode)
    behind = conditional(model.model.decode, model.score)
    seen = spent(lambda: refine(behind, q, covariance=covariance, points=points))
    assert of(seen) == (0, 1, 0)


def test_gaps_copy_directions_and_judges(model: Model) -> None:
    q = encoded(model.k, model.model.encode)
    behind = conditional(model.model.decode, model.score)
    assert of(spent(lambda: gaps(behind, q, points=200))) == (0, 3, 0)


def test_annealed_importance_sampling_reads_nothing(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    behind = conditional(model.model.decode, model.score)
    start, annealing = prior((len(model.k),), 3, device=GPU), Annealing(4, 2, 1)
    monkeypatch.setattr(ais, "TUNING_TRANSITIONS", 2)
    assert of(spent(lambda: annealed_importance(behind, start, annealing, rows=16))) == (0, 0, 0)


def test_calibration_and_latents_read_nothing(model: Model) -> None:
    mean, log_variance = model.model.encode(model.k)
    raw = model.model.decode(mean)
    seen = spent(lambda: calibration(model.k, raw, model.likelihood, 5, floats=200))
    assert of(seen) == (0, 0, 0)
    assert of(spent(lambda: latents(mean, log_variance))) == (0, 0, 0)


def test_pictures_are_copied_once_each(model: Model) -> None:
    raw = model.model.decode(model.model.encode(model.k)[0])
    seen = spent(lambda: pictures(model.k, raw, model.model.decode, model.likelihood, 5, 3, (4, 4), 0))
    assert of(seen) == (0, 1, 4)


def test_checks_wait_as_often_for_many_images_as_for_few() -> None:
    found = []
    for images in (16, 48):
        m = Model(images)
        watch = Watch(m.k, m.model.encode, m.model.decode, m.likelihood, 5, 100, 0)
        scorer = watch.over(m.score)
        raw = m.model.decode(m.model.encode(m.k)[0]).unsqueeze(1).expand(-1, 100, -1)
        scorer(raw[:8], slice(0, 8))
        with torch.no_grad():
            passed = spent(lambda s=scorer, r=raw: [s(r[at : at + 8], slice(at, at + 8)) for at in range(0, 16, 8)])  # type: ignore[misc]
        assert of(passed)[::2] == (0, 0)
        assert len(passed.to_device) <= 2  # at most one for each call of the scorer: which pairs are looked at
        found.append(of(spent(watch.checked)))
    assert found[0] == found[1] == (2, 0, 7)


def test_an_assessment_waits_as_often_for_many_images_as_for_few() -> None:
    """All of it, refined: in one block of images, of the size that is suited to a GPU."""
    found = []
    for images in (24, 72):
        m = Model(images)
        of_training = Trained(m.model.likelihood, "dequantised")
        found.append(
            spent(
                lambda m=m, t=of_training: assess(  # type: ignore[misc]
                    m.k,
                    m.model.encode,
                    m.model.decode,
                    [Scoring(m.model.likelihood, "always")],
                    levels=5,
                    samples=(1, 100),
                    trained=t,
                    shape=(4, 4),
                )
            )
        )
    few, many = found
    assert of(many) == of(few) == (5, 13, 11)
