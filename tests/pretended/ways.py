"""Both sides of a comparison: the pretended device, and the CPU in the ways of one, whose operations are the same."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor

from tests.pretended.device import Pretended
from vae_core.numerics import accelerators

GPU = "gpu"
accelerators.KINDS[GPU] = Pretended()


class _Plain(Pretended):
    """A device whose memory is the host's and that has no graphs: each step is carried out."""

    def record(self, work: Any) -> Any:
        raise RuntimeError("the reference has no graphs")


@contextmanager
def cpu_in_its_ways() -> Iterator[None]:
    """Inside the CPU cuts its work as an accelerator does, and looks at no value to choose how to compute."""
    accelerators.KINDS["cpu"] = _Plain()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "training goes on without a captured graph: the reference")
            yield
    finally:
        accelerators.KINDS["cpu"] = None


def numbers(found: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Every number in something, by where it stands; what takes time, and objects without numbers, are left out."""
    if isinstance(found, Tensor):
        yield name, found.detach().cpu().numpy()
    elif isinstance(found, np.ndarray):
        yield name, found
    elif isinstance(found, bool | int | float):
        yield name, np.asarray(found)
    elif isinstance(found, Mapping):
        for key, value in found.items():
            yield from numbers(value, f"{name}[{key}]")
    elif hasattr(found, "_asdict"):
        yield from numbers(found._asdict(), name)
    elif dataclasses.is_dataclass(found):
        held = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
        yield from numbers({key: value for key, value in held.items() if "second" not in key}, name)
    elif isinstance(found, list | tuple):
        for place, value in enumerate(found):
            yield from numbers(value, f"{name}[{place}]")
    elif hasattr(found, "parameters") and callable(found.parameters):
        yield from numbers(list(found.parameters()), f"{name}.parameters")
        state = getattr(found, "state", None)
        if callable(state):
            yield from numbers(list(state()), f"{name}.state")


def assert_equal(device: Any, cpu: Any, *, rtol: float = 0.0, atol: float = 0.0) -> int:
    """All numbers alike, to the bit where no tolerance is given; returns how many were compared."""
    left, right = dict(numbers(device)), dict(numbers(cpu))
    assert left.keys() == right.keys()
    assert left
    for name, value in left.items():
        np.testing.assert_allclose(value, right[name], rtol=rtol, atol=atol, equal_nan=True, err_msg=name)
    return sum(value.size for value in left.values())
