"""Kills real runs at random moments, parents and workers, and holds what is left to what an undisturbed run gives.

    python -m tests.bench.engine.kills 100        # some fifteen minutes on two cores; --seed N for other moments

Each run is carried out by the command line in a process of its own. A killed parent is started again as a user does it,
by the same command; a killed worker is left to its run. When a run comes to its end it is compared, and another begins,
until there were so many kills. Raises AssertionError for anything lost, stored twice, left behind or otherwise.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from bench.engine.process import sight
from bench.store import read_run

ROOT = Path(__file__).parents[3]
GRID = """
[grid]
family = ["gaussian", "laplace", "continuous_bernoulli"]
sigma = [0.2, "shared"]
seed = [0, 1, 2]
latent = [2, 3]
epochs = 3
patience = 0
hidden = [16]
train_images = 500
eval_samples = [1, 10, 100]
eval_tolerance = 0.0
test_images = 50
refine = "never"
"""
#: what a run cannot give twice: clocks, memory, and who was trained beside whom
VARIES = (
    *("provenance", "train_seconds", "eval_seconds", "peak_memory_bytes", "bundle_train_images_per_s"),
    *("bundle_models", "train_images_per_s", "eval_decodes_per_s", "matmul_share"),
)
KEYS = {
    "cells": ["cell"],
    "bounds": ["cell", "samples"],
    "per_image": ["cell", "image"],
    "latents": ["cell", "dimension"],
    "calibration": ["cell", "bin"],
    "history": ["cell", "epoch"],
    "references": ["cell"],
}


@dataclass
class Tally:
    """What came of it."""

    kills: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    runs: int = 0
    exactly: int = 0  #: runs whose every number is the undisturbed run's, bit for bit


def main(kills: int, seed: int, folder: Path, longest: float = 6.0, text: str = GRID) -> Tally:
    """So many kills, each within `longest` seconds of the one before, of runs of a grid."""
    chance, tally = random.Random(seed), Tally()
    grid = folder / "kills.toml"
    grid.write_text(text)
    calm = folder / "calm.sqlite"
    assert _started(grid, calm).wait() == 0
    expected = results(calm)
    number = 0
    while tally.kills.total() < kills:
        path = folder / f"run-{(number := number + 1)}.sqlite"
        while _one_start(grid, path, kills, chance, tally, longest) is None:
            pass
        left = sorted(file.name for file in folder.iterdir() if file.name.startswith((path.stem, f".{path.stem}")))
        assert left in ([path.name, f"{path.stem}.weights"], [f"{path.stem}.log", path.name, f"{path.stem}.weights"])
        tally.exactly += compared(path, expected)
        tally.runs += 1
    return tally


def _one_start(grid: Path, path: Path, kills: int, chance: random.Random, tally: Tally, longest: float) -> int | None:
    """Starts the run, or goes on with it, and kills within it; None where it is not at its end."""
    parent = _started(grid, path)
    tally.starts += 1
    while tally.kills.total() < kills:
        try:
            parent.wait(chance.uniform(0, longest))
            break
        except subprocess.TimeoutExpired:
            pass
        workers = [process for process in sight.descendants(parent.pid) if _is_worker(process)]
        if workers and chance.random() < 0.6:
            with_what = chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
            if _sent(chance.choice(workers), with_what):
                tally.kills[f"worker {with_what.name}"] += 1
        else:
            parent.kill()
            parent.wait()
            tally.kills["parent SIGKILL"] += 1
            _all_gone(workers)
            return None
    code = parent.wait()
    assert code in (0, 1), f"ended with {code}: {(path.parent / 'said').read_text()[-2000:]}"
    return code if code == 0 else None  # 1: what was lost twice is computed by running again


def compared(path: Path, expected: dict[str, pd.DataFrame]) -> bool:
    """Whether it is the undisturbed run's to the last bit; raises where it is not its to rounding."""
    found = results(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    exactly = True
    for name, keys in KEYS.items():
        twice = found[name][keys].duplicated()
        assert not twice.any(), f"stored twice in {name}: {found[name][keys][twice]}"
        pd.testing.assert_frame_equal(found[name], expected[name], rtol=1e-3, atol=1e-3)
        exactly = exactly and found[name].equals(expected[name])
    assert set(found["cells"]["status"]) == {"done"}
    kept = {file.name for file in path.with_suffix(".weights").iterdir()}
    assert kept == set(found["cells"]["weights"]), "a file of weights is lost, or nobody's"
    return exactly


def results(path: Path) -> dict[str, pd.DataFrame]:
    """Every number of a run that another must give too, in an order of its own."""
    tables = read_run(path)
    given = {name: getattr(tables, name) for name in KEYS}
    return {
        name: table.drop(columns=[c for c in VARIES if c in table.columns]).sort_values(KEYS[name], ignore_index=True)
        for name, table in given.items()
    }


def _started(grid: Path, path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bench.cli", "run", str(grid), "--out", str(path), "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (path.parent / "said").open("wb") as said:
        return subprocess.Popen(command, cwd=path.parent, env=environment, stdout=said, stderr=said)


def _is_worker(process: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


def _sent(process: int, number: signal.Signals) -> bool:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return False
    return True


def _all_gone(workers: list[int]) -> None:
    until = time.monotonic() + 60
    while any(map(_is_worker, workers)):
        assert time.monotonic() < until, "a worker outlived its run"
        time.sleep(0.05)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        print(main(given.kills, given.seed, Path(place)), f"{time.monotonic() - begun:.0f} s")
