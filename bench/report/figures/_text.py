"""How wide text is, and what of it fits: labels beside plots are cut to the room that they have, never overprinted.

Widths are those of the font that figures are laid out in, which is wider than nearly all that a page is shown in.
"""

from __future__ import annotations

import functools
import textwrap

from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import LoadFlags

FONT = "DejaVu Sans"
ELLIPSIS = "…"


@functools.cache
def _advance(character: str, bold: bool) -> float:
    """The width of a character at size 1; of one that the font lacks a full square, as another font may have it."""
    font = get_font(findfont(FontProperties(family=FONT, weight="bold" if bold else "normal")))
    if ord(character) not in font.get_charmap():
        return 1.0
    font.set_size(100, 72)
    return float(font.load_char(ord(character), flags=LoadFlags.NO_HINTING).linearHoriAdvance) / 65536 / 100


def wide(text: str, size: float, *, bold: bool = False) -> float:
    """The width of text in CSS pixels."""
    return size * sum(_advance(character, bold) for character in text)


def fit(text: str, room: float, size: float, *, bold: bool = False) -> str:
    """As much of the text as fits into `room` CSS pixels. What is too long loses its middle: labels of one grid begin
    alike, and end with what tells them apart."""
    if wide(text, size, bold=bold) <= room:
        return text
    for kept in range(len(text) - 1, 0, -1):
        tail = kept * 2 // 5
        shown = text[: kept - tail].rstrip() + ELLIPSIS + (text[-tail:].lstrip() if tail else "")
        if wide(shown, size, bold=bold) <= room:
            return shown
    return ELLIPSIS


def wrapped(text: str, room: float, size: float) -> str:
    """The text in lines that fit, words broken where one alone is too long."""
    letters = max(8, int(len(text) * room / max(wide(text, size), 1)))
    while True:
        lines = textwrap.wrap(text, letters)
        if letters <= 8 or all(wide(line, size) <= room for line in lines):
            return "\n".join(lines)
        letters -= 1
