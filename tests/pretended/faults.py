"""Faults planted into the code under test, by its own text: a line of a function is another one for a while."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any


@contextmanager
def planted(owner: Any, name: str, line: str, instead: str) -> Iterator[None]:
    """Inside, the function `name` of a module or class has another text in place of `line`, which it must hold once."""
    held = vars(owner)[name]
    function = inspect.unwrap(held.__func__ if isinstance(held, staticmethod | classmethod) else held)
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(line) == 1, f"{name} holds {line!r} {source.count(line)} times: plant it elsewhere"
    space = vars(sys.modules[function.__module__])
    code = compile("from __future__ import annotations\n" + source.replace(line, instead), f"planted/{name}", "exec")
    made: dict[str, FunctionType] = {}
    exec(code, space, made)  # decorators of the function included
    places = [(owner, name)]
    if not isinstance(owner, type):  # other modules may have it by name
        ours = [module for key, module in list(sys.modules.items()) if key.startswith(("vae_core", "tests.pretended"))]
        places += [(module, key) for module in ours for key, value in list(vars(module).items()) if value is held]
    for place, key in places:
        setattr(place, key, made[name])
    try:
        yield
    finally:
        for place, key in places:
            setattr(place, key, held)
