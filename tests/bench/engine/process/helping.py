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
