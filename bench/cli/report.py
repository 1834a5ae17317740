"""`vae-bench report`: writes a run's page and prints its ranking."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import RUN_NAME, WIDEST, Refused, columns, run_file


def verb(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_NAME)],
    out: Annotated[Path | None, typer.Option(help="The page  [default: reports/NAME/index.html].")] = None,
) -> int:
    """Write a run's report and print its ranking.

    The run may be unfinished; the report says so.

    Example:  vae-bench report digits        writes reports/digits/index.html
    """
    from bench import report as pages
    from bench.statistics.boards import boards
    from bench.store import read_run

    path = run_file(run)
    tables = read_run(path)
    if tables.cells.empty:
        raise Refused(f"{path} has no cells yet; vae-bench run {path.stem} computes them.")
    page = out or Path("reports") / path.stem / "index.html"
    if page.exists() and not page.is_file():
        raise Refused(f"{page} is not a file that a page could be written to; give another --out.")
    page.parent.mkdir(parents=True, exist_ok=True)
    ranked = boards(tables)
    pages.build(tables, page, ranked)
    typer.echo(pages.ranking_text(tables, min(columns(), WIDEST), ranked))
    missing = int(tables.meta.get("cells", 0)) - len(tables.cells)
    if missing > 0:
        typer.echo(f"unfinished: {missing} cells are missing; vae-bench run {tables.meta['grid_name']} goes on.")
    typer.echo(str(page))
    return 0
