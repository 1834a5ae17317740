"""How long tasks of one kind have left, by the clock: from what those took that have ended, and from those under way.

A task has a cost in a unit of its own, about as long as it computes beside others (`bench.grid.plan.cost_of`), and a
size: cells, each of which takes a while whatever it costs. In the default grid costs alone said down to an eighth of
what was left, sizes alone four times as much; their geometric mean was within a third of it, from the first bundle to
the last but one. What a unit takes is known from tasks that have ended; before, from those that have handed over some
of their parts: a bundle is trained whole, then its models are scored one after the other, and each gives its rows. What
is queued goes to whichever worker is free first, in its order. (Cells a minute say little of it: the first bundles are
the longest, and no cell of one is there before its training has ended.)
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

OVERDUE = 0.25  # of what was to be expected: left, at least, of a task or a part that takes longer


@dataclass(frozen=True)
class UnderWay:
    """A task that a worker has begun. `parts`: how many it hands over in all, 0 where it hands over none; `given`: when
    those were there that it has, in seconds since it was begun."""

    cost: float
    size: int
    seconds: float
    parts: int = 0
    given: tuple[float, ...] = ()

    @property
    def left_by_parts(self) -> float | None:
        """Seconds, as if those to come took as long as those that are there; None before the first. Of one alone it is
        not known how long it took without what came before it: as long as that, over all of them."""
        if not self.given:
            return None
        to_come = max(0, self.parts - len(self.given))
        first, last = self.given[0], self.given[-1]
        each = (last - first) / (len(self.given) - 1) if len(self.given) > 1 else first / (self.parts + 1)
        next_one = max(each - (self.seconds - last), OVERDUE * each)
        return next_one + (to_come - 1) * each if to_come else 0.0


@dataclass
class Pace:
    """What tasks that have ended cost in all, how large they were, and the seconds that they took."""

    cost: float = 0.0
    size: float = 0.0
    seconds: float = 0.0

    def took(self, cost: float, size: float, seconds: float) -> None:
        self.cost += cost
        self.size += size
        self.seconds += seconds

    @property
    def is_known(self) -> bool:
        return self.cost > 0 and self.seconds > 0

    def expected(self, cost: float, size: float) -> float:
        """Seconds that a task will take, by its cost and its size; where it has no size, by its cost alone."""
        by_cost = self.seconds * (cost / self.cost)
        if not (self.size and size):
            return by_cost
        return math.sqrt(by_cost) * math.sqrt(self.seconds * (size / self.size))


def seconds_left(
    ended: Pace, under_way: Sequence[UnderWay], queued: Iterable[tuple[float, int]], workers: int
) -> float | None:
    """By the clock, until the last of them has ended; None where nothing is known of any. `queued`: costs and sizes."""
    pace = ended
    if not pace.is_known:
        pace = Pace()
        for one in under_way:
            if (left := one.left_by_parts) is not None:
                pace.took(one.cost, one.size, one.seconds + left)
    if not pace.is_known:
        return None
    free = [0.0] * max(0, workers - len(under_way))
    for one in under_way:
        whole, by_parts = pace.expected(one.cost, one.size), one.left_by_parts
        free.append(max(whole - one.seconds, OVERDUE * whole) if by_parts is None else by_parts)
    heapq.heapify(free)
    for cost, size in queued:
        heapq.heappush(free, heapq.heappop(free) + pace.expected(cost, size))
    return found if math.isfinite(found := max(free)) else None
