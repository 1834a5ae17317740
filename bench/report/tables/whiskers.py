"""The drawing of a row's interval, as small as a line of the ranking."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bench.statistics.rows import Row

DRAWN = 110  # width of a row's drawing in CSS pixels


@dataclass(frozen=True)
class Whisker:
    """A dot with its interval in CSS pixels of a small drawing; `beyond` where the axis ends before it."""

    dot: float
    low: float
    high: float
    beyond: str = ""  # "right" or "left"


def whisker(row: Row, window: tuple[float, float]) -> Whisker:
    """That of a row, on an axis that shows `window`."""
    value = row.value
    if value.mean > max(window):
        return Whisker(DRAWN - 4, DRAWN - 4, DRAWN - 4, "right")
    if value.mean < min(window):
        return Whisker(4, 4, 4, "left")
    dot = place(value.mean, window)
    if math.isnan(value.low):
        return Whisker(dot, dot, dot)
    return Whisker(dot, place(value.low, window), place(value.high, window))


def place(value: float, window: tuple[float, float]) -> float:
    """Where a value lies in a drawing, in CSS pixels."""
    share = (value - min(window)) / (max(window) - min(window))
    return round(4 + (DRAWN - 8) * float(np.clip(share, 0, 1)), 1)
