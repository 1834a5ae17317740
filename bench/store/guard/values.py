"""What the values of a run file may be: their types, their ranges, and what their texts hold.

A value that is none of these was written by no version of the suite. It is found here, where a file is read, so that
nothing behind needs to think of it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from bench.grid.cell import Cell
from bench.grid.errors import UNSEEN, masked
from bench.store.schema import TABLES

MOST = 2**53  # below it a float holds every whole number
MOST_DIGITS = 100  # of a number in JSON
DEEPEST = 20  # lists in lists of JSON
SIDES = (3, 4)  # of pictures: n, height, width, channels
KINDS = {table: {name: kind.split()[0] for name, kind in columns.items()} for table, columns in TABLES.items()}
TYPES = {"TEXT": (str,), "REAL": (float,), "INTEGER": (int,), "BLOB": (bytes,)}
#: columns of cells whose words a terminal is shown
WORDS = ("cell", "config", "label", "kind", "family", "status", "measure", "currency", "scored_as", "view", "search")
CURRENCIES = (None, "", "pmf-2", "pmf-K")
_SEED = re.compile(r'"seed": (?:0|[1-9][0-9]{0,8})(?=[,}])')
WEIGHTS = re.compile(r"[^/\\\x00-\x1f]{1,250}\.safetensors")


class Wrong(ValueError):
    """A value that no version of the suite wrote; the message says what it is, without where."""


def _refused(word: str) -> Any:
    raise Wrong(f"its JSON holds {word}, which is no number")


_DECODER, _ANY_FLOAT = json.JSONDecoder(parse_constant=_refused), json.JSONDecoder()
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
_LONG_NUMBER = re.compile(rf"\d{{{MOST_DIGITS}}}")


def parse(text: Any, kind: type | tuple[type, ...] = dict, *, finite: bool = True) -> Any:
    """The value of a text of JSON, of this kind, nested as deep as anything of a run; with finite numbers, but for what
    was measured on the way and may have NaN. Raises Wrong."""
    if not isinstance(text, str):
        raise Wrong("there is no text of JSON")
    if text.count("[") + text.count("{") > DEEPEST and _depth(text) > DEEPEST:
        raise Wrong("its JSON is nested deeper than any of a run")
    if _LONG_NUMBER.search(text) and _LONG_NUMBER.search(_STRINGS.sub("", text)):
        raise Wrong(f"its JSON holds a number of more than {MOST_DIGITS} digits")
    try:
        value = (_DECODER if finite else _ANY_FLOAT).decode(text)
    except Wrong:
        raise
    except ValueError as error:
        raise Wrong("its JSON is broken") from error
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise Wrong("its JSON is of another kind")
    return value


def _depth(text: str) -> int:
    """How deep brackets outside of strings are nested."""
    deepest = depth = 0
    for bracket in re.findall(r"[\[{\]}]", _STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


# -- cells -------------------------------------------------------------------------------------------------------------


def _word(name: str) -> Callable[[Any], None]:
    def check(text: Any) -> None:
        if UNSEEN.search(text or ""):
            raise Wrong(f"its {name} has characters that no name has")

    return check


def _status(text: Any) -> None:
    if not text or UNSEEN.search(text):
        raise Wrong("it has no status")


def _currency(text: Any) -> None:
    if text not in CURRENCIES:
        raise Wrong("its currency is none")


def _weights(text: Any) -> None:
    if text is not None and not WEIGHTS.fullmatch(text):
        raise Wrong("its weights are no name of a file")


def _flag(name: str) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if value not in (None, 0, 1):
            raise Wrong(f"its {name} is neither 0 nor 1")

    return check


def _object(text: Any) -> None:
    if text:
        parse(text)


def _measured(text: Any) -> None:
    if text:
        parse(text, finite=False)


def _options(text: Any) -> None:
    if text and any(isinstance(item, dict | list) for item in parse(text).values()):
        raise Wrong("its options are no plain values")


def _spec(text: Any) -> None:
    spec = parse(text)
    if "reference" in spec:
        return
    try:
        Cell.of_spec(spec)
    except ValidationError as error:
        raise Wrong(f"a stored cell cannot be read: {error.errors()[0]['msg']}") from error
    except (TypeError, KeyError, AttributeError) as error:
        raise Wrong("a stored cell cannot be read: its spec is of another shape") from error


def alike(spec: Any) -> Any:
    """The same text for specs that differ in their seeds, each of which is one: what holds of one holds of all."""
    return _SEED.sub('"seed": 0', spec) if isinstance(spec, str) else spec


#: what a value of a column of cells must hold beside its type; raises Wrong
CELLS: dict[str, Callable[[Any], None]] = {
    **{name: _word(name) for name in WORDS},
    **{name: _flag(name) for name in ("current", "reference", "recipe", "collapsed", "converged")},
    **dict.fromkeys(("tune", "tuned"), _object),
    **dict.fromkeys(("tuned_edges", "details"), _measured),
    "status": _status,
    "currency": _currency,
    "weights": _weights,
    "options": _options,
    "spec": _spec,
}
CANDIDATES: dict[str, Callable[[Any], None]] = {
    "search": _word("search"),
    "chosen": _flag("chosen"),
    "candidate": parse,
    "edges": _measured,
}


# -- arrays ------------------------------------------------------------------------------------------------------------


def check_images(blobs: tuple[bytes | None, ...]) -> None:
    """Raises Wrong where the arrays of a cell's test images are not of one length."""
    first, *others = (len(blob or b"") for blob in blobs)
    if any(size % 8 for size in (first, *others)):
        raise Wrong("its numbers of images are cut")
    if any(size not in (0, first) for size in others):
        raise Wrong("its numbers of images are of different lengths")


def shape_of(text: Any, size: int) -> tuple[int, ...]:
    """The shape of pictures of so many bytes. Raises Wrong."""
    sides = parse(text, list)
    if len(sides) not in SIDES or any(type(side) is not int or not 0 < side < MOST for side in sides):
        raise Wrong("its pictures have an impossible shape")
    if math.prod(sides) != size or (len(sides) == 4 and sides[3] not in (1, 2, 3, 4)):
        raise Wrong("its pictures have another shape than their pixels")
    return tuple(sides)


# -- what is said of the whole run -------------------------------------------------------------------------------------


def _of_texts(value: Any) -> bool:
    return all(isinstance(item, str) for item in value)


def _of_facts(value: Any) -> bool:
    return all(isinstance(facts, dict) for facts in value.values())


def _data(value: Any) -> bool:
    return _of_facts(value) and all(
        isinstance(remarks := facts.get("remarks") or [], list)
        and all(isinstance(remark, dict) and {"loud", "topic", "text"} <= remark.keys() for remark in remarks)
        and (isinstance(facts.get("dims", 1), int) and facts.get("dims", 1) > 0)
        and isinstance(facts.get("checksum", ""), str)
        and _blocks(facts)
        for facts in value.values()
    )


def _blocks(facts: Mapping[str, Any]) -> bool:
    """Whether blocks of test images, where there are any, are all of these."""
    sizes = facts.get("test_blocks") or []
    of_numbers = isinstance(sizes, list) and all(type(size) is int and size > 0 for size in sizes)
    return of_numbers and (not sizes or sum(sizes) == facts.get("test"))


def _plugins(value: Any) -> bool:
    return _of_facts(value) and all(
        isinstance(facts.get(name, ""), str) for facts in value.values() for name in ("file", "sha256")
    )


def _networks(value: Any) -> bool:
    return _plugins(value) and all(
        isinstance(facts.get("spoken", ""), str)
        and isinstance(reads := facts.get("reads", []), list)
        and _of_texts(reads)
        for facts in value.values()
    )


#: of every fact of a run that others read: the kind of its JSON, and what else must hold
META: dict[str, tuple[type, Callable[[Any], bool]]] = {
    "name": (str, lambda value: True),
    "grid_name": (str, lambda value: True),
    "about": (str, lambda value: True),
    "grid": (str, lambda value: True),
    "created": (str, lambda value: True),
    "overrides": (list, _of_texts),
    "cells": (int, lambda value: 0 <= value < MOST),
    "cards": (dict, _of_facts),
    "plugins": (dict, _plugins),
    "networks": (dict, _networks),
    "data": (dict, _data),
}


def check_meta(key: str, text: Any) -> Any:
    """A fact of a run; its names, which are names of files, without what a terminal would carry out. Raises Wrong."""
    kind, holds = META.get(key, ((dict, list, str, int, float, bool, type(None)), lambda value: True))
    value = parse(text, kind)
    if not holds(value):
        raise Wrong("it is of another kind")
    if key in ("name", "grid_name"):
        return masked(value)
    return value


def check_provenance(text: Any) -> dict[str, Any]:
    """How an invocation came about. Raises Wrong."""
    facts: dict[str, Any] = parse(text, finite=False)
    git, device = facts.get("git") or {}, facts.get("device", {})
    if "id" in facts or not isinstance(git, dict | str) or not isinstance(device, dict):
        raise Wrong("it is of another kind")
    commit = git.get("commit") if isinstance(git, dict) else git
    words = (facts.get("time"), commit)
    texts = (*words, facts.get("command"), device.get("name"), device.get("kind"))
    if any(not isinstance(text or "", str) for text in texts) or any(UNSEEN.search(word or "") for word in words):
        raise Wrong("its words are none")
    if not isinstance(facts.get("packages", {}), dict) or not isinstance(facts.get("plugins", {}), dict):
        raise Wrong("it is of another kind")
    return facts


def check_extra(text: Any) -> dict[str, Any]:
    """What else was measured of a speed. Raises Wrong."""
    extra: dict[str, Any] = parse(text or "{}", finite=False)
    if extra.keys() & KINDS["throughput"].keys():
        raise Wrong("it says a column twice")
    return extra
