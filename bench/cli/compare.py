"""`vae-bench compare`: what changed from one run to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import WIDEST, Refused, columns, tables_of
from bench.grid.errors import printable


def verb(
    a: Annotated[
        str, typer.Argument(metavar="A", help="The run before: a name, a file, or a folder of exported tables.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The run after, likewise.")],
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Pair cells that differ in this key of the grid; may be repeated."),
    ] = None,
    threshold: Annotated[
        float, typer.Option(metavar="BITS", help="Loss in bits/dim that fails; half of a last digit quoted.")
    ] = 0.005,
    threshold_nats: Annotated[
        float, typer.Option(metavar="NATS", help="Loss in nats that fails, for binary data; one last digit.")
    ] = 0.1,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the comparison as a page, too.")
    ] = None,
) -> int:
    """Compare run B with run A, cell by cell.

    Differences with intervals, paired by seed and test image, corrected for
    how many there are; new, missing and failed cells; ratios of speed.
    Exit code 1 if a configuration is worse, significantly and by more than
    the threshold, or a cell that was done in A failed in B. Speed never
    decides: shared machines differ by more than most changes do.

    Runs that differ in a setting on purpose are paired by the rest of it with
    --ignore: epochs, learning_rate, eval_samples, tune (the table of what is
    tuned) and the like, but neither likelihood nor data nor seed. Then also:
    how trainings ended in both runs, how many configurations moved, and which
    verdicts "x is better than y" turn round.

    Example:  vae-bench compare results/reference/digits digits

    Example:  vae-bench compare short long --ignore epochs --ignore patience

    Example:  vae-bench compare before after --html reports/change.html
    """
    from bench.cli.text.differences import differences_text
    from bench.report.two_runs import page
    from bench.report.two_runs.page import Compared
    from bench.report.two_runs.settings import remedy
    from bench.report.two_runs.words import origin
    from bench.statistics.two_runs.differences import differences
    from bench.statistics.two_runs.pairing import apart, pair
    from bench.statistics.two_runs.retrained import retrained

    if not (threshold >= 0 and threshold_nats >= 0):
        raise Refused("--threshold and --threshold-nats: give numbers >= 0; 0 lets every significant loss fail.")
    if html:
        _refuse_page(html)
    before, after = (tables_of(run) for run in (a, b))
    pairing = pair(before, after, ignore) if ignore else None
    paired = pairing.before if pairing else before
    thresholds = {"bits/dim": threshold, "nats": threshold_nats}
    found = differences(paired, after, thresholds)
    changed = retrained(paired, after, found, pairing.ignored) if pairing else None
    hint = remedy(apart(before, after)) if found.configurations.empty else ""
    width = min(columns(), WIDEST)
    origins = origin(printable(a), before), origin(printable(b), after)
    text = differences_text(found, *origins, width, thresholds, changed, hint)
    typer.echo(text, nl=False)
    if html:
        page.build(Compared((_shown(a), _shown(b)), (before, after), found, thresholds, changed, hint), html)
        typer.echo(f"\n{printable(html)}")
    return 1 if found.regressed else 0


def _refuse_page(page: Path) -> None:
    """Raises Refused for what a page cannot be written to, before anything is read; StoreError for somebody's file."""
    from bench.store.guard import places
    from bench.store.guard.errors import shown

    if page.suffix.lower() not in (".html", ".htm"):
        raise Refused(f"--html {shown(page)}: a page's name ends in .html, so that no run or table is written over.")
    places.written_over(page, "--html", places.is_page, "page")


def _shown(run: str) -> str:
    """A run as a page names it: as it was given, but without the folders of this machine."""
    path = Path(run)
    return path.name if path.is_absolute() or ".." in path.parts else run
