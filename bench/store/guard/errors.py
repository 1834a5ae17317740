"""The error of whatever is wrong with a file, and what its sentences are made of."""

from __future__ import annotations

from pathlib import Path

from bench.grid.errors import UserError, printable
from bench.store.guard.header import begins_as_run

LONGEST_NAME, LONGEST_DETAIL = 70, 85  # so that a sentence is 300 letters at most
ELSEWHERE = "give vae-bench run another --out"  # the remedy where a file can be no run's, for readers of it too


class StoreError(UserError):
    """A file that cannot be read or written; the message is one sentence with the remedy."""


def shown(text: object, longest: int = LONGEST_NAME) -> str:
    """A path or a name as a sentence has it: `printable`, and if long its end, where a file's own name is."""
    whole = str(text)
    line = printable(whole[-longest:])
    return line if len(whole) <= longest and len(line) <= longest else f"…{line[1 - longest :]}"


def detail(text: object) -> str:
    """What a library said, `printable`, its beginning if long."""
    line = printable(" ".join(str(text)[: 10 * LONGEST_DETAIL].split()))
    return line if len(line) <= LONGEST_DETAIL else f"{line[: LONGEST_DETAIL - 1]}…"


def damaged(path: Path, what: str, how: str = "damaged") -> StoreError:
    """The sentence of a file that is not as it was written, wherever that is found; --fresh takes what begins as a run
    alone."""
    anew = ", or --fresh to begin anew in its place" if begins_as_run(path) else ""
    return StoreError(f"{shown(path)} is {how} ({detail(what)}); restore a copy of it, or {ELSEWHERE}{anew}.")
