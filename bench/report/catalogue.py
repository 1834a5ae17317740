"""The catalogue of the page: what every family of the run is, from the cards that the run file carries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ROWS = {  # keys of a card, and what they are called
    "support": "Support",
    "view": "Sees the data as",
    "measure": "Its own number",
    "ends": "End bins",
    "parameters": "Parameters",
    "outputs": "Last layer",
    "source": "Source",
    "users": "Used by",
    "plugin": "Plug-in",
}


@dataclass(frozen=True)
class Entry:
    """A family: its title where that is not its name, what it assumes, its formula; the rest by the names of ROWS."""

    family: str
    title: str
    summary: str
    formula: str
    rows: list[tuple[str, str]]


def catalogue(families: Iterable[str], cards: object) -> list[Entry]:
    """The families whose card is known, by name; a card may lack anything, as an older run file's does."""
    if not isinstance(cards, Mapping):
        return []
    return [_entry(family, cards[family]) for family in sorted(set(families)) if isinstance(cards.get(family), Mapping)]


def _entry(family: str, card: Mapping[str, Any]) -> Entry:
    texts = {key: str(value) for key, value in card.items() if value and not isinstance(value, Mapping)}
    if isinstance(card.get("outputs"), Mapping):
        texts["outputs"] = "; ".join(_width(modes, width) for modes, width in card["outputs"].items())
    rows = [(name, texts[key]) for key, name in ROWS.items() if key in texts]
    title = texts.get("title", "")
    if title.lower().replace(" ", "_") == family:
        title = ""
    return Entry(family, title, texts.get("summary", ""), texts.get("formula", ""), rows)


def _width(modes: str, width: str) -> str:
    """`2 D outputs with σ pixel`."""
    return f"{width} outputs with σ {modes}" if modes else f"{width} outputs"
