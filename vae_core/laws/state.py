"""What a likelihood remembers, as far as it can be seen, so that a change of it can be told.

Looked at are its attributes with all that they hold, its class and the classes above, what their modules hold by name,
the closures and defaults of their functions, and the global random numbers. What lies elsewhere (in a file, in another
module, in a library's own memory) is not seen: only in scores that differ.
"""

from __future__ import annotations

import functools
import hashlib
import operator
import random
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from vae_core.likelihoods import Likelihood

MOST = 20_000  # things looked at
PLAIN = (type(None), bool, int, float, complex, str, bytes, range, slice, torch.dtype, torch.device)


def fingerprint(likelihood: Likelihood) -> dict[str, str]:
    """A token for everything that can be seen, by where it stands: "self.scale._log", "gaussian.MODES"."""
    own = {cls.__module__ for cls in type(likelihood).__mro__}
    look = _Look(modules={name for name in own if name.partition(".")[0] not in ("builtins", "abc", "torch")})
    look.into(_held(likelihood), "self", "{name}.{key}")
    for cls in reversed(type(likelihood).__mro__):  # what a class says stands for what is said above it
        if cls.__module__ in look.modules:
            look.into_class(cls, cls.__name__)
    for name in sorted(look.modules & set(sys.modules)):
        held = {key: value for key, value in vars(sys.modules[name]).items() if not key.startswith("__")}
        look.into(held, name.rpartition(".")[2], "{name}.{key}")
    look.found["the global random numbers of torch"] = _digest(torch.get_rng_state().numpy())
    if torch.cuda.is_initialized():
        look.found["the global random numbers of CUDA"] = _digest(torch.cuda.get_rng_state().numpy())
    look.found["the global random numbers of numpy"] = _digest(repr(np.random.get_state(legacy=False)))  # noqa: NPY002
    look.found["the global random numbers of Python"] = _digest(repr(random.getstate()))
    return look.found


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Where two fingerprints differ, each place once: what holds a changed thing is left out."""
    return [place for place in {**before, **after} if before.get(place) != after.get(place)]


def _held(value: Any) -> Mapping[str, Any]:
    """An object's attributes; of a module its tensors and the modules in it among them, as they are written."""
    held = getattr(value, "__dict__", {})
    if not isinstance(value, torch.nn.Module):
        return held
    plain = {name: item for name, item in held.items() if name not in vars(torch.nn.Module()) or name == "training"}
    return {**plain, **held["_parameters"], **held["_buffers"], **held["_modules"]}


class _Look:
    """One look at everything: what was found, and what was seen already."""

    def __init__(self, modules: set[str]) -> None:
        self.modules = modules
        self.found: dict[str, str] = {}
        self._seen: dict[int, Any] = {}  # holds them, so that no id comes twice

    def into(self, held: Mapping[Any, Any], name: str, form: str) -> None:
        for key, value in list(held.items()):
            self.at(value, form.format(name=name, key=key))

    def into_class(self, cls: type, name: str) -> None:
        held = {k: v for k, v in vars(cls).items() if not k.startswith(("__", "_abc"))}
        self.into(held, name, "{name}.{key}")

    def at(self, value: Any, place: str) -> None:
        """Takes down a value, and what it holds."""
        if isinstance(value, PLAIN):
            self.found[place] = repr(value)
            return
        if id(value) in self._seen or len(self._seen) > MOST or isinstance(value, types.ModuleType):
            return
        self._seen[id(value)] = value
        self.found[place] = _token(value)
        for inside, where in self._inside(value, place):
            self.at(inside, where)

    def _inside(self, value: Any, place: str) -> Iterator[tuple[Any, str]]:
        if isinstance(value, Mapping):
            yield from ((item, f"{place}[{_short(key)}]") for key, item in list(value.items()))
        elif isinstance(value, list | tuple | set | frozenset):
            yield from ((item, f"{place}[{index}]") for index, item in enumerate(value))
        elif isinstance(value, type):
            if value.__module__ in self.modules:
                self.into_class(value, value.__name__)
        elif isinstance(value, staticmethod | classmethod):
            yield value.__func__, place
        elif isinstance(value, property):
            yield value.fget, place
        elif isinstance(value, functools.partial):
            yield from ((value.func, place), (value.args, f"{place}.args"), (value.keywords, f"{place}.keywords"))
        elif isinstance(value, types.MethodType):
            yield from ((value.__self__, f"{place}.__self__"), (value.__func__, place))
        elif isinstance(value, types.FunctionType):
            if value.__module__ in self.modules:
                yield from self._in_function(value, place)
        elif not isinstance(value, torch.Tensor | np.ndarray):
            yield from ((item, f"{place}.{key}") for key, item in list(_held(value).items()))
            for cls in type(value).__mro__:
                names = getattr(cls, "__slots__", ())
                for key in (names,) if isinstance(names, str) else names:
                    if hasattr(value, key):
                        yield getattr(value, key), f"{place}.{key}"

    def _in_function(self, function: types.FunctionType, place: str) -> Iterator[tuple[Any, str]]:
        names = function.__code__.co_freevars
        for key, cell in zip(names, function.__closure__ or (), strict=True):
            try:
                yield cell.cell_contents, f"{place}'s {key}"
            except ValueError:  # a cell that is empty as yet, as that of super() in a class body
                continue
        yield function.__defaults__, f"{place}'s defaults"
        yield function.__kwdefaults__, f"{place}'s defaults"
        yield from ((item, f"{place}.{key}") for key, item in vars(function).items())


def _token(value: Any) -> str:
    """Of the value itself, without what it holds."""
    if isinstance(value, torch.Tensor):
        plain = value.detach()
        held = plain.reshape(-1).contiguous().view(torch.uint8).cpu().numpy() if plain.numel() else ""
        return f"{tuple(plain.shape)} {plain.dtype} {_digest(held)}"
    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype} {_digest(value.tobytes() if value.dtype != object else repr(value))}"
    if isinstance(value, torch.Generator):
        return _digest(value.get_state().numpy())
    if isinstance(value, random.Random):
        return _digest(repr(value.getstate()))
    if isinstance(value, np.random.Generator):
        return _digest(repr(value.bit_generator.state))
    if hasattr(value, "cache_info"):
        return f"a cache of {value.cache_info().currsize}"
    if isinstance(value, Iterator):  # what is left of it, or where it stands
        return f"{operator.length_hint(value, -1)} {value!r}"
    if isinstance(value, Mapping | list | tuple | set | frozenset | type):
        return type(value).__name__ + (f" {len(value)}" if not isinstance(value, type) else "")
    if callable(value) or hasattr(value, "__dict__") or getattr(type(value), "__repr__", None) is object.__repr__:
        return type(value).__name__
    return repr(value)[:1000]


def _digest(held: Any) -> str:
    data = held.encode() if isinstance(held, str) else held if isinstance(held, bytes) else held.tobytes()
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def _short(key: Any) -> str:
    text = repr(key)
    return text if len(text) <= 20 else f"{text[:17]}…"
