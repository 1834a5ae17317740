"""A change of what a likelihood remembers is seen, wherever it can be, and named; what only looks like one is none."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from vae_core import laws, likelihoods
from vae_core.laws.setting import sized
from vae_core.laws.state import changes, fingerprint
from vae_core.likelihoods.gaussian import Gaussian

KEPT: dict[str, Any] = {"list": [], "array": np.zeros(3)}


def counter() -> Callable[[], int]:
    calls = 0

    def count(by: list[int] = []) -> int:  # noqa: B006  a default that remembers
        nonlocal calls
        calls += 1
        by.append(calls)
        return calls

    return count


class Slotted:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 1


class Remembering(Gaussian):
    total = 0
    count = staticmethod(counter())

    def __init__(self) -> None:
        super().__init__("shared")
        self.held: Any = {
            "tensor": torch.zeros(2),
            "array": np.zeros(2),
            "clock": itertools.count(),
            "slotted": Slotted(),
            "generator": torch.Generator().manual_seed(0),
            "numpy": np.random.default_rng(0),
            "python": random.Random(0),
            "set": {1},
            "iterator": iter([1, 2, 3]),
        }


def set_total(lik: Remembering) -> None:
    Remembering.total += 1


CHANGES: dict[str, Callable[[Remembering], Any]] = {
    "self.held['tensor']": lambda lik: lik.held["tensor"].add_(1),
    "self.held['array']": lambda lik: lik.held["array"].__setitem__(0, 1),
    "self.held['clock']": lambda lik: next(lik.held["clock"]),
    "self.held['slotted'].value": lambda lik: setattr(lik.held["slotted"], "value", 2),
    "self.held['generator']": lambda lik: torch.rand(1, generator=lik.held["generator"]),
    "self.held['numpy']": lambda lik: lik.held["numpy"].random(),
    "self.held['python']": lambda lik: lik.held["python"].random(),
    "self.held['set']": lambda lik: lik.held["set"].add(2),
    "self.held['iterator']": lambda lik: next(lik.held["iterator"]),
    "self.held['new']": lambda lik: lik.held.update(new=1),
    "self.scale.theta": lambda lik: lik.learned()[0].data.add_(1),
    "self.seen": lambda lik: setattr(lik, "seen", 1),
    "Remembering.total": set_total,
    "Remembering.count's calls": lambda lik: lik.count(),
    "test_state.KEPT['array']": lambda lik: KEPT["array"].__setitem__(1, KEPT["array"][1] + 1),
    "test_state.KEPT['list']": lambda lik: KEPT["list"].append(0),
    "the global random numbers of torch": lambda lik: torch.rand(1),
    "the global random numbers of numpy": lambda lik: np.random.rand(),  # noqa: NPY002
    "the global random numbers of Python": lambda lik: random.random(),
}


@pytest.mark.parametrize("place", CHANGES)
def test_a_change_is_named_by_where_it_is(place: str) -> None:
    lik = Remembering()
    assert lik.scale.theta is not None  # type: ignore[attr-defined]
    before = fingerprint(lik)
    assert changes(before, fingerprint(lik)) == []
    CHANGES[place](lik)
    assert place in changes(before, fingerprint(lik))


def test_equal_values_in_other_memory_are_no_change() -> None:
    lik = Remembering()
    before = fingerprint(lik)
    lik.held["tensor"] = lik.held["tensor"].clone()
    lik.held["set"] = {1}
    assert changes(before, fingerprint(lik)) == []


def test_what_holds_itself_ends() -> None:
    lik = Remembering()
    lik.held["itself"] = lik.held
    lik.held["owner"] = lik
    assert fingerprint(lik)


@pytest.mark.parametrize("family", ["gaussian", "student_t", "mse_sum", "categorical", "triangular"])
def test_a_shipped_family_remembers_nothing_once_it_has_scored(family: str) -> None:
    """The first score of a fixed scale keeps its logarithm, which is no leak."""
    for make in laws.settings(likelihoods.get(family)):
        lik = make(17)
        dims = sized(lik, 3)
        raw = laws.raw_outputs(lik, dims, 4, "random")
        k = torch.randint(17, (4, dims), generator=torch.Generator().manual_seed(0))
        lik.log_mass(k, raw, 17)
        before = fingerprint(lik)
        lik.log_mass(k.flip(0), raw + 1, 17)
        assert changes(before, fingerprint(lik)) == []
