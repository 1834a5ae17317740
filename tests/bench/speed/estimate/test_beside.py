"""What is predicted beside a run: in the terms of an estimate, from what estimates have kept, of what is left alone."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

from bench.engine.process.beside.foretold import Left
from bench.engine.provenance import cores, cpu_model
from bench.grid.plan import plan, restrict
from bench.grid.references import of_grid
from bench.speed.estimate import beside, kept
from bench.speed.estimate.devices import rates
from bench.speed.estimate.devices.profile import FOLDER, parsed, profile_of
from bench.speed.estimate.estimate import Estimate, estimate_grid
from tests.bench.speed.estimate.lefts import GRID, TUNED, left_of

#: what a run has begun with already, or does when all else is done
STARTS = ("start and data", "compiling", "timing of kinds", "references")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("os.nice", lambda by: by)
    return tmp_path


def foretell(left: Left, counting: bool) -> Any:
    return beside.foretell(left, counting)


def but_for_starts(told: Estimate) -> tuple[float, float]:
    """The range of an estimate by one worker, without what is not of the pieces of work."""
    low, high = (
        sum(of.total for term, of in terms.items() if term not in STARTS)
        for terms in (told.prediction.low, told.prediction.high)
    )
    return low, high


@pytest.mark.parametrize("grid", [GRID, TUNED], ids=["as it is", "tuned"])
def test_of_a_whole_run_it_is_what_an_estimate_says_from_what_that_has_kept(grid):
    assert foretell(left_of(grid), False) is None, "nothing is kept, and nothing may be counted"
    told = estimate_grid(grid, "h100", lambda line: None)
    assert foretell(left_of(grid), False) == pytest.approx(but_for_starts(told), rel=1e-6)


def test_what_may_be_counted_is_kept_for_estimates():
    found = foretell(left_of(GRID), True)
    assert found == foretell(left_of(GRID), False)
    said: list[str] = []
    told = estimate_grid(GRID, "h100", said.append)
    assert found == pytest.approx(but_for_starts(told), rel=1e-6)
    assert said == []


def test_of_a_resumed_run_only_what_is_left_is_in_it():
    low, high = foretell(left_of(GRID), True)
    (bundle,) = plan(GRID.cells, "cuda", 1)
    wanted = frozenset(cell.id for cell in GRID.cells if cell.seed == 1)
    along = restrict(bundle, wanted)
    assert along is not None
    some = foretell(left_of(GRID, wanted=wanted, bundles=(along,)), False)
    apart = foretell(left_of(GRID, wanted=wanted, bundles=(dataclasses.replace(along, trained=()),)), False)
    assert apart[1] < some[1] < high, "who is trained along takes time, and is not scored again"
    assert apart[0] <= some[0] < low
    assert foretell(left_of(TUNED), True)[1] > high
    cells = {search: {"values": {"learning_rate": 1e-3}} for search in {cell.search for cell in TUNED.cells}}
    chosen = tuple(dataclasses.replace(one, chosen=cells) for one in plan(TUNED.cells, "cuda", 1))
    known = foretell(left_of(TUNED, tunings=(), bundles=chosen), False)
    assert known == pytest.approx((low, high), rel=1e-6), "what is chosen is not chosen again"


def test_a_gpu_that_nobody_measured_and_that_has_no_sheet_is_not_predicted():
    assert foretell(left_of(GRID, name="NVIDIA Something 9000"), True) is None
    assert not kept.folder().exists(), "and nothing is counted for it"


def test_what_plug_ins_bring_is_counted_and_not_kept():
    assert foretell(left_of(GRID, plugged=True), False) is None
    assert foretell(left_of(GRID, plugged=True), True) is not None
    assert not kept.folder().exists()


def cpu_profile():
    text = (FOLDER / "h100.toml").read_text().replace('kind = "cuda"', 'kind = "cpu"')
    text = text.replace("measured = false", "measured = true").replace("compile = 10.0", "compile = 0.0")
    return dataclasses.replace(parsed("this", text, ""), title=cpu_model(), cores=cores())


def test_a_cpu_is_measured_once_and_only_where_there_is_time_for_it(monkeypatch):
    measured: list[str] = []

    def measure(device: str) -> dict[str, object]:
        measured.append(device)
        return {field.name: getattr(cpu_profile(), field.name) for field in dataclasses.fields(cpu_profile())}

    monkeypatch.setattr("bench.speed.estimate.devices.measure.measure_profile", measure)
    here = left_of(GRID, "cpu", cpu_model())
    assert foretell(here, False) is None
    found = foretell(here, True)
    assert found is not None
    assert foretell(here, False) == pytest.approx(found, rel=1e-6)
    assert measured == ["cpu"]
    more = foretell(dataclasses.replace(here, references=tuple(of_grid(GRID.cells))), False)
    assert more[0] > found[0], "references are of the run's own workers there"
    more = foretell(dataclasses.replace(here, timed=frozenset()), False)
    assert more[0] == pytest.approx(found[0] + 2 * 0.9, rel=1e-6)


@pytest.mark.parametrize("damage", ["", "# 0\n", "[peak]", "\xff", "swapped"])
def test_rates_that_are_damaged_are_none(damage):
    profile = cpu_profile()
    assert rates.find("cpu", cpu_model()) is None
    rates.keep(profile)
    found = rates.find("cpu", cpu_model())
    assert found is not None
    assert (found.bytes_per_s, found.measured, found.title) == (profile.bytes_per_s, True, cpu_model())
    assert rates.find("cpu", "another") is None
    assert rates.find("cuda", cpu_model()) is None
    (path,) = (kept.folder().parent / "rates").iterdir()
    assert profile_of(str(path)).measured, "a file that --device takes"
    whole = path.read_text()
    path.write_text(whole.replace("2513", "9999").replace("2512", "9999") if damage == "swapped" else damage, "latin-1")
    assert path.read_text("latin-1") != whole
    assert rates.find("cpu", cpu_model()) is None


def test_rates_that_cannot_be_written_are_none(cache):
    (cache / "vae-bench").write_text("in the way")
    rates.keep(cpu_profile())
    assert rates.find("cpu", cpu_model()) is None


def test_what_is_kept_is_told_without_torch():
    foretell(left_of(GRID), True)
    script = (
        "import sys\nfrom tests.bench.speed.estimate.lefts import GRID, left_of\n"
        "from bench.speed.estimate import beside\nprint(beside.foretell(left_of(GRID), False))\n"
        "assert 'torch._C' not in sys.modules, 'executed'\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("(")
