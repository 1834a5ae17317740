"""Memory that runs out, in each phase: fewer models, smaller pieces, and at last a status and what to set."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
import torch

from bench.engine.worker import bundle, rows
from bench.engine.worker.bundle import carry_out
from bench.grid.cell import Cell
from bench.grid.plan import alone, bundle_of
from bench.store import read_run
from tests.bench.engine.out_of_memory import LARGE, LARGER, SAID, SCORES, TRAINS
from tests.bench.engine.test_run import carry_out as run
from tests.bench.engine.test_run import diary, seeds  # noqa: F401  the diary is a fixture
from tests.bench.engine.test_worker import BASE
from vae_core.likelihoods.gaussian import Gaussian
from vae_core.numerics import memory


@pytest.fixture(autouse=True)
def as_if_nothing_had_happened(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(memory, "_quartered", 0)
    yield
    torch.set_flush_denormal(False)


# -- training ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit", [1, 3])
def test_a_bundle_that_does_not_fit_is_trained_in_parts(tmp_path, monkeypatch, diary, fit):  # noqa: F811
    monkeypatch.setenv("FAKE_FIT", str(fit))
    summary, _ = run(seeds(*range(8)), tmp_path / "r.sqlite", TRAINS, workers=1)
    assert (summary.done, summary.failed) == (8, 0)
    tried = [int(what.split()[0]) for _, what in diary() if what.endswith("models")]
    assert tried[0] > fit
    assert sum(models for models in tried if models <= fit) == 8


def test_a_model_that_does_not_fit_alone_is_told_what_asks_for_less(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FIT", "0")
    summary, _ = run(seeds(0, 1), tmp_path / "r.sqlite", TRAINS, workers=1)
    assert (summary.done, summary.failed, summary.lost) == (0, 2, 0)
    for reason in read_run(tmp_path / "r.sqlite").cells["reason"]:
        assert reason.startswith("OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total")
        assert "PYTORCH_ALLOC_CONF" not in reason, "nobody need read of allocators"
        assert reason.endswith(
            "; one model alone did not fit: free what others hold of the memory, or --set batch_size=50 asks for less"
        )
    assert set(read_run(tmp_path / "r.sqlite").cells["status"]) == {"oom"}
    run(seeds(0, 1), tmp_path / "r.sqlite", TRAINS, workers=2, retry_failed=True)
    assert read_run(tmp_path / "r.sqlite").cells["reason"].str.contains("--workers 1 has all of the memory").all()
    monkeypatch.setenv("FAKE_FIT", "9")
    summary, _ = run(seeds(0, 1), tmp_path / "r.sqlite", TRAINS, workers=1, retry_failed=True)
    assert (summary.done, summary.failed) == (2, 0)


def test_what_is_told_to_be_set_can_be_set(tmp_path, monkeypatch):
    """To the letter: the words behind --set are taken by the grid."""
    from bench.grid.read import parse_grid

    monkeypatch.setenv("FAKE_FIT", "0")
    run(seeds(0), tmp_path / "r.sqlite", TRAINS, workers=1)
    (reason,) = read_run(tmp_path / "r.sqlite").cells["reason"]
    override = reason.partition("--set ")[2].split()[0]
    (cell,) = parse_grid("[grid]\nfamily='gaussian'\nsigma=0.1\n", "g", "g.toml", [override]).cells
    assert cell.batch_size == 50


# -- scoring -----------------------------------------------------------------------------------------------------------


def test_a_model_whose_score_does_not_fit_is_tried_alone_and_takes_none_along(tmp_path, diary):  # noqa: F811
    summary, _ = run(seeds(0, LARGE, 1, LARGER), tmp_path / "r.sqlite", SCORES, workers=1)
    assert (summary.done, summary.failed) == (3, 1)
    stored = read_run(tmp_path / "r.sqlite").cells.set_index("seed")
    assert stored.loc[LARGER, "status"] == "oom"
    assert stored.loc[LARGE, "status"] == "done"
    tried = [ast.literal_eval(what) for _, what in diary() if what.startswith("[")]
    assert Counter(map(tuple, tried)) == Counter([(0, 1, LARGE, LARGER), (LARGE,), (LARGER,)])


def test_cells_of_one_model_go_together():
    cells = [
        BASE.but(family="mse_sum", options={}, view="grey", scored_as=scored, seed=seed)
        for seed in (0, 1)
        for scored in ("gaussian", "laplace")
    ]
    both = bundle_of(cells)
    (part,) = alone(both, [cells[2].id])
    assert part.cells == (cells[2], cells[3])
    assert alone(bundle_of(cells[:2]), [cells[0].id]) == ()
    assert alone(both, []) == ()


class Scorer:
    """Exact masses of which no more than `most` raw outputs fit; of the model with this σ, where one is meant."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int, sigma: float | None = None) -> None:
        self.refused = 0
        masses = Gaussian.log_mass

        def log_mass(likelihood: Any, k: Any, raw: Any, levels: int = 256) -> Any:
            meant = sigma is None or float(likelihood.sigma_in_use(raw)) == pytest.approx(sigma)
            if meant and raw.numel() > most and likelihood.models is None:
                self.refused += 1
                raise torch.OutOfMemoryError(SAID)
            return masses(likelihood, k, raw, levels)

        monkeypatch.setattr(Gaussian, "log_mass", log_mass)


def cells(**changes: Any) -> list[Cell]:
    return [BASE.but(options={"sigma": sigma}, **changes) for sigma in (0.1, 0.3)]


def numbers(results: list[Any]) -> list[dict[str, Any]]:
    timed = ("seconds", "per_s", "memory", "device")
    return [{k: v for k, v in row.values.items() if not any(word in k for word in timed)} for row in results]


@pytest.mark.parametrize("refine", ["never", "always"])
def test_scores_in_smaller_pieces_are_the_same(monkeypatch, refine):
    """The encoder's pass, the fitted proposals, checks, calibration, training and validation images alike."""
    asked = bundle_of(cells(refine=refine))
    expected = carry_out(asked, "cpu")
    scorer = Scorer(monkeypatch, 20_000)
    found = carry_out(asked, "cpu")
    assert scorer.refused
    assert [row.status for row in found] == ["done", "done"]
    for one, other in zip(numbers(expected), numbers(found), strict=True):
        assert one.keys() == other.keys()
        for name in one:
            if isinstance(one[name], float):
                assert other[name] == pytest.approx(one[name], rel=1e-4, abs=1e-4, nan_ok=True), name
            else:
                assert other[name] == one[name], name


def test_a_score_that_fits_in_no_piece_is_told_what_asks_for_less_and_takes_none_along(monkeypatch):
    Scorer(monkeypatch, 0, sigma=0.3)
    sound, gone = carry_out(bundle_of(cells()), "cpu")
    assert sound.status == "done"
    assert gone.status == "oom"
    assert str(gone.reason).startswith("OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has")
    assert str(gone.reason).endswith(
        "; scoring one model did not fit, in pieces of 1/1024 either: free what others hold of the memory, or "
        "--set test_images=25 asks for less"
    )
    assert gone.values["epochs_run"] == 2, "what training gave is kept"


def test_a_row_that_does_not_fit_takes_none_along(monkeypatch):
    """Behind the assessment: the scores of training and validation images."""
    fit = rows.of_fit

    def of_fit(cell: Cell, *rest: Any) -> Any:
        if cell.options["sigma"] == 0.3:
            raise MemoryError("no room")
        return fit(cell, *rest)

    monkeypatch.setattr(bundle, "of_fit", of_fit)
    sound, gone = carry_out(bundle_of(cells()), "cpu")
    assert (sound.status, gone.status) == ("done", "oom")
    monkeypatch.setattr(bundle, "of_fit", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        carry_out(bundle_of(cells()), "cpu")


def test_the_same_seed_gives_the_same_bits_on_a_cpu():
    asked = bundle_of(cells(refine="always"))
    first, again = (numbers(carry_out(asked, "cpu")) for _ in range(2))
    assert [pd.Series(row).equals(pd.Series(other)) for row, other in zip(first, again, strict=True)] == [True, True]


# -- references --------------------------------------------------------------------------------------------------------


def test_a_reference_that_does_not_fit_says_so_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FIT", "9")
    summary, _ = run(seeds(0), tmp_path / "r.sqlite", TRAINS, workers=1)
    assert summary.done == 1
    stored = read_run(tmp_path / "r.sqlite").references
    (gone,) = [row for _, row in stored.iterrows() if row["status"] != "done"]
    assert gone["status"] == "oom"
    assert gone["reason"].startswith("MemoryError: 40 GB wanted (out_of_memory.py:")
    assert gone["reason"].endswith("free what others hold of it, or --workers 1 has all of it")
