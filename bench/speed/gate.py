"""Is one code path slower than another by more than it may be? An answer that holds on a shared machine.

Neighbours make a machine's absolute speed worthless: identical codes differ by a third from one minute to the next. So
only ratios are judged, of two code paths that are run in turn in one process: one round is A B B A, in which a steady
drift cancels, each letter a block of calls of at least 20 ms, the round's ratio (A + A) / (B + B). Of many rounds the
median stands, with the percentile bootstrap's interval (Efron & Tibshirani 1993, An Introduction to the Bootstrap,
§13.3). Rounds are taken as independent, which ratios of neighbouring blocks nearly are: measured on two shared cores,
their autocorrelation at a lag of one round is 0.1, while times alone stay slow for seconds.

The rule has two looks, the second with three times the rounds:

* an interval wholly within the limit at the first look, or else at the second: passed;
* both intervals wholly above the limit: failed, so that one unlucky minute fails nobody;
* anything else: inconclusive, the machine was too busy to tell. That is no pass, and the message says so.

Measured (tests/bench/speed/test_gate.py) where the median of nine rounds is off by 6–8 % in one of twenty tries between
identical codes: of 100 tries with the limit at 1.15, identical codes pass in all, a path slowed by 1.3 fails in all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Call = Callable[[], Any]

ROUNDS = 41  #: of the first look: some four seconds with the shortest blocks
FEWEST_ROUNDS = 9  #: below, the bootstrap's interval of a median is much too short
SECOND_LOOK = 3  #: times the rounds of the first
BLOCK_SECONDS = 0.02  #: a shorter block is at the mercy of a single time slice
CONFIDENCE = 0.95
RESAMPLES = 2000


def paired_ratios(
    a: Call,
    b: Call,
    rounds: int,
    block_seconds: float = BLOCK_SECONDS,
    *,
    clock: Callable[[], float] = time.perf_counter,
    synchronise: Call = lambda: None,
) -> list[float]:
    """Seconds of one call of a over seconds of one call of b, once for each round.

    Args:
        a: the code path in question.
        b: what it is held against.
        rounds: of a, b, b, a in turn.
        block_seconds: the least that a block of calls takes on a free machine.
        clock: seconds, rising.
        synchronise: waits for the device, so that the clock is read with nothing in flight: torch.cuda.synchronize.
    """

    def block(call: Call, calls: int) -> float:
        synchronise()
        started = clock()
        for _ in range(calls):
            call()
        synchronise()
        return clock() - started

    def calls_a_block(call: Call) -> int:
        """The fastest of three blocks counts, so that a stall does not pass for work; it is the warm-up too."""
        calls = 1
        while (fastest := min(block(call, calls) for _ in range(3))) < block_seconds:
            needed = math.ceil(1.05 * calls * block_seconds / fastest) if fastest > 0 else 10 * calls
            calls = min(max(needed, calls + 1), 10 * calls)
        return calls

    of_a, of_b = calls_a_block(a), calls_a_block(b)
    ratios = []
    for _ in range(rounds):
        first, second, third, fourth = block(a, of_a), block(b, of_b), block(b, of_b), block(a, of_a)
        ratios.append((first + fourth) / of_a / ((second + third) / of_b))
    return ratios


@dataclass(frozen=True)
class Look:
    """The median of paired ratios and its interval."""

    ratio: float
    low: float
    high: float
    rounds: int

    @classmethod
    def at(cls, ratios: Sequence[float]) -> Look:
        """Raises ValueError for too few rounds to have an interval."""
        if len(ratios) < FEWEST_ROUNDS:
            raise ValueError(f"an interval needs {FEWEST_ROUNDS} rounds or more, given {len(ratios)}")
        values = np.asarray(ratios)
        resampled = np.random.default_rng(0).choice(values, size=(RESAMPLES, len(values)))
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(np.median(resampled, axis=1), [tail, 1 - tail])
        return cls(float(np.median(values)), float(low), float(high), len(values))

    def __str__(self) -> str:
        return f"{self.ratio:.2f} [{self.low:.2f}, {self.high:.2f}] ({self.rounds} rounds)"


@dataclass(frozen=True)
class Verdict:
    """What the looks at one comparison amount to."""

    what: str  #: "A over B"
    limit: float  #: the largest ratio that is right
    looks: tuple[Look, ...]  #: one, or two

    @property
    def last(self) -> Look:
        return self.looks[-1]

    @property
    def outcome(self) -> str:
        """ "passed", "failed" or "inconclusive"."""
        if self.last.high <= self.limit:
            return "passed"
        if len(self.looks) == 2 and all(look.low > self.limit for look in self.looks):
            return "failed"
        return "inconclusive"

    def __str__(self) -> str:
        looks = ", then ".join(map(str, self.looks))
        advice = ": the machine was too busy to tell, run it again" if self.outcome == "inconclusive" else ""
        return f"{self.what}: {looks}, at most {self.limit:.2f} allowed: {self.outcome}{advice}"


def verdict(what: str, measure: Callable[[int], Sequence[float]], limit: float, rounds: int = ROUNDS) -> Verdict:
    """The rule of two looks.

    Args:
        what: what is compared, "A over B".
        measure: number of rounds -> that many paired ratios, measured now (`paired_ratios`).
        limit: the largest ratio that is right.
        rounds: of the first look.
    """
    first = Verdict(what, limit, (Look.at(measure(rounds)),))
    if first.outcome == "passed":
        return first
    return Verdict(what, limit, (*first.looks, Look.at(measure(SECOND_LOOK * rounds))))
