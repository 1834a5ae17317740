"""What is written of a figure that leaves the page: the name of its file, and one line that says where it is from."""

from __future__ import annotations

import re
from collections.abc import Mapping

from markupsafe import Markup

from bench.report.numbers import tested_on
from bench.report.provenance import git, invocations
from bench.statistics.boards import Board
from bench.store import RunTables

LONGEST = 60  # letters of a part of a file's name


def file_name(tables: RunTables, figure: str, board: Board | None = None) -> str:
    """'digits-landscape-digits-pmf-17': run, figure, and of what; nothing in it depends on what else is drawn."""
    parts = [str(tables.meta.get("name", "run")), figure, board.name if board else ""]
    return "-".join(filter(None, map(_part, parts)))


def _part(text: str) -> str:
    """Letters, digits, dots and strokes of a text; nothing that a file system or a shell takes for something else."""
    return re.sub(r"[^\w.]+", "-", text).strip("-._")[:LONGEST].strip("-._")


def origin(tables: RunTables, title: Markup, board: Board | None = None) -> str:
    """What a figure shows, and of which run, data, commits and days it is."""
    facts = [f"Run {tables.meta.get('name', 'run')}"]
    if board is not None:
        facts.append(f"{board.name}, {tested_on(board)}")
    used = invocations(tables)
    facts.append(_alike("commit", [_commit(entry) for entry in used]) or "commit unknown")
    if days := _alike("", sorted({str(entry.get("time") or "")[:10] for entry in used} - {""})):
        facts.append(days)
    return f"{title.striptags()}. {' · '.join(facts)}"


def _commit(entry: Mapping[str, object]) -> str:
    facts = git(entry)
    commit = str(facts.get("commit") or "")[:12]
    return commit + (" with uncommitted changes" if commit and facts.get("dirty") else "")


def _alike(word: str, values: list[str]) -> str:
    """'commit a', 'commits a, b'; nothing where nothing is known."""
    known = list(dict.fromkeys(value for value in values if value))
    plural = "s" if word and len(known) > 1 else ""
    return f"{word}{plural} {', '.join(known)}".strip() if known else ""
