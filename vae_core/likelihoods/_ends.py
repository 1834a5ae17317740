"""How far the end bins of a family on the real line reach: the two words of its option `ends`."""

from __future__ import annotations

OPEN, RENORMALISED = "open", "renormalised"
ENDS = (OPEN, RENORMALISED)


def checked_ends(ends: str) -> bool:
    """Whether the word is "open"; raises ValueError for one that is none of ENDS."""
    if ends not in ENDS:
        raise ValueError(f"ends={ends!r} is unknown (allowed: {', '.join(ENDS)})")
    return ends == OPEN
