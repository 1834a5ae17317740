"""What is counted on few models, images and samples holds for many: against counts of the work itself."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.engine.worker.from_cell import architecture_of, data_of, member_of, schedule_of
from bench.grid.read import parse_grid
from bench.speed.estimate import counts as counts_module
from bench.speed.estimate.counting.evaluation import count_evaluation
from bench.speed.estimate.counting.operators import Counter, counted
from bench.speed.estimate.counting.thin import from_few
from bench.speed.estimate.counting.training import count_training
from bench.speed.estimate.counting.worker import as_on
from bench.speed.estimate.counts import LOOKS, StackCounts
from bench.speed.estimate.cuts import CUTS, cut_of
from bench.speed.estimate.devices.profile import profile_of
from bench.speed.estimate.tally import seconds
from vae_core import likelihoods
from vae_core.evaluate import calibration, importance_bounds, refine
from vae_core.evaluate.conditional import conditional
from vae_core.evaluate.importance import Tiling
from vae_core.evaluate.refine import STEPS
from vae_core.evaluate.scoring import encoded, points_at_once
from vae_core.laws import where_used
from vae_core.numerics import elementwise
from vae_core.training import Trainer, trained_models

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = CUTS["cpu"]
GRID = """[grid]
dataset = "digits"
hidden = [32]
latent = 3
{more}
[[cells]]
family = {family}
{sigma}
objective = "{objective}"
"""


def cell_of(family: str = "gaussian", sigma: str = "pixel", objective: str = "binned", more: str = ""):
    objective = objective if sigma else "own"  # of what is no density of its own there is one
    text = GRID.format(
        family=f'"{family}"', sigma=f'sigma = "{sigma}"' if sigma else "", objective=objective, more=more
    )
    return parse_grid(text, "counted", "counted", []).cells[0]  # of a recipe there is one for each reading


def test_operators_are_told_apart_by_what_they_do():
    x, a = torch.rand(6, 4), torch.eye(3, dtype=torch.float64).expand(5, 3, 3)
    with Counter() as counter:
        (x.mm(x.T).exp().square()).sum()
        torch.linalg.eigh(a)
        torch.randn(7)
        float(x[0, 0])
    tally = counter.tally
    assert tally["products/float32"] == 2 * 6 * 4 * 6
    assert tally["functions/exp/float32"] == 36  # a square is no function: it is multiplied
    assert tally["small/eigh/3"] == 5
    assert tally["drawn"] == 7
    assert tally["waits"] == 1
    assert tally["kernels"] == 6  # product, exp, square, sum, eigenvalues, draws


def test_bytes_of_what_is_repeated_are_counted_once():
    x = torch.rand(1, 8)
    alone = counted(lambda: x + 1)
    repeated = counted(lambda: x.expand(100, 8) + 1)
    assert alone["bytes"] == 2 * 8 * 4
    assert repeated["bytes"] == (8 + 800) * 4


def test_a_step_has_the_operations_of_the_flop_counter():
    cell = cell_of()
    data = data_of(cell, "cpu")
    trainer = Trainer(data, [member_of(cell, data.levels)], architecture_of(cell), schedule_of(cell), "cpu")
    index = next(trainer.epoch())
    with FlopCounterMode(display=False) as flops:
        trainer.step(index)
    assert counted(lambda: trainer.step(index)).operations == flops.get_total_flops()


@pytest.mark.parametrize("tuned", [False, True])
def test_a_step_of_many_models_and_images_is_predicted_from_few(tuned):
    """On a CPU; on a GPU: test_passes.py."""
    cells = [cell_of(), cell_of("logistic", objective="dequantised")]
    data = data_of(cells[0], "cpu")
    alone = [count_training([cell], data, tuned=tuned) for cell in cells]
    stack = StackCounts([(alone[0], 3), (alone[1], 2)], alone, count_training(cells, data, tuned=tuned))
    members = [
        dataclasses.replace(member_of(cell, data.levels), seed=0 if tuned else seed, learning_rate=1e-3 * (1 + place))
        for place, (cell, seed) in enumerate(
            [(cells[0], 0), (cells[0], 1), (cells[0], 2), (cells[1], 0), (cells[1], 1)]
        )
    ]
    schedule = dataclasses.replace(schedule_of(cells[0]), batch_size=40)
    trainer = Trainer(data, members, architecture_of(cells[0]), schedule, "cpu")
    index = next(trainer.epoch())
    found, said = counted(lambda: trainer.step(index)), stack.of_step(40)
    assert said.operations == pytest.approx(found.operations, rel=1e-6)
    assert said["kernels"] == pytest.approx(found["kernels"], rel=0.02)
    for key in ("bytes", "product bytes", "function bytes"):  # of what is chosen by looking at few numbers
        assert said[key] == pytest.approx(found[key], rel=0.05)


@pytest.mark.parametrize(("family", "sigma"), [("gaussian", "pixel"), ("categorical", ""), ("mse_sum", "")])
def test_a_pass_and_a_fit_are_predicted_from_few_images_and_samples(family, sigma):
    """On a CPU, where numbers are looked at to choose how to compute; on a GPU: test_passes.py."""
    cell, cut = cell_of(family, sigma), CUTS["cpu"]
    data = data_of(cell, "cpu")
    counts = count_evaluation(cell, data, cut, fuses=False)
    trainer = Trainer(data, [member_of(cell, data.levels)], architecture_of(cell), schedule_of(cell), "cpu")
    model = trained_models(trainer.program, data.levels)[0]
    likelihood = model.likelihood.scored(cell.scored_as).unchecked()
    k = data.test[:70]
    mass = {"mass": lambda raw, rows: likelihood.log_mass(k[rows].unsqueeze(1), raw, data.levels)}
    tiling = Tiling(cut.images, cut.samples, cut.floats)
    found = counted(lambda: importance_bounds(k, model.encode, model.decode, mass, (1, 10, 300, 1100), tiling=tiling))
    said = counts.encoder.of(70, 1100, cut, counts.width, (1, 10, 300))
    assert said.operations == pytest.approx(found.operations, rel=0.02)
    assert said["kernels"] == pytest.approx(found["kernels"], rel=0.1)
    assert said["drawn"] == pytest.approx(found["drawn"], rel=1e-6)
    for key in ("bytes", "function bytes"):
        assert said[key] == pytest.approx(found[key], rel=0.15)

    posterior = encoded(k, model.encode)
    points = max(1, cut.with_gradients // counts.width)
    behind = conditional(model.decode, mass["mass"])
    found = counted(lambda: refine(behind, posterior, points=points))
    said = counts.fit.of(70, LOOKS["full"], cut, counts.width)
    assert said.operations == pytest.approx(found.operations, rel=0.02)
    assert said["kernels"] == pytest.approx(found["kernels"], rel=0.15)
    assert said["small/eigh/3"] == pytest.approx(found["small/eigh/3"], rel=1e-6)


def test_what_a_compiler_makes_one_kernel_of_moves_less_and_computes_the_same():
    counts = count_evaluation(cell_of(), data_of(cell_of(), "cpu"), CUTS["cuda"], fuses=True)
    assert counts.fused is not None
    plain, fused = (one.encoder.of(1000, 1000, CUTS["cuda"], one.width) for one in (counts, counts.fused))
    assert fused["bytes"] < 0.5 * plain["bytes"]
    assert fused["kernels"] < plain["kernels"]
    assert fused.operations == pytest.approx(plain.operations)
    assert fused.of_functions()["functions/erfc/float32"] == plain["functions/erfc/float32"] > 0


@pytest.mark.parametrize("family", ["categorical", "gaussian"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_wide_model_is_reckoned_from_few_dimensions(family, device):
    cell, cut = cell_of(family, "pixel" if family == "gaussian" else ""), CUTS[device]
    data, sheet = data_of(cell, "cpu"), profile_of("h100")

    def evaluation(some, cut):
        return count_evaluation(cell, some, cut, fuses=device == "cuda")

    with as_on("cuda"):  # on few pixels tanh may be computed another way than on many, where numbers are looked at
        full, few = evaluation(data, cut), from_few(cell, data, cut, evaluation, wide=1)
        whole = count_training([cell], data, tuned=False)
        part = from_few(cell, data, cut, lambda some, _: count_training([cell], some, tuned=False), wide=1)
    assert (few.width, few.dims, few.levels) == (full.width, full.dims, full.levels)
    pairs = {
        "pass": (full.encoder.of(900, 5000, cut, full.width), few.encoder.of(900, 5000, cut, few.width)),
        "fitted": (full.fitted.of(900, 500, cut, full.width), few.fitted.of(900, 500, cut, few.width)),
        "besides": (full.besides.of(900, 5000, cut, full.width), few.besides.of(900, 5000, cut, few.width)),
        "fit": (full.fit.of(900, 16, cut, full.width), few.fit.of(900, 16, cut, few.width)),
        "gaps": (full.gaps, few.gaps),
        "calibration": (full.calibration, few.calibration),
        "checks": (full.of_checks(900, 500, 500, cut), few.of_checks(900, 500, 500, cut)),
        "step": (StackCounts([(whole, 5)]).of_step(100), StackCounts([(part, 5)]).of_step(100)),
    }
    for name, (counted_whole, reckoned) in pairs.items():
        taken, said = (seconds(tally, sheet).total for tally in (counted_whole, reckoned))
        assert said == pytest.approx(taken, rel=0.02), name
        assert reckoned.operations == pytest.approx(counted_whole.operations, rel=0.02), name
    assert few.fit.bytes == pytest.approx(full.fit.bytes, rel=0.05)


def test_looks_and_cuts_are_those_of_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {name: steps + 1 for name, steps in STEPS.items()} == LOOKS
    of_evaluation = (
        importlib.import_module("vae_core.evaluate.calibration"),
        importlib.import_module("vae_core.evaluate.assess"),
    )
    assert (counts_module.CALIBRATED, counts_module.GAPPED) == (of_evaluation[0].CALIBRATED, of_evaluation[1].GAPPED)
    for device, cut in CUTS.items():
        assert Tiling(cut.images, cut.samples, cut.floats) == Tiling.suited_to(torch.device(device))

        class Mean:
            def __init__(self, device: str) -> None:
                self.device = SimpleNamespace(type=device)

            def __getitem__(self, _):
                return torch.zeros(1, 1, 2)

        posterior: Any = SimpleNamespace(mean=Mean(device))
        for memory in (0, 16e9, 80e9):
            monkeypatch.setattr(
                importlib.import_module("vae_core.evaluate.scoring"), "of_device", lambda _, m=memory: m
            )
            for width in (5, 784, 200_704):
                of_memory = cut_of(device, memory)
                for by_program, one in ((True, of_memory), (False, of_memory.without_programs())):

                    def decode(z: torch.Tensor, width: int = width) -> torch.Tensor:
                        return torch.zeros(1, 1, width)

                    points = points_at_once(decode, posterior, by_program=by_program)
                    assert points == one.decoded_at_once(width)
    for function, attribute in ((calibration, "calibrated"), (where_used.Watch.__init__, "summed")):
        cuda, cpu = (getattr(CUTS[name], attribute).bit_length() - 1 for name in ("cuda", "cpu"))
        source = inspect.getsource(function)
        assert f"1 << {cuda} if" in source or f"({cuda} if" in source
        assert f"else 1 << {cpu}" in source or f"else {cpu})" in source


def test_for_a_gpu_nobody_looks_at_numbers_while_it_is_counted():
    x = torch.rand(1000)
    here = counted(lambda: elementwise.tanh(x))
    with as_on("cuda"):
        there = counted(lambda: elementwise.tanh(x))
    assert (there["kernels"], there["functions/tanh/float32"]) == (1, 1000)
    assert here["functions/tanh/float32"] == 0
    assert counted(lambda: elementwise.tanh(x)) == here  # as before, once it is left


@pytest.mark.parametrize(("images", "to_come", "scored"), [(5, 400, 200), (5, 40, 3000), (40, 400, 1000), (3, 8, 8)])
def test_masses_are_those_that_a_watch_sums(images: int, to_come: int, scored: int) -> None:
    cell = cell_of("laplace", "pixel")
    data = data_of(cell, "cpu")
    counts = count_evaluation(cell, data, CPU, fuses=False)
    k = data.test[:images]
    likelihood = likelihoods.make("laplace", sigma=0.1, levels=data.levels).unchecked()
    decode = torch.zeros(2, likelihood.outputs(k.shape[1]))

    def encode(k: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(len(k), 2), torch.zeros(len(k), 2)

    watch = where_used.Watch(k, encode, lambda z: 0.5 + z @ decode, likelihood, data.levels, to_come, 0)
    scorer = watch.over(lambda raw, rows: likelihood.log_mass(k[rows].unsqueeze(1), raw, data.levels))
    with torch.no_grad():
        scorer(torch.full((images, scored, decode.shape[1]), 0.5), slice(0, images))
    summed = watch.checked().masses_summed
    assert counts.masses(images, to_come, scored) == pytest.approx(summed, rel=0.02, abs=k.shape[1] * data.levels)
