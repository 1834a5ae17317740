"""`vae-bench throughput`: measures the speed of a grid's kinds of cell."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DeviceOption, Overrides, PluginFiles, RunFileOption, grid_of
from bench.grid.errors import on_stderr


def verb(
    grid: Annotated[str, typer.Argument(help="A shipped grid, or a path to a .toml file.")] = "digits",
    device: DeviceOption = "auto",
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Of torch; 1 is steadier on a busy machine  [default: all].")
    ] = None,
    set_: Overrides = None,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="Whose curves to measure, a part of its name [default: first].")
    ] = None,
    out: RunFileOption = None,
    quick: Annotated[bool, typer.Option("--quick", help="Shorter and at fewer sizes: about a minute.")] = False,
    plugin: PluginFiles = None,
) -> int:
    """Measure the speed of a grid's kinds of cell.

    Each kind in training, alone and in a bundle, and in evaluation; memory;
    and how much that is of what the machine can do. Then curves of one kind:
    over the size of bundles, batches, the latent and L.
    The speeds go into the grid's run file, results stay; the report shows
    them. Have nothing else running.

    Example:  vae-bench throughput digits --quick --threads 1
    """
    from bench.cli.text.survey import survey_text
    from bench.engine import plugins
    from bench.engine.progress import Reporter
    from bench.speed.survey import Options, survey_grid

    plugins.add(plugin or [], on_stderr)
    loaded = grid_of(grid, set_)
    path = out or Path("results") / f"{loaded.name}.sqlite"
    options = Options(device, threads, kind, quick, sys.argv[1:])
    with Reporter(sys.stderr) as reporter:
        survey = survey_grid(loaded, path, options, reporter)
    typer.echo(survey_text(survey, path, grid), nl=False)
    return 1 if survey.failed else 0
