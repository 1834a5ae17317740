"""What is here registers a backend for a whole process: it is collected only where it is named, in a process of its own
(tests/test_pretended.py does so, a process a file)."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked = [Path(str(arg).partition("::")[0]).resolve() for arg in config.args]
    if collection_path.is_relative_to(HERE) and not any(path.is_relative_to(HERE) for path in asked):
        return True
    if collection_path.name == "test_lint.py" and any(path.name != collection_path.name for path in asked):
        return True  # fake tensors of cuda:0 abort a process that has the pretended device
    return None
