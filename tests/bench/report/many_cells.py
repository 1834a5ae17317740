"""A run of thousands of cells: the fake run's settings, over many fixed σ and widths of the latent.

python -m tests.bench.report.many_cells FILE.sqlite [CELLS] [SEEDS]      # 2000 cells of 1 seed by default
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.report import fake_run
from tests.bench.report.fake_run import Setting

SIGMAS = tuple(float(f"{sigma:.3g}") for sigma in np.geomspace(0.02, 1.5, 12))


def many(configurations: int) -> list[Setting]:
    """So many configurations: every setting of the fake run, again and again with another option of its family."""
    base = fake_run.settings(sigmas=SIGMAS)
    found = (
        dataclasses.replace(
            setting,
            score=setting.score * (1 + 0.004 * variant * (1 if setting.score > 0 else -1)),
            options={"variant": variant} if variant else {},
        )
        for variant in itertools.count()
        for setting in base
    )
    return list(itertools.islice(found, configurations))


def write(path: Path, configurations: int, *, seeds: int = 1, images: int = 300, **more: Any) -> Path:
    """Write such a run file."""
    return fake_run.write(path, many(configurations), seeds=range(seeds), images=images, **more)


if __name__ == "__main__":
    cells, seeds = (int(given) for given in [*sys.argv[2:], *("2000", "1")[len(sys.argv[2:]) :]])
    print(write(Path(sys.argv[1]), cells // seeds, seeds=seeds))
