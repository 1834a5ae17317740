"""Run files that no version of the suite wrote: one sentence, wherever a run file is read, and nothing is carried out.

The files are in tests/bench/store/crafted.py, each in two forms: as the present format, where digests speak for what is
stored, and as the one before, where it must speak for itself.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from bench.cli.app import carry_out
from bench.grid.errors import on_stderr
from bench.store import CellResult, RunFile, StoreError, read_run
from bench.store.guard import connection as guarded
from bench.store.guard import values
from bench.store.weights import cells_of
from tests.bench.store import crafted
from tests.bench.store.crafted import READERS, REFUSED, WRONG
from tests.bench.store.test_store import CELLS

Crafted = Callable[[crafted.Craft], Path]
TO_WRITE = partial(RunFile.open, say=on_stderr)


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("valid")
    today = crafted.write(folder / "today.sqlite")
    return {"today": today, "before": crafted.before_digests(Path(shutil.copy(today, folder / "before.sqlite")))}


@pytest.fixture(params=["today", "before"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(valid: dict[str, Path], form: str, tmp_path: Path) -> Crafted:
    def made(what: crafted.Craft) -> Path:
        path = Path(shutil.copy(valid[form], tmp_path / "r.sqlite"))
        crafted.craft(path, what)
        return path

    return made


def sentence(use: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        use(path)
    said = str(caught.value).replace(str(path), "r.sqlite")
    assert "\n" not in said
    assert len(said) <= 300
    assert said.endswith((".", ")."))
    return said


def test_there_are_as_many_as_were_asked_for() -> None:
    assert len(REFUSED) + len(WRONG) >= 100


def test_the_valid_ones_are_valid(make: Crafted, form: str) -> None:
    """So that what is found below is what was done to them."""
    tables = read_run(make(()))
    assert (len(tables.cells), tables.damaged) == (6, ())
    assert tables.pictures


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_none_is_refused_by_every_reader(make: Crafted, name: str) -> None:
    path = make(REFUSED[name])
    content = path.read_bytes()
    for use in (read_run, TO_WRITE):
        sentence(use, path)
    with suppress(StoreError):  # who asks for the cells alone may not meet what is wrong elsewhere
        assert len(cells_of(path)) == 6
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_in_a_part_is_left_out_and_said(make: Crafted, form: str, name: str) -> None:
    path = make(WRONG[name])
    if form == "before":
        said = sentence(read_run, path)
        assert "damaged" in said
        assert sentence(TO_WRITE, path) == said
        return
    tables = read_run(path)
    assert tables.damaged
    for line in tables.damaged:
        assert line.startswith(str(path)[-40:]) or "r.sqlite: the" in line or "r.sqlite: " in line
        assert "\n" not in line
        assert len(line) <= 300
    cells_of(path)
    file = RunFile.open(path, on_stderr)
    assert file.damaged == tables.damaged
    file.close()
    again = read_run(path)
    assert again.damaged == ()
    assert again.cells["cell"].tolist() == tables.cells["cell"].tolist()


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


#: every verb that opens a run file
VERBS = READERS | {
    "throughput": ("throughput", "grid.toml", "--out", "r.sqlite"),
    "run": ("run", "grid.toml", "--out", "r.sqlite"),
}
SOME = ("cells, endless", "a computed column", "a text of 100 MB in cells", "a text that is none", "pages of zeros")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_it_in_a_sentence(
    valid: dict[str, Path], workplace: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    (workplace / "grid.toml").write_text("[grid]\nfamily = 'gaussian'\nepochs = 1\n")
    names = [(name, REFUSED[name], "today") for name in SOME] + [
        (name, WRONG[name], "before") for name in list(WRONG)[::9]
    ]
    for name, what, form in names:
        shutil.copy(valid[form], "r.sqlite")
        crafted.craft(Path("r.sqlite"), what)
        assert carry_out(list(VERBS[verb])) == 2, name
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("vae-bench: r.sqlite ")
        assert err.count("\n") == 1
        assert len(err) <= 312


@pytest.mark.parametrize("name", list(WRONG)[::6])
def test_a_verb_names_what_it_leaves_out_and_goes_on(
    valid: dict[str, Path], workplace: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    shutil.copy(valid["today"], "r.sqlite")
    crafted.craft(Path("r.sqlite"), WRONG[name])
    for verb in ("report", "export", "compare"):
        code = carry_out(list(VERBS[verb]))
        _, err = capsys.readouterr()
        assert "damaged and left out; running the grid again" in err
        assert code in (0, 2) if "no cell that is in order" in err else code == 0


# -- limits ------------------------------------------------------------------------------------------------------------


def test_time_is_limited(valid: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "SECONDS_TO_READ", -1e9)
    monkeypatch.setattr(guarded, "PROGRESS_STEPS", 1)
    assert "takes longer to read" in sentence(read_run, valid["today"])


def test_rows_are_limited(valid: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.store.guard.content.MOST_ROWS", 3)
    assert "more rows than any of a run" in sentence(read_run, valid["today"])


def test_nothing_but_reading_is_allowed(valid: dict[str, Path]) -> None:
    """The schema is looked at first; this is what holds if that should miss something."""
    connection = guarded.connect(valid["today"], create=False, say=on_stderr)
    for statement in (
        "ATTACH 'other.sqlite' AS other",
        "DELETE FROM cells",
        "CREATE TABLE more (a)",
        "SELECT hex(zeroblob(10)) FROM cells",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n",
    ):
        with pytest.raises(StoreError), guarded.only_reading(connection, valid["today"]):
            connection.execute(statement)
    assert connection.execute("PRAGMA trusted_schema").fetchone() == (0,)
    assert connection.execute("PRAGMA cell_size_check").fetchone() == (1,)
    connection.close()


def test_what_is_read_takes_little_memory(make: Crafted) -> None:
    """A view that never ends, a text of 100 MB, a shape of 10^18: in a process of its own, its memory is looked at."""
    for what in (
        REFUSED["cells, endless"],
        REFUSED["a text of 100 MB in cells"],
        WRONG["a shape of 10^18 for 12 bytes"],
    ):
        path = make(what)
        script = (
            "import resource, sys, pathlib\nimport pandas, bench.store as store\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "try:\n    store.read_run(pathlib.Path(sys.argv[1]))\nexcept store.StoreError:\n    pass\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(path)],
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(done.stdout) < 60_000, "kilobytes"


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 50_000 + "]" * 50_000, "nested deeper"),
        ('{"a": ' * 30 + "1" + "}" * 30, "nested deeper"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "-Infinity"),
        ('{"a": 1' + "0" * 5000 + "}", "digits"),
        ("{", "broken"),
        ("[]", "another kind"),
        ("true", "another kind"),
        (None, "no text"),
        (b"{}", "no text"),
    ],
)
def test_json_that_is_none_of_ours(text: object, said: str) -> None:
    with pytest.raises(values.Wrong, match=said):
        values.parse(text)


def test_json_of_ours_may_have_brackets_in_its_words() -> None:
    assert values.parse('{"reason": "' + "[{" * 40 + '"}') == {"reason": "[{" * 40}


def test_long_numbers_may_stand_in_words() -> None:
    """As in a remark in a grid."""
    assert values.parse('{"about": "' + "7" * 200 + '\\""}') == {"about": "7" * 200 + '"'}


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[2Jwiped"])
def test_a_run_may_have_a_strange_name_that_no_terminal_carries_out(tmp_path: Path, name: str) -> None:
    file = RunFile.create(tmp_path / f"{name}.sqlite", {"name": name, "grid_name": name}, on_stderr)
    file.add_provenance({"command": f"vae-bench run {name}"})
    file.close()
    meta = read_run(tmp_path / f"{name}.sqlite").meta
    assert meta["name"] == meta["grid_name"] == name.replace("\n", "?").replace("\x1b", "?")


def test_what_no_reader_takes_is_not_written(tmp_path: Path) -> None:
    """A fault of whoever gives it is found then, and not when its cell is called damaged."""
    file = RunFile.open(crafted.write(tmp_path / "r.sqlite"), on_stderr)
    before = file.statuses()
    for given in ({"iw_samples": -1}, {"currency": "euro"}, {"weights": "../w.safetensors"}, {"active_units": 1.5}):
        with pytest.raises(ValueError, match="no reader of run files takes"):
            file.write([(CELLS[0], CellResult(CELLS[0].cell.id, "done", values=given))], 1)
    assert file.statuses() == before
    file.close()


def test_a_bool_is_no_count() -> None:
    with pytest.raises(values.Wrong):
        values.check_meta("cells", "true")


def test_a_journal_of_the_run_s_own_is_played_back(valid: dict[str, Path], tmp_path: Path) -> None:
    """What a killed run left is undone as ever: only a journal that speaks of other files is refused."""
    path = Path(shutil.copy(valid["today"], tmp_path / "r.sqlite"))
    script = f"""
import os, signal, sqlite3
connection = sqlite3.connect({str(path)!r}, isolation_level=None)
connection.execute("PRAGMA cache_size = 2")
connection.execute("BEGIN")
connection.execute("UPDATE cells SET label = 'half'")
connection.execute("UPDATE per_image SET iw_nats = zeroblob(100000)")
os.kill(os.getpid(), signal.SIGKILL)
"""  # noqa: S608  our own
    subprocess.run([sys.executable, "-c", script], check=False)
    assert path.with_name("r.sqlite-journal").exists()
    tables = read_run(path)
    assert tables.damaged == ()
    assert "half" not in set(tables.cells["label"])


def test_a_file_in_the_other_kind_of_journal_is_read(valid: dict[str, Path], tmp_path: Path) -> None:
    """A browser of databases may have left it so."""
    path = Path(shutil.copy(valid["today"], tmp_path / "r.sqlite"))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    assert len(read_run(path).cells) == 6


def test_a_file_that_was_packed_or_dumped_anew_is_the_same(valid: dict[str, Path], tmp_path: Path) -> None:
    """Digests are of values, not of pages."""
    before = read_run(valid["today"])
    packed = Path(shutil.copy(valid["today"], tmp_path / "packed.sqlite"))
    connection = sqlite3.connect(packed)
    connection.execute("PRAGMA page_size = 1024")
    connection.execute("VACUUM")
    dumped = sqlite3.connect(tmp_path / "dumped.sqlite")
    dumped.executescript("\n".join(connection.iterdump()))
    for name in ("application_id", "user_version"):
        dumped.execute(f"PRAGMA {name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]}")
    dumped.close()
    connection.close()
    for path in (packed, tmp_path / "dumped.sqlite"):
        after = read_run(path)
        assert after.damaged == ()
        assert after.cells.equals(before.cells)
