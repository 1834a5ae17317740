"""Plug-ins that nobody would want: imported only when they are named, elsewhere first, and one sentence each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import cli
from bench.engine import plugins
from bench.grid.errors import on_stderr
from bench.grid.families import registry, trial
from bench.grid.read import GridError, parse_grid
from tests.bench.engine import fake_worker
from tests.conftest import TRIANGULAR
from vae_core import likelihoods

pytestmark = pytest.mark.usefixtures("same_catalogue_afterwards")

GOOD = TRIANGULAR.read_text()
HANGING = 0.75  # seconds after which a test gives one up
#: what a module does while it is imported, and what is said of it
BAD = {
    "raises": ("raise OSError('no licence')", r"cannot be imported: OSError: no licence"),
    "divides": ("x = 1 / 0", r"cannot be imported: ZeroDivisionError: division by zero"),
    "is no Python": ("class Tent(:", r"cannot be imported: SyntaxError: "),
    "leaves": ("raise SystemExit(0)", r"cannot be imported: SystemExit: 0"),
    "leaves for good": ("import os; os._exit(0)", r"ended the process that imported it \(exit code 0\)"),
    "leaves with a code": ("import os; os._exit(7)", r"ended the process that imported it \(exit code 7\)"),
    "is killed": ("import os; os.kill(os.getpid(), 9)", r"ended the process that imported it \(SIGKILL\)"),
    "ends in a fault": ("import ctypes; ctypes.string_at(0)", r"ended the process that imported it \(SIGSEGV\)"),
    "hangs": ("import time; time.sleep(1000)", r"was not imported within 0.75 s"),
    "computes for ever": (
        "while True:\n    try:\n        pass\n    except BaseException:\n        pass",
        r"was not imported within 0.75 s",
    ),
    "heeds no signal": (
        "import signal, time\nfor one in (2, 15): signal.signal(one, signal.SIG_IGN)\ntime.sleep(1000)",
        r"was not imported within 0.75 s",
    ),
    "prints for ever": ("while True: print('x' * 99)", r"was not imported within 0.75 s"),
    "has nothing": ("x = 1", r"defines no concrete likelihood"),
    "cannot be found": ("import nowhere_at_all", r"cannot be imported: ModuleNotFoundError: No module named"),
    "is its own error": ("class Odd(BaseException): pass\nraise Odd('x' * 10**6)", r"cannot be imported: Odd: x+…"),
}
GOOD_BUT = {
    "prints": "print('welcome to tents')\n",
    "prints by other means": "import os\nos.write(1, b'welcome to tents\\n')\nos.write(2, b'and more\\n')\n",
    "writes errors": "import sys\nprint('welcome to tents', file=sys.stderr)\n",
    "leaves a process": "import subprocess\nsubprocess.Popen(['sleep', '60'])\nprint('welcome to tents')\n",
    "leaves a thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(3,)).start()\nprint('welcome to tents')\n"
    ),
}


Line = Callable[..., tuple[int, str, str]]


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Line:
    """Carry out a command line in an empty folder: (exit code, stdout, stderr)."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("bench.engine.run.Tasks", lambda: fake_worker.TASKS)
    Path("tents.toml").write_text("[grid]\nfamily = ['gaussian', 'tent']\n")

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.carry_out(list(arguments))
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


def impatient_with(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not end is given up soon; all else has its time, as a person's has: the machine may be busy."""
    if "within" in said:
        monkeypatch.setattr(trial, "SECONDS", HANGING)


def one_sentence(err: str) -> None:
    assert err.startswith("vae-bench: ")
    assert err.count("\n") == 1
    assert len(err) <= 301
    assert err.rstrip("\n").isprintable()


@pytest.mark.parametrize("case", BAD)
def test_an_installed_plug_in_that_misbehaves_is_named_in_a_sentence(
    install: Callable, line: Line, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    text, said = BAD[case]
    impatient_with(said, monkeypatch)
    install("tent", f"{text}\n")
    code, out, err = line("run", "tents.toml")
    assert (code, out) == (2, "")
    one_sentence(err)
    assert re.search(rf"the installed plug-in my_package\.tent of my-package {said}", err), err
    assert "uninstall it" in err or len(err) > 270
    assert not list(Path("results").glob("*"))


@pytest.mark.parametrize("case", ["leaves for good", "ends in a fault", "hangs"])
def test_so_is_a_file(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    text, said = BAD[case]
    impatient_with(said, monkeypatch)
    (tmp_path / "tent.py").write_text(text)
    for verb in (["run", "tents.toml"], ["list", "likelihoods"]):
        code, out, err = line(*verb, "--plugin", "../tent.py")
        assert (code, out) == (2, "")
        one_sentence(err)
        assert re.search(rf"the plug-in tent\.py {said}; mend it", err), err


@pytest.mark.parametrize(
    ("case", "installed"), [*((case, True) for case in GOOD_BUT), ("prints by other means", False)]
)
def test_what_is_printed_is_told_and_left_out(
    install: Callable, line: Line, tmp_path: Path, case: str, installed: bool
) -> None:
    text = GOOD.replace("from __future__ import annotations\n", f"from __future__ import annotations\n{GOOD_BUT[case]}")
    if installed:
        install("tent", text)
    else:
        (tmp_path / "tent.py").write_text(text)
    code, out, err = line("explain", "tent", *(() if installed else ("--plugin", "../tent.py")))
    assert code == 0
    who = "the installed plug-in my_package.tent of my-package" if installed else "the plug-in tent.py"
    assert err == f"{who} prints while it is imported, which is left out (welcome to tents).\n"
    assert "welcome" not in out
    assert out.startswith("tent: ")


@pytest.mark.parametrize("installed", [True, False])
def test_a_run_tells_it_on_the_terminal_and_not_in_its_log(
    install: Callable, line: Line, tmp_path: Path, installed: bool
) -> None:
    text = GOOD.replace(
        "from __future__ import annotations\n", f"from __future__ import annotations\n{GOOD_BUT['prints']}"
    )
    if installed:
        install("tent", text)
    else:
        (tmp_path / "tent.py").write_text(text)
    given = () if installed else ("--plugin", "../tent.py")
    code, out, err = line("run", "tents.toml", "--workers", "1", *given)
    assert code == 0
    who = "the installed plug-in my_package.tent of my-package" if installed else "the plug-in tent.py"
    assert err.count(f"{who} prints while it is imported, which is left out (welcome to tents).\n") == 1
    assert "prints while" not in out
    assert not any("prints while" in path.read_text() for path in Path("results").glob("*.log"))


def test_nothing_is_imported_that_no_grid_names(install: Callable, line: Line, tmp_path: Path) -> None:
    install("tent", f"open({str(tmp_path / 'met')!r}, 'w').close()\nraise SystemExit\n")
    Path("other.toml").write_text("[grid]\nfamily = 'gaussian'\n")
    assert line("run", "other.toml", "--workers", "1")[0] == 0
    code, out, _ = line("list", "likelihoods")
    assert code == 0
    assert "Installed plug-ins, imported when they are named" in " ".join(out.split())
    assert "tent (my-package 1.0)" in " ".join(out.split())
    for arguments in (
        ("explain", "gaussian"),
        ("report", "other"),
        ("list", "grids"),
        ("run", "other.toml", "--set", "x=1"),
    ):
        line(*arguments)
    assert not (tmp_path / "met").exists()
    assert "my_package.tent" not in sys.modules
    assert line("run", "tents.toml")[0] == 2
    assert (tmp_path / "met").exists()


@pytest.mark.slow
def test_the_doctor_lists_them_without_importing_them(install: Callable, line: Line, tmp_path: Path) -> None:
    install("tent", f"open({str(tmp_path / 'met')!r}, 'w').close()\n")
    points = tmp_path / "my_package-1.0.dist-info" / "entry_points.txt"
    points.write_text(f"{points.read_text()}gaussian = my_package.gaussian\nodd = my package:::x\n")
    other = tmp_path / "zelt-2.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: zelt\nVersion: 2.1\n")
    (other / "entry_points.txt").write_text("[vae_likelihood_bench.likelihoods]\nhut = zelt.hut\ngable = zelt.gable\n")
    third = tmp_path / "third-3.dist-info"
    third.mkdir()
    (third / "METADATA").write_text("Metadata-Version: 2.1\nName: third\nVersion: 3\n")
    (third / "entry_points.txt").write_text("[vae_likelihood_bench.likelihoods]\nhut = third.hut\n")
    likelihoods._find_installed.cache_clear()
    code, out, _ = line("doctor")
    said = " ".join(out.split())
    assert code == 0
    assert "tent, of my-package 1.0 (my_package.tent): imported when a grid names it" in said
    assert "gaussian, of my-package 1.0 (my_package.gaussian): never used, for its name is taken." in said
    assert "gable, of zelt 2.1 (zelt.gable): imported when a grid names it" in said
    assert "hut, of zelt 2.1 (zelt.hut): not to be used. third offers that too: uninstall one." in said
    assert not (tmp_path / "met").exists()
    with pytest.raises(GridError, match=r"zelt\.hut of zelt both offer|both offer a family 'hut' \(uninstall one\)"):
        parse_grid("[grid]\nfamily = 'hut'\n", "h", "h.toml")


def test_a_grid_has_the_options_of_what_it_names(install: Callable) -> None:
    """Wherever the family stands, and whichever comes first."""
    text = GOOD.replace(
        "class Triangular(Density):", "class Tent(Density):\n    def __init__(self, poles=2): self.poles = poles\n"
    )
    install("tent", text)
    for grid in (
        "[grid]\npoles = [3, 4]\nfamily = 'tent'\n",
        "[grid]\npoles = [3, 4]\n[[cells]]\nfamily = 'tent'\n",
        "[[cells]]\npoles = [3, 4]\nfamily = ['gaussian', 'tent']\n[[exclude]]\nfamily = 'gaussian'\n",
    ):
        assert [cell.options["poles"] for cell in parse_grid(grid, "t", "t.toml").cells] == [3, 4]
    likelihoods._FAMILIES.pop("tent")
    by_set = parse_grid("[grid]\nfamily = 'gaussian'\n", "t", "t.toml", ["family=tent", "poles=5"])
    assert [cell.options for cell in by_set.cells] == [{"poles": 5}]


def test_the_file_that_is_no_file(line: Line, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "tent.py")
    code, _, err = line("list", "likelihoods", "--plugin", "../tent.py")
    assert code == 2
    assert err == "vae-bench: the plug-in ../tent.py cannot be read: it is no file that has an end.\n"


def test_a_plug_in_is_tried_once_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tent.py").write_text(GOOD)
    tried: list[str] = []
    original = subprocess.Popen

    def counted(*arguments: Any, **how: Any) -> Any:
        tried.append("once")
        return original(*arguments, **how)

    monkeypatch.setattr(subprocess, "Popen", counted)
    for _ in range(2):
        assert plugins.add([tmp_path / "tent.py"], on_stderr) == ["tent"]
    assert tried == ["once"]
    assert "tent" in registry().known()
