"""Where a function of one number is highest."""

from __future__ import annotations

import math
from collections.abc import Callable

#: spacing of the grid that is looked at first, and what is left of the interval at last
STEP, PRECISION = 0.5, 1e-3


def highest(function: Callable[[float], float], low: float, high: float) -> float:
    """The place in [low, high], to PRECISION: the best point of a grid of spacing STEP at most, then a golden section
    of its neighbourhood (Kiefer 1953), which takes one maximum to lie there."""
    steps = math.ceil((high - low) / STEP)
    points = [low + (high - low) * place / steps for place in range(steps + 1)]
    values = [function(point) for point in points]
    best = max(range(len(points)), key=values.__getitem__)
    left, right = points[max(best - 1, 0)], points[min(best + 1, steps)]
    ratio = (math.sqrt(5) - 1) / 2
    lower, upper = right - ratio * (right - left), left + ratio * (right - left)
    at_lower, at_upper = function(lower), function(upper)
    while right - left > PRECISION:
        if at_lower >= at_upper:
            right, upper, at_upper = upper, lower, at_lower
            lower = right - ratio * (right - left)
            at_lower = function(lower)
        else:
            left, lower, at_lower = lower, upper, at_upper
            upper = left + ratio * (right - left)
            at_upper = function(upper)
    return 0.5 * (left + right)
