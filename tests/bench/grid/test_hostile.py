"""Grids that no person would write: one sentence that a person can read, exit code 2, and no waiting."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import cli
from bench.grid import document
from bench.grid.errors import brief, quoted, some
from bench.grid.plan import plan
from bench.grid.read import GridError, describe, load_grid, parse_grid
from bench.grid.settings import axis
from tests.bench.grid.mutants import mutants, through_the_command_line
from tests.calls import calls_of

ROOT = Path(__file__).parents[3]
GRID = "[grid]\nfamily = 'gaussian'\n"
MOST = 300  # letters of what a person reads
#: of functions until it is there, at most: in any case, and for each letter; a loaded machine takes any time
CALLS = 100_000, 25


def listed(count: int, start: int = 0) -> str:
    return f"[{','.join(map(str, range(start, start + count)))}]"


#: a value, and what is said of it; each of them is tried in a file and by --set
VALUES = {
    "a list nested 5,000 deep": ("sigma", "[" * 5000 + "]" * 5000, r"is nested 5,000 deep, and a grid has 10 levels"),
    "one that is not closed": ("sigma", "[" * 5000, r"is nested 5,000 deep"),
    "tables nested 5,000 deep": ("sigma", "{a=" * 5000 + "1" + "}" * 5000, r"is nested 5,000 deep"),
    "a little too deep": ("sigma", "[" * 11 + "]" * 11, r"is nested 11 deep"),
    "5,000 digits": ("seed", "9" * 5000, r"has a number of 5,000 digits; whole numbers go up to 9,223,372,036,854"),
    "5,000 digits with strokes": ("seed", "9" + "_9" * 4999, r"has a number of 9,999 digits"),
    "400 digits": ("epochs", "9" * 400, r"has a number beyond 9,223,372,036,854,775,807"),
    "5,000 digits of sixteen": ("epochs", "0x" + "f" * 5000, r"has a number beyond 9,223,372,036,854,775,807"),
    "a bit more than TOML has": ("seed", str(2**63), r"has a number beyond"),
    "a float of 5,000 digits": ("sigma", "9" * 5000 + ".0", "sigma = inf, but sigma takes a finite number"),
    "1e400": ("learning_rate", "1e400", "learning_rate = inf, but learning_rate takes a number > 0"),
    "less than infinite": ("tolerance", "-inf", "tolerance = -inf, but tolerance takes a number of bits/dim >= 0"),
    "no number": ("averaging", "nan", "averaging = nan, but averaging takes a number from 0"),
    "10^6 seeds": ("seed", listed(10**6), "has a list of 1,000,000 values, and one grid has 10,000 cells at most"),
    "10^5 seeds": ("seed", listed(10**5), "lists 100,000 values, and one grid has 10,000 cells at most"),
    "one seed too many": ("seed", listed(10_001), "lists 10,001 values, and one grid has 10,000 cells at most"),
    "10^5 times one seed": ("seed", f"[{'7,' * 10**5}]", "lists 100,000 values"),
    "10^5 options": ("sigma", f"[{','.join(f'{i}.5' for i in range(10**5))}]", "lists 100,000 values"),
    "a layer too many": ("hidden", listed(101, 1), "hidden has 101 numbers in one value; 100 is the most"),
    "too many L": ("eval_samples", listed(5000, 1), "eval_samples has 5,000 numbers in one value; 100 is the most"),
    "1 MB of text": ("dataset", f"'{'x' * 10**6}'", "holds more than 1,000,000 letters, which is no grid"),
    "100 KB of text": ("dataset", f"'{'x' * 10**5}'", r"has 100,000 letters \('x+…x+'\), and 4,096 is the most"),
    "100 KB for a word": ("bound", f"'{'x' * 4000}'", 'bound = "x+…x+", but bound takes one of elbo, iwae'),
    "a family of 4 KB": ("family", f"'{'x' * 4000}'", "unknown family 'x+…x+'"),
    "an option of 4 KB": ("sigma", f"'{'x' * 4000}'", "sigma='x+…x+' is no scale"),
    "NUL": ("dataset", '"a\\u0000b.npy"', r"'a\\x00b.npy' has a control character, which no key and no value has"),
    "escape": ("dataset", '"\\u001b[2J"', r"'\\x1b\[2J' has a control character"),
    "what turns a line round": ("family", '"\\u202eabc"', r"'\\u202eabc' has a control character"),
    "what turns it round alone": ("dataset", '"\\u2067abc.npz"', r"'\\u2067abc.npz' has a control character"),
    "nobody's home": ("dataset", '"~nouser/a.npz"', 'dataset = "~nouser/a.npz", but there is no home of nouser; give'),
    "nobody's images": ("dataset", '"~nouser"', 'dataset = "~nouser", but there is no home of nouser'),
    "a date": ("seed", "1979-05-27", "seed = 1979-05-27, but seed takes a whole number"),
    "a time as an option": ("sigma", "07:32:00", "sigma = 07:32:00, but an option takes a number, a word or a list"),
    "dates": ("hidden", "[1979-05-27]", "hidden = .*1979.*, but hidden takes a list of layer widths"),
    "a truth for a number": ("epochs", "true", "epochs = true, but epochs takes a whole number"),
    "a truth for a width": ("hidden", "[true]", r"hidden = \[true\], but hidden takes a list"),
    "a truth for a scale": ("sigma", "true", "sigma=True is no scale"),
    "a truth for a rate": ("learning_rate", "false", "learning_rate = false, but learning_rate takes a number"),
    "nothing": ("seed", "[]", "seed is an empty list; give at least one value, or leave the key out"),
    "no L": ("eval_samples", "[]", r"eval_samples = \[\], but eval_samples takes a list"),
    "a table": ("latent", "{a = 1}", r'latent = {"a": 1}, but latent takes a whole number'),
    "no word": ("dataset", '""', 'dataset = "", but dataset takes'),
}
#: whole files
FILES = {
    "a key of 100 KB": (GRID + f"{'k' * 10**5} = 1", r"a key has 100,000 letters \('k+…k+'\)"),
    "a section of 100 KB": (f"[{'k' * 10**5}]", r"a key has 100,000 letters \('k+…k+'\)"),
    "a key of 4 KB": (GRID + f"{'k' * 4000} = 1", r"unknown key 'k+…k+' \(allowed: dataset, levels"),
    "a section of 4 KB": (f"[{'k' * 4000}]", r"unknown section 'k+…k+' \(allowed: about"),
    "a key of 5,000 parts": (".".join(["a"] * 5000) + " = 1", "has a key of 5,000 parts, and a grid has 10 levels"),
    "a key of 50,000 quoted parts": (" . ".join(["'='"] * 50_000) + " = 1", "has a key of 50,000 parts"),
    "a section of 5,000 parts": (f"[{'.'.join(['a'] * 5000)}]", "has a key of 5,000 parts"),
    "a key with a bell": (GRID + '"a\\u0007" = 1', r"'a\\x07' has a control character"),
    "a bell": (GRID + "sigma = '\a'", "is not valid TOML"),
    "10^12 cells": (
        GRID + "".join(f"{key} = {listed(1000, 1)}\n" for key in ("seed", "latent", "batch_size", "train_samples")),
        r"asks for 1,000,000,000,000 cells, and one grid has 10,000 at most; list fewer values \(seed has 1,000\)",
    ),
    "10^40 cells": (
        GRID
        + "".join(
            f"{key} = {listed(9999, 2)}\n"
            for key in ("seed", "latent", "batch_size", "train_samples", "epochs", "test_images", "train_images")
        )
        + "".join(f"{key} = {listed(9999, 2)}\n" for key in ("levels", "block", "quantise")),
        r"asks for more than 10\^15 cells",
    ),
    "a cell too many": (GRID + f"seed = {listed(5001)}\nlatent = [1, 2]", "asks for 10,002 cells"),
    "cells of many readings": (f"[grid]\nfamily = 'mse_sum'\nseed = {listed(1200)}", "asks for 10,800 cells"),
    "cells of many blocks": (
        "".join(f"[[cells]]\nfamily = 'gaussian'\nsigma = {i + 1}\nseed = {listed(101)}\n" for i in range(100)),
        "asks for 10,100 cells",
    ),
    "too many blocks": ("[[cells]]\nfamily = 'gaussian'\n" * 1001, r"has 1,001 tables \[\[cells\]\], and 1,000 is"),
    "too many exclusions": (GRID + "[[exclude]]\nseed = 1\n" * 1001, r"has 1,001 tables \[\[exclude\]\]"),
    "10^9 candidates": (
        GRID + "[tune]\n" + "".join(f"{k} = {listed(1000, 1)}\n" for k in ("latent", "batch_size", "train_samples")),
        "asks for 1,000,000,000 candidates of each cell, and one grid has 1,000 at most",
    ),
    "too many networks": (
        GRID + f"latent = {listed(200, 1)}\n[tune]\nhidden = [{','.join(f'[{i}]' for i in range(1, 101))}]\n",
        "asks for 20,000 networks",
    ),
    "half a text": ("a = '''" + "'" * 10**5, "is not valid TOML"),
    "90,000 sections": (
        "".join(f"[k{i}]\n" for i in range(90_000)),
        "has 90,000 sections, and a grid has 2,002 at most",
    ),
    "40,000 tables": (GRID + " [[cells]]\r\nseed = 1\n" * 40_000, "has 40,001 sections, and a grid has 2,002 at most"),
    "2,000 sections": ("".join(f"[k{i}]\n" for i in range(2000)), "unknown section 'k0'"),
    "a text of quotes that ends nowhere": (GRID + 'dataset = "' + r"\"" * 50_000, "is not valid TOML"),
    "quotes in quotes": (r"\'''" + r"\'\"" * 25_000, "is not valid TOML"),
    "90,000 keys": (GRID + "".join(f"k{i} = 1\n" for i in range(90_000)), "unknown key 'k0'"),
}
#: files that are no text
BYTES = {
    "no UTF-8": (
        b"[grid]\nfamily = 'g\xc3\x28'\n",
        "cannot be read .byte 19 is no UTF-8: invalid continuation byte.; save",
    ),
    "UTF-16": (GRID.encode("utf-16"), "cannot be read .byte 1 is no UTF-8"),
    "zeros": (bytes(10**5), "is not valid TOML"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "cannot be read .byte 1 is no UTF-8"),
    "empty": (b"", "the key 'family' is missing"),
}


Said = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    """Carries out one command line, which must be refused: gives the sentence."""
    monkeypatch.chdir(tmp_path)
    before = sorted(Path().rglob("*"))

    cli.carry_out(["run", ""])  # what is done once
    with pytest.raises(GridError):
        parse_grid("[grid]\nfamily = 'nobody'\n", "t", "t.toml")
    capfd.readouterr()

    def call(*arguments: str) -> str:
        made, code = calls_of(lambda: cli.carry_out(list(arguments)))
        assert code == 2
        letters = sum(map(len, arguments)) + sum(path.stat().st_size for path in Path().glob("hostile.toml"))
        assert made < CALLS[0] + CALLS[1] * letters
        out, err = capfd.readouterr()
        assert out == ""
        assert err.startswith("vae-bench: ")
        assert err.count("\n") == 1
        assert err.endswith((".\n", ")\n", "?\n"))
        assert len(err) <= MOST + 1
        assert err.rstrip("\n").isprintable()
        assert not re.search(r"[.!?] [A-Z]", err)
        assert not any(path.suffix == ".sqlite" for path in set(Path().rglob("*")) - set(before))
        return err

    return call


def written(content: str | bytes, name: str = "hostile.toml") -> str:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


@pytest.mark.parametrize("case", VALUES)
@pytest.mark.parametrize("by_set", [False, True], ids=["in the file", "by --set"])
def test_a_hostile_value_gets_a_sentence(refused: Said, case: str, by_set: bool) -> None:
    key, value, said = VALUES[case]
    text = re.sub(rf"{key} = .*\n", "", GRID) if key == "family" and not by_set else GRID
    path = written(text if by_set else f"{text}{key} = {value}\n")
    assert re.search(said, refused("run", path, *(("--set", f"{key}={value}") if by_set else ())))


@pytest.mark.parametrize("case", FILES)
def test_a_hostile_file_gets_a_sentence(refused: Said, case: str) -> None:
    text, said = FILES[case]
    assert re.search(said, refused("run", written(text)))


@pytest.mark.parametrize("case", BYTES)
def test_what_is_no_text_gets_a_sentence(refused: Said, case: str) -> None:
    content, said = BYTES[case]
    assert re.search(said, refused("run", written(content)))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("=", "write it as KEY=VALUE"),
        (f"{'k' * 10**5}=1", "unknown key 'k+…k+'"),
        (f"{'k' * 10**5}", r"--set k+…k+: write it as KEY=VALUE"),
        ("seed=1\nepochs=2", "give one key at a time"),
        ("dataset=a\x1bcb", r"'a\\x1bcb' has a control character"),
        ("dataset=a\udcff", r"'a\\udcff' has a control character"),
        ("tune.=[1, 2]", "unknown key ''"),
        ("tune.latent=[" + "[" * 99, "is nested 100 deep"),
        (f"family={'x' * 4000}", "unknown family 'x+…x+'"),
    ],
)
def test_a_hostile_override_gets_a_sentence(refused: Said, override: str, said: str) -> None:
    assert re.search(said, refused("run", written(GRID), "--set", override))


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["a folder", "a pipe"])
def test_what_is_no_file_is_not_opened(refused: Said, make: Callable[[Path], None]) -> None:
    make(Path("odd.toml"))
    said = {Path.mkdir: "odd.toml is a folder, and no grid", os.mkfifo: "odd.toml is no file that has an end"}[make]
    assert said in refused("run", "odd.toml")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"{'x' * 10**5}.toml", "there is no grid file x+….*toml; the shipped grids are "),
        ("x" * 10**5, "unknown grid 'x+…x+' .vae-bench list grids."),
        ("a\0b.toml", r"there is no grid file a\\x00b.toml"),
        ("a\0b", r"unknown grid 'a\\x00b'"),
        ("~nouser/a.toml", "there is no grid file ~nouser/a.toml"),
        ("loop.toml", "there is no grid file loop.toml"),
        ("", "unknown grid ''"),
    ],
)
def test_a_hostile_path_gets_a_sentence(refused: Said, name: str, said: str) -> None:
    Path("loop.toml").symlink_to("loop.toml")
    assert re.search(said, refused("run", name))


@pytest.mark.parametrize("stem", ["a\nb", "a\x1b[2J", os.fsdecode(b"a\xff")])
def test_a_name_that_no_run_can_have_is_refused(refused: Said, stem: str) -> None:
    assert "has no control characters; rename it" in refused("run", written(GRID, f"{stem}.toml"))


def test_what_is_within_the_limits_is_taken() -> None:
    text = f"{GRID}# {'[' * 99} {'.'.join('a' * 99)}\nsigma = 1.5\n"
    assert len(parse_grid(text, "t", "t.toml").cells) == 1
    held = 'about = """' + "[.a.b.c.d.e.f.g.h.i.j.k.l.m.\n" * 20 + '""""\n' + GRID
    assert parse_grid(held, "t", "t.toml").about.endswith('"')
    (cell,) = parse_grid(GRID + f"seed = {2**31 - 1}\nhidden = {listed(100, 1)}\n", "t", "t.toml").cells
    assert len(cell.hidden) == 100


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "g.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GRID.encode())
    assert load_grid(path).text == GRID


def test_a_grid_of_the_most_cells_is_expanded_in_linear_time() -> None:
    """Twice the cells take twice the calls, and not four times as many: counted, for seconds prove nothing."""

    def calls(count: int) -> int:
        text = f"{GRID}sigma = [0.1, 0.2]\nseed = {listed(count // 2)}\n[[exclude]]\nseed = 3\nsigma = 0.1\n"

        def carry_out() -> int:
            cells = parse_grid(text, "t", "t.toml").cells
            describe(cells)
            plan(cells, "cpu", 2)
            return len(cells)

        made, cells = calls_of(carry_out)
        assert cells == count - 1
        return made

    calls(100)  # what is done once
    small, large = calls(400), calls(1600)
    assert large < 5 * small


def test_sections_are_counted_before_they_are_parsed() -> None:
    """Parsing them takes 19 calls each."""

    def refuse(count: int) -> None:
        with pytest.raises(GridError, match=f"has {count:,} sections"):
            document.loads("".join(f"[k{i}]\n" for i in range(count)), "t.toml")

    assert calls_of(lambda: refuse(10_000))[0] < 5 * 10_000
    held = "seed = [\n[1],\n [2],\n]\n[a] # [b]\n \t[[c]]\n'x' = '''\n[d]\n'''\n\"y\" = {a = 1}\n"
    assert document._outline(held) == (2, 0, 2)


#: what a file is made of, over and over
LETTERS = (
    *("[", '"', "'", ".", r"\"", r"\'", "\\", '"""', "'''", "#", "\n", "= ", "{", "[1,"),
    *('""\\', "[a]\n", '""\n', '"\\\n', "''\n", "\\\"'", '"a', "9_"),
)


@pytest.mark.parametrize("begun", ["", 'a = "', "a = '''", 'a = """'])
def test_a_text_is_looked_through_once(begun: str) -> None:
    """Eight times the text takes about eight times as long, and not 64 times: to what a regular expression looks at no
    call is made. Both are timed in turn, the best of a few tries; where a machine was held up, of more."""

    def seconds(text: str) -> float:
        start = time.thread_time()
        document._outline(text)
        document._too_long(text, "t.toml")
        return time.thread_time() - start

    for letters in LETTERS:
        texts = [begun + letters * (count // len(letters)) for count in (3_000, 24_000)]
        tries: list[list[float]] = []
        for more in (3, 7):
            tries += [[seconds(text) for text in texts] for _ in range(more)]
            small, large = map(min, zip(*tries, strict=True))
            if large < 25 * small:
                break
        assert large < 25 * small, letters


def test_what_stands_twice_is_found_by_looking_once() -> None:
    """Comparing each of 5,000 values with all before it would be 12 million comparisons."""
    compared = 0

    class Counting(int):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return int(self) == other

        __hash__ = int.__hash__

    assert len(axis("t.toml, [grid]", "components", [Counting(i) for i in range(5000)])) == 5000
    assert compared < 50_000
    with pytest.raises(GridError, match=r"components lists 1 twice; remove one"):
        axis("t.toml, [grid]", "components", [Counting(i) for i in (1, 2, 1)])


def test_mutated_grids_are_expanded_or_refused_in_a_sentence(tmp_path: Path) -> None:
    found = through_the_command_line(150, seed=7, folder=tmp_path)
    assert found.wrong == []
    assert set(found.codes) == {0, 2}, "neither kind is missing, so that both were tried"
    assert found.cells > 100


def test_a_sample_of_them_in_processes_of_their_own(tmp_path: Path) -> None:
    """As a person meets them: no traceback comes from elsewhere than the function that tests call."""
    path = tmp_path / "mutant.toml"
    tried = 0
    for held in mutants(12, seed=11):
        path.write_bytes(held)
        try:
            load_grid(path)
        except GridError:
            pass
        else:
            continue  # it would be trained
        done = subprocess.run(
            [sys.executable, "-m", "bench.cli", "run", str(path)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith("vae-bench: ")
        assert len(done.stderr) <= MOST + 1
        tried += 1
        if tried == 3:
            break
    assert tried == 3


def test_texts_are_cut_in_their_middle() -> None:
    assert brief("short") == "short"
    assert brief("a" * 50 + "b" * 50, 20) == "a" * 13 + "…" + "b" * 6
    assert len(brief("\x1b" * 1000, 60)) == 60
    assert brief("a\nb") == "a\\nb"
    assert quoted("x") == "'x'"
    assert some(["a", "b"]) == "a, b"
    assert some([f"word{i}" for i in range(100)], 20) == "word0, word1, word2 and 97 more"
    assert some([]) == "none"
    assert len(some(["x" * 500, "y"])) < 120


@pytest.mark.parametrize("text", ["plain", 'quotes " and \\', "tab\t and \0", "né 😀", "\x7f"])
def test_a_text_is_written_as_toml_has_it(text: str) -> None:
    import tomllib

    assert tomllib.loads(f"a = {document.text_of(text)}")["a"] == text
