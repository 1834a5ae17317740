"""What `vae-bench list` shows, as text of a given width."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.grid import lazy_torch
from bench.grid.families import registry
from bench.grid.read import GridError, load_grid, shipped_grids


def likelihoods(width: int) -> str:
    """Every family: name, view, whether σ is an axis, and what it assumes."""
    known = registry()
    families = [(name, known.get(name)) for name in known.names()]
    rows = [(name, family.view, "σ" if family.takes_sigma else "", family.card.summary) for name, family in families]
    return table(rows, width, header=("family", "view", "", "what it assumes"))


def datasets(width: int) -> str:
    """Every data set known by name, and what it is."""
    lazy_torch.install()
    from vae_core import data

    rows = [(name, data.describe(name)) for name in data.names()]
    return (
        table(rows, width, header=("data set", "")) + "A path to an .npz, an .npy or a folder of images is one too.\n"
    )


def grids(width: int) -> str:
    """Every grid that comes with the suite, its number of cells, and what it is for."""
    rows = []
    for name, path in shipped_grids().items():
        try:
            grid = load_grid(path)
            rows.append((name, str(len(grid.cells)), grid.about))
        except GridError as error:
            rows.append((name, "", str(error)))
    return table(rows, width, header=("grid", "cells", ""))


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
