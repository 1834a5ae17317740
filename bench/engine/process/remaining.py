"""How long tasks of one kind have left, by the clock: from what those took that have ended, and from those under way.

A task has a cost in a unit of its own, about as long as it takes beside others (`bench.grid.plan.cost_of`). How many
seconds a unit takes is known from tasks that have ended; before, from those that have handed over some of their parts:
a bundle is trained whole, then its models are scored one after the other, and each gives its rows. What is queued goes
to whichever worker is free first, in its order. (Cells a minute say little of it: the first bundles are the longest,
and no cell of one is there before its training has ended.)
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

OVERDUE = 0.25  # of what was to be expected: left, at least, of a task that takes longer and has given nothing yet


@dataclass(frozen=True)
class UnderWay:
    """A task that a worker has begun. `parts`: how many it hands over in all, 0 where it hands over none; `given`: when
    those were there that it has, in seconds since it was begun."""

    cost: float
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
        return max(0.0, to_come * each - min(each, self.seconds - last))


@dataclass
class Pace:
    """What tasks that have ended cost in all, and the seconds that they took."""

    cost: float = 0.0
    seconds: float = 0.0

    def took(self, cost: float, seconds: float) -> None:
        self.cost += cost
        self.seconds += seconds


def seconds_left(ended: Pace, under_way: Sequence[UnderWay], queued: Iterable[float], workers: int) -> float | None:
    """By the clock, until the last of them has ended; None where nothing is known of any. `queued`: costs."""
    pace = Pace(ended.cost, ended.seconds)
    if not pace.cost > 0:
        for one in under_way:
            if (left := one.left_by_parts) is not None:
                pace.took(one.cost, one.seconds + left)
    if not pace.cost > 0:
        return None
    rate = pace.seconds / pace.cost
    free = [0.0] * max(0, workers - len(under_way))
    for one in under_way:
        whole = rate * one.cost
        by_parts = one.left_by_parts
        free.append(max(whole - one.seconds, OVERDUE * whole) if by_parts is None else by_parts)
    heapq.heapify(free)
    for cost in queued:
        heapq.heappush(free, heapq.heappop(free) + rate * cost)
    return max(free)
