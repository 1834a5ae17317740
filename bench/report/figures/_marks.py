"""Marks that mean one thing in every figure, and are no family's marker: where a true value lies that is only bounded,
what lies beyond the axis, what a training was left for, where something was measured. All are strokes, never filled."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from matplotlib.path import Path

Direction = Literal["left", "right", "up", "down"]
TURNS: dict[Direction, int] = {"right": 0, "up": 90, "left": 180, "down": 270}
MOVE, LINE = Path.MOVETO, Path.LINETO

LEFT = "x"  # a training that was given up
ENDED = "|"  # a training that ended, or a size that was measured


def bounded(direction: Direction) -> Path:
    """An arrow from a foot: left out of the ranking, the true value lies that way, how far is not known."""
    foot = [(-0.9, -0.6), (-0.9, 0.6)]
    head = [(0.35, 0.55), (1, 0), (0.35, -0.55)]
    return _turned([*foot, (-0.9, 0), (1, 0), *head], [MOVE, LINE, MOVE, LINE, MOVE, LINE, LINE], direction)


def beyond(direction: Direction) -> Path:
    """A chevron: what is drawn here lies farther out than the axis goes."""
    return _turned([(-0.4, 0.8), (0.5, 0), (-0.4, -0.8)], [MOVE, LINE, LINE], direction)


def stroke(colour: str, size: float = 8) -> dict[str, Any]:
    """How such a mark is drawn."""
    return {"color": colour, "markersize": size, "markerfacecolor": "none", "markeredgewidth": 1.3, "linestyle": ""}


def _turned(points: list[tuple[float, float]], codes: list[np.uint8], direction: Direction) -> Path:
    angle = np.radians(TURNS[direction])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return Path((np.array(points) @ turn).round(6), codes)
