"""The errors that are meant for people, and how what somebody wrote is quoted in them; and where people are told."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable

MOST = 280  # letters of a sentence; the command line puts its own name before it, and 300 are what a reader takes
QUOTED = 60  # letters of a name or a value in a sentence
LISTED = 100  # letters of a list in a sentence
#: what no name and no value may have: controls, those of the direction of letters among them, ends of lines, halves of
#: letters. (`printable` writes out more than these: a label may have an odd space, and a terminal need not get it.)
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


#: tells a person a sentence, at once. Nobody has a default of it: a run keeps its standard error for a log, where what
#: is said while it waits would be read by no one
Say = Callable[[str], None]


def on_stderr(sentence: str) -> None:
    """A `Say`, for who has nothing else there."""
    print(sentence, file=sys.stderr, flush=True)


class UserError(Exception):
    """Something that a person asked for and that cannot be done: the message is one sentence, with the remedy."""


def printable(text: object) -> str:
    """A text in one line, whole: what a terminal would obey and not show, an override of the direction of letters among
    it, is written as Python writes it (`\\x1b`)."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(text))


def masked(text: str) -> str:
    """A text of somebody else in one line, as short as it is: what a terminal would obey and not show is `?`."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def brief(text: object, most: int = QUOTED) -> str:
    """`printable`, of at most so many letters, a longer one cut in its middle."""
    whole = str(text)
    if len(whole) > most:  # before anything else: it may be a megabyte
        whole = _cut(whole, most)
    shown = printable(whole)
    return shown if len(shown) <= most else _cut(shown, most)


def quoted(text: str) -> str:
    """The same in quotes, as Python writes it: 'epoch'."""
    return brief(repr(text if len(text) <= 2 * QUOTED else _cut(text, 2 * QUOTED)))


def some(words: Iterable[str], most: int = LISTED) -> str:
    """`a, b, c`, each `brief`, of many those that have room, and how many more there are."""
    words = list(words)
    line, kept = "none", 0
    for word in words:
        longer = f"{line}, {brief(word, most)}" if kept else brief(word, most)
        if len(longer) > most:
            break
        line, kept = longer, kept + 1
    return f"{line} and {len(words) - kept:,} more" if kept < len(words) else line


def _cut(text: str, most: int) -> str:
    """About two thirds of what there is room for are of the beginning."""
    end = (most - 1) // 3
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"
