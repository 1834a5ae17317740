"""`vae-bench compare`: what changed from one run to another."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.options import WIDEST, Refused, columns, tables_of


def verb(
    a: Annotated[
        str, typer.Argument(metavar="A", help="The run before: a name, a file, or a folder of exported tables.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The run after, likewise.")],
    threshold: Annotated[
        float, typer.Option(metavar="BITS", help="Loss in bits/dim that fails; half of a last digit quoted.")
    ] = 0.005,
    threshold_nats: Annotated[
        float, typer.Option(metavar="NATS", help="Loss in nats that fails, for binary data; one last digit.")
    ] = 0.1,
) -> int:
    """Compare run B with run A, cell by cell.

    Differences with intervals, paired by seed and test image, corrected for
    how many there are; new, missing and failed cells; ratios of speed.
    Exit code 1 if a configuration is worse, significantly and by more than
    the threshold, or a cell that was done in A failed in B. Speed never
    decides: shared machines differ by more than most changes do.

    Example:  vae-bench compare results/reference/digits digits
    """
    from bench.cli.text.differences import differences_text, origin
    from bench.statistics.differences import differences

    if not (threshold >= 0 and threshold_nats >= 0):
        raise Refused("--threshold and --threshold-nats: give numbers >= 0; 0 lets every significant loss fail.")
    before, after = (tables_of(run) for run in (a, b))
    thresholds = {"bits/dim": threshold, "nats": threshold_nats}
    comparison = differences(before, after, thresholds)
    width = min(columns(), WIDEST)
    typer.echo(differences_text(comparison, origin(a, before), origin(b, after), width, thresholds), nl=False)
    return 1 if comparison.regressed else 0
