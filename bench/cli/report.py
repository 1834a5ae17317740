"""`vae-bench report`: writes a run's page, its figures as files, or a summary in Markdown; prints its ranking."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import RUN_NAME, WIDEST, Refused, again, columns, no_cell, run_file, say_damaged
from bench.grid.errors import printable


class Format(StrEnum):
    html = "html"
    md = "md"


NAMES = {Format.html: "page", Format.md: "summary"}


def verb(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_NAME)],
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write  [default: reports/NAME/index.html; md: printed]."),
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="html: the page; md: a summary in Markdown, for a pull request.")
    ] = Format.html,
    figures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write every figure there too, as SVG, PNG and PDF."),
    ] = None,
) -> int:
    """Write a run's report and print its ranking; or its figures for a paper, or a summary in Markdown.

    The run may be unfinished; the report says so. The page of another run
    file is never written over, unless --out names it, and then that is said.

    Example:  vae-bench report digits        writes reports/digits/index.html
              vae-bench report digits --figures figures
              vae-bench report digits --format md --out summary.md
    """
    from bench import report as pages
    from bench.cli import places
    from bench.statistics.boards import boards
    from bench.store import read_run
    from bench.store.guard import places as guard
    from bench.store.guard.errors import shown

    path = run_file(run)
    tables = read_run(path)
    say_damaged(tables)
    if tables.cells.empty:
        raise Refused(f"{shown(path)} has {no_cell(tables)}; {again(tables, path)} computes them.")
    if figures is not None:
        guard.folder(figures, "--figures")
    target, moved = places.page_of(path) if out is None and form is Format.html else (out, "")
    if target is not None:
        if out is None:
            guard.itself(target)
        else:
            is_ours = guard.is_page if form is Format.html else guard.is_summary
            guard.written_over(target, "--out", is_ours, NAMES[form])
        if form is Format.html:
            moved = moved or places.replaces(target, path)
        if moved:
            typer.echo(f"{moved}.", err=True)
        target.parent.mkdir(parents=True, exist_ok=True)
    if form is Format.html:
        assert target is not None
        ranked = boards(tables)
        pages.build(tables, target, ranked, places.said_of(path))
        typer.echo(pages.ranking_text(tables, min(columns(), WIDEST), ranked))
    elif target is None:
        typer.echo(pages.markdown(tables), nl=False)
    else:
        target.write_text(pages.markdown(tables), encoding="utf-8")
    missing = int(tables.meta.get("cells", 0)) - len(tables.cells)
    if missing > 0:
        said = f"unfinished: {missing} cells are missing; {again(tables, path)} computes them."
        typer.echo(said, err=target is None)
    if target is not None:
        typer.echo(printable(target))
    if figures is not None:
        written = pages.write_figures(tables, figures)
        typer.echo(f"{printable(figures)}: {len(written)} files of figures", err=target is None)
    return 0
