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

from bench.engine.process import device

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


def provenance(arguments: Sequence[str], facts: dict[str, Any], workers: int, threads: int) -> dict[str, Any]:
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
        "device": facts,
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
    """The device that "auto", "cpu", "cuda" or "cuda:N" means here; runs in a worker, for it needs torch.

    `kind` is "cpu" or "cuda"; `visible` has what CUDA_VISIBLE_DEVICES must be for a worker on each GPU that is meant,
    `seen` how many there are for this process.

    Raises ValueError for a name that is none, and where CUDA is asked for and absent, or does not begin to work.
    """
    wanted = device.named(requested)
    import torch

    found = torch.cuda.device_count() if wanted != "cpu" and torch.cuda.is_available() else 0
    if wanted.startswith("cuda") and not found:
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        raise ValueError(
            f"--device {wanted}: torch {torch.__version__} ({built}) finds no CUDA device here; use --device cpu or "
            "auto."
        )
    kind = "cuda" if found else "cpu"
    facts: dict[str, Any] = {
        "kind": kind,
        "name": cpu_model(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "settings": device.settings(kind),
    }
    if kind == "cpu":
        return facts
    every = device.visible(found)
    gpus = device.chosen(wanted, every) if wanted != "auto" else every
    first = every.index(gpus[0])
    try:
        names = [torch.cuda.get_device_name(every.index(gpu)) for gpu in gpus]
        memory = torch.cuda.get_device_properties(first).total_memory
    except RuntimeError as error:  # torch.AcceleratorError is one
        told = " ".join(str(error).split())[:120]
        raise ValueError(f"--device {wanted}: CUDA does not begin to work here ({told}); use --device cpu.") from None
    return facts | {
        "name": ", ".join(dict.fromkeys(names)),
        "gpus": len(gpus),
        "visible": gpus,
        "seen": found,
        "driver": _nvidia_driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "memory_bytes": memory,
    }


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
