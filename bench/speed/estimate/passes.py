"""What a pass of importance sampling does with the weights of a scorer, as calls and their sizes: the bounds at every L
of a grid, the largest weights, k̂. It follows vae_core.evaluate.importance and pareto step by step, in plain numbers,
for a process that executes no torch; tests/bench/speed/estimate/test_passes.py holds it to them.

An event is a kind of call whose amounts are linear in some sizes, each of which has n images as a factor.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence

from bench.speed.estimate.tally import Tally

ENOUGH = 10  # disjoint groups whose spread gives a standard error (vae_core.evaluate.importance)
TAIL_AT_MOST, ONE_BY_ONE, TAIL_AT_LEAST, HELD_BESIDES, FIT_AT_ONCE = 256, 64, 5, 256, 1 << 18  # pareto
FIELDS = 5  # of an estimate, besides two for each L

#: what an event is linear in, besides its calls and n; "parts": further calls of the same kind
EVENTS: dict[str, tuple[str, ...]] = {
    "start": (),  # of a scorer in a block: its tail, its mean, what is told of it
    "start of a size": (),
    "weights": ("c",),  # of a tile of c samples
    "hold": ("h",),  # h weights are held then
    "settle": ("h", "kept"),
    "one": ("c",),  # L = 1, whose groups are the weights themselves
    "one of few": ("c",),  # few groups
    "whole": ("c", "g"),  # g groups that begin and end in a tile
    "whole of few": ("c", "g"),
    "part": ("c",),
    "part of few": ("c",),
    "filled": (),
    "filled of few": (),
    "told by groups": (),
    "told by the delta method": (),
    "told of one weight": (),
    "jackknife": ("h",),
    "jackknife of one weight": (),
    "khat": ("h", "t", "k", "t k", "parts"),  # t weights of the tail, k candidates
    "khat of few": ("h", "t"),
    "join": (),  # a tensor of results
}
PARTS = "parts"

#: of each event, in their order: the amounts of a call, of an image, and of each size
Bookkeeping = tuple[tuple[Tally, ...], ...]


def told(
    bookkeeping: Bookkeeping, images: Sequence[tuple[int, int]], samples: int, sizes: Sequence[int], tile: int
) -> Iterator[tuple[float, Tally]]:
    """The amounts of a scorer's weights in a pass, each with how often: blocks of images, (their size, how many there
    are), L, the grid, samples of a tile."""
    joined = bookkeeping[list(EVENTS).index("join")]
    yield FIELDS + 2 * len(sizes), joined[0]
    yield (FIELDS + 2 * len(sizes)) * sum(n * blocks for n, blocks in images), joined[1]
    for n, blocks in images:
        happened = _events(samples, tuple(sizes), tile, n)
        for (event, of), tallies in zip(EVENTS.items(), bookkeeping, strict=True):
            if event not in happened:
                continue
            calls, *amounts = happened[event]
            yield blocks * calls, tallies[0]
            yield blocks * calls * n, tallies[1]
            for size, amount, tally in zip(of, amounts, tallies[2:], strict=True):
                yield blocks * amount * (1 if size == PARTS else n), tally


@functools.lru_cache(maxsize=4096)
def _events(samples: int, sizes: tuple[int, ...], tile: int, images: int) -> dict[str, list[float]]:
    """What happens to the weights of a block: by event its calls, and the sum of each size over them."""
    found: dict[str, list[float]] = {}

    def takes_place(event: str, *amounts: float, calls: int = 1) -> None:
        so_far = found.setdefault(event, [0.0] * (1 + len(EVENTS[event])))
        for place, amount in enumerate((1, *amounts)):
            so_far[place] += calls * amount

    takes_place("start")
    takes_place("start of a size", calls=len(sizes))
    filled = dict.fromkeys(sizes, 0)
    tail = min(int(min(0.2 * samples, 3 * math.sqrt(samples))), TAIL_AT_MOST)
    capacity, held = min(max(tail + 1, ONE_BY_ONE), samples), 0
    for start in range(0, samples, tile):
        count = min(tile, samples - start)
        takes_place("weights", count)
        held += count
        takes_place("hold", held)
        if held > capacity + HELD_BESIDES:
            takes_place("settle", held, capacity)
            held = capacity
        for size in sizes:
            filled[size] = _pushed(takes_place, samples, size, filled[size], count)
    if held > capacity:
        takes_place("settle", held, capacity)
        held = capacity
    for size in sizes:
        if samples // size >= ENOUGH:
            takes_place("told by groups")
        else:
            takes_place("told by the delta method" if size > 1 else "told of one weight")
    if samples == 1:
        takes_place("jackknife of one weight")
    else:
        takes_place("jackknife", held)
    top = min(tail + 1, held)
    if top - 1 < TAIL_AT_LEAST:
        takes_place("khat of few", held, top)
    else:
        candidates = 30 + int(math.sqrt(top - 1))
        at_once = max(1, FIT_AT_ONCE // max(1, images * (top - 1)))
        takes_place("khat", held, top, candidates, top * candidates, math.ceil(candidates / at_once) - 1)
    return found


def _pushed(takes_place: Callable[..., None], samples: int, size: int, filled: int, count: int) -> int:
    """The groups of one L take the weights of a tile; gives how far the open group is filled."""
    of = "" if samples // size >= ENOUGH else " of few"
    position = 0
    while position < count:
        whole = (count - position) // size if filled == 0 else 0
        if whole:
            take = whole * size
            takes_place(f"one{of}", take) if size == 1 else takes_place(f"whole{of}", take, whole)
        else:
            take = min(size - filled, count - position)
            takes_place(f"part{of}", take)
            filled += take
            if filled == size:
                takes_place(f"filled{of}")
                filled = 0
        position += take
    return filled
