"""The survey of speed: its formulas, its clock, what it says, where it is stored and shown. No time is asserted."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench import cli
from bench.cli.text.survey import survey_text
from bench.engine.opening import RunError
from bench.engine.worker.from_cell import load_data, member_of, schedule_of, scored_images
from bench.grid.errors import on_stderr
from bench.grid.read import parse_grid
from bench.report import build
from bench.speed import survey
from bench.speed.survey import Survey, chosen, kinds
from bench.speed.survey_worker import suggestion, survey_curve, survey_kind
from bench.speed.throughput import (
    COPY_BYTES,
    EVAL_SAMPLES,
    Point,
    copying,
    cost_of,
    matmul_gflops,
    measure_throughput,
    suggested_bundle,
)
from bench.speed.work import stacked_evaluation, training
from bench.store import RunFile, read_run
from tests.bench.report import fake_run
from tests.bench.report.page_reader import read
from tests.vae_core.networks.folders import ONE_MORE, beside
from vae_core.networks import Architecture, model_cost
from vae_core.training import Trainer, trained_models

TINY = """
[grid]
hidden = [6]
latent = 2
batch_size = 20
epochs = 1
eval_samples = [1, 10]
test_images = 10
[[cells]]
family = "gaussian"
sigma = [0.1, 0.2, "shared"]
seed = [0, 1]
[[cells]]
family = "mse_sum"
"""
GRID = parse_grid(TINY, "tiny", "tiny.toml")
CELLS = kinds(GRID.cells)
NETWORK = Architecture((3,), "tanh", 2)  # 4 -> 3 -> (2, 2), and 2 -> 3 -> 5


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's limits from small tensors: what is tested is no rate."""
    monkeypatch.setattr("bench.speed.throughput.MATMUL_SIZE", {"cpu": 64})
    monkeypatch.setattr("bench.speed.throughput.COPY_BYTES", {"cpu": 1 << 16})


# -- formulas ----------------------------------------------------------------------------------------------------------


def test_parameters_are_counted_by_hand_and_as_the_trainer_has_them() -> None:
    assert model_cost(NETWORK, (2, 2), 5).parameters == (4 * 3 + 3) + (3 * 4 + 4) + (2 * 3 + 3) + (3 * 5 + 5)
    cell = CELLS["gaussian σ fixed"]
    data = load_data(cell.dataset, cell.levels, "cpu")
    trainer = Trainer(data, [member_of(cell, data.levels)], Architecture((6,), "tanh", 2), schedule_of(cell), "cpu")
    assert sum(t.numel() for t in trainer.program.parameters()) == cost_of(trainer).parameters


def test_operations_and_bytes_of_a_tiny_network_are_counted_by_hand() -> None:
    cost = model_cost(NETWORK, (2, 2), 5)
    assert cost.decode_operations == 2 * (2 * 3 + 3 * 5)
    assert cost.update_operations(samples=2) == 3 * (2 * (4 * 3 + 3 * 4) + 2 * cost.decode_operations) - 2 * 4 * 3
    of_an_image = 2 * 4 + 4 * ((3 + 4) + 2 * (2 + 3 + 5))
    assert cost.update_bytes(samples=2, batch=7) == 4 * (8 * cost.parameters + 7 * of_an_image)
    assert cost.decode_bytes == 4 * 2 * (2 + 3 + 5)


def test_a_copy_reads_and_writes() -> None:
    copy, moved = copying("cpu")
    assert moved == 2 * (1 << 16)
    assert COPY_BYTES["cpu"] > 10**8, "beyond any cache"
    target = copy()
    assert isinstance(target, torch.Tensor)
    assert 2 * target.nbytes == moved
    assert bool((target == 1).all())


CURVE = [Point(1, 100.0, 10), Point(2, 190.0, 20), Point(4, 300.0, 40), Point(8, 310.0, 80), Point(16, 290.0, 160)]


@pytest.mark.parametrize(
    ("free", "expected"), [(1e9, 4), (160, 4), (79, 4), (39, 2), (10, 1), (9, None), (float("inf"), 4)]
)
def test_the_bundle_suggested_is_the_smallest_that_is_near_the_best_of_those_that_fit(free, expected) -> None:
    assert suggested_bundle(CURVE, free) == expected
    assert suggested_bundle(CURVE[::-1], free) == expected


def test_nothing_is_suggested_from_nothing() -> None:
    assert suggested_bundle([], 1e9) is None


# -- what a worker measures --------------------------------------------------------------------------------------------


def test_throughput_has_one_row_for_each_kind() -> None:
    """σ's value is not a kind, its mode is; shares are of a rate that was measured."""
    rows = measure_throughput(GRID.cells, "cpu")
    assert [row["kind"] for row in rows] == [cell.kind for cell in CELLS.values()]
    for row in rows:
        assert row["train_images_per_s"] > 0
        assert row["eval_decodes_per_s"] > 0
        assert row["eval_flops_share"] > 0
        expected = row["train_images_per_s"] * row["train_flops_per_image"] / row["matmul_gflops"] / 1e9
        assert row["train_flops_share"] == pytest.approx(expected)
    assert matmul_gflops("cpu") > 0.1


@pytest.mark.parametrize("name", ["mlp", "linear"])
def test_operations_are_counted_as_the_profiler_counts_them(name: str) -> None:
    """Against torch's own count of the matrix products of one update, of any network."""
    cell = CELLS["gaussian σ fixed"].but(train_samples=4)
    data = load_data("digits", None, "cpu")
    with beside(ONE_MORE):
        architecture = Architecture((16, 12) if name == "mlp" else (), "tanh", 3, name)
        trainer = Trainer(data, [member_of(cell, 17)], architecture, schedule_of(cell), "cpu")
        with FlopCounterMode(display=False) as counter:
            trainer.step(next(trainer.epoch()))
    assert counter.get_total_flops() == cost_of(trainer).update_operations(4) * trainer.batch


def test_a_new_network_has_its_throughput() -> None:
    """One file more in vae_core/networks, and no line here or there."""
    with beside(ONE_MORE):
        cell = CELLS["gaussian σ fixed"].but(network="linear", hidden=())
        (row,) = measure_throughput([cell], "cpu")
        assert row["decode_flops"] == 2 * 2 * 64
        assert row["train_flops_per_image"] == 3 * (2 * 64 * 4 + 2 * 2 * 64) - 2 * 64 * 4
        work = training(cell, 3, "cpu")
        assert work.flops == 3 * 20 * row["train_flops_per_image"]
        assert work.bytes == 3 * 4 * (8 * (65 * 4 + 3 * 64) + 20 * (2 * 64 + 4 * (4 + 2 + 64)))
        stack = stacked_evaluation(cell, 3, "cpu")
        assert stack is not None
        assert stack.flops == stack.units * row["decode_flops"]


def test_a_kind_has_speeds_shares_and_bytes() -> None:
    cell = CELLS["gaussian σ=shared"]
    row = survey_kind(cell, "cpu", True)
    assert row["kind"] == cell.kind
    assert row["bundled_models"] == 16
    assert row["batch_size"] == 20
    numbers = [value for key, value in row.items() if re.search("per_s|share|bytes|flops|gflops", key)]
    assert len(numbers) == 18
    assert all(value > 0 for value in numbers)
    assert not any(key.startswith("stacked") for key in row), "on a CPU models are evaluated one by one"
    assert "suggested_bundle" not in row


@pytest.mark.slow
def test_curves_begin_small_and_a_batch_is_no_larger_than_the_data(tiny_npz: Path) -> None:
    grid = parse_grid(TINY.replace("[grid]", f'[grid]\ndataset = "{tiny_npz}"\nlevels = 5'), "npz", "npz.toml")
    cell = grid.cells[0]
    most = len(load_data(cell.dataset, cell.levels, "cpu").train)
    found = {curve: survey_curve(cell, curve, "cpu", True) for curve in survey.CURVES}
    assert [p["size"] for p in found["bundle"]] == [1, 4, 16]
    assert [p["size"] for p in found["batch"]] == [size for size in (32, 128, 512) if size <= most]
    assert [p["size"] for p in found["samples"]] == [10, 100, 1000]
    assert {p["unit"] for p in found["samples"]} == {"decodes/s"}
    for points in found.values():
        assert all(p["kind"] == cell.kind and p["rate"] > 0 and p["peak_bytes"] > 0 for p in points)
        assert all(p["flops_share"] > 0 and p["bytes_share"] > 0 for p in points)
    said = suggestion(found["bundle"], "cpu")
    assert said["suggested_bundle"] in (1, 4, 16)
    assert said["planned_bundle"] == 16


def test_memory_of_a_bundle_is_that_of_its_models() -> None:
    """Parameters, their gradients and two moments at least, besides the grey values of the training images, once for
    all; without the data, and without what building takes."""
    cell = CELLS["gaussian σ fixed"]
    one, eight = (training(cell, models, "cpu") for models in (1, 8))
    own = 4 * model_cost(Architecture((6,), "tanh", 2), (8, 8), 64).parameters
    train = load_data("digits", None, "cpu").train
    grey = 4 * train.numel()
    assert 4 * own < one.peak_bytes - grey < train.nbytes + 20 * own
    assert 4 * (one.peak_bytes - grey) < eight.peak_bytes - grey <= 8.5 * (one.peak_bytes - grey)
    assert (one.units, eight.units) == (20, 160)


def test_a_stack_is_scored_as_its_models_are() -> None:
    cell = CELLS["gaussian σ=shared"]
    torch.manual_seed(0)
    work = stacked_evaluation(cell, 3, "cpu")
    assert work is not None
    assert work.units == 3 * 10 * EVAL_SAMPLES
    bound: Any = work.call()
    data = load_data(cell.dataset, cell.levels, "cpu")
    members = [dataclasses.replace(member_of(cell, data.levels), seed=seed) for seed in range(3)]
    trainer = Trainer(data, members, Architecture((6,), "tanh", 2), schedule_of(cell), "cpu")
    epoch = iter(trainer.epoch())
    for _ in range(2):  # the steps that count memory
        trainer.step(next(epoch))
    k, levels = scored_images(cell, data)
    from vae_core.evaluate import importance_bounds

    for place, model in enumerate(trained_models(trainer.program, data.levels)):
        scored = model.likelihood.scored(cell.scored_as)
        scorers = {"": lambda raw, rows, scored=scored: scored.log_mass(k[rows].unsqueeze(1), raw, levels)}
        alone = importance_bounds(k, model.encode, model.decode, scorers, (1, EVAL_SAMPLES), seed=place)[""]
        found, expected = bound[""].bound[EVAL_SAMPLES][place], alone.bound[EVAL_SAMPLES]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_what_is_fitted_to_residuals_has_no_stack() -> None:
    fitted = [cell for cell in GRID.cells if cell.scored_as == "gaussian_fitted"]
    assert fitted
    assert stacked_evaluation(fitted[0], 2, "cpu") is None


# -- whose curves ------------------------------------------------------------------------------------------------------


def test_kinds_have_names_without_what_makes_no_difference() -> None:
    assert list(CELLS) == ["gaussian σ fixed", "gaussian σ=shared", "mse_sum"]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [(None, "gaussian σ fixed"), ("mse", "mse_sum"), ("shared", "gaussian σ=shared"), ("σ fixed", "gaussian σ fixed")],
)
def test_a_kind_is_meant_by_a_part_of_its_name(typed, expected) -> None:
    assert chosen(CELLS, typed) == expected
    assert chosen(CELLS, CELLS[expected].kind) == expected


@pytest.mark.parametrize(("typed", "said"), [("gaussian", "2 kinds of cell are meant"), ("laplace", "no kind")])
def test_a_kind_that_is_not_clear_is_refused_with_names(typed, said) -> None:
    with pytest.raises(RunError, match=rf"--kind {typed}: {said}.*'gaussian σ=shared'"):
        chosen(CELLS, typed)


# -- from the command line to the report -------------------------------------------------------------------------------


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tiny.toml").write_text(TINY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_verb_measures_stores_and_tells(workplace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.carry_out(["throughput", "tiny.toml", "--quick", "--threads", "1", "--device", "cpu"]) == 0
    out, err = capfd.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    assert "2/3 gaussian σ=shared" in err
    assert "of gaussian σ fixed depends on sizes" in out
    assert "Planning cuts them at 16." in out
    assert "holds these speeds and no results yet: after vae-bench run tiny.toml" in " ".join(out.split())
    path = Path("results/tiny.sqlite")
    tables = read_run(path)
    assert tables.cells.empty
    assert set(tables.throughput["kind"]) == {cell.kind for cell in CELLS.values()}
    assert (tables.throughput["bundled_images_per_s"] > 0).all()
    assert set(tables.scaling["curve"]) == set(survey.CURVES)
    assert set(tables.scaling["label"]) == {"gaussian σ fixed"}
    assert tables.provenance[-1]["threads_per_worker"] == 1
    assert set(tables.throughput["threads"]) == {1}

    assert cli.carry_out(["report", "tiny"]) == 2
    assert "no cells yet" in capfd.readouterr().err
    assert cli.carry_out(["run", "tiny.toml", "--workers", "1"]) == 0
    assert "measuring the speed" not in capfd.readouterr().err, "the survey's speeds stand"
    after = read_run(path)
    assert len(after.cells) == len(GRID.cells)
    assert after.cells["train_images_per_s"].notna().all()
    assert len(after.scaling) == len(tables.scaling)


def measured_by(monkeypatch: pytest.MonkeyPatch, kind: Callable[..., Any]) -> None:
    """Speeds that nobody measures, by one of the functions here."""
    here = "tests.bench.speed.test_throughput"
    made_up = survey.Tasks(
        inspect=f"{here}:looks_at_what_the_fake_run_saw",
        kind=f"{here}:{kind.__name__}",
        curve=f"{here}:makes_up_a_curve",
    )
    monkeypatch.setattr("bench.speed.survey.Tasks", lambda: made_up)


@pytest.mark.slow
def test_results_stay_where_a_run_was_made(
    workplace: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured_by(monkeypatch, makes_up)
    Path("results").mkdir()
    path = fake_run.write(Path("results/fake.sqlite"), fake_run.few(), images=40)
    before = read_run(path)
    arguments = ["throughput", "tiny.toml", "--quick", "--threads", "1", "--kind", "mse", "--out", str(path)]
    assert cli.carry_out(arguments) == 0
    assert "holds these speeds; vae-bench report fake shows them." in " ".join(capfd.readouterr().out.split())
    after = read_run(path)
    pd.testing.assert_frame_equal(after.cells, before.cells)
    assert set(before.throughput["kind"]) < set(after.throughput["kind"])
    assert set(after.scaling["label"]) == {"mse_sum"}


def prints_and_makes_up(*arguments: Any) -> dict[str, Any]:
    print("which was printed")
    return makes_up(*arguments)


def test_a_file_has_one_log_by_whatever_name(
    workplace: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured_by(monkeypatch, prints_and_makes_up)
    Path("elsewhere").mkdir()
    path = fake_run.write(Path("elsewhere/fake.sqlite"), fake_run.few(), images=40)
    Path("link.sqlite").symlink_to(path)
    arguments = ["throughput", "tiny.toml", "--quick", "--threads", "1", "--kind", "mse", "--out"]
    for name in ("link.sqlite", str(path)):
        assert cli.carry_out([*arguments, name]) == 0
        assert re.search(r"what plug-ins and libraries printed is in .*elsewhere/fake\.log\n", capfd.readouterr().err)
    assert path.with_suffix(".log").read_text().count("which was printed") == 6, "three kinds, twice"
    assert not Path("link.log").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch"], "unknown grid 'nosuch'"),
        (["tiny.toml", "--kind", "laplace"], "no kind of cell"),
        (["tiny.toml", "--threads", "0"], "--threads"),
        (["tiny.toml", "--set", "dataset=nosuch"], "nosuch"),
        (["tiny.toml", "--out", "tiny.toml"], "not a run file"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(
    workplace: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert cli.carry_out(["throughput", *arguments, "--device", "cpu"]) == 2
    out, err = capfd.readouterr()
    assert (out, said in err, err.count("\n")) == ("", True, 1)
    assert [path.name for path in workplace.iterdir()] == ["tiny.toml"]
    assert (workplace / "tiny.toml").read_text(encoding="utf-8") == TINY


@pytest.mark.slow
def test_a_kind_that_fails_costs_no_other_its_numbers(
    workplace: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = survey.Tasks(
        kind="tests.bench.speed.test_throughput:fails_on_recipes",
        curve="tests.bench.speed.test_throughput:fails_on_batches",
    )
    monkeypatch.setattr("bench.speed.survey.Tasks", lambda: tasks)
    assert cli.carry_out(["throughput", "tiny.toml", "--threads", "1", "--device", "cpu"]) == 1
    out, err = capfd.readouterr()
    assert "mse_sum was not measured: RuntimeError: a recipe" in err
    assert "gaussian σ fixed, batch was not measured" in err
    assert "mse_sum" not in out
    tables = read_run(Path("results/tiny.sqlite"))
    assert len(tables.throughput) == 2
    assert set(tables.scaling["curve"]) == set(survey.CURVES) - {"batch"}


def looks_at_what_the_fake_run_saw(name: str, *_: int | None) -> dict[str, Any]:
    facts: dict[str, Any] = fake_run.tables(fake_run.few(), images=40, pictures=False).meta["data"][name]
    return facts


def fails_on_recipes(cell: Any, device: str, quick: bool) -> dict[str, Any]:
    if cell.family == "mse_sum":
        raise RuntimeError("a recipe")
    return makes_up(cell, device, quick)


def makes_up(cell: Any, device: str, quick: bool) -> dict[str, Any]:
    row = {"kind": cell.kind, "train_images_per_s": 1.0, "eval_decodes_per_s": 2e9, "matmul_gflops": 100.0}
    return row | fake_run.surveyed(row)


def fails_on_batches(cell: Any, curve: str, device: str, quick: bool) -> list[dict[str, Any]]:
    if curve == "batch":
        raise RuntimeError("a batch")
    return makes_up_a_curve(cell, curve, device, quick)


def makes_up_a_curve(cell: Any, curve: str, device: str, quick: bool) -> list[dict[str, Any]]:
    return [point for point in fake_run.curves(cell.kind, "") if point["curve"] == curve]


def test_the_table_fits_80_columns_with_long_names_large_rates_and_a_gpu() -> None:
    row = {"kind": "k", "train_images_per_s": 12.3, "eval_decodes_per_s": 3.21e9, "matmul_gflops": 412_000.0}
    row |= fake_run.surveyed(row) | {
        "label": "beta_binomial σ=pixel iwae L=100 hidden=400,400",
        "bundled_models": 64,
        "bundled_images_per_s": 13_123_456.0,
        "bundled_peak_bytes": 61_234_567_890,
        "train_bytes_share": 1.61,
        "stacked_decodes_per_s": 9.9e9,
        "stacked_models": 64,
        "stacked_flops_share": 0.001,
        "stacked_bytes_share": 1.2,
        "stacked_peak_bytes": 7e10,
    }
    points = [{**p, "rate": 1.23e9, "peak_bytes": 6.1e10, "size": 100 * p["size"]} for p in fake_run.curves("k", "x")]
    device = {"kind": "cuda", "name": "a GPU"}
    said = {"suggested_bundle": None, "planned_bundle": 64, "free_bytes": 5}
    text = survey_text(Survey(device, 16, [row], points, said), Path("results/x.sqlite"), "x")
    assert max(map(len, text.splitlines())) <= 80
    assert "stack of 64" in text
    assert "\nbeta_binomial σ=pixel iwae L=100 hidden=400,400\n" in text, "whole, though it needs a line of its own"
    assert "none of these sizes fits" in text
    assert "<1" in text
    assert "13.1 M" in text


@pytest.mark.slow
def test_the_report_shows_a_survey_only_where_there_is_one(tmp_path: Path) -> None:
    few = fake_run.few()
    without = read(build(fake_run.tables(few, images=40, pictures=False), tmp_path / "a.html"))
    with_one = read(build(fake_run.tables(few, images=40, pictures=False, survey=True), tmp_path / "b.html"))
    one, other = (
        next(s for s in page.all("section") if s.attributes.get("id") == "speed") for page in (without, with_one)
    )
    assert "What sizes do to speed" not in one.text
    assert "bundled" not in one.text.lower().replace("bundles", "")
    assert "What sizes do to speed" in other.text
    assert "Bundles of 16 train" in other.text
    assert "8 models already reach 95 % of that" in other.text
    figure = other.all("svg", class_="figure")[-1]
    assert {"Bundle, images/s", "Latent size, images/s", "copying"} <= {text.text for text in figure.all("text")}
    heads = [head.text for head in other.all("table")[0].one("thead").all("th")]
    rows = other.all("table")[0].rows()
    assert {len(row) for row in rows} == {len(heads)} == {15}
    assert rows[0][heads.index("Memorybundled, MB")] == "7.1"
    assert "vae-bench throughput fake" in with_one.text


def test_a_file_of_before_surveys_is_read_and_takes_one_in(tmp_path: Path) -> None:
    path = fake_run.write(tmp_path / "old.sqlite", fake_run.few()[:2], images=40, pictures=False)
    file = RunFile.open(path, on_stderr)
    file._connection.execute("DROP TABLE scaling")
    file.close()
    assert read_run(path).scaling.empty
    for size in (1, 2):
        file = RunFile.open(path, on_stderr)
        file.write_scaling([{"kind": "k", "curve": "bundle", "size": size, "rate": float("nan")}], 1)
        file.close()
    assert list(read_run(path).scaling["size"]) == [2], "the latest survey's alone"


def test_what_is_tuned_is_measured_as_the_first_candidate():
    """Under the name of the shape that is measured, so that no cell gets the speed of another."""
    text = "[grid]\nfamily = 'gaussian'\nepochs = 60\npatience = 5\n[tune]\nlatent = [2, 20]\n"
    (cell,) = kinds(parse_grid(text, "g", "g.toml").cells).values()
    assert (cell.latent, dict(cell.tune)) == (2, {})
    assert cell.kind == parse_grid(text, "g", "g.toml").cells[0].settled({"latent": 2}).kind


def test_a_kind_is_not_named_for_what_changes_no_speed():
    grid = parse_grid(
        "[grid]\nfamily = 'gaussian'\nsigma = [0.1, 0.2]\nepochs = [3, 4]\nlearning_rate = [1e-3, 1e-2]\n"
        "latent = [2, 3]\nrefine = ['auto', 'never']\n",
        "g",
        "g.toml",
    )
    assert list(kinds(grid.cells)) == ["gaussian σ fixed latent=2", "gaussian σ fixed latent=3"]
