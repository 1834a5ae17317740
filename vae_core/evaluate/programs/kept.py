"""Programs in files: where they are kept from one run to the next, and how one is found.

A file is of one kind of likelihood, one device, one version of torch and of this suite, all of which its name is made
of; so nothing is ever out of date, and what is not asked for any more may be removed. A program that is found is held
against the plain path once in every process, on the numbers that it first scores; what does not agree, or cannot be
read or carried out, is said in a warning, and the plain path is taken from then on."""

from __future__ import annotations

import contextlib
import importlib
import os
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae_core.evaluate.programs.kinds import PULL, SLOPE, STEP
from vae_core.laws.alone import rounding
from vae_core.numerics.memory import ran_out

VARIABLE, FOLDER = "VAE_BENCH_PROGRAMS", "~/.cache/vae-bench/programs"
SUFFIX = ".program"
SCORING, TRAINING = "scoring", "training"  # what goes on without a program
MOST_FILES = 1000  # of some hundred kilobytes; beyond them the longest unused go
LOOK_SECONDS = 1.0  # between two looks for a file that is not there yet
STEEP = 1e-3  # of the largest slope of a sample, by which slopes may differ
TERM = 1e-5  # of the steepest slope, times the slopes that a sum of them has, by which sums may


class Disagrees(ValueError):
    """A program whose results are not the plain path's."""


class Program:
    """A compiled function: its inputs as `kinds` says, and after them tables of its own -> its results."""

    def __init__(self, compiled: Callable[..., Sequence[Tensor]], which: str, tables: Sequence[Tensor] = ()) -> None:
        self._compiled, self._which, self._tables = compiled, which, tables
        self._held: set[tuple[int, ...]] = set()

    def __call__(self, inputs: Sequence[Tensor], plain: Callable[[], Sequence[Tensor]]) -> list[Tensor]:
        """Its results; raises Disagrees the first time where they are not those of `plain`."""
        found = list(self._compiled(*inputs, *self._tables))
        if not self.is_held(inputs):
            require_alike(found, plain(), self._which)
            self._held.add(self._stack(inputs))
        return found

    def is_held(self, inputs: Sequence[Tensor] | None = None) -> bool:
        """Whether it was held against the plain path: one of a step on as many models and seeds as these inputs have,
        for a likelihood may look at how many it is; without inputs, on any."""
        return bool(self._held) if inputs is None else self._stack(inputs) in self._held

    def _stack(self, inputs: Sequence[Tensor]) -> tuple[int, ...]:
        if self._which not in (STEP, PULL):
            return ()
        data, raw = inputs[-2:] if self._which == STEP else inputs[-3:-1]
        return len(data), len(raw)


def require_alike(found: Sequence[Tensor], plain: Sequence[Tensor], which: str) -> None:
    """Raises Disagrees where results differ by more than rounding."""
    off = []
    if [one.shape for one in found] != [one.shape for one in plain]:
        raise Disagrees("a compiled score has another shape than the plain one")
    steep = {SLOPE: 1, PULL: 0}.get(which, -1)  # the place of the slopes in raw outputs
    for place, (one, other) in enumerate(zip(found, plain, strict=True)):
        if place == steep:
            allowed = STEEP * (1 + other.abs().nan_to_num().amax(-1, keepdim=True)).double()
        elif which == PULL:  # a sum over all images and dimensions, whose terms may cancel
            allowed = TERM * plain[0][0].numel() * (1 + plain[0].abs().nan_to_num().amax()).double()
        else:
            allowed = rounding(other.double())
        alike = (one == other) | (one.isnan() & other.isnan())
        gap = torch.where(alike, 0.0, (one.double() - other.double()).abs() / allowed)
        off.append(gap.nan_to_num(nan=float("inf")).amax())
    worst = float(torch.stack(off).amax())
    if not worst <= 1:
        raise Disagrees(f"a compiled score is {worst:.3g} times as far from the plain one as rounding would have it")


@dataclass
class Kept:
    """A folder of programs. `refused`: those that this process has tried, in vain."""

    folder: Path
    _loaded: dict[str, Program] = field(default_factory=dict)
    _refused: set[str] = field(default_factory=set)
    _looked: dict[str, float] = field(default_factory=dict)

    @staticmethod
    def of_user() -> Kept | None:
        """The folder of this user: $VAE_BENCH_PROGRAMS, else ~/.cache/vae-bench/programs; None for who has no home."""
        try:
            return Kept(Path(os.environ.get(VARIABLE) or FOLDER).expanduser())
        except RuntimeError:  # of Path, where there is no home
            return None

    def path(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"

    def put(self, name: str, write: Callable[[Path], object]) -> None:
        """A file whole or not at all, however many write it at once. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.path(name)
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            write(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        self._forget_old()

    def _forget_old(self) -> None:
        files = sorted(self.folder.glob(f"*{SUFFIX}"), key=_last_used)
        for path in files[: max(0, len(files) - MOST_FILES)]:
            path.unlink(missing_ok=True)

    def has(self, name: str) -> bool:
        """Whether there is one that has not failed here."""
        if name in self._loaded:
            return True
        if name in self._refused or time.monotonic() < self._looked.get(name, 0.0):
            return False
        found = self.path(name).exists()
        if not found:
            self._looked[name] = time.monotonic() + LOOK_SECONDS
        return found

    def has_failed(self, name: str) -> bool:
        """Whether it was tried here, in vain."""
        return name in self._refused

    def load(self, name: str, which: str) -> bool:
        """Whether there is one, that can be read, and has not failed here; a warning says why it cannot."""
        if not self.has(name):
            return False
        try:
            _ = self._loaded.get(name) or self._load(name, which)
        except Exception as error:  # a damaged file may raise anything
            if ran_out(error):
                raise
            traceback.print_exception(error)
            self.refuse(name, error, _doing(which))
            return False
        return True

    def is_held(self, name: str, inputs: Sequence[Tensor] | None = None) -> bool:
        """Whether it was loaded, and held against the plain path, in this process, on such inputs."""
        return name in self._loaded and self._loaded[name].is_held(inputs)

    def carry_out(
        self, name: str, which: str, inputs: Sequence[Tensor], plain: Callable[[], Sequence[Tensor]]
    ) -> list[Tensor] | None:
        """The results of a program that there is; None, after a warning, where it does not do."""
        try:
            program = self._loaded.get(name) or self._load(name, which)
            return program(inputs, plain)
        except Exception as error:  # a compiler's program, or a damaged file, may raise anything
            if ran_out(error):
                raise
            if not isinstance(error, Disagrees):
                traceback.print_exception(error)
            self.refuse(name, error, _doing(which))
        return None

    def _load(self, name: str, which: str) -> Program:
        path = self.path(name)
        leave_no_thread()
        artifact, tables = read(path)
        with contextlib.suppress(OSError):  # a folder that others own
            os.utime(path)
        self._loaded[name] = Program(artifact, which, tables)
        return self._loaded[name]

    def refuse(self, name: str, error: Exception, doing: str = SCORING) -> None:
        """From now on it is as if it were not there; what goes on without it is said."""
        self._loaded.pop(name, None)
        self._refused.add(name)
        first = " ".join(str(error).split())[:200] or type(error).__name__
        warnings.warn(f"{doing} goes on uncompiled: {first}", RuntimeWarning, stacklevel=3)


def write(artifact: Any, tables: Sequence[Tensor], path: Path) -> None:
    """A compiled graph, and the tables that it is called with, as one file."""
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "artifact"
        artifact.save(path=str(alone), format="binary")
        compiled = torch.frombuffer(bytearray(alone.read_bytes()), dtype=torch.uint8)
    torch.save({"compiled": compiled, "tables": list(tables)}, path)


def read(path: Path) -> tuple[Callable[..., Sequence[Tensor]], list[Tensor]]:
    """What `write` has written; a damaged file raises anything."""
    held = torch.load(path, weights_only=True)
    inductor: Any = torch._inductor
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "artifact"
        alone.write_bytes(held["compiled"].numpy().tobytes())
        return inductor.CompiledArtifact.load(path=str(alone), format="binary"), held["tables"]


def _doing(which: str) -> str:
    """What a program is for."""
    return TRAINING if which in (STEP, PULL) else SCORING


def leave_no_thread() -> None:
    """A worker process that has threads left over is replaced by another. tqdm, which torch's compiler brings along,
    would start one that never ends, to watch bars of which there are none; and what a program is loaded from would be
    built by a pool of them, where torch's own cache has not got it."""
    config: Any = importlib.import_module("torch._inductor.config")
    config.compile_threads = 1
    try:
        bars: Any = importlib.import_module("tqdm")
    except ImportError:
        return
    bars.tqdm.monitor_interval = 0


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process has removed it
        return 0.0
