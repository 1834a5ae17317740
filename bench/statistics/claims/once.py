"""What is asked of a board by several sentences, tables and figures, computed once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

from bench.statistics.boards import Board

T = TypeVar("T")


def once(claim: Callable[[Board], T]) -> Callable[[Board], T]:
    """A function of a board that remembers, in the board, what it found: a board never changes (one that is made from
    it with `replace` knows nothing), and what is found must not be changed either."""
    place = f"{claim.__module__}.{claim.__qualname__}"

    @functools.wraps(claim)
    def inside(board: Board) -> T:
        known = vars(board)  # as functools.cached_property does it
        if place not in known:
            known[place] = claim(board)
        found: T = known[place]
        return found

    return inside
