"""Plug-ins in the harness: real workers that know them, files that changed, and every way to give a broken one."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import cli
from bench.engine import plugins
from bench.engine.local import Pool, TaskFailed
from bench.engine.run import RunError
from bench.grid.errors import on_stderr
from bench.grid.read import parse_grid
from bench.store import read_run
from tests.bench.engine import fake_worker
from tests.bench.engine.test_run import carry_out
from tests.conftest import TRIANGULAR
from vae_core import likelihoods

pytestmark = pytest.mark.usefixtures("same_catalogue_afterwards")

ROOT = Path(__file__).parents[3]
MUTANTS = ROOT / "tests" / "vae_core" / "likelihoods" / "mutants"
TINY = """
[grid]
family = ["tent", "copycat", "continuous_bernoulli"]
objective = ["dequantised", "binned"]
hidden = [8]
latent = 2
epochs = 2
eval_samples = [1, 5]
test_images = 20
"""
GIVEN = ("--plugin", "copycat.py", "--plugin", "tent.py")
FAKE = fake_worker.TASKS  # but for the laws, which are tried in earnest


def forget(family: str) -> None:
    """As if this were another process that has not met the family."""
    del likelihoods._FAMILIES[family], likelihoods._PLUGINS[family]


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def vae_bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command line in a process of its own, with the real workers."""
    return subprocess.run(
        [sys.executable, "-m", "bench.cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


# -- a run with a plug-in ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a plug-in, a grid, and what a run with real workers made of them."""
    folder = tmp_path_factory.mktemp("run")
    shutil.copy(TRIANGULAR, folder / "tent.py")
    (folder / "copycat.py").write_text(
        "from vae_core.likelihoods.continuous_bernoulli import ContinuousBernoulli\n"
        "class Copycat(ContinuousBernoulli):\n    pass\n"
    )
    (folder / "tiny.toml").write_text(TINY)
    done = vae_bench(folder, "run", "tiny.toml", *GIVEN, "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("6 done, 0 failed")
    return folder


@pytest.mark.slow
def test_workers_train_and_score_a_plug_in(finished):
    tables = read_run(finished / "results/tiny.sqlite")
    cells = tables.cells.set_index("label")
    families = ("tent", "copycat", "continuous_bernoulli")
    assert set(cells.index) == {f"{family}{objective}" for family in families for objective in ("", " binned")}
    assert (cells["status"] == "done").all()
    assert (cells["measure"] == "pmf-17").all()
    assert np.isfinite(cells["bits_per_dim"]).all()
    assert (cells["train_images_per_s"] > 0).all()
    assert (cells["dequantised_nats"] < cells["iw_nats"]).all()
    assert cells.loc["tent", "iw_nats"] != cells.loc["tent binned", "iw_nats"]


@pytest.mark.slow
def test_the_run_file_says_which_code_it_was(finished):
    tables = read_run(finished / "results/tiny.sqlite")
    known = {name: {"file": f"{name}.py", "sha256": checksum(finished / f"{name}.py")} for name in ("copycat", "tent")}
    assert tables.meta["plugins"] == known
    assert [entry["plugins"] for entry in tables.provenance] == [known]
    assert tables.meta["cards"]["tent"]["plugin"] == "tent.py"
    assert tables.meta["cards"]["continuous_bernoulli"]["plugin"] == ""
    assert tables.meta["cards"]["tent"]["view"].startswith("unit: dequantised")
    assert tables.meta["cards"]["tent"]["outputs"] == {"": "D"}
    assert str(finished) not in json.dumps([tables.meta, tables.provenance])


@pytest.mark.slow
def test_a_plug_in_is_trained_and_scored_as_a_shipped_family_is(finished):
    nats = read_run(finished / "results/tiny.sqlite").cells.set_index("label")["iw_nats"]
    for objective in ("", " binned"):
        assert nats[f"copycat{objective}"] == pytest.approx(nats[f"continuous_bernoulli{objective}"], rel=1e-5)


@pytest.mark.slow
def test_the_same_command_resumes(finished):
    again = vae_bench(finished, "run", "tiny.toml", *GIVEN)
    assert (again.returncode, again.stdout.split(",")[0]) == (0, "6 done")


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--set", "seed=[0, 1]")])
def test_a_changed_plug_in_is_refused_on_resuming(finished, tmp_path, more):
    run, before = finished / "results/tiny.sqlite", (finished / "results/tiny.sqlite").read_bytes()
    changed = tmp_path / "tent.py"
    changed.write_text((finished / "tent.py").read_text().replace("/ 3", "/ 2.999"))
    done = vae_bench(finished, "run", "tiny.toml", *GIVEN[:2], "--plugin", str(changed), *more)
    assert done.returncode == 2
    now, then = checksum(changed)[:8], checksum(finished / "tent.py")[:8]
    assert done.stderr.endswith(
        f"vae-bench: the plug-in tent.py is not what results/tiny.sqlite was begun with (checksum {now}, then {then}); "
        "restore the file, or run with --fresh or another --out.\n"
    )
    assert run.read_bytes() == before
    assert sorted(path.name for path in run.parent.iterdir()) == ["tiny.sqlite", "tiny.weights"]


# -- the same with cheap workers ---------------------------------------------------------------------------------------


@pytest.fixture
def tent(tmp_path):
    path = tmp_path / "tent.py"
    shutil.copy(TRIANGULAR, path)
    return path


def tents(*seeds: int):
    return parse_grid(f"[grid]\nfamily='tent'\nseed={list(seeds)}\n", "tents", "tents.toml")


@pytest.mark.slow
def test_a_changed_plug_in_may_begin_again(tmp_path, tent):
    out = tmp_path / "r.sqlite"
    plugins.add([tent], on_stderr)
    carry_out(tents(0), out, FAKE)
    forget("tent")
    tent.write_text(tent.read_text() + "\n# another\n")
    plugins.add([tent], on_stderr)
    for grid in (tents(0), tents(0, 1)):
        with pytest.raises(RunError, match=r"the plug-in tent.py is not what .* was begun with"):
            carry_out(grid, out, FAKE)
    summary, _ = carry_out(tents(0), out, FAKE, fresh=True)
    assert summary.computed == 1
    assert read_run(out).meta["plugins"]["tent"]["sha256"] == checksum(tent)


@pytest.mark.slow
def test_a_run_file_remembers_a_plug_in_that_the_present_grid_has_not(tmp_path, tent):
    out = tmp_path / "r.sqlite"
    plugins.add([tent], on_stderr)
    carry_out(tents(0), out, FAKE)
    carry_out(parse_grid("[grid]\nfamily='gaussian'\n", "g", "g.toml"), out, FAKE)
    forget("tent")
    tent.write_text(tent.read_text() + "\n# another\n")
    plugins.add([tent], on_stderr)
    with pytest.raises(RunError, match=r"the plug-in tent.py is not what"):
        carry_out(tents(0), out, FAKE)


@pytest.mark.slow
def test_a_law_that_is_broken_leaves_an_older_run_as_it_was(tmp_path):
    out = tmp_path / "r.sqlite"
    plugins.add([MUTANTS / "other_sampler.py"], on_stderr)
    grid = parse_grid("[grid]\nfamily='gaussian'\n", "g", "g.toml")
    carry_out(grid, out, FAKE)
    before = out.read_bytes()
    mixed = parse_grid("[grid]\nfamily=['gaussian', 'other_sampler']\n", "g", "g.toml")
    for fresh in (False, True):
        with pytest.raises(RunError, match=r"other_sampler breaks 1 of \d+ laws:\n- 'samples follow the masses'"):
            carry_out(mixed, out, FAKE, fresh=fresh)
        assert out.read_bytes() == before


@pytest.mark.slow
def test_a_plug_in_that_changes_under_a_run_is_not_used(tent):
    plugins.add([tent], on_stderr)
    first = plugins.task(plugins.origins(["tent", "gaussian"]))
    with Pool(1, 1, first) as pool:
        assert pool.call("bench.engine.plugins:check", "tent") == {}
    tent.write_text(tent.read_text() + "\n# another\n")
    with Pool(1, 1, first) as pool, pytest.raises(TaskFailed, match="tent was changed while it was in use"):
        pool.call("bench.engine.plugins:check", "tent")


@pytest.mark.slow
def test_workers_know_what_is_installed(tmp_path, install):
    install("hat", TRIANGULAR.read_text())
    assert plugins.add([], on_stderr) == []
    plugins.obey("hat")
    carry_out(parse_grid("[grid]\nfamily='hat'\n", "hats", "hats.toml"), tmp_path / "r.sqlite", FAKE)
    file = tmp_path / "my_package" / "hat.py"
    assert read_run(tmp_path / "r.sqlite").meta["plugins"] == {"hat": {"file": "hat.py", "sha256": checksum(file)}}
    file.write_text(TRIANGULAR.read_text().replace("torch.sqrt(u * c)", "torch.sqrt(u * u)"))
    with pytest.raises(plugins.PluginError, match="hat was changed while it was in use"):
        plugins.obey("hat")


def test_workers_are_told_of_nothing_where_there_is_nothing_to_tell():
    assert plugins.task(plugins.origins(["gaussian", "bernoulli"])) is None


# -- broken ones, as a person meets them -------------------------------------------------------------------------------


@pytest.fixture
def line(tmp_path, monkeypatch, capfd):
    """Carry out a command line in an empty folder: (exit code, stdout, stderr)."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("bench.engine.run.Tasks", lambda: FAKE)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.carry_out(list(arguments))
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


BROKEN = {
    "typo": ("class Typo(:\n", r"the plug-in typo\.py cannot be imported: SyntaxError: .*"),
    "nothing": ("x = 1\n", r"the plug-in nothing\.py defines no concrete likelihood \(.*\): one file, one family"),
    "twice": (
        "from vae_core.likelihoods.gaussian import Gaussian\nclass A(Gaussian): pass\nclass B(Gaussian): pass\n",
        r"the plug-in twice\.py defines 2 concrete likelihoods \(A, B\): one file, one family",
    ),
    "gaussian": (TRIANGULAR.read_text(), r"the plug-in .*gaussian\.py: there is a family 'gaussian' already; .*"),
    "missing": (None, r"the plug-in .*missing\.py cannot be read: No such file or directory"),
}


@pytest.mark.parametrize("verb", ["run", "list", "explain"])
@pytest.mark.parametrize("stem", BROKEN)
def test_a_broken_plug_in_gets_one_sentence_and_2_and_leaves_nothing(line, tmp_path, stem, verb):
    text, sentence = BROKEN[stem]
    path = tmp_path / f"{stem}.py"
    if text is not None:
        path.write_text(text)
    (tmp_path / "grid.toml").write_text(f"[grid]\nfamily='{stem}'\n")
    arguments = {"run": ["../grid.toml"], "list": ["likelihoods"], "explain": [stem]}[verb]
    code, out, err = line(verb, *arguments, "--plugin", str(path))
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"vae-bench: {sentence}\.\n", err), err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("verb", ["run", "explain"])
def test_laws_that_are_broken_are_listed_with_2_and_leave_nothing(line, tmp_path, verb):
    (tmp_path / "grid.toml").write_text("[grid]\nfamily='density_off'\n")
    arguments = {"run": ["../grid.toml"], "explain": ["density_off"]}[verb]
    code, out, err = line(verb, *arguments, "--plugin", str(MUTANTS / "density_off.py"))
    assert (code, out) == (2, "")
    head, *lines = err.splitlines()
    assert re.fullmatch(r"vae-bench: density_off breaks 2 of \d+ laws:", head)
    assert [line[:20] for line in lines if line.startswith("-")] == ["- 'masses are integr", "- 'masses are at lea"]
    assert max(map(len, lines)) < 80, "as it is, not in one line of 500 characters"
    assert lines[-1].endswith(".")
    assert list(Path().iterdir()) == []


def test_what_is_no_python_file(line, tmp_path):
    (tmp_path / "tent.txt").write_text(TRIANGULAR.read_text())
    code, _, err = line("list", "likelihoods", "--plugin", "../tent.txt")
    assert (code, err) == (2, "vae-bench: the plug-in ../tent.txt is no Python file: give a .py.\n")


def test_a_plug_in_that_the_grid_does_not_use_is_a_mistake(line, tent):
    code, _, err = line("run", "smoke", "--plugin", str(tent))
    assert code == 2
    assert err == "vae-bench: --plugin: no cell of the grid is of the family tent; name it under family in the grid.\n"
    assert list(Path().iterdir()) == []


def test_without_its_file_the_family_is_unknown(line, tmp_path):
    (tmp_path / "grid.toml").write_text("[grid]\nfamily='tent'\n")
    code, _, err = line("run", "../grid.toml")
    assert code == 2
    assert "unknown family 'tent'" in err


def test_plug_ins_are_listed_and_explained(line, tent):
    code, out, _ = line("list", "likelihoods", "--plugin", str(tent), "--plugin", str(MUTANTS / "top_bin.py"))
    assert code == 0
    assert {"tent", "top_bin", "gaussian"} <= {line.split()[0] for line in out.splitlines() if line[:1].strip()}
    code, out, _ = line("explain", "tent", "--plugin", str(tent))
    assert code == 0
    assert re.search(rf"^plug-in     tent\.py, checksum {checksum(tent)[:8]}$", out, re.MULTILINE)
    assert 'plugins.register("tent.py")' in out


@pytest.mark.parametrize("grid", sorted(path.stem for path in TRIANGULAR.parent.glob("*.toml")))
def test_the_examples_are_valid_with_their_plug_in(grid):
    from bench.grid.read import load_grid

    cells = load_grid(TRIANGULAR.parent / f"{grid}.toml").cells
    assert {"triangular"} < {cell.family for cell in cells}
