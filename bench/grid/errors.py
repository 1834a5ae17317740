"""The errors that are meant for people, and how what somebody wrote is quoted in them."""

from __future__ import annotations

from collections.abc import Iterable

MOST = 280  # letters of a sentence; the command line puts its own name before it, and 300 are what a reader takes
QUOTED = 60  # letters of a name or a value in a sentence
LISTED = 100  # letters of a list in a sentence


class UserError(Exception):
    """Something that a person asked for and that cannot be done: the message is one sentence, with the remedy."""


def brief(text: object, most: int = QUOTED) -> str:
    """A text in one line of at most so many letters, a longer one cut in its middle; what a terminal would obey and not
    show is written as Python writes it (`\\x1b`)."""
    whole = str(text)
    if len(whole) > most:  # before anything else: it may be a megabyte
        whole = _cut(whole, most)
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in whole)
    return shown if len(shown) <= most else _cut(shown, most)


def quoted(text: str) -> str:
    """The same in quotes, as Python writes it: 'epoch'."""
    return brief(repr(text if len(text) <= 2 * QUOTED else _cut(text, 2 * QUOTED)))


def some(words: Iterable[str], most: int = LISTED) -> str:
    """`a, b, c`, of many those that have room, and how many more there are."""
    words = list(words)
    kept = 0
    while kept < len(words) and len(", ".join(words[: kept + 1])) <= most:
        kept += 1
    rest = f" and {len(words) - kept:,} more" if kept < len(words) else ""
    return (", ".join(words[:kept]) if kept else brief(words[0], most)) + rest if words else "none"


def _cut(text: str, most: int) -> str:
    """About two thirds of what there is room for are of the beginning."""
    end = (most - 1) // 3
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"
