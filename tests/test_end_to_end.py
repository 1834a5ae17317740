"""The whole, as a person uses it: real workers, a real run file, kill -9, the report in a browser's eyes elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from bench.store import read_run

pytestmark = pytest.mark.slow

GRID = """
about = "A tiny grid for the tests."

[grid]
dataset = "{data}"
hidden = [12]
latent = 2
epochs = 4
batch_size = 20
eval_samples = [1, 10, 30]

[[cells]]
family = ["gaussian", "laplace"]
sigma = [0.1, "shared", "pixel"]
seed = [0, 1]

[[cells]]
family = ["bernoulli", "categorical", "mse_sum"]

[[cells]]
family = "gaussian"
sigma = 1e-30
"""
MEASURED = ("seconds", "per_s", "matmul_share", "peak_memory", "provenance")


def vae_bench(*arguments: str, at: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.cli", *arguments], cwd=at, text=True, capture_output=True, check=False
    )


def numbers(path: Path) -> pd.DataFrame:
    """What a run says, without what depends on the clock."""
    cells = read_run(path).cells.set_index("cell").sort_index()
    return cells[[column for column in cells if not any(part in column for part in MEASURED)]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_npz: Path) -> Path:
    at = tmp_path_factory.mktemp("run")
    (at / "tiny.toml").write_text(GRID.format(data=tiny_npz))
    ended = vae_bench("run", "tiny.toml", "--workers", "2", at=at)
    assert ended.returncode == 1, ended.stderr  # one cell diverges, on purpose
    assert "1 failed" in ended.stdout
    return at


def test_a_run_ends_in_rows_for_all_cells(undisturbed: Path) -> None:
    tables = read_run(undisturbed / "results/tiny.sqlite")
    assert len(tables.cells) == 24
    done = tables.cells[tables.cells.status == "done"]
    assert len(done) == 23
    assert done[["iw_nats", "elbo_nats", "kl_nats", "train_images_per_s", "bundle_models"]].notna().all().all()
    failed = tables.cells[tables.cells.status == "failed"].iloc[0]
    assert "no longer finite" in failed.reason
    assert (tables.per_image.groupby("cell").size() == 20).all()
    means = tables.per_image.groupby("cell").iw_nats.mean()
    exact = tables.references[~tables.references["family"].isin(["png", "webp", "xz"])]  # codecs give images no score
    assert (tables.references["status"] == "done").all()
    of_all = pd.concat([done, exact]).set_index("cell").iw_nats.sort_index()
    pd.testing.assert_series_equal(means, of_all, check_names=False)


def test_running_again_computes_nothing(undisturbed: Path) -> None:
    before = read_run(undisturbed / "results/tiny.sqlite").cells  # what the clock measured too
    ended = vae_bench("run", "tiny.toml", "--workers", "2", at=undisturbed)
    assert ended.returncode == 1
    pd.testing.assert_frame_equal(before, read_run(undisturbed / "results/tiny.sqlite").cells)


@pytest.mark.parametrize("after_rows", [0, 1, 9])
def test_killed_and_resumed_equals_undisturbed(undisturbed: Path, tmp_path: Path, after_rows: int) -> None:
    """kill -9 of the parent as soon as so many cells have ended; its workers go with it; the same command resumes."""
    (tmp_path / "tiny.toml").write_text((undisturbed / "tiny.toml").read_text())
    path = tmp_path / "results/tiny.sqlite"
    command = [sys.executable, "-m", "bench.cli", "run", "tiny.toml", "--workers", "2"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if path.exists() and len(read_run(path).cells) >= after_rows:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.02)
    process.wait()
    kept = read_run(path).cells.set_index("cell")
    assert len(kept) >= after_rows
    ended = vae_bench("run", "tiny.toml", "--workers", "2", at=tmp_path)
    assert ended.returncode == 1, ended.stderr
    pd.testing.assert_frame_equal(numbers(path), numbers(undisturbed / "results/tiny.sqlite"))
    again = read_run(path).cells.set_index("cell").loc[kept.index]
    assert again.train_seconds.tolist() == pytest.approx(kept.train_seconds.tolist(), abs=0)  # not computed again


def test_report_and_export(undisturbed: Path) -> None:
    ended = vae_bench("report", "tiny", at=undisturbed)
    assert ended.returncode == 0, ended.stderr
    assert max(map(len, ended.stdout.splitlines()[:-1])) <= 80
    assert ended.stdout.splitlines()[-1] == "reports/tiny/index.html"
    page = (undisturbed / "reports/tiny/index.html").read_text()
    assert "no longer finite" in page
    assert vae_bench("export", "tiny", "--to", "tables", at=undisturbed).returncode == 0
    cells = pd.read_parquet(undisturbed / "tables/cells.parquet")
    assert cells["reference"].tolist() == [0] * 24 + [1] * 16
    assert len(pd.read_csv(undisturbed / "tables/cells.csv")) == 40
    assert set(pd.read_parquet(undisturbed / "tables/per_image.parquet").columns) >= {
        "cell",
        "image",
        "iw_nats",
        "khat",
    }
