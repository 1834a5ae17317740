"""`vae-bench export`: writes a run's tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import RUN_NAME, run_file, say_damaged
from bench.grid.errors import printable


def verb(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_NAME)],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder to write to; it is made.")],
) -> int:
    """Write a run's tables as CSV and Parquet.

    The files: cells.csv, as .parquet cells, bounds, per_image, latents,
    calibration and history (of the trainings), and provenance.json, which
    has a SHA-256 of each: what is changed later is not read as this run.

    Example:  vae-bench export digits --to tables
    """
    from bench.store import read_run
    from bench.store.export import export as write

    tables = read_run(run_file(run))
    say_damaged(tables)
    for path in write(tables, to):
        typer.echo(printable(path))
    return 0
