"""Where a run's numbers come from: code, packages, machine, settings. Names no folder of anybody's machine."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

PACKAGES = (
    "vae-likelihood-bench",
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "seaborn",
    "safetensors",
)


def provenance(arguments: Sequence[str], device: dict[str, Any], workers: int, threads: int) -> dict[str, Any]:
    """Everything that is known in the parent, with what the worker says of its device (`prepare_device`)."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["vae-bench", *map(_without_folders, arguments)]),
        **code(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": cores(),
        "workers": workers,
        "threads_per_worker": threads,
        "device": device,
    }


@functools.cache
def code() -> dict[str, Any]:
    """The code that this process runs: its commit, the packages, Python."""
    return {
        "git": git_state(Path(__file__).resolve().parent),
        "packages": {name: version for name in PACKAGES if (version := package_version(name))},
        "python": platform.python_version(),
    }


def prepare_device(requested: str) -> dict[str, Any]:
    """The device that "auto", "cpu" or "cuda" means here; runs in a worker, for it needs torch.

    A worker on CUDA gets all the host's threads, for it is the only one.

    Raises ValueError where CUDA is asked for and absent.
    """
    import torch

    if requested == "cuda" and not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        raise ValueError(
            f"--device cuda: torch {torch.__version__} ({built}) finds no CUDA device here; use --device cpu or auto."
        )
    kind = "cuda" if requested != "cpu" and torch.cuda.is_available() else "cpu"
    facts: dict[str, Any] = {
        "kind": kind,
        "name": torch.cuda.get_device_name() if kind == "cuda" else cpu_model(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }
    if kind == "cuda":
        torch.set_num_threads(cores())
        facts |= {
            "driver": _nvidia_driver(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "memory_bytes": torch.cuda.get_device_properties(0).total_memory,
        }
    return facts


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout that `folder` lies in; None outside of one."""
    commit = _output(["git", "-C", str(folder), "rev-parse", "HEAD"])
    if commit is None or _output(["git", "-C", str(folder), "ls-files", "--error-unmatch", "provenance.py"]) is None:
        return None  # an installed copy inside somebody else's checkout says nothing about this code
    changes = _output(["git", "-C", str(folder), "status", "--porcelain"])
    return {"commit": commit, "dirty": bool(changes)}


def cpu_model() -> str:
    """The processor's name as people know it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def package_version(name: str) -> str | None:
    """The installed version of a package, None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _without_folders(argument: str) -> str:
    """An argument with absolute paths cut to their last part."""
    key, equals, value = argument.rpartition("=")
    return f"{key}{equals}{PurePath(value).name if value.startswith(('/', '~')) else value}"


def _nvidia_driver() -> str | None:
    query = _output(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])
    return query.splitlines()[0] if query else None


def _output(command: list[str]) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
