"""The rates of the machine that this runs on, measured in seconds: a profile as a data sheet would not have it.

What is timed is small and of the suite's own kind: stacked products of a batch, elementwise work of a few megabytes,
each function of its own, decompositions of matrices as small as a latent is, and for what an operator takes around its
work a training step whose tensors have next to no elements. Each is the median of some blocks; on a CPU they are blocks
of processor time, and each worker that a run would have measures at once with the others, for two busy cores share what
one has for itself.
"""

from __future__ import annotations

import datetime
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.engine.provenance import cores, cpu_model
from bench.speed.estimate.counting.operators import counted
from bench.speed.estimate.devices.profile import Profile
from bench.speed.estimate.tally import KERNELS, OPERATIONS, VIEWS, seconds
from bench.speed.survey_worker import free_bytes
from vae_core import likelihoods
from vae_core.data import Dataset
from vae_core.evaluate import importance_bounds
from vae_core.networks import Architecture
from vae_core.numerics import progress
from vae_core.numerics.elementwise import awake
from vae_core.numerics.precision import PRODUCTS, full_float32, tf32
from vae_core.training import Member, Schedule, Trainer, trained_models

BLOCKS, BLOCK_SECONDS = 7, 0.004
WHOLE_BLOCKS = 25  # of work as a whole
BATCH, WIDTH, MODELS = 100, 200, {"cpu": 4, "cuda": 64}
ELEMENTS = {"cpu": 1 << 16, "cuda": 1 << 24}  # of a function: what a piece of a pass has
MOVED = {"cpu": 1 << 20, "cuda": 1 << 26}  # floats of an elementwise operation
MATRICES = {"cpu": 64, "cuda": 10_000}
SMALLEST = 12.0  # −ln of the smallest number that functions are timed on
SIZES = (8, 20)  # rows of small matrices
VIEW = 1 / 3  # of the time of an operator that computes next to nothing, one that only views

Unary = Callable[[Tensor], Tensor]
#: functions by their names in a tally, each on numbers in (0, 1) of every size
TIMED: dict[str, Unary] = {
    "exp": torch.exp,
    "log": torch.log,
    "log1p": torch.log1p,
    "expm1": torch.expm1,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "erf": torch.erf,
    "erfc": torch.erfc,
    "erfinv": torch.erfinv,
    "erfcx": torch.special.erfcx,
    "lgamma": torch.lgamma,
    "digamma": torch.digamma,
    "polygamma": lambda x: torch.polygamma(1, x),
    "logsumexp": lambda x: torch.logsumexp(x.view(-1, 16), -1),
    "softmax": lambda x: torch.log_softmax(x.view(-1, 16), -1),
    "softplus": torch.nn.functional.softplus,
    "log_sigmoid": torch.nn.functional.logsigmoid,
    "logaddexp": lambda x: torch.logaddexp(x, x),
    "pow": lambda x: torch.pow(x, x),
    "sqrt": torch.sqrt,
    "sin": torch.sin,
    "log_ndtr": torch.special.log_ndtr,
    "drawn": lambda x: x.normal_(),
    "sort": lambda x: torch.topk(x.view(-1, 256), 32).values,
}
LINEAR: dict[str, Unary] = {
    "eigh": lambda a: torch.linalg.eigh(a)[1],
    "cholesky": lambda a: torch.linalg.cholesky_ex(a)[0],
    "triangular": lambda a: torch.linalg.solve_triangular(a, a, upper=False),
    "qr": lambda a: torch.linalg.qr(a)[0],
}


@full_float32()
def measure_profile(device: str) -> dict[str, Any]:
    """The fields of a Profile of this machine's CPU, with as many threads as this process has, or of its GPU."""
    torch.set_flush_denormal(True)
    awake()
    products = {"float32": _products(torch.float32, device), "float64": _products(torch.float64, device)}
    if device == "cuda" and torch.cuda.get_device_capability() >= (8, 0):
        with tf32():
            products["tf32"] = _products(torch.float32, device)
        products["bf16"] = _bf16(device)
    launch = _launch(device)
    functions = _functions(device, launch)
    a_function = functions["exp/float32"] / OPERATIONS["exp"]
    fields = {
        "name": "this",
        "title": torch.cuda.get_device_name() if device == "cuda" else cpu_model(),
        "kind": device,
        "source": f"measured on this machine, {datetime.date.today().isoformat()}, {_threads()}",
        "measured": True,
        "products": products,
        "bytes_per_s": _bytes_per_s(device, launch),
        "operations_per_s": {"float32": 1 / a_function, "float64": 0.5 / a_function},
        "small_operations_per_s": 0.02 * products["float64"],
        "memory": free_bytes(device),
        "launch": launch,
        "view": VIEW * launch,
        "replayed": 1.5e-6,
        "replay": 2e-5,
        "wait": _wait_seconds(device),
        "link": _link(device),
        "compile": 10.0 if device == "cuda" else 0.0,
        "start": 15.0 if device == "cuda" else 4.0,
        "cores": cores(),
        "functions": functions,
        "small": {name: _small(work, device) for name, work in LINEAR.items()},
    }
    return fields if device == "cuda" else _as_reached(fields)


def _as_reached(fields: dict[str, Any]) -> dict[str, Any]:
    """The rates of a CPU as whole work reaches them: each was taken in a loop of its own, with all that it needs in
    cache and in place; in a training step and in a pass one kind of work puts away what the next one needs."""
    profile, share = Profile(**fields), 1.0
    for call in _whole_work():
        call()
        counts = counted(call)
        predicted, took = seconds(counts, profile), usual_seconds(call, "cpu", WHOLE_BLOCKS)
        work = predicted.total - predicted.launches
        share *= math.sqrt(min(1.0, work / max(took - predicted.launches, work)))
    return {
        **fields,
        "products": {key: share * rate for key, rate in fields["products"].items()},
        "bytes_per_s": share * fields["bytes_per_s"],
        "operations_per_s": {key: share * rate for key, rate in fields["operations_per_s"].items()},
        "functions": {key: each / share for key, each in fields["functions"].items()},
        "shares": {"whole": share},
    }


def _whole_work() -> tuple[Callable[[], object], Callable[[], object]]:
    """A training step of a bundle, and a pass of importance sampling of a model, of images like digits."""
    rng = np.random.default_rng(0)
    splits = (rng.integers(0, 17, (BATCH, 8, 8)).astype(np.uint8) for _ in range(3))
    data = Dataset.from_arrays("noise", 17, *splits)
    members = [Member(likelihoods.make("gaussian", sigma="pixel", levels=17), seed=seed) for seed in range(8)]
    trainer = Trainer(data, members, Architecture((WIDTH,), "tanh", 10), Schedule(1, BATCH, 1e-3), "cpu")
    (index,) = trainer.epoch()
    model, k = trained_models(trainer.program, 17)[0], data.test[:32]
    likelihood = model.likelihood.unchecked()
    scorers = {"": lambda raw, rows: likelihood.log_mass(k[rows].unsqueeze(1), raw, 17)}
    return lambda: trainer.step(index), lambda: importance_bounds(k, model.encode, model.decode, scorers, (1, 256))


def usual_seconds(call: Callable[[], object], device: str, blocks: int = BLOCKS) -> float:
    """Of one call: the median of some blocks, each of BLOCK_SECONDS or more, after a warm-up."""
    for _ in range(2):
        call()
    calls = max(1, math.ceil(BLOCK_SECONDS / max(_block(call, 1, device), 1e-7)))
    return statistics.median(_block(call, calls, device) for _ in range(blocks)) / calls


def _block(call: Callable[[], object], calls: int, device: str) -> float:
    progress.made()
    clock = time.perf_counter if device == "cuda" or torch.get_num_threads() > 1 else time.thread_time
    _synchronised(device)
    started = clock()
    for _ in range(calls):
        call()
    _synchronised(device)
    return clock() - started


def _synchronised(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _products(dtype: torch.dtype, device: str) -> float:
    """Operations a second of stacked products as training and evaluation make them."""
    models = MODELS[device]
    left = torch.randn(models, BATCH, WIDTH, device=device, dtype=dtype)
    right = torch.randn(models, WIDTH, WIDTH, device=device, dtype=dtype)
    bias = torch.randn(models, 1, WIDTH, device=device, dtype=dtype)
    return 2 * models * BATCH * WIDTH * WIDTH / usual_seconds(lambda: torch.baddbmm(bias, left, right), device)


def _bf16(device: str) -> float:
    models = MODELS[device]
    left = torch.randn(models, BATCH, WIDTH, device=device)
    right = torch.randn(models, WIDTH, WIDTH, device=device)
    bias = torch.randn(models, 1, WIDTH, device=device)
    product = PRODUCTS["bf16"]
    return 2 * models * BATCH * WIDTH * WIDTH / usual_seconds(lambda: product(bias, left, right), device)


def _bytes_per_s(device: str, launch: float) -> float:
    """Read and written by an elementwise operation that makes a tensor, as those of a step and a pass do."""
    x, y = (torch.rand(MOVED[device], device=device) for _ in range(2))
    took = usual_seconds(lambda: x * y, device)
    return 3 * x.numel() * x.element_size() / max(took - (launch if device == "cpu" else 0), 1e-9)


def _functions(device: str, launch: float) -> dict[str, float]:
    """Seconds an element of each function, without what an operator takes besides."""
    found = {}
    for dtype in (torch.float32, torch.float64):
        x = torch.rand(ELEMENTS[device], device=device, dtype=dtype).mul_(-SMALLEST).exp_()
        for name, work in TIMED.items():
            given = x.clone() if name == "drawn" else x
            seconds = usual_seconds(lambda work=work, given=given: work(given), device, blocks=5)  # type: ignore[misc]
            own = max(seconds - (launch if device == "cpu" else 0), 0.1 * seconds)
            found[f"{name}/{str(dtype).removeprefix('torch.')}"] = own / x.numel()
    return found


def _small(work: Unary, device: str) -> tuple[float, float]:
    """(s, s/n³) of one float64 matrix of n rows."""
    seconds = []
    for size in SIZES:
        half = torch.randn(MATRICES[device], size, size, device=device, dtype=torch.float64)
        matrices = half @ half.mT + size * torch.eye(size, device=device, dtype=torch.float64)
        seconds.append(usual_seconds(lambda matrices=matrices: work(matrices), device, blocks=5) / MATRICES[device])  # type: ignore[misc]
    cubic = max(0.0, (seconds[1] - seconds[0]) / (SIZES[1] ** 3 - SIZES[0] ** 3))
    return max(0.0, seconds[0] - cubic * SIZES[0] ** 3), cubic


def _launch(device: str) -> float:
    """Seconds that an operator takes besides its work, all of Python around it included: of a training step whose
    tensors have next to no elements."""
    rng = np.random.default_rng(0)
    splits = (rng.integers(0, 16, (64, 2, 2)).astype(np.uint8) for _ in range(3))
    data = Dataset.from_arrays("nothing", 16, *splits)
    member = Member(likelihoods.make("gaussian", sigma="pixel", levels=16))
    trainer = Trainer(data, [member], Architecture((2,), "tanh", 2), Schedule(1, 2, 1e-3), "cpu")
    index = next(trainer.epoch())
    amounts = counted(lambda: trainer.step(index))
    return usual_seconds(lambda: trainer.step(index), "cpu") / (amounts[KERNELS] + VIEW * amounts[VIEWS])


def _wait_seconds(device: str) -> float:
    if device == "cpu":
        return 1e-6
    value = torch.zeros(1, device=device)
    return usual_seconds(lambda: float(value), device)


def _link(device: str) -> float:
    """Bytes a second from the device to the host."""
    if device == "cpu":
        return 1e12  # nothing is copied
    source = torch.zeros(1 << 24, device=device)
    return source.numel() * source.element_size() / usual_seconds(source.cpu, device)


def _threads() -> str:
    count = torch.get_num_threads()
    return "one thread" if count == 1 else f"{count} threads"
