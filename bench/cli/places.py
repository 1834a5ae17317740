"""Where what a verb writes goes when nobody says: a name made of a run's, which no other run's page stands under.

A page says in its head of which run file it is: the path from the folder in which it was made, or, of a file elsewhere,
its name and a checksum of its place, for pages travel and tell nobody how a machine's folders are called.
"""

from __future__ import annotations

import hashlib
import html
import os
import re
from pathlib import Path

from bench.grid.errors import brief
from bench.store.guard.header import head

LONGEST = 100  # letters of a folder's name
HEAD = 4096  # bytes of a page in which it says whose it is
OF = re.compile(rb'<meta name="vae-bench-run" content="([^"]*)">')


def safe_name(stem: str) -> str:
    """The name of a run as that of a folder: as it is where it can be, else without what means something to a shell, a
    file system or a browser; never a place elsewhere, as `..` is."""
    cleaned = re.sub(r"[^\w.+=,@ -]+", "-", stem).lstrip("-._ ~")[:LONGEST].rstrip(". ")
    return cleaned or "run"


def said_of(run: Path) -> str:
    """Which run file it is, as its page says: one and the same for the same file, and another for every other."""
    place, here = Path(os.path.realpath(run)), Path(os.path.realpath("."))
    if place.is_relative_to(here):
        return _text(place.relative_to(here))
    return f"{_text(Path(place.name))} ({hashlib.sha256(os.fsencode(place)).hexdigest()[:12]})"


def _text(path: Path) -> str:
    """A path as a page has it, what is no text in it escaped."""
    return path.as_posix().encode("utf-8", "backslashreplace").decode()


def page_of(run: Path) -> tuple[Path, str]:
    """Where the page of a run goes, and a sentence where that is not the place that its name says."""
    whose, name = said_of(run), safe_name(run.stem)
    own = Path("reports") / name / "index.html"
    other = _taken(own, run, whose)
    if not other:
        return own, ""
    digest = hashlib.sha256(whose.encode()).hexdigest()
    places = [own.parent.with_name(f"{name}-{digest[:letters]}") / own.name for letters in (8, 16, 64)]
    place = next((place for place in places if not _taken(place, run, whose)), places[-1])
    return place, f"{other}, so that of {brief(str(run), 100)} goes elsewhere"


def replaces(page: Path, run: Path) -> str:
    """What is written over where a page goes to a place that was asked for: '' for a page of this run, or nothing."""
    if not page.is_file() or not page.stat().st_size:
        return ""
    whose = _of(page)
    if whose in (None, said_of(run)):
        return ""
    return f"{brief(str(page), 100)} was the page of {brief(whose)}, and is now that of {brief(str(run), 100)}"


def _taken(page: Path, run: Path, whose: str) -> str:
    """Why the page of a run cannot stand there, '' where it can: a sentence without its end."""
    alike = [item for item in _beside(page.parent) if (item / page.name).is_file()]
    if alike:
        return f"{brief(str(alike[0] / page.name), 100)} is another page, and differs in capitals alone"
    if not page.is_file():
        return ""
    there = _of(page)
    if there == whose or (there is None and run == Path("results") / f"{run.stem}.sqlite"):
        return ""  # of before pages said whose they are, and of the run that has this name
    return f"{brief(str(page), 100)} is the page of {brief(there) if there else 'another run'}"


def _beside(folder: Path) -> list[Path]:
    """The folders that a file system without capitals would take for this one."""
    try:
        there = list(folder.parent.iterdir())
    except OSError:
        return []
    return sorted(item for item in there if item.name != folder.name and item.name.casefold() == folder.name.casefold())


def _of(page: Path) -> str | None:
    """Of which run file a page says that it is; None where it does not say."""
    found = OF.search(head(page, HEAD) or b"")
    return html.unescape(found[1].decode("utf-8", "replace")) if found else None
