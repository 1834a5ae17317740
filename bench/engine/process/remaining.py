"""How long tasks of one kind have left, by the clock: from what those took that have ended, and from those under way.

A task has a cost in a unit of its own, about as long as it computes beside others (`bench.grid.plan.cost_of`), and it
hands over so many parts, each of which takes a while whatever it costs: a bundle is trained whole, then its models are
scored one after the other, and each gives its rows. Seconds of a unit and of a part are fitted to the tasks that have
ended; before, to those that have handed over some of their parts. What is queued goes to whichever worker is free
first, in its order. (Cells a minute say little of it: the first bundles are the longest, and no cell of one is there
before its training has ended.)
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

SHORTEST = 1e-3  # s: what takes less tells nothing
DRAWN = 0.1  # towards costs, in tasks: it decides only where few have ended
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
    """What tasks cost that have ended, the parts that they had, and the seconds that they took."""

    ended: list[tuple[float, float, float]] = field(default_factory=list)

    def took(self, cost: float, parts: float, seconds: float) -> None:
        if cost > 0 and seconds > SHORTEST:
            self.ended.append((cost, parts, seconds))

    def fitted(self) -> tuple[float, float] | None:
        """Seconds of a unit of cost, and of a part; neither below zero, None where nothing has ended.

        Least squares of relative errors, drawn a little towards costs alone: of tasks of one size both say the same.
        """
        if not self.ended:
            return None
        of_cost, of_parts, seconds = (sum(column) for column in zip(*self.ended, strict=True))
        by_cost = seconds / of_cost
        by_part = seconds / of_parts if of_parts else 0.0
        told = [(cost * by_cost / took, parts * by_part / took) for cost, parts, took in self.ended]
        aa, bb = DRAWN + sum(a * a for a, _ in told), DRAWN + sum(b * b for _, b in told)
        ab, a1, b1 = sum(a * b for a, b in told), DRAWN + sum(a for a, _ in told), sum(b for _, b in told)
        whole = aa * bb - ab * ab
        u, v = a1 / aa, 0.0  # by costs alone, as where both say the same to rounding
        if whole > 1e-9 * aa * bb:
            u, v = (a1 * bb - b1 * ab) / whole, (b1 * aa - a1 * ab) / whole
        if v < 0:
            u, v = a1 / aa, 0.0
        elif u < 0:
            u, v = 0.0, b1 / bb
        return u * by_cost, v * by_part


def seconds_left(
    ended: Pace, under_way: Sequence[UnderWay], queued: Iterable[tuple[float, int]], workers: int
) -> float | None:
    """By the clock, until the last of them has ended; None where nothing is known of any. `queued`: costs and parts."""
    fitted = ended.fitted()
    if fitted is None:
        before = Pace()
        for one in under_way:
            if (left := one.left_by_parts) is not None:
                before.took(one.cost, one.parts, one.seconds + left)
        fitted = before.fitted()
    if fitted is None:
        return None
    of_cost, of_part = fitted
    free = [0.0] * max(0, workers - len(under_way))
    for one in under_way:
        whole = of_cost * one.cost + of_part * one.parts
        by_parts = one.left_by_parts
        free.append(max(whole - one.seconds, OVERDUE * whole) if by_parts is None else by_parts)
    heapq.heapify(free)
    for cost, parts in queued:
        heapq.heappush(free, heapq.heappop(free) + of_cost * cost + of_part * parts)
    return found if math.isfinite(found := max(free)) else None
