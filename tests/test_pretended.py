"""The whole path on a GPU that is not there: each file of tests/pretended in a process of its own.

By hand: python -m pytest -n 0 tests/pretended.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path.name for path in (ROOT / "tests" / "pretended").glob("test_*.py"))


def test_there_are_some() -> None:
    assert {"test_device.py", "test_training.py", "test_evaluation.py", "test_budgets.py", "test_faults.py"} <= {*FILES}


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_on_a_pretended_device(file: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        f"tests/pretended/{file}",
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    assert " passed" in done.stdout
