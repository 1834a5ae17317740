"""The command line: what a person types, reads, and gets as exit code."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from bench import cli
from bench import report as pages
from bench.cli.app import VERBS
from bench.grid.errors import on_stderr
from bench.grid.families import registry
from bench.grid.read import describe, load_grid, shipped_grids
from bench.store import read_run
from bench.store.guard import connection as guarded
from bench.store.guard.errors import shown
from bench.store.read_export import read_exported
from bench.store.weights import cells_of
from tests.bench.engine import fake_worker
from tests.bench.report import fake_run
from tests.bench.report.fake_run import Setting
from tests.conftest import TRIANGULAR
from vae_core.numerics import tensor_file

ROOT = Path(__file__).parents[3]
GRID = "about = 'for tests'\n[grid]\nfamily='gaussian'\nsigma=[0.1, 'shared']\nseed=[0, 1]\n"


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty folder to work in, with a small grid beside it, and workers that do without torch."""
    (tmp_path / "here").mkdir()
    (tmp_path / "small.toml").write_text(GRID)
    (tmp_path / "plugged.toml").write_text("[grid]\nfamily='triangular'\n")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("bench.engine.run.Tasks", lambda: fake_worker.TASKS)
    return tmp_path / "here"


@pytest.fixture
def vae_bench(capfd):
    """Carry out one command line: (exit code, stdout, stderr)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.carry_out(list(arguments))
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# -- what a person types -----------------------------------------------------------------------------------------------


def test_run_resume_report_export(vae_bench, workplace, monkeypatch):
    code, out, err = vae_bench("run", "../small.toml")
    assert code == 0
    assert re.fullmatch(r"4 done, 0 failed, \d+ s, results/small.sqlite\n", out)
    assert "4/4 cells" in err
    assert err.count("(a cell: one configuration and seed; a bundle: cells that are trained together)") == 1
    assert err.endswith("vae-bench report small ranks them, with a page to look at\n")
    assert files(workplace) == ["results/small.sqlite"]

    code, out, _ = vae_bench("run", "../small.toml", "--set", "seed=[0, 1, 2]")
    assert code == 0
    assert out.startswith("6 done, 0 failed")

    monkeypatch.setattr(pages, "build", lambda tables, out, *_: out.write_text(f"{len(tables.cells)} cells") and out)
    monkeypatch.setattr(pages, "ranking_text", lambda tables, width, *_: f"a ranking of {width} columns")
    code, out, _ = vae_bench("report", "small")
    assert (code, out) == (0, "a ranking of 80 columns\nreports/small/index.html\n")
    assert (workplace / "reports/small/index.html").read_text() == "6 cells"

    code, out, _ = vae_bench("report", "small", "--out", "elsewhere/page.html")
    assert (code, out.splitlines()[-1]) == (0, "elsewhere/page.html")
    assert (workplace / "elsewhere/page.html").read_text() == "6 cells"
    Path("folder").mkdir()
    code, _, err = vae_bench("report", "small", "--out", "folder")
    no_file = "is a folder, not a file that could be written"
    assert (code, err) == (2, f"vae-bench: --out folder {no_file}; give another --out.\n")

    code, out, _ = vae_bench("export", "results/small.sqlite", "--to", "tables")
    assert code == 0
    parquet = ("cells", "bounds", "per_image", "latents", "calibration", "history", "candidates", "candidate_history")
    names = sorted(["cells.csv", "provenance.json", *(f"{name}.parquet" for name in parquet)])
    assert sorted(out.split()) == [f"tables/{name}" for name in names] == files(workplace)[-len(names) :]
    tables = read_run(Path("results/small.sqlite"))
    for name in parquet:
        written = read_exported(Path("tables")).cells if name == "cells" else pd.read_parquet(f"tables/{name}.parquet")
        pd.testing.assert_frame_equal(written, getattr(tables, name), check_dtype=False)
    assert list(pd.read_csv("tables/cells.csv")["cell"]) == [*tables.cells["cell"], *tables.references["cell"]]


def test_what_of_a_grid_is_written_otherwise_now_is_said_once(vae_bench, workplace):
    code, out, err = vae_bench("run", "../small.toml", "--set", "objective=['elbo', 'binned']")
    assert code == 0
    said = '--set: objective = ["elbo", "binned"] is written objective = ["dequantised", "binned"] now; objective says'
    assert err.count(said) == 1
    assert said not in out
    code, _, err = vae_bench("run", "../small.toml", "--set", "objective=['dequantised', 'binned']")
    assert code == 0
    assert "is written" not in err


def test_a_note_on_the_overrides_is_said_once_on_stderr(vae_bench, workplace):
    Path("patient.toml").write_text(GRID + "epochs=600\npatience=50\n")
    code, out, err = vae_bench("run", "patient.toml", "--set", "epochs=20")
    assert code == 0
    assert "patience" not in out
    assert err.startswith(
        "--set epochs=20 leaves no room for the grid's patience of 50 epochs, so that all 20 epochs are"
    )
    assert err.count("patience of 50") == 1
    assert set(read_run(Path("results/patient.sqlite")).cells["patience"]) == {0}


@pytest.mark.parametrize("how", ["EXCLUSIVE", "IMMEDIATE"])
def test_a_run_that_waits_for_another_program_tells_the_person(vae_bench, workplace, monkeypatch, how):
    """And not the log, which takes what a plug-in prints: to read the file is waited for, or only to write it."""
    assert vae_bench("run", "../small.toml")[0] == 0
    for name in ("WAIT_TO_OPEN", "WAIT_TO_WRITE"):
        monkeypatch.setattr(guarded, name, 0.3)
    monkeypatch.setattr(guarded, "FIRST_WAIT", 0.1)
    with closing(sqlite3.connect("results/small.sqlite", isolation_level=None)) as browser:
        browser.execute(f"BEGIN {how}")
        code, out, err = vae_bench("run", "../small.toml", "--set", "seed=[0, 1, 2]")
    assert (code, out) == (2, "")
    assert err.count("results/small.sqlite is held by another program; waiting for it, 0.3 s at most\n") == 1
    assert "vae-bench: results/small.sqlite is held by another program" in err
    assert "what plug-ins and libraries printed" not in err
    assert files(workplace) == ["results/small.sqlite"]


def test_compare_ends_with_1_on_a_regression_and_with_0_otherwise(vae_bench, workplace):
    chosen = [Setting("gaussian", 2.0, "shared"), Setting("laplace", 2.2, 0.1)]
    worse = [chosen[0], replace(chosen[1], score=2.3)]
    Path("results").mkdir()
    for name, settings in (("before", chosen), ("after", worse)):
        fake_run.write(Path(f"results/{name}.sqlite"), settings, failures=False, pictures=False)
    assert vae_bench("export", "before", "--to", "tables")[0] == 0

    code, out, err = vae_bench("compare", "before", "results/after.sqlite")
    assert (code, err) == (1, "")
    assert out.startswith("Regression. 1 of 2 configurations is worse: 1 identical.\n")
    assert re.search(r"laplace σ=0.1 +3 +2\.\d{3} +\+0\.100 \[\+0\.100, \+0\.100\] +<0\.001  worse\n", out)
    assert max(map(len, out.splitlines())) <= 80

    for arguments in (("before", "before"), ("tables", "before"), ("./tables", "tables")):
        code, out, err = vae_bench("compare", *arguments)
        assert (code, err) == (0, "")
        assert out.startswith("Identical: every difference is zero, in all 2 configurations that both have.\n")
    code, out, _ = vae_bench("compare", "after", "before")
    assert code == 0
    assert out.startswith("None of 2 configurations is worse: 1 better, 1 identical.\n")
    code, out, _ = vae_bench("compare", "before", "after", "--threshold", "0.2")
    assert code == 0
    assert "1 slightly worse (below the threshold)" in out


def test_compare_pairs_runs_of_other_settings(vae_bench, workplace):
    chosen = [Setting("gaussian", 2.0, "shared"), Setting("laplace", 2.2, 0.1)]
    gained = [chosen[0], replace(chosen[1], score=1.9)]
    fake_run.write(Path("short.sqlite"), chosen, failures=False, pictures=False, epochs=20)
    fake_run.write(Path("long.sqlite"), gained, failures=False, pictures=False, epochs=40)
    code, out, _ = vae_bench("compare", "short.sqlite", "long.sqlite")
    assert code == 0
    assert out.startswith("Nothing can be compared")
    said = "The cells differ in epochs (20 in A, 40 in B): with --ignore epochs they are paired by the rest."
    assert said in " ".join(out.split())
    code, out, err = vae_bench("compare", "short.sqlite", "long.sqlite", "--ignore", "epochs", "--ignore", "patience")
    assert (code, err) == (0, "")
    assert "   Ignored: epochs (20 in A, 40 in B); patience (no difference).\n" in out
    assert "\nWhat changed with the settings:\n  1 of 2 configurations moved by more than 0.01 bits/dim:" in out
    assert '1 of 1 verdict of A "x is better than y" beyond noise turns round in B;' in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = vae_bench("compare", "long.sqlite", "short.sqlite", "--ignore", "epochs")
    assert (code, out.partition(".")[0]) == (1, "Regression")
    for key, near in (("epoch", "epochs"), ("learning-rate", "learning_rate")):
        code, out, err = vae_bench("compare", "short.sqlite", "long.sqlite", "--ignore", key)
        assert (code, out) == (2, "")
        assert err.startswith(f"vae-bench: --ignore {key}: unknown key {key!r} (did you mean {near!r}? allowed: ")
    code, _, err = vae_bench("compare", "short.sqlite", "long.sqlite", "--ignore", "sigma")
    assert (code, err.count("\n")) == (2, 1)
    assert "sigma is part of the likelihood" in err


def test_compare_writes_a_page_beside_what_it_prints(vae_bench, workplace):
    chosen = [Setting("gaussian", 2.0, "shared"), Setting("laplace", 2.2, 0.1)]
    for name, settings in (("before", chosen), ("after", [chosen[0], replace(chosen[1], score=2.3)])):
        fake_run.write(Path(f"{name}.sqlite"), settings, failures=False, pictures=False)
    code, plain, _ = vae_bench("compare", "before.sqlite", "after.sqlite")
    again, out, err = vae_bench("compare", str(workplace / "before.sqlite"), "after.sqlite", "--html", "new/it.html")
    assert (code, again, err) == (1, 1, "")
    assert out.endswith("\nnew/it.html\n")
    assert [line for line in out.splitlines() if "B - A" in line or "laplace" in line] == [
        line for line in plain.splitlines() if "B - A" in line or "laplace" in line
    ]
    page = Path("new/it.html").read_text()
    assert "1 of 2 configurations is worse" in page
    assert "What changed from <bdi>before.sqlite</bdi> to <bdi>after.sqlite</bdi>?" in page
    assert str(workplace) not in page, "no folders of this machine"
    size = Path("after.sqlite").stat().st_size
    Path("folder.html").mkdir()
    for file, said in (("after.sqlite", ": a page's name ends in .html"), ("folder.html", " is a folder, not a file")):
        code, out, err = vae_bench("compare", "before.sqlite", "after.sqlite", "--html", file)
        assert (code, out) == (2, "")
        assert err.startswith(f"vae-bench: --html {file}{said}")
        assert err.count("\n") == 1
    assert Path("after.sqlite").stat().st_size == size


def test_compare_refuses_what_cannot_be_paired(vae_bench, workplace):
    chosen = [Setting("gaussian", 2.0, "shared")]
    fake_run.write(Path("a.sqlite"), chosen, failures=False, pictures=False)
    fake_run.write(Path("b.sqlite"), chosen, failures=False, pictures=False, images=200)
    code, out, err = vae_bench("compare", "a.sqlite", "b.sqlite")
    assert (code, out) == (2, "")
    assert re.fullmatch(r"vae-bench: .* on 300 test images in A and on 200 in B .*\n", err)
    Path("empty").mkdir()
    code, out, err = vae_bench("compare", "a.sqlite", "empty")
    assert (code, out) == (2, "")
    assert err == "vae-bench: there is no empty/cells.parquet; vae-bench export RUN --to FOLDER writes it.\n"


def test_ends_are_an_axis_of_a_grid(vae_bench, workplace):
    code, out, _ = vae_bench("run", "../small.toml", "--set", "ends=['open', 'renormalised']", "--set", "seed=0")
    assert (code, out[:16]) == (0, "4 done, 0 failed")
    shown = read_run(workplace / "results" / "small.sqlite").cells["label"]
    assert sorted(label.partition("ends=")[2] for label in shown) == ["open", "open", "renormalised", "renormalised"]
    code, out, err = vae_bench("run", "../small.toml", "--set", "ends=shut", "--out", "other.sqlite")
    assert (code, out) == (2, "")
    assert "ends='shut' is unknown (allowed: open, renormalised)" in err


def test_a_run_with_failed_cells_ends_with_1(vae_bench):
    code, out, err = vae_bench("run", "../small.toml", "--set", f"seed=[0, {fake_worker.RAISES}]")
    assert code == 1
    assert out.startswith("2 done, 2 failed")
    assert "--retry-failed" in err


def test_the_report_says_what_is_missing(vae_bench, workplace, monkeypatch):
    monkeypatch.setattr(pages, "build", lambda tables, out, *_: out.write_text("x") and out)
    monkeypatch.setattr(pages, "ranking_text", lambda tables, width, *_: "a ranking")
    vae_bench("run", "../small.toml", "--out", "half.sqlite")
    from bench.store import RunFile

    file = RunFile.open(workplace / "half.sqlite", on_stderr)
    cells = describe(load_grid(workplace.parent / "small.toml").cells).values()
    file.begin([item for item in cells if item.cell.seed == 0], {"cells": 10})
    file.close()
    code, out, _ = vae_bench("report", "half.sqlite")
    assert code == 0
    assert "unfinished: 8 cells are missing; running its grid again computes them." in out


def test_a_report_that_fails_leaves_the_older_one(vae_bench, workplace, monkeypatch):
    vae_bench("run", "../small.toml")
    old = workplace / "reports/small/index.html"
    old.parent.mkdir(parents=True)
    old.write_text("the older report")

    def full(handle, *_, **__):
        os.write(handle, b"half")
        os.close(handle)
        raise OSError(28, "No space left on device", "index.html")

    monkeypatch.setattr("os.fdopen", full)
    code, _, err = vae_bench("report", "small")
    assert code == 2
    assert "the disk is full" in err
    assert old.read_text() == "the older report"
    assert files(workplace) == ["reports/small/index.html", "results/small.sqlite"]


def test_every_verb_is_listed():
    folder = Path(cli.__file__).parent
    verbs = {path.stem for path in folder.glob("*.py") if "\ndef verb(" in path.read_text()}
    assert verbs == set(VERBS)


def test_help_has_an_example_for_every_verb(vae_bench):
    code, out, _ = vae_bench("--help")
    assert code == 0
    listed = set(re.findall(r"^  (\w+)  ", out, re.MULTILINE))
    assert listed == set(VERBS)
    for verb in VERBS:
        code, out, _ = vae_bench(verb, "--help")
        assert code == 0
        assert f"Example:  vae-bench {verb}" in " ".join(out.split(" "))
        assert max(map(len, out.splitlines())) <= 80


def test_nothing_typed_shows_the_help(vae_bench):
    assert vae_bench() == vae_bench("--help")


def test_version(vae_bench):
    code, out, _ = vae_bench("--version")
    assert code == 0
    assert re.fullmatch(r"vae-bench \d+\.\d+.*\n", out)


def test_list(vae_bench):
    for shelf, names in (
        ("likelihoods", registry().names()),
        ("grids", list(shipped_grids())),
        ("datasets", ["digits", "mnist", "frey"]),
    ):
        code, out, _ = vae_bench("list", shelf)
        assert code == 0
        assert set(names) <= {line.split()[0] for line in out.splitlines() if line[:1].strip()}
        assert max(map(len, out.splitlines())) <= 80


@pytest.mark.slow
def test_doctor(vae_bench):
    code, out, _ = vae_bench("doctor")
    assert code == 0
    for what in ("Python", "torch", "CUDA", "data root", "digits", "disk"):
        assert what in out


@pytest.fixture
def with_weights(vae_bench, monkeypatch):
    """A run of two labels and two seeds with weights."""
    monkeypatch.setenv("FAKE_WEIGHTS", "10")
    assert vae_bench("run", "../small.toml")[0] == 0
    return {(cell.label, cell.seed): cell for cell in cells_of(Path("results/small.sqlite"))}


def test_model_takes_out_one_cell_by_its_label_its_id_or_the_beginning_of_it(vae_bench, workplace, with_weights):
    cell = with_weights["gaussian σ=shared", 1]
    begun = next(cell.cell[:end] for end in range(1, 99) if begins(with_weights, cell.cell[:end]) == 1)
    ways = [("gaussian σ=shared", "--seed", "1"), ("gaussian  sigma=shared", "--seed=1"), (cell.cell,), (begun,)]
    for number, way in enumerate(ways):
        file = f"out/{number}.safetensors"
        code, out, err = vae_bench("model", "small", *way, "--to", file)
        assert (code, err) == (0, "")
        assert out == f"{file}: gaussian σ=shared, seed 1, for vae_core.training.load_model\n"
        assert max(map(len, out.splitlines())) <= 80
        assert [entry["cell"] for entry in tensor_file.read(Path(file))[1]["cells"]] == [cell.cell]
    assert vae_bench("model", "small", cell.cell, "--to", file)[0] == 0, "an older file of weights is replaced"
    assert len(files(workplace)) == 1 + 4 + 4


def begins(cells, text: str) -> int:
    return sum(cell.cell.startswith(text) for cell in cells.values())


def test_model_says_which_cells_there_are(vae_bench, workplace, with_weights):
    before, whose = files(workplace), "results/small.sqlite has"
    for arguments, sentence in {
        ("gaussian σ=0.1",): rf"{whose} 'gaussian σ=0.1' more than once; say which with --seed \(there is 0, 1\)\.",
        ("gaussian σ=0.1", "--seed", "7"): rf"{whose} no 'gaussian σ=0.1' of seed 7 \(there is 0, 1\)\.",
        ("gausian σ=0.1",): rf"{whose} no cell 'gausian σ=0.1' \(did you mean 'gaussian σ=0.1' or .*\?\)\.",
        ("xyz",): rf"{whose} no cell 'xyz' \(vae-bench report shows the labels\)\.",
        ("",): rf"{whose} no cell '' .*",
        ("digits-g",): r"'digits-g' begins the ids of 4 cells of .* \(digits-.* and \d more\); give more of one\.",
    }.items():
        code, out, err = vae_bench("model", "small", *arguments, "--to", "m.safetensors")
        assert (code, out) == (2, "")
        assert re.fullmatch(f"vae-bench: {sentence}\n", err), err
    assert files(workplace) == before


def test_model_writes_over_no_other_file(vae_bench, workplace, with_weights):
    cell = with_weights["gaussian σ=0.1", 0].cell
    Path("notes.txt").write_text("a year of notes")
    Path("folder").mkdir()
    own = f"results/small.weights/{cell}.safetensors"
    before = Path(own).read_bytes()
    for to, sentence in {
        "notes.txt": "is a file that is no file of weights, so nothing is written over it; give another --to.",
        "folder": "is a folder, not a file that could be written; give another --to.",
        own: "lies in the run's own folder of weights; give another --to.",
    }.items():
        code, out, err = vae_bench("model", "small", cell, "--to", to)
        assert (code, out, err) == (2, "", f"vae-bench: --to {shown(to)} {sentence}\n")
    assert Path("notes.txt").read_text() == "a year of notes"
    assert Path(own).read_bytes() == before


def test_model_says_why_a_cell_has_no_weights_and_what_to_do(vae_bench, workplace, with_weights):
    again = r"vae-bench run with another --out and --weights \d+ trains it again and keeps them\.\n"
    vae_bench("run", "../small.toml", "--weights", "0", "--out", "none.sqlite")
    vae_bench("run", "../small.toml", "--weights", "0.0004", "--out", "full.sqlite")
    vae_bench("run", "../small.toml", "--set", f"seed={fake_worker.RAISES}", "--out", "bad.sqlite")
    cell = with_weights["gaussian σ=0.1", 0]
    failed = cells_of(Path("bad.sqlite"))[0].cell
    file = Path("results/small.weights") / f"{cell.cell}.safetensors"
    whole = file.read_bytes()
    for run, name, damage, sentence in (
        ("none.sqlite", cell.cell, None, rf"none.sqlite has no weights of .*: .* \(--weights 0\); {again}"),
        ("full.sqlite", cell.cell, None, rf"full.sqlite has no weights of .*: .* limit of 0.0004 MB .*; {again}"),
        ("bad.sqlite", failed, None, r".* ended without a model \(failed: RuntimeError.*\), so it has no weights\.\n"),
        ("small", cell.cell, whole[:-5], rf"results/small.weights/.* is damaged \(.*\): .*; {again}"),
        ("small", cell.cell, b"", rf"the weights of .* are not where they were written \(results/small.*\); {again}"),
    ):
        if damage is not None:
            file.write_bytes(damage)
            if not damage:
                file.unlink()
        code, out, err = vae_bench("model", run, name, "--to", "m.safetensors")
        assert (code, out) == (2, "")
        assert re.fullmatch(f"vae-bench: {sentence}", err), err
    assert not Path("m.safetensors").exists()


def test_model_of_a_run_from_before_weights_were_kept(vae_bench, workplace):
    shutil.copy(ROOT / "tests/bench/store/format_3.sqlite", "old.sqlite")
    done = next(cell for cell in cells_of(Path("old.sqlite")) if cell.status == "done")
    code, _, err = vae_bench("model", "old.sqlite", done.cell, "--to", "m.safetensors")
    assert code == 2
    assert "has no weights of" in err
    assert "the run is from before they were kept" in err


def test_model_executes_no_torch(workplace, with_weights):
    cell = with_weights["gaussian σ=0.1", 0].cell
    script = (
        "import sys\nfrom bench.cli import carry_out\n"
        f"assert carry_out(['model', 'small', {cell!r}, '--to', 'm.safetensors']) == 0\n"
        "assert 'torch._C' not in sys.modules and 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


# -- what is wrong -----------------------------------------------------------------------------------------------------


def text_file(path: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("no run")
    return path


WRONG = {
    ("run",): "Missing argument",
    ("run", "digts"): r"unknown grid 'digts' \(did you mean 'digits'\? vae-bench list grids\)",
    ("run", "none.toml"): "there is no grid file none.toml",
    ("run", "../small.toml", "--set", "family=gausian"): r"did you mean 'gaussian'\?",
    ("run", "../small.toml", "--set", "sigm=1"): r"unknown key 'sigm' \(did you mean 'sigma'",
    ("run", "../small.toml", "--set", "sigma=0"): "sigma",
    ("run", "../small.toml", "--set", "sigma=-1"): "sigma",
    ("run", "../small.toml", "--set", "sigma=nan"): "sigma",
    ("run", "../small.toml", "--set", "train_samples=0"): "train_samples",
    ("run", "../small.toml", "--set", "eval_samples=[0]"): "eval_samples",
    ("run", "../small.toml", "--set", "linkk=identity"): "unknown key 'linkk'",
    ("run", "../small.toml", "--set", "dataset=digist"): "unknown data set 'digist'",
    ("run", "../small.toml", "--set", "epochs"): "KEY=VALUE",
    ("run", "../small.toml", "--device", "cuda"): "none here",
    ("run", "../small.toml", "--device", "gpu"): "a GPU is called cuda here",
    ("run", "../small.toml", "--engine", "ray"): "No such option: --engine",
    ("run", "../small.toml", "--timeout", "0"): "--timeout 0: give a number of seconds > 0",
    ("run", "../small.toml", "--timeout", "nan"): "--timeout nan",
    ("run", "../small.toml", "--workers", "0"): "--workers",
    ("run", "../small.toml", "--weights", "-1"): "--weights -1: give a number of megabytes, 0 or more",
    ("run", "../small.toml", "--weights", "nan"): "--weights nan",
    ("model", "nothing", "x", "--to", "m"): r"there is no run results/nothing.sqlite",
    ("model", "nothing"): "Missing argument",
    ("run", "../small.toml", "--out", "/proc/none/r.sqlite"): "/proc/none/r.sqlite could not be written",
    ("report", "nothing"): r"there is no run results/nothing.sqlite \(vae-bench run makes one\)",
    ("report", "no/where.sqlite"): "there is no run file no/where.sqlite",
    ("export", "nothing", "--to", "x"): "there is no run",
    ("export", "nothing"): "Missing option '--to'",
    ("list", "things"): "is not one of",
    ("explain",): "Missing argument",
    ("explain", "gausian"): r"unknown family 'gausian' \(did you mean 'gaussian'\? vae-bench list likelihoods\)",
    ("explain", "discretized_logistic"): r"did you mean 'discretised_logistic'\?",
    ("run", "../small.toml", "--set", "objective=bined"): r"did you mean 'binned'\?",
    ("compare", "a"): "Missing argument",
    ("compare", "a", "b"): r"there is no run results/a.sqlite \(vae-bench run makes one\)",
    ("compare", "a.sqlite", "b.sqlite"): "there is no run file a.sqlite",
    ("compare", "a", "b", "--threshold", "-1"): "--threshold and --threshold-nats: give numbers >= 0",
    ("compare", "a", "b", "--threshold-nats", "nan"): "--threshold and --threshold-nats: give numbers >= 0",
}


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_input_gets_one_sentence_and_2_and_leaves_nothing(vae_bench, workplace, arguments):
    code, out, err = vae_bench(*arguments)
    assert code == 2
    assert out == ""
    assert re.fullmatch(rf"vae-bench: .*{WRONG[arguments]}.*\n", err), err
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize("arguments", [("run", "../small.toml", "--out"), ("report",), ("export", "--to=x")])
def test_a_file_that_is_no_run_is_left_alone(vae_bench, workplace, arguments):
    Path("notes.sqlite").write_text("no run at all")
    code, _, err = vae_bench(*arguments, "notes.sqlite")
    assert code == 2
    assert re.fullmatch(r"vae-bench: notes.sqlite is damaged or not a run file .*\n", err)
    assert files(workplace) == ["notes.sqlite"]


def test_a_run_name_with_a_slip_is_recognised(vae_bench, workplace):
    text_file("results/digits.sqlite")
    for verb in (("report", "digts"), ("compare", "digts", "digits")):
        code, _, err = vae_bench(*verb)
        assert (code, err) == (2, "vae-bench: there is no run results/digts.sqlite (did you mean 'digits'?).\n")


def test_an_error_in_the_code_is_not_hidden(vae_bench, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr("bench.engine.run.describe", broken)
    with pytest.raises(ZeroDivisionError):
        vae_bench("run", "../small.toml")


# -- what it costs -----------------------------------------------------------------------------------------------------

WATCH = """
import contextlib, io, json, sys
from bench import cli
from tests.bench.engine import fake_worker
import bench.engine.run
bench.engine.run.Tasks = lambda: fake_worker.TASKS
for arguments, expected in json.loads(sys.argv[1]):
    if arguments[0] == "report":  # the store's readers and what the page is built with, not the page's content
        from bench import report
        report.build = lambda tables, out, *_: out.touch()
        report.ranking_text = lambda tables, width, *_: ""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.carry_out(arguments)
    loaded = [name for name in ("torch._C", "torchvision") if name in sys.modules]
    assert not loaded, (arguments, loaded)  # whoever comes first is named; the others are not looked at
    assert code == expected, (arguments, code, said.getvalue())
print("all of", len(json.loads(sys.argv[1])))
"""
#: command lines and their exit codes, a process for each list: what is in it begins where the others left the process
WATCHED: dict[str, list[tuple[tuple[str, ...], int]]] = {
    "reads": [
        (("--help",), 0),
        (("list", "grids"), 0),
        (("list", "datasets"), 0),
        (("list", "likelihoods"), 0),
        (("explain", "gaussian"), 0),
        (("explain", "discretised_logistic"), 0),
        (("explain", "gaussian", "--code", "lightning", "--sigma", "pixel"), 0),
        (("report", "nothing"), 2),
    ],
    "reads a plug-in": [
        (("explain", "triangular", "--plugin", str(TRIANGULAR)), 0),
        (("list", "likelihoods", "--plugin", str(TRIANGULAR)), 0),
    ],
    "runs": [
        (("run", "../small.toml", "--out", "other.sqlite"), 0),
        (("run", "../small.toml", "--set", "objective=['dequantised', 'binned']", "--out", "other.sqlite"), 0),
        (("run", "../small.toml", "--set", "sigma=-1"), 2),
        (("export", "ready.sqlite", "--to", "tables"), 0),
        (("compare", "ready.sqlite", "ready.sqlite"), 0),
        (("report", "ready.sqlite"), 0),
    ],
    "runs a plug-in": [(("run", "../plugged.toml", "--plugin", str(TRIANGULAR)), 0)],
    "looks at the machine": [(("doctor",), 0)],
}


def watched(lines: list[tuple[tuple[str, ...], int]], script: str = WATCH) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, json.dumps(lines)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("what", WATCHED)
def test_this_process_never_executes_torch(workplace, vae_bench, what):
    vae_bench("run", "../small.toml", "--out", "ready.sqlite")
    done = watched(WATCHED[what])
    assert done.stdout == f"all of {len(WATCHED[what])}\n", done.stdout + done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_verb_that_executes_torch_is_named_among_others(workplace):
    planted = """
import types
shown = cli.carry_out
def faulty(given):
    if given[1:] == ["grids"]:
        __import__("torch").zeros(1)
    return shown(given)
cli = types.SimpleNamespace(carry_out=faulty)
"""
    done = watched(WATCHED["reads"], WATCH.replace("for arguments,", f"{planted}for arguments,", 1))
    assert done.returncode == 1
    assert "AssertionError: (['list', 'grids'], ['torch._C'" in done.stderr


def test_the_process_ends_with_the_code():
    done = subprocess.run(
        [sys.executable, "-m", "bench.cli", "run", "digts"], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"vae-bench: unknown grid")
