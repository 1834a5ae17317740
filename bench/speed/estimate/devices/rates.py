"""Rates that were measured on this machine, kept in the user's cache so that they are measured once: a profile for each
device, a file that `--device` takes too, under the digest of all that they depend on. One that is damaged, or cannot be
read or written, is none."""

from __future__ import annotations

import os
from pathlib import Path

from bench.engine.provenance import cores
from bench.grid.document import read_text
from bench.grid.errors import UserError
from bench.speed.estimate import kept
from bench.speed.estimate.devices.profile import SUFFIX, Profile, parsed, written

MARK = "# "


def find(kind: str, title: str) -> Profile | None:
    """Of a device of this kind ("cpu", "cuda") and name here; None where nothing is kept that can be read."""
    path = _path(kind, title)
    try:
        head, _, text = read_text(path).partition("\n")
        found = parsed("this", text, path.name) if head == MARK + kept.digest_of(text) else None
    except (UserError, OSError):
        return None
    return found if found and (found.kind, found.title, found.measured) == (kind, title, True) else None


def keep(profile: Profile) -> None:
    """Keeps one that was measured here, where that can be done."""
    text = written(profile)
    kept.put(_path(profile.kind, profile.title), f"{MARK}{kept.digest_of(text)}\n{text}")


def _path(kind: str, title: str) -> Path:
    """The device, how many cores the others of a run may have beside it, the code that measures, torch's version."""
    what = f"{kind} {title} {cores()} {os.uname().machine} {kept.code()}"
    return kept.folder().parent / "rates" / f"{kept.digest_of(what)[:32]}{SUFFIX}"
