"""Let `import torch` cost nothing until a tensor is made.

The parent process reads the registry of likelihoods (names, cards, option checks, output widths), and those files
import torch at their top. Importing torch takes seconds and hundreds of megabytes; the parent never makes a tensor. So
torch is put into `sys.modules` as a module that executes when the first of its attributes is asked for.
(`importlib.util.LazyLoader` will not do: up to Python 3.12 an `import torch` statement alone already executes it.)
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any


class _Unexecuted(ModuleType):
    """A module with its metadata only; asking for anything else turns it into the real one, in place."""

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        if spec is None or spec.loader is None:
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment]
        self.__path__ = spec.submodule_search_locations or []
        try:
            spec.loader.exec_module(self)
        except BaseException:
            sys.modules.pop(spec.name, None)
            raise
        return getattr(self, name)


def install() -> None:
    """Make the next `import torch` lazy; does nothing where torch is imported already or is not installed."""
    if "torch" in sys.modules:
        return
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    module.__class__ = _Unexecuted
    # `import torch.nn.functional` asks for the path first: to be executed after that, inside torch.nn, would crash it.
    del module.__path__
    sys.modules["torch"] = module


@contextlib.contextmanager
def set_aside() -> Iterator[None]:
    """Without a torch that is not executed in `sys.modules`: libraries that take tensors look there, and ask whether a
    number is one, which would execute it. Whatever imports torch meanwhile gets the real one, which stays."""
    module = sys.modules.get("torch")
    if not isinstance(module, _Unexecuted):
        yield
        return
    del sys.modules["torch"]
    try:
        yield
    finally:
        sys.modules.setdefault("torch", module)


def executed() -> bool:
    """Whether torch has really been loaded into this process."""
    return "torch._C" in sys.modules
