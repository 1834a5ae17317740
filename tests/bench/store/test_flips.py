"""One bit of a run file is turned, anywhere: either nothing that is read changes, or it is said.

python -m tests.bench.store.test_flips 1000 [SEED]    # as many as that, and how they ended
"""

from __future__ import annotations

import collections
import random
import shutil
import sys
import tempfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.grid.errors import on_stderr
from bench.store import RunFile, RunTables, StoreError, database, read_run
from tests.bench.store import crafted

IN_THE_SUITE, IN_FULL = 120, 300


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crafted.write(tmp_path_factory.mktemp("flips") / "whole.sqlite")


def flip(path: Path, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def without(tables: RunTables, parts: set[tuple[str, str]]) -> RunTables:
    """The tables as they would be if these parts had never been written."""
    gone = {kind: {name for what, name in parts if what == kind} for kind in ("cell", "search", "speed of the kind")}
    facts = {name for what, name in parts if what == "fact"}
    ids = {name for what, name in parts if what == "invocation"}

    def kept(frame: pd.DataFrame) -> pd.DataFrame:
        for column, kind in (("cell", "cell"), ("search", "search"), ("kind", "speed of the kind")):
            if column in frame.columns and (kind != "speed of the kind" or "status" not in frame.columns):
                frame = frame[~frame[column].isin(gone[kind])] if gone[kind] else frame
        return frame.reset_index(drop=True)

    frames = {
        item.name: kept(value)
        for item in fields(tables)
        if isinstance(value := getattr(tables, item.name), pd.DataFrame) and item.name != "scaling"
    }
    if ("curves of speed", "") in parts:
        frames["scaling"] = tables.scaling.iloc[:0]
    return replace(
        tables,
        **frames,
        pictures={key: value for key, value in tables.pictures.items() if key[0] not in gone["cell"]},
        meta={key: value for key, value in tables.meta.items() if key not in facts},
        provenance=[entry for entry in tables.provenance if str(entry["id"]) not in ids],
    )


def differing(one: RunTables, other: RunTables) -> str:
    """The first table in which two runs differ; '' where they are the same."""
    for item in fields(one):
        a, b = getattr(one, item.name), getattr(other, item.name)
        if isinstance(a, pd.DataFrame):
            try:
                pd.testing.assert_frame_equal(a, b, check_dtype=bool(len(a)))
            except AssertionError as error:
                return f"{item.name}: {error}"
        elif item.name == "pictures":
            if a.keys() != b.keys() or not all(np.array_equal(a[key], b[key]) for key in a):
                return item.name
        elif item.name != "damaged" and a != b:
            return item.name
    return ""


def ends_as(path: Path, before: RunTables) -> str:
    """How a file with a turned bit is read: "harmless", "named", "refused", or what is wrong with it."""
    try:
        with database.open_to_read(path) as opened:
            parts, sentences = set(opened.damaged), opened.sentences
        after = read_run(path)
    except StoreError as error:
        said = str(error).replace(str(path), "r.sqlite")
        return "refused" if "\n" not in said and len(said) <= 300 else f"no sentence: {error}"
    if changed := differing(without(before, parts), after):
        return f"wrong without a word: {changed}" if not parts else f"more than {parts} is wrong: {changed}"
    if not parts:
        return "harmless"
    if any("\n" in sentence or len(sentence) > 300 for sentence in sentences):
        return f"no sentence: {sentences}"
    return "named"


def many(whole: Path, folder: Path, count: int, seed: int) -> collections.Counter[str]:
    """How so many files end, each with another bit turned."""
    before, size, chance = read_run(whole), whole.stat().st_size, random.Random(seed)
    path, ends = folder / "flipped.sqlite", collections.Counter[str]()
    for _ in range(count):
        bit = chance.randrange(8 * size)
        shutil.copy(whole, path)
        flip(path, bit)
        end = ends_as(path, before)
        ends[end if end in ("harmless", "named", "refused") else f"bit {bit}: {end}"] += 1
    return ends


@pytest.mark.parametrize("count", [IN_THE_SUITE, pytest.param(IN_FULL, marks=pytest.mark.slow)])
def test_no_turned_bit_changes_a_table_without_a_word(whole: Path, tmp_path: Path, count: int) -> None:
    ends = many(whole, tmp_path, count, seed=count)
    assert set(ends) <= {"harmless", "named", "refused"}
    assert ends["named"] > count / 10, "of most bits it should be one cell that is lost"


def test_what_the_digests_are_for(whole: Path, tmp_path: Path) -> None:
    """Without them bits do change tables without a word: the test above can fail."""
    old = crafted.before_digests(Path(shutil.copy(whole, tmp_path / "old.sqlite")))
    ends = many(old, tmp_path, 60, seed=1)
    assert any("without a word" in end for end in ends)


def test_what_was_named_is_computed_again_and_the_rest_kept(whole: Path, tmp_path: Path) -> None:
    """Opened to be gone on with, the file has lost what is damaged, and nothing else; then nothing is damaged."""
    before, chance, mended = read_run(whole), random.Random(3), 0
    for number in range(60):
        path = Path(shutil.copy(whole, tmp_path / f"{number}.sqlite"))
        flip(path, chance.randrange(8 * path.stat().st_size))
        try:
            with database.open_to_read(path) as opened:
                parts = set(opened.damaged)
            file = RunFile.open(path, on_stderr)
        except StoreError:
            continue
        assert bool(file.damaged) == bool(parts)
        lost = {name for what, name in parts if what == "cell"}
        assert not lost & (file.statuses().keys() | file.statuses(reference=True).keys())
        file.close()
        after = read_run(path)
        assert after.damaged == ()
        kept = without(before, parts)
        assert differing(replace(kept, provenance=[]), replace(after, provenance=[])) == ""
        mended += bool(parts)
    assert mended > 5


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as given:
        made = crafted.write(Path(given) / "whole.sqlite")
        count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
        print(f"{made.stat().st_size:,} bytes")
        for end, often in many(made, Path(given), count, seed).most_common():
            print(f"{often:6} {end}")
