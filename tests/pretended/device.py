"""A GPU that is not there: a device "gpu" whose numbers are computed on the CPU and whose errors are a real one's.

A tensor on it (`OnDevice`) holds a CPU tensor that no code under test can reach. Each operation is carried out on
those, by the CPU's kernels, so that numbers are the CPU's to the bit, views, writes in place, `out=` and gradients
included; and it is refused where a GPU would refuse it:

* operands on two devices, but for a CPU number of no dimensions in a pointwise operation;
* a CPU tensor indexed by one of the device, or written from one by anything but a copy;
* a generator of the CPU for numbers on the device, or the other way round;
* `.numpy()`, and a change of shape in place, which nothing here needs.

What a GPU would have to be waited for, and what crosses between the two memories, is noted (`watched`): reads of values
(also those that kernels do: a mask as an index, `nonzero`, `equal`, `eigh`, which looks whether it has converged),
copies to and from the device, and operations that the host does itself.

What cannot be seen here: how long anything takes, the order of work on several streams, memory that runs out, kernels
that differ from the CPU's in rounding or in what they take (types, sizes), what a library does inside of one operation
beyond the list `WAITING`, and code that asks for "cuda" by name and not for its device (tests/pretended/lint.py runs on
fake tensors of cuda:0). It needs torch 2.14's support for backends in Python, which is registered for a whole process:
so these tests run in processes of their own (tests/test_pretended.py).
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_setup_privateuseone_for_python_backend("gpu")
DEVICE = torch.device("gpu", 0)

#: operations whose kernels on CUDA wait for the device: for sizes that depend on values, or to see whether it went well
WAITING = frozenset(
    (
        *("_local_scalar_dense", "equal", "is_nonzero", "nonzero", "masked_select", "_unique2", "unique_consecutive"),
        *("unique_dim", "bincount", "_linalg_eigh", "linalg_eig", "_linalg_svd", "_linalg_check_errors"),
    )
)
_INDEXED = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put")
#: beside pointwise operations, what takes a number of the CPU
_TAKES_NUMBERS = ("where", "masked_fill", "masked_fill_", "fill", "fill_", "copy_", *_INDEXED)


_PLAIN = torch.Generator


class _Kind(type(_PLAIN)):  # type: ignore[misc]
    """What is a generator of torch stays one."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _PLAIN)


_OF_DEVICE: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


class Generator(_PLAIN, metaclass=_Kind):
    """torch.Generator as it is, and one "on" the device, which draws what the CPU's draws."""

    def __new__(cls, device: torch.device | str = "cpu") -> Any:
        if torch.device(device).type != DEVICE.type:
            return _PLAIN(device=device)
        made = _PLAIN.__new__(cls)
        _OF_DEVICE[made._cdata] = made  # type: ignore[attr-defined]  # by which an operation knows it
        return made

    def __init__(self, device: torch.device | str = "cpu") -> None:
        pass

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return DEVICE


torch.Generator = Generator  # type: ignore[assignment,misc]  # in this process, which is the tests' own


def _of_device(value: object) -> bool:
    return isinstance(value, _PLAIN) and value._cdata in _OF_DEVICE  # type: ignore[attr-defined]


def _of_host(value: object) -> bool:
    return isinstance(value, _PLAIN) and not _of_device(value)


@dataclass
class Watched:
    """What was noted, each as "operation at file:line in function"."""

    reads: list[str] = field(default_factory=list)  #: values that the host read: each a wait for the device
    to_device: list[str] = field(default_factory=list)
    to_host: list[str] = field(default_factory=list)  #: of tensors; each is a wait too
    on_host: list[str] = field(default_factory=list)  #: operations on CPU tensors that have dimensions
    operations: int = 0  #: on the device
    drawn: int = 0  #: tensors of random numbers, on the device

    @property
    def waits(self) -> list[str]:
        return [*self.reads, *self.to_host]

    @property
    def budget(self) -> tuple[int, int, int]:
        """Reads, copies to the device, copies from it."""
        return len(self.reads), len(self.to_device), len(self.to_host)


_WATCHING: list[Watched] = []


def _note(kind: str, name: str) -> None:
    for watched in _WATCHING:
        getattr(watched, kind).append(f"{name} at {_place()}")


def _place() -> str:
    """Where the code under test is."""
    frame = sys._getframe(1)
    first = ""
    while frame is not None:
        file = frame.f_code.co_filename
        if "/site-packages/" not in file and "/tests/pretended/device.py" not in file and "/tests/" in file:
            first = first or f"{file.rpartition('/')[2]}:{frame.f_lineno} in {frame.f_code.co_name}"
        if "/vae_core/" in file and "/tests/" not in file:
            return f"vae_core/{file.rpartition('/vae_core/')[2]}:{frame.f_lineno} in {frame.f_code.co_name}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return first or "a backward pass"


class OnDevice(torch.Tensor):
    """A tensor on the device."""

    raw: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> OnDevice:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            raw.shape,
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=DEVICE,
        )
        made.raw = raw
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnDevice({list(self.shape)}, {self.dtype})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if not self.dim() else super().__format__(spec)

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if force:
            return self.detach().cpu().numpy()
        raise TypeError("can't convert gpu:0 device type tensor to numpy: copy it to host memory first by .cpu()")

    @property
    def data(self) -> torch.Tensor:
        return self.detach()

    @data.setter
    def data(self, other: torch.Tensor) -> None:
        if not isinstance(other, OnDevice) or (self.shape, self.stride()) != (other.shape, other.stride()):
            raise NotImplementedError("the pretended device cannot follow .data = of another device or shape")
        self.raw = other.raw

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return _carried_out(func, args, kwargs or {})


def on_device(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type == DEVICE.type


@dataclass(frozen=True)
class _Facts:
    """What is asked of an operation each time."""

    name: str
    written: tuple[tuple[int, str], ...]  #: arguments that it writes to, by place and name
    takes_numbers: bool
    changes_shape: bool
    waits: bool


@functools.cache
def _facts(func: Any) -> _Facts:
    arguments = enumerate(func._schema.arguments)
    written = [(n, one.name) for n, one in arguments if one.alias_info is not None and one.alias_info.is_write]
    name = str(func._schema.name.partition("::")[2])
    return _Facts(
        name,
        tuple(written),
        torch.Tag.pointwise in func.tags or name in _TAKES_NUMBERS,
        torch.Tag.inplace_view in func.tags or name in ("resize_", "set_"),
        name in WAITING or any(str(one.type) in ("bool", "int", "float", "number") for one in func._schema.returns),
    )


def _error(name: str, tensors: Sequence[torch.Tensor]) -> RuntimeError:
    found = ", ".join(f"{list(t.shape)} on {t.device}" for t in tensors)
    return RuntimeError(f"Expected all tensors to be on the same device: {name} was given {found} (at {_place()})")


def _carried_out(func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """One operation, of whose operands one at least is on the device, or that is asked for there."""
    facts = _facts(func)
    name = facts.name
    owners: dict[int, torch.Tensor] = {}
    tensors: list[torch.Tensor] = []

    def down(value: Any) -> Any:
        """The CPU's part of an argument."""
        if isinstance(value, torch.Tensor):
            tensors.append(value)
            if isinstance(value, OnDevice):
                owners[id(value.raw)] = value
                return value.raw
        elif isinstance(value, list | tuple):
            return type(value)([down(one) for one in value])
        elif isinstance(value, torch.device):
            return torch.device("cpu") if value.type == DEVICE.type else value
        elif isinstance(value, _PLAIN):
            if _of_host(value):
                raise RuntimeError(f"Expected a 'gpu' device type for generator but found 'cpu' ({name} at {_place()})")
            _refused_in_capture(f"{name} by a generator that the graph does not know")
            for watched in _WATCHING:
                watched.drawn += 1
        return value

    raw_args = [down(value) for value in args]
    raw_kwargs = {key: down(value) for key, value in kwargs.items()}
    written: list[torch.Tensor] = []
    for place, key in facts.written:
        given = args[place] if place < len(args) else kwargs.get(key)
        written += given if isinstance(given, list | tuple) else [] if given is None else [given]
    if facts.changes_shape:
        raise NotImplementedError(f"{name} changes a shape in place, which the pretended device cannot follow")
    for watched in _WATCHING:
        watched.operations += 1
    if not _crossing(name, args, kwargs) and len(owners) < len(tensors):
        _require_one_device(facts, args, tensors, written)
    if facts.waits or _by_mask(name, args) or (name == "repeat_interleave" and kwargs.get("output_size") is None):
        _refused_in_capture(name)
        _note("reads", name)

    tape = _CAPTURING[-1] if _CAPTURING else None
    if tape is not None:
        tape.before(_raw(tensor) for tensor in written)
    result = func(*raw_args, **raw_kwargs)
    if tape is not None:
        tape.note(func, raw_args, raw_kwargs, result, written=bool(written))
    for tensor in written:
        if (tensor.shape, tensor.stride()) != (_raw(tensor).shape, _raw(tensor).stride()):
            raise NotImplementedError(f"{name} gives out= another shape, which the pretended device cannot follow")
    device = kwargs.get("device")
    stays = device is not None and torch.device(device).type == "cpu"

    def up(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            if id(value) in owners:
                return owners[id(value)]
            return value if stays or any(value is tensor for tensor in written) else OnDevice(value)
        return type(value)([up(one) for one in value]) if type(value) in (list, tuple) else value

    if isinstance(result, tuple) and type(result) is not tuple:  # of names
        return type(result)([up(one) for one in result])
    return up(result)


def _raw(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.raw if isinstance(tensor, OnDevice) else tensor


def _crossing(name: str, args: Any, kwargs: Mapping[str, Any]) -> bool:
    """Whether it is a copy between the two memories, which is noted."""
    if name == "_to_copy":
        device = kwargs.get("device")
        if device is None or torch.device(device).type == args[0].device.type:
            return False
        to_device = torch.device(device).type == DEVICE.type
    elif name in ("copy_", "copy"):
        target, source = args[:2]
        if on_device(source) == on_device(target):
            return False
        to_device = on_device(target)
    else:
        return False
    _refused_in_capture(name)
    _note("to_device" if to_device else "to_host", name)
    return True


def _require_one_device(
    facts: _Facts, args: Any, tensors: Sequence[torch.Tensor], written: Sequence[torch.Tensor]
) -> None:
    elsewhere = [tensor for tensor in tensors if not on_device(tensor)]
    if len(elsewhere) == len(tensors):
        return
    if any(tensor is other for tensor in elsewhere for other in written):
        raise _error(facts.name, tensors)
    if facts.name in _INDEXED:
        if not on_device(args[0]):
            raise RuntimeError(
                f"indices should be either on cpu or on the same device as the indexed tensor (cpu) (at {_place()})"
            )
        of_host = [one for one in args[1] if isinstance(one, torch.Tensor) and not on_device(one)]
        for _ in of_host:
            _refused_in_capture("an index of the CPU")
            _note("to_device", f"{facts.name} by an index of the CPU")
        elsewhere = [tensor for tensor in elsewhere if all(tensor is not one for one in of_host)]
    if any(tensor.dim() or not facts.takes_numbers for tensor in elsewhere):
        raise _error(facts.name, tensors)


def _by_mask(name: str, args: Any) -> bool:
    """Whether a mask is an index: how many elements it takes is read."""
    if name not in _INDEXED or not on_device(args[0]):
        return False
    indices = [one for one in args[1] if isinstance(one, torch.Tensor)]
    return any(one.dtype in (torch.bool, torch.uint8) for one in indices)


class _Mode(TorchDispatchMode):
    """Sees what the host does itself, which no kernel of the device is asked for."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # what would be skipped takes seconds to import

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        device = kwargs.get("device")
        asked = device is not None and torch.device(device).type == DEVICE.type
        leaves = list(_leaves((args, tuple(kwargs.values()))))
        if not asked and not any(isinstance(value, OnDevice) for value in leaves):
            if any(_of_device(value) for value in leaves):
                raise RuntimeError(f"Expected a 'cpu' device type for generator but found 'gpu' (at {_place()})")
            if any(isinstance(value, torch.Tensor) and value.dim() for value in leaves) and not func.is_view:
                _note("on_host", _facts(func).name)
        elif asked and any(_of_host(value) for value in leaves):
            raise RuntimeError(f"Expected a 'gpu' device type for generator but found 'cpu' (at {_place()})")
        return func(*args, **kwargs)


def _leaves(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _leaves(value)
        else:
            yield value


@contextmanager
def watched() -> Iterator[Watched]:
    """Notes what is done inside."""
    found = Watched()
    _WATCHING.append(found)
    try:
        with _Mode():
            yield found
    finally:
        _WATCHING.remove(found)


# What is asked of the device itself, and not of a tensor on it: those come here by their device alone


def _asked(func: Any) -> Callable[..., Any]:
    return lambda *args, **kwargs: _carried_out(func, args, kwargs)


def _makers() -> Iterator[tuple[str, Any]]:
    """Operations without a tensor among their arguments: empty, arange, eye, randperm, …"""
    for key in ("CompositeExplicitAutograd", "CPU"):
        for full in torch._C._dispatch_get_registrations_for_dispatch_key(key):
            base, _, overload = full.removeprefix("aten::").partition(".")
            if not full.startswith("aten::") or not hasattr(torch.ops.aten, base):
                continue
            func = getattr(getattr(torch.ops.aten, base), overload or "default")
            names = {argument.name for argument in func._schema.arguments}
            if "device" in names and not any("Tensor" in str(one.type) for one in func._schema.arguments):
                yield full.removeprefix("aten::"), func


_LIBRARY = torch.library.Library("aten", "IMPL", "PrivateUse1")
for _name, _func in dict(_makers()).items():
    _LIBRARY.impl(_name, _asked(_func))
_LIBRARY.impl(
    "_copy_from", lambda source, to, non_blocking=False: _carried_out(torch.ops.aten.copy_.default, (to, source), {})
)
_LIBRARY.impl("_local_scalar_dense", _asked(torch.ops.aten._local_scalar_dense.default))


# A graph that is captured


class _Tape:
    """What a captured graph is made of: each operation with the memory that it reads and writes."""

    def __init__(self) -> None:
        self.steps: list[tuple[Callable[..., Any], Any, Any, Any, bool]] = []
        self._before: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def before(self, written: Iterator[torch.Tensor]) -> None:
        """What lies in memory that is about to be written, once."""
        with _disable_current_modes():
            self._keep(written)

    def _keep(self, written: Iterator[torch.Tensor]) -> None:
        for tensor in written:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self._before:
                whole = torch.empty(0, dtype=torch.uint8).set_(storage)
                self._before[storage.data_ptr()] = (whole, whole.clone())

    def note(self, func: Any, args: Any, kwargs: Any, result: Any, *, written: bool) -> None:
        self.steps.append((func, args, kwargs, result, written))

    def undo(self) -> None:
        """A capture carries nothing out: what was written is as it was."""
        with _disable_current_modes():
            for memory, before in self._before.values():
                memory.copy_(before)

    def replay(self) -> None:
        """Every operation again, on the same memory; no line of the program is carried out."""
        with torch.no_grad(), _disable_current_modes():
            self._again()

    def _again(self) -> None:
        for func, args, kwargs, result, written in self.steps:
            again = func(*args, **kwargs)
            if written:
                continue
            for new, old in zip(pytree.tree_leaves(again), pytree.tree_leaves(result), strict=True):
                if isinstance(new, torch.Tensor) and new.data_ptr() != old.data_ptr():  # a view is where it was
                    old.copy_(new)


_CAPTURING: list[_Tape] = []


def _refused_in_capture(name: str) -> None:
    if _CAPTURING:
        raise RuntimeError(f"operation not permitted when stream is capturing: {name} at {_place()}")


class Recording:
    """Stands for torch.cuda.CUDAGraph."""

    made: list[Recording] = []  # noqa: RUF012  # of this process, for tests to look at

    def __init__(self, tape: _Tape) -> None:
        self._tape, self.replays = tape, 0
        Recording.made.append(self)

    def replay(self) -> None:
        self.replays += 1
        self._tape.replay()

    @property
    def operations(self) -> int:
        return len(self._tape.steps)


class Pretended:
    """Stands for what production asks of CUDA (vae_core.numerics.accelerators)."""

    def __init__(self) -> None:
        self.synchronised = 0

    def synchronise(self) -> None:
        self.synchronised += 1

    def capturing(self) -> bool:
        return bool(_CAPTURING)

    def apart(self, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        return work()

    def record(self, work: Callable[[], torch.Tensor]) -> tuple[Recording, torch.Tensor]:
        tape = _Tape()
        _CAPTURING.append(tape)
        try:
            result = work()
        finally:
            _CAPTURING.remove(tape)
            tape.undo()
        return Recording(tape), result
