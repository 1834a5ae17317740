"""Devices by their names: which there are here, what a worker process sees of several GPUs, and how it computes.

A worker on a GPU sees that one alone: its parent starts it with CUDA_VISIBLE_DEVICES naming it, so that whatever says
"cuda" in it means it, in torch, in libraries and in what they compile. How many GPUs there are only a worker knows, for
the process that schedules has no torch: the first one says which values of that variable name one each.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bench.grid.errors import brief

VISIBLE = "CUDA_VISIBLE_DEVICES"
NAMES = "auto, cpu, cuda or cuda:N"
#: words for devices that are not taken, each with what a person should know of it; all end in a remedy that works
_OTHERS = {
    "mps": "Apple's GPUs have no float64, in which scores are summed",
    "xpu": "Intel's GPUs are not supported: nothing here was ever written for one",
    "tpu": "TPUs are not supported: nothing here was ever written for one",
    "gpu": "a GPU is called cuda here, an AMD one too (torch's build for ROCm)",
    "mlx": "Apple's GPUs have no float64, in which scores are summed",
    "npu": "NPUs are not supported: nothing here was ever written for one",
}
_ALIKE = {
    **dict.fromkeys(("metal", "apple"), "mps"),
    **dict.fromkeys(("intel", "sycl"), "xpu"),
    "xla": "tpu",
    **dict.fromkeys(("hip", "rocm", "amd", "nvidia", "opencl", "vulkan", "directml", "dml"), "gpu"),
    **dict.fromkeys(("hpu", "ascend"), "npu"),
}
_REMEDY = "use --device cpu, or auto, which takes CUDA where there is any"
#: what is claimed of the same seed twice: no more than was seen
REPEATS = {
    "cpu": "the same bits, of the same bundle with as many threads on the same machine",
    "cuda": "the same bits are not claimed: a GPU may add in another order each time",
}
#: variables by which somebody may have changed how a device computes
VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ALLOC_CONF",
    "CUDA_LAUNCH_BLOCKING",
)


def named(text: str) -> str:
    """The device that a person means, as "auto", "cpu", "cuda" or "cuda:N"; capital letters and blanks about it do not
    matter. Raises ValueError, one sentence, for anything else."""
    word = text.strip().lower()
    kind, colon, number = word.partition(":")
    if word in ("auto", "cpu", "cuda", "cpu:0"):
        return kind
    if kind == "cuda" and re.fullmatch("[0-9]{1,4}", number):
        return f"cuda:{int(number)}"
    if kind == "cuda" and re.fullmatch("[0-9]+(,[0-9]+)+", number):
        raise ValueError(
            f"--device {brief(text)}: several GPUs are chosen by {VISIBLE}={brief(number)} with --device auto, "
            "which takes all that it sees."
        )
    if kind == "cuda" and colon:
        raise ValueError(
            f"--device {_shown(text)}: behind cuda: stands the number of a GPU, from 0 on; give cuda for all of them, "
            "or auto."
        )
    if kind == "cpu":
        raise ValueError(
            f"--device {_shown(text)}: there is one cpu; use --device cpu, and --workers for its processes."
        )
    if why := _OTHERS.get(_ALIKE.get(kind, kind)):
        raise ValueError(f"--device {_shown(text)}: {why}; {_REMEDY}.")
    raise ValueError(f"--device {_shown(text)}: there is no such device; give {NAMES}.")


def chosen(requested: str, visible: Sequence[str]) -> list[str]:
    """Of the values of CUDA_VISIBLE_DEVICES that name one GPU each, those that are meant by "cuda" or "cuda:N". Raises
    ValueError where there is none of that number."""
    _, colon, number = requested.partition(":")
    if not colon:
        return list(visible)
    if int(number) >= len(visible):
        have = "cuda:0" if len(visible) == 1 else f"cuda:0 to cuda:{len(visible) - 1}"
        whose = f" ({VISIBLE} is set)" if os.environ.get(VISIBLE) else ""
        raise ValueError(f"--device {requested}: there is {have} here{whose}; use one of these, or cuda or auto.")
    return [visible[int(number)]]


def visible(count: int, environment: Mapping[str, str] = os.environ) -> list[str]:
    """What CUDA_VISIBLE_DEVICES must be for each of the GPUs that a process with this environment sees, `count` of them
    by what torch says: numbers, or the names of GPUs and their parts that somebody has put there."""
    given = [part.strip() for part in environment.get(VISIBLE, "").split(",") if part.strip()]
    return (given if len(given) >= count else [str(number) for number in range(count)])[:count]


def use_threads(threads: int) -> None:
    """In a worker that is there already: from now on torch has so many threads."""
    import torch

    torch.set_num_threads(threads)


def settings(kind: str) -> dict[str, Any]:
    """How this process computes, as torch says it, in plain values; in a worker, for it needs torch."""
    import torch

    backends: Any = torch.backends
    found: dict[str, Any] = {
        "float32_products": "in full, in training as the cell's precision says",
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "denormals_on_cpu": "taken for 0",
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }
    if kind == "cuda":
        cudnn = backends.cudnn
        found |= {"cudnn_benchmark": cudnn.benchmark, "cudnn_deterministic": cudnn.deterministic}
    return {**found, "same_seed_again": REPEATS[kind]}


def _shown(text: str) -> str:
    return brief(text) if text.strip() else "''"
