"""What is asked of a board, or of all of a run, by several sentences, tables and figures, computed once."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
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


def once_of_all(claim: Callable[[Sequence[Board]], T]) -> Callable[[Sequence[Board]], T]:
    """The same of a function of all boards of a run: the first of them remembers, and of which boards it was."""
    place = f"{claim.__module__}.{claim.__qualname__}"

    @functools.wraps(claim)
    def inside(boards: Sequence[Board]) -> T:
        if not boards:
            return claim(boards)
        known = vars(boards[0])
        of, found = known.get(place, ((), None))
        if len(of) != len(boards) or not all(map(operator.is_, of, boards)):
            found = claim(boards)
            known[place] = (tuple(boards), found)
        result: T = found
        return result

    return inside
