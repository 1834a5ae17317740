"""What a captured graph on CUDA would refuse, found without one: forward passes on fake tensors of cuda:0, which have
shapes and a device and no numbers.

Beside the pretended device, whose name is "gpu": here the device is "cuda", so that code which asks for it by name goes
the ways that it will go. Fake tensors raise where operands are on two devices, and where a result's shape depends on
values; reads and copies are listed. What they cannot do here, for want of CUDA in torch: a backward pass, generators,
streams and graphs; and they know no numbers, so that a value cannot be seen to be wrong.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode

CUDA = torch.device("cuda", 0)
#: whose kernels wait for the device and do not say so by a shape that nobody knows
WAITING = ("_linalg_eigh", "linalg_eig", "_linalg_svd", "_linalg_check_errors", "equal", "_local_scalar_dense")


#: where numbers are copied that are kept from then on, but not among fakes: the pretended device shows that they are
KEPT = " in constant"


class Lint(TorchDispatchMode):
    """Lists what it sees: "read …", "copy …", "index …", each with where the code under test is."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.operations = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.operations += 1
        name = func._schema.name.partition("::")[2]
        given = [value.device.type for value in _tensors((args, tuple(kwargs.values())))]
        if name in WAITING and "cuda" in given:
            self.found.append(f"read by {name} at {_place()}")
        result = func(*args, **kwargs)
        if "copy" in name:
            there = {*given, *(value.device.type for value in _tensors((result,)))}
            if there == {"cpu", "cuda"} and (where := _place()) and not where.endswith(KEPT):
                self.found.append(f"copy by {name} at {where}")
        if name.startswith(("index", "_index", "_unsafe_index")) and isinstance(args[1], list | tuple):
            indices = {value.device.type for value in _tensors((args[1],))}
            if "cpu" in indices and args[0].device.type == "cuda":
                self.found.append(f"copy of an index for {name} at {_place()}")
            if "cuda" in indices and args[0].device.type == "cpu":
                self.found.append(f"index of the device on the CPU at {_place()}")
        return result


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _place() -> str:
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if ("/vae_core/" in file or "/test_" in file) and "/site-packages/" not in file:
            return f"{file.rpartition('/vae_core/')[2]}:{frame.f_lineno} in {frame.f_code.co_name}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "nowhere"


def linted(work: Callable[[], Any]) -> tuple[list[str], int]:
    """What is found in work on fake tensors, called inside of `fakes`, and how many operations it was."""
    lint = Lint()
    try:
        with lint:
            work()
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        lint.found.append(f"read by {getattr(error, 'func', error)} at {_end_of(error)}")
    except RuntimeError as error:
        lint.found.append(f"mixed devices at {_end_of(error)}: {' '.join(str(error).split())[:200]}")
    return lint.found, lint.operations


def _end_of(error: BaseException) -> str:
    where, trace = "nowhere", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "/site-packages/" not in code.co_filename and "/lint.py" not in code.co_filename:
            where = f"{code.co_filename.rpartition('/vae_core/')[2]}:{trace.tb_lineno} in {code.co_name}"
        trace = trace.tb_next
    return where


@contextmanager
def fakes() -> Iterator[None]:
    """Inside tensors are fakes, and nobody asks for a driver: what torch.tensor makes on a device it makes on the CPU,
    as anywhere, and copies, which is seen here as it."""
    real, weak = (torch.tensor, torch.as_tensor), torch.utils.weakref  # type: ignore[attr-defined]

    def by_copy(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def made(data: Any, *, dtype: Any = None, device: Any = None, **more: Any) -> torch.Tensor:
            if device is None or isinstance(data, torch.Tensor):
                return make(data, dtype=dtype, **more) if device is None else data.to(device, dtype)
            there = make(data, dtype=dtype, **more)
            there.constant = None  # type: ignore[attr-defined]  # its numbers, with which a real copy would be made
            return there.to(device)

        return made

    torch.tensor, torch.as_tensor = map(by_copy, real)
    # a module's parameter is moved only where nothing refers to it weakly, as what remembers fakes does now and then
    torch.utils.weakref = types.SimpleNamespace(getweakrefs=lambda _: [])  # type: ignore[assignment,attr-defined]
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield
    finally:
        torch.tensor, torch.as_tensor = real
        torch.utils.weakref = weak  # type: ignore[attr-defined]
