"""A grid's text as a TOML document, held to sizes before anything is made of it.

A grid is some lines that a person wrote; a file may be anything. What is far beyond every grid gets a sentence at once:
a document is looked through for its nesting before it is parsed, and for its values before they are expanded.
"""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.grid.errors import UNSEEN, brief, quoted
from bench.grid.settings import GridError

MOST_CELLS = 10_000  #: of a grid, before its exclusions; also the most values that a list may have
MOST_CANDIDATES = 1_000  # of a cell that is tuned
MOST_TABLES = 1_000  # [[cells]], and [[exclude]]
MOST_SECTIONS = 2 * MOST_TABLES + 2  # those, [grid] and [tune]: what more there are is counted and not parsed
MOST_BYTES = 1_000_000  # of a file
COUNTED_BYTES = 16 * MOST_BYTES  # of a larger file, in which the values of its longest list are still counted
DEEPEST = 10  # tables and lists inside one another; a grid needs four
LONGEST = 4096  # letters of a text, the most that a path may have
LARGEST = 2**63 - 1  # of TOML's whole numbers, and of the run file's

_TOKEN = re.compile(  # a text that is not closed goes on to its line's end or the file's: none is looked through twice
    r'"""(?:[^"\\]++|\\.|"{1,2}(?!"))*+(?:"{3,5})?+'
    r"|'''(?:[^']++|'{1,2}(?!'))*+(?:'{3,5})?+"
    r'|"(?:[^"\\\n]++|\\.)*+"?+'
    r"|'[^'\n]*+'?+"
    r"|(?P<comment>\#[^\n]*+)"
    r"|(?P<opened>[\[{])|(?P<closed>[\]}])|(?P<dot>\.)"
    r"|(?P<next>[,=\n][^\[\]{}\"'\#.]*+)"
    r"|[^\[\]{}\"'\#.,=\n]++",
    re.DOTALL,
)
_LIST = re.compile(r"\[[^\[\]\"'#{}]*+\]")


def read_text(path: Path) -> str:
    """The text of a grid file, without a byte order mark. Raises GridError for what is none, which is not opened."""
    name = brief(path.name)
    try:
        kind, content = path.stat().st_mode, b""
        if stat.S_ISREG(kind):
            with path.open("rb") as file:
                content = file.read(COUNTED_BYTES)
    except OSError as error:
        raise GridError(f"{name} cannot be read ({error.strerror}).") from error
    except ValueError as error:  # a NUL in it
        raise GridError(f"{name} cannot be read ({error}).") from error
    if not stat.S_ISREG(kind):
        what = "a folder" if stat.S_ISDIR(kind) else "no file that has an end"
        raise GridError(f"{name} is {what}, and no grid; give a .toml file.")
    _require_name(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise GridError(
            f"{name} cannot be read (byte {error.start + 1:,} is no UTF-8: {error.reason}); save it as UTF-8."
        ) from error


def _require_name(path: Path) -> None:
    """Raises GridError for a name that no run file and no page can have."""
    if UNSEEN.search(path.stem):
        raise GridError(f"{brief(path.name)}: a grid's name is the run's, and has no control characters; rename it.")


def loads(text: str, what: str) -> dict[str, Any]:
    """The document in a TOML text; `what` is what errors call it. Raises GridError for one beyond all grids, and
    tomllib's error for what is no TOML."""
    if len(text) > MOST_BYTES:
        raise GridError(_too_long(text, what))
    deep, dotted, sections = _outline(text)
    if sections > MOST_SECTIONS:
        raise GridError(
            f"{what} has {sections:,} sections, and a grid has {MOST_SECTIONS:,} at most: [grid], [tune], [[cells]] "
            "and [[exclude]]; give fewer, or make several grids of it."
        )
    if max(deep, dotted) > DEEPEST:
        kind = f"is nested {deep:,} deep" if deep > DEEPEST else f"has a key of {dotted + 1:,} parts"
        raise GridError(f"{what} {kind}, and a grid has {DEEPEST} levels at most: give each key a value or a list.")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # Python reads no number of more than some thousand digits
        digits = max(map(len, re.findall(r"\d[\d_]*", text)))
        raise GridError(f"{what} has a number of {digits:,} digits; whole numbers go up to {LARGEST:,}.") from None
    _require_values(document, what)
    return document


def text_of(text: str) -> str:
    """A text as a TOML document has it, in quotes."""
    return '"' + re.sub(r'[\x00-\x1f\x7f"\\]', lambda found: f"\\u{ord(found[0]):04x}", text) + '"'


def override(text: str, options: Mapping[str, str]) -> tuple[str, Any]:
    """The key and the value of KEY=VALUE. Errors name --set, or the option that the key has in `options`. Raises
    GridError."""
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    said = options.get(key, f"--set {brief(text)}")
    if not equals or not key or not value:
        raise GridError(f"{said}: write it as KEY=VALUE, such as --set epochs=10.")
    try:
        parsed = loads(f"value = {value}", said)
    except tomllib.TOMLDecodeError as error:
        if re.search(r"[\[\]{}\"'\n]", value):
            raise GridError(f'{said}: not a TOML value (words in a list need quotes: ["a", "b"]).') from error
        parsed = loads(f"value = {text_of(value)}", said)
    if set(parsed) != {"value"}:
        raise GridError(f"{said}: give one key at a time.")
    return key, parsed["value"]


def _too_long(text: str, what: str) -> str:
    longest = max((found[0].count(",") + 1 for found in _LIST.finditer(text)), default=0)
    if longest > MOST_CELLS:
        return (
            f"{what} has a list of {longest:,} values, and one grid has {MOST_CELLS:,} cells at most; list fewer, or "
            "make several grids of it."
        )
    return f"{what} holds more than {MOST_BYTES:,} letters, which is no grid; give less, or make several grids of it."


def _outline(text: str) -> tuple[int, int, int]:
    """How deep brackets stand inside one another at the most, the most dots of a key, and how many sections there are:
    brackets with which a line begins, outside of all others."""
    depth = deepest = dots = most = sections = 0
    begins = True  # whether nothing but blanks stands on the line so far
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "next":
            dots = 0
            if not depth:
                begins = not token[0].rpartition("\n")[2].strip(" \t")
        elif kind == "opened":
            depth, dots = depth + 1, 0
            if depth > deepest:
                deepest = depth
            sections += begins
            begins = False
        elif kind == "closed":
            depth, dots = max(depth - 1, 0), 0
        elif kind == "dot":
            dots += 1
            if dots > most:
                most = dots
        elif kind:
            dots = 0
    return deepest, most, sections


def _require_values(document: dict[str, Any], what: str) -> None:
    """Raises GridError for a list, a number or a text that is beyond every grid."""
    about = document.get("about")
    if isinstance(about, str):  # which may have several lines
        _require_text(what, "about", re.sub(r"[\t\r\n]", " ", about))
    left: list[tuple[str, Any]] = [(key, value) for key, value in document.items() if value is not about]
    for key in document:
        _require_text(what, key, key)
    while left:
        key, value = left.pop()
        if isinstance(value, dict):
            left += value.items()
            for inner in value:
                _require_text(what, inner, inner)
        elif isinstance(value, list):
            _require_length(what, key, value)
            left += [(key, item) for item in value]
        elif isinstance(value, str):
            _require_text(what, key, value)
        elif isinstance(value, int) and abs(value) > LARGEST:
            raise GridError(f"{what}: {_name(key)} has a number beyond {LARGEST:,}, the largest whole number.")


def _require_length(what: str, key: str, value: list[Any]) -> None:
    tables = bool(value) and isinstance(value[0], dict)
    if tables and len(value) > MOST_TABLES:
        raise GridError(
            f"{what} has {len(value):,} tables [[{_name(key)}]], and {MOST_TABLES:,} is the most; make several grids "
            "of it."
        )
    if len(value) > MOST_CELLS:
        raise GridError(
            f"{what}: {_name(key)} lists {len(value):,} values, and one grid has {MOST_CELLS:,} cells at most; list "
            "fewer, or make several grids of it."
        )


def _require_text(what: str, key: str, text: str) -> None:
    if len(text) > LONGEST:
        said = "a key" if key is text else _name(key)
        raise GridError(f"{what}: {said} has {len(text):,} letters ({quoted(text)}), and {LONGEST:,} is the most.")
    if UNSEEN.search(text):
        raise GridError(f"{what}: {quoted(text)} has a control character, which no key and no value has; remove it.")


def _name(key: str) -> str:
    return brief(key)
