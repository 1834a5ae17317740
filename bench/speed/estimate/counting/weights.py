"""What a scorer's weights cost in a pass (bench.speed.estimate.passes), counted on few: the same for every model."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bench.speed.estimate.counting.linear import solved
from bench.speed.estimate.counting.operators import counted
from bench.speed.estimate.passes import EVENTS, PARTS, Bookkeeping
from bench.speed.estimate.tally import Tally
from vae_core.evaluate import importance, pareto
from vae_core.objectives import Posterior

#: sizes at which events are counted, besides n: any at which the systems of equations have a solution
SIZES: dict[tuple[str, ...], list[tuple[int, ...]]] = {
    (): [()],
    ("c",): [(6,), (10,)],
    ("h",): [(70,), (90,)],
    ("h", "kept"): [(90, 64), (110, 64), (110, 80)],
    ("c", "g"): [(6, 2), (12, 2), (12, 4)],
    ("h", "t"): [(8, 3), (12, 3), (12, 5)],
    ("h", "t", "k", "t k", "parts"): [(70, 11, 0), (90, 11, 0), (70, 18, 0), (70, 30, 0), (70, 45, 0), (70, 11, 3)],
}


@functools.cache
def bookkeeping() -> Bookkeeping:
    """Of each event, the amounts of a call, an image, and each size."""
    return tuple(_solved(event, of) for event, of in EVENTS.items())


def _solved(event: str, of: tuple[str, ...]) -> tuple[Tally, ...]:
    asked = [(1, *sizes) for sizes in SIZES[of]]
    asked.append((2, *SIZES[of][0]))
    tallies = [_COUNTS[event](*sizes) for sizes in asked]
    return solved([_row(of, *sizes) for sizes in asked], tallies)


def _row(of: tuple[str, ...], n: int, *sizes: int) -> list[float]:
    if PARTS not in of:
        return [1, n, *(n * size for size in sizes)]
    held, tail, parts = sizes
    candidates = _candidates(tail)
    return [1, n, n * held, n * tail, n * candidates, n * tail * candidates, parts]


def _candidates(tail: int) -> int:
    return 30 + int(math.sqrt(tail - 1))


def _weights(n: int, count: int) -> Tensor:
    return torch.linspace(-1, 0, n * count, dtype=torch.float64).reshape(n, count)


def _like(n: int) -> Tensor:
    return torch.zeros(n, dtype=torch.float64)


def _started(n: int) -> Tally:
    like = _like(n)
    return counted(lambda: importance._Groups(5, like, 10))


def _joined(n: int) -> Tally:
    like = _like(n)
    return counted(lambda: torch.cat([like]))


def _start(n: int) -> Tally:
    mean = torch.zeros(n, 2)
    posterior, like = Posterior(mean, mean), _like(n)

    def start() -> None:
        pareto.Tail(100, like)
        (torch.zeros_like(like) / 2, posterior.kl().double())

    return counted(start)


def _weighed(n: int, c: int) -> Tally:
    score, ratio, mean = _weights(n, c), torch.zeros(n, c), _like(n)

    def weighed() -> None:
        nonlocal mean
        mean += score.sum(-1)
        (torch.empty_like(score), score + ratio.double())

    return counted(weighed)


def _tail(n: int, held: int, samples: int, kept: int = 0) -> pareto.Tail:
    """That holds so many weights."""
    tail = pareto.Tail(samples, _like(n))
    tail._held = _weights(n, held)
    tail.capacity = kept or held
    return tail


def _held(n: int, h: int) -> Tally:
    tail, more = _tail(n, h - 3, 10**6, h), _weights(n, 3)
    return counted(lambda: tail.push(more))


def _settled(n: int, h: int, kept: int) -> Tally:
    tail = _tail(n, h, 10**6, kept)
    return counted(tail._settle)


def _jackknife(n: int, h: int) -> Tally:
    return counted(_tail(n, h, 10**6).jackknife)


def _khat(n: int, h: int, t: int, parts: int = 0) -> Tally:
    tail, at_once = _tail(n, h, 5 * (t - 1)), pareto._AT_ONCE
    if parts:  # the candidates in one part more than so many
        pareto._AT_ONCE = math.ceil(_candidates(t) / (parts + 1)) * n * (t - 1)
    try:
        return counted(tail.khat)
    finally:
        pareto._AT_ONCE = at_once


def _groups(size: int, n: int, few: bool, **set_to: Any) -> importance._Groups:
    groups = importance._Groups(size, _like(n), size * (1 if few else 10))
    for name, value in set_to.items():
        setattr(groups, name, value)
    return groups


def _pushed(few: bool, whole: bool) -> Callable[..., Tally]:
    def count(n: int, c: int, g: int = 0) -> Tally:
        groups, weights = _groups(c // g if g else 1 if whole else 100, n, few), _weights(n, c)
        return counted(lambda: groups.push(weights))

    return count


def _filled(few: bool) -> Callable[..., Tally]:
    """An open group is closed by the last of its weights."""

    def count(n: int) -> Tally:
        filled, open_one = _groups(8, n, few, filled=5), _groups(9, n, few, filled=5)
        weights = _weights(n, 3)
        return counted(lambda: filled.push(weights)) - counted(lambda: open_one.push(weights))

    return count


def _told(size: int, few: bool) -> Callable[..., Tally]:
    def count(n: int) -> Tally:
        groups = _groups(size, n, few, groups=1 if few else 10)
        return counted(lambda: (groups.bound(), groups.standard_error()))

    return count


def _told_of_all(n: int) -> Tally:
    """What is told of the largest L alone, in every block, besides its bound."""
    return counted(_groups(2, n, True, groups=1).ess)


_COUNTS: dict[str, Callable[..., Tally]] = {
    "start": lambda n: _start(n) + _told_of_all(n),
    "start of a size": _started,
    "weights": _weighed,
    "hold": _held,
    "settle": _settled,
    "one": _pushed(few=False, whole=True),
    "one of few": _pushed(few=True, whole=True),
    "whole": _pushed(few=False, whole=True),
    "whole of few": _pushed(few=True, whole=True),
    "part": _pushed(few=False, whole=False),
    "part of few": _pushed(few=True, whole=False),
    "filled": _filled(few=False),
    "filled of few": _filled(few=True),
    "told by groups": _told(2, few=False),
    "told by the delta method": _told(2, few=True),
    "told of one weight": _told(1, few=True),
    "jackknife": _jackknife,
    "jackknife of one weight": lambda n: counted(_tail(n, 1, 1).jackknife),
    "khat": _khat,
    "khat of few": _khat,
    "join": _joined,
}
