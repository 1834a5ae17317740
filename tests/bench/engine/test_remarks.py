"""What is noticed of data is said before anything is trained, kept in the run file, and follows the data that a cell
asks for."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from bench.engine.run import RunError
from bench.engine.worker.bundle import carry_out
from bench.engine.worker.facts import inspect_data
from bench.engine.worker.from_cell import data_of
from bench.grid.plan import bundle_of
from bench.store import read_run
from tests.bench.engine import test_run
from tests.bench.engine.fake_worker import TASKS
from tests.bench.engine.losing import NOTED
from tests.bench.engine.test_worker import cell
from vae_core.data import DataError


def test_remarks_are_said_before_training_and_kept(tmp_path: Path) -> None:
    tasks = dataclasses.replace(TASKS, inspect="tests.bench.engine.losing:with_remarks")
    _, said = test_run.carry_out(test_run.seeds(0), tmp_path / "r.sqlite", tasks)
    lines = said.splitlines()
    assert lines[0].startswith("! digits, copies: 30 of 30 test images are copies, ")
    assert lines[1].startswith("  ")
    assert lines[2] == "- digits, levels: 1 of 17 level never occurs."
    assert lines[3].startswith("r: 1 cells")
    assert max(map(len, lines)) <= 80
    assert read_run(tmp_path / "r.sqlite").meta["data"]["digits"]["remarks"] == NOTED
    _, again = test_run.carry_out(test_run.seeds(0), tmp_path / "r.sqlite", tasks)
    assert "copies" not in again, "nothing is trained, so nothing is said"


def test_the_facts_of_a_path_have_its_remarks_and_its_blocks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    runs = np.repeat(rng.integers(5, 250, (40, 5, 5)), 9, 0) + rng.integers(-2, 3, (360, 5, 5))
    path = str(tmp_path / "runs.npy")
    np.save(path, runs.astype(np.uint8))
    parted, together = inspect_data(path, None), inspect_data(path, None, None, None, 9)
    assert [remark.topic for remark in parted.remarks if remark.loud] == ["neighbours", "copies"]
    assert not [remark for remark in together.remarks if remark.loud]
    assert parted.checksum != together.checksum
    data = data_of(cell("categorical", dataset=path, block=9), "cpu")
    assert data.checksum == together.checksum
    known = {images[0].tobytes() for images in data.train.numpy().reshape(-1, 25)[:, None]}
    assert not [image for image in data.test.numpy() if image.tobytes() in known]


def test_the_facts_of_patches_have_their_regions_and_a_cell_has_what_it_asks_for() -> None:
    asked = cell("categorical", dataset="patches", patch_size=12, crop=8, resize="4x6", grey=True, quantise=16)
    facts = inspect_data(*dataclasses.astuple(asked.data))
    assert facts.test_blocks == (16,) * 26
    assert (facts.shape, facts.levels, facts.test) == ((4, 6), 16, 16 * 26)
    assert next(remark.topic for remark in facts.remarks if remark.loud) == "scope"
    data = data_of(asked, "cpu")
    assert data.checksum == facts.checksum
    assert inspect_data("digits", None).test_blocks == ()


def test_standard_errors_are_over_regions() -> None:
    asked = cell("gaussian", dataset="patches", sigma=0.1, test_images=52, train_images=300, epochs=1)
    (row,) = carry_out(bundle_of([asked]), "cpu")
    scores = row.per_image["iw_nats"].reshape(26, 2).mean(1)  # two patches of each region, at even spacing
    assert row.values["iw_se"] == pytest.approx(scores.std(ddof=1) / math.sqrt(26), rel=1e-6)
    assert row.values["iw_se"] > 1.1 * row.per_image["iw_nats"].std(ddof=1) / math.sqrt(52)
    assert row.bounds[-1][2] == pytest.approx(row.values["iw_se"])


def test_binary_images_kept_as_bytes_are_refused_and_score_what_they_are_worth_as_two_levels(tmp_path: Path) -> None:
    """Fair coins: ln P is −D ln 2, and no model says more. As 256 levels the binary view saw next to nothing but 0, and
    −0.93 was reported where −22.18 is right."""
    dims = 32
    coins = np.random.default_rng(1).integers(0, 2, (600, 4, 8), dtype=np.uint8)
    path = str(tmp_path / "coins.npy")
    np.save(path, coins)
    asked = cell("bernoulli", dataset=path, epochs=25, learning_rate=1e-2, eval_samples=(25,))
    with pytest.raises(
        DataError, match=r"coins\.npy is said to have 256 levels, but only 2 occur .*: state levels = 2\.$"
    ):
        inspect_data(path, None)
    with pytest.raises(DataError, match="state levels = 2"):
        data_of(asked, "cpu")
    (row,) = carry_out(bundle_of([asked.but(levels=2)]), "cpu")
    worth = row.values["iw_nats"]
    assert isinstance(worth, float)
    assert -dims * math.log(2) - 1 < worth < -dims * math.log(2) + 0.3


def test_a_refusal_comes_before_there_is_a_file(tmp_path: Path) -> None:
    tasks = dataclasses.replace(TASKS, inspect="bench.engine.worker.facts:inspect_data")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 2, (60, 4, 4), dtype=np.uint8) * 255)
    text = f"[grid]\nfamily='gaussian'\nsigma=0.1\ndataset='{tmp_path / 'x.npy'}'\n"
    with pytest.raises(RunError, match=r"only 2 occur \(0 and 255\): state quantise = 2"):
        test_run.carry_out(test_run.grid_of(text), tmp_path / "r.sqlite", tasks)
    assert not (tmp_path / "r.sqlite").exists()
    summary, _ = test_run.carry_out(test_run.grid_of(f"{text}quantise=2\n"), tmp_path / "r.sqlite", tasks)
    assert summary.done == 1


def test_pictures_of_16_bits_are_trained_on_and_scored(tmp_path: Path) -> None:
    """A wave under noise of 800 levels: no less than log2(800 √(2πe)) = 11.7 bits a value, and 16 without a model."""
    rng = np.random.default_rng(0)
    wave = np.sin(np.arange(6) / 2 + rng.uniform(0, 6, (300, 6, 1)))
    path = str(tmp_path / "deep.npz")
    np.savez(path, images=np.clip(32768 + 15000 * wave + rng.normal(0, 800, (300, 6, 6)), 0, 65535), levels=65536)
    with pytest.raises(DataError, match="real-valued data"):
        inspect_data(path, None)
    whole = np.clip(32768 + 15000 * wave + rng.normal(0, 800, (300, 6, 6)), 0, 65535).astype(np.uint16)
    np.savez(path, images=whole, levels=65536)
    asked = cell("logistic", dataset=path, epochs=20, eval_samples=(25,), learning_rate=1e-2)
    (row,) = carry_out(bundle_of([asked]), "cpu")
    assert isinstance(row.values["bits_per_dim"], float)
    assert 11.7 < row.values["bits_per_dim"] < 16
