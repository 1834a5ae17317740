"""What a maker of programs may do, instead of making one."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


def makes(cell: Any, dims: int, levels: int, folder: str, which: str) -> bool:
    (Path(folder) / f"{cell}-{which}").touch()
    return True


def dies(*of: Any) -> bool:
    os._exit(11)


def hangs(*of: Any) -> bool:
    time.sleep(3600)
    return True


def fails(*of: Any) -> bool:
    raise ValueError("no compiler is at hand")


def device(requested: str) -> dict[str, Any]:
    return {"kind": "cuda", "name": "a GPU that is not there", "threads": os.environ["OMP_NUM_THREADS"]}


def inspect(name: str, *asked: Any) -> dict[str, Any]:
    return {"name": name, "levels": 17, "checksum": "c0ffee00", "shape": (28, 28), "train": 1_000, "test": 10_000}


def makes_step(cell: Any, shape: Any, levels: int, train: int, device: str, which: str) -> bool:
    """Says so in the diary, some time after it began."""
    time.sleep(1.0)
    with Path(os.environ["FAKE_DIARY"]).open("a") as file:
        file.write(f"{os.getpid()} step {cell.family} {which}\n")
    return True
