"""The comparison with peers: one network, one task, whichever program runs it; and what it prints."""

from __future__ import annotations

import importlib.util
import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench.grid.read import load_grid, shipped_grids
from bench.speed.peers import __main__ as program
from bench.speed.peers import ours, plain
from bench.speed.peers.task import ARCHITECTURE, BATCH, DIGITS, HIDDEN, LATENT, LOSSES, Task, schedule, whole_batches
from bench.speed.peers.turns import Ratio, ratio, take_turns
from vae_core import data
from vae_core.networks import Architecture, model_cost
from vae_core.training import Noise, Trainer


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return whole_batches(data.load("digits"), 2 * BATCH)


@pytest.fixture(params=sorted(LOSSES))
def task(request: pytest.FixtureRequest, digits: data.Dataset) -> Task:
    return Task(digits, request.param, "cpu")


@pytest.fixture
def model(task: Task) -> plain.VAE:
    torch.manual_seed(0)
    return plain.VAE(task.data.dims)


@pytest.fixture
def pythae() -> ModuleType:
    pytest.importorskip("pythae")
    from bench.speed.peers import with_pythae

    return with_pythae


def trainer_with_weights(task: Task, source: plain.VAE) -> Trainer:
    trainer = ours.Training(task, 1, BATCH).trainer
    with torch.no_grad():
        for own, given in zip((trainer.program.encoder, trainer.program.decoder), ours.stacks(source), strict=True):
            for parameter, value in zip(own.parameters(), given.parameters(), strict=True):
                parameter.copy_(value)
    return trainer


def our_objectives(task: Task, source: plain.VAE, k: Tensor, eps: Tensor) -> Tensor:
    """ELBO of each image without its constants; the uniforms are those that dequantise k to k/(K−1) itself."""
    grey = data.grey(k, task.data.levels)
    noise = Noise(uniform=grey.unsqueeze(0), eps=eps.reshape(1, len(k), 1, LATENT))
    value = trainer_with_weights(task, source).program.objectives(k.unsqueeze(0), noise, training=True)[0]
    constant = 0.0 if task.loss == "bce" else 0.5 * task.data.dims * math.log(2 * math.pi)
    return value + constant


def counted(update: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        update()
    return counter.get_total_flops()


# -- one network, one task --------------------------------------------------------------------------------------------


def test_parameters_are_as_many(task, model):
    own = trainer_with_weights(task, model).program
    counts = [sum(p.numel() for p in parameters) for parameters in (model.parameters(), own.parameters())]
    assert counts[0] == counts[1]


def test_an_update_has_the_operations_that_shares_are_computed_from(task, model):
    x = task.floats(task.data.train[:BATCH])
    cost = model_cost(ARCHITECTURE, task.data.shape, task.data.dims)
    of_training, of_decoding = cost.update_operations(samples=1), cost.decode_operations
    own = trainer_with_weights(task, model)
    index = next(own.epoch())
    assert counted(lambda: plain.losses(model, task.loss, x).sum().backward()) == BATCH * of_training
    assert counted(lambda: own.step(index)) == BATCH * of_training
    assert counted(lambda: model.decoder(torch.zeros(BATCH, LATENT))) == BATCH * of_decoding


def test_the_objective_is_the_plain_loss_with_its_sign_changed(task, model, monkeypatch):
    k = task.data.train[:BATCH]
    eps = torch.randn(BATCH, LATENT, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(torch, "randn_like", lambda like: eps)
    torch.testing.assert_close(
        our_objectives(task, model, k, eps), -plain.losses(model, task.loss, task.floats(k)), rtol=1e-5, atol=1e-4
    )


def test_the_scores_of_one_network_agree(task, model):
    k = task.data.test[:20]
    theirs = plain.log_likelihood(model, task.loss, task.floats(k), 200)
    assert ours.log_likelihood(task, ours.with_weights(task, model), k, 200) == pytest.approx(theirs, abs=0.2)


def test_whole_batches_leave_no_remainder(digits):
    assert len(digits.train) == 2 * BATCH
    assert len(whole_batches(data.load("digits"), 10**9).train) % BATCH == 0


def test_the_grids_network_is_that_of_the_default_grid():
    cell = load_grid(shipped_grids()["digits"]).cells[0]
    assert DIGITS.architecture == Architecture(cell.hidden, cell.activation, cell.latent)
    assert cell.batch_size == DIGITS.batch
    assert DIGITS.learning_rate in cell.tune["learning_rate"]
    assert max(cell.eval_samples) == comparison_samples()


def comparison_samples() -> int:
    source = (Path(ours.__file__).parent / "comparison.py").read_text(encoding="utf-8")  # importing it needs Pythae
    found = re.search(r"^SAMPLES = (\d+)", source, re.MULTILINE)
    assert found
    return int(found[1])


@pytest.mark.slow
def test_workers_give_what_one_process_gives(digits):
    tasks = [(Task(digits, loss, "cpu", DIGITS), seed) for loss in sorted(LOSSES) for seed in range(2)]
    k = digits.test[:4]
    grid = ours.Grid("cpu")
    try:
        spread = grid.run(tasks, 1, 10, k)
    finally:
        grid.close()
    assert spread == pytest.approx(ours.run(tasks, 1, 10, k), rel=1e-4)


# -- Pythae, where it is installed ------------------------------------------------------------------------------------


def test_pythaes_default_network_is_this_one(task, model, pythae):
    theirs = pythae.create(task)
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in model.parameters())
    assert theirs.decoder.layers[0][0].out_features == HIDDEN
    x = pythae.images(task, task.data.train[:BATCH])
    of_training = model_cost(ARCHITECTURE, task.data.shape, task.data.dims).update_operations(samples=1)
    assert counted(lambda: theirs({"data": x}).loss.backward()) == BATCH * of_training


def test_pythae_is_given_the_grids_network(task, pythae):
    of_grid = Task(task.data, task.loss, "cpu", DIGITS)
    theirs = pythae.create(of_grid)
    own = Trainer(task.data, [ours.member(task.loss, 0)], DIGITS.architecture, schedule(1, DIGITS), "cpu").program
    counts = [sum(p.numel() for p in parameters) for parameters in (theirs.parameters(), own.parameters())]
    assert counts[0] == counts[1]
    x = pythae.images(task, task.data.train[: DIGITS.batch])
    of_training = model_cost(DIGITS.architecture, task.data.shape, task.data.dims).update_operations(samples=1)
    assert counted(lambda: theirs({"data": x}).loss.backward()) == DIGITS.batch * of_training


def test_the_objective_is_pythaes_loss_with_its_sign_changed(task, model, pythae, monkeypatch):
    k = task.data.train[:BATCH]
    eps = torch.randn(BATCH, LATENT, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(torch, "randn_like", lambda like: eps)
    loss = pythae.with_weights(task, model)({"data": pythae.images(task, k)}).loss
    torch.testing.assert_close(our_objectives(task, model, k, eps).mean(), -loss, rtol=1e-5, atol=1e-4)


def test_pythaes_score_of_the_same_network_agrees(task, model, pythae):
    k = task.data.test[:20]
    theirs = pythae.log_likelihood(pythae.with_weights(task, model), pythae.images(task, k), 200, 100)
    assert ours.log_likelihood(task, ours.with_weights(task, model), k, 200) == pytest.approx(theirs, abs=0.2)


def test_pythae_is_not_asked_for_samples_that_it_would_drop(task, model, pythae):
    with pytest.raises(ValueError, match="whole chunks"):
        pythae.log_likelihood(None, pythae.images(task, task.data.test[:1]), 250, 100)


def test_a_tiny_comparison_from_end_to_end(digits, pythae, monkeypatch, tmp_path, capsys):
    from bench.speed.peers import comparison

    tiny = comparison.Size(images=BATCH, rounds=1, scored=2, epochs=1, grid_scored=2, grid_rounds=1)
    monkeypatch.setattr(comparison, "QUICK", tiny)
    monkeypatch.setattr(comparison, "matmul_gflops", lambda device: 10.0)
    monkeypatch.setattr(comparison, "SAMPLES", 20)
    monkeypatch.setattr(pythae, "DEFAULT_CHUNK", 10)
    out = tmp_path / "peers.json"
    assert program.main(["--dataset", "digits", "--quick", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "this project, bundle of 16" in shown
    written = json.loads(out.read_text())
    assert [len(one["rows"]) for one in written["comparisons"]] == [5, 5, 4, 4, 2]
    assert written["provenance"]["packages"]["pythae"]
    assert written["provenance"]["command"].startswith("python -m bench.speed.peers --dataset digits")
    assert all(row["times_pythae"]["median"] > 0 for one in written["comparisons"] for row in one["rows"])


# -- the programs that need no Pythae ---------------------------------------------------------------------------------


def test_the_plain_loop_and_ours_learn(task):
    loop, bundle = plain.Training(task), ours.Training(task, 3, 1)
    before = loop.epoch()
    assert [loop.epoch() for _ in range(3)][-1] < before
    assert bundle.steps == 1
    assert bundle.images_a_step == 3 * BATCH
    assert bundle.images_per_second() > 0
    assert loop.images_per_second() > 0


def test_our_grid_gives_a_score_for_each_cell(digits):
    tasks = [(Task(digits, loss, "cpu"), seed) for loss in LOSSES for seed in (0, 1)]
    scores = ours.run(tasks, 1, 10, digits.test[:5])
    assert len(scores) == 4
    assert scores[0] > scores[2]  # 64 binary pixels, and 64 of a Gaussian's ½ ln 2π


# -- turns and ratios -------------------------------------------------------------------------------------------------


def test_programs_run_in_order_and_back():
    seen: list[str] = []
    speeds = {"a": iter((9.0, 1.0, 3.0)), "b": iter((9.0, 2.0, 2.0))}

    def block(name: str) -> Callable[[], float]:
        def run() -> float:
            seen.append(name)
            return next(speeds[name])

        return run

    assert take_turns({name: block(name) for name in speeds}, 1) == {"a": [1.5], "b": [2.0]}
    assert seen == ["a", "b", "a", "b", "b", "a"]


def test_ratios_are_paired():
    drift = np.array([1.0, 5.0, 0.2, 3.0])
    found = ratio(list(3 * drift), list(drift))
    assert (found.median, found.low, found.high) == pytest.approx((3, 3, 3))


def test_an_interval_is_shown_where_there_is_one():
    assert f"{Ratio(1.5, 1.25, 2.0):.2f}" == "1.50 [1.25, 2.00]"
    assert f"{Ratio(1.5, 1.5, 1.5).scaled(100):.0f}" == "150"


# -- what is missing --------------------------------------------------------------------------------------------------


def test_without_pythae_there_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert program.main(["--dataset", "digits"]) == 2
    assert "make peers" in capsys.readouterr().err


def test_an_unknown_data_set_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: sys)
    assert program.main(["--dataset", "digit"]) == 2
    assert "did you mean 'digits'" in capsys.readouterr().err
