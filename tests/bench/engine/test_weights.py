"""Trained weights of a run: whose they are, how many are kept, what becomes of them when it goes on or begins again."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from safetensors.numpy import save_file

from bench.engine.progress import Reporter
from bench.engine.run import Options, run_grid
from bench.engine.worker.bundle import carry_out as carry_out_bundle
from bench.engine.worker.from_cell import load_data, scored_images
from bench.grid.cell import Cell
from bench.grid.errors import on_stderr
from bench.grid.plan import bundle_of
from bench.grid.read import Grid, describe, parse_grid
from bench.store import CellResult, RunFile
from bench.store.weights import NONE_ASKED, Weights, cells_of, copy_out, folder_of
from tests.bench.engine.fake_worker import RAISES, TASKS
from tests.bench.engine.losing import well
from tests.bench.engine.test_run import carry_out, grid_of, seeds
from vae_core.data import load
from vae_core.evaluate import log_likelihood
from vae_core.numerics import tensor_file
from vae_core.training import load_model

RECIPE = "[grid]\nfamily='mse_sum'\n"  # scored in nine ways
KILOBYTE = 256  # numbers


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """Where the run file is to be; each model's weights are of a kilobyte, and what its file says of it."""
    monkeypatch.setenv("FAKE_WEIGHTS", str(KILOBYTE))
    return tmp_path / "r.sqlite"


def kept(run: Path) -> dict[str, str | None]:
    return {cell.cell: cell.weights for cell in cells_of(run)}


def names(run: Path) -> list[str]:
    folder = folder_of(run)
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def bytes_of(run: Path) -> int:
    return sum(file.stat().st_size for file in folder_of(run).iterdir())


# -- with cheap workers ------------------------------------------------------------------------------------------------


def test_each_model_has_a_file_that_its_cells_name(run):
    carry_out(seeds(0, 1), run)
    assert kept(run) == {cell.id: f"{cell.id}.safetensors" for cell in seeds(0, 1).cells}
    assert names(run) == sorted(str(name) for name in kept(run).values())
    assert all(tensor_file.is_one(file) for file in folder_of(run).iterdir())


def test_scorings_of_a_model_share_a_file_and_are_taken_out_apart(run, tmp_path):
    carry_out(grid_of(RECIPE), run)
    (name,) = set(kept(run).values())
    assert names(run) == [name]
    for cell in cells_of(run):
        assert copy_out(run, cell, tmp_path / "m.safetensors") is None
        arrays, facts = tensor_file.read(tmp_path / "m.safetensors")
        (scoring,) = facts["scorings"]
        assert cell.label == f"mse_sum ({scoring.replace('_', ' ')})"
        assert [entry["cell"] for entry in facts["cells"]] == [cell.cell]
        assert set(arrays) == {"encoder.0.weight", f"scored.{scoring}.fitted.log"}


def test_a_scoring_that_comes_later_takes_nothing_from_the_one_before(run, tmp_path):
    carry_out(grid_of(RECIPE + "eval_samples=[1, 10]\n"), run)
    before = kept(run)
    carry_out(grid_of(RECIPE + "eval_samples=[1, 20]\n"), run)  # the same model, trained again for other cells
    assert len(set(kept(run).values())) == len(names(run)) == 2
    assert {cell: kept(run)[cell] for cell in before} == before
    for cell in cells_of(run):
        copy_out(run, cell, tmp_path / "m.safetensors")


def test_the_limit_holds_and_is_said_once(run):
    _, said = carry_out(seeds(*range(8)), run, weights=0.004)
    assert said.count("r.weights has reached its limit of 0.004 MB: no more weights (--weights MB)") == 1
    assert 0 < len(names(run)) < 4
    assert bytes_of(run) <= 4000
    reasons = {cell.weights_reason for cell in cells_of(run) if cell.weights is None}
    assert reasons == {"their folder had reached its limit of 0.004 MB (--weights)"}
    assert sorted(name for name in kept(run).values() if name) == names(run)
    _, said = carry_out(seeds(*range(9)), run, weights=0.1)
    assert "limit" not in said
    assert kept(run)[seeds(8).cells[0].id] in names(run)


def test_none_are_kept_where_none_are_asked_for(run):
    _, said = carry_out(seeds(0), run, weights=0)
    assert not folder_of(run).exists()
    assert [cell.weights_reason for cell in cells_of(run)] == [NONE_ASKED]
    assert "limit" not in said


def test_the_limit_is_no_part_of_a_cell(run):
    carry_out(seeds(0), run, weights=0)
    assert carry_out(seeds(0), run, weights=5)[0].computed == 0


def test_a_resumed_run_leaves_what_is_there(run):
    carry_out(seeds(0), run)
    (file,) = folder_of(run).iterdir()
    before = file.read_bytes(), file.stat().st_mtime_ns
    carry_out(seeds(0, 1), run)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert len(names(run)) == 2


def test_a_failed_cell_has_none_and_gets_some_when_it_is_tried_again(run, monkeypatch):
    carry_out(seeds(0, RAISES), run)
    assert len(names(run)) == 1
    tasks = TASKS.__class__(**{**vars(TASKS), "carry_out": "tests.bench.engine.losing:well"})
    carry_out(seeds(0, RAISES), run, tasks, retry_failed=True)
    assert names(run) == sorted(str(name) for name in kept(run).values())
    assert len(names(run)) == 2


def test_a_rewritten_cell_has_new_weights_and_the_old_ones_go(tmp_path):
    """Also where the file has another name, for other cells were scored of the model."""
    run, grid = tmp_path / "r.sqlite", grid_of(RECIPE)
    one, two, *_ = grid.cells
    store(grid, [[one], [two]], run)
    before = names(run)
    assert len(before) == 2
    store(grid, [[one, two]], run)
    assert len(names(run)) == 1
    assert not set(names(run)) & set(before)
    store(grid, [[one]], run)
    assert len(names(run)) == 2, "the other cell's file is still named"
    assert sorted(str(name) for name in kept(run).values()) == names(run)


def store(grid: Grid, bundles: list[list[Cell]], run: Path) -> None:
    """As a run does it, whatever the file has."""
    weights = Weights.of(run)
    file = RunFile.open(run, on_stderr) if run.exists() else RunFile.create(run, {}, on_stderr)
    described = describe(grid.cells)
    for cells in bundles:
        results = well(bundle_of(cells), "cpu", weights)
        with weights.settled(file, results, print) as settled:
            file.write([(described[result.cell], result) for result in settled], 1)
    file.close()


def test_fresh_takes_the_old_weights_away_and_nothing_else(run):
    carry_out(seeds(0, 1), run)
    folder = folder_of(run)
    (folder / "deeper").mkdir()
    (folder / "notes.txt").write_text("a year of notes")
    (folder / "deeper" / "x.safetensors").write_text("mine")
    save_file({}, folder / "theirs.safetensors", {"format": "pt"})
    (folder / ".cells.safetensors.part").write_text("of another program")
    mine = [".cells.safetensors.part", "deeper/x.safetensors", "notes.txt", "theirs.safetensors"]
    carry_out(seeds(1), run, fresh=True)
    assert names(run) == sorted([*mine, f"{seeds(1).cells[0].id}.safetensors"])
    carry_out(seeds(1), run, fresh=True, weights=0)
    assert names(run) == mine


def test_another_file_in_the_place_of_weights_is_left(run):
    cell = seeds(0).cells[0]
    folder_of(run).mkdir()
    (folder_of(run) / f"{cell.id}.safetensors").write_text("mine")
    carry_out(seeds(0), run)
    assert (folder_of(run) / f"{cell.id}.safetensors").read_text() == "mine"
    (of,) = cells_of(run)
    assert (of.weights, of.weights_reason) == (None, f"{cell.id}.safetensors is another file")


def test_a_fresh_run_that_cannot_begin_leaves_the_old_weights(run):
    carry_out(seeds(0), run)
    before = names(run)
    with pytest.raises(Exception, match="unknown data set"):
        carry_out(grid_of("[grid]\nfamily='gaussian'\ndataset='digist'\n"), run, fresh=True)
    assert names(run) == before


def test_what_a_killed_worker_left_is_swept_away(run):
    carry_out(seeds(0), run)
    part = Weights.of(run).part("x.safetensors")
    part.write_bytes(b"half")
    part.with_name(f".{part.name}.new").write_bytes(b"half of it")
    carry_out(seeds(0, 1), run)
    assert names(run) == sorted(str(name) for name in kept(run).values())


def test_weights_that_no_cell_names_are_swept_away(run):
    """Their run stopped after they were in place and before their cells were stored."""
    carry_out(seeds(0), run)
    (own,) = folder_of(run).iterdir()
    own.with_name("orphan.safetensors").write_bytes(own.read_bytes())
    other = own.with_name("mine.safetensors")
    other.write_bytes(b"of somebody else")
    carry_out(seeds(0, 1), run)
    assert names(run) == sorted([*(str(name) for name in kept(run).values()), other.name])


def test_weights_that_cannot_be_written_cost_no_result(run):
    folder_of(run).write_text("a file where the folder should be")
    cells = list(parse_grid("[grid]\nfamily='bernoulli'\nhidden=[4]\nlatent=2\nepochs=1\n", "b", "b.toml").cells)
    (row,) = carry_out_bundle(bundle_of([cells[0].but(eval_samples=(1, 5), test_images=10)]), "cpu", Weights.of(run))
    assert row.status == "done"
    assert row.values["weights"] is None
    assert row.values["weights_reason"] == "they could not be written (File exists)"
    assert folder_of(run).read_text() == "a file where the folder should be"


# -- with the real one -------------------------------------------------------------------------------------------------

TINY = """
[grid]
hidden = [16]
latent = 3
epochs = 2
learning_rate = 3e-3
eval_samples = [1, 10, 40]
test_images = 50

[[cells]]
family = "gaussian"
sigma = [0.05, "shared", "image", "pixel", "optimal"]

[[cells]]
family = "laplace"
sigma = 0.5
refine = "never"

[[cells]]
family = ["bernoulli", "mse_sum", "bce_sum", "categorical", "triangular"]

[[cells]]
family = "student_t"
sigma = "shared"
df = "shared"
objective = "iwae"
seed = 3
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, dict[str, CellResult]]:
    """A run file, its folder of weights, and the rows that the worker gave."""
    run = tmp_path_factory.mktemp("weights") / "tiny.sqlite"
    weights, file = Weights.of(run), RunFile.create(run, {}, on_stderr)
    described = describe(grid_of(TINY, "tiny").cells)
    rows: dict[str, CellResult] = {}
    widths: dict[tuple[str, str], list[Cell]] = {}
    for one in described.values():
        widths.setdefault((one.cell.family, one.cell.sigma_mode), []).append(one.cell)
    for cells in widths.values():
        results = carry_out_bundle(bundle_of(cells), "cpu", weights)
        rows |= {result.cell: result for result in results}
        with weights.settled(file, results, print) as settled:
            file.write([(described[result.cell], result) for result in settled], 1)
    file.close()
    torch.set_flush_denormal(False)
    return run, rows


def test_a_model_from_its_file_has_the_score_that_the_run_stored(trained, tmp_path):
    run, rows = trained
    estimators = set()
    for cell in cells_of(run):
        copy_out(run, cell, tmp_path / "m.safetensors")
        model, row = load_model(tmp_path / "m.safetensors"), rows[cell.cell]
        (about,) = model.about["cells"]
        spec = Cell.of_spec(about["spec"])
        assert (about["cell"], spec.id) == (cell.cell, cell.cell)
        assert (model.scoring, model.parameters) == (spec.scored_as, row.values["parameters"])
        k, levels = scored_images(spec, load_data("digits", None, "cpu"))
        assert levels == model.levels
        estimate = log_likelihood(
            k,
            model.encode,
            model.decode,
            model.likelihood,
            spec.eval_samples,
            levels,
            refine=spec.refine,
            seed=spec.seed,
        )
        estimators.add(row.values["estimator"])
        assert float(estimate.bound[max(spec.eval_samples)].mean()) == pytest.approx(row.values["iw_nats"], rel=1e-5), (
            cell.label
        )
    assert estimators == {"encoder", "refined"}


def test_a_file_says_where_its_model_comes_from(trained):
    run, _ = trained
    data = load("digits")
    for cell in cells_of(run):
        assert cell.weights
        _, facts = tensor_file.read(folder_of(run) / cell.weights)
        assert facts["data"] == {"name": "digits", "levels": 17, "shape": [8, 8], "checksum": data.checksum}
        assert {"torch", "safetensors"} <= set(facts["packages"])
        assert facts["git"] is None or len(facts["git"]["commit"]) == 40
        assert str(Path.home()) not in str(facts)
    mse = {cell.weights for cell in cells_of(run) if cell.label.startswith("mse_sum")}
    assert len(mse) == 1


@pytest.mark.slow
def test_workers_of_a_run_write_them(tmp_path):
    grid = parse_grid(
        "[grid]\nfamily=['mse_sum', 'bernoulli']\nhidden=[8]\nlatent=2\nepochs=1\neval_samples=[1]\ntest_images=20\n",
        "g",
        "g.toml",
    )
    with Reporter(io.StringIO()) as reporter:
        summary = run_grid(grid, tmp_path / "g.sqlite", Options(workers=2), reporter)
    assert summary.done == 10  # of two models, one of them read in nine ways
    for cell in cells_of(tmp_path / "g.sqlite"):
        copy_out(tmp_path / "g.sqlite", cell, tmp_path / "m.safetensors")
        assert load_model(tmp_path / "m.safetensors").about["cells"][0]["cell"] == cell.cell
