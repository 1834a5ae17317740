"""Lines of text for a terminal: counts, and what is cut or wrapped to a width."""

from __future__ import annotations

import textwrap

LISTED = 12  # items of a list that are shown before the rest is only counted


def several(amount: int, thing: str) -> str:
    return f"{amount:,} {thing}{'' if amount == 1 else 's'}"


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)


def hanging(start: str, text: str, width: int) -> list[str]:
    indent = " " * (len(start) + (2 if not start.strip() else 0))
    return textwrap.wrap(text, width, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False)
