"""All that is made of a trained model, on the pretended device: the CPU's numbers, to the bit in the device's ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vae_core.evaluate.scoring as scoring_of_sets
from bench.engine.worker.bundle import carry_out
from bench.grid.cell import Cell
from bench.grid.plan import bundle_of
from tests.pretended.device import watched
from tests.pretended.images import tiny
from tests.pretended.ways import GPU, assert_equal, cpu_in_its_ways
from vae_core import likelihoods
from vae_core.data import Dataset
from vae_core.evaluate import Estimate, Scoring, Trained, assess, log_likelihood
from vae_core.evaluate.annealing.ais import Annealing, annealed_importance, prior
from vae_core.evaluate.conditional import conditional
from vae_core.evaluate.importance import Tiling
from vae_core.laws import where_used
from vae_core.likelihoods import Likelihood
from vae_core.networks import Architecture
from vae_core.numerics import tensor_file
from vae_core.objectives import BOUNDS, Posterior
from vae_core.training import Blueprint, Member, Schedule, TrainedModel, fit_scale, load_model, save_model, train
from vae_core.tuning import Candidate, Search, tune

MLP = Architecture((12,), "tanh", 3)
MAPS = Architecture((8,), "relu", 3, network="conv", widths=(4,))
SCHEDULE = Schedule(epochs=2, batch_size=20, learning_rate=3e-3)
DATA = tiny()


@pytest.fixture(autouse=True)
def fewer_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masses that are summed for a check: as many as the share that is asked for, and no more for so few images."""
    monkeypatch.setattr(where_used, "LEAST", 1 << 11)


def trained(device: str, member: Member, architecture: Architecture = MLP, data: Dataset = DATA) -> TrainedModel:
    return train(data, [member], architecture, SCHEDULE, device).models[0]


def both(work: Callable[[str], Any]) -> tuple[Any, Any]:
    """What it gives on the device, and on the CPU in the device's ways."""
    with watched():  # so that generators on the wrong side are seen too
        found = work(GPU)
    with cpu_in_its_ways():
        return found, work("cpu")


# -- the whole of an assessment: scoring, refinement, gaps, calibration, checks, pictures ------------------------------


@dataclass(frozen=True)
class Case:
    family: str
    options: dict[str, Any]
    member: dict[str, Any]
    scored: tuple[str, ...] = ("",)
    refine: str = "never"
    samples: tuple[int, ...] = (1, 10)
    tolerance: float | None = None
    architecture: Architecture = MLP
    shape: tuple[int, ...] = (4, 4)


CASES = {
    "refined": Case("gaussian", {"sigma": "shared"}, {}, refine="always", samples=(1, 10, 100)),
    "as many samples as needed": Case(
        "logistic", {"sigma": "shared"}, {"objective": "binned"}, samples=(1, 100, 200), tolerance=1e-6
    ),
    "0 and 1, weighted, with another weight of the KL": Case(
        "bernoulli", {}, {"bound": "iwae", "kl_weight": 2.0}, samples=(1, 30)
    ),
    "a recipe in two of its readings": Case(
        "mse_mean", {}, {"free_bits": 0.1}, scored=("gaussian_fitted", "laplace_fitted"), samples=(1, 30)
    ),
    "a mixture behind maps": Case("logistic_mixture", {"levels": 5}, {}, architecture=MAPS),
    "coupled channels": Case(
        "gaussian", {"sigma": "shared", "channels": "coupled"}, {}, samples=(1, 3), shape=(2, 2, 3)
    ),
    "coupled channels of a mixture": Case(
        "logistic_mixture", {"levels": 5, "components": 2, "channels": "coupled"}, {}, shape=(3, 2, 3)
    ),
    "levels' own": Case("beta_binomial", {"levels": 5}, {}),
}


def assessed(case: Case, device: str) -> Any:
    own = likelihoods.make(case.family, **case.options)
    plain = tiny(shape=case.shape, others=20 if len(case.shape) == 2 else 6)
    model = trained(device, Member(own, **case.member), case.architecture, plain)
    data = plain.to(device)
    binary = own.view == "binary"
    k = (data.test > 2).long() if binary else data.test
    names = [name or model.likelihood.scorings[0] for name in case.scored]
    scorings = [Scoring(_scored(model, name, data), case.refine) for name in names]
    member = Member(own, **case.member)
    on = Trained(
        model.likelihood, member.objective, BOUNDS[member.bound], 2 if member.bound == "iwae" else 1,
        member.kl_weight, member.free_bits,
    )  # fmt: skip
    return assess(
        k,
        model.encode,
        model.decode,
        scorings,
        levels=2 if binary else data.levels,
        samples=case.samples,
        tolerance=case.tolerance,
        trained=on,
        shape=data.shape,
        seed=3,
    )


def _scored(model: TrainedModel, name: str, data: Any) -> Likelihood:
    likelihood = model.likelihood.scored(name)
    if likelihood.needs_fit:
        fit_scale(likelihood, data, model.encode, model.decode, seed=1)
    return likelihood


@pytest.mark.parametrize("name", CASES)
def test_an_assessment_is_the_cpu_s_to_the_bit(name: str) -> None:
    case = CASES[name]
    found, expected = both(lambda device: assessed(case, device))
    assert assert_equal(found, expected) > 300
    assert [one.refined for one in found] == [one.refined for one in expected]
    assert all(one.refined for one in found) == (case.refine == "always")
    for one in found:
        assert one.mass.bound[max(one.samples)].device.type == GPU
        assert isinstance(one.pictures.draw, np.ndarray)


@pytest.mark.parametrize("refine", ["never", "always"])
def test_a_score_in_the_same_tiles_is_the_cpu_s_own_to_rounding(refine: str) -> None:
    """Its own ways: other operations, in other pieces, of the same noise."""
    tiling = Tiling(images=8, samples=16, floats=1 << 10)
    found: list[Estimate] = []
    expected: list[Estimate] = []
    for device, into in ((GPU, found), ("cpu", expected)):
        model = trained(device, Member(likelihoods.make("gaussian", sigma="shared")))
        k = DATA.to(device).test
        into.append(
            log_likelihood(
                k, model.encode, model.decode, model.likelihood, (1, 50), 5, refine=refine, tiling=tiling, seed=2
            )
        )
    assert assert_equal(found[0].bound, expected[0].bound, rtol=1e-4) == 2 * len(DATA.test)


def test_annealed_importance_sampling_is_the_cpu_s_to_the_bit() -> None:
    def work(device: str) -> Any:
        model = trained(device, Member(likelihoods.make("laplace", sigma=0.2)))
        k = DATA.to(device).test[:4]
        behind = conditional(
            model.decode, lambda raw, rows: model.likelihood.log_mass(k[rows].unsqueeze(1), raw, DATA.levels)
        )
        return annealed_importance(behind, prior((4,), 3, device=device), Annealing(4, 2, 1), seed=1)

    assert assert_equal(*both(work)) > 10


@pytest.mark.parametrize("by", ["masses", "residuals"])
def test_a_scale_fitted_to_training_data_is_the_cpu_s(by: str) -> None:
    def work(device: str) -> Any:
        model = trained(device, Member(likelihoods.make("gaussian", sigma="shared")))
        fit_scale(model.likelihood, DATA.to(device), model.encode, model.decode, by, seed=1)
        return model.likelihood.sigma_in_use(torch.zeros(1, DATA.dims, device=device))

    assert assert_equal(*both(work)) == 1


def test_tuning_chooses_what_the_cpu_chooses() -> None:
    def work(device: str) -> Any:
        data = DATA.to(device)
        schedule = Schedule(30, 20, 1e-3, patience=5, tolerance=0.01)
        candidates = [
            Candidate(
                {"learning_rate": rate}, Member(likelihoods.make("gaussian", sigma="shared"), learning_rate=rate), MLP,
                schedule,
            )
            for rate in (1e-2, 3e-3)
        ]  # fmt: skip
        search = Search(candidates, {"learning_rate": (1e-2, 3e-3)}, data.valid, data.levels, always_refine=True)
        return tune(data, [search], device, seed=4)

    found, expected = both(work)
    assert assert_equal(found, expected) > 10
    assert [one.values for one in found] == [one.values for one in expected]


def test_weights_are_written_and_read_as_the_cpu_s(tmp_path: Path) -> None:
    own = {"sigma": "optimal"}

    def work(device: str) -> Any:
        model = trained(device, Member(likelihoods.make("gaussian", **own)))
        path = tmp_path / f"{device}.safetensors"
        save_model(path, model, Blueprint(MLP, DATA.shape, "gaussian", own), about={"seed": 0})
        again = load_model(path, device=device)
        k = DATA.to(device).test
        raw = again.decode(again.encode(k)[0])
        assert raw.device.type == device
        assert torch.equal(raw, model.decode(model.encode(k)[0]))
        return again.likelihood.log_mass(k, raw, DATA.levels)

    assert assert_equal(*both(work)) == len(DATA.test)
    (tensors, facts), (of_cpu, facts_of_cpu) = (
        tensor_file.read(tmp_path / f"{name}.safetensors") for name in (GPU, "cpu")
    )
    assert assert_equal(tensors, of_cpu) > 100
    assert facts == facts_of_cpu


# -- a worker's rows ---------------------------------------------------------------------------------------------------

CELL = Cell(
    family="gaussian",
    options={"sigma": 0.2},
    view="real",
    hidden=(8,),
    latent=2,
    epochs=1,
    learning_rate=3e-3,
    eval_samples=(1, 10, 100),
    eval_tolerance=0.01,
    test_images=6,
    refine="auto",
)
OF_TIME = ("second", "_per_s", "peak_memory", "device")


def test_a_worker_s_rows_are_the_cpu_s() -> None:
    cells = [CELL, CELL.but(family="mse_sum", options={}, view="grey", objective="own", scored_as="gaussian_fitted")]
    found, expected = both(lambda device: carry_out(bundle_of(cells), device))
    torch.set_flush_denormal(False)
    assert [row.status for row in found] == ["done", "done"]
    for row, other in zip(found, expected, strict=True):
        of_row, of_other = (
            {name: value for name, value in one.values.items() if not any(part in name for part in OF_TIME)}
            for one in (row, other)
        )
        assert len(of_row) > 30
        assert assert_equal(of_row, of_other) > 20
        assert assert_equal([row.per_image, row.bounds, row.pictures], [other.per_image, other.bounds, other.pictures])


def test_what_is_decoded_with_gradients_at_once_fits_the_memory_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a program more of wide outputs, and of narrow ones never less."""

    def points(width: int, memory: float, *, by_program: bool) -> int:
        monkeypatch.setattr(scoring_of_sets, "of_device", lambda device: memory)
        posterior = Posterior(torch.zeros(3, 2, device=GPU), torch.zeros(3, 2, device=GPU))
        return scoring_of_sets.points_at_once(
            lambda z: z.new_zeros(1, 1, 1).expand(1, 1, width), posterior, by_program=by_program
        )

    for memory, plain, wide in ((0, 1 << 25, 1 << 27), (24e9, 1 << 25, 1 << 27), (80e9, 1 << 26, 1 << 29)):
        assert points(784, memory, by_program=False) == plain // 784
        assert points(784, memory, by_program=True) == plain // 784
        assert points(200_704, memory, by_program=False) == plain // 200_704
        assert points(200_704, memory, by_program=True) == wide // 200_704
        assert 440 * plain + 12 * wide < max(memory, 24e9)  # bytes of an output, as counted of the heaviest mass
    assert points(1 << 40, 0, by_program=True) == 1
