"""A digest of every part of a run file, stored beside it and compared when it is read: what disk, memory or a copy has
changed is noticed, down to one bit. It is no signature: who changes a file on purpose can make the digests anew.

Digests are of values, not of SQLite's bytes, so that a file may be vacuumed, dumped and restored. Of a row of cells
they are of the columns that hold something, by name: a column that a later version adds changes none. What a digest is
of is fixed by the format (bench.store.columns): whoever changes anything here raises it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from bench.store.guard.content import LONG, PARTS, Content, Part, Rows

ROW, ROWS = "cell", "rows"  # the two digests of a cell: of its row, which changes with the grid, and of all else

IMAGES = "per_image"


def of(content: Content) -> dict[Part, str]:
    """The digest of every part of what was read."""
    digests: dict[Part, str] = {}
    tables = content.tables
    if "cells" in tables:
        digests |= _of_rows(ROW, tables["cells"], tables["cells"].columns["cell"])
    if IMAGES in tables:
        digests |= {(ROWS, name): digest for name, digest in _of_cells(content)}
    if "candidates" in tables:
        digests |= {("search", name): digest for name, digest in _of_searches(tables)}
    if "throughput" in tables:
        digests |= _of_rows("speed of the kind", tables["throughput"], tables["throughput"].columns["kind"])
    if "scaling" in tables and tables["scaling"].count:
        rows = tables["scaling"]
        lines = _of_rows("", rows, range(rows.count)).values()
        digests["curves of speed", ""] = hashlib.sha256("".join(lines).encode()).hexdigest()
    for table, what in (("meta", "fact"), ("provenance", "invocation")):
        if table in tables:
            names, texts = tables[table].columns.values()
            digests |= {(what, str(name)): _of_text(text) for name, text in zip(names, texts, strict=True)}
    return digests


def name_of(part: Part) -> str:
    """What a part is called in the table of digests."""
    return ":".join(part)


def stored(connection: sqlite3.Connection) -> dict[Part, str]:
    """The digests that a file has. Raises sqlite3.Error."""
    rows = connection.execute("SELECT part, digest FROM digests")
    return {(what, name): str(digest) for part, digest in rows for what, _, name in [str(part).partition(":")]}


def is_of(part: Part, tables: Iterable[str]) -> bool:
    """Whether a digest is of something that stands in these tables."""
    what = part[0]
    if what == ROWS:
        return IMAGES in tables
    return any(PARTS[table][0] == what for table in tables)


def all_of(parts: Iterable[Part]) -> list[Part]:
    """Every digest of these parts: cells have two."""
    return [(kind, name) for what, name in parts for kind in ((ROW, ROWS) if what == ROW else (what,))]


def store(connection: sqlite3.Connection, digests: Mapping[Part, str]) -> None:
    """Put these digests in the place of older ones, inside the caller's transaction."""
    rows = [(name_of(part), digest) for part, digest in digests.items()]
    connection.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?)", rows)


def forget(connection: sqlite3.Connection, parts: Iterable[Part]) -> None:
    """Remove the digests of these parts, inside the caller's transaction."""
    connection.executemany("DELETE FROM digests WHERE part = ?", [(name_of(part),) for part in parts])


def changed(now: Mapping[Part, str], then: Mapping[Part, str]) -> dict[Part, str]:
    """The parts that are not as they were stored: changed, gone, or come from nowhere; a cell is one part."""
    found: dict[Part, str] = {}
    if now == then:
        return found
    for part in now.keys() | then.keys():
        if now.get(part) != then.get(part):
            what, name = part
            known = ("cell", name) if what in (ROW, ROWS) else part
            gone = "it is gone" if part not in now else "its digest is gone" if part not in then else ""
            found.setdefault(known, gone or "it is not as it was written")
    return found


def _of_text(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def _of_rows(what: str, rows: Rows, names: Iterable[object]) -> dict[Part, str]:
    """Of each row alone: the names and values of the columns that hold something."""
    numeric, texts = sorted(rows.numbers), sorted(rows.columns.keys() - rows.numbers.keys())
    numbers = np.ascontiguousarray(_block(rows, numeric))
    there = np.empty((rows.count, len(numeric) + len(texts)), dtype=bool)
    there[:, : len(numeric)] = ~np.isnan(numbers)
    for index, column in enumerate(texts, len(numeric)):
        there[:, index] = [text is not None for text in rows.columns[column]]
    said: dict[bytes, bytes] = {}
    digests = {}
    lines = zip(*(rows.columns[name] for name in texts), strict=True) if texts else iter([()] * rows.count)
    for name, line, own, values in zip(names, lines, there, numbers, strict=True):
        mask = own.tobytes()
        if mask not in said:
            columns = [column for column, is_there in zip([*numeric, *texts], own, strict=True) if is_there]
            said[mask] = json.dumps(columns).encode()
        words = [text for text in line if text is not None]
        spoken = "\0".join(words)
        if spoken.count("\0") >= max(len(words), 1):  # one of them has such a character
            spoken = json.dumps(words)
        held = values[own[: len(numeric)]].tobytes()
        digests[what, str(name)] = hashlib.sha256(said[mask] + held + spoken.encode()).hexdigest()
    return digests


def _of_cells(content: Content) -> Iterator[tuple[str, str]]:
    """Of all rows of each cell but that of cells; one that failed has none, and a digest of that."""
    pieces: defaultdict[str, list[bytes | memoryview]] = defaultdict(list)
    for name in content["cells"].names:
        pieces[name] = []
    for table in LONG:
        rows = content[table]
        block = _block(rows, list(rows.numbers))
        whole, width = memoryview(block.tobytes()), block.itemsize * block.shape[1]
        for name, start, end in rows.runs:
            pieces[name] += (b"%s %d:" % (table.encode(), end - start), whole[start * width : end * width])
    arrays = [values for name, values in content[IMAGES].columns.items() if name != "cell"]
    for name, *blobs in zip(content[IMAGES].names, *arrays, strict=True):
        given = [blob or b"" for blob in blobs]
        pieces[name] += (b"images %s:" % str(list(map(len, given))).encode(), *given)
    pictures = (content["pictures"].columns[column] for column in ("cell", "kind", "shape", "data"))
    for name, kind, shape, data in zip(*pictures, strict=True):
        pieces[name] += (f"picture {kind} {shape} {len(data)}:".encode(), data)
    for name, parts in pieces.items():
        yield name, hashlib.sha256(b"".join(parts)).hexdigest()


def _block(rows: Rows, names: Sequence[str]) -> np.ndarray:
    """Columns of numbers as one piece, a line a row; NaN where there is none, the same one everywhere."""
    block = np.empty((rows.count, len(names)), dtype="<f8")
    for index, name in enumerate(names):
        block[:, index] = rows.numbers[name]
    block[np.isnan(block)] = np.nan
    return block


def _of_searches(tables: Mapping[str, Rows]) -> Iterator[tuple[str, str]]:
    """Of the candidates of each search and how their trainings went."""
    digests: defaultdict[str, hashlib._Hash] = defaultdict(hashlib.sha256)
    for table in ("candidates", "candidate_history"):
        rows = tables[table]
        lines = _of_rows("", rows, range(rows.count)).values()
        for name, line in zip(rows.names, lines, strict=True):
            digests[name].update(line.encode())
    for name, digest in digests.items():
        yield name, digest.hexdigest()
