"""Plug-ins are imported in a process of their own before this one imports them.

They are somebody else's code: it may end the process, hang, end in a fault or print while it is imported, and none of
that is to reach the process that schedules. What came of it is one sentence that names the file or the package.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.grid.errors import brief
from bench.grid.families import registry

SECONDS = 20.0  # in which a plug-in is imported: most take a second, and a slow disk some more
START_SECONDS = 120.0  # until it is begun: for what is the suite's own, on a busy machine
WATCH_SECONDS = 0.02
BEGUN = ".begun"  # the end of the name of a file that is there from then on
KEPT = 400  # bytes of what it prints
CHILD = """
import json, os, sys
sys.path[:] = json.loads(sys.argv[1])
from bench.grid.families import trial
trial.in_child(*sys.argv[2:])
"""


class Outcome(NamedTuple):
    """What came of an import: what was raised, how else it ended, and what is to be said of what was printed; '' each
    where there is nothing."""

    raised: str
    ended: str
    printed: str


def take_in(name: str, say: list[str]) -> None:
    """Makes a family of an installed package known to this process, where one is offered under this name and nobody has
    named it before; that it printed something is said in a sentence. Raises ValueError for one that is broken."""
    catalogue = registry()
    if name in catalogue.known() or name not in catalogue.offers():
        return
    offer = catalogue.offers()[name][0]
    outcome = _imported("installed", name, offer.module, json.dumps(sys.path))
    if outcome.raised or outcome.ended:
        raise ValueError(outcome.raised or offer.broken(outcome.ended))
    with quiet():
        catalogue.get(name)
    if outcome.printed:
        say.append(f"the installed plug-in {offer.of} {outcome.printed}.")


def try_file(path: Path, say: list[str]) -> None:
    """Imports a plug-in's file elsewhere, for what it may do to the process. Raises ValueError for that; what else is
    wrong with it is told by who registers it."""
    if not path.is_file() or path.suffix != ".py":
        return
    outcome = _imported("file", str(path.absolute()), path.read_bytes(), json.dumps(sys.path))
    if outcome.ended:
        raise ValueError(f"the plug-in {brief(path.name)} {outcome.ended}; mend it")
    if outcome.printed:
        say.append(f"the plug-in {brief(path.name)} {outcome.printed}.")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What is printed by whatever means goes nowhere: it was told when the plug-in was tried."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for place in (1, 2):
            os.dup2(nowhere, place)
        with (
            open(os.devnull, "w") as words,  # noqa: PTH123  no file
            contextlib.redirect_stdout(words),
            contextlib.redirect_stderr(words),
        ):
            yield
    finally:
        for place, was in zip((1, 2), kept, strict=True):
            os.dup2(was, place)
            os.close(was)
        os.close(nowhere)


@functools.lru_cache(maxsize=64)
def _imported(kind: str, which: str, _code: object, places: str) -> Outcome:
    """What comes of it in a process of its own, which finds modules in the same places."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer"
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, places, kind, which, str(answer)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # with all that it starts
        )
        assert process.stdout is not None
        try:
            in_time, printed = _watched(process.pid, process.stdout.fileno(), Path(f"{answer}{BEGUN}"))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
        if answer.is_file():
            return Outcome(answer.read_text(encoding="utf-8"), "", _said(printed))
    if not in_time:
        return Outcome("", f"was not imported within {SECONDS:g} s", "")
    code = process.returncode
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return Outcome("", f"ended the process that imported it ({how})", "")


def _watched(pid: int, pipe: int, begun: Path) -> tuple[bool, bytes]:
    """Until the process has ended, or its time: whether it had, and the beginning of what it printed. It is not waited
    for, so that its number stays its own."""
    until, started, printed, is_open = time.monotonic() + START_SECONDS, False, b"", True
    while True:
        if not started and begun.exists():
            until, started = time.monotonic() + SECONDS, True
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        late = time.monotonic() > until
        if is_open and select.select([pipe], [], [], 0 if ended else WATCH_SECONDS)[0]:
            chunk = os.read(pipe, 2**16)  # it must not fill up, whatever is printed
            is_open, printed = bool(chunk), (printed + chunk)[:KEPT]
            if not ended and not late:
                continue
        if ended or late:
            return ended, printed
        if not is_open:
            time.sleep(WATCH_SECONDS)


def _said(printed: bytes) -> str:
    first = printed.decode("utf-8", "replace").strip().partition("\n")[0]
    return f"prints while it is imported, which is left out ({brief(first)})" if first else ""


# -- in the process of its own -----------------------------------------------------------------------------------------


def in_child(kind: str, which: str, answer: str) -> None:
    """Imports one plug-in, writes what is wrong with it, and ends, whatever it has left running."""
    catalogue = registry()
    from vae_core import plugins  # without torch, as the registry is read by now

    Path(f"{answer}{BEGUN}").touch()
    said = ""
    try:
        if kind == "installed":
            catalogue.get(which)
        else:
            plugin, source = plugins.read(Path(which))
            plugins.execute(plugin, source)
    except ValueError as error:  # of a file it is told again by who registers it
        said = str(error) if kind == "installed" else ""
    sys.stdout.flush()
    sys.stderr.flush()
    part = Path(f"{answer}.part")
    part.write_text(said, encoding="utf-8")
    part.replace(answer)
    os._exit(0)
