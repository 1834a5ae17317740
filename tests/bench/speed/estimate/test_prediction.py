"""From counts to terms: the plan that is a run's own, ranges, what a run recorded, and what is said of all that."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import pytest

from bench import cli
from bench.cli.text.estimate import as_json, estimate_text
from bench.engine.process.beside.ahead import PROGRAMS, kind_of
from bench.grid.read import find_grid, load_grid, parse_grid
from bench.speed.estimate import prediction
from bench.speed.estimate.asked import Asked, Facts, segments
from bench.speed.estimate.devices.profile import profile_of
from bench.speed.estimate.estimate import estimate_grid
from bench.speed.estimate.given import Course, Evaluated, recorded
from bench.speed.estimate.prediction import Predictor
from bench.store import read_run

GRID = """about = "for tests"
[grid]
dataset = "digits"
hidden = [16]
latent = 3
epochs = 6
patience = 2
eval_samples = [1, 10, 100, 200]
test_images = 30
seed = [0, 1]
[tune]
learning_rate = [1e-3, 3e-3]
[[cells]]
family = "gaussian"
sigma = ["shared", "pixel"]
objective = "binned"
"""


@pytest.fixture(scope="module")
def grid():
    return parse_grid(GRID, "small", "small.toml", [])


@pytest.fixture(scope="module")
def told(grid):
    return estimate_grid(grid, "h100", lambda line: None)


@pytest.mark.parametrize("leaving", [0.0, 0.25])
def test_who_has_ended_leaves_the_stack_at_once_or_when_enough_have(leaving):
    ends = [3, 10, 10, 7, 1, 9, 4, 4]
    parts = list(segments(ends, leaving))
    assert sum(epochs for _, epochs in parts) == max(ends)
    computed = sum(len(places) * epochs for places, epochs in parts)
    assert computed == sum(ends) if leaving == 0 else computed > sum(ends)
    for (more, _), (fewer, _) in itertools.pairwise(parts):
        assert set(fewer) < set(more)
        assert len(more) - len(fewer) >= leaving * len(more)
    assert list(segments([5, 5], 0.25)) == [([0, 1], 5)]


def test_before_a_run_it_is_a_range_from_what_must_be_to_what_may(grid, told):
    prediction = told.prediction
    low, high = prediction.range
    assert 0 < low < high
    assert prediction.total(prediction.low) < prediction.total(prediction.high)
    assert "refinement" in prediction.high
    assert "refinement" not in prediction.low
    for term, least in prediction.low.items():
        assert least.total <= prediction.high[term].total * (1 + 1e-9)
    (cell,) = grid.cells[:1]
    assert Course(most=False).epochs_of(cell) == 3  # the patience and a look
    assert Course(most=True).epochs_of(cell) == 6
    assert Course(most=False).scoring_of(cell) == Evaluated(100, False, (100,))
    assert Course(most=True).scoring_of(cell) == Evaluated(100, True, (100, 100, 200))
    always = cell.but(refine="always", eval_tolerance=0.0)
    assert Course(most=False).scoring_of(always) == Evaluated(200, True, (200,))


def test_the_text_says_that_it_is_a_prediction_and_whose_rates_it_rests_on(told):
    text = estimate_text(told)
    assert text.startswith("A prediction of small, 4 cells, on NVIDIA H100")
    plain = " ".join(text.split())
    assert "from the data sheet, not measured: NVIDIA H100 Tensor Core GPU data sheet" in plain
    assert "Nothing here was run on the device." in plain
    assert "Predicted by the clock" in plain
    assert "70 % of the peak of products" in plain
    assert max(map(len, text.splitlines())) <= 80
    numbers = json.loads(as_json(told))
    assert numbers["prediction"] is True
    assert numbers["device"]["measured"] is False
    assert numbers["seconds"]["low"] < numbers["seconds"]["high"]
    assert sum(term["high"] for term in numbers["terms"].values()) == pytest.approx(numbers["worker_seconds"]["high"])


def test_programs_of_scores_are_those_that_the_run_would_make(told):
    """Of the kinds that the whole grid sees enough of."""
    cells = load_grid(find_grid("mnist")).cells

    def counted(some, device, test=10_000):
        facts = {cell.data.key: Facts(784, 256, 50_000, 10_000, test) for cell in cells}
        return Predictor(some, profile_of(device), 1, facts, Asked({}, {}), {}, {}).programs

    kinds = {kind_of(cell.settled(), 784, 256) for cell in cells}
    assert counted(cells, "h100") == len(PROGRAMS) * len(kinds) > 0
    assert counted(cells[:1], "h100") == len(PROGRAMS)
    assert counted(cells[:1], "h100", test=1000) == 0  # one cell sees too little of them
    assert told.prediction.programs == 0
    assert "References are fitted beside the run by the host's other cores" in " ".join(estimate_text(told).split())


def test_no_term_is_at_least_more_than_at_most_without_a_pilot_either(grid):
    """Of a grid that ends where a pilot would begin, every scorer is in the first pass, refined or not."""
    short = dataclasses.replace(grid, cells=tuple(cell.but(eval_samples=(1, 10, 100)) for cell in grid.cells))
    prediction = estimate_grid(short, "h100", lambda line: None).prediction
    for term, least in prediction.low.items():
        assert least.total <= prediction.high[term].total * (1 + 1e-9), term


def test_what_is_taken_from_the_rooms_that_do_the_work_is_as_it_is_there():
    from bench.engine.worker import rows
    from vae_core import tuning
    from vae_core.training import capture, loop

    assert prediction.LEAVING_SHARE == loop.LEAVING_SHARE
    assert prediction.CAPTURED == capture.WARM_UP + 1
    assert prediction.FIT_SAMPLES == rows.FIT_SAMPLES
    assert prediction.READING_IMAGES == rows.READING_IMAGES
    assert prediction.READING_SAMPLES == rows.READING_SAMPLES
    assert prediction.ELBO_SAMPLES == tuning.ELBO_SAMPLES
    assert prediction.REFINED_SAMPLES == tuning.REFINED_SAMPLES


def test_what_does_not_fit_is_said_with_a_remedy(told):
    small = dataclasses.replace(profile_of("h100"), memory=1e6)
    tight = dataclasses.replace(told, prediction=dataclasses.replace(told.prediction, profile=small))
    text = " ".join(estimate_text(tight).split())
    assert "It does not fit" in text
    assert any(word in text for word in ("batch_size", "test_images"))
    assert "It does not fit" not in " ".join(estimate_text(told).split())


def test_a_faster_device_is_predicted_faster(grid, told):
    assert told.prediction.profile == profile_of("h100")
    slower = estimate_grid(grid, "t4", lambda line: None)
    assert slower.prediction.range[1] > told.prediction.range[1]
    assert slower.prediction.profile.title in estimate_text(slower)


@pytest.mark.slow
def test_of_a_run_that_was_it_is_one_number_beside_what_was_recorded(grid, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(GRID)
    assert cli.carry_out(["run", "small.toml"]) == 0
    tables = read_run(Path("results/small.sqlite"))
    course = recorded(tables, grid.cells)
    rows = {row["cell"]: row for row in tables.cells.to_dict("records")}
    for cell in grid.cells:
        assert course.epochs_of(cell) == rows[cell.id]["epochs_run"]
        assert course.scoring_of(cell).passes[-1] == rows[cell.id]["iw_samples"]
        assert course.settled(cell).learning_rate == json.loads(rows[cell.id]["tuned"])["learning_rate"]
    assert sorted(course.candidates.values()) == sorted(tables.candidates["epochs_run"])
    capfd.readouterr()
    assert cli.carry_out(["estimate", "small.toml", "--device", "h100", "--given", "small"]) == 0
    out = capfd.readouterr().out
    assert "with the epochs and passes that the run recorded" in " ".join(out.split())
    assert "recorded, s" in out
    assert "At least" not in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["digits", "--device", "h101"], "no such device (did you mean 'h100'?"),
        (["digits", "--device", "none.toml"], "there is no profile file none.toml"),
        (["digit", "--device", "h100"], "unknown grid 'digit'"),
        (["digits", "--device", "h100", "--given", "nothing"], "there is no run results/nothing.sqlite"),
        (["digits", "--device", "cuda"], "finds no CUDA device here"),
        (["digits", "--device", "h100", "--save", "x.toml"], "were not measured"),
        (["digits", "--device", "h100", "--save", "x.txt"], "give the name of a .toml file"),
        (["digits", "--device", "h100", "--set", "dataset=nowhere.npz"], "nowhere.npz"),
    ],
)
def test_wrong_input_gets_one_sentence(arguments, said, capfd, tmp_path, monkeypatch):
    import torch

    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is one here")
    monkeypatch.chdir(tmp_path)
    assert cli.carry_out(["estimate", *arguments]) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert said in error
    assert len(error) <= 300
    assert not list(tmp_path.iterdir())
