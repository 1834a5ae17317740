# ruff: noqa: S608  statements of our own
"""Run files that no version of the suite wrote, each made of a valid one: by name, what is done to it.

A statement of SQL, several, or a function of the path. Of `CELL` there is one row in cells, and rows in every table.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from tests.bench.report import fake_run

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT"
DEEP = "[" * 100_000
HUGE = "CAST(zeroblob(100000000) AS TEXT)"
FIRST = "(SELECT min(cell) FROM cells)"

#: the verbs that read a run file, r.sqlite, and do no more
READERS = {
    "report": ("report", "r.sqlite", "--format", "md"),
    "export": ("export", "r.sqlite", "--to", "tables"),
    "compare": ("compare", "r.sqlite", "r.sqlite"),
    "model": ("model", "r.sqlite", "gaussian σ=0.1", "--to", "m.safetensors"),
}

Craft = str | tuple[str, ...] | Callable[[Path], object]


def write(path: Path) -> Path:
    """The valid one: a few cells of two seeds, with pictures, speeds and candidates' tables."""
    return fake_run.write(path, fake_run.few()[:3], seeds=(0, 1), images=25, survey=True)


def before_digests(path: Path) -> Path:
    """The same file as the format before digests had it: what it holds is all that speaks for it."""
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE digests")
        connection.execute("PRAGMA user_version = 6")
    return path


def craft(path: Path, what: Craft) -> None:
    """Does it to the file."""
    if callable(what):
        what(path)
        return
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema = ON")
    for statement in (what,) if isinstance(what, str) else what:
        connection.execute(statement)
    connection.commit()
    connection.close()


def instead_of(table: str, made: str) -> tuple[str, ...]:
    return (f"DROP TABLE {table}", made)


def endless(table: str, columns: str) -> tuple[str, ...]:
    return instead_of(table, f"CREATE VIEW {table} AS {ENDLESS} {columns} FROM n")


def cell(column: str, value: str) -> str:
    return f"UPDATE cells SET {column} = {value} WHERE cell = {FIRST}"


def everywhere(table: str, column: str, value: str) -> str:
    return f"UPDATE {table} SET {column} = {value}"


def meta(key: str, value: str) -> str:
    return f"INSERT OR REPLACE INTO meta VALUES ('{key}', {value})"


def _cut(keep: float) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, int(path.stat().st_size * keep))


def _bytes(at: int, new: bytes) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(new)

    return do


def _invalid_text(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE cells SET reason = CAST(x'ff00fe80' AS TEXT) WHERE cell = {FIRST}")
    connection.commit()
    connection.close()


def _journal_of_others(path: Path) -> None:
    magic = bytes.fromhex("d9d505f920a163d7")
    path.with_name(path.name + "-journal").write_bytes(magic + bytes(1000) + b"/etc/passwd" + bytes(8) + magic)


#: what a file as a whole is refused for
REFUSED: dict[str, Craft] = {
    "cells, endless": endless("cells", "x AS cell, 1 AS current, 0 AS reference"),
    "meta, endless": endless("meta", "x AS key, x AS value"),
    "bounds, endless": endless("bounds", "x AS cell, 1 AS samples, 1.0 AS bound_nats, 1.0 AS standard_error, 1.0 AS e"),
    "per_image, endless": endless("per_image", "x AS cell, zeroblob(1000000) AS iw_nats"),
    "provenance, endless": endless("provenance", "x AS id, '{}' AS json"),
    "throughput, endless": endless("throughput", "x AS kind, '{}' AS extra"),
    "pictures, a view": instead_of("pictures", "CREATE VIEW pictures AS SELECT cell, label AS kind FROM cells"),
    "a view of another name": "CREATE VIEW other AS SELECT * FROM cells",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON meta BEGIN DELETE FROM cells; END",
    "a trigger in place": "CREATE TRIGGER bounds_cell2 BEFORE UPDATE ON cells BEGIN SELECT RAISE(IGNORE); END",
    "a virtual table": "CREATE VIRTUAL TABLE texts USING fts5(words)",
    "a virtual table in place": (
        "DROP TABLE scaling",
        "INSERT INTO sqlite_master VALUES ('table', 'scaling', 'scaling', 0, "
        "'CREATE VIRTUAL TABLE scaling USING nosuch()')",
    ),
    "a table of somebody": "CREATE TABLE notes (text)",
    "an index of somebody": "CREATE UNIQUE INDEX one ON bounds (cell, samples)",
    "another index of a name": ("DROP INDEX bounds_cell", "CREATE UNIQUE INDEX bounds_cell ON bounds (cell, samples)"),
    "a computed column": "ALTER TABLE meta ADD COLUMN more TEXT AS (hex(zeroblob(100000000)))",
    "a computed column of cells": "ALTER TABLE cells ADD COLUMN outcome REAL AS (1.0)",
    "many tables": tuple(f"CREATE TABLE t{number} (a)" for number in range(250)),
    "no cells": "DROP TABLE cells",
    "cells without their key": "ALTER TABLE cells RENAME COLUMN cell TO sell",
    "meta without its value": "ALTER TABLE meta RENAME COLUMN value TO valve",
    "images without their numbers": "ALTER TABLE per_image DROP COLUMN iw_nats",
    "without rowids": instead_of("meta", "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID"),
    "a broken schema": "UPDATE sqlite_master SET sql = 'CREATE TABLE cells (' WHERE name = 'cells'",
    "a schema of nonsense": "UPDATE sqlite_master SET sql = 'nonsense' WHERE name = 'bounds'",
    "a check that computes": "UPDATE sqlite_master SET sql = replace(sql, 'value TEXT', "
    "'value TEXT CHECK (length(hex(zeroblob(400000000))) > 0)') WHERE name = 'meta'",
    "two tables in one": "UPDATE sqlite_master SET rootpage = "
    "(SELECT rootpage FROM sqlite_master WHERE name = 'bounds') WHERE name = 'history'",
    "a root beyond the end": "UPDATE sqlite_master SET rootpage = 4000000 WHERE name = 'bounds'",
    "another program's": "PRAGMA application_id = 7",
    "a format to come": "PRAGMA user_version = 99",
    "a format of nobody": "PRAGMA user_version = -5",
    "a format that was": "PRAGMA user_version = 2",
    "a text of 100 MB in cells": cell("reason", HUGE),
    "a text of 100 MB in meta": meta("about", HUGE),
    "a text of 100 MB in provenance": everywhere("provenance", "json", HUGE),
    "a label of 100 MB": cell("label", HUGE),
    "a text that is none": _invalid_text,
    "cut in the middle": _cut(0.5),
    "cut by a little": _cut(0.98),
    "a header alone": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "a page size of nobody": _bytes(16, b"\x00\x07"),
    "another encoding": _bytes(59, b"\x02"),
    "reserved bytes": _bytes(20, b"\xf0"),
    "pages of zeros": lambda path: _bytes(4096, bytes(path.stat().st_size // 2))(path),
    "pages of ones": lambda path: _bytes(4096, b"\xff" * (path.stat().st_size // 2))(path),
    "text": lambda path: path.write_text("a year of notes\n" * 1000),
    "nothing": lambda path: path.write_bytes(b""),
    "another kind's beginning": _bytes(0, b"PK\x03\x04"),
    "a journal of other files": _journal_of_others,
}

#: what one part of a file is left out for, or the whole where nothing else vouches for it
WRONG: dict[str, Craft] = {
    "a text for a number": cell("iw_nats", "'many'"),
    "bytes for a number": cell("bits_per_dim", "x'0102'"),
    "bytes for a text": cell("label", "x'ff00'"),
    "bytes for a name": cell("cell", "x'ff00'"),
    "no name": cell("cell", "NULL"),
    "no status": cell("status", "NULL"),
    "no spec": cell("spec", "NULL"),
    "a fraction for a count": cell("iw_samples", "1.5"),
    "a text for a count": cell("seed", "'zero'"),
    "a negative count": cell("seed", "-1"),
    "a negative number of images": cell("test_images", "-5"),
    "a negative epoch": everywhere("history", "epoch", "-epoch - 1"),
    "an immense count": cell("epochs_run", "9223372036854775807"),
    "a currency of nobody": cell("currency", "'euro'"),
    "a flag of two": cell("current", "2"),
    "a reference of three": cell("reference", "3"),
    "a name for a terminal": cell("label", "char(27) || '[2J'"),
    "a name of two lines": cell("config", "'a' || char(10) || 'b'"),
    "weights elsewhere": cell("weights", "'../../other.safetensors'"),
    "weights from the root": cell("weights", "'/etc/passwd'"),
    "a spec that is broken": cell("spec", "'{'"),
    "a spec that is a list": cell("spec", "'[]'"),
    "a spec that is a number": cell("spec", "'7'"),
    "a spec of nothing": cell("spec", "'{}'"),
    "a spec of other kinds": cell("spec", "json_set(spec, '$.seed', 'zero')"),
    "a spec with NaN": cell("spec", "replace(spec, '\"epochs\": 60', '\"epochs\": NaN')"),
    "a spec nested deeply": cell("spec", f"'{DEEP}'"),
    "a spec nested in itself": cell("spec", "'{\"a\":' || replace(hex(zeroblob(3000)), '00', '{\"a\":') || '1'"),
    "a spec of a number of 5,000 digits": cell(
        "spec", "json_set(spec, '$.seed', 0) || ' ' || '9' || hex(zeroblob(2500))"
    ),
    "a seed of 5,000 digits": cell("spec", "replace(spec, '\"seed\": 0', '\"seed\": 1' || hex(zeroblob(2500)))"),
    "options that are a list": cell("options", "'[1]'"),
    "options of lists": cell("options", "'{\"sigma\": [1, 2]}'"),
    "options nested deeply": cell("options", f"'{DEEP}'"),
    "a choice that is broken": cell("tuned", "'{\"a\"'"),
    "edges that are a text": cell("tuned_edges", "'\"a\"'"),
    "a cut array": "UPDATE per_image SET iw_nats = substr(iw_nats, 1, 13)",
    "a longer array": "UPDATE per_image SET khat = zeroblob(8000)",
    "a text for an array": "UPDATE per_image SET iw_nats = 'many'",
    "a number for an array": "UPDATE per_image SET ess = 7",
    "no array": f"UPDATE per_image SET iw_nats = NULL WHERE cell = {FIRST}",
    "an array of nobody": "UPDATE per_image SET cell = NULL",
    "a text for a bound": everywhere("bounds", "bound_nats", "'high'"),
    "bytes for a bound": everywhere("bounds", "standard_error", "x'00'"),
    "a bound of no cell": everywhere("bounds", "cell", "NULL"),
    "negative samples": everywhere("bounds", "samples", "-samples"),
    "a text for a dimension": everywhere("latents", "dimension", "'first'"),
    "a negative bin": everywhere("calibration", "bin", "-1 - bin"),
    "a text for a share": everywhere("calibration", "share", "'half'"),
    "a text for a course": everywhere("history", "train_nats", "'up'"),
    "a shape of 10^18": everywhere("pictures", "shape", "'[1000000000, 1000000000]'"),
    "a shape of 10^18 for 12 bytes": "UPDATE pictures SET shape = '[1000000000, 1000000000]', data = zeroblob(12)",
    "a shape that is negative": everywhere("pictures", "shape", "'[-1, -8, 8]'"),
    "a shape of nothing": everywhere("pictures", "shape", "'[]'"),
    "a shape of zero": "UPDATE pictures SET shape = '[0, 8, 8]', data = x''",
    "a shape of fractions": everywhere("pictures", "shape", "'[8.0, 8, 8]'"),
    "a shape that is true": everywhere("pictures", "shape", "'[true, 8, 64]'"),
    "a shape that is broken": everywhere("pictures", "shape", "'['"),
    "a shape that is an object": everywhere("pictures", "shape", "'{}'"),
    "a shape that is none": everywhere("pictures", "shape", "NULL"),
    "a shape nested deeply": everywhere("pictures", "shape", f"'{DEEP}'"),
    "a shape of 40 sides": everywhere(
        "pictures", "shape", "'[' || rtrim(replace(hex(zeroblob(40)), '00', '1,'), ',') || ']'"
    ),
    "a channel too many": "UPDATE pictures SET shape = '[1, 1, 1, 5]', data = zeroblob(5)",
    "cut pictures": everywhere("pictures", "data", "substr(data, 1, 7)"),
    "pictures of text": everywhere("pictures", "data", "'pixels'"),
    "no pictures": everywhere("pictures", "data", "NULL"),
    "a kind of picture that is none": everywhere("pictures", "kind", "NULL"),
    "meta that is broken": meta("cells", "'{'"),
    "meta of another kind": meta("cells", "'\"many\"'"),
    "a negative number of cells": meta("cells", "'-3'"),
    "meta that is no text": meta("cells", "x'00'"),
    "meta that is NULL": meta("grid", "NULL"),
    "meta with infinity": meta("about", "'Infinity'"),
    "meta nested deeply": meta("data", f"'{DEEP}'"),
    "data that are a list": meta("data", "'[]'"),
    "data of no facts": meta("data", "'{\"digits\": 7}'"),
    "remarks that are none": meta("data", '\'{"digits": {"remarks": [1]}}\''),
    "blocks of other images": meta("data", '\'{"digits": {"test": 300, "test_blocks": [9, 9]}}\''),
    "blocks that are none": meta("data", '\'{"digits": {"test": 3, "test_blocks": [4, -1]}}\''),
    "dimensions that are none": meta("data", '\'{"digits": {"dims": "many"}}\''),
    "no dimensions": meta("data", '\'{"digits": {"dims": 0}}\''),
    "cards that are a list": meta("cards", "'[]'"),
    "cards of texts": meta("cards", '\'{"gaussian": "a"}\''),
    "plug-ins of texts": meta("plugins", '\'{"gaussian": "a"}\''),
    "networks of texts": meta("networks", '\'{"mlp": "a"}\''),
    "networks that read a number": meta("networks", '\'{"mlp": {"reads": 7}}\''),
    "a network of a nameless name": meta("networks", '\'{"mlp": {"spoken": [1]}}\''),
    "overrides of numbers": meta("overrides", "'[1]'"),
    "a grid that is a number": meta("grid", "'7'"),
    "a name that is a list": meta("name", "'[]'"),
    "a time for the terminal": everywhere("provenance", "json", '\'{"time": "\\u001b[2J"}\''),
    "provenance that is broken": everywhere("provenance", "json", "'{'"),
    "provenance that is a list": everywhere("provenance", "json", "'[1]'"),
    "provenance that is NULL": everywhere("provenance", "json", "NULL"),
    "provenance nested deeply": everywhere("provenance", "json", f"'{DEEP}'"),
    "a device that is null": everywhere("provenance", "json", "'{\"device\": null}'"),
    "a device that is a text": everywhere("provenance", "json", '\'{"device": "fast"}\''),
    "a commit that is a number": everywhere("provenance", "json", '\'{"git": 7, "time": 3}\''),
    "a text for a speed": everywhere("throughput", "train_images_per_s", "'fast'"),
    "a kind that is none": everywhere("throughput", "kind", "NULL"),
    "more of a speed, broken": everywhere("throughput", "extra", "'{'"),
    "more of a speed, a column twice": everywhere("throughput", "extra", "'{\"kind\": 1}'"),
    "more of a speed, a list": everywhere("throughput", "extra", "'[]'"),
    "a text for a rate": everywhere("scaling", "rate", "'fast'"),
    "a negative size": everywhere("scaling", "size", "-1"),
    "a name that turns a line round": cell("label", "'a' || char(8238) || 'b'"),
}
