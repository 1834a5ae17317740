"""`vae-bench estimate`: predicts the time and the memory of a grid on a device."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Overrides, PluginFiles, grid_of, tables_of
from bench.grid.errors import on_stderr


class Format(StrEnum):
    text = "text"
    json = "json"


def verb(
    grid: Annotated[str, typer.Argument(help="A shipped grid (vae-bench list grids), or a path to a .toml file.")],
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="h100, 4090, … (a wrong name lists them), this, cpu, cuda:0, or a .toml with rates."
        ),
    ] = "this",
    set_: Overrides = None,
    given: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="A run whose ends and passes are taken: predicted beside what it recorded."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Keep the rates that were measured, as a profile.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="text: a table; json: all numbers.")] = Format.text,
    plugin: PluginFiles = None,
) -> int:
    """Predict how long a grid takes on a device, and what memory.

    What the planned run does is counted on small shapes, and held against
    the device's rates: of its data sheet, or of this machine, measured in
    seconds (this; cpu, or cuda:0 for its first GPU). When models end, whose
    proposals are fitted and how many samples bounds take is not known
    before: a range. It is a prediction, and no measurement.

    Example:  vae-bench estimate mnist --device h100
    """
    from bench.cli.text.estimate import as_json, estimate_text
    from bench.engine import plugins
    from bench.speed.estimate.estimate import estimate_grid, keep_profile, require_keepable

    if save is not None:
        require_keepable(device, save)  # before minutes of counting
    plugins.add(plugin or [], on_stderr)
    loaded = grid_of(grid, set_)
    tables = None if given is None else tables_of(given)
    told = estimate_grid(loaded, device, on_stderr, tables)
    if save is not None:
        keep_profile(told.prediction.profile, save)
    typer.echo(as_json(told) if output is Format.json else estimate_text(told, given), nl=False)
    return 0
