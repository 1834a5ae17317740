"""The error of whatever is wrong with a file, and what its sentences are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from bench.grid.errors import UserError
from bench.store.guard.header import begins_as_run

LONGEST_NAME, LONGEST_DETAIL, NAMED = 70, 85, 2  # so that a sentence is 300 letters at most
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


class StoreError(UserError):
    """A file that cannot be read or written; the message is one sentence with the remedy."""


def shown(text: object, longest: int = LONGEST_NAME) -> str:
    """A path or a name as a sentence has it: on one line, without what a terminal would carry out, its end if long."""
    line = _UNSEEN.sub("?", str(text))
    return line if len(line) <= longest else f"…{line[1 - longest :]}"


def detail(text: object) -> str:
    """What a library said, on one line, its beginning if long."""
    line = " ".join(_UNSEEN.sub(" ", str(text)[: 10 * LONGEST_DETAIL]).split())
    return line if len(line) <= LONGEST_DETAIL else f"{line[: LONGEST_DETAIL - 1]}…"


def some(names: Iterable[str]) -> str:
    """The first few of many names."""
    names = list(names)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(shown(name) for name in names[:NAMED]) + more


def damaged(path: Path, what: str, how: str = "damaged") -> StoreError:
    """The sentence of a file that is not as it was written, wherever that is found; --fresh takes what begins as a run
    alone."""
    anew = ", or --fresh to begin anew in its place" if begins_as_run(path) else ""
    return StoreError(
        f"{shown(path)} is {how} ({detail(what)}); restore a copy of it, or give vae-bench run another --out{anew}."
    )
