"""What a worker does with freed memory, seen from outside."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

LOOK = """
import sys
from bench.engine.process.memory import keep_freed_memory
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
if sys.argv[1] == "keep":
    assert keep_freed_memory()
import numpy
before = resident()
block = numpy.ones(1 << 23)  # 64 MiB
del block
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's malloc")
@pytest.mark.parametrize(("word", "kept"), [("keep", True), ("as it is", False)])
def test_freed_memory_stays_with_the_process(word: str, kept: bool) -> None:
    said = subprocess.run([sys.executable, "-c", LOOK, word], capture_output=True, text=True, check=True)
    assert (int(said.stdout) > 60 << 20) == kept
