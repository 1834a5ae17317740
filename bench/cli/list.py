"""`vae-bench list`: the likelihoods, data sets, grids or networks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from bench.cli.options import PluginFiles, columns
from bench.grid.errors import on_stderr


class Shelf(StrEnum):
    likelihoods = "likelihoods"
    datasets = "datasets"
    grids = "grids"
    networks = "networks"


def verb(
    shelf: Annotated[Shelf, typer.Argument(metavar="likelihoods|datasets|grids|networks", help="What to list.")],
    plugin: PluginFiles = None,
) -> int:
    """List the likelihoods, data sets, grids or networks.

    Plug-ins are listed as they are: only run and explain try their laws.

    Example:  vae-bench list likelihoods
    """
    from bench.cli.text import listing
    from bench.engine import plugins

    plugins.add(plugin or [], on_stderr)
    typer.echo(getattr(listing, shelf.value)(columns()), nl=False)
    return 0
