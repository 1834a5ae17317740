"""Grids that nobody would write: shipped ones, damaged by a seeded hand.

python -m tests.bench.grid.mutants 1000 [SEED]     # as many through the command line, and what came of them
"""

from __future__ import annotations

import collections
import contextlib
import io
import json
import random
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench import cli
from bench.engine.run import Summary
from bench.grid import lazy_torch, references
from bench.grid.plan import plan, plan_tuning
from bench.grid.read import Grid, describe, shipped_grids

DEEP = 5_000
VALUES: tuple[str, ...] = (
    "[" * DEEP + "]" * DEEP,
    "{a=" * DEEP + "1" + "}" * DEEP,
    "[[[[[[[[[1]]]]]]]]]",
    "9" * DEEP,
    "-" + "9" * 400,
    "0x" + "f" * DEEP,
    "9223372036854775807",
    "9223372036854775808",
    "1" + "0" * 30 + ".5",
    "[" + ",".join(map(str, range(100_000))) + "]",
    "[" + ",".join(map(str, range(1, 9_000))) + "]",
    '"~nouser/images.npz"',
    '"~"',
    f'"{"x" * 100_000}"',
    f"'{'y' * 1_000_000}'",
    f'"{"z" * 4_000}"',
    '"a\\u0000b.npy"',
    '"\\u001b[2J"',
    '"\\u202e"',
    '"../../../etc/passwd"',
    '"=1+1"',
    "inf",
    "-inf",
    "nan",
    "1e400",
    "5e-324",
    "1.7e308",
    "-0.0",
    "1979-05-27",
    "1979-13-45",
    "07:32:00",
    "1979-05-27T07:32:00Z",
    "true",
    "[true, false]",
    "[]",
    "[[]]",
    "[[], [1]]",
    "{}",
    "{a = 1}",
    "[{}]",
    '""',
    '["", ""]',
    '"shared"',
    "[1, 1]",
    "[1, 1.0, true]",
    "0",
    "-1",
    "1_000_000",
    '"""three\nlines\n"""',
    "'''",
    "=",
    "",
)
KEYS: tuple[str, ...] = (
    "k" * 100_000,
    ".".join(["a"] * DEEP),
    ".".join(["'='"] * DEEP),
    '""',
    '"a\\u0007"',
    "family.family",
    "sigma",
    "seed",
    "hidden",
    "tune",
    "cells",
    "grid",
    "exclude",
    "about",
    "dataset",
    "levels",
    "objective",
    "bound",
    "é",
    "1",
)
ASSIGNED = re.compile(r"^(\s*)([A-Za-z_]+)(\s*=\s*)(.*)$", re.MULTILINE)


def mutants(count: int, seed: int = 0) -> Iterator[bytes]:
    """So many damaged files, the same ones for the same seed."""
    rng = random.Random(seed)
    texts = [path.read_bytes() for _, path in sorted(shipped_grids().items())]
    for _ in range(count):
        held = rng.choice(texts)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            held = rng.choice(WAYS)(held, rng)
        yield held


def _flipped(held: bytes, rng: random.Random) -> bytes:
    """Some bits of some bytes."""
    changed = bytearray(held)
    for _ in range(rng.randint(1, 6)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _doubled(held: bytes, rng: random.Random) -> bytes:
    """A line twice, or a block of lines many times."""
    lines = held.split(b"\n")
    start = rng.randrange(len(lines))
    some = lines[start : start + rng.choice((1, 1, 5))]
    return b"\n".join([*lines[:start], *some * rng.choice((2, 2, 300)), *lines[start:]])


def _without(held: bytes, rng: random.Random) -> bytes:
    """A piece cut out."""
    start = rng.randrange(len(held))
    return held[:start] + held[start + rng.randint(1, 80) :] or b" "


def _assigned(held: bytes, rng: random.Random, key: str | None = None, value: str | None = None) -> bytes:
    text = held.decode("utf-8", "surrogateescape")
    places = list(ASSIGNED.finditer(text))
    if not places:
        return held
    place = rng.choice(places)
    line = f"{place[1]}{place[2] if key is None else key}{place[3]}{place[4] if value is None else value}"
    return f"{text[: place.start()]}{line}{text[place.end() :]}".encode("utf-8", "surrogateescape")


def _valued(held: bytes, rng: random.Random) -> bytes:
    """A value of another kind."""
    return _assigned(held, rng, value=rng.choice(VALUES))


def _renamed(held: bytes, rng: random.Random) -> bytes:
    """A key by another name."""
    return _assigned(held, rng, key=rng.choice(KEYS))


def _added(held: bytes, rng: random.Random) -> bytes:
    """A key more, somewhere."""
    lines = held.split(b"\n")
    lines.insert(rng.randrange(len(lines) + 1), f"{rng.choice(KEYS)} = {rng.choice(VALUES)}".encode())
    return b"\n".join(lines)


def _marked(held: bytes, rng: random.Random) -> bytes:
    """What editors and transfers leave in a file."""
    mark = rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"\r", b"\x1b[2J", b"\xc3\x28"))
    place = rng.choice((0, rng.randrange(len(held))))
    return held[:place] + mark + held[place:]


WAYS = (_flipped, _doubled, _without, _valued, _valued, _valued, _renamed, _renamed, _added, _added, _marked)


@dataclass
class Counted:
    """What came of mutants: how many ended with which exit code, and what was wrong, a line each."""

    codes: collections.Counter[int] = field(default_factory=collections.Counter)
    cells: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)


def through_the_command_line(count: int, seed: int, folder: Path) -> Counted:
    """Each by `vae-bench run`, whose grid is expanded, labelled, cut into bundles, given references and not trained."""
    counted = Counted()

    def run_grid(grid: Grid, *_: object) -> Summary:
        described = describe(grid.cells)
        bundles = plan(grid.cells, "cpu", 2)
        plan_tuning(grid.cells, "cpu", 2)
        references.of_grid(grid.cells)
        assert sum(len(bundle.cells) for bundle in bundles) == len(described) == len(grid.cells)
        json.dumps([cell.spec for cell in grid.cells], allow_nan=False).encode()
        counted.cells += len(grid.cells)
        return Summary(len(grid.cells), 0, 0.0, 0)

    path = folder / "mutant.toml"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.engine.run.run_grid", run_grid)
        for number, held in enumerate(mutants(count, seed)):
            path.write_bytes(held)
            begun, said = time.monotonic(), io.StringIO()
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
                code = cli.carry_out(["run", str(path)])
            counted.slowest = max(counted.slowest, time.monotonic() - begun)
            counted.codes[code] += 1
            lines = said.getvalue().splitlines()
            if code and (code != 2 or len(lines) != 1 or len(lines[0]) > 300):
                counted.wrong.append(f"{number}: {code} {said.getvalue()[:1000]}")
    return counted


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        found = through_the_command_line(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0, Path(made))
    print(*found.wrong, sep="\n")
    print(f"exit codes {dict(found.codes)}, {found.cells:,} cells, the slowest {found.slowest:.2f} s")
    print("torch was executed" if lazy_torch.executed() else "torch was never executed")
