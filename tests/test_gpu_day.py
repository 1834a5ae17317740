"""gpu/: the first hour on a borrowed GPU, as far as it can be tried without one."""

from __future__ import annotations

import gzip
import importlib.machinery
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.bench.report import fake_run

ROOT = Path(__file__).parents[1]
DAY = ROOT / "gpu" / "day"


def carried_out(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(DAY), *arguments], capture_output=True, text=True, env={**os.environ, **environment}, timeout=100
    )


@pytest.mark.parametrize("script", ["day", "pack", "start.sh"])
def test_a_script_is_one(script: str) -> None:
    done = subprocess.run(["bash", "-n", str(ROOT / "gpu" / script)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_tests_that_need_a_gpu_are_all_among_the_day_s() -> None:
    named = set(re.findall(r"tests/[\w/]+\.py", DAY.read_text("utf-8")))
    needing = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"skipif\(\s*not torch\.cuda\.is_available", path.read_text("utf-8"))
    }
    assert needing
    assert needing <= named
    assert all((ROOT / name).is_file() for name in named)


def test_what_the_day_asks_of_the_command_line_is_there() -> None:
    asked = set(re.findall(r"(?<= )--(?:time-limit|weights|out|device|quick|to)\b", DAY.read_text("utf-8")))
    told = "".join(
        subprocess.run([sys.executable, "-m", "bench.cli", verb, "--help"], capture_output=True, text=True).stdout
        for verb in ("run", "throughput", "export")
    )
    assert len(asked) == 6
    assert [option for option in asked if option not in told] == []


@pytest.mark.parametrize(
    ("arguments", "said"), [(("soon",), "'soon' is no number"), (("60", "tests", "gird"), "there is no step 'gird'")]
)
def test_a_wrong_word_is_refused_before_anything_begins(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = carried_out(*arguments, OUT=str(tmp_path / "out"))
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture
def stub(tmp_path: Path) -> dict[str, str]:
    """A python that prints without end and does not come to one, but for what the scripts themselves ask of it."""
    path = tmp_path / "python"
    lines = [
        "#!/bin/sh",
        f"""case "$*" in *"import torch"*|*"import pydantic"*) exit 0;; '- '*) exec {sys.executable} "$@";; esac""",
        'while true; do echo "line after line of a length that nobody wants to read in full $*"; sleep 0.01; done',
    ]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)
    return {
        "PYTHON": str(path),
        "OUT": str(tmp_path / "out"),
        "KIT": str(tmp_path),
        "VAE_BENCH_DATA": str(tmp_path),
        "LEAST": "1",
        "RESERVE": "0",
    }


def test_a_step_that_does_not_end_is_ended_and_what_is_printed_is_little(stub: dict[str, str]) -> None:
    begun = time.monotonic()
    done = carried_out("6", "smoke", "speed", "agree", **stub)
    assert time.monotonic() - begun < 60
    assert "-- smoke: exit 124 after" in done.stdout
    assert re.search(r"no time left|exit 124", done.stdout.partition("exit 124")[2])
    assert len(done.stdout) < 12_000
    assert max(map(len, done.stdout.splitlines())) <= 120
    out = Path(stub["OUT"])
    assert len(list(out.iterdir())) <= 8
    assert (out / "steps").read_text().splitlines()[0].startswith("smoke 124 ")
    with tarfile.open(out / "rest.tar.gz") as archive:
        assert "smoke.log" in archive.getnames()


# -- what it brings ----------------------------------------------------------------------------------------------------


@pytest.fixture
def bring() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("bring", str(ROOT / "gpu" / "bring"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("bring", loader))  # type: ignore[arg-type]
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """As a call leaves them, the run file in several pieces."""
    work, back = tmp_path / "work", tmp_path / "back"
    work.mkdir()
    back.mkdir()
    fake_run.write(work / "grid.sqlite", fake_run.few())
    packed = gzip.compress((work / "grid.sqlite").read_bytes())
    third = len(packed) // 3 + 1
    for name, start in zip(("aa", "ab", "ac"), range(0, len(packed), third), strict=True):
        (back / f"grid.sqlite.gz.{name}").write_bytes(packed[start : start + third])
    (work / "grid.log").write_text("a line\n" * 10_000)
    with tarfile.open(back / "rest.tar.gz", "w:gz") as archive:
        archive.add(work / "grid.log", "grid.log")
    (back / "steps").write_text("tests 1 90\ngrid 130 300\n")
    (back / "commit").write_text("abcdef0123456789\n")
    return back


@pytest.fixture
def root(tmp_path: Path) -> Path:
    reference = tmp_path / "root" / "results" / "reference"
    reference.mkdir(parents=True)
    shutil.copy(ROOT / "results" / "reference" / "README.md", reference)
    return tmp_path / "root"


def test_what_came_back_is_laid_among_the_references_with_one_row(bring: Any, files: Path, root: Path) -> None:
    for _ in range(2):
        assert bring.main([str(files), "--as", "h100"], root) == 0
    there = root / "results" / "reference" / "h100"
    assert (there / "grid" / "cells.csv").is_file()
    assert (there / "steps").read_text().startswith("tests 1 90")
    assert len((there / "grid.txt").read_text()) == bring.LOG_LETTERS
    assert (root / "results" / "grid-h100.sqlite").is_file()
    before = (ROOT / "results" / "reference" / "README.md").read_text("utf-8").splitlines()
    after = (root / "results" / "reference" / "README.md").read_text("utf-8").splitlines()
    (row,) = [line for line in after if line not in before]
    assert row.startswith("| `h100` | `gpu/day`: tests exit 1, grid exit 130; commit ")
    assert row.endswith("| 390 s |")
    assert after[after.index(row) - 1].startswith("| "), "it is part of the table"
    assert [line for line in after if line != row] == before


def test_what_is_not_all_there_is_refused_and_lays_nothing(bring: Any, files: Path, root: Path, capsys: Any) -> None:
    assert bring.main([str(root)], root) == 2
    assert "there is no rest.tar.gz" in capsys.readouterr().err
    assert bring.main([str(files), "--as", "../x"], root) == 2
    assert "give a word of small letters" in capsys.readouterr().err
    (files / "grid.sqlite.gz.ac").unlink()
    assert bring.main([str(files), "--as", "h100"], root) == 2
    assert "fetch the files again" in capsys.readouterr().err
    for piece in files.glob("grid.sqlite.gz.*"):
        piece.unlink()
    assert bring.main([str(files), "--as", "h100"], root) == 2
    assert "no run file came back" in capsys.readouterr().err
    assert [path.name for path in (root / "results" / "reference").iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-80gb-hbm3"),
        ("NVIDIA GeForce RTX 4090, NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("AMD EPYC", "amd-epyc"),
        ("!!!", "device"),
    ],
)
def test_a_device_has_a_short_name(bring: Any, device: str, name: str) -> None:
    assert bring.short(device) == name
