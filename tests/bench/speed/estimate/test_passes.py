"""Passes, fits and gaps of a model, and steps of stacks, as they are predicted from small counts, against counts of the
work itself in the ways of a GPU: kernels, views, bytes, operations, numbers that are drawn."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from bench.engine.worker.from_cell import architecture_of, data_of, member_of, schedule_of
from bench.grid.read import parse_grid
from bench.speed.estimate.counting.evaluation import count_evaluation
from bench.speed.estimate.counting.operators import counted
from bench.speed.estimate.counting.training import LOOKED_AT, count_training
from bench.speed.estimate.counting.worker import as_on
from bench.speed.estimate.counts import LOOKS, StackCounts
from bench.speed.estimate.cuts import Cut
from vae_core.data import dequantise
from vae_core.evaluate import importance_bounds, refine
from vae_core.evaluate.conditional import conditional
from vae_core.evaluate.importance import Tiling
from vae_core.evaluate.refine import defensive, gaps
from vae_core.evaluate.scoring import encoded
from vae_core.numerics import accelerators
from vae_core.training import Member, Trainer, trained_models
from vae_core.training.loop import validate

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = 130  # in blocks of 50, the last of them 30
#: a GPU's, but smaller: tiles of 32 samples, in several pieces, of some images of the block where outputs are many
CUT = Cut(images=50, samples=32, floats=40_000, with_gradients=1 << 17, calibrated=1 << 14, summed=1 << 14)
NETWORKS = {
    "mlp": "",
    "conv": 'network = "conv"\nwidths = [4, 8]',
    "resnet": 'network = "resnet"\nwidths = [4, 8]',
}
FAMILIES = {
    "learned σ": 'family = "gaussian"\nsigma = "pixel"\nobjective = "binned"',
    "dequantised": 'family = "logistic"\nsigma = "pixel"\nobjective = "dequantised"',
    "heavy tails": 'family = "laplace"\nsigma = "pixel"\nobjective = "binned"',
    "levels' own": 'family = "categorical"',
    "a recipe": 'family = "mse_sum"',
    "on [0, 1]": 'family = "kumaraswamy"\nobjective = "binned"',
}
AMOUNTS = ("kernels", "views", "bytes", "product bytes", "function bytes", "drawn", "draws", "waits")


def cell_of(family: str, network: str, more: str = ""):
    text = f'[grid]\ndataset = "digits"\nhidden = [32]\nlatent = 3\n{NETWORKS[network]}\n{more}\n[[cells]]\n'
    return parse_grid(text + FAMILIES[family], "counted", "counted", []).cells[0]


def assert_alike(said, found, *, rel: float = 0.02, but: tuple[str, ...] = ()) -> None:
    for name in AMOUNTS:
        if name not in but:
            assert said[name] == pytest.approx(found[name], rel=rel, abs=4), name
    assert said.operations == pytest.approx(found.operations, rel=1e-6)


class Real:
    """A model as it is before training, and what is done with it."""

    def __init__(self, cell, cut: Cut) -> None:
        data = data_of(cell, "cpu")
        trainer = Trainer(data, [member_of(cell, data.levels)], architecture_of(cell), schedule_of(cell), "cpu")
        self.model = trained_models(trainer.program, data.levels)[0]
        self.likelihood = self.model.likelihood.scored(cell.scored_as).unchecked()
        self.k, self.levels, self.cut = data.test[:IMAGES], data.levels, cut
        self.counts = count_evaluation(cell, data, cut, fuses=False)
        self.points = max(1, cut.with_gradients // self.counts.width)

    def mass(self, raw, rows):
        return self.likelihood.log_mass(self.k[rows].unsqueeze(1), raw, self.levels)

    def density(self, raw, rows):
        noisy = dequantise(self.k[rows], self.levels, torch.full(self.k[rows].shape, 0.5))
        return self.likelihood.log_density(noisy.unsqueeze(1), raw, self.levels)

    def passed(self, sizes, proposal=None, **more):
        scorers = {"mass": self.mass, **more}
        tiling = Tiling(self.cut.images, self.cut.samples, self.cut.floats)
        return counted(
            lambda: importance_bounds(
                self.k, self.model.encode, self.model.decode, scorers, sizes, tiling=tiling, proposal=proposal
            )
        )


@pytest.mark.parametrize(
    ("family", "network"),
    [
        ("learned σ", "mlp"),
        ("levels' own", "mlp"),
        ("a recipe", "mlp"),
        ("learned σ", "conv"),
        ("levels' own", "conv"),
        ("a recipe", "resnet"),
        ("on [0, 1]", "resnet"),
    ],
)
def test_passes_and_fits_in_a_gpu_s_cuts_are_those_that_are_carried_out(family, network):
    sizes = (1, 10, 100, 200)
    with as_on("cuda"):
        real = Real(cell_of(family, network), CUT)
        counts, width = real.counts, real.counts.width
        assert_alike(counts.encoder.of(IMAGES, 200, CUT, width, sizes), real.passed(sizes))

        encoder = encoded(real.k, real.model.encode)
        behind = conditional(real.model.decode, real.mass)
        found = counted(lambda: refine(behind, encoder, points=real.points))
        assert_alike(counts.fit.of(IMAGES, LOOKS["full"], CUT, width), found)

        proposal = defensive(refine(behind, encoder, steps=1, points=real.points), encoder)
        assert_alike(counts.fitted.of(IMAGES, 100, CUT, width, (1, 10)), real.passed((1, 10, 100), proposal))

        some = encoded(real.k[:24], real.model.encode)
        assert_alike(counts.gaps, counted(lambda: gaps(behind, some, points=real.points)))


@pytest.mark.parametrize("samples", [1, 7, 25, 32, 33, 400, 2600])
def test_and_whatever_l_they_have(samples):
    """Few weights and many, of which only the largest are held; groups that tiles cut, and that lie in one."""
    sizes = [size for size in (1, 3, 8, 64, 300) if size < samples] + [samples]
    few = dataclasses.replace(CUT, images=20)
    with as_on("cuda"):
        real = Real(cell_of("learned σ", "mlp"), few)
        real.k = real.k[:23]
        said = real.counts.encoder.of(23, samples, few, real.counts.width, sizes)
        assert_alike(said, real.passed(sizes))


def test_what_other_scorers_add_is_what_they_are():
    sizes = (1, 10, 100)
    with as_on("cuda"):
        real = Real(cell_of("on [0, 1]", "mlp"), CUT)
        counts, width = real.counts, real.counts.width
        noisy = dequantise(real.k, real.levels, torch.full(real.k.shape, 0.5))  # once for all tiles, as in a run

        def density(raw, rows):
            return real.likelihood.log_density(noisy[rows].unsqueeze(1), raw, real.levels)

        found = real.passed(sizes, density=density)
        said = counts.encoder.of(IMAGES, 100, CUT, width, sizes) + counts.besides.of(IMAGES, 100, CUT, width, sizes)
        assert counts.scorers == 2
        assert_alike(said, found)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("tuned", [False, True])
def test_a_step_of_a_stack_is_the_one_that_is_carried_out(network, tuned):
    """Three kinds with three, two and four models, of four seeds; candidates are of one, each with its own rate."""
    kinds = [cell_of(name, network, "averaging = 0.99") for name in ("learned σ", "dequantised", "heavy tails")]
    models, data = (3, 2, 4), data_of(kinds[0], "cpu")
    members: list[Member] = []
    for kind, count in enumerate(models):
        for copy in range(count):
            rate = 1e-3 * (1 + (len(members) if tuned else kind))
            member = member_of(kinds[kind], data.levels)
            members.append(dataclasses.replace(member, seed=0 if tuned else copy, learning_rate=rate))
    with as_on("cuda"):
        alone = [count_training([cell], data, tuned=tuned) for cell in kinds]
        both = count_training(kinds[:2], data, tuned=tuned)
        seeds = None if tuned else 4
        stack = StackCounts(list(zip(alone, models, strict=True)), alone[:2], both, seeds=seeds)
        trainer = Trainer(
            data,
            members,
            architecture_of(kinds[0]),
            dataclasses.replace(schedule_of(kinds[0]), batch_size=100),
            "cpu",
        )
        index = next(trainer.epoch())
        assert_alike(stack.of_step(100), counted(lambda: trainer.step(index)))
        if tuned:  # which are also judged by another bound
            return
        shown = trainer.shown
        said, found = stack.of_validation(300), counted(lambda: validate(shown, data.valid[:300]))
    # besides, the course of each model looks at its number, and the best weights are kept
    state = len(shown.placed_state())
    assert said["kernels"] - LOOKED_AT * sum(models) - 2 * state == pytest.approx(found["kernels"], rel=0.03)
    for name in ("product bytes", "function bytes", "drawn", "draws"):
        assert said[name] == pytest.approx(found[name], rel=0.02), name
    assert said["bytes"] == pytest.approx(found["bytes"], rel=0.03)
    assert said.operations == pytest.approx(found.operations, rel=1e-6)


def test_a_stack_has_the_noise_of_its_seeds_once():
    cell = cell_of("dequantised", "mlp")
    data = data_of(cell, "cpu")
    with as_on("cuda"):
        counts = count_training([cell], data, tuned=False)
    one, three = (StackCounts([(counts, 3)], seeds=seeds).of_step(50) for seeds in (1, 3))
    assert three["drawn"] == 3 * one["drawn"] == pytest.approx(3 * 50 * (64 + 3))
    assert StackCounts([(counts, 3)]).of_step(50)["drawn"] == pytest.approx(three["drawn"])


def test_while_it_is_counted_for_a_gpu_the_cpu_is_one_and_then_no_more():
    with as_on("cuda"):
        assert accelerators.accelerated(torch.device("cpu"))
        assert not accelerators.at_hand(torch.device("cpu"))
    assert accelerators.at_hand(torch.device("cpu"))
