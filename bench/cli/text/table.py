"""Columns of text, the last one wrapped."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


def table(rows: Iterable[Sequence[str]], width: int, header: Sequence[str] = ()) -> str:
    """Columns of text, the last one wrapped to the width."""
    rows = list(rows)
    shown = Table(box=None, show_header=bool(header), header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    columns = len(rows[0]) if rows else len(header)
    for number in range(columns):
        title = header[number] if header else ""
        shown.add_column(title, no_wrap=number < columns - 1, overflow="fold")
    for row in rows:
        shown.add_row(*map(Text, row))
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False, no_color=True).print(shown)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"
